"""What a payment pays: the program's order, reckoned once more, and booked.

The order is a list of cells: past due, due or in advance, by component.  Within
a cell the earliest due date comes first, then what is owed for longest.  The
audit takes the money cell by cell and compares what each line got.
"""

from collections.abc import Sequence

import msgspec

from processor import events as e
from processor.audit.books import Account, Books, Program, Purchase
from processor.audit.lines import COMPONENTS, FEE, PRINCIPAL, Line, paid_of
from processor.audit.purchases import lower_debt
from processor.terms import Due

Key = tuple[str, int]  # A purchase and the index of one of its lines.
Taken = dict[Key, list[int]]

WHEN = (Due.PAST_DUE, Due.DUE, Due.IN_ADVANCE)


class Owed(msgspec.Struct, gc=False):
    """One unpaid line: when it is due, and what is left of each component."""

    key: Key
    line: Line
    due: Due
    left: list[int]


def is_billed(books: Books, account: Account, line: Line) -> bool:
    """Whether the charges of a line are owed already."""
    return line.bills_on < books.billed_before(account.account_id)


def owed_of(books: Books, account: Account, only: str = "") -> list[Owed]:
    """All that is unpaid now, the earliest due first; or of one purchase."""
    found = []
    for name in account.owing:
        if only and name != only:
            continue
        for index, line in enumerate(books.purchases[name].lines):
            if not is_billed(books, account, line):
                due, left = Due.IN_ADVANCE, [0, 0, 0, line.principal_minor]
            else:
                due = Due.PAST_DUE if line.due_on < books.today else Due.DUE
                left = [line.left(component) for component in range(4)]
            if any(left):
                found.append(Owed((name, index), line, due, left))
    return sorted(found, key=lambda owed: owed.line.due_on)


def in_order(program: Program, owed: Sequence[Owed], amount_minor: int) -> Taken:
    """What each line gets of an amount, cell by cell."""
    cells = [(cell.due, cell.component) for cell in program.terms.allocation]
    cells += [(due, part) for due in WHEN for part in COMPONENTS]
    taken: Taken = {}
    left_minor = amount_minor
    for due, component in cells:  # A cell that comes again finds nothing left.
        index = COMPONENTS.index(component)
        for one in owed:
            paid_minor = min(left_minor, one.left[index])
            if one.due is due and paid_minor > 0:
                one.left[index] -= paid_minor
                taken.setdefault(one.key, [0] * 4)[index] += paid_minor
                left_minor -= paid_minor
    return taken


def are_lines(
    books: Books, account: Account, allocations: Sequence[e.Allocation]
) -> bool:
    """Whether allocations are of lines there are, split by lender."""
    for paid in allocations:
        purchase = books.purchases.get(paid.authorization_id)
        if purchase is None or purchase.account_id != account.account_id:
            books.differ(f"it pays {paid.authorization_id}, none of this account.")
            return False
        if not is_line(books, paid.authorization_id, purchase, paid.line):
            return False
        lenders = purchase.lenders
        if not books.is_split("an allocation", paid.amount_minor, paid.parts, lenders):
            return False
        if (paid.charges_minor or paid.charge_parts) and not books.is_split(
            "charges", paid.charges_minor, paid.charge_parts, lenders
        ):
            return False
    return True


def is_line(books: Books, name: str, purchase: Purchase, number: int) -> bool:
    """Whether a purchase has that line; 0 is the one of a purchase without lines."""
    lowest = 0 if purchase.is_single else 1
    if purchase.lines and lowest <= number <= len(purchase.lines):
        return True
    books.differ(f"purchase {name} has no line {number}.")
    return False


def check_order(books: Books, allocations: Sequence[e.Allocation], own: Taken) -> None:
    """Every line got what the order gives it, and none twice."""
    said: Taken = {}
    for paid in allocations:
        key = (paid.authorization_id, max(0, paid.line - 1))
        if key in said:
            books.differ(f"it pays line {key[1] + 1} of {key[0]} twice.")
        said[key] = paid_of(paid)
    for key in sorted(said.keys() | own.keys()):
        of_event, of_order = said.get(key, [0] * 4), own.get(key, [0] * 4)
        if of_event != of_order:
            books.differ(
                f"line {key[1] + 1} of {key[0]} gets {_in_words(of_event)}; "
                f"by the program's order it is {_in_words(of_order)}."
            )


