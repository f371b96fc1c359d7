"""Changes of what is not due yet: early settlement, extension, waiver.

Early settlement of a purchase, or of all, makes everything due now: the
principal, all that is billed, the interest of the running period, the fees of
all periods, and the program's fee for it, on the principal not yet billed.  The
interest of later periods is not charged.

An extension spreads the principal that is not billed yet over as many periods
as asked for, from the next statement on, as the plan's own method would cut it at
the plan's rate, for a fee on the first of them.  It adds no flat fee: those that
were agreed stay, on the first of the new periods.
"""

from processor import commands as c
from processor import events as e
from processor import limits
from processor.allocation import Owed, allocate, owed_lines
from processor.billing import bears_interest, interest_due
from processor.calendar import due_after, months_later
from processor.debts import (
    billed_before,
    bills_on,
    cut_anew,
    drop_if_paid,
    lines_of,
    lower_minimum,
    program_of,
)
from processor.declines import DeclineReason
from processor.ids import IdKind, make_id
from processor.repayments import book_repayment, decline_payment
from processor.rules import Decision, Moment, declined
from processor.schedules import schedule
from processor.state import Account, Authorization, Line, MovedPlan, ShardState
from processor.terms import Component, Due, Waivable


def _unbilled(
    state: ShardState, account: Account, purchase: Authorization
) -> list[Line]:
    before = billed_before(state, account)
    return [line for line in lines_of(account, purchase) if line.bills_on >= before]


def early_recuts(
    state: ShardState, account: Account, authorization_id: str
) -> tuple[e.Recut, ...]:
    """What is not billed of one purchase, or of all, as one line due now each."""
    recuts = []
    for name in account.unpaid or ():
        if authorization_id and name != authorization_id:
            continue
        purchase = state.authorizations[name]
        unbilled = _unbilled(state, account, purchase)
        principal_minor = sum(line.principal_minor for line in unbilled)
        fee_minor = sum(line.fee_minor for line in unbilled)
        if not principal_minor and not fee_minor:
            continue
        running_on = min(line.bills_on for line in unbilled)
        lines = lines_of(account, purchase)
        running = lines[bears_interest(lines, running_on)]
        terms = program_of(state, purchase).terms
        early_minor = principal_minor * terms.early_settlement_fee_ppm // limits.PPM
        if not purchase.plan_id:
            early_minor = 0  # It has no plan to be left early.
        cut = e.CutLine(
            billed_before(state, account) - 1,
            state.today,
            principal_minor,
            fee_minor + early_minor,
            interest_due(state, account, purchase, running),
        )
        recuts.append(e.Recut(name, (cut,)))
    return tuple(recuts)


def _bills_on(line: Line) -> int:
    return line.bills_on


def _early_owed(
    state: ShardState,
    account: Account,
    authorization_id: str,
    recuts: tuple[e.Recut, ...],
) -> list[Owed]:
    """All that is owed once the recuts are in force."""
    billed = [
        line
        for line in owed_lines(state, account, authorization_id)
        if line.due is not Due.IN_ADVANCE
    ]
    for recut in recuts:
        purchase = state.authorizations[recut.authorization_id]
        (cut,) = recut.lines
        left = {
            Component.PRINCIPAL: cut.principal_minor,
            Component.FEE: cut.fee_minor,
            Component.INTEREST: cut.interest_minor,
        }
        number = len(lines_of(account, purchase)) + 1
        billed.append(Owed(purchase, number, cut.due_on, Due.DUE, left, {}))
    return [_numbered(line) for line in billed]


def _numbered(line: Owed) -> Owed:
    line.number = line.number or 1
    return line


def quote_minor(state: ShardState, account: Account, authorization_id: str) -> int:
    """What settles one purchase, or all, today; minor units.

    All that is owed is with what the credit balance is overdrawn.
    """
    recuts = early_recuts(state, account, authorization_id)
    owed = _early_owed(state, account, authorization_id, recuts)
    overdrawn_minor = 0 if authorization_id else account.overdrawn_minor
    return overdrawn_minor + sum(sum(line.left.values()) for line in owed)


def decide_settle_early(
    state: ShardState, command: c.SettleEarly, moment: Moment
) -> Decision:
    refused = decline_payment(state, command)
    if refused is not None:
        return refused
    account = state.accounts[command.account_id]
    recuts = early_recuts(state, account, command.authorization_id)
    owed = _early_owed(state, account, command.authorization_id, recuts)
    owed_minor = sum(sum(line.left.values()) for line in owed)
    overdrawn_minor = 0 if command.authorization_id else account.overdrawn_minor
    quote = owed_minor + overdrawn_minor
    if not quote:
        return declined(DeclineReason.NOTHING_OWED)
    if command.amount_minor != quote:
        return declined(
            DeclineReason.AMOUNT_IS_NOT_THE_QUOTE, quote - command.amount_minor
        )
    allocations, left_minor = allocate(state, account, owed, owed_minor)
    assert not left_minor
    principal_minor = sum(paid.amount_minor for paid in allocations)
    return e.SettledEarly(
        command.account_id,
        make_id(IdKind.REPAYMENT, account.slot, state.shard, state.sequence + 1),
        quote,
        sum(line.fee_minor for recut in recuts for line in recut.lines),
        recuts,
        allocations,
        account.open_to_buy_minor + principal_minor + overdrawn_minor,
        command.provisional,
        overdrawn_minor,
    )


