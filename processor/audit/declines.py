"""Whether a decline for money was right: for the limit here, for the reserve later.

A decline for the limit is judged on the spot by the account as the audit knows
it.  A decline for reserve is kept as a claim: whether it was right can only be
said beside settlement's certificate.
"""

import msgspec

from processor import commands as c
from processor import events as e
from processor import limits
from processor.audit import velocity
from processor.audit.books import Account, Books, Program, Purchase, Slice
from processor.audit.merchants import category_of
from processor.audit.partial import check_whole_decline
from processor.declines import DeclineReason
from processor.pools import daily_pool


class ReserveDecline(msgspec.Struct, frozen=True, gc=False):
    """A shard's word that a pool had too little: to be proved.

    `free_minor` is what the shard itself had free of the pool then.  The
    lender's part of the purchase was between `part_min` and `part_max`.  The
    day is the shard's; "" for settlement itself.
    """

    shard: int
    sequence: int
    day: str
    pool_id: str
    refusal: int
    missing_minor: int
    free_minor: int
    part_min: int
    part_max: int
    refusals: tuple[e.Refusal, ...] = ()  # All that stood against a part of it.
    is_partial: bool = False
    leased_minor: int = 0  # Of the slice.


class Wish(msgspec.Struct, frozen=True, gc=False):
    """What a declined command wanted: of the lenders, and more of the limit."""

    account: Account
    program: Program
    amount_minor: int
    growth_minor: int
    category: str | None = None  # Of the merchant; None: there is none.
    purchase: Purchase | None = None  # That would have grown.


def check_limit_decline(
    books: Books, command: c.Command | None, event: e.Declined
) -> None:
    """The limit was short, and by exactly what was said."""
    wish = _wish(books, command)
    if wish is None:
        books.differ("it declines for the limit what does not need any.")
        return
    books.check_limit(wish.account)
    check_whole_decline(books, command, wish.account.open_to_buy_minor)
    missing_minor = wish.growth_minor - wish.account.open_to_buy_minor
    if missing_minor <= 0:
        books.differ(f"declined for the limit although {-missing_minor} was to spare.")
    elif missing_minor != event.missing_minor:
        books.differ(f"{missing_minor} was missing, not {event.missing_minor}.")


def check_velocity_decline(
    books: Books, command: c.Command | None, event: e.Declined
) -> None:
    """The velocity limit named was short, and by exactly what was said."""
    wish = _wish(books, command)
    tally = None if wish is None else wish.account.tallies.get(event.category)
    if wish is None or tally is None or wish.category is None:
        books.differ("it declines for a velocity limit that there is not.")
        return
    if event.category not in ("", wish.category):
        books.differ(f"it declines for {event.category}, the merchant is of another.")
    bound_minor = velocity.bound_of(tally, event.reason)
    if bound_minor is None:
        books.differ(f"there is no such limit: {event.reason.value}.")
        return
    used_minor = velocity.used(tally, event.reason, books.day, wish.purchase)
    check_whole_decline(books, command, bound_minor - used_minor)
    missing_minor = used_minor + wish.amount_minor - bound_minor
    if missing_minor <= 0:
        books.differ(
            f"declined for {event.reason.value} although {-missing_minor} was to spare."
        )
    elif missing_minor != event.missing_minor:
        books.differ(f"{missing_minor} was missing, not {event.missing_minor}.")


def reserve_decline(
    books: Books, shard: int, command: c.Command | None, event: e.Declined
) -> ReserveDecline | None:
    """The claim of a decline for reserve; None when it makes no sense."""
    wish = _wish(books, command)
    pool_id = event.lender_id
    if event.reason is DeclineReason.DAILY_CAP_EXCEEDED:
        pool_id = daily_pool(pool_id)
    if wish is None or event.lender_id not in wish.program.lenders:
        books.differ(f"declined for a lender not behind it: {event.lender_id!r}.")
        return None
    lenders = wish.program.lenders
    if event.reason is DeclineReason.PROGRAM_CAP_EXCEEDED:
        capped = (wish.program.program_id, event.lender_id)
        pool_id = books.program_caps.get(capped, "")
    lowest, highest = wish.amount_minor, wish.amount_minor
    if len(lenders) > 1:
        # Shares so far and shares after are each less than one unit off.
        share_ppm = wish.program.shares_ppm[lenders.index(event.lender_id)]
        exact = share_ppm * wish.amount_minor // limits.PPM
        lowest, highest = exact - 1, exact + 2
    lease = books.slices.get(pool_id) or Slice()
    return ReserveDecline(
        shard,
        books.sequence,
        books.day,
        pool_id,
        event.refusal,
        event.missing_minor,
        lease.free_minor,
        lowest,
        highest,
        event.refusals,
        isinstance(command, c.Authorize) and command.partial,
        lease.leased_minor,
    )


def check_suspended_decline(
    books: Books, command: c.Command | None, event: e.Declined
) -> None:
    """A lender behind the purchase was suspended, and it is the one named."""
    wish = _wish(books, command)
    if wish is None or event.lender_id not in wish.program.lenders:
        books.differ(f"declined for a lender not behind it: {event.lender_id!r}.")
    elif event.lender_id not in books.suspended:
        books.differ(f"lender {event.lender_id} is not suspended.")


def _wish(books: Books, command: c.Command | None) -> Wish | None:
    if isinstance(command, c.Authorize | c.PlaceHold):
        amount = command.amount_minor
        category = None
        if isinstance(command, c.Authorize):
            category = category_of(books, command.merchant_id)
        return _new_debt(books, command.account_id, amount, amount, category)
    if isinstance(command, c.IncreaseHold | c.ConvertHold):
        hold = books.holds.get(command.hold_id)
        if hold is None:
            return None
        amount = command.amount_minor or hold.held_minor
        if isinstance(command, c.ConvertHold):
            category = category_of(books, command.merchant_id)
            return _new_debt(books, hold.account_id, amount, 0, category)
        return _new_debt(books, hold.account_id, amount, amount, None)
    if isinstance(command, c.IncrementAuthorization | c.CaptureAuthorization):
        purchase = books.purchases.get(command.authorization_id)
        if purchase is None:
            return None
        amount = command.amount_minor or 0
        if isinstance(command, c.CaptureAuthorization):
            amount -= purchase.open_minor
        account = books.accounts[purchase.account_id]
        return Wish(
            account,
            books.program_of(purchase),
            amount,
            amount,
            purchase.category,
            purchase,
        )
    return None


def _new_debt(
    books: Books, account_id: str, amount: int, growth: int, category: str | None
) -> Wish | None:
    """Under the version of the program that is in force."""
    account = books.accounts.get(account_id)
    if account is None or account.program_id not in books.current_programs:
        return None
    program = books.current_programs[account.program_id]
    return Wish(account, program, amount, growth, category)
