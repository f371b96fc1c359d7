"""At the end: what the objects say, what is posted, and what days counted.

The same sums are kept in three ways all along: on accounts and lenders, on the
purchases, holds and lines themselves, and in the ledger.  Here they meet.
"""

from collections import Counter

from processor.audit.books import Books
from processor.audit.paying import is_billed


def check_accounts(books: Books) -> None:
    """What an account occupies and owes is the sum of its objects, and as posted."""
    sums = _of_objects(books)
    for account in books.accounts.values():
        name = account.account_id
        for what, minor, posted in (
            ("holds", account.held_minor, "account_held"),
            ("has open", account.authorized_minor, "account_authorized"),
            ("owes", account.outstanding_minor, "loan"),
            ("owes charges of", account.charges_minor, "charges"),
        ):
            booked = books.ledger.get(f"{posted}:{name}", 0)
            of_objects = sums[posted, name]
            if not minor == of_objects == booked:
                books.differences.append(
                    f"{books.journal}: account {name} {what} {minor}, its objects "
                    f"sum to {of_objects}, posted is {booked}."
                )
        for what, minor, posted in (
            ("of credit", account.credit_minor, "borrower_credit"),
            ("to be recovered", -account.written_off_minor, "written_off"),
        ):
            if minor != -books.ledger.get(f"{posted}:{name}", 0):
                books.differences.append(
                    f"{books.journal}: account {name} has {abs(minor)} {what}, "
                    "which is not what is posted."
                )


def _of_objects(books: Books) -> Counter[tuple[str, str]]:
    """Sums by ledger account and account id."""
    sums: Counter[tuple[str, str]] = Counter()
    for hold in books.holds.values():
        sums["account_held", hold.account_id] += hold.held_minor
    for purchase in books.purchases.values():
        name = purchase.account_id
        account = books.accounts[name]
        sums["account_authorized", name] += purchase.open_minor
        sums["loan", name] += purchase.outstanding_minor
        principal = 0
        for line in purchase.lines:
            principal += line.principal_minor
            if is_billed(books, account, line):
                sums["charges", name] += line.charges_minor
        if principal != purchase.outstanding_minor:
            books.differences.append(
                f"{books.journal}: purchase {purchase.authorization_id} owes "
                f"{purchase.outstanding_minor}, its lines {principal}."
            )
    return sums


def check_lenders(books: Books) -> None:
    """Claims are what purchases still owe; remittances what all days counted."""
    claims: Counter[str] = Counter()
    remitted: Counter[str] = Counter()
    for purchase in books.purchases.values():
        for lender_id, part in zip(
            purchase.lenders, purchase.outstanding_parts, strict=True
        ):
            claims[lender_id] += part
    for totals in (books.ended_totals, books.totals):
        for lender_id, lender in totals.lenders.items():
            remitted[lender_id] += lender.claim_repaid_minor
            remitted[lender_id] += lender.charges_minor + lender.recovered_minor
    for lender_id in books.slices:
        for what, own, posted in (
            ("is owed", claims[lender_id], "lender_claim"),
            ("is to be sent", remitted[lender_id], "lender_remittance"),
        ):
            booked = -books.ledger.get(f"{posted}:{lender_id}", 0)
            if own != booked:
                books.differences.append(
                    f"{books.journal}: lender {lender_id} {what} {own}, "
                    f"posted is {booked}."
                )


def check_programs(books: Books) -> None:
    """Charges that are billed and unpaid are nobody's income yet."""
    charges: Counter[str] = Counter()
    for account in books.accounts.values():
        charges[account.program_id] += account.charges_minor
    for program_id in books.current_programs:
        booked = -books.ledger.get(f"charge_income:{program_id}", 0)
        if booked != charges[program_id]:
            books.differences.append(
                f"{books.journal}: accounts of program {program_id} owe charges of "
                f"{charges[program_id]}, posted is {booked}."
            )
