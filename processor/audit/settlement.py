"""The audit of settlement: reserves, leases, days and certificates, again.

At every record, for every lender: what is leased to the shards fits into
deposit and advance line.  Nothing of the machine that wrote the journal takes
part.  What only the shards' journals can prove is kept for `audit`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import msgspec

from processor import events as e
from processor import limits
from processor.audit import lenders
from processor.audit.pools import (
    Certificate,
    DailyCap,
    Lender,
    Movement,
    Pool,
    ProgramCap,
    asked_all,
)
from processor.audit.postings import reserve_legs
from processor.audit.requests import Requests
from processor.audit.reserve import add_totals, differing_totals
from processor.audit.rows import Rows, name_of
from processor.audit.withholdings import Payouts
from processor.commands import Command, WithdrawReserve
from processor.declines import DeclineReason
from processor.journal import Batch, Identity
from processor.records import SETTLEMENT_RECORDS, SettlementRecord
from processor.terms import MerchantTerms

_BRINGS_A_POOL = e.LenderRegistered | e.ProgramCapSet
SETTLEMENT_ITSELF = -1  # The asker of a withdrawal, and the like.
# After these, what was forced of a lender may have to end.
_FREES = e.ReserveDeposited | e.AdvanceLineChanged | e.SliceCredited | e.FundsApproved


class Day(msgspec.Struct):
    """A business day that was cut, and what the shards have reported of it."""

    reports: dict[int, e.ShardDayReported]
    totals: e.DayTotals
    is_closed: bool = False


class SettlementAudit:
    """Settlement's journal so far; `differences` is what is wrong with it."""

    def __init__(
        self, identity: Identity, keep_ms: int = limits.KEEP_ANSWERS_MS
    ) -> None:
        self.identity = identity
        self.differences: list[str] = []
        self.rows = Rows(identity, self.differences)
        self.counts: Counter[str] = Counter()
        self.day = identity.first_day
        self.sequence = 0
        self.lenders: dict[str, Lender] = {}
        self.caps: dict[str, DailyCap] = {}  # By pool.
        self.program_pools: dict[str, ProgramCap] = {}  # All there ever were.
        self.program_caps: dict[tuple[str, str], str] = {}  # Those in force.
        self.covers: list[Certificate] = []
        self.to_cover: list[tuple[int, str, int]] = []  # By the next records.
        self.forced: list[Certificate] = []
        self.forced_by: Counter[int] = Counter()  # Shard → minor units, in all.
        self.movements: dict[str, Movement] = {}
        self._repayment_due = ""  # The lender whose forced headroom must end now.
        self.versions: dict[str, int] = {}  # Of programs.
        self.merchants: dict[str, int] = {}  # The version of their terms.
        self.facts: list[e.ReferenceFact] = []
        self.joined: dict[int, str] = {}
        self.certificates: dict[int, Certificate] = {}
        self.grants: list[e.SliceGranted] = []
        self.progress: dict[int, e.ShardProgressed] = {}  # Of each shard, the last.
        # Sequence, pool, what was wanted of it, the decline.
        self.own_declines: list[tuple[int, str, int, e.Declined]] = []
        self.days: dict[str, Day] = {}
        self.payouts = Payouts(self.differ)
        self.ledger: defaultdict[str, int] = defaultdict(int)
        self._requests = Requests(keep_ms)
        self._at_ms = 0  # Of the present row.

    def batch(self, batch: Batch) -> None:
        """Check one row and every record in it."""
        self.rows.check(batch, self.day)
        self._at_ms = batch.at_ms
        self.sequence = batch.first_sequence - 1
        try:
            records = SETTLEMENT_RECORDS.decode(batch.records)
        except msgspec.MsgspecError as error:
            self.rows.is_unreadable(batch, error)
            self.sequence = batch.last_sequence
            return
        self.rows.check_count(batch, len(records))
        day = self.day
        for record in records:
            if self.day != day:
                self.rows.day_moved_within(batch)
                day = self.day
            self._record(record)

    @property
    def trial_balance_minor(self) -> int:
        """The sum of all ledger accounts."""
        return sum(self.ledger.values())

    @property
    def overspend_minor(self) -> int:
        """What was leased beyond deposit and line, each lender at its worst."""
        pools: tuple[Pool, ...] = (
            *self.lenders.values(),
            *self.caps.values(),
            *self.program_pools.values(),
        )
        return sum(pool.overcommitted_minor for pool in pools)

    def pool(self, pool_id: str) -> Pool | None:
        """A lender's reserve or a cap; None if there never was one."""
        return (
            self.lenders.get(pool_id)
            or self.caps.get(pool_id)
            or self.program_pools.get(pool_id)
        )

    def differ(self, text: str) -> None:
        """Note what is wrong with the present record."""
        name = name_of(self.identity)
        self.differences.append(f"{name}, record {self.sequence}: {text}")

    def _record(self, record: SettlementRecord) -> None:
        self.sequence += 1
        event = record.event
        self.counts[type(event).__name__] += 1
        wrong = self._requests.check(record.command, event, self._at_ms)
        if wrong:
            self.differ(wrong)
        self._check_repayment(event)
        lenders.check_covering(self, event)
        if isinstance(event, e.Declined):
            self._declined(record, event)
            return
        pool_id = getattr(event, "pool_id", None) or getattr(event, "lender_id", None)
        if pool_id is not None and not isinstance(event, _BRINGS_A_POOL):
            if self.pool(pool_id) is None:
                self.differ(f"lender {pool_id} is not registered.")
                return
            self._post(event)
        _EFFECTS[type(event)](self, event)
        if pool_id is not None:
            self._check_reserve(pool_id, event)

    def _post(self, event: e.Event) -> None:
        total = 0
        for name, amount in reserve_legs(event, self.lenders):
            self.ledger[name] += amount
            total += amount
        if total:
            self.differ(f"its postings sum to {total}, not to zero.")

    def _check_reserve(self, pool_id: str, event: e.Event) -> None:
        pool = self.pool(pool_id)
        if pool is None:
            return  # Noted already.
        short_minor = -pool.unleased_minor
        if short_minor > 0:
            if short_minor > pool.overcommitted_minor:
                pool.overcommitted_minor = short_minor
            self.differ(
                f"lender {pool_id} is overspent {short_minor}: {pool.leased_minor} "
                f"is leased of {pool.whole_minor}."
            )
        if isinstance(pool, Lender) and isinstance(event, _FREES):
            self._repayment_due = pool_id if lenders.owes_repayment(pool) else ""

    def _check_repayment(self, event: e.Event) -> None:
        """What has come free ends what was forced, by the very next record."""
        due, self._repayment_due = self._repayment_due, ""
        if isinstance(event, e.ForcedAdvanceRepaid) != bool(due):
            self.differ(f"what is forced of {due or 'a lender'} ends at a wrong time.")

    def _declined(self, record: SettlementRecord, event: e.Declined) -> None:
        self.counts[f"Declined {event.reason.value}"] += 1
        if event.reason not in (
            DeclineReason.RESERVE_EXHAUSTED,
            DeclineReason.DAILY_CAP_EXCEEDED,
        ):
            lenders.check_decline(self, record.command, event.reason)
            return
        command: Command | None = record.command
        wanted = lenders.wanted_of(self, command)
        if wanted is None:
            self.differ("declined for reserve what is no withdrawal.")
            return
        if event.refusal or not isinstance(command, WithdrawReserve):
            self.own_declines.append((self.sequence, *wanted, event))
            return
        deposit_minor = self.lenders[command.lender_id].deposit_minor
        if event.missing_minor != command.amount_minor - deposit_minor or (
            event.missing_minor <= 0
        ):
            self.differ(f"it declines {command.amount_minor} of {deposit_minor}.")

    # Registers and reserves.

    def _lender_registered(self, event: e.LenderRegistered) -> None:
        if event.lender_id in self.lenders:
            self.differ(f"lender {event.lender_id} is registered a second time.")
            return
        self.lenders[event.lender_id] = Lender(
            event.currency, event.advance_line_minor, event.requires_checker
        )
        self.facts.append(event)

    def _reserve_changed(self, event: e.ReserveDeposited | e.ReserveWithdrawn) -> None:
        lender = self.lenders[event.lender_id]
        if lender.requires_checker:
            self.differ(f"the deposit of {event.lender_id} moves without a checker.")
        lender.deposit_minor = event.deposit_minor
        if event.deposit_minor < 0:
            self.differ(f"the deposit of {event.lender_id} is negative.")

    def _program_registered(self, event: e.ProgramRegistered) -> None:
        lenders = [self.lenders.get(share.lender_id) for share in event.shares]
        if any(x is None or x.currency != event.currency for x in lenders):
            self.differ(f"program {event.program_id} has an unfit lender.")
        if sum(share.share_ppm for share in event.shares) != limits.PPM:
            self.differ(f"the shares of program {event.program_id} are not whole.")
        for share in event.shares:
            most_ppm = limits.PPM if event.cap_ppm is None else event.cap_ppm
            if not share.floor_ppm <= share.share_ppm <= most_ppm:
                self.differ(f"the share of {share.lender_id} breaks a floor or cap.")
        before = self.versions.get(event.program_id, 0)
        if event.version != before + 1:
            self.differ(
                f"version {event.version} of {event.program_id} after {before}."
            )
        self.versions[event.program_id] = event.version
        self.facts.append(event)

    def _merchant_registered(self, event: e.MerchantRegistered) -> None:
        if event.merchant_id in self.merchants:
            self.differ(f"merchant {event.merchant_id} is registered a second time.")
        self.merchants[event.merchant_id] = 1
        self._check_terms(event.merchant_id, event.terms)
        self.facts.append(event)

    def _merchant_changed(self, event: e.MerchantChanged) -> None:
        before = self.merchants.get(event.merchant_id, 0)
        if not before or event.version != before + 1:
            self.differ(
                f"terms {event.version} of merchant {event.merchant_id} after {before}."
            )
        self.merchants[event.merchant_id] = event.version
        self._check_terms(event.merchant_id, event.terms)
        self.facts.append(event)

    def _withheld(self, event: e.MerchantWithheld) -> None:
        if event.merchant_id not in self.merchants:
            self.differ(f"merchant {event.merchant_id} is not registered.")
        self._post(event)
        self.payouts.withheld(event)

    def _released(self, event: e.WithholdingReleased) -> None:
        self._post(event)
        self.payouts.released(event)

    def _check_terms(self, merchant_id: str, terms: MerchantTerms | None) -> None:
        """Fee shares are whole or none; nobody is named twice."""
        if terms is None:
            return
        parts = {share.party_id: share.share_ppm for share in terms.fee_shares}
        if parts and sum(parts.values()) != limits.PPM:
            self.differ(f"the fee shares of merchant {merchant_id} are not whole.")
        payers = {subsidy.payer_id for subsidy in terms.subsidies}
        if (len(parts), len(payers)) != (len(terms.fee_shares), len(terms.subsidies)):
            self.differ(f"the terms of merchant {merchant_id} name somebody twice.")

    # Leases.

    def _pool(self, pool_id: str) -> Pool:
        found = self.pool(pool_id)
        assert found is not None
        return found

    def _shard_joined(self, event: e.ShardJoined) -> None:
        if event.shard in self.joined or not (
            0 <= event.shard < self.identity.shard_count
        ):
            self.differ(f"shard {event.shard} cannot join (again).")
        self.joined[event.shard] = event.journal_id

    def _progressed(self, event: e.ShardProgressed) -> None:
        before = self.progress.get(event.shard)
        if event.shard not in self.joined:
            self.differ(f"shard {event.shard} has progressed but never joined.")
        if before is not None and event.sequence <= before.sequence:
            self.differ(f"shard {event.shard} went from {before.sequence} back.")
        self.progress[event.shard] = event

    def _granted(self, event: e.SliceGranted) -> None:
        granted = self._pool(event.pool_id).granted
        more_minor = event.granted_minor - granted.get(event.shard, 0)
        if more_minor <= 0:
            self.differ(f"what is granted of {event.pool_id} falls by {-more_minor}.")
        if event.shard not in self.joined:
            self.differ(f"shard {event.shard} is granted a slice but never joined.")
        granted[event.shard] = event.granted_minor
        self.grants.append(event)

    def _credited(self, event: e.SliceCredited) -> None:
        lender = self._pool(event.pool_id)
        more_minor = event.returned_minor - lender.credited.get(event.shard, 0)
        if more_minor <= 0:
            self.differ(f"what is credited of {event.pool_id} falls by {-more_minor}.")
        if event.returned_minor > lender.granted.get(event.shard, 0):
            self.differ(f"shard {event.shard} is credited more than it was granted.")
        lender.credited[event.shard] = event.returned_minor

    def _refused(self, event: e.ReserveRefused) -> None:
        lender = self._pool(event.pool_id)
        if event.refusal != len(self.certificates) + 1:
            self.differ(f"refusal {event.refusal} follows {len(self.certificates)}.")
        if event.unleased_minor != lender.unleased_minor:
            self.differ(
                f"the certificate says {event.unleased_minor} was unleased of "
                f"{event.pool_id}, it was {lender.unleased_minor}."
            )
        if not asked_all(event.cut, self.identity.shard_count):
            self.differ(f"certificate {event.refusal} has not asked every shard once.")
        self.certificates[event.refusal] = Certificate(
            self.sequence,
            self.day,
            event,
            dict(lender.granted),
            dict(lender.credited),
        )

    # The day.

    def _day_cut(self, event: e.DayCut) -> None:
        if event.day != self.day or event.next_day <= event.day:
            self.differ(
                f"{event.day} to {event.next_day} is cut, the day is {self.day}."
            )
        closing = [day for day, cut in self.days.items() if not cut.is_closed]
        if closing:
            self.differ(f"{event.day} is cut while {closing[0]} is not closed.")
        self.days[event.day] = Day({}, e.DayTotals())
        self.day = event.next_day

    def _day_reported(self, event: e.ShardDayReported) -> None:
        day = self.days.get(event.day)
        if day is None or day.is_closed or event.shard in day.reports:
            self.differ(f"shard {event.shard} reports {event.day} out of turn.")
            return
        day.reports[event.shard] = event
        add_totals(day.totals, event.totals)

    def _day_closed(self, event: e.DayClosed) -> None:
        day = self.days.get(event.day)
        if day is None or day.is_closed:
            self.differ(f"{event.day} is closed out of turn.")
            return
        if set(day.reports) != set(range(self.identity.shard_count)):
            self.differ(
                f"{event.day} is closed with the reports of {sorted(day.reports)}."
            )
        for text in differing_totals(event.totals, day.totals):
            self.differ(f"the totals of {event.day} have {text}.")
        day.is_closed = True
        for lender_id, totals in day.totals.lenders.items():
            lender = self.lenders.get(lender_id)
            if lender is not None:
                lender.spent_minor += totals.captured_minor - totals.refunded_minor
        self.payouts.day_closed(day.totals)


