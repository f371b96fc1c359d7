"""The rules of partial approval: of a purchase, the most that fits.

The velocity limits and the limit are known here.  The reserve, and the lenders'
caps, are asked for as for any purchase; when settlement refuses, the
refusals say how much there is of each of those pools, and the largest amount is
asked for whose parts fit into that.  So the asks shrink, and after as many
refusals as the program has pools and one more the purchase is declined.  A
reduction for reserve or cap rests on these refusals as a decline does, and names
them.

Declined is what not one minor unit fits of, for the first constraint in order
of precedence that lets none pass.  What is missing is of the whole wish.
"""

import msgspec

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.fitting import most_that_fits
from processor.pools import constraint_of, exhausted, lender_of
from processor.rules import Moment, headroom_anywhere, split
from processor.state import Account, Program, ShardState
from processor.velocity import category_of, headrooms
from processor.watched import pools_of, suspended

LIMIT = "limit"


class Portion(msgspec.Struct, frozen=True, gc=False):
    """What may be approved of a wish; `reduced` says why it is not the whole."""

    amount_minor: int
    reduced: e.Reduced | None


def portion_of(
    state: ShardState, account: Account, command: c.Authorize, moment: Moment
) -> Portion | e.Declined:
    """The most that fits by all that is known, or why nothing does."""
    wanted_minor = amount_minor = command.amount_minor
    reduced: e.Reduced | None = None
    category = category_of(state, command.merchant_id)
    for left in headrooms(state, account, category):
        if left.left_minor < 1:
            missing_minor = wanted_minor - left.left_minor
            return e.Declined(left.reason, missing_minor, category=left.category)
        if left.left_minor < amount_minor:
            amount_minor = left.left_minor
            reduced = e.Reduced(wanted_minor, left.reason.value, left.category)
    room_minor = account.open_to_buy_minor
    if room_minor < 1:
        missing_minor = wanted_minor - room_minor
        return e.Declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, missing_minor)
    if room_minor < amount_minor:
        amount_minor, reduced = room_minor, e.Reduced(wanted_minor, LIMIT)
    portion = Portion(amount_minor, reduced)
    program = state.programs[account.program_id]
    pools, _ = pools_of(state, program, program.shares_ppm)
    refusals = tuple(r for r in moment.refusals if r.pool_id in pools)
    if not refusals:
        return portion
    stopped = suspended(state, program)
    if stopped is not None:
        return stopped
    return _within_reserve(state, program, pools, refusals, wanted_minor, portion)


def _within_reserve(
    state: ShardState,
    program: Program,
    pools: tuple[str, ...],
    refusals: tuple[e.Refusal, ...],
    wanted_minor: int,
    portion: Portion,
) -> Portion | e.Declined:
    """The portion, lowered to what the pools that were refused still have."""
    latest = {refusal.pool_id: refusal for refusal in refusals}
    known = {
        pool_id: headroom_anywhere(state, refusal)
        for pool_id, refusal in latest.items()
    }
    least: dict[str, int] = {}
    for pool_id, found_minor in known.items():
        lender_id = lender_of(pool_id)
        least[lender_id] = max(0, min(least.get(lender_id, found_minor), found_minor))
    amount_minor = most_that_fits(
        program.shares_ppm,
        program.split_parts,
        [least.get(lender_id) for lender_id in program.lenders],
        portion.amount_minor,
    )
    if amount_minor:
        if amount_minor == portion.amount_minor:
            return portion
        pool_id = _short(state, program, known, amount_minor + 1)
        reduced = e.Reduced(
            wanted_minor, constraint_of(pool_id), "", lender_of(pool_id), refusals
        )
        return Portion(amount_minor, reduced)
    pool_id = _short(state, program, known, 1)
    lender_id = lender_of(pool_id)
    part = split(program, wanted_minor)[program.lenders.index(lender_id)]
    return e.Declined(
        exhausted(pool_id),
        part - known[pool_id],
        lender_id,
        latest[pool_id].refusal,
        refusals=refusals,
    )


def _short(
    state: ShardState, program: Program, known: dict[str, int], amount_minor: int
) -> str:
    """The first pool, in order of precedence, that has less than its part."""
    pools, parts = pools_of(state, program, split(program, amount_minor))
    return next(
        pool_id
        for pool_id, part in zip(pools, parts, strict=True)
        if pool_id in known and part > known[pool_id]
    )
