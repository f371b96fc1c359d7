"""What a whole house must look like: several shards and settlement, in totals.

Fed with every row as it becomes durable, in the order in which that happens.
It keeps one number for each thing that can be counted and compares them after
every row: at no moment, in whatever order the journals grew, may a lender's
money be used twice or be lost.  It imports events, which are words, and shares
no rule with the processor.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from processor import events as e
from processor.declines import DeclineReason
from processor.records import SettlementRecord, ShardRecord
from tests.property.naive_facts import without_zeros

Key = tuple[str, str]  # Caller and request id.


@dataclass(frozen=True)
class Point:
    """What one shard's journal said of one lender, right after a record."""

    sequence: int
    received: int
    returned: int
    free: int


@dataclass
class Bought:
    """What a purchase was: enough to know whom a capture is for."""

    merchant: str
    lenders: tuple[str, ...]
    open_parts: tuple[int, ...]


@dataclass
class ShardBooks:
    """One shard's journal, added up."""

    sequence: int = 0
    day: str = ""
    lenders: dict[Key, tuple[str, ...]] = field(default_factory=dict)
    purchases: dict[str, Bought] = field(default_factory=dict)
    received: Counter[str] = field(default_factory=Counter)
    returned: Counter[str] = field(default_factory=Counter)
    authorized: Counter[str] = field(default_factory=Counter)
    captured: Counter[str] = field(default_factory=Counter)
    refunded: Counter[str] = field(default_factory=Counter)
    history: dict[str, list[Point]] = field(default_factory=lambda: defaultdict(list))
    totals: dict[str, Counter[Any]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    last_of_day: dict[str, int] = field(default_factory=dict)

    def used(self, lender_id: str) -> int:
        gone = self.captured[lender_id] - self.refunded[lender_id]
        return self.authorized[lender_id] + gone

    def free(self, lender_id: str) -> int:
        leased = self.received[lender_id] - self.returned[lender_id]
        return leased - self.used(lender_id)

    def at(self, lender_id: str, sequence: int) -> Point:
        """What was true right after a record."""
        points = self.history[lender_id]
        i = bisect_right(points, sequence, key=lambda point: point.sequence)
        return points[i - 1] if i else Point(0, 0, 0, 0)


@dataclass
class NaiveHouse:
    """All journals of a house, added up and held against each other."""

    shard_count: int
    first_day: str
    shards: dict[int, ShardBooks] = field(default_factory=dict)
    deposit: Counter[str] = field(default_factory=Counter)
    line: Counter[str] = field(default_factory=Counter)
    granted: Counter[tuple[int, str]] = field(default_factory=Counter)
    credited: Counter[tuple[int, str]] = field(default_factory=Counter)
    acknowledged: Counter[int] = field(default_factory=Counter)  # By shard: sequence.
    refused: dict[int, e.ReserveRefused] = field(default_factory=dict)
    asked_at: dict[tuple[int, int, int], list[int]] = field(default_factory=dict)
    refusals_used: set[int] = field(default_factory=set)
    recorded: dict[tuple[str, Key], e.Event] = field(default_factory=dict)
    cuts: dict[str, str] = field(default_factory=dict)
    closed: dict[str, e.DayTotals] = field(default_factory=dict)
    facts: int = 0

    def __post_init__(self) -> None:
        for shard in range(self.shard_count):
            self.shards[shard] = ShardBooks(day=self.first_day)

    # What must hold at every moment.

    def check(self) -> None:
        for lender_id in self.line:
            total = self.deposit[lender_id] + self.line[lender_id]
            seen = self.unleased(lender_id)
            assert seen >= 0
            for number, shard in self.shards.items():
                key = (number, lender_id)
                on_its_way = self.granted[key] - shard.received[lender_id]
                on_its_way_back = shard.returned[lender_id] - self.credited[key]
                assert on_its_way >= 0
                assert on_its_way_back >= 0
                assert shard.free(lender_id) >= 0
                assert shard.authorized[lender_id] >= 0
                assert shard.used(lender_id) >= 0
                seen += on_its_way + on_its_way_back
                seen += shard.free(lender_id) + shard.used(lender_id)
            assert seen == total
            assert self.used(lender_id) <= total
            assert self.deposit[lender_id] >= 0

    def check_nothing_on_its_way(self) -> None:
        """When all is quiet, unleased, free and used are all there is."""
        for lender_id in self.line:
            free = sum(shard.free(lender_id) for shard in self.shards.values())
            total = self.deposit[lender_id] + self.line[lender_id]
            assert total == self.unleased(lender_id) + free + self.used(lender_id)

    def unleased(self, lender_id: str) -> int:
        leased = sum(
            self.granted[shard, lender_id] - self.credited[shard, lender_id]
            for shard in self.shards
        )
        return self.deposit[lender_id] + self.line[lender_id] - leased

    def used(self, lender_id: str) -> int:
        return sum(shard.used(lender_id) for shard in self.shards.values())

    def headroom(self, lender_id: str) -> int:
        return self.deposit[lender_id] + self.line[lender_id] - self.used(lender_id)

    # Settlement's rows.

    def settlement_wrote(self, day: str, records: list[SettlementRecord]) -> None:
        for record in records:
            if record.command is not None:
                self.note("settlement", record.command, record.event)
            self.settlement_fact(day, record.event)

    def settlement_fact(self, day: str, event: e.Event) -> None:
        match event:
            case e.LenderRegistered():
                self.line[event.lender_id] = event.advance_line_minor
                self.facts += 1
            case e.ProgramRegistered() | e.MerchantRegistered():
                self.facts += 1
            case e.ReserveDeposited():
                self.deposit[event.lender_id] += event.amount_minor
                assert self.deposit[event.lender_id] == event.deposit_minor
            case e.ReserveWithdrawn():
                # Nothing that is used, promised or leased may go.
                assert event.amount_minor <= self.unleased(event.lender_id)
                self.deposit[event.lender_id] -= event.amount_minor
                assert self.deposit[event.lender_id] == event.deposit_minor
            case e.SliceGranted():
                key = (event.shard, event.lender_id)
                more = event.granted_minor - self.granted[key]
                assert 0 < more <= self.unleased(event.lender_id)
                self.granted[key] = event.granted_minor
                self.acknowledge(event.shard, event.shard_sequence)
            case e.SliceCredited():
                key = (event.shard, event.lender_id)
                assert event.returned_minor > self.credited[key]
                self.credited[key] = event.returned_minor
            case e.ReserveRefused():
                self.check_refusal(event)
            case e.DayCut() | e.ShardDayReported() | e.DayClosed():
                self.settlement_day(day, event)
            case e.Declined():
                self.check_withdrawal_decline(event)

    def acknowledge(self, shard: int, sequence: int) -> None:
        """Settlement has it in writing that the shard came this far."""
        assert sequence <= self.shards[shard].sequence
        self.acknowledged[shard] = max(self.acknowledged[shard], sequence)

    def check_refusal(self, event: e.ReserveRefused) -> None:
        """All shards were looked at after the ask came, and it was not there."""
        lender_id = event.lender_id
        assert event.refusal == len(self.refused) + 1
        self.refused[event.refusal] = event
        assert event.unleased_minor == self.unleased(lender_id)
        assert list(range(self.shard_count)) == [p.shard for p in event.cut]
        found = event.unleased_minor
        for point in event.cut:
            shard = self.shards[point.shard]
            then = shard.at(lender_id, point.sequence)
            assert point.received_minor == then.received
            assert point.returned_minor == then.returned
            assert point.free_minor == then.free
            # Nothing was on its way: what was granted had come, what was given
            # back had been credited.
            assert self.granted[point.shard, lender_id] == then.received
            assert self.credited[point.shard, lender_id] == then.returned
            assert point.sequence <= shard.sequence
            found += point.free_minor
            self.acknowledge(point.shard, point.sequence)
        assert found < event.needed_minor
        self.check_freshness(event)

    def check_freshness(self, event: e.ReserveRefused) -> None:
        asked_at = [
            sequences
            for (shard, _, ask), sequences in self.asked_at.items()
            if (shard, ask) == (event.shard, event.ask)
        ]
        if event.shard >= 0:
            assert asked_at
            for point in event.cut:
                earliest = min(sequences[point.shard] for sequences in asked_at)
                assert point.sequence >= earliest

    def was_asked(self, shard: int, epoch: int, ask: int) -> None:
        """An ask reached settlement: what every journal said by then."""
        now = [self.shards[number].sequence for number in range(self.shard_count)]
        self.asked_at.setdefault((shard, epoch, ask), now)

    def check_withdrawal_decline(self, event: e.Declined) -> None:
        if event.reason is DeclineReason.RESERVE_EXHAUSTED:
            refused = self.refused[event.refusal]
            assert refused.shard == -1
            missing = refused.needed_minor - refused.unleased_minor
            assert event.missing_minor == missing > 0

    def settlement_day(
        self, day: str, event: e.DayCut | e.ShardDayReported | e.DayClosed
    ) -> None:
        match event:
            case e.DayCut():
                assert event.day == day
                assert event.day not in self.cuts
                assert set(self.cuts) == set(self.closed)  # One at a time.
                self.cuts[event.day] = event.next_day
            case e.ShardDayReported():
                shard = self.shards[event.shard]
                assert event.sequence == shard.last_of_day[event.day]
                self.acknowledge(event.shard, event.sequence)
            case e.DayClosed():
                assert event.day not in self.closed
                assert all(s.day > event.day for s in self.shards.values())
                self.closed[event.day] = event.totals
                assert self.totals_of(event.day) == without_zeros(event.totals)

    def totals_of(self, day: str) -> dict[str, Any]:
        """A day over all shards, zeros left out."""
        counter: Counter[Any] = Counter()
        for shard in self.shards.values():
            counter.update(shard.totals[day])
        nested: dict[str, Any] = {}
        for path, value in counter.items():
            place = nested
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = value
        totals: dict[str, Any] = without_zeros(nested)
        return totals

    # A shard's rows.

    def shard_wrote(self, number: int, day: str, records: list[ShardRecord]) -> None:
        shard = self.shards[number]
        assert day == shard.day
        for record in records:
            shard.sequence += 1
            if record.command is not None:
                self.note(f"shard-{number}", record.command, record.event)
            shard_fact(shard, record.event)
            if isinstance(record.event, e.Declined):
                self.check_decline(number, record.event)
            elif isinstance(record.event, e.Authorized) and record.event.reduced:
                self.check_reduced(number, record.event.reduced)
            for lender_id in self.line:
                point = Point(
                    shard.sequence,
                    shard.received[lender_id],
                    shard.returned[lender_id],
                    shard.free(lender_id),
                )
                assert point.free >= 0
                shard.history[lender_id].append(point)

    def check_decline(self, number: int, event: e.Declined) -> None:
        """A decline for reserve rests on a refusal that was made for this shard."""
        if event.reason is not DeclineReason.RESERVE_EXHAUSTED:
            assert event.refusal == 0
            return
        refused = self.refused[event.refusal]
        assert (refused.shard, refused.lender_id) == (number, event.lender_id)
        assert event.missing_minor > 0
        free = self.shards[number].free(event.lender_id)
        part = event.missing_minor + refused.unleased_minor + free
        if event.refusals:  # A part of it was asked for.
            self.check_refusals(number, event.refusals)
            return
        # Others may have been split meanwhile: both are within two of the quota.
        assert abs(part - refused.needed_minor) < 4

    def check_reduced(self, number: int, reduced: e.Reduced) -> None:
        """A reduction for reserve rests on refusals that were made for it."""
        if reduced.limited_by == "reserve":
            self.check_refusals(number, reduced.refusals)
            lenders = [refusal.lender_id for refusal in reduced.refusals]
            assert reduced.lender_id in lenders
        else:
            assert reduced.refusals == ()

    def check_refusals(self, number: int, refusals: tuple[e.Refusal, ...]) -> None:
        """Each was made for this shard, said this, and serves one purchase alone."""
        for refusal in refusals:
            refused = self.refused[refusal.refusal]
            assert (refused.shard, refused.lender_id) == (number, refusal.lender_id)
            assert refused.unleased_minor == refusal.headroom_minor
            assert refusal.refusal not in self.refusals_used
            self.refusals_used.add(refusal.refusal)

    def note(self, where: str, command: Any, event: e.Event) -> None:
        key = (where, (command.caller, command.request_id))
        assert key not in self.recorded  # Nothing happens twice.
        self.recorded[key] = event


def shard_fact(shard: ShardBooks, event: e.Event) -> None:
    """Add one fact to a shard's books."""
    totals = shard.totals[shard.day]
    match event:
        case e.ReferenceReceived():
            for fact in event.facts:
                if isinstance(fact, e.ProgramRegistered):
                    names = tuple(share.lender_id for share in fact.shares)
                    shard.lenders[fact.program_id, str(fact.version)] = names
        case e.SliceReceived():
            shard.received[event.lender_id] = event.received_minor
        case e.SliceReturned():
            shard.returned[event.lender_id] = event.returned_minor
        case e.Authorized():
            lenders = shard.lenders[event.program_id, str(event.program_version)]
            none = (0,) * len(lenders)
            bought = Bought(event.merchant_id, lenders, none)
            shard.purchases[event.authorization_id] = bought
            authorize(shard, bought, event.parts, 1)
            totals["authorized_count",] += 1
            if event.captured:
                capture(shard, bought, event.parts)
                claim(totals, bought, "claim_repaid_minor", event.credit_parts)
        case e.AuthorizationIncremented():
            authorize(shard, shard.purchases[event.authorization_id], event.parts, 1)
        case e.AuthorizationReversed() | e.AuthorizationExpired():
            authorize(shard, shard.purchases[event.authorization_id], event.parts, -1)
        case e.Captured():
            bought = shard.purchases[event.authorization_id]
            authorize(shard, bought, event.extra_parts, 1)
            capture(shard, bought, event.parts)
            authorize(shard, bought, event.released_parts, -1)
            claim(totals, bought, "claim_repaid_minor", event.credit_parts)
        case e.Refunded():
            bought = shard.purchases[event.authorization_id]
            for name, part in zip(bought.lenders, event.parts, strict=True):
                shard.refunded[name] += part
                totals["lenders", name, "refunded_minor"] += part
            claim(totals, bought, "claim_refunded_minor", event.principal_parts)
            totals["merchants", bought.merchant, "refunded_minor"] += event.amount_minor
            totals["merchants", bought.merchant, "refunded_count"] += 1
        case e.Repaid():
            totals["repaid_minor",] += event.amount_minor
            totals["repaid_count",] += 1
            for allocation in event.allocations:
                bought = shard.purchases[allocation.authorization_id]
                claim(totals, bought, "claim_repaid_minor", allocation.parts)
        case e.Declined():
            totals["declined_count",] += 1
        case e.DayMoved():
            assert event.day == shard.day < event.next_day
            assert event.day not in shard.last_of_day
            shard.last_of_day[event.day] = shard.sequence
            shard.day = event.next_day


def authorize(
    shard: ShardBooks, bought: Bought, parts: tuple[int, ...], sign: int
) -> None:
    for i, (name, part) in enumerate(zip(bought.lenders, parts, strict=True)):
        shard.authorized[name] += sign * part
        open_parts = list(bought.open_parts)
        open_parts[i] += sign * part
        bought.open_parts = tuple(open_parts)
    assert min(bought.open_parts) >= 0


def capture(shard: ShardBooks, bought: Bought, parts: tuple[int, ...]) -> None:
    authorize(shard, bought, parts, -1)
    totals = shard.totals[shard.day]
    for name, part in zip(bought.lenders, parts, strict=True):
        shard.captured[name] += part
        totals["lenders", name, "captured_minor"] += part
    totals["merchants", bought.merchant, "captured_minor"] += sum(parts)
    totals["merchants", bought.merchant, "captured_count"] += 1


def claim(
    totals: Counter[Any], bought: Bought, what: str, parts: tuple[int, ...]
) -> None:
    for name, part in zip(bought.lenders, parts, strict=False):
        totals["lenders", name, what] += part
