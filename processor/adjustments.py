"""Adjustments (调账): proposed by one caller, approved by another.

The last resort for what no rule can put right: the borrower's credit balance is
raised or lowered, against the platform, with a reference to what it corrects.
"""

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.ids import IdKind, make_id
from processor.overdrawn import add_credit, take_credit
from processor.repayments import decline_money
from processor.rules import Decision, Moment, declined
from processor.state import Adjustment, AdjustmentStatus, ShardState
from processor.terms import Side


def decide_propose(
    state: ShardState, command: c.ProposeAdjustment, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    refused = decline_money(account, command.currency)
    if refused is not None:
        return refused
    assert account is not None
    return e.AdjustmentProposed(
        make_id(IdKind.ADJUSTMENT, account.slot, state.shard, state.sequence + 1),
        command.account_id,
        command.side,
        command.amount_minor,
        command.corrects,
    )


def apply_proposed(
    state: ShardState, event: e.AdjustmentProposed, command: c.ProposeAdjustment
) -> None:
    state.adjustments[event.adjustment_id] = Adjustment(
        event.account_id,
        event.side,
        event.amount_minor,
        event.corrects,
        command.reference,
        command.caller,
    )


def decide_approve(
    state: ShardState, command: c.ApproveAdjustment, moment: Moment
) -> Decision:
    adjustment = state.adjustments.get(command.adjustment_id)
    if adjustment is None:
        return declined(DeclineReason.ADJUSTMENT_NOT_FOUND)
    account = state.accounts[adjustment.account_id]
    refused = decline_money(account, account.currency)
    if refused is not None:
        return refused
    if adjustment.status is not AdjustmentStatus.PROPOSED:
        return declined(DeclineReason.ADJUSTMENT_NOT_PROPOSED)
    if adjustment.proposed_by == command.caller:
        return declined(DeclineReason.SAME_CALLER)
    is_credit = adjustment.side is Side.CREDIT
    credit_minor = adjustment.amount_minor if is_credit else -adjustment.amount_minor
    return e.AdjustmentApproved(
        command.adjustment_id,
        adjustment.account_id,
        credit_minor,
        account.open_to_buy_minor + credit_minor,
    )


def apply_approved(state: ShardState, event: e.AdjustmentApproved) -> None:
    account = state.accounts[event.account_id]
    state.adjustments[event.adjustment_id].status = AdjustmentStatus.APPROVED
    if event.credit_minor > 0:
        add_credit(state, account, event.credit_minor)
    else:
        take_credit(state, account, -event.credit_minor)
    assert account.open_to_buy_minor == event.open_to_buy_minor


def decide_reject(
    state: ShardState, command: c.RejectAdjustment, moment: Moment
) -> Decision:
    adjustment = state.adjustments.get(command.adjustment_id)
    if adjustment is None:
        return declined(DeclineReason.ADJUSTMENT_NOT_FOUND)
    if adjustment.status is not AdjustmentStatus.PROPOSED:
        return declined(DeclineReason.ADJUSTMENT_NOT_PROPOSED)
    return e.AdjustmentRejected(command.adjustment_id, adjustment.account_id)


def apply_rejected(state: ShardState, event: e.AdjustmentRejected) -> None:
    state.adjustments[event.adjustment_id].status = AdjustmentStatus.REJECTED
