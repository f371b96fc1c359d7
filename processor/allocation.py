"""What a payment pays first: the program's order, the oldest due line first.

The order is a list of cells of a matrix: past due, due or in advance, by
penalty, interest, fee or principal.  Within a cell the earliest due date comes
first, then the older purchase.  Charges are owed only once they are billed, so
in advance there is nothing but principal.
"""

import msgspec

from processor import limits
from processor.apportion import apportion
from processor.debts import (
    billed_before,
    earned_parts_of,
    fee_parts_of,
    lines_of,
    program_of,
)
from processor.events import Allocation, Parts, Undone
from processor.rules import add, subtract
from processor.state import Account, Authorization, Line, Program, ShardState
from processor.terms import DEFAULT_ALLOCATION, Bucket, Component, Due


class Owed(msgspec.Struct, gc=False):
    """One unpaid line, and what a payment takes of it."""

    purchase: Authorization
    number: int  # From 1; 0 of a purchase without lines.
    due_on: int
    due: Due
    left: dict[Component, int]
    taken: dict[Component, int]


def owed_lines(
    state: ShardState, account: Account, authorization_id: str = ""
) -> list[Owed]:
    """What is unpaid of an account, or of one purchase, the earliest due first."""
    today, before = state.today, billed_before(state, account)
    names = account.unpaid or []
    if authorization_id:
        names = [name for name in names if name == authorization_id]
    found = []
    for name in names:
        purchase = state.authorizations[name]
        numbered = purchase.lines is not None
        for number, line in enumerate(lines_of(account, purchase), 1):
            left = _unpaid(line, before)
            if left:
                due = _due(line, today, before)
                found.append(
                    Owed(
                        purchase, number if numbered else 0, line.due_on, due, left, {}
                    )
                )
    found.sort(key=_by_due_date)  # Stable: the older purchase stays first.
    return found


def _by_due_date(owed: Owed) -> int:
    return owed.due_on


def _due(line: Line, today: int, before: int) -> Due:
    if line.bills_on >= before:
        return Due.IN_ADVANCE
    return Due.PAST_DUE if line.due_on < today else Due.DUE


def _unpaid(line: Line, before: int) -> dict[Component, int]:
    left = {}
    if line.principal_minor:
        left[Component.PRINCIPAL] = line.principal_minor
    if line.bills_on < before and line.charges_minor:
        left[Component.FEE] = line.fee_minor
        left[Component.INTEREST] = line.interest_minor - line.interest_paid_minor
        left[Component.PENALTY] = line.penalty_minor - line.penalty_paid_minor
    return left


def order_of(program: Program) -> tuple[Bucket, ...]:
    """The program's order, completed by what it does not name."""
    named = program.terms.allocation
    if not named:
        return DEFAULT_ALLOCATION
    return named + tuple(cell for cell in DEFAULT_ALLOCATION if cell not in named)


def allocate(
    state: ShardState, account: Account, owed: list[Owed], amount_minor: int
) -> tuple[tuple[Allocation, ...], int]:
    """Spread an amount; the allocations, and what nothing was owed for."""
    order = order_of(state.programs[account.program_id])
    left_minor = amount_minor
    for cell in order:
        for line in owed:
            if not left_minor:
                break
            if line.due is cell.due and line.left.get(cell.component):
                paid_minor = min(left_minor, line.left[cell.component])
                line.left[cell.component] -= paid_minor
                taken = line.taken.get(cell.component, 0)
                line.taken[cell.component] = taken + paid_minor
                left_minor -= paid_minor
    return _allocations(state, owed), left_minor


