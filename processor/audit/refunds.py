"""What refunds do, as the audit reckons it: to the lenders, and line by line.

The same contract as `purchases`: note, and return the lenders touched.
"""

from collections.abc import Sequence

from processor import events as e
from processor.audit.books import Account, Books, Purchase
from processor.audit.lines import FEE, PRINCIPAL
from processor.audit.merchants import charged_back, is_charge
from processor.audit.overdrawn import raise_credit
from processor.audit.paying import check_part, give_fees_back, is_billed
from processor.audit.purchases import Touched, is_borne_split, lower_debt


def refunded(books: Books, event: e.Refunded) -> Touched:
    purchase = books.purchases.get(event.authorization_id)
    if purchase is None:
        books.differ(f"authorization {event.authorization_id} does not exist.")
        return None
    if not _is_shaped(books, purchase, event) or not is_borne_split(
        books, event, purchase.lenders
    ):
        return None
    account = books.accounts[purchase.account_id]
    books.check_made_id(event.refund_id)
    if event.purchase_day != purchase.day:
        books.differ(f"it names the day {event.purchase_day}, not {purchase.day}.")
    principal = event.principal_minor
    claims = list(purchase.outstanding_parts)
    check_part(books, "the principal", claims, principal, event.principal_parts)
    _check_borne(books, purchase, event)
    if event.line_parts:
        _lower_lines(books, account, purchase, event)
    else:
        _lower_single(books, account, purchase, event)
    _give_back(books, purchase, event)
    lower_debt(books, account, purchase, principal, event.principal_parts)
    raise_credit(account, event.credit_minor + sum(event.fee_credits))
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return purchase.lenders


def _is_shaped(books: Books, purchase: Purchase, event: e.Refunded) -> bool:
    """Whether every tuple has the length it must have, and the sum."""
    lenders, principal = purchase.lenders, event.principal_minor
    if not (
        books.is_split("the refund", event.amount_minor, event.parts, lenders)
        and books.is_split("the principal", principal, event.principal_parts, lenders)
        and is_charge(books, event.charge_back)
    ):
        return False
    credit = sum(event.fee_credits)
    if (credit or event.fee_credit_parts) and not books.is_split(
        "the fees back", credit, event.fee_credit_parts, lenders
    ):
        return False
    count = 0 if purchase.is_single else len(purchase.lines)
    by_line = (
        event.line_parts,
        event.line_credits,
        event.fee_parts,
        event.fee_credits,
    )
    if [len(parts) for parts in by_line] != [count] * 4:
        books.differ(f"it has parts for other lines than the {count} there are.")
        return False
    return True


def _lower_single(
    books: Books, account: Account, purchase: Purchase, event: e.Refunded
) -> None:
    """What is unpaid falls first; the rest had been paid, and is credit."""
    principal, outstanding = event.principal_minor, purchase.outstanding_minor
    if principal != min(event.amount_minor, outstanding):
        books.differ(f"it lowers a debt of {outstanding} by {principal}.")
    if purchase.lines:
        line = purchase.lines[0]
        line.back[PRINCIPAL] += event.amount_minor
        line.paid[PRINCIPAL] -= event.amount_minor - principal
        if is_billed(books, account, line):
            account.minimum_left_minor -= principal


def _lower_lines(
    books: Books, account: Account, purchase: Purchase, event: e.Refunded
) -> None:
    """The same for each line by its part of the refund, and for its fee."""
    cut = [line.charged[PRINCIPAL] for line in purchase.lines]
    right_fees, fee_credits = _fees_back(purchase, event.amount_minor), []
    credits_ = []
    for i, line in enumerate(purchase.lines):
        part, fee = event.line_parts[i], event.fee_parts[i]
        credits_.append(max(0, part - line.principal_minor))
        fee_credits.append(max(0, fee - line.left(FEE)))
        line.back[PRINCIPAL] += part
        line.back[FEE] += fee
        line.paid[PRINCIPAL] -= event.line_credits[i]
        line.paid[FEE] -= event.fee_credits[i]
        if is_billed(books, account, line):
            account.charges_minor -= fee - event.fee_credits[i]
            ended = part - event.line_credits[i] + fee - event.fee_credits[i]
            account.minimum_left_minor -= ended
    for what, said, own in (
        ("fees", event.fee_parts, right_fees),
        ("credit by line", event.line_credits, credits_),
        ("credit of fees", event.fee_credits, fee_credits),
    ):
        if list(said) != own:
            books.differ(f"the {what} of its lines: {list(said)}, it is {own}.")
    _check_lines_back(books, purchase, cut, event)
    if event.fee_credit_parts:
        _fees_from_lenders(books, purchase, event)


