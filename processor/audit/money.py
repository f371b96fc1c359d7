"""What refunds and repayments do, as the audit reckons it.

The same contract as `purchases`: note, and return the lenders touched.
"""

from processor import events as e
from processor.audit.books import Books, Purchase
from processor.audit.merchants import charged_back
from processor.audit.purchases import Touched, lower_debt, pay
from processor.audit.withholdings import repaid_by_merchant


def refunded(books: Books, event: e.Refunded) -> Touched:
    purchase = books.purchases.get(event.authorization_id)
    if purchase is None:
        books.differ(f"authorization {event.authorization_id} does not exist.")
        return None
    lenders = purchase.lenders
    principal = event.principal_minor
    if not (
        books.is_split("the refund", event.amount_minor, event.parts, lenders)
        and books.is_split("the principal", principal, event.principal_parts, lenders)
    ):
        return None
    books.check_made_id(event.refund_id)
    if event.purchase_day != purchase.day:
        books.differ(f"it names the day {event.purchase_day}, not {purchase.day}.")
    if principal != min(event.amount_minor, purchase.outstanding_minor):
        books.differ(
            f"it lowers a debt of {purchase.outstanding_minor} by {principal}."
        )
    _give_back(books, purchase, event)
    account = books.accounts[purchase.account_id]
    lower_debt(books, account, purchase, principal, event.principal_parts)
    account.credit_minor += event.credit_minor
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return lenders


def _give_back(books: Books, purchase: Purchase, event: e.Refunded) -> None:
    purchase.refunded_minor += event.amount_minor
    for i, lender_id in enumerate(purchase.lenders):
        part = event.parts[i]
        purchase.refunded_parts[i] += part
        books.spend(lender_id, -part).refunded_minor += part
        totals = books.lender_totals(lender_id)
        totals.refunded_minor += part
        totals.claim_refunded_minor += event.principal_parts[i]
    merchant = books.merchant_totals(purchase.merchant_id)
    merchant.refunded_minor += event.amount_minor
    merchant.refunded_count += 1
    merchant.pay_out(purchase.currency, -event.amount_minor)
    charged_back(books, purchase, event.charge_back)
    _check_inverse(books, purchase)


def _check_inverse(books: Books, purchase: Purchase) -> None:
    """Never more than was captured, of no lender; the whole is exact."""
    taken, back = purchase.captured_parts, purchase.refunded_parts
    if purchase.refunded_minor > purchase.captured_minor:
        books.differ(
            f"{purchase.refunded_minor} went back of {purchase.captured_minor}."
        )
    if purchase.refunded_minor == purchase.captured_minor and back != taken:
        books.differ(f"the whole went back as {back}, it was captured as {taken}.")
    for i, part in enumerate(back):
        if part > taken[i]:
            books.differ(
                f"lender {purchase.lenders[i]} got back {part} of {taken[i]} captured."
            )
        # While captures and refunds alternate the proportion itself moves.
        off = part * purchase.captured_minor - taken[i] * purchase.refunded_minor
        if abs(off) > purchase.captured_minor and not purchase.captured_after_refund:
            books.differ(f"back to the lenders went {back}, not in proportion {taken}.")


def repaid(books: Books, event: e.Repaid) -> Touched:
    account = books.accounts.get(event.account_id)
    if account is None:
        books.differ(f"account {event.account_id} does not exist.")
        return None
    books.check_made_id(event.repayment_id)
    if account.status == "closed":
        books.differ(f"account {event.account_id} is closed, nothing may happen to it.")
    for paid in event.allocations:
        purchase = books.purchases.get(paid.authorization_id)
        if purchase is None or purchase.account_id != event.account_id:
            books.differ(f"it pays {paid.authorization_id}, none of this account.")
            return None
        if not books.is_split(
            "an allocation", paid.amount_minor, paid.parts, purchase.lenders
        ):
            return None
    for paid in event.allocations:
        purchase = books.purchases[paid.authorization_id]
        pay(books, account, purchase, paid.amount_minor, paid.parts)
    account.credit_minor += event.credit_minor
    if event.credit_minor and account.outstanding_minor:
        books.differ(f"it leaves credit while {account.outstanding_minor} is owed.")
    if event.withholding_id or event.withheld_from:
        repaid_by_merchant(books, account.currency, event)
    books.totals.repaid_minor += event.amount_minor
    books.totals.repaid_count += 1
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()
