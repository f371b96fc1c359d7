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
OF_A_POOL = (
    DeclineReason.RESERVE_EXHAUSTED,
    DeclineReason.DAILY_CAP_EXCEEDED,
    DeclineReason.PROGRAM_CAP_EXCEEDED,
)


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
    key: str
    lenders: tuple[str, ...]
    open_parts: tuple[int, ...]
    program: str = ""
    lent: Counter[str] = field(default_factory=Counter)  # That counts, by lender.


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
    capped: dict[str, int] = field(default_factory=dict)  # Lender → which cap.
    caps: int = 0
    suspended: set[str] = field(default_factory=set)
    # Purchase, lender, day, which cap → what it counts.
    counts: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    used_on: Counter[tuple[str, str]] = field(default_factory=Counter)  # Pool, day.
    lent: Counter[tuple[str, str]] = field(default_factory=Counter)  # Program, lender.
    pool_of: dict[tuple[str, str], str] = field(default_factory=dict)  # The same.
    forced: Counter[str] = field(default_factory=Counter)  # Received, in all.
    held: Counter[str] = field(default_factory=Counter)  # And not returned since.

    def count(self, key: str, lender_id: str, part: int) -> None:
        """What a purchase uses of a cap today; given back, what it used today."""
        if lender_id in self.capped:
            where = (key, lender_id, self.day, self.capped[lender_id])
            change = max(part, -self.counts[where])
            self.counts[where] += change
            self.used_on[f"daily/{lender_id}", self.day] += change

    def set_cap(self, fact: e.DailyCapSet) -> None:
        if fact.daily_cap_minor is None:
            self.capped.pop(fact.lender_id, None)
            self.used_on[f"daily/{fact.lender_id}", self.day] = 0
        elif fact.lender_id not in self.capped:
            self.caps += 1
            self.capped[fact.lender_id] = self.caps

    def receive(self, event: e.SliceReceived) -> None:
        pool_id = event.pool_id
        self.received[pool_id] = event.received_minor
        more = event.forced_minor - self.forced[pool_id]
        assert more >= 0
        self.forced[pool_id] += more
        self.held[pool_id] += more

    def give_back(self, event: e.SliceReturned) -> None:
        pool_id = event.pool_id
        less = event.returned_minor - self.returned[pool_id]
        self.held[pool_id] = max(0, self.held[pool_id] - less)
        self.returned[pool_id] = event.returned_minor

    def lend(self, bought: Bought, lender_id: str, part: int) -> None:
        """More of a lender's money is out through a program, or comes back."""
        bought.lent[lender_id] += part
        assert bought.lent[lender_id] >= 0
        self.lent[bought.program, lender_id] += part
        pool_id = self.pool_of.get((bought.program, lender_id))
        if pool_id is not None and part > 0:
            assert self.free(pool_id) >= 0

    def used(self, lender_id: str) -> int:
        if lender_id.startswith("program/"):
            known = [key for key, pool in self.pool_of.items() if pool == lender_id]
            return sum(self.lent[key] for key in known)
        if lender_id.startswith("daily/"):
            return self.used_on.get((lender_id, self.day), 0)
        gone = self.captured.get(lender_id, 0) - self.refunded.get(lender_id, 0)
        return self.authorized.get(lender_id, 0) + gone

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
    today: str = ""
    cap: Counter[str] = field(default_factory=Counter)  # By pool.
    cap_on: dict[tuple[str, str], int] = field(default_factory=dict)  # Of days cut.
    in_force: dict[tuple[str, str], str] = field(default_factory=dict)  # As pool_of.
    covered: set[str] = field(default_factory=set)
    forced: Counter[str] = field(default_factory=Counter)
    repay_due: list[str] = field(default_factory=list)
    refused_on: dict[int, str] = field(default_factory=dict)
    seen: list[e.Event] = field(default_factory=list)
    movements: dict[str, e.FundsProposed] = field(default_factory=dict)
    owed: Counter[str] = field(default_factory=Counter)  # By merchant, in EUR.
    withheld: dict[str, tuple[str, int]] = field(default_factory=dict)
    ended: Counter[str] = field(default_factory=Counter)  # Withholdings.

    def __post_init__(self) -> None:
        self.today = self.first_day
        for shard in range(self.shard_count):
            self.shards[shard] = ShardBooks(day=self.first_day)

    # What must hold at every moment.

    def check(self) -> None:
        for lender_id in (*self.line, *self.cap):
            total = self.whole(lender_id)
            seen = self.unleased(lender_id)
            assert seen >= 0
            used = 0
            for number, shard in self.shards.items():
                key = (number, lender_id)
                received = shard.received.get(lender_id, 0)
                returned = shard.returned.get(lender_id, 0)
                used_here = shard.used(lender_id)
                on_its_way = self.granted.get(key, 0) - received
                on_its_way_back = returned - self.credited.get(key, 0)
                assert on_its_way >= 0
                assert on_its_way_back >= 0
                free = received - returned - used_here
                if lender_id in self.covered:
                    assert free + on_its_way >= 0
                elif not lender_id.startswith("program/"):
                    assert free >= 0
                assert used_here >= 0
                assert shard.authorized.get(lender_id, 0) >= 0
                seen += on_its_way + on_its_way_back + received - returned
                used += used_here
            assert seen == total
            assert self.deposit[lender_id] >= 0
            if lender_id in self.line:
                assert used <= total
        self.check_caps()

    def check_caps(self) -> None:
        """Never one minor unit more than the cap is authorized on one day."""
        for pool_id in self.cap:
            if pool_id in self.in_force.values() and pool_id in self.covered:
                assert self.used(pool_id) <= self.cap[pool_id]
            for day in {shard.day for shard in self.shards.values()}:
                used = sum(s.used_on[pool_id, day] for s in self.shards.values())
                # Who is late is still on a day that was cut, with the cap of then.
                assert used <= self.cap_on.get((pool_id, day), self.cap[pool_id])

    def whole(self, pool_id: str) -> int:
        if pool_id in self.cap:
            return self.cap[pool_id]
        return self.deposit[pool_id] + self.line[pool_id] + self.forced[pool_id]

    def check_nothing_on_its_way(self) -> None:
        """When all is quiet, unleased, free and used are all there is."""
        for lender_id in self.line:
            free = sum(shard.free(lender_id) for shard in self.shards.values())
            total = self.whole(lender_id)
            assert total == self.unleased(lender_id) + free + self.used(lender_id)

    def unleased(self, lender_id: str) -> int:
        leased = sum(
            self.granted.get((shard, lender_id), 0)
            - self.credited.get((shard, lender_id), 0)
            for shard in self.shards
        )
        return self.whole(lender_id) - leased

    def used(self, lender_id: str) -> int:
        return sum(shard.used(lender_id) for shard in self.shards.values())

    def headroom(self, lender_id: str) -> int:
        return self.whole(lender_id) - self.used(lender_id)

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
            case e.ProgramRegistered() | e.MerchantRegistered() | e.MerchantChanged():
                self.facts += 1
            case e.ReserveDeposited():
                self.deposit[event.lender_id] += event.amount_minor
                assert self.deposit[event.lender_id] == event.deposit_minor
                self.must_repay(event.lender_id)
            case e.ReserveWithdrawn():
                # Nothing that is used, promised or leased may go.
                assert event.amount_minor <= self.unleased(event.lender_id)
                self.deposit[event.lender_id] -= event.amount_minor
                assert self.deposit[event.lender_id] == event.deposit_minor
            case e.SliceGranted():
                key = (event.shard, event.pool_id)
                more = event.granted_minor - self.granted[key]
                assert 0 < more <= self.unleased(event.pool_id)
                if event.pool_id.startswith("program/"):
                    assert event.pool_id in self.covered
                self.granted[key] = event.granted_minor
                self.acknowledge(event.shard, event.shard_sequence)
            case e.ShardProgressed():
                assert event.sequence > self.acknowledged[event.shard]
                self.acknowledge(event.shard, event.sequence)
            case e.SliceCredited():
                key = (event.shard, event.pool_id)
                assert event.returned_minor > self.credited[key]
                self.credited[key] = event.returned_minor
                self.must_repay(event.pool_id)
            case e.ReserveRefused():
                self.check_refusal(event)
            case e.DayCut() | e.ShardDayReported() | e.DayClosed():
                self.settlement_day(day, event)
            case e.MerchantWithheld():
                due = min(event.amount_minor, max(0, self.owed[event.merchant_id]))
                assert event.withheld_minor == due
                self.owed[event.merchant_id] -= due
                if due:
                    assert event.withholding_id not in self.withheld
                    self.withheld[event.withholding_id] = (event.merchant_id, due)
            case e.WithholdingReleased():
                merchant, minor = self.withheld[event.withholding_id]
                assert (event.merchant_id, event.released_minor) == (merchant, minor)
                self.owed[merchant] += minor
                self.end(event.withholding_id)
            case e.Declined():
                self.check_withdrawal_decline(event)
            case _:
                self.lender_fact(event)

    def lender_fact(self, event: e.Event) -> None:
        """Lines, caps, what is forced, funds."""
        self.seen.append(event)
        match event:
            case e.AdvanceLineChanged():
                less = self.line[event.lender_id] - event.advance_line_minor
                assert less <= self.unleased(event.lender_id)
                self.line[event.lender_id] = event.advance_line_minor
                self.must_repay(event.lender_id)
            case e.LenderSuspended() | e.LenderResumed():
                self.facts += 1
            case e.DailyCapSet():
                self.facts += 1
                if event.daily_cap_minor is not None:
                    pool_id = f"daily/{event.lender_id}"
                    less = self.cap[pool_id] - event.daily_cap_minor
                    assert less <= self.unleased(pool_id)
                    self.cap[pool_id] = event.daily_cap_minor
            case e.ProgramCapSet():
                self.facts += 1
                capped = (event.program_id, event.lender_id)
                self.in_force.pop(capped, None)
                if event.program_cap_minor is not None:
                    assert event.pool_id not in self.cap
                    self.cap[event.pool_id] = event.program_cap_minor
                    self.in_force[capped] = event.pool_id
            case e.ProgramCapCovered():
                self.check_covered(event)
            case e.AdvanceForced():
                self.check_forced(event)
            case e.ForcedAdvanceRepaid():
                lender_id = event.lender_id
                unleased = self.unleased(lender_id)
                assert event.amount_minor == min(unleased, self.forced[lender_id]) > 0
                self.forced[lender_id] -= event.amount_minor
                assert event.forced_minor == self.forced[lender_id]
                assert self.repay_due.pop() == lender_id
            case e.FundsProposed():
                assert event.movement_id not in self.movements
                self.movements[event.movement_id] = event
            case e.FundsRejected():
                del self.movements[event.movement_id]
            case e.FundsApproved():
                proposed = self.movements.pop(event.movement_id)
                assert proposed.proposed_by != event.approved_by
                assert proposed.amount_minor == event.amount_minor
                sign = 1 if proposed.direction == "deposit" else -1
                if sign < 0:
                    assert event.amount_minor <= self.unleased(event.lender_id)
                self.deposit[event.lender_id] += sign * event.amount_minor
                assert self.deposit[event.lender_id] == event.deposit_minor
                self.must_repay(event.lender_id)

    def check_covered(self, event: e.ProgramCapCovered) -> None:
        """Every shard knows of the cap, and all that is lent out fits into it."""
        pool_id = event.pool_id
        assert pool_id in self.in_force.values()
        assert pool_id not in self.covered
        self.check_cut(pool_id, self.cap[pool_id], event.cut)
        assert -sum(min(0, p.free_minor) for p in event.cut) <= self.cap[pool_id]
        assert all(pool_id in self.shards[p.shard].pool_of.values() for p in event.cut)
        self.covered.add(pool_id)

    def must_repay(self, pool_id: str) -> None:
        """What has come free ends what was forced, before anything else."""
        assert not self.repay_due
        if self.forced[pool_id] and self.unleased(pool_id):
            self.repay_due.append(pool_id)

    def check_forced(self, event: e.AdvanceForced) -> None:
        """Only what was asked by force, and that no shard had, is forced."""
        lender_id = event.lender_id
        found = self.check_cut(lender_id, event.unleased_minor, event.cut)
        assert found < event.needed_minor
        self.check_freshness(event)
        missing = event.needed_minor - event.unleased_minor
        self.forced[lender_id] += missing
        assert event.forced_minor == self.forced[lender_id]

    def end(self, withholding_id: str) -> None:
        """A withholding ends once: as a repayment, or released."""
        self.ended[withholding_id] += 1
        assert self.ended[withholding_id] == 1

    def acknowledge(self, shard: int, sequence: int) -> None:
        """Settlement has it in writing that the shard came this far."""
        assert sequence <= self.shards[shard].sequence
        self.acknowledged[shard] = max(self.acknowledged[shard], sequence)

    def check_refusal(self, event: e.ReserveRefused) -> None:
        """All shards were looked at after the ask came, and it was not there."""
        assert event.refusal == len(self.refused) + 1
        self.refused[event.refusal] = event
        self.refused_on[event.refusal] = self.today
        found = self.check_cut(event.pool_id, event.unleased_minor, event.cut)
        assert found < event.needed_minor
        self.check_freshness(event)
        if event.pool_id.startswith("daily/"):
            # A cap is new each day: what a shard said before is no evidence.
            today = self.today
            assert all(self.day_at(p.shard, p.sequence) == today for p in event.cut)

    def day_at(self, number: int, sequence: int) -> str:
        """The day a shard was on right after a record."""
        shard = self.shards[number]
        for day, last in shard.last_of_day.items():
            if sequence < last:
                return day
        return shard.day

    def check_cut(
        self, lender_id: str, unleased: int, cut: tuple[e.CutPoint, ...]
    ) -> int:
        """Every shard was looked at, and said the truth; what there was in all."""
        assert unleased == self.unleased(lender_id)
        assert list(range(self.shard_count)) == [p.shard for p in cut]
        found = unleased
        for point in cut:
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
        return found

    def check_freshness(self, event: e.ReserveRefused | e.AdvanceForced) -> None:
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
        if event.reason in OF_A_POOL:
            refused = self.refused[event.refusal]
            assert refused.shard == -1
            missing = refused.needed_minor - refused.unleased_minor
            assert event.missing_minor == missing > 0

    def settlement_day(
        self, day: str, event: e.DayCut | e.ShardDayReported | e.DayClosed
    ) -> None:
        match event:
            case e.DayCut():
                assert event.day == day == self.today
                self.cap_on |= {(x, event.day): cap for x, cap in self.cap.items()}
                self.today = event.next_day
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
                totals = self.totals_of(event.day)
                assert totals == without_zeros(event.totals)
                for merchant, figures in totals.get("merchants", {}).items():
                    self.owed[merchant] += figures.get("payout_minor", {}).get("EUR", 0)

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
            if isinstance(record.event, e.ForceCaptured):
                self.seen.append(record.event)
            if isinstance(record.event, e.Declined):
                self.check_decline(number, record.event)
            elif isinstance(record.event, e.Authorized) and record.event.reduced:
                self.check_reduced(number, record.event.reduced)
            if isinstance(record.event, e.Repaid) and record.event.withholding_id:
                key, merchant = record.event.withholding_id, record.event.withheld_from
                assert self.withheld[key] == (merchant, record.event.amount_minor)
                self.end(key)
            for lender_id in (*self.line, *self.cap):
                point = Point(
                    shard.sequence,
                    shard.received[lender_id],
                    shard.returned[lender_id],
                    shard.free(lender_id),
                )
                if not lender_id.startswith("program/"):
                    assert point.free >= 0
                shard.history[lender_id].append(point)

    def check_decline(self, number: int, event: e.Declined) -> None:
        """A decline for reserve rests on a refusal that was made for this shard."""
        if event.reason not in OF_A_POOL:
            assert event.refusal == 0
            return
        refused = self.refused[event.refusal]
        pool_id = event.lender_id
        if event.reason is DeclineReason.DAILY_CAP_EXCEEDED:
            pool_id = f"daily/{pool_id}"
            assert self.shards[number].day == self.refused_on[event.refusal]
        if event.reason is DeclineReason.PROGRAM_CAP_EXCEEDED:
            pool_id = refused.pool_id
            assert pool_id in self.shards[number].pool_of.values()
            assert pool_id.split("/")[2] == event.lender_id
        assert (refused.shard, refused.pool_id) == (number, pool_id)
        assert event.missing_minor > 0
        free = self.shards[number].free(pool_id)
        part = event.missing_minor + self.told(refused) + free
        if event.refusals:  # A part of it was asked for.
            self.check_refusals(number, event.refusals)
            return
        # Others may have been split meanwhile: both are within two of the quota.
        assert abs(part - refused.needed_minor) < 4

    def told(self, refused: e.ReserveRefused) -> int:
        """What the asker heard there was: below zero, if the others lent too much."""
        others = [p for p in refused.cut if p.shard != refused.shard]
        return refused.unleased_minor + sum(p.free_minor for p in others)

    def check_reduced(self, number: int, reduced: e.Reduced) -> None:
        """A reduction for reserve rests on refusals that were made for it."""
        lender_id = reduced.lender_id
        pool_of = {
            "reserve": lambda pool: pool == lender_id,
            "daily_cap": lambda pool: pool == f"daily/{lender_id}",
            "program_cap": lambda pool: pool.split("/")[2:3] == [lender_id],
        }
        if reduced.limited_by in pool_of:
            self.check_refusals(number, reduced.refusals)
            pools = [refusal.pool_id for refusal in reduced.refusals]
            assert any(pool_of[reduced.limited_by](pool) for pool in pools)
        else:
            assert reduced.refusals == ()

    def check_refusals(self, number: int, refusals: tuple[e.Refusal, ...]) -> None:
        """Each was made for this shard, said this, and serves one purchase alone."""
        for refusal in refusals:
            refused = self.refused[refusal.refusal]
            assert (refused.shard, refused.pool_id) == (number, refusal.pool_id)
            if refusal.pool_id.startswith("daily/"):
                assert self.shards[number].day == self.refused_on[refusal.refusal]
            assert self.told(refused) == refusal.headroom_minor
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
                learn(shard, fact)
        case e.SliceReceived():
            shard.receive(event)
        case e.SliceReturned():
            shard.give_back(event)
        case e.Authorized():
            lenders = shard.lenders[event.program_id, str(event.program_version)]
            none = (0,) * len(lenders)
            bought = Bought(event.merchant_id, event.authorization_id, lenders, none)
            bought.program = event.program_id
            shard.purchases[event.authorization_id] = bought
            authorize(shard, bought, event.parts, 1)
            totals["authorized_count",] += 1
            if event.captured:
                capture(shard, bought, event.parts)
                charge(totals, bought, event.charge, "")
                claim(totals, bought, "claim_repaid_minor", event.credit_parts)
        case e.AuthorizationIncremented():
            authorize(shard, shard.purchases[event.authorization_id], event.parts, 1)
        case e.AuthorizationReversed() | e.AuthorizationExpired():
            authorize(shard, shard.purchases[event.authorization_id], event.parts, -1)
        case e.Captured():
            bought = shard.purchases[event.authorization_id]
            authorize(shard, bought, event.extra_parts, 1)
            capture(shard, bought, event.parts)
            charge(totals, bought, event.charge, "")
            authorize(shard, bought, event.released_parts, -1)
            claim(totals, bought, "claim_repaid_minor", event.credit_parts)
        case e.ForceCaptured():
            force(shard, event)
        case e.Refunded():
            refund(shard, event)
        case e.CreditUsed():
            for allocation in event.allocations:
                bought = shard.purchases[allocation.authorization_id]
                claim(totals, bought, "claim_repaid_minor", allocation.parts)
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


