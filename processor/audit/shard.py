"""The audit of one shard: its journal folded again, by other hands.

Every record is checked where it stands: against its command, against the
purchases, holds and slices before it, and by double entry.  Nothing of the
machine that wrote the journal takes part.  The same object serves a journal
read from disk and rows that a living shard hands out.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from processor import events as e
from processor import limits
from processor.audit import (
    accounts,
    balances,
    ended_days,
    losses,
    money,
    plan_changes,
    purchases,
    refunds,
    reserve,
    statements,
)
from processor.audit.books import Books
from processor.audit.declines import (
    ReserveDecline,
    check_limit_decline,
    check_suspended_decline,
    check_velocity_decline,
    reserve_decline,
)
from processor.audit.explain import keep_declined
from processor.audit.postings import legs
from processor.audit.purchases import Touched
from processor.audit.requests import Requests
from processor.audit.rows import Rows, name_of
from processor.audit.velocity import VELOCITY_REASONS
from processor.declines import DeclineReason
from processor.ids import shard_of_slot, slot_of_account
from processor.journal import Batch, Identity
from processor.paged import Shelf
from processor.records import SHARD_RECORDS, ShardRecord
from processor.scratch import Scratch

# Pools' cut points wanted: (pool, sequence) → received, returned, free, leased.
Cut = tuple[int, int, int, int]


class ShardAudit:
    """One shard's journal so far; `differences` is what is wrong with it.

    With scratch, purchases and payments that are done leave memory.
    """

    def __init__(
        self,
        identity: Identity,
        keep_ms: int = limits.KEEP_ANSWERS_MS,
        scratch: Scratch | None = None,
    ) -> None:
        self.identity = identity
        self.books = Books(name_of(identity), identity.first_day)
        self.differences = self.books.differences
        self.rows = Rows(identity, self.differences)
        self.counts: Counter[str] = Counter()
        self.reserve_declines: list[ReserveDecline] = []
        self.cuts: dict[tuple[str, int], Cut] = {}
        self._wanted: dict[int, set[str]] = {}
        self._requests = Requests(keep_ms)
        self._unswept = 0  # Records since the last sweep.
        if scratch is not None:
            shelf = Shelf(scratch, identity.number)
            self.books.shelve_in(shelf, limits.AUDIT_OBJECTS_IN_MEMORY_MIN)
        self._days_end = ended_days.DaysEnd(self.books)

    def want_cut(self, lender_id: str, sequence: int) -> None:
        """Keep what the lender's slice is right after a record, once it comes."""
        assert sequence == 0 or sequence > self.books.sequence
        if sequence == 0:
            self.cuts[lender_id, 0] = (0, 0, 0, 0)
        self._wanted.setdefault(sequence, set()).add(lender_id)

    def batch(self, batch: Batch) -> None:
        """Check one row and every record in it."""
        books = self.books
        self.rows.check(batch, books.day)
        books.at_ms = batch.at_ms
        books.sequence = batch.first_sequence - 1
        try:
            records = SHARD_RECORDS.decode(batch.records)
        except msgspec.MsgspecError as error:
            self.rows.is_unreadable(batch, error)
            books.sequence = batch.last_sequence
            return
        self.rows.check_count(batch, len(records))
        day = books.day
        for record in records:
            if books.day != day:
                self.rows.day_moved_within(batch)
                day = books.day
            self._record(record)
        self._days_end.row(batch, records)
        self._unswept += len(records)
        if self._unswept >= limits.OBJECTS_SWEPT_RECORDS:
            self.books.sweep(self._unswept)
            self._unswept = 0

    def finish(self) -> None:
        """What can be said at the end: sums over all objects, and the ledger."""
        balances.check_accounts(self.books)
        balances.check_lenders(self.books)
        balances.check_programs(self.books)
        self.books.check_slices(tuple(self.books.slices))

    @property
    def trial_balance_minor(self) -> int:
        """The sum of all ledger accounts."""
        return sum(self.books.ledger.values())

    @property
    def overspend_minor(self) -> int:
        """What the slices were overspent, each at its worst."""
        return sum(lease.underrun_minor for lease in self.books.slices.values())

    def _record(self, record: ShardRecord) -> None:
        books, event = self.books, record.event
        kind = type(event)
        books.sequence += 1
        self.counts[kind.__name__] += 1
        wrong = self._requests.check(record.command, event, books.at_ms)
        if wrong:
            books.differ(wrong)
        books.command = record.command
        if record.command is not None:
            ended_days.check_ended(books, record.command)
        if isinstance(event, e.Declined):
            self._declined(record, event)
        else:
            touched = _EFFECTS[kind](books, event)
            if touched is not None:
                books.post(legs(event, books))
                books.check_slices(touched)
        if books.sequence in self._wanted:
            self._keep_cuts()
        if kind is e.AccountOpened:
            self._check_place(record)

    def _declined(self, record: ShardRecord, event: e.Declined) -> None:
        self.books.totals.declined_count += 1
        self.counts[f"Declined {event.reason.value}"] += 1
        if event.authorization_id:
            keep_declined(self.books, record.command, event)
        if event.reason is DeclineReason.CREDIT_LIMIT_EXCEEDED:
            check_limit_decline(self.books, record.command, event)
        elif event.reason in VELOCITY_REASONS:
            check_velocity_decline(self.books, record.command, event)
        elif event.reason is DeclineReason.LENDER_SUSPENDED:
            check_suspended_decline(self.books, record.command, event)
        elif event.reason in (
            DeclineReason.RESERVE_EXHAUSTED,
            DeclineReason.DAILY_CAP_EXCEEDED,
            DeclineReason.PROGRAM_CAP_EXCEEDED,
        ):
            claim = reserve_decline(
                self.books, self.identity.number, record.command, event
            )
            if claim is not None:
                self.reserve_declines.append(claim)

    def _keep_cuts(self) -> None:
        sequence = self.books.sequence
        for lender_id in self._wanted[sequence]:
            lease = self.books.slices.get(lender_id)
            if lease is not None:
                self.cuts[lender_id, sequence] = (
                    lease.received_minor,
                    lease.returned_minor,
                    lease.free_minor,
                    lease.leased_minor,
                )

    def _check_place(self, record: ShardRecord) -> None:
        event = record.event
        assert isinstance(event, e.AccountOpened)
        slot = slot_of_account(event.account_id)
        home = shard_of_slot(slot, self.identity.shard_count)
        if home != self.identity.number:
            self.books.differ(f"account {event.account_id} belongs to shard {home}.")


