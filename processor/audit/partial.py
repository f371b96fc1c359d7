"""Whether a purchase approved in part was approved for the most that fits.

What the limit and velocity left is known on the spot, and must be the amount
exactly.  A reduction for reserve or a cap is kept as a claim: beside
settlement's certificate it must show that of the pool named one minor unit more
could not have been had.  The split is reckoned by its quota, which leaves each
part less than one unit of doubt.
"""

from processor import commands as c
from processor import events as e
from processor import limits
from processor.audit.books import Account, Before, Books, Program, Reduction
from processor.pools import daily_pool


def check_reduced(
    books: Books,
    account: Account,
    program: Program,
    event: e.Authorized,
    met: Before,
) -> None:
    """The constraint named left exactly the amount; or a claim for later."""
    reduced = event.reduced
    if reduced is None:
        return
    if not 0 < event.amount_minor < reduced.requested_minor:
        books.differ(
            f"{event.amount_minor} of {reduced.requested_minor} is not a part."
        )
    if reduced.limited_by in ("reserve", "daily_cap", "program_cap"):
        _claim(books, program, event, reduced)
        return
    rooms = {(reason, name): left for reason, name, left in met.velocity}
    rooms["limit", ""] = account.open_to_buy_minor
    left_minor = rooms.get((reduced.limited_by, reduced.category))
    if left_minor != event.amount_minor:
        books.differ(
            f"{event.amount_minor} of {reduced.requested_minor} was approved, "
            f"{reduced.limited_by} left {left_minor}."
        )


def _claim(
    books: Books, program: Program, event: e.Authorized, reduced: e.Reduced
) -> None:
    pool_id = reduced.lender_id
    if reduced.limited_by == "daily_cap":
        pool_id = daily_pool(pool_id)
    elif reduced.limited_by == "program_cap":
        pool_id = books.program_caps.get((program.program_id, pool_id), "")
    lease = books.slices.get(pool_id)
    if lease is None or reduced.lender_id not in program.lenders:
        books.differ(f"reduced for a lender not behind it: {reduced.lender_id!r}.")
        return
    books.reductions.append(
        Reduction(
            books.sequence,
            books.day,
            pool_id,
            reduced.refusals,
            lease.leased_minor,
            lease.free_minor,
            _part_max(program, reduced.lender_id, event.amount_minor + 1),
        )
    )


def _part_max(program: Program, lender_id: str, amount: int) -> int:
    """The most that the lender's part of an amount can be: its quota, rounded up."""
    if len(program.lenders) == 1:
        return amount
    place = program.lenders.index(lender_id)
    reached = program.split.total_minor + amount
    quota = -(-program.shares_ppm[place] * reached // limits.PPM)
    return quota - program.split.parts[place]


def check_whole_decline(
    books: Books, command: c.Command | None, left_minor: int
) -> None:
    """A partial wish is declined only when not even one unit fits."""
    if isinstance(command, c.Authorize) and command.partial and left_minor > 0:
        books.differ(f"declined, and {left_minor} of it would have passed.")