def refund(shard: ShardBooks, event: e.Refunded) -> None:
    totals = shard.totals[shard.day]
    bought, amount = shard.purchases[event.authorization_id], event.amount_minor
    for name, part in zip(bought.lenders, event.parts, strict=True):
        shard.refunded[name] += part
        shard.lend(bought, name, -min(part, bought.lent[name]))
        totals["lenders", name, "refunded_minor"] += part
    claim(totals, bought, "claim_refunded_minor", event.principal_parts)
    totals["merchants", bought.merchant, "refunded_minor"] += amount
    totals["merchants", bought.merchant, "refunded_count"] += 1
    totals["merchants", bought.merchant, "payout_minor", "EUR"] -= amount
    charge(totals, bought, event.charge_back, "_back")


def learn(shard: ShardBooks, fact: e.ReferenceFact) -> None:
    if isinstance(fact, e.ProgramRegistered):
        names = tuple(share.lender_id for share in fact.shares)
        shard.lenders[fact.program_id, str(fact.version)] = names
    elif isinstance(fact, e.DailyCapSet):
        shard.set_cap(fact)
    elif isinstance(fact, e.ProgramCapSet):
        shard.pool_of.pop((fact.program_id, fact.lender_id), None)
        if fact.program_cap_minor is not None:
            shard.pool_of[fact.program_id, fact.lender_id] = fact.pool_id
    elif isinstance(fact, e.LenderSuspended):
        shard.suspended.add(fact.lender_id)
    elif isinstance(fact, e.LenderResumed):
        shard.suspended.remove(fact.lender_id)


