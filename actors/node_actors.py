"""What Ray knows of a node: a shard's actor and settlement's.

Ray starts, finds and watches them.  Money never goes through a Ray call: a
gateway talks to the stream server that each actor runs in its own event loop.
A node that fails ends its process; Ray never restarts or retries anything,
the supervisor starts a new actor, which takes a new epoch.
"""

import asyncio
import gc
import os
from pathlib import Path

import msgspec
import ray

from actors.fault_points import Fault, FaultPoints, Step
from actors.runner import Runner, Statistics
from actors.stream import SettlementLink
from processor.journal import Batch, Identity, Journal, JournalRefused
from processor.recovery import SettlementReplay, ShardReplay, digest_of
from processor.settlement import Settlement
from processor.shard import Shard


class NodeConfig(msgspec.Struct, frozen=True):
    """What a node needs to start; it creates only before the cluster was ready."""

    name: str
    journal: Path
    sockets: Path
    identity: Identity
    may_create: bool
    faults: tuple[Fault, ...] = ()


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

    async def _listen(self, sequence: int) -> Started:
        config = self._config
        gc.collect()
        gc.freeze()
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
    async def identity(self) -> Identity:
        """Whose journal it is."""
        return self._journal.identity


class ShardActor(_NodeActor):
    """One shard."""

    @ray.method
    async def start(self) -> Started:
        """Recover from the journal and listen.  Raises JournalRefused."""
        await self._open()
        replay = ShardReplay(self._journal.identity)
        replay_row = self._points.before(Step.RECOVERY, replay.replay)
        async for batch in self._journal.recover():
            replay_row(batch)
        self._shard = Shard(
            replay.state,
            replay.remembered,
            replay.history,
            self._journal.epoch,
            self._journal.identity.journal_id,
        )
        self._shard.not_before(replay.at_ms)
        self._runner = Runner(self._shard, self._journal)
        self._link = SettlementLink(self._runner, self._shard.settlement_connected)
        return await self._listen(replay.state.sequence)

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
        """The state's last sequence, and its fingerprint there."""
        return self._shard.state.sequence, digest_of(self._shard.state)

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
        replay = SettlementReplay(self._journal.identity)
        replay_row = self._points.before(Step.RECOVERY, replay.replay)
        async for batch in self._journal.recover():
            replay_row(batch)
        self._settlement = Settlement(
            replay.state, replay.remembered, self._journal.epoch
        )
        self._settlement.not_before(replay.at_ms)
        self._runner = Runner(self._settlement, self._journal)
        return await self._listen(replay.state.sequence)

    @ray.method
    async def statistics(self) -> Statistics:
        """Figures for the metrics."""
        return self._runner.statistics(self._config.name)

    @ray.method
    async def digest(self) -> tuple[int, str]:
        """The state's last sequence, and its fingerprint there."""
        state = self._settlement.state
        return state.sequence, digest_of(state)

    @ray.method
    async def stop(self) -> None:
        """Finish what has come in, and close the journal."""
        await self._runner.stop()
