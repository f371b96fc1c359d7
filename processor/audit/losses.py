"""What is not paid by the borrower, as the audit reckons it; and corrections.

Write-offs, recoveries, guarantors' claims, each with its reversal; adjustments,
which are proposed by one caller and approved by another.
"""

from collections.abc import Sequence

from processor import events as e
from processor.audit.books import Account, Books
from processor.audit.lines import Adjustment, Payment
from processor.audit.money import by_order, check_undone, payment_of
from processor.audit.overdrawn import lower_credit, owed_minor, raise_credit
from processor.audit.paying import (
    account_of,
    are_lines,
    check_order,
    check_part,
    not_closed,
    owed_of,
    pay,
    undo,
)
from processor.audit.purchases import Touched


def written_off(books: Books, event: e.WrittenOff) -> Touched:
    account = account_of(books, event.account_id)
    if account is None or not are_lines(books, account, event.allocations):
        return None
    books.check_made_id(event.write_off_id)
    of_lines = sum(sum(owed.left) for owed in owed_of(books, account))
    own = owed_minor(account)
    if event.amount_minor != of_lines + own or not event.amount_minor:
        books.differ(f"it gives up {event.amount_minor} of {of_lines + own} owed.")
    if event.credit_minor != own:
        books.differ(f"{event.credit_minor} overdrawn is given up, it is {own}.")
    check_order(books, event.allocations, by_order(books, account, of_lines)[0])
    pay(books, account, event.allocations, is_remitted=False)
    account.written_off_minor += event.amount_minor
    _freeze(account)
    _lose(books, account, event.allocations, 1)
    account.own_loss_minor += event.credit_minor
    books.payments[event.write_off_id] = Payment(
        "write_off",
        event.account_id,
        event.amount_minor,
        event.credit_minor,
        event.allocations,
        {},
        overdrawn=raise_credit(account, event.credit_minor),
        platform_minor=event.credit_minor,
    )
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()


def _freeze(account: Account) -> None:
    """What is closed stays closed."""
    if account.status != "closed":
        account.status = "frozen"


def _lose(
    books: Books, account: Account, allocations: Sequence[e.Allocation], sign: int
) -> None:
    """What each lender may get back by recoveries."""
    for paid in allocations:
        lenders = books.purchases[paid.authorization_id].lenders
        charges = paid.charge_parts or (0,) * len(lenders)
        for lender_id, claim, charge in zip(lenders, paid.parts, charges, strict=True):
            lost = account.lost.get(lender_id, 0)
            account.lost[lender_id] = lost + sign * (claim + charge)


def write_off_reversed(books: Books, event: e.WriteOffReversed) -> Touched:
    found = payment_of(books, event.write_off_id, "write_off", event.account_id)
    if found is None:
        return None
    account, payment = found
    if account.written_off_minor < payment.amount_minor:
        books.differ(
            f"{payment.amount_minor} is reversed, {account.written_off_minor} is given "
            "up and not recovered."
        )
    account.written_off_minor -= event.amount_minor
    _lose(books, account, payment.allocations, -1)
    account.own_loss_minor -= payment.platform_minor
    if min((account.own_loss_minor, *account.lost.values())) < 0:
        books.differ("somebody has a claim again, and keeps what he was given for it.")
    allocations = payment.allocations
    if not undo(books, account, allocations, event.undone, was_remitted=False):
        return None
    check_undone(books, account, payment, event)
    return ()


def recovered(books: Books, event: e.RecoveryRecorded) -> Touched:
    account = account_of(books, event.account_id)
    if account is None:
        return None
    not_closed(books, account)
    books.check_made_id(event.recovery_id)
    lenders = {part.lender_id: part.amount_minor for part in event.parts}
    in_all = sum(lenders.values()) + event.platform_minor
    if in_all != event.amount_minor or len(lenders) != len(event.parts):
        books.differ(f"{event.amount_minor} is recovered as {lenders}.")
    if event.amount_minor > account.written_off_minor:
        books.differ(
            f"{event.amount_minor} is recovered of {account.written_off_minor}."
        )
    names = sorted(account.lost.keys() | lenders.keys())
    lost = [max(0, account.lost.get(name, 0)) for name in names]
    lost.append(account.own_loss_minor)
    parts = [lenders.get(name, 0) for name in names] + [event.platform_minor]
    check_part(books, "what is recovered", lost, event.amount_minor, parts)
    books.payments[event.recovery_id] = Payment(
        "recovery",
        event.account_id,
        event.amount_minor,
        0,
        (),
        lenders,
        platform_minor=event.platform_minor,
    )
    _recover(books, account, books.payments[event.recovery_id], 1)
    return ()