def force(shard: ShardBooks, event: e.ForceCaptured) -> None:
    totals = shard.totals[shard.day]
    if event.is_new:
        lenders = shard.lenders[event.program_id, str(event.program_version)]
        none = (0,) * len(lenders)
        key = event.authorization_id
        bought = Bought(event.merchant_id, key, lenders, none, event.program_id)
        shard.purchases[key] = bought
    bought = shard.purchases[event.authorization_id]
    authorize(shard, bought, event.extra_parts, 1, is_counted=False)
    capture(shard, bought, event.parts)
    charge(totals, bought, event.charge, "")
    claim(totals, bought, "claim_repaid_minor", event.credit_parts)


def authorize(
    shard: ShardBooks,
    bought: Bought,
    parts: tuple[int, ...],
    sign: int,
    is_counted: bool = True,
) -> None:
    if is_counted and sign > 0 and any(parts):
        assert not shard.suspended.intersection(bought.lenders)
    for i, (name, part) in enumerate(zip(bought.lenders, parts, strict=True)):
        if is_counted:
            shard.count(bought.key, name, sign * part)
            shard.lend(bought, name, sign * part)
        shard.authorized[name] += sign * part
        if is_counted and sign * part > 0:
            # What was raised by force is for what is captured by force.
            assert shard.free(name) >= shard.held[name]
        open_parts = list(bought.open_parts)
        open_parts[i] += sign * part
        bought.open_parts = tuple(open_parts)
    assert min(bought.open_parts) >= 0


