"""The rules of funds movements: one caller proposes, another approves.

The caller is the owner of the API key.  Approving does the deposit or the
withdrawal, with all its rules; declined for one of them, the movement stays
proposed.  Whoever may propose may also reject, his own proposal included.
"""

from processor import commands as c
from processor import events as e
from processor import limits
from processor.declines import DeclineReason
from processor.reserves import Decided, apply_deposited, deposited, withdrawn
from processor.rules import declined
from processor.settlement_state import Movement, MovementStatus, SettlementState


def decide_propose_funds(state: SettlementState, command: c.ProposeFunds) -> e.Event:
    if command.lender_id not in state.lenders:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    if command.movement_id in state.movements:
        return declined(DeclineReason.MOVEMENT_EXISTS)
    if state.proposed_count >= limits.FUNDS_PROPOSED_MAX:
        return declined(DeclineReason.TOO_MANY_REGISTERED)
    return e.FundsProposed(
        command.movement_id,
        command.lender_id,
        command.direction,
        command.amount_minor,
        command.reference,
        command.caller,
    )


def decide_approve_funds(state: SettlementState, command: c.ApproveFunds) -> Decided:
    movement = state.movements.get(command.movement_id)
    if movement is None:
        return declined(DeclineReason.MOVEMENT_NOT_FOUND)
    if movement.status is not MovementStatus.PROPOSED:
        return declined(DeclineReason.MOVEMENT_NOT_PROPOSED)
    if movement.proposed_by == command.caller:
        return declined(DeclineReason.SAME_CALLER)
    lender = state.lenders[movement.lender_id]
    moved: Decided
    if movement.direction is c.Direction.DEPOSIT:
        moved = deposited(lender, movement.amount_minor)
    else:
        moved = withdrawn(lender, movement.amount_minor)
    if not isinstance(moved, e.ReserveDeposited | e.ReserveWithdrawn):
        return moved
    return e.FundsApproved(
        movement.movement_id,
        movement.lender_id,
        movement.direction,
        movement.amount_minor,
        moved.deposit_minor,
        command.caller,
    )


def decide_reject_funds(state: SettlementState, command: c.RejectFunds) -> e.Event:
    movement = state.movements.get(command.movement_id)
    if movement is None:
        return declined(DeclineReason.MOVEMENT_NOT_FOUND)
    if movement.status is not MovementStatus.PROPOSED:
        return declined(DeclineReason.MOVEMENT_NOT_PROPOSED)
    return e.FundsRejected(command.movement_id, command.caller)


def apply_funds_proposed(state: SettlementState, event: e.FundsProposed) -> None:
    assert event.movement_id not in state.movements
    state.movements[event.movement_id] = Movement(
        event.movement_id,
        event.lender_id,
        event.direction,
        event.amount_minor,
        event.reference,
        event.proposed_by,
        state.day,
    )
    state.proposed_count += 1


def apply_funds_approved(state: SettlementState, event: e.FundsApproved) -> None:
    _end(state, event.movement_id, MovementStatus.APPROVED, event.approved_by)
    apply_deposited(state, event)


def apply_funds_rejected(state: SettlementState, event: e.FundsRejected) -> None:
    _end(state, event.movement_id, MovementStatus.REJECTED, event.rejected_by)


def _end(
    state: SettlementState, movement_id: str, status: MovementStatus, caller: str
) -> None:
    movement = state.movements[movement_id]
    assert movement.status is MovementStatus.PROPOSED
    movement.status = status
    movement.decided_by = caller
    movement.decided_on = state.day
    state.proposed_count -= 1
