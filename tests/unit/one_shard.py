"""A shard to talk to by hand: one step a sentence, settlement played by the test."""

from typing import Any

import msgspec

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor import snapshot
from processor.entries import Reading
from processor.journal import Batch, Identity, Point
from processor.pieces import MemoryPieces
from processor.records import RECORDS_ENCODER, ShardRecord
from processor.recovery import Room, ShardReplay
from processor.remembered import KEEPING, Keeping
from processor.scratch import Scratch
from processor.shard import SETTLEMENT, Shard

FIRST_DAY = "2026-01-01"
IDENTITY = Identity("test", "shard", 0, 1, "journal-0", FIRST_DAY)
PPM = 1_000_000


class OneShard:
    """`ask` gives the decided answer; `heard` is what settlement was told."""

    def __init__(
        self,
        batches: list[Batch] | None = None,
        keeping: Keeping = KEEPING,
        scratch: Scratch | None = None,
        in_memory_min: int = 0,
        saved_at: int = 0,
    ) -> None:
        self.batches = batches or []
        room = Room(keeping, scratch, self.row_of, in_memory_min, MemoryPieces())
        replay = ShardReplay(IDENTITY, room)
        for number, batch in enumerate(self.batches):
            if number and number == saved_at:
                replay = through_a_snapshot(replay, batch, room)
            replay.replay(batch)
        self.node = Shard(
            replay.state, replay.remembered, replay.history, 1, "journal-0"
        )
        self.node.not_before(replay.at_ms)
        self.now_ms = 1_000
        self.records: list[ShardRecord] = []
        self.heard: list[m.Message] = []
        self.answers: dict[int, m.Answer] = {}
        self.count = 0

    def row_of(self, sequence: int) -> Batch:
        """The row that holds a record."""
        return next(
            b for b in self.batches if b.first_sequence <= sequence <= b.last_sequence
        )

    def event_of(self, command: c.Command) -> e.Event:
        """What a command ended in."""
        return next(r.event for r in self.records if r.command == command)

    @property
    def state(self) -> Any:
        return self.node.state

    def connected(self) -> "OneShard":
        self.node.settlement_connected()
        self.step()
        return self

    def welcomed(self) -> "OneShard":
        """Settlement has confirmed the journal."""
        self.told(m.ShardWelcome(self.state.day))
        return self

    def step(self) -> None:
        step = self.node.step(self.now_ms)
        self.records += step.records
        if step.records:
            last = self.node.state.sequence
            first = last - len(step.records) + 1
            body = RECORDS_ENCODER.encode(step.records)
            self.batches.append(Batch(first, last, 1, step.day, step.at_ms, body, b""))
        for connection, message in step.deliveries:
            if connection == SETTLEMENT:
                self.heard.append(message)
            else:
                assert isinstance(message, m.Answer)
                assert message.correlation not in self.answers
                self.answers[message.correlation] = message
        self.node.tidy(step)
        for reading in step.readings:
            answer = finished(reading, self.batches)
            self.answers[answer.correlation] = answer

    def told(self, *messages: m.Message) -> None:
        """Settlement says something."""
        self.node.receive(SETTLEMENT, messages)
        self.step()

    def submit(self, *commands: c.Command) -> list[int]:
        """All in one batch; their correlations."""
        first = self.count + 1
        for command in commands:
            self.count += 1
            self.node.receive(1, [m.Submit(self.count, command)])  # type: ignore[arg-type]
        self.step()
        return list(range(first, self.count + 1))

    def ask(self, kind: type[c.Command], *fields: Any) -> dict[str, Any]:
        """One command under a new id, and its answer."""
        (correlation,) = self.submit(kind("caller", f"r{self.count}", *fields))
        answer: dict[str, Any] = msgspec.json.decode(self.answers[correlation].body)
        return answer

    def read(self, kind: str, object_id: str) -> Any:
        self.count += 1
        self.node.receive(1, [m.Query(self.count, kind, object_id)])
        self.step()
        answer = self.answers[self.count]
        if answer.outcome is m.Outcome.NOT_FOUND:
            return None
        assert answer.outcome is m.Outcome.READ
        return msgspec.json.decode(answer.body)

    def entries(self, account_id: str, before: int = 0, limit: int = 50) -> Any:
        """A page of an account's history; None if there is no such account."""
        self.count += 1
        asked = m.QueryEntries(self.count, account_id, before, limit)
        self.node.receive(1, [asked])
        self.step()
        answer = self.answers[self.count]
        return None if answer.outcome is m.Outcome.NOT_FOUND else decoded(answer)


def through_a_snapshot(replay: ShardReplay, row: Batch, room: Room) -> ShardReplay:
    """What is saved before a row, and restored to where there is as much room."""
    point = Point(row.first_sequence - 1, b"", row.epoch)
    saved = snapshot.encode(IDENTITY, point, replay)
    _, restored = snapshot.decode("a snapshot", saved, IDENTITY, room)
    assert isinstance(restored, ShardReplay)
    snapshot.check("a snapshot", saved, restored, room.pieces)
    assert replay.saved() == restored.saved()
    return restored


def finished(reading: Reading, batches: list[Batch]) -> m.Answer:
    """Give a reading the rows it wants, one after the other."""
    while wanted := reading.wants:
        reading.take(
            next(b for b in batches if b.first_sequence <= wanted <= b.last_sequence)
        )
    return reading.answer()


def decoded(answer: m.Answer) -> Any:
    """What a reader is told."""
    assert answer.outcome is m.Outcome.READ
    return msgspec.json.decode(answer.body)


def a_shard(limit: int = 1_000, **headroom: int) -> OneShard:
    """With programs, merchant `m`, and accounts `a` (solo) and `b` (pair, 30/70)."""
    return furnished(OneShard(), limit, **headroom)


def furnished(shard: OneShard, limit: int = 1_000, **headroom: int) -> OneShard:
    """The same in a shard that is new."""
    shard.welcomed()
    lenders = ("L1", "L2")
    facts: list[e.ReferenceFact] = [
        e.LenderRegistered(name, "EUR", "", 0) for name in lenders
    ]
    facts += [
        e.MerchantRegistered("m", "Merchant"),
        program("solo", L1=PPM),
        program("pair", L1=300_000, L2=700_000),
    ]
    shard.told(m.ReferenceSent(len(facts), tuple(facts)))
    shard.told(*(m.GrantSlice(name, amount) for name, amount in headroom.items()))
    for account_id, name in (("a", "solo"), ("b", "pair")):
        shard.ask(c.OpenAccount, account_id, name, "EUR", limit)
    return shard


def program(name: str, version: int = 1, **shares: int) -> e.ProgramRegistered:
    parts = tuple(c.Share(lender, ppm) for lender, ppm in shares.items())
    return e.ProgramRegistered(name, version, "EUR", parts, 60, 30, 100_000)
