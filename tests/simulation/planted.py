"""Planted bugs: houses in which one thing is wrong, each of which must be caught.

Every one is a classic of how such systems lose money, put into a subclass or
around a function, here and nowhere else.  A simulator that does not catch them
proves nothing.
"""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import msgspec

from actors.births import recover_settlement, recover_shard
from actors.runner import Runner
from gateway.door import Door
from gateway.ports import OutcomeUnknown
from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.authorizations import decide_expire_authorization
from processor.journal import Batch, Journal, Point
from processor.lessor import Lessor
from processor.machine import apply
from processor.node import Step
from processor.recall import Ask, Round
from processor.records import ShardRecord
from processor.recovery import ShardReplay
from processor.remembered import KEEPING, Remembered
from processor.scratch import MemoryScratch
from processor.settlement import Settlement
from processor.settlement_state import ShardLease
from processor.shard import SETTLEMENT, Shard
from processor.state import AuthorizationStatus
from tests.simulation.disk import Segment, SmallJournal
from tests.simulation.house import Parts
from tests.simulation.virtual import MS

PARTS = Parts()


def shards_of(kind: type[Shard]) -> Parts:
    """A house whose shards have another class."""
    return replace(PARTS, recover_shard=_born_as(recover_shard, kind))


def settlement_of(kind: type[Settlement]) -> Parts:
    """A house whose settlement has another class."""
    return replace(PARTS, recover_settlement=_born_as(recover_settlement, kind))


def _born_as(
    recover: Callable[[Journal], Awaitable[Any]], kind: type[Any]
) -> Callable[[Journal], Awaitable[Any]]:
    async def recovered(journal: Journal) -> Any:
        node = await recover(journal)
        node.__class__ = kind
        return node

    return recovered


# The journal, and the order of things.


class UnsyncedSegment(Segment):
    """Says that a row is durable, and writes it some time later."""

    def write(self, row: Batch) -> None:
        write = super().write
        self.process.timeline.after(5 * MS, write, row, process=self.process)


class UnfencedSegment(Segment):
    """Looks at no epoch: who was replaced goes on writing."""

    def prove(self, epoch: int) -> None:
        pass


class ForgivingSegment(Segment):
    """An append that failed is taken for one that did not."""

    def append(self, row: Batch) -> None:
        with suppress(sqlite3.Error):
            super().append(row)


class TrustingJournal(SmallJournal):
    """Reads rows without looking at their checksums."""

    async def recover(self, after: Point | None = None) -> AsyncIterator[Batch]:
        with patch("processor.journal.check_batch", lambda name, row, *_: row.chain):
            rows = [row async for row in super().recover(after)]
        for row in rows:
            yield row


class HastyRunner(Runner):
    """Delivers before it appends."""

    def _step_and_append(self) -> None:
        step = self.node.step(self._now_ms())
        self._deliver(step.deliveries)
        step.deliveries = []
        with patch.object(self.node, "step", lambda now_ms: step):
            super()._step_and_append()


# Recovery.


async def grants_to_whoever_comes_first(journal: Journal) -> Settlement:
    """Settlement leases before every shard has said what it knows."""
    settlement = await recover_settlement(journal)
    settlement.is_open = True
    return settlement


async def replay_stops_early(journal: Journal) -> Shard:
    """The last row is left out, and the shard serves."""
    batches = [batch async for batch in journal.recover()]
    replay = ShardReplay(journal.identity)
    for batch in batches[:-1]:
        replay.replay(batch)
    shard = Shard(
        replay.state,
        replay.remembered,
        replay.history,
        journal.epoch,
        journal.identity.journal_id,
    )
    shard.not_before(replay.at_ms)
    return shard


async def forgets_requests(journal: Journal) -> Shard:
    """Which requests were answered is not remembered over a restart."""
    shard = await recover_shard(journal)
    scratch, record = MemoryScratch(), ShardRecord
    shard.remembered = Remembered(KEEPING, record, scratch, journal.row_of)
    return shard


@contextmanager
def _snapshots_without_requests() -> Any:
    saved = ShardReplay.saved

    def without(replay: ShardReplay) -> Any:
        found = saved(replay)
        nothing = msgspec.msgpack.encode(([], []))
        return found._replace(parts={**found.parts, "remembered": nothing})

    with patch.object(ShardReplay, "saved", without):
        yield


