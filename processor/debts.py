"""What is owed of a purchase, line by line: cut, paid, and opened again.

A purchase that is repaid with the next statement has no lines of its own until
it needs one (a plan, a second statement, a penalty): its one line follows from
the purchase, and most purchases never cost more than that.

`lines_of` looks; everything else is touched by `apply` alone and decides
nothing.
"""

from collections.abc import Sequence

from processor import limits
from processor.apportion import apportion
from processor.calendar import due_after, months_later, statement_on_or_after
from processor.events import Allocation, CutLine, Parts, Recut, Undone
from processor.rules import add, subtract
from processor.schedules import Plan, instalments
from processor.state import (
    NEVER,
    Account,
    Authorization,
    Debt,
    Line,
    MovedLine,
    Program,
    ShardState,
)


def program_of(state: ShardState, purchase: Authorization) -> Program:
    """The version of the program a purchase was split under."""
    return state.program_versions[purchase.program_id, purchase.program_version]


def bills_on(state: ShardState, account: Account) -> int:
    """The statement day of what is captured today."""
    return statement_on_or_after(state.today, account.statement_day)


def billed_before(state: ShardState, account: Account) -> int:
    """Lines that bill before this day are billed.

    That is today, but while the ends of past days are being caught up with it is
    the statement that comes next.
    """
    if account.debt is None or account.wakes_on == NEVER:
        return state.today
    return min(state.today, account.debt.next_statement_on)


Cut = tuple[int, tuple[CutLine, ...], int]


def cut_capture(
    state: ShardState,
    account: Account,
    program: Program,
    plan_id: str,
    amount_minor: int,
) -> Cut:
    """When a capture is billed, and if it is by a plan, the lines it is cut into.

    Last, what of the plan's charges the merchant bears, in minor units.
    """
    bill_on = bills_on(state, account)
    if not plan_id:
        return bill_on, (), 0
    lines, borne_minor = _cut_lines(
        account, program.plans[plan_id], bill_on, amount_minor
    )
    return bill_on, lines, borne_minor


def _cut_lines(
    account: Account, plan: Plan, first_bill_on: int, amount_minor: int
) -> tuple[tuple[CutLine, ...], int]:
    cut = instalments(plan, amount_minor)
    lines = []
    for period in cut.periods:
        on = months_later(first_bill_on, period.number - 1)
        due_on = due_after(on, account.due_day)
        lines.append(CutLine(on, due_on, period.principal_minor, period.fee_minor))
    return tuple(lines), cut.subsidy_minor


def lines_of(account: Account, purchase: Authorization) -> Sequence[Line]:
    """The lines of a purchase; of one without, the line it stands for."""
    if purchase.lines is not None:
        return purchase.lines
    return (_single_line(account, purchase),)


def _single_line(account: Account, purchase: Authorization) -> Line:
    standing_minor = purchase.captured_minor - purchase.refunded_minor
    return Line(
        purchase.bills_on,
        due_after(purchase.bills_on, account.due_day),
        purchase.captured_minor,
        refunded_minor=purchase.refunded_minor,
        paid_minor=standing_minor - purchase.outstanding_minor,
    )


def with_lines(account: Account, purchase: Authorization) -> list[Line]:
    """The lines of a purchase, which it has from now on."""
    if purchase.lines is None:
        purchase.lines = [_single_line(account, purchase)]
    return purchase.lines


def owes(purchase: Authorization) -> bool:
    """Whether anything is owed of a purchase, or will be once it is billed."""
    if purchase.outstanding_minor:
        return True
    return any(line.charges_minor for line in purchase.lines or ())


def new_lines(
    state: ShardState,
    account: Account,
    purchase: Authorization,
    amount_minor: int,
    bill_on: int,
    cut: tuple[CutLine, ...],
) -> None:
    """A capture is owed; before it is counted on the purchase itself."""
    if cut:
        if purchase.captured_minor:
            with_lines(account, purchase)
        purchase.lines = purchase.lines or []
        purchase.lines += [_line(line) for line in cut]
    elif not purchase.captured_minor:
        purchase.bills_on = bill_on
    elif purchase.lines is not None or purchase.bills_on != bill_on:
        lines = with_lines(account, purchase)
        due_on = due_after(bill_on, account.due_day)
        lines.append(Line(bill_on, due_on, amount_minor))
    wake(state, account, bill_on + 1)


def _line(cut: CutLine) -> Line:
    return Line(
        cut.bills_on,
        cut.due_on,
        cut.principal_minor,
        cut.fee_minor,
        interest_minor=cut.interest_minor,
    )


