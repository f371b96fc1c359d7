"""What a day's end does to an account in debt: statements, lateness, penalties.

A business day has ended when the next has begun; then, before anything else is
decided about the account, all that was due by the days that ended is recorded,
in their order.  `day_end_event` gives the next of these facts, or None.

Days between two business days (a weekend) count like all others: a statement
dated on one is issued when the next business day begins, and penalties are by
calendar days.
"""

from collections.abc import Sequence

from processor import limits
from processor.allocation import allocate, owed_lines
from processor.calendar import due_after, statement_after
from processor.debts import lines_of, pay, program_of, with_lines
from processor.events import (
    BilledLine,
    CreditUsed,
    DueMoved,
    Event,
    LineCharge,
    PenaltyCharged,
    StatementIssued,
)
from processor.overdrawn import billed_minor
from processor.repayments import count_claims
from processor.schedules import Method, Payer, interest_on
from processor.state import (
    NEVER,
    Account,
    Authorization,
    Debt,
    Line,
    Overdrawn,
    ShardState,
    Statement,
)
from processor.terms import Due


def day_end_event(state: ShardState, account: Account) -> Event | None:
    """The next thing that ended days bring to an account; None: all is done."""
    today = state.today
    debt = account.debt
    if account.wakes_on > today or debt is None or account.written_off_minor:
        return None
    if account.credit_minor > 0:
        used = _credit_used(state, account)
        if used is not None:
            return used
    through_on = min(today - 1, debt.next_statement_on)
    if debt.minimum_left_minor <= 0:
        moved = _moved(state, account, through_on)
        if moved is not None:
            return moved
    penalties = _penalties(state, _late_lines(state, account, through_on), through_on)
    if penalties:
        return PenaltyCharged(account.account_id, through_on, penalties)
    if debt.next_statement_on < today:
        return _statement(state, account, debt)
    return None


Numbered = tuple[Authorization, int, Line]


def _lines(state: ShardState, account: Account) -> list[Numbered]:
    found = []
    for name in account.unpaid or ():
        purchase = state.authorizations[name]
        for number, line in enumerate(lines_of(account, purchase), 1):
            found.append((purchase, number, line))
    return found


def _late_lines(state: ShardState, account: Account, through_on: int) -> list[Numbered]:
    """Lines with principal unpaid after their due date and the days of grace."""
    return [
        (purchase, number, line)
        for purchase, number, line in _lines(state, account)
        if line.principal_minor
        and line.due_on + program_of(state, purchase).terms.grace_days <= through_on
    ]


def _moved(state: ShardState, account: Account, through_on: int) -> DueMoved | None:
    """With the minimum paid, the lines of the last statement roll on.

    The day after they were due: days of grace are for who has not paid it.
    """
    assert account.debt is not None
    if not account.debt.statements:
        return None
    last = account.debt.statements[-1]
    terms = state.programs[account.program_id].terms
    if terms.minimum_due_ppm == limits.PPM:
        return None
    lines = tuple(
        LineCharge(purchase.authorization_id, number, line.principal_minor)
        for purchase, number, line in _lines(state, account)
        if line.principal_minor and line.due_on == last.due_on <= through_on
    )
    if not lines:
        return None
    next_due_on = due_after(account.debt.next_statement_on, account.due_day)
    return DueMoved(account.account_id, next_due_on, lines)


def _penalties(
    state: ShardState, late: list[Numbered], through_on: int
) -> tuple[LineCharge, ...]:
    charges = []
    for purchase, number, line in late:
        terms = program_of(state, purchase).terms  # As when it was bought.
        first_on = max(line.due_on + terms.grace_days, line.penalty_through_on) + 1
        days = through_on - first_on + 1
        a_day_minor = line.principal_minor * terms.penalty_ppm_per_day // limits.PPM
        if days > 0 and a_day_minor:
            charges.append(
                LineCharge(purchase.authorization_id, number, days * a_day_minor)
            )
    return tuple(charges)