@contextmanager
def _snapshots_of_anything() -> Any:
    with patch("processor.snapshot.has_end", lambda heads, point: True):
        yield


@contextmanager
def _pieces_of_anything() -> Any:
    with patch("processor.pieces._checksum", lambda name, number, body: bytes(16)):
        yield


# The slices.


class ShardWithoutReceipts(Shard):
    """Uses a grant of which its journal knows nothing."""

    def _granted(self, message: m.GrantSlice) -> None:
        lease = self.state.slices[message.pool_id]
        if message.granted_minor > lease.received_minor:
            apply(
                self.state,
                e.SliceReceived(message.pool_id, message.granted_minor),
                None,
            )
            self.state.sequence -= 1

    def _handle(self, connection: int, message: m.Message) -> None:
        if isinstance(message, m.GrantSlice):
            self._granted(message)
        else:
            super()._handle(connection, message)


class ShardThatReturnsTwice(Shard):
    """Tells settlement of twice what it has given back."""

    def _deliver(self, connection: int, message: m.Message) -> None:
        if isinstance(message, m.SliceReported) and connection == SETTLEMENT:
            lease = message.lease
            if lease.returned_minor:
                twice = msgspec.structs.replace(
                    lease, returned_minor=2 * lease.returned_minor
                )
                message = msgspec.structs.replace(message, lease=twice)
        super()._deliver(connection, message)


class ShardThatKeepsWhatItReturned(Shard):
    """Spends what it has told that it gave back."""

    def _handle(self, connection: int, message: m.Message) -> None:
        if isinstance(message, m.RecallSlice) and not message.keep:
            lease = self.state.slices[message.pool_id]
            free_minor = lease.free_minor
            super()._handle(connection, message)
            lease.free_minor = free_minor
        else:
            super()._handle(connection, message)


class SettlementThatCreditsTwice(Settlement):
    """Adds what a shard gave back as often as it is told."""

    def _credit(self, shard: int, pool_id: str, returned_minor: int) -> None:
        lease = self.state.pool(pool_id).leases.get(shard) or ShardLease()
        if returned_minor:
            returned_minor += lease.credited_minor
        super()._credit(shard, pool_id, returned_minor)


class SettlementThatKeepsReturns(Settlement):
    """Never credits what comes back on a hello: it is stranded."""

    def _credit(self, shard: int, pool_id: str, returned_minor: int) -> None:
        if pool_id != "L1":
            super()._credit(shard, pool_id, returned_minor)


class SettlementThatAsksNobody(Settlement):
    """Refuses for reserve without having looked at the shards."""

    def _try_ask(self, ask: Ask, recalled: Round | None = None) -> None:
        if recalled is None and ask.command is None and not ask.is_forced:
            for need in ask.needs:
                if need.amount_minor > self.state.pool(need.pool_id).unleased_minor:
                    nothing = Round(0, need.pool_id, False, 0, self.state.day)
                    self._refuse(ask, need, nothing)
                    return
        Lessor._try_ask(self, ask, recalled)


@contextmanager
def _anyone_is_welcome() -> Any:
    with patch("processor.settlement.why_refused", lambda state, epoch, hello: None):
        yield


# The shard's own work.


async def opens_by_itself(journal: Journal) -> Shard:
    """Serves before settlement has confirmed its journal."""
    shard = await recover_shard(journal)
    shard.is_open = True
    return shard


class ShardWithYesterdaysStamp(Shard):
    """Stamps what follows a cut in the same batch with the day before."""

    def step(self, now_ms: int, steady_ms: int = 0) -> Step:
        step = super().step(now_ms, steady_ms)
        if step.records and self.state.ended_day and step.day == self.state.day:
            is_early = self.state.sequence - self.state.ended_sequence < 6
            if is_early:
                return msgspec.structs.replace(step, day=self.state.ended_day)
        return step


