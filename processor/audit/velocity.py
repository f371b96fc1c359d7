"""What velocity limits allow, as the audit reckons it.

Everything approved is added to its business day and its month; what is given
back is taken off the day and the month of its authorization, whatever day it is
now: a past period is never asked for again.  Purchases made before their
account or their category had limits are in no tally.
"""

from processor.audit.books import Account, Books, Purchase, Tally
from processor.declines import DeclineReason

VELOCITY_REASONS = (
    DeclineReason.VELOCITY_PURCHASE,
    DeclineReason.VELOCITY_DAILY,
    DeclineReason.VELOCITY_MONTHLY,
)


def begin(account: Account, purchase: Purchase) -> None:
    """A new purchase: where it will be given back to."""
    purchase.counted_in = tuple(
        (name, account.tallies[name].since) for name in _names(account, purchase)
    )


def count(books: Books, account: Account, purchase: Purchase, amount: int) -> None:
    """A purchase grew; every limit still holds."""
    for name in _names(account, purchase):
        tally = account.tallies[name]
        for period in (books.day, books.day[:7]):
            tally.minor[period] = tally.minor.get(period, 0) + amount
        for reason in VELOCITY_REASONS:
            bound_minor = bound_of(tally, reason)
            used_minor = used(tally, reason, books.day, purchase)
            if bound_minor is not None and used_minor > bound_minor:
                books.differ(
                    f"approved up to {used_minor}, {reason.value} is {bound_minor}."
                )


def give_back(account: Account, purchase: Purchase, amount: int) -> None:
    """A purchase is authorized for less."""
    for name, since in purchase.counted_in:
        tally = account.tallies.get(name)
        if tally is None or tally.since != since:
            continue  # Limited no more, or anew.
        for period in (purchase.day, purchase.day[:7]):
            tally.minor[period] -= amount


def bound_of(tally: Tally, reason: DeclineReason) -> int | None:
    """The limit behind a reason; None if there is none."""
    return {
        DeclineReason.VELOCITY_PURCHASE: tally.bounds.purchase_minor,
        DeclineReason.VELOCITY_DAILY: tally.bounds.daily_minor,
        DeclineReason.VELOCITY_MONTHLY: tally.bounds.monthly_minor,
    }[reason]


def used(
    tally: Tally, reason: DeclineReason, day: str, purchase: Purchase | None
) -> int:
    """What counts under a limit already, in minor units."""
    if reason is DeclineReason.VELOCITY_PURCHASE:
        return purchase.open_minor + purchase.captured_minor if purchase else 0
    return tally.minor.get(
        day if reason is DeclineReason.VELOCITY_DAILY else day[:7], 0
    )


def _names(account: Account, purchase: Purchase) -> tuple[str, ...]:
    if not account.tallies:
        return ()
    names = ("", purchase.category)
    return tuple(x for x in dict.fromkeys(names) if x in account.tallies)