def _in_words(minor: Sequence[int]) -> str:
    return (
        ", ".join(
            f"{amount} {component.value}"
            for amount, component in zip(minor, COMPONENTS, strict=True)
            if amount
        )
        or "nothing"
    )


def check_part(
    books: Books,
    what: str,
    whole: Sequence[int],
    amount: int,
    parts: Sequence[int],
    moves: str = "goes to",
) -> None:
    """Parts of an amount follow a whole, each less than a unit off; all is exact."""
    total = sum(whole)
    for weight, part in zip(whole, parts, strict=True):
        if abs(part * total - weight * amount) >= max(1, total) or part > weight:
            books.differ(
                f"{what} {moves} the lenders as {list(parts)}, not in proportion "
                f"{list(whole)}."
            )
            return


def pay(
    books: Books,
    account: Account,
    allocations: Sequence[e.Allocation],
    is_remitted: bool = True,
) -> None:
    """Book allocations; what is given up is not remitted to anybody."""
    for paid in allocations:
        purchase = books.purchases[paid.authorization_id]
        line = purchase.lines[max(0, paid.line - 1)]
        for component, amount in enumerate(paid_of(paid)):
            line.paid[component] += amount
            if amount < 0 or line.left(component) < 0:
                books.differ(
                    f"it pays {amount} {COMPONENTS[component].value} of line "
                    f"{max(1, paid.line)} of {paid.authorization_id}, "
                    f"{line.left(component) + amount} was unpaid."
                )
        if is_billed(books, account, line):
            account.minimum_left_minor -= paid.total_minor
        elif paid.charges_minor:
            books.differ(f"it pays charges of {paid.authorization_id} before the bill.")
        _pay_lenders(books, purchase, paid, is_remitted)
        account.charges_minor -= paid.charges_minor
        lower_debt(books, account, purchase, paid.amount_minor, paid.parts)


def _pay_lenders(
    books: Books, purchase: Purchase, paid: e.Allocation, is_remitted: bool
) -> None:
    name, program = paid.authorization_id, books.program_of(purchase)
    claims = list(purchase.outstanding_parts)
    check_part(books, f"what is paid of {name}", claims, paid.amount_minor, paid.parts)
    if paid.charge_parts:
        books.count_split(
            program, program.charged, paid.charges_minor, paid.charge_parts, "charges "
        )
        _have_fees(purchase, fees_of(paid), 1)
    for i, lender_id in enumerate(purchase.lenders):
        totals = books.lender_totals(lender_id)
        if is_remitted:
            totals.claim_repaid_minor += paid.parts[i]
            totals.charges_minor += paid.charge_parts[i] if paid.charge_parts else 0
        else:
            totals.written_off_minor += paid.parts[i]