def _recover(books: Books, account: Account, payment: Payment, sign: int) -> None:
    account.written_off_minor -= sign * payment.amount_minor
    account.own_loss_minor -= sign * payment.platform_minor
    for lender_id, part in payment.lenders.items():
        account.lost[lender_id] = account.lost.get(lender_id, 0) - sign * part
        books.lender_totals(lender_id).recovered_minor += sign * part


def recovery_reversed(books: Books, event: e.RecoveryReversed) -> Touched:
    found = payment_of(books, event.recovery_id, "recovery", event.account_id)
    if found is None:
        return None
    account, payment = found
    if event.amount_minor != payment.amount_minor:
        books.differ(f"it undoes {event.amount_minor} of {payment.amount_minor}.")
    _recover(books, account, payment, -1)
    payment.status = "reversed"
    return ()


def claim_paid(books: Books, event: e.ClaimPaid) -> Touched:
    account = account_of(books, event.account_id)
    if account is None or not are_lines(books, account, event.allocations):
        return None
    not_closed(books, account)
    books.check_made_id(event.claim_id)
    taken, left = by_order(books, account, event.amount_minor)
    if left:
        books.differ(f"the claim is {left} more than is owed.")
    check_order(books, event.allocations, taken)
    pay(books, account, event.allocations)
    _freeze(account)
    books.payments[event.claim_id] = Payment(
        "claim",
        event.account_id,
        event.amount_minor,
        0,
        event.allocations,
        {},
        event.guarantor_id,
    )
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()


def claim_reversed(books: Books, event: e.ClaimReversed) -> Touched:
    found = payment_of(books, event.claim_id, "claim", event.account_id)
    if found is None:
        return None
    account, payment = found
    if not undo(books, account, payment.allocations, event.undone):
        return None
    check_undone(books, account, payment, event)
    return ()


# Adjustments.


def adjustment_proposed(books: Books, event: e.AdjustmentProposed) -> Touched:
    account = account_of(books, event.account_id)
    if account is None:
        return None
    not_closed(books, account)
    books.check_made_id(event.adjustment_id)
    caller = books.command.caller if books.command else ""
    sign = -1 if event.side.value == "debit" else 1
    books.adjustments[event.adjustment_id] = Adjustment(
        event.account_id, sign * event.amount_minor, caller
    )
    return ()


def _proposed(books: Books, adjustment_id: str, account_id: str) -> Adjustment | None:
    adjustment = books.adjustments.get(adjustment_id)
    if adjustment is None or adjustment.account_id != account_id:
        books.differ(f"adjustment {adjustment_id} was not proposed for {account_id}.")
        return None
    if adjustment.status != "proposed":
        books.differ(f"adjustment {adjustment_id} is {adjustment.status} already.")
    return adjustment


def adjustment_approved(books: Books, event: e.AdjustmentApproved) -> Touched:
    adjustment = _proposed(books, event.adjustment_id, event.account_id)
    if adjustment is None:
        return None
    account = books.accounts[event.account_id]
    not_closed(books, account)
    if books.command is None or books.command.caller == adjustment.proposed_by:
        books.differ(f"{adjustment.proposed_by} approves what he has proposed.")
    if event.credit_minor != adjustment.credit_minor:
        books.differ(
            f"it adds {event.credit_minor}, proposed was {adjustment.credit_minor}."
        )
    adjustment.status = "approved"
    if event.credit_minor > 0:
        raise_credit(account, event.credit_minor)
    else:
        lower_credit(books, account, -event.credit_minor, {})
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()


def adjustment_rejected(books: Books, event: e.AdjustmentRejected) -> Touched:
    adjustment = _proposed(books, event.adjustment_id, event.account_id)
    if adjustment is not None:
        adjustment.status = "rejected"
    return ()