_EFFECTS: dict[type[e.Event], Callable[[SettlementAudit, Any], None]] = {
    e.LenderRegistered: SettlementAudit._lender_registered,
    e.ReserveDeposited: SettlementAudit._reserve_changed,
    e.ReserveWithdrawn: SettlementAudit._reserve_changed,
    e.ProgramRegistered: SettlementAudit._program_registered,
    e.MerchantRegistered: SettlementAudit._merchant_registered,
    e.MerchantChanged: SettlementAudit._merchant_changed,
    e.MerchantWithheld: SettlementAudit._withheld,
    e.WithholdingReleased: SettlementAudit._released,
    e.ShardJoined: SettlementAudit._shard_joined,
    e.ShardProgressed: SettlementAudit._progressed,
    e.SliceGranted: SettlementAudit._granted,
    e.SliceCredited: SettlementAudit._credited,
    e.ReserveRefused: SettlementAudit._refused,
    e.DayCut: SettlementAudit._day_cut,
    e.ShardDayReported: SettlementAudit._day_reported,
    e.DayClosed: SettlementAudit._day_closed,
    # Lenders.
    e.AdvanceLineChanged: lenders.advance_line_changed,
    e.LenderSuspended: lenders.suspension_changed,
    e.LenderResumed: lenders.suspension_changed,
    e.DailyCapSet: lenders.daily_cap_set,
    e.ProgramCapSet: lenders.program_cap_set,
    e.ProgramCapCovered: lenders.program_cap_covered,
    e.AdvanceForced: lenders.advance_forced,
    e.ForcedAdvanceRepaid: lenders.forced_repaid,
    e.FundsProposed: lenders.funds_proposed,
    e.FundsApproved: lenders.funds_approved,
    e.FundsRejected: lenders.funds_rejected,
}
