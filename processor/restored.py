"""An early settlement that bounces: the plan it had ended goes on.

The line that was to be paid early goes, with the fee for that, and its principal
and fees are back on the lines they came from.  What was refunded meanwhile is
off each of them by its part.  The interest of the running period is owed if that
period's statement has passed meanwhile; otherwise the statement will charge it.
For periods that passed while all seemed paid nothing is charged in hindsight.
"""

from processor.apportion import apportion
from processor.debts import billed_before, drop_if_paid, lower_minimum
from processor.events import LineRestored, PlanRestored
from processor.state import Account, Line, MovedPlan, Payment, ShardState


def restored_plans(
    state: ShardState, account: Account, payment: Payment
) -> tuple[PlanRestored, ...]:
    """What comes back of each plan, before the payment is undone."""
    before = billed_before(state, account)
    return tuple(_restored(state, moved, before) for moved in payment.moved)


def _restored(state: ShardState, moved: MovedPlan, before: int) -> PlanRestored:
    lines = state.authorizations[moved.authorization_id].lines
    assert lines is not None
    early = lines[moved.line - 1]
    principals = [part.principal_minor for part in moved.lines]
    fees = [part.fee_minor for part in moved.lines]
    fees.append(early.fee_cut_minor - sum(fees))  # For settling early.
    none = (0,) * len(fees)
    refunded = apportion(principals, early.cut_minor, none[1:], early.refunded_minor)
    fees_back = apportion(fees, early.fee_cut_minor, none, early.fee_back_minor)
    back = []
    charges_minor = early.fee_back_minor - early.fee_cut_minor - early.interest_minor
    for part, refunded_minor, fee_back_minor in zip(
        moved.lines, refunded, fees_back[:-1], strict=True
    ):
        is_billed = lines[part.line - 1].bills_on < before
        bears = is_billed and part.line == moved.interest_line
        interest_minor = early.interest_minor if bears else 0
        back.append(
            LineRestored(
                part.line,
                part.principal_minor,
                refunded_minor,
                part.fee_minor,
                fee_back_minor,
                interest_minor,
            )
        )
        if is_billed:
            charges_minor += part.fee_minor - fee_back_minor + interest_minor
    return PlanRestored(moved.authorization_id, moved.line, tuple(back), charges_minor)


def apply_restored(state: ShardState, account: Account, plan: PlanRestored) -> None:
    """Put the lines back; after the payment was undone."""
    purchase = state.authorizations[plan.authorization_id]
    lines = purchase.lines
    assert lines is not None
    before = billed_before(state, account)
    early = lines[plan.line - 1]
    assert (early.paid_minor, early.fee_paid_minor, early.interest_paid_minor) == (
        (0, 0, 0)
    )
    lower_minimum(account, early.principal_minor + early.charges_minor)
    for back in plan.lines:
        line = lines[back.line - 1]
        line.cut_minor += back.principal_minor
        line.refunded_minor += back.refunded_minor
        line.fee_cut_minor += back.fee_minor
        line.fee_back_minor += back.fee_back_minor
        line.interest_minor += back.interest_minor
        if line.due_on < state.today:
            line.penalty_through_on = state.today - 1  # Not late in hindsight.
        if line.bills_on < before:
            lower_minimum(account, -_left_minor(back))
    if plan.line == len(lines):
        del lines[-1]
    else:
        lines[plan.line - 1] = Line(early.bills_on, early.due_on, 0)
    account.charges_minor += plan.charges_minor
    assert account.charges_minor >= 0
    drop_if_paid(account, purchase)


def _left_minor(back: LineRestored) -> int:
    principal_minor = back.principal_minor - back.refunded_minor
    return principal_minor + back.fee_minor - back.fee_back_minor + back.interest_minor
