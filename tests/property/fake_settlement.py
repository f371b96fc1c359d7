"""A tiny settlement for one shard: it has so much unleased, grants or refuses.

It speaks the protocol and nothing else; it keeps no journal and never fails.
What it refused is kept, so that a decline can be held against it.
"""

from collections import deque
from dataclasses import dataclass, field

from processor import events as e
from processor import messages as m


@dataclass
class FakeSettlement:
    """Answers a shard's messages; `unleased` is what each lender has left."""

    unleased: dict[str, int] = field(default_factory=dict)
    granted: dict[str, int] = field(default_factory=dict)
    forced: dict[str, int] = field(default_factory=dict)
    credited: dict[str, int] = field(default_factory=dict)
    refusals: dict[int, tuple[str, int]] = field(default_factory=dict)
    reference: list[e.ReferenceFact] = field(default_factory=list)
    day_moves: list[tuple[str, str]] = field(default_factory=list)
    days_ended: dict[str, m.DayEnded] = field(default_factory=dict)
    to_shard: deque[m.Message] = field(default_factory=deque)
    asks: deque[m.SliceAsked] = field(default_factory=deque)
    reports: list[m.SliceReported] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
    rounds: int = 0

    def hear(self, message: m.Message) -> None:
        """Take one message of the shard; what to say goes to `to_shard`."""
        match message:
            case m.ShardHello():
                self.welcome(message)
            case m.SliceAsked():
                self.asks.append(message)
            case m.SliceWanted():
                if self.granted.get(message.pool_id, 0) == message.received_minor:
                    spare = self.unleased[message.pool_id] // 4
                    self.grant(message.pool_id, min(spare, message.wanted_minor))
            case m.SliceReported():
                self.credit(message.lease.pool_id, message.lease.returned_minor)
                self.reports.append(message)
                self.missing.discard(message.round)
            case m.DayEnded():
                assert message == self.days_ended.setdefault(message.day, message)
        self.work()

    def welcome(self, hello: m.ShardHello) -> None:
        self.asks.clear()
        self.missing.clear()
        self.to_shard.append(m.ShardWelcome(hello.day))
        version = hello.reference_version
        if version < len(self.reference):
            self.tell_reference(version)
        for lease in hello.leases:
            assert lease.received_minor <= self.granted.get(lease.pool_id, 0)
            self.credit(lease.pool_id, lease.returned_minor)
            self.grant(lease.pool_id, 0)
        for day, next_day in self.day_moves:
            if day not in self.days_ended:
                self.to_shard.append(m.MoveDay(day, next_day))

    def tell_reference(self, first: int) -> None:
        facts = tuple(self.reference[first:])
        self.to_shard.append(m.ReferenceSent(len(self.reference), facts))

    def grant(self, lender_id: str, amount: int) -> None:
        self.unleased[lender_id] -= amount
        granted = self.granted.get(lender_id, 0) + amount
        self.granted[lender_id] = granted
        if granted:
            forced = self.forced.get(lender_id, 0)
            self.to_shard.append(m.GrantSlice(lender_id, granted, forced))

    def credit(self, lender_id: str, returned: int) -> None:
        self.unleased[lender_id] += returned - self.credited.get(lender_id, 0)
        self.credited[lender_id] = returned

    def recall(self, lender_id: str, keep: bool) -> None:
        self.rounds += 1
        self.missing.add(self.rounds)
        self.to_shard.append(m.RecallSlice(self.rounds, lender_id, keep))

    def work(self) -> None:
        """Recall for the first ask, once; then grant it or refuse it."""
        while self.asks and not self.missing:
            ask = self.asks[0]
            short = [n for n in ask.needs if n.amount_minor > self.unleased[n.pool_id]]
            if short and ask.ask >= 0:
                self.asks[0] = m.SliceAsked(
                    -ask.ask, ask.needs, ask.sequence, ask.is_forced
                )
                for need in short:
                    self.recall(need.pool_id, False)
                continue
            self.asks.popleft()
            number = abs(ask.ask)
            forced = 0
            if ask.is_forced:
                for need in short:
                    missing = need.amount_minor - self.unleased[need.pool_id]
                    self.unleased[need.pool_id] += missing
                    before = self.forced.get(need.pool_id, 0)
                    self.forced[need.pool_id] = before + missing
                    forced += missing
            if not short or ask.is_forced:
                for need in ask.needs:
                    self.grant(need.pool_id, need.amount_minor)
                self.to_shard.append(m.AskGranted(number, forced))
                continue
            lender_id = short[0].pool_id
            refusal = len(self.refusals) + 1
            self.refusals[refusal] = (lender_id, self.unleased[lender_id])
            self.to_shard.append(
                m.AskRefused(number, lender_id, self.unleased[lender_id], refusal)
            )