def wake(state: ShardState, account: Account, on: int) -> None:
    """Look at the account on that business day, if not before."""
    if on >= account.wakes_on:
        return
    if account.wakes_on == NEVER:
        statement_on = bills_on(state, account)
        if account.debt is None:
            account.debt = Debt(statement_on)
        account.debt.next_statement_on = statement_on
        state.in_debt[account.account_id] = None
    account.wakes_on = on


# Paying and its inverse.


def pay(
    state: ShardState, account: Account, allocations: Sequence[Allocation]
) -> tuple[int, int]:
    """Count allocations as paid; the sums of principal and of charges."""
    principal_minor = charges_minor = 0
    for paid in allocations:
        purchase = state.authorizations[paid.authorization_id]
        if purchase.lines is not None:
            _pay_line(purchase.lines[max(0, paid.line - 1)], paid)
        if paid.charges_minor:
            pay_charges(state, purchase, paid.charge_parts, 1)
            if paid.fee_minor:
                had = purchase.fee_parts or (0,) * len(paid.parts)
                purchase.fee_parts = add(had, fee_parts_of(paid))
        purchase.outstanding_minor -= paid.amount_minor
        purchase.outstanding_parts = subtract(purchase.outstanding_parts, paid.parts)
        assert purchase.outstanding_minor >= 0
        principal_minor += paid.amount_minor
        charges_minor += paid.charges_minor
        drop_if_paid(account, purchase)
    account.outstanding_minor -= principal_minor
    account.charges_minor -= charges_minor
    assert account.charges_minor >= 0
    lower_minimum(account, _billed(state, account, allocations))
    return principal_minor, charges_minor


def lower_minimum(account: Account, amount_minor: int) -> None:
    """Less is owed of what was billed: so much of the minimum is not asked any more.

    Whether it was paid, refunded, forgiven or covered by credit is all the same.
    """
    if account.debt is not None:
        account.debt.minimum_left_minor -= amount_minor


def _billed(
    state: ShardState, account: Account, allocations: Sequence[Allocation]
) -> int:
    """How much of it paid what was billed before today."""
    before = billed_before(state, account)
    billed_minor = 0
    for paid in allocations:
        purchase = state.authorizations[paid.authorization_id]
        bill_on = purchase.bills_on
        if purchase.lines is not None:
            bill_on = purchase.lines[max(0, paid.line - 1)].bills_on
        if bill_on < before:
            billed_minor += paid.total_minor
    return billed_minor


def _pay_line(line: Line, paid: Allocation) -> None:
    line.paid_minor += paid.amount_minor
    line.interest_paid_minor += paid.interest_minor
    line.fee_paid_minor += paid.fee_minor
    line.penalty_paid_minor += paid.penalty_minor
    assert line.principal_minor >= 0
    assert line.fee_minor >= 0


def unpay(
    state: ShardState,
    account: Account,
    allocations: Sequence[Allocation],
    undone: Sequence[Undone],
) -> None:
    """Open again what allocations had paid, as far as `undone` says."""
    before = billed_before(state, account)
    for paid, back in zip(allocations, undone, strict=True):
        purchase = state.authorizations[paid.authorization_id]
        was_owed = owes(purchase)
        number = max(0, paid.line - 1)
        if lines_of(account, purchase)[number].due_on < state.today:
            # Late again from today on: what was paid is not late in hindsight.
            line = with_lines(account, purchase)[number]
            line.penalty_through_on = state.today - 1
        if purchase.lines is not None:
            line = purchase.lines[number]
            line.paid_minor -= back.amount_minor
            line.interest_paid_minor -= paid.interest_minor
            line.fee_paid_minor -= back.fee_minor
            line.penalty_paid_minor -= paid.penalty_minor
            assert min(line.paid_minor, line.fee_paid_minor) >= 0
        charges_minor = paid.interest_minor + back.fee_minor + paid.penalty_minor
        if charges_minor:
            pay_charges(state, purchase, back.charge_parts, -1)
            if back.fee_minor:
                earned = earned_parts_of(paid)
                fees = zip(back.charge_parts, earned, strict=True)
                give_fees_back(purchase, tuple(part - own for part, own in fees))
        purchase.outstanding_minor += back.amount_minor
        purchase.outstanding_parts = add(purchase.outstanding_parts, back.parts)
        account.outstanding_minor += back.amount_minor
        account.charges_minor += charges_minor
        if account.debt is not None and (
            lines_of(account, purchase)[number].bills_on < before
        ):
            account.debt.minimum_left_minor += back.amount_minor + charges_minor
        if not was_owed and owes(purchase):
            take_up(account, purchase)
    if account.unpaid is not None:
        wake(state, account, state.today + 1)


def earned_parts_of(paid: Allocation) -> Parts:
    """By lender: the interest and penalty of an allocation, which no refund undoes."""
    earned_minor = paid.interest_minor + paid.penalty_minor
    none = (0,) * len(paid.charge_parts)
    return apportion(paid.charge_parts, paid.charges_minor, none, earned_minor)