def _statement(state: ShardState, account: Account, debt: Debt) -> StatementIssued:
    statement_on = debt.next_statement_on
    terms = state.programs[account.program_id].terms
    due_on = due_after(statement_on, account.due_day)
    lines = []
    past_due_minor = principal_minor = charges_minor = carried_minor = 0
    for purchase, number, line in _lines(state, account):
        if line.bills_on == statement_on:
            billed = _billed_line(state, account, purchase, number, line)
            lines.append(billed)
            principal_minor += billed.principal_minor
            charges_minor += billed.interest_minor + billed.fee_minor
        elif line.bills_on < statement_on < line.due_on:
            # The minimum was paid before: it is due once more with this one.
            principal_minor += line.principal_minor
            charges_minor += line.charges_minor
            carried_minor += line.principal_minor + line.charges_minor
        elif line.bills_on < statement_on:
            past_due_minor += line.principal_minor + line.charges_minor
    # What was billed before is late: its due day was up to this one.
    past_due_minor += billed_minor(account)
    overdrawn_minor = account.overdrawn_minor - billed_minor(account)
    credit_minor = max(0, account.credit_minor)
    owed_minor = past_due_minor + principal_minor + charges_minor + overdrawn_minor
    minimum_minor = past_due_minor + charges_minor + overdrawn_minor
    minimum_minor += -(-principal_minor * terms.minimum_due_ppm // limits.PPM)
    return StatementIssued(
        account.account_id,
        statement_on,
        due_on,
        tuple(lines),
        past_due_minor,
        max(0, owed_minor - credit_minor),
        max(0, minimum_minor - credit_minor),
        credit_minor,
        account.outstanding_minor,
        carried_minor,
        overdrawn_minor,
    )


def _billed_line(
    state: ShardState,
    account: Account,
    purchase: Authorization,
    number: int,
    line: Line,
) -> BilledLine:
    return BilledLine(
        purchase.authorization_id,
        number,
        line.principal_minor,
        line.interest_minor + interest_due(state, account, purchase, line),
        line.fee_minor,
    )


def interest_due(
    state: ShardState, account: Account, purchase: Authorization, billed: Line
) -> int:
    """A period's interest: on what is unpaid of this line and of those after it."""
    plan = program_of(state, purchase).plans.get(purchase.plan_id)
    if plan is None or plan.method is Method.FLAT_FEE or plan.payer is Payer.MERCHANT:
        return 0
    lines = lines_of(account, purchase)
    balance_minor = sum(
        line.principal_minor for line in lines if line.bills_on >= billed.bills_on
    )
    if lines[bears_interest(lines, billed.bills_on)] is not billed:
        return 0  # Several lines, billed together: the balance counts once.
    return interest_on(balance_minor, plan.rate_ppm)


def bears_interest(lines: Sequence[Line], bills_on: int) -> int:
    """The place of the line that a period's interest is charged on.

    The first with principal unpaid; the first of all if there is none.
    """
    places = [i for i, line in enumerate(lines) if line.bills_on == bills_on]
    owing = [i for i in places if lines[i].principal_minor]
    return (owing or places)[0]


def _credit_used(state: ShardState, account: Account) -> CreditUsed | None:
    """Credit pays what is billed, by the program's order."""
    owed = [
        line for line in owed_lines(state, account) if line.due is not Due.IN_ADVANCE
    ]
    allocations, left_minor = allocate(state, account, owed, account.credit_minor)
    used_minor = account.credit_minor - left_minor
    if not used_minor:
        return None
    return CreditUsed(account.account_id, used_minor, allocations)


# Touched by `apply` alone.


def apply_statement_issued(state: ShardState, event: StatementIssued) -> None:
    account = state.accounts[event.account_id]
    debt = account.debt
    assert debt is not None
    assert debt.next_statement_on == event.statement_on
    principal_minor = interest_minor = fee_minor = 0
    for billed in event.lines:
        purchase = state.authorizations[billed.authorization_id]
        if billed.interest_minor:
            line = with_lines(account, purchase)[billed.line - 1]
            line.interest_minor = billed.interest_minor
        principal_minor += billed.principal_minor
        interest_minor += billed.interest_minor
        fee_minor += billed.fee_minor
    account.charges_minor += interest_minor + fee_minor
    debt.statements.append(
        Statement(
            event.statement_on,
            event.due_on,
            principal_minor,
            interest_minor,
            fee_minor,
            event.past_due_minor,
            event.due_minor,
            event.minimum_due_minor,
            event.credit_minor,
            event.outstanding_minor,
            event.carried_minor,
            event.overdrawn_minor,
        )
    )
    del debt.statements[: -limits.STATEMENTS_PER_ACCOUNT_MAX]
    if event.overdrawn_minor:
        debt.overdrawn.append(Overdrawn(event.due_on, event.overdrawn_minor))
    # What the credit balance pays of it is still to be counted as paid.
    billed_in_all = principal_minor + interest_minor + fee_minor
    billed_in_all += event.past_due_minor + event.carried_minor + event.overdrawn_minor
    to_be_used_minor = min(event.credit_minor, billed_in_all)
    debt.minimum_left_minor = event.minimum_due_minor + to_be_used_minor
    debt.next_statement_on = statement_after(event.statement_on, account.statement_day)
    if account.unpaid is None and not account.overdrawn_minor:
        account.wakes_on = NEVER
        del state.in_debt[event.account_id]
        return
    account.wakes_on = min(debt.next_statement_on, event.due_on) + 1
    if event.past_due_minor or event.credit_minor:
        account.wakes_on = state.today


def apply_penalty_charged(state: ShardState, event: PenaltyCharged) -> None:
    account = state.accounts[event.account_id]
    for charge in event.charges:
        purchase = state.authorizations[charge.authorization_id]
        line = with_lines(account, purchase)[charge.line - 1]
        line.penalty_minor += charge.amount_minor
        line.penalty_through_on = event.through_on
        account.charges_minor += charge.amount_minor


def apply_due_moved(state: ShardState, event: DueMoved) -> None:
    account = state.accounts[event.account_id]
    for moved in event.lines:
        purchase = state.authorizations[moved.authorization_id]
        with_lines(account, purchase)[moved.line - 1].due_on = event.due_on


def apply_credit_used(state: ShardState, event: CreditUsed) -> None:
    account = state.accounts[event.account_id]
    count_claims(state, event.allocations, 1)
    pay(state, account, event.allocations)
    account.credit_minor -= event.amount_minor
    assert account.credit_minor >= 0