def apply_settled_early(state: ShardState, event: e.SettledEarly) -> None:
    account = state.accounts[event.account_id]
    moved = tuple([_moved(state, account, recut) for recut in event.recuts])
    book_repayment(
        state,
        account,
        event.repayment_id,
        event.amount_minor,
        event.allocations,
        event.credit_minor,
        event.provisional,
    )
    if event.provisional:
        state.payments[event.repayment_id].moved = moved
    assert account.open_to_buy_minor == event.open_to_buy_minor


def _moved(state: ShardState, account: Account, recut: e.Recut) -> MovedPlan:
    purchase = state.authorizations[recut.authorization_id]
    running = min(_unbilled(state, account, purchase), key=_bills_on)
    bears = bears_interest(lines_of(account, purchase), running.bills_on)
    lines = cut_anew(state, account, recut)
    assert purchase.lines is not None
    number = len(purchase.lines)
    return MovedPlan(recut.authorization_id, number, lines, bears + 1)


def decide_extend(state: ShardState, command: c.ExtendPlan, moment: Moment) -> Decision:
    purchase = state.authorizations.get(command.authorization_id)
    if purchase is None:
        return declined(DeclineReason.AUTHORIZATION_NOT_FOUND)
    if not purchase.captured_minor:
        return declined(DeclineReason.AUTHORIZATION_NOT_CAPTURED)
    program = program_of(state, purchase)
    plan = program.plans.get(purchase.plan_id)
    if plan is None:
        return declined(DeclineReason.NOT_BY_PLAN)
    account = state.accounts[purchase.account_id]
    unbilled = _unbilled(state, account, purchase)
    principal_minor = sum(line.principal_minor for line in unbilled)
    if not principal_minor:
        return declined(DeclineReason.NOTHING_OWED)
    kept_fee_minor = sum(line.fee_minor for line in unbilled)
    fee_minor = principal_minor * program.terms.extension_fee_ppm // limits.PPM
    periods = schedule(plan.method, command.periods, plan.rate_ppm, principal_minor)
    first_on = bills_on(state, account)
    lines = []
    for period in periods:
        on = months_later(first_on, period.number - 1)
        due_on = due_after(on, account.due_day)
        charge_minor = kept_fee_minor + fee_minor if period.number == 1 else 0
        lines.append(e.CutLine(on, due_on, period.principal_minor, charge_minor))
    recut = e.Recut(command.authorization_id, tuple(lines))
    return e.PlanExtended(
        account.account_id, command.authorization_id, fee_minor, recut
    )


def apply_extended(state: ShardState, event: e.PlanExtended) -> None:
    account = state.accounts[event.account_id]
    cut_anew(state, account, event.recut)


def decide_waive(
    state: ShardState, command: c.WaiveCharges, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if command.authorization_id:
        purchase = state.authorizations.get(command.authorization_id)
        if purchase is None or purchase.account_id != command.account_id:
            return declined(DeclineReason.PURCHASE_NOT_FOUND)
    owed = owed_lines(state, account, command.authorization_id)
    component = Component(command.charge.value)
    charged_minor = sum(line.left.get(component, 0) for line in owed)
    amount_minor = command.amount_minor or charged_minor
    if not amount_minor or amount_minor > charged_minor:
        return declined(
            DeclineReason.WAIVER_EXCEEDS_CHARGES, amount_minor - charged_minor
        )
    left_minor = amount_minor
    charges = []
    for line in owed:
        waived_minor = min(left_minor, line.left.get(component, 0))
        if waived_minor:
            number = line.number or 1
            key = line.purchase.authorization_id
            charges.append(e.LineCharge(key, number, waived_minor))
            left_minor -= waived_minor
    return e.ChargesWaived(
        command.account_id, command.charge, amount_minor, tuple(charges)
    )


def apply_waived(state: ShardState, event: e.ChargesWaived) -> None:
    account = state.accounts[event.account_id]
    for charge in event.charges:
        purchase = state.authorizations[charge.authorization_id]
        assert purchase.lines is not None
        line = purchase.lines[charge.line - 1]
        if event.charge is Waivable.PENALTY:
            line.penalty_minor -= charge.amount_minor
        else:
            line.interest_minor -= charge.amount_minor
        assert line.charges_minor >= 0
        drop_if_paid(account, purchase)
    account.charges_minor -= event.amount_minor
    lower_minimum(account, event.amount_minor)