def _allocations(state: ShardState, owed: list[Owed]) -> tuple[Allocation, ...]:
    """What was taken, split over the lenders.

    Several lines of one purchase draw on the same claims one after the other,
    and so do charges on the program's carry.
    """
    claims: dict[str, Parts] = {}
    carries: dict[tuple[str, int], Parts] = {}
    made = []
    for line in owed:
        if not line.taken:
            continue
        purchase = line.purchase
        key = purchase.authorization_id
        claim = claims.get(key, purchase.outstanding_parts)
        principal_minor = line.taken.get(Component.PRINCIPAL, 0)
        parts = draw_claim(claim, principal_minor)
        claims[key] = tuple(a - b for a, b in zip(claim, parts, strict=True))
        fee_minor = line.taken.get(Component.FEE, 0)
        interest_minor = line.taken.get(Component.INTEREST, 0)
        penalty_minor = line.taken.get(Component.PENALTY, 0)
        charges_minor = fee_minor + interest_minor + penalty_minor
        charge_parts: Parts = ()
        if charges_minor:
            program = program_of(state, purchase)
            version = (program.program_id, program.version)
            carry = carries.get(version, program.charge_parts)
            charge_parts = split_charges(program, carry, charges_minor)
            carries[version] = tuple(
                a + b for a, b in zip(carry, charge_parts, strict=True)
            )
        made.append(
            Allocation(
                key,
                principal_minor,
                parts,
                line.number,
                interest_minor,
                fee_minor,
                penalty_minor,
                charge_parts,
            )
        )
    return tuple(made)


def draw_claim(outstanding: Parts, amount_minor: int) -> Parts:
    """Split what is paid of a purchase by what each lender is still owed."""
    return apportion(
        outstanding, sum(outstanding), (0,) * len(outstanding), amount_minor
    )


def split_charges(program: Program, carry: Parts, amount_minor: int) -> Parts:
    """Split charges by the lenders' shares, exact over all ever paid."""
    return apportion(program.shares_ppm, limits.PPM, carry, amount_minor)


def undo(
    state: ShardState, account: Account, allocations: tuple[Allocation, ...]
) -> tuple[Undone, ...]:
    """What the inverse of a payment opens again, allocation by allocation.

    A refund may have turned some of it into credit since: so much of the line
    is not paid any more, and it is taken from the credit balance instead.
    Several allocations may have paid the same line: they are undone in order.
    """
    paid_left: dict[tuple[str, int], tuple[int, int]] = {}
    fees_left: dict[str, Parts] = {}
    undone = []
    for paid in allocations:
        purchase = state.authorizations[paid.authorization_id]
        number = max(0, paid.line - 1)
        line = lines_of(account, purchase)[number]
        key = (paid.authorization_id, number)
        principal_paid, fee_paid = paid_left.get(
            key, (line.paid_minor, line.fee_paid_minor)
        )
        again_minor = min(paid.amount_minor, principal_paid)
        fee_minor = min(paid.fee_minor, fee_paid)
        paid_left[key] = (principal_paid - again_minor, fee_paid - fee_minor)
        fees: Parts = ()
        if fee_minor:
            had = fees_left.get(paid.authorization_id, purchase.fee_parts)
            fees = _fees_undone(had, fee_parts_of(paid), fee_minor)
            fees_left[paid.authorization_id] = subtract(had, fees)
        undone.append(_undone(paid, again_minor, fee_minor, fees))
    return tuple(undone)


def _fees_undone(had: Parts, own: Parts, fee_minor: int) -> Parts:
    """Fees that lenders have not had back of them yet: of whom this payment gave.

    A refund since may have been at the cost of another lender than this payment's;
    then it is the ones that still have it who give it back.
    """
    left = tuple(map(min, own, had))
    none = (0,) * len(own)
    parts = apportion(left, sum(left), none, min(fee_minor, sum(left)))
    missing_minor = fee_minor - sum(parts)
    return add(parts, draw_claim(subtract(had, parts), missing_minor))


def _undone(paid: Allocation, again_minor: int, fee_minor: int, fees: Parts) -> Undone:
    none = (0,) * len(paid.parts)
    parts = apportion(paid.parts, paid.amount_minor, none, again_minor)
    charges_minor = paid.interest_minor + fee_minor + paid.penalty_minor
    charge_parts: Parts = ()
    if charges_minor:
        charge_parts = earned_parts_of(paid)
        if fees:
            charge_parts = add(charge_parts, fees)
    credit_minor = paid.total_minor - again_minor - charges_minor
    return Undone(again_minor, parts, fee_minor, charge_parts, credit_minor)