class ShardThatGivesUpAndGoesOn(Shard):
    """Says that nothing was done, and does it."""

    def _unpark(
        self,
        ask: int,
        refusal: Any,
        why_not: str = "",
        forced_minor: int = 0,
    ) -> None:
        parked = self._parked.get(ask)
        super()._unpark(ask, refusal, why_not, forced_minor)
        if parked is not None and why_not:
            first = parked.first
            another = first.submit.correlation + 1_000_000
            submit = msgspec.structs.replace(first.submit, correlation=another)
            self._submit(first.connection, submit, first.gives_up_at_ms)


@contextmanager
def _captured_expires() -> Any:
    def decide(state: Any, authorization_id: str, now_ms: int) -> Any:
        found = state.authorizations.get(authorization_id)
        if found is None or now_ms < found.expires_at_ms:
            return None
        if found.status is AuthorizationStatus.CAPTURED:
            parts = tuple(found.captured_parts)
            return e.AuthorizationExpired(authorization_id, sum(parts), parts)
        return real(state, authorization_id, now_ms)

    real = decide_expire_authorization
    with patch("processor.shard.decide_expire_authorization", decide):
        yield


# The door.


class DoorThatSaysNo(Door):
    """Reads an unknown outcome as a decline."""

    def settle(self, command: c.Command, waiting: Any, told: Any) -> m.Answer:
        if isinstance(told, OutcomeUnknown):
            body = b'{"status":"declined","reason":"timeout","transient":true}'
            told = m.Answer(0, m.Outcome.DECIDED, body)
        return super().settle(command, waiting, told)


class DoorThatSaysNothingWasDone(Door):
    """Reads an unknown outcome as nothing done."""

    def settle(self, command: c.Command, waiting: Any, told: Any) -> m.Answer:
        if isinstance(told, OutcomeUnknown):
            told = m.Answer(0, m.Outcome.NOT_DONE, b"the connection broke")
        return super().settle(command, waiting, told)


@contextmanager
def _nothing() -> Any:
    yield


Planted = tuple[Parts, Callable[[], Any]]

PLANTED: dict[str, Planted] = {
    "acknowledge before sync": (replace(PARTS, segment=UnsyncedSegment), _nothing),
    "deliver before the append": (replace(PARTS, runner=HastyRunner), _nothing),
    "deliver after a failed append": (
        replace(PARTS, segment=ForgivingSegment),
        _nothing,
    ),
    "grant before it is durable": (
        replace(PARTS, settlement_runner=HastyRunner),
        _nothing,
    ),
    "zombie goes on writing": (replace(PARTS, segment=UnfencedSegment), _nothing),
    "serve a rotten journal": (replace(PARTS, journal=TrustingJournal), _nothing),
    "replay stops early": (replace(PARTS, recover_shard=replay_stops_early), _nothing),
    "forget requests on recovery": (
        replace(PARTS, recover_shard=forgets_requests),
        _nothing,
    ),
    "forget requests in snapshots": (PARTS, _snapshots_without_requests),
    "trust any snapshot": (PARTS, _snapshots_of_anything),
    "trust any piece of a snapshot": (PARTS, _pieces_of_anything),
    "serve before the welcome": (
        replace(PARTS, recover_shard=opens_by_itself),
        _nothing,
    ),
    "welcome an old copy": (PARTS, _anyone_is_welcome),
    "lease before all have spoken": (
        replace(PARTS, recover_settlement=grants_to_whoever_comes_first),
        _nothing,
    ),
    "skip the receipt of a slice": (shards_of(ShardWithoutReceipts), _nothing),
    "return a slice twice": (shards_of(ShardThatReturnsTwice), _nothing),
    "spend what was returned": (shards_of(ShardThatKeepsWhatItReturned), _nothing),
    "credit a return twice": (settlement_of(SettlementThatCreditsTwice), _nothing),
    "strand what was returned": (settlement_of(SettlementThatKeepsReturns), _nothing),
    "decline without asking": (settlement_of(SettlementThatAsksNobody), _nothing),
    "stamp the day before": (shards_of(ShardWithYesterdaysStamp), _nothing),
    "give up, and do it": (shards_of(ShardThatGivesUpAndGoesOn), _nothing),
    "expire what was captured": (PARTS, _captured_expires),
    "unknown is declined": (replace(PARTS, door=DoorThatSaysNo), _nothing),
    "unknown is nothing done": (
        replace(PARTS, door=DoorThatSaysNothingWasDone),
        _nothing,
    ),
}