_EFFECTS: dict[type[e.Event], Callable[[Books, Any], Touched]] = {
    e.AccountOpened: accounts.account_opened,
    e.LimitChanged: accounts.limit_changed,
    e.TemporaryLimitSet: accounts.temporary_limit_set,
    e.TemporaryLimitEnded: accounts.temporary_limit_ended,
    e.VelocitySet: accounts.velocity_set,
    e.AccountFrozen: accounts.account_frozen,
    e.AccountUnfrozen: accounts.account_unfrozen,
    e.AccountClosed: accounts.account_closed,
    e.HoldPlaced: accounts.hold_placed,
    e.HoldIncreased: accounts.hold_increased,
    e.HoldReleased: accounts.hold_released,
    e.HoldExpired: accounts.hold_expired,
    e.Authorized: purchases.authorized,
    e.AuthorizationIncremented: purchases.incremented,
    e.Captured: purchases.captured,
    e.AuthorizationReversed: purchases.reversed_,
    e.AuthorizationExpired: purchases.expired,
    e.Refunded: refunds.refunded,
    e.Repaid: money.repaid,
    e.RepaymentFinal: money.final,
    e.RepaymentReturned: money.returned,
    e.CreditPaidOut: money.credit_paid_out,
    e.CreditUsed: statements.credit_used,
    e.StatementIssued: statements.statement_issued,
    e.PenaltyCharged: statements.penalty_charged,
    e.DueMoved: statements.due_moved,
    e.ChargesWaived: plan_changes.charges_waived,
    e.PlanExtended: plan_changes.plan_extended,
    e.SettledEarly: plan_changes.settled_early,
    e.WrittenOff: losses.written_off,
    e.WriteOffReversed: losses.write_off_reversed,
    e.RecoveryRecorded: losses.recovered,
    e.RecoveryReversed: losses.recovery_reversed,
    e.ClaimPaid: losses.claim_paid,
    e.ClaimReversed: losses.claim_reversed,
    e.AdjustmentProposed: losses.adjustment_proposed,
    e.AdjustmentApproved: losses.adjustment_approved,
    e.AdjustmentRejected: losses.adjustment_rejected,
    e.SliceReceived: reserve.slice_received,
    e.SliceReturned: reserve.slice_returned,
    e.ReferenceReceived: reserve.reference_received,
    e.DayMoved: reserve.day_moved,
    # Lenders.
    e.ForceCaptured: purchases.force_captured,
}