def earned_of(paid: e.Allocation) -> list[int]:
    """By lender, what of paid charges is interest and penalty.

    In proportion, rounded down; what is left goes to those whose next unit is due
    first while one unit after the other is earned.
    """
    earned, charges = paid.interest_minor + paid.penalty_minor, paid.charges_minor
    if not charges:
        return [0] * len(paid.charge_parts)
    parts = [part * earned // charges for part in paid.charge_parts]
    due = sorted(
        (-((parts[i] + 1) * charges // -part), i)
        for i, part in enumerate(paid.charge_parts)
        if part * earned % charges
    )
    for _, i in due[: earned - sum(parts)]:
        parts[i] += 1
    return parts


def fees_of(paid: e.Allocation) -> list[int]:
    """By lender, what of paid charges is a fee: it goes back with a refund."""
    earned = earned_of(paid)
    return [part - own for part, own in zip(paid.charge_parts, earned, strict=True)]


def _have_fees(purchase: Purchase, parts: Sequence[int], sign: int) -> None:
    if any(parts):
        had = purchase.fee_parts or [0] * len(parts)
        now = [minor + sign * part for minor, part in zip(had, parts, strict=True)]
        purchase.fee_parts = now if any(now) else []


def give_fees_back(
    books: Books, purchase: Purchase, parts: Sequence[int], amount_minor: int
) -> None:
    """Paid fees are given back by the lenders who have them, in proportion."""
    had = purchase.fee_parts or [0] * len(parts)
    check_part(books, "the fees back", had, amount_minor, parts, "come from")
    _have_fees(purchase, parts, -1)


# The inverse.


def undo(
    books: Books,
    account: Account,
    allocations: Sequence[e.Allocation],
    undone: Sequence[e.Undone],
    was_remitted: bool = True,
) -> bool:
    """Open again what was paid, unless a refund made credit of it meanwhile."""
    if len(undone) != len(allocations):
        books.differ(f"it undoes {len(undone)} of {len(allocations)} allocations.")
        return False
    for paid, back in zip(allocations, undone, strict=True):
        lenders = books.purchases[paid.authorization_id].lenders
        charges = paid.interest_minor + back.fee_minor + paid.penalty_minor
        if not books.is_split("what is undone", back.amount_minor, back.parts, lenders):
            return False
        if (charges or back.charge_parts) and not books.is_split(
            "undone charges", charges, back.charge_parts, lenders
        ):
            return False
    for paid, back in zip(allocations, undone, strict=True):
        _undo(books, account, paid, back, was_remitted)
    if account.owing:
        books.bill_from_now(account)
    return True


def _undo(
    books: Books,
    account: Account,
    paid: e.Allocation,
    back: e.Undone,
    was_remitted: bool,
) -> None:
    name = paid.authorization_id
    purchase = books.purchases[name]
    line = purchase.lines[max(0, paid.line - 1)]
    again = paid_of(paid)
    again[PRINCIPAL] = min(again[PRINCIPAL], line.paid[PRINCIPAL])
    again[FEE] = min(again[FEE], line.paid[FEE])
    said = [again[0], again[1], back.fee_minor, back.amount_minor]
    if said != again:
        books.differ(
            f"of {name} it opens {_in_words(said)} again; "
            f"what is still paid of it is {_in_words(again)}."
        )
    charges = said[0] + said[1] + said[2]
    if back.credit_minor != paid.total_minor - back.amount_minor - charges:
        books.differ(f"it takes {back.credit_minor} off the credit for {name}.")
    for component, amount in enumerate(said):
        line.paid[component] -= amount
    check_part(books, "what is undone", paid.parts, back.amount_minor, back.parts)
    if back.charge_parts:
        _undo_charges(books, purchase, paid, back)
    if line.due_on < books.today:  # Late from today on, not in hindsight.
        line.penalty_through_on = books.today - 1
        purchase.is_single = False
    if is_billed(books, account, line):
        account.minimum_left_minor += back.amount_minor + charges
    account.charges_minor += charges
    account.outstanding_minor += back.amount_minor
    purchase.outstanding_minor += back.amount_minor
    for i, part in enumerate(back.parts):
        purchase.outstanding_parts[i] += part
    if purchase.owes:
        account.owe(name, purchase.made_by)
    _not_for_lenders(books, purchase, paid, back, was_remitted)


def _undo_charges(
    books: Books, purchase: Purchase, paid: e.Allocation, back: e.Undone
) -> None:
    """Interest and penalty of whom they went to; fees of those who still have them."""
    earned = earned_of(paid)
    fees = [part - own for part, own in zip(back.charge_parts, earned, strict=True)]
    had = purchase.fee_parts or [0] * len(fees)
    own = [min(minor, part) for minor, part in zip(had, fees_of(paid), strict=True)]
    if back.fee_minor <= sum(own):
        check_part(books, "what is undone of fees", own, back.fee_minor, fees)
    elif any(a > b or a < c for a, b, c in zip(fees, had, own, strict=True)):
        books.differ(
            f"what is undone of fees comes from the lenders as {fees}, they had {had}."
        )
    _have_fees(purchase, fees, -1)


def _not_for_lenders(
    books: Books,
    purchase: Purchase,
    paid: e.Allocation,
    back: e.Undone,
    was_remitted: bool,
) -> None:
    """A payment takes back what it sent; a write-off what it counted as lost."""
    for i, lender_id in enumerate(purchase.lenders):
        totals = books.lender_totals(lender_id)
        totals.charges_minor -= back.charge_parts[i] if back.charge_parts else 0
        if was_remitted:
            totals.claim_repaid_minor -= paid.parts[i]
        else:
            totals.written_off_minor -= paid.parts[i]
            totals.charges_minor += paid.charge_parts[i] if paid.charge_parts else 0


def account_of(books: Books, account_id: str) -> Account | None:
    """An account that must exist, whatever has become of it."""
    account = books.accounts.get(account_id)
    if account is None:
        books.differ(f"account {account_id} does not exist.")
    return account


def not_closed(books: Books, account: Account) -> None:
    """A closed account takes money only for what it owes again, or has lost."""
    owes = account.owing or account.written_off_minor or account.credit_minor < 0
    if account.status == "closed" and not owes:
        books.differ(
            f"account {account.account_id} is closed, nothing may happen to it."
        )