def capture(shard: ShardBooks, bought: Bought, parts: tuple[int, ...]) -> None:
    authorize(shard, bought, parts, -1, is_counted=False)
    totals = shard.totals[shard.day]
    for name, part in zip(bought.lenders, parts, strict=True):
        shard.captured[name] += part
        totals["lenders", name, "captured_minor"] += part
    totals["merchants", bought.merchant, "captured_minor"] += sum(parts)
    totals["merchants", bought.merchant, "captured_count"] += 1
    totals["merchants", bought.merchant, "payout_minor", "EUR"] += sum(parts)


def charge(
    totals: Counter[Any], bought: Bought, charged: e.MerchantCharge | None, back: str
) -> None:
    """Count a fee and a subsidy for the merchant, the parties and the payers."""
    if charged is None:
        return
    payout = charged.subsidy_minor - charged.fee_minor
    merchant = ("merchants", bought.merchant)
    totals[(*merchant, f"fee{back}_minor")] += charged.fee_minor
    totals[(*merchant, f"subsidy{back}_minor")] += charged.subsidy_minor
    totals[(*merchant, "payout_minor", "EUR")] += -payout if back else payout
    for name, part in zip(charged.parties, charged.fee_parts, strict=True):
        totals["parties", name, "EUR", f"fee{back}_minor"] += part
    for name, part in zip(charged.payers, charged.subsidy_parts, strict=True):
        totals["payers", name, "EUR", f"subsidy{back}_minor"] += part


def claim(
    totals: Counter[Any], bought: Bought, what: str, parts: tuple[int, ...]
) -> None:
    for name, part in zip(bought.lenders, parts, strict=False):
        totals["lenders", name, what] += part
