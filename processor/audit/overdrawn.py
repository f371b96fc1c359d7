"""The borrower's credit below zero, as the audit reckons it.

What was spent of a credit that was taken back is owed to the platform.  Kept is
what statements have billed of it, by due day; the rest is billed next.
"""

from processor.audit.books import Account, Books


def owed_minor(account: Account) -> int:
    """What the credit balance is below zero."""
    return max(0, -account.credit_minor)


def not_billed(account: Account) -> int:
    """What of that no statement has shown yet."""
    return owed_minor(account) - sum(account.overdrawn.values())


def raise_credit(account: Account, amount_minor: int) -> dict[int, int]:
    """More credit; what it pays of what was billed, the earliest due day first."""
    paying = min(amount_minor, owed_minor(account))
    account.credit_minor += amount_minor
    paid = {}
    for due_on in sorted(account.overdrawn):
        part = min(paying, account.overdrawn[due_on])
        if part:
            paid[due_on] = part
            paying -= part
            account.overdrawn[due_on] -= part
            account.minimum_left_minor -= part
        if not account.overdrawn[due_on]:
            del account.overdrawn[due_on]
    return paid


def lower_credit(
    books: Books, account: Account, amount_minor: int, paid: dict[int, int]
) -> None:
    """Less credit; what a payment paid of billed parts is due again as it was."""
    account.credit_minor -= amount_minor
    if account.credit_minor < 0:
        books.bill_from_now(account)
    for due_on in sorted(paid):
        again = min(paid[due_on], not_billed(account))
        if again:
            account.overdrawn[due_on] = account.overdrawn.get(due_on, 0) + again
            account.minimum_left_minor += again
