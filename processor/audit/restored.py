"""A bounced early settlement, as the audit reckons it: the plan goes on.

What was made one line is on its lines again.  What was refunded of that line
meanwhile is off each by its part, within a unit, and in all exactly.
"""

from processor import events as e
from processor.audit.books import Account, Books
from processor.audit.lines import (
    FEE,
    INTEREST,
    PENALTY,
    PRINCIPAL,
    Line,
    Moved,
    Payment,
)
from processor.audit.paying import check_part, is_billed


def restore_plans(
    books: Books, account: Account, payment: Payment, event: e.RepaymentReturned
) -> None:
    """Check each plan of the event and put its lines back."""
    said = {plan.authorization_id: plan for plan in event.plans}
    if said.keys() != payment.moved.keys() or len(said) != len(event.plans):
        books.differ(f"it restores {sorted(said)}, not {sorted(payment.moved)}.")
        return
    for name, plan in said.items():
        moved, purchase = payment.moved[name], books.purchases[name]
        early = purchase.lines[moved.early]
        owed_before = _billed(books, account, purchase.lines)
        charges_before = _charges(books, account, purchase.lines)
        if plan.line != moved.early + 1 or not _is_whole(books, plan, moved, early):
            books.differ(f"of {name} it restores what was not taken off.")
            return
        _put_back(books, account, purchase.lines, moved, plan)
        charges = _charges(books, account, purchase.lines) - charges_before
        if plan.charges_minor != charges:
            books.differ(
                f"restoring {name} bills {plan.charges_minor} more, it is {charges}."
            )
        account.charges_minor += charges
        owed = _billed(books, account, purchase.lines) - owed_before
        account.minimum_left_minor += owed
        if not purchase.owes:
            account.owing.pop(name, None)


def _billed(books: Books, account: Account, lines: list[Line]) -> int:
    principal = sum(x.principal_minor for x in lines if is_billed(books, account, x))
    return principal + _charges(books, account, lines)


def _charges(books: Books, account: Account, lines: list[Line]) -> int:
    return sum(x.charges_minor for x in lines if is_billed(books, account, x))


def _is_whole(books: Books, plan: e.PlanRestored, moved: Moved, early: Line) -> bool:
    """Every line has back what it gave, less its part of what was refunded."""
    principal = {back.line - 1: back.principal_minor for back in plan.lines}
    fee = {back.line - 1: back.fee_minor for back in plan.lines}
    if (principal, fee) != (moved.principal, moved.fee):
        return False
    refunded = [back.refunded_minor for back in plan.lines]
    fees_back = [back.fee_back_minor for back in plan.lines]
    own_fee = early.charged[FEE] - sum(fee.values())  # For settling early.
    fees_back.append(early.back[FEE] - sum(fees_back))
    gone = early.back[PRINCIPAL]
    check_part(books, "what is refunded", list(principal.values()), gone, refunded)
    fees = [*fee.values(), own_fee]
    check_part(books, "what is back of fees", fees, early.back[FEE], fees_back)
    return sum(refunded) == gone and min((*refunded, *fees_back)) >= 0


def _put_back(
    books: Books,
    account: Account,
    lines: list[Line],
    moved: Moved,
    plan: e.PlanRestored,
) -> None:
    early = lines[moved.early]
    for back in plan.lines:
        line = lines[back.line - 1]
        line.charged[PRINCIPAL] += back.principal_minor
        line.back[PRINCIPAL] += back.refunded_minor
        line.charged[FEE] += back.fee_minor
        line.back[FEE] += back.fee_back_minor
        is_running = back.line - 1 == moved.running and is_billed(books, account, line)
        interest = early.charged[INTEREST] if is_running else 0
        if back.interest_minor != interest:
            books.differ(f"line {back.line} has interest {back.interest_minor} back.")
        line.charged[INTEREST] += interest
        if line.due_on < books.today:  # Late from today on, not in hindsight.
            line.penalty_through_on = books.today - 1
    if any(early.paid) or early.left(PENALTY):
        books.differ(f"line {moved.early + 1} goes, it is not as it was made.")
    if moved.early + 1 == len(lines):
        lines.pop()
    else:
        lines[moved.early] = Line(
            early.bills_on, early.due_on, [0] * 4, [0] * 4, [0] * 4
        )