def _check_lines_back(
    books: Books, purchase: Purchase, cut: Sequence[int], event: e.Refunded
) -> None:
    """Every line gives back its share of all refunds, each less than a unit off.

    None gives more than it was cut with, so when all is refunded each is exact.
    """
    back = [line.back[PRINCIPAL] for line in purchase.lines]
    refunded_minor = purchase.refunded_minor + event.amount_minor
    captured_minor = purchase.captured_minor
    if sum(event.line_parts) != event.amount_minor or min(event.line_parts) < 0:
        books.differ(f"its lines' parts are {list(event.line_parts)}.")
    if sum(event.line_credits) != event.credit_minor:
        books.differ(f"its lines' credit sums to {sum(event.line_credits)}.")
    is_moving = purchase.captured_after_refund or purchase.is_recut
    for i, part in enumerate(back):
        off = part * captured_minor - cut[i] * refunded_minor
        if part > cut[i] or (abs(off) >= captured_minor and not is_moving):
            books.differ(f"back of the lines went {back}, not in proportion {cut}.")
            return


def _fees_back(purchase: Purchase, amount_minor: int) -> list[int]:
    """What of each line's fee is to go back now: a running total, rounded down."""
    captured_minor = purchase.captured_minor
    refunded_minor = purchase.refunded_minor + amount_minor
    fees = []
    for line in purchase.lines:
        in_all = line.charged[FEE] * refunded_minor // max(1, captured_minor)
        fees.append(max(0, in_all - line.back[FEE]))
    return fees


def _fees_from_lenders(books: Books, purchase: Purchase, event: e.Refunded) -> None:
    """Paid fees are given back by the lenders who have them."""
    parts = event.fee_credit_parts
    give_fees_back(books, purchase, parts, sum(event.fee_credits))
    for i, lender_id in enumerate(purchase.lenders):
        books.lender_totals(lender_id).charges_minor -= parts[i]


def _check_borne(books: Books, purchase: Purchase, event: e.Refunded) -> None:
    """The merchant has back what he bore, in proportion, at last all of it."""
    captured_minor = max(1, purchase.captured_minor)
    refunded_minor = purchase.refunded_minor + event.amount_minor
    in_all = purchase.borne_minor * refunded_minor // captured_minor
    own = max(0, in_all - purchase.borne_back_minor)
    if event.borne_minor != own:
        books.differ(f"the merchant has {event.borne_minor} back, it is {own}.")
    purchase.borne_back_minor += event.borne_minor
    if event.borne_minor and purchase.borne_parts:
        _borne_from_lenders(books, purchase, event)


def _borne_from_lenders(books: Books, purchase: Purchase, event: e.Refunded) -> None:
    """No lender gives back more than it had; of the whole, each all it had."""
    taken, back = purchase.borne_parts, purchase.borne_back_parts
    for i, lender_id in enumerate(purchase.lenders):
        back[i] += event.borne_parts[i]
        books.lender_totals(lender_id).charges_minor -= event.borne_parts[i]
    for i in range(len(taken)):
        off = back[i] * purchase.borne_minor - taken[i] * purchase.borne_back_minor
        is_steady = not purchase.captured_after_refund
        if back[i] > taken[i] or (abs(off) > purchase.borne_minor and is_steady):
            books.differ(f"back of what was borne went {back}, it was {taken}.")
            return


def _give_back(books: Books, purchase: Purchase, event: e.Refunded) -> None:
    purchase.refunded_minor += event.amount_minor
    for i, lender_id in enumerate(purchase.lenders):
        part = event.parts[i]
        purchase.refunded_parts[i] += part
        books.spend(lender_id, -part).refunded_minor += part
        books.lend(purchase, lender_id, -min(part, purchase.lent_parts[i]))
        totals = books.lender_totals(lender_id)
        totals.refunded_minor += part
        totals.claim_refunded_minor += event.principal_parts[i]
    merchant = books.merchant_totals(purchase.merchant_id)
    merchant.refunded_minor += event.amount_minor
    merchant.refunded_count += 1
    merchant.borne_minor -= event.borne_minor
    merchant.pay_out(purchase.currency, event.borne_minor - event.amount_minor)
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
