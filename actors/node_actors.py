"""What Ray knows of a node: a shard's actor and settlement's.

Ray starts, finds and watches them.  Money never goes through a Ray call: a
gateway talks to the stream server that each actor runs in its own event loop.
A node that fails ends its process; Ray never restarts or retries anything,
the supervisor starts a new actor, which takes a new epoch.
"""

import asyncio
import os
from pathlib import Path

import msgspec
import ray

from actors.births import ReplayRow, recover_settlement, recover_shard
from actors.collector import leave_alone_what_is_known
from actors.digests import digest_between_steps
from actors.fault_points import Fault, FaultPoints, Step
from actors.runner import Runner, Statistics
from actors.stream import SettlementLink
from processor import limits
from processor.journal import Batch, Identity, Journal, JournalRefused, Point
from processor.remembered import KEEPING, Keeping
from processor.storage.scratch_files import FileScratch


class NodeConfig(msgspec.Struct, frozen=True):
    """What a node needs to start; it creates only before the cluster was ready."""

    name: str
    journal: Path
    sockets: Path
    identity: Identity
    may_create: bool
    keep_ms: int = limits.KEEP_ANSWERS_MS
    faults: tuple[Fault, ...] = ()

    @property
    def keeping(self) -> Keeping:
        """What is remembered of requests."""
        return msgspec.structs.replace(KEEPING, keep_ms=self.keep_ms)

    @property
    def scratch(self) -> FileScratch:
        """Room beside the journal."""
        return FileScratch(self.journal.parent)


class Started(msgspec.Struct, frozen=True):
    """Where a node is, and in which epoch."""

    name: str
    address: str
    epoch: int
    pid: int
    sequence: int


class _NodeActor:
    """What both actors have in common."""

    def __init__(self, config: NodeConfig) -> None:
        self._config = config
        self._journal: Journal
        self._runner: Runner
        self._points: FaultPoints

    async def _open(self) -> None:
        config = self._config
        create = config.identity if config.may_create else None
        self._journal = await Journal.open(config.journal, create)
        found = self._journal.identity
        if found != config.identity:
            await self._journal.close()
            raise JournalRefused(
                f"{config.journal} is the journal of {found.kind} {found.number}"
                f" (journal id {found.journal_id}), not the one that cluster.json"
                f" names as {config.name}"
            )
        self._points = FaultPoints(config.faults, config.name, self._journal.epoch)

    def _before_row(self, replay_row: ReplayRow) -> ReplayRow:
        return self._points.before(Step.RECOVERY, replay_row)

    async def _listen(self, sequence: int) -> Started:
        config = self._config
        leave_alone_what_is_known()
        self._points.arm(self._runner)
        address = config.sockets / f"{config.name}.{self._journal.epoch}"
        await self._runner.start(address)
        return Started(
            config.name, str(address), self._journal.epoch, os.getpid(), sequence
        )

    @ray.method
    async def pid(self) -> int:
        """The process, also while it recovers."""
        return os.getpid()

    @ray.method
    async def watch(self) -> None:
        """Never returns; Ray fails the call when the process ends."""
        await asyncio.Event().wait()

    @ray.method
    async def sequence(self) -> int:
        """The last record of the state; the journal ends there or will."""
        return self._runner.node.sequence

    @ray.method
    async def read_rows(self, after_sequence: int, rows: int) -> list[Batch]:
        """Journal rows, for an audit of the running system."""
        return await self._runner.read_rows(after_sequence, rows)

    @ray.method
    async def prepare_segment(self) -> None:
        """Make the next segment, so that sealing takes less time."""
        await self._runner.prepare_segment()

    @ray.method
    async def seal(self) -> tuple[Point, int]:
        """Seal what the journal has: where it ends, and in which segment."""
        return await self._runner.seal(), len(self._journal.sealed)

    @ray.method
    async def settled(self) -> None:
        """Returns once anybody may read what was sealed last."""
        await self._runner.settled()

    @ray.method
    async def settled_segments(self) -> int:
        """How many segments of the journal, from the first, never change any more."""
        return self._journal.settled_count

    @ray.method
    async def identity(self) -> Identity:
        """Whose journal it is."""
        return self._journal.identity


class ShardActor(_NodeActor):
    """One shard."""

    @ray.method
    async def start(self) -> Started:
        """Recover from the journal and listen.  Raises JournalRefused."""
        await self._open()
        config = self._config
        self._shard = await recover_shard(
            *(self._journal, config.keeping, config.scratch, self._before_row),
            load=asyncio.to_thread,
        )
        self._runner = Runner(self._shard, self._journal)
        self._link = SettlementLink(self._runner, self._shard.settlement_connected)
        return await self._listen(self._shard.sequence)

    @ray.method
    async def settlement_at(self, address: str) -> None:
        """Connect to settlement there, and there only."""
        self._link.connect_to(address)

    @ray.method
    async def statistics(self) -> Statistics:
        """Figures for the metrics."""
        state = self._shard.state
        figures = self._runner.statistics(self._config.name)
        figures.parked = self._shard.parked_count
        figures.accounts = len(state.accounts)
        return figures

    @ray.method
    async def digest(self) -> tuple[int, str]:
        """As `digest_between_steps`."""
        return await digest_between_steps(self._shard.state)

    @ray.method
    async def stop(self) -> None:
        """Finish what has come in, and close the journal."""
        await self._runner.stop()
        self._link.close()


class SettlementActor(_NodeActor):
    """Settlement."""

    @ray.method
    async def start(self) -> Started:
        """Recover from the journal and listen.  Raises JournalRefused."""
        await self._open()
        config = self._config
        self._settlement = await recover_settlement(
            *(self._journal, config.keeping, config.scratch, self._before_row),
            load=asyncio.to_thread,
        )
        self._runner = Runner(self._settlement, self._journal)
        return await self._listen(self._settlement.sequence)

    @ray.method
    async def seal_and_stand_still(self, seconds_max: float) -> tuple[Point, int]:
        """Seal, and do nothing until told to go on, or for so long at most."""
        return await self._runner.seal(seconds_max), len(self._journal.sealed)

    @ray.method
    async def go_on(self) -> int | None:
        """How long it stood still, in milliseconds; None if it does no more."""
        return self._runner.go_on()

    @ray.method
    async def statistics(self) -> Statistics:
        """Figures for the metrics."""
        return self._runner.statistics(self._config.name)

    @ray.method
    async def digest(self) -> tuple[int, str]:
        """As `digest_between_steps`."""
        return await digest_between_steps(self._settlement.state)

    @ray.method
    async def stop(self) -> None:
        """Finish what has come in, and close the journal."""
        await self._runner.stop()
