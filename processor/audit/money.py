"""What money in and out does, as the audit reckons it.

Repayments, their return, and the borrower's credit.  The same contract as
`purchases`: note, and return the lenders touched.
"""

from processor import commands as c
from processor import events as e
from processor.audit.books import Account, Books
from processor.audit.lines import Payment
from processor.audit.overdrawn import lower_credit, owed_minor, raise_credit
from processor.audit.paying import (
    Taken,
    account_of,
    are_lines,
    check_order,
    in_order,
    not_closed,
    owed_of,
    pay,
    undo,
)
from processor.audit.purchases import Touched
from processor.audit.restored import restore_plans
from processor.audit.withholdings import repaid_by_merchant


def by_order(
    books: Books, account: Account, amount_minor: int, only: str = ""
) -> tuple[Taken, int]:
    """What an amount pays by the program's order, and what nothing is owed for."""
    program = books.current_programs[account.program_id]
    taken = in_order(program, owed_of(books, account, only), amount_minor)
    return taken, amount_minor - sum(sum(minor) for minor in taken.values())


def repaid(books: Books, event: e.Repaid) -> Touched:
    account = account_of(books, event.account_id)
    if account is None or not are_lines(books, account, event.allocations):
        return None
    not_closed(books, account)
    books.check_made_id(event.repayment_id)
    only = ""
    if isinstance(books.command, c.Repay):
        only = books.command.authorization_id
    # What was spent of a credit that was taken back is owed before all else.
    overdrawn_minor = min(event.amount_minor, owed_minor(account))
    taken, left = by_order(books, account, event.amount_minor - overdrawn_minor, only)
    check_order(books, event.allocations, taken)
    if event.credit_minor != left + overdrawn_minor:
        books.differ(
            f"{event.credit_minor} of it is credit, it is {left + overdrawn_minor}."
        )
    pay(books, account, event.allocations)
    wish = books.command
    may_bounce = isinstance(wish, c.Repay) and wish.provisional
    if event.withholding_id or event.withheld_from:
        repaid_by_merchant(books, account.currency, event)
        may_bounce = False  # The money is here already.
    if event.provisional != may_bounce:
        said, own = ("provisional", "final")[:: 1 if event.provisional else -1]
        books.differ(f"it is booked as {said}, not as {own}.")
    note_payment(books, account, event)
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()


def note_payment(
    books: Books, account: Account, event: e.Repaid | e.SettledEarly
) -> None:
    """It is counted today; while it is provisional it may be returned."""
    overdrawn = raise_credit(account, event.credit_minor)
    books.payments[event.repayment_id] = Payment(
        "repayment",
        event.account_id,
        event.amount_minor,
        event.credit_minor,
        event.allocations,
        {},
        status="provisional" if event.provisional else "final",
        overdrawn=overdrawn,
    )
    books.totals.repaid_minor += event.amount_minor
    books.totals.repaid_count += 1


def payment_of(
    books: Books, payment_id: str, kind: str, account_id: str
) -> tuple[Account, Payment] | None:
    """A payment that can still be undone or made final, and its account."""
    payment = books.payments.get(payment_id)
    if payment is None or payment.kind != kind:
        books.differ(f"there is no {kind} {payment_id}.")
        return None
    if payment.account_id != account_id:
        books.differ(f"{payment_id} is one of account {payment.account_id}.")
        return None
    if payment.status != "provisional":
        books.differ(f"{payment_id} is {payment.status} already.")
    return books.accounts[account_id], payment


def final(books: Books, event: e.RepaymentFinal) -> Touched:
    found = payment_of(books, event.repayment_id, "repayment", event.account_id)
    if found is None:
        return None
    found[1].status = "final"
    return ()


def returned(books: Books, event: e.RepaymentReturned) -> Touched:
    found = payment_of(books, event.repayment_id, "repayment", event.account_id)
    if found is None:
        return None
    account, payment = found
    if not undo(books, account, payment.allocations, event.undone):
        return None
    restore_plans(books, account, payment, event)
    check_undone(books, account, payment, event)
    books.totals.returned_minor += event.amount_minor
    books.totals.returned_count += 1
    return ()


def check_undone(
    books: Books,
    account: Account,
    payment: Payment,
    event: e.RepaymentReturned | e.ClaimReversed | e.WriteOffReversed,
) -> None:
    """The whole payment is undone: what is not owed again comes off the credit."""
    if event.amount_minor != payment.amount_minor:
        books.differ(f"it undoes {event.amount_minor} of {payment.amount_minor}.")
    credit_minor = payment.credit_minor
    credit_minor += sum(back.credit_minor for back in event.undone)
    if event.credit_minor != credit_minor:
        books.differ(f"{event.credit_minor} comes off the credit, not {credit_minor}.")
    lower_credit(books, account, event.credit_minor, payment.overdrawn)
    payment.status = "reversed"
    books.check_open_to_buy(account, event.open_to_buy_minor)


def credit_paid_out(books: Books, event: e.CreditPaidOut) -> Touched:
    account = account_of(books, event.account_id)
    if account is None:
        return None
    if account.written_off_minor:
        books.differ(f"credit is paid out, {account.written_off_minor} is given up.")
    account.credit_minor -= event.amount_minor
    if account.credit_minor != event.credit_minor or event.credit_minor < 0:
        books.differ(
            f"it leaves a credit of {event.credit_minor}, it is {account.credit_minor}."
        )
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()
