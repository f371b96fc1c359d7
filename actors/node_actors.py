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

from actors.births import recover_settlement, recover_shard
from actors.runner import Runner, Statistics
from actors.stream import SettlementLink
from processor.journal import Batch, Identity, Journal, Point
from processor.recovery import digest_of


class NodeConfig(msgspec.Struct, frozen=True):
    """What a node needs to start; `create` only before the cluster was ready."""

    name: str
    journal: Path
    sockets: Path
    create: Identity | None


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

    async def _listen(self, sequence: int) -> Started:
        config = self._config
        gc.collect()
        gc.freeze()
        address = config.sockets / f"{config.name}.{self._journal.epoch}"
        await self._runner.start(address)
        return Started(
            config.name, str(address), self._journal.epoch, os.getpid(), sequence
        )

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
        return await self._runner.rotate(), self._journal.settled_count

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
        self._journal = await Journal.open(self._config.journal, self._config.create)
        self._shard = await recover_shard(self._journal)
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
        self._journal = await Journal.open(self._config.journal, self._config.create)
        self._settlement = await recover_settlement(self._journal)
        self._runner = Runner(self._settlement, self._journal)
        return await self._listen(self._settlement.sequence)

    @ray.method
    async def seal_and_stand_still(self, seconds_max: float) -> tuple[Point, int]:
        """Seal, and do nothing until told to go on, or for so long at most."""
        point = await self._runner.rotate(stand_still_seconds=seconds_max)
        return point, self._journal.settled_count

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
        """The state's last sequence, and its fingerprint there."""
        state = self._settlement.state
        return state.sequence, digest_of(state)

    @ray.method
    async def stop(self) -> None:
        """Finish what has come in, and close the journal."""
        await self._runner.stop()
