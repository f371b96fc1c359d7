"""Decide what a command does to a shard's state, then do it.

Pure functions: no clock, no randomness, no I/O.  `decide` looks and never
touches; `apply` touches and never refuses.  A decline is an event too.  The
journal holds events, so the rules may change without rewriting history, and
recovery is `apply` alone.
"""

from collections.abc import Callable
from typing import Any

from processor import (
    accounts,
    adjustments,
    authorizations,
    billing,
    captures,
    explain,
    forced,
    holds,
    plan_changes,
    reference,
    refunds,
    repayments,
    temporary_limits,
    velocity,
    write_offs,
)
from processor import commands as c
from processor import events as e
from processor.rules import Decision, Moment
from processor.state import ShardState

Decide = Callable[[ShardState, Any, Moment], Decision]
Apply = Callable[[ShardState, Any], None]
ApplyWithCommand = Callable[[ShardState, Any, Any], None]

_DECIDE: dict[type[c.Command], Decide] = {
    c.OpenAccount: accounts.decide_open_account,
    c.ChangeLimit: accounts.decide_change_limit,
    c.SetTemporaryLimit: temporary_limits.decide_set_temporary_limit,
    c.SetVelocity: velocity.decide_set_velocity,
    c.FreezeAccount: accounts.decide_freeze_account,
    c.UnfreezeAccount: accounts.decide_unfreeze_account,
    c.CloseAccount: accounts.decide_close_account,
    c.Authorize: authorizations.decide_authorize,
    c.IncrementAuthorization: authorizations.decide_increment,
    c.CaptureAuthorization: captures.decide_capture,
    c.ReverseAuthorization: authorizations.decide_reverse,
    c.PlaceHold: holds.decide_place_hold,
    c.IncreaseHold: holds.decide_increase_hold,
    c.ReleaseHold: holds.decide_release_hold,
    c.ConvertHold: authorizations.decide_convert_hold,
    c.Refund: refunds.decide_refund,
    c.Repay: repayments.decide_repay,
    # Debts.
    c.FinalizeRepayment: repayments.decide_finalize,
    c.ReturnRepayment: repayments.decide_return,
    c.PayOutCredit: repayments.decide_pay_out,
    c.SettleEarly: plan_changes.decide_settle_early,
    c.ExtendPlan: plan_changes.decide_extend,
    c.WaiveCharges: plan_changes.decide_waive,
    c.WriteOff: write_offs.decide_write_off,
    c.ReverseWriteOff: write_offs.decide_reverse_write_off,
    c.RecordRecovery: write_offs.decide_recovery,
    c.ReverseRecovery: write_offs.decide_reverse_recovery,
    c.PayClaim: write_offs.decide_claim,
    c.ReverseClaim: write_offs.decide_reverse_claim,
    c.ProposeAdjustment: adjustments.decide_propose,
    c.ApproveAdjustment: adjustments.decide_approve,
    c.RejectAdjustment: adjustments.decide_reject,
    # Lenders.
    c.ForceCapture: forced.decide_force_capture,
}

_APPLY: dict[type[e.Event], Apply] = {
    e.AccountOpened: accounts.apply_account_opened,
    e.LimitChanged: accounts.apply_limit_changed,
    e.TemporaryLimitSet: temporary_limits.apply_temporary_limit_set,
    e.TemporaryLimitEnded: temporary_limits.apply_temporary_limit_ended,
    e.VelocitySet: velocity.apply_velocity_set,
    e.AccountFrozen: accounts.apply_account_frozen,
    e.AccountUnfrozen: accounts.apply_account_unfrozen,
    e.AccountClosed: accounts.apply_account_closed,
    e.AuthorizationIncremented: authorizations.apply_incremented,
    e.Captured: captures.apply_captured,
    e.AuthorizationReversed: authorizations.apply_reversed,
    e.AuthorizationExpired: authorizations.apply_expired,
    e.HoldIncreased: holds.apply_hold_increased,
    e.HoldReleased: holds.apply_hold_released,
    e.HoldExpired: holds.apply_hold_expired,
    e.Refunded: refunds.apply_refunded,
    e.Repaid: repayments.apply_repaid,
    # Debts.
    e.RepaymentFinal: repayments.apply_final,
    e.RepaymentReturned: repayments.apply_returned,
    e.CreditPaidOut: repayments.apply_paid_out,
    e.CreditUsed: billing.apply_credit_used,
    e.StatementIssued: billing.apply_statement_issued,
    e.PenaltyCharged: billing.apply_penalty_charged,
    e.DueMoved: billing.apply_due_moved,
    e.ChargesWaived: plan_changes.apply_waived,
    e.PlanExtended: plan_changes.apply_extended,
    e.SettledEarly: plan_changes.apply_settled_early,
    e.WrittenOff: write_offs.apply_written_off,
    e.WriteOffReversed: write_offs.apply_write_off_reversed,
    e.RecoveryRecorded: write_offs.apply_recovery,
    e.RecoveryReversed: write_offs.apply_recovery_reversed,
    e.ClaimPaid: write_offs.apply_claim_paid,
    e.ClaimReversed: write_offs.apply_claim_reversed,
    e.AdjustmentApproved: adjustments.apply_approved,
    e.AdjustmentRejected: adjustments.apply_rejected,
    e.SliceReceived: reference.apply_slice_received,
    e.SliceReturned: reference.apply_slice_returned,
    e.ReferenceReceived: reference.apply_reference_received,
    e.DayMoved: reference.apply_day_moved,
}


def _apply_declined(state: ShardState, event: Any, command: Any) -> None:
    state.totals.declined_count += 1
    if event.authorization_id:
        explain.keep_declined(state, event, command)


# What looks at the command, too: an object keeps its reference, for one.
_APPLY_WITH_COMMAND: dict[type[e.Event], ApplyWithCommand] = {
    e.Authorized: authorizations.apply_authorized,
    e.HoldPlaced: holds.apply_hold_placed,
    e.AdjustmentProposed: adjustments.apply_proposed,
    # Lenders.
    e.ForceCaptured: forced.apply_force_captured,
    e.Declined: _apply_declined,
}


def decide(state: ShardState, command: c.Command, moment: Moment) -> Decision:
    """What the command ends in; the state is not touched.

    The answer is an event (possibly a decline), or the reserve it needs and
    the slices here do not have.
    """
    return _DECIDE[type(command)](state, command, moment)


def apply(state: ShardState, event: e.Event, command: c.Command | None) -> None:
    """Make the event so.  Never refuses: an assertion here ends the shard."""
    state.sequence += 1
    kind = type(event)
    change = _APPLY_WITH_COMMAND.get(kind)
    if change is not None:
        change(state, event, command)
    else:
        _APPLY[kind](state, event)