def fee_parts_of(paid: Allocation) -> Parts:
    """By lender: the fee of an allocation, which a refund gives back."""
    return subtract(paid.charge_parts, earned_parts_of(paid))


def pay_charges(
    state: ShardState, purchase: Authorization, parts: Parts, sign: int
) -> None:
    """Each lender's part of charges that were paid, or paid back.

    What is paid back is an inverse of its own and does not move the carry: less
    what came back, it would not be what `apportion` has given so far.
    """
    program = program_of(state, purchase)
    if sign > 0:
        program.charge_parts = add(program.charge_parts, parts)
    for lender_id, part in zip(program.lenders, parts, strict=True):
        state.lender_totals(lender_id).charges_minor += sign * part


def borne_by(program: Program, borne_minor: int) -> Parts:
    """What each lender earns of charges that the merchant bears."""
    if not borne_minor:
        return ()
    return apportion(program.shares_ppm, limits.PPM, program.charge_parts, borne_minor)


def earn_borne(
    state: ShardState, purchase: Authorization, borne_minor: int, parts: Parts
) -> None:
    """The merchant bears charges of a capture: the lenders have them at once."""
    before = purchase.borne_parts or (0,) * len(parts)
    purchase.borne_minor += borne_minor
    purchase.borne_parts = add(before, parts)
    pay_charges(state, purchase, parts, 1)


def give_borne_back(
    state: ShardState, purchase: Authorization, borne_minor: int, parts: Parts
) -> None:
    """A refund gives the merchant back what it bore, out of the lenders' parts."""
    before = purchase.borne_back_parts or (0,) * len(parts)
    purchase.borne_back_minor += borne_minor
    purchase.borne_back_parts = add(before, parts)
    assert purchase.borne_back_minor <= purchase.borne_minor
    pay_charges(state, purchase, parts, -1)


def give_fees_back(purchase: Authorization, parts: Parts) -> None:
    """Lenders give back what they have of a purchase's fees.

    Journals may hold fees that went back by the lenders' shares: what a lender
    gave beyond his own is then missing from the others.
    """
    left = tuple(a - b for a, b in zip(purchase.fee_parts, parts, strict=True))
    if min(left) < 0:
        beyond_minor = -sum(part for part in left if part < 0)
        left = tuple(max(0, part) for part in left)
        none = (0,) * len(left)
        left = subtract(left, apportion(left, sum(left), none, beyond_minor))
    purchase.fee_parts = left if any(left) else ()


def drop_if_paid(account: Account, purchase: Authorization) -> None:
    """A purchase on which nothing is owed leaves the unpaid ones."""
    if account.unpaid is None or owes(purchase):
        return
    if purchase.authorization_id in account.unpaid:
        account.unpaid.remove(purchase.authorization_id)
        if not account.unpaid:
            account.unpaid = None


def take_up(account: Account, purchase: Authorization) -> None:
    """A purchase is owed for: it joins the unpaid ones, at the place of its age.

    So it is where it was when a repayment is returned, and the next one pays the
    same lines first.
    """
    name = purchase.authorization_id
    unpaid = account.unpaid = account.unpaid or []
    place = len(unpaid)
    while place and _age(unpaid[place - 1]) > _age(name):
        place -= 1
    unpaid.insert(place, name)


def _age(authorization_id: str) -> tuple[int, str]:
    """Ids of one account differ in their sequence alone, a hexadecimal number."""
    return len(authorization_id), authorization_id


def cut_anew(
    state: ShardState, account: Account, recut: Recut
) -> tuple[MovedLine, ...]:
    """Replace what is not billed of a purchase; what that takes off its lines.

    What was refunded or paid of an unbilled line stays as a line of its own, so
    that a refund or a return still finds it.
    """
    purchase = state.authorizations[recut.authorization_id]
    before = billed_before(state, account)
    lines = with_lines(account, purchase)
    moved = []
    for number, line in enumerate(lines, 1):
        if line.bills_on >= before:
            moved.append(MovedLine(number, line.principal_minor, line.fee_minor))
            line.cut_minor -= line.principal_minor
            line.fee_cut_minor -= line.fee_minor
    lines += [_line(cut) for cut in recut.lines]
    billed = [line for line in recut.lines if line.bills_on < before]
    charges_minor = sum(line.fee_minor + line.interest_minor for line in billed)
    account.charges_minor += charges_minor
    # No statement has asked for it: what pays it is not of the minimum.
    principal_minor = sum(line.principal_minor for line in billed)
    lower_minimum(account, -principal_minor - charges_minor)
    return tuple(moved)
