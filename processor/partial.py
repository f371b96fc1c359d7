"""The rules of partial approval: of a purchase, the most that fits.

The velocity limits and the limit are known here.  The reserve is asked for as
for any purchase; when settlement refuses, the refusals say how much there is of
each of those lenders, and the largest amount is asked for whose parts fit into
that.  So the asks shrink, and after as many refusals as the program has lenders
and one more the purchase is declined.  A reduction for reserve rests on these
refusals as a decline does, and names them.

Declined is what not one minor unit fits of, for the first constraint in order
of precedence that lets none pass.  What is missing is of the whole wish.
"""

import msgspec

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.fitting import most_that_fits
from processor.rules import Moment, free_of, headroom_anywhere, split
from processor.state import Account, Program, ShardState
from processor.velocity import headrooms

LIMIT, RESERVE = "limit", "reserve"


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
    for left in headrooms(state, account, command.merchant_id):
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
    if moment.refusals:
        return _within_reserve(
            state,
            state.programs[account.program_id],
            moment.refusals,
            wanted_minor,
            Portion(amount_minor, reduced),
        )
    return Portion(amount_minor, reduced)


def _within_reserve(
    state: ShardState,
    program: Program,
    refusals: tuple[e.Refusal, ...],
    wanted_minor: int,
    portion: Portion,
) -> Portion | e.Declined:
    """The portion, lowered to what the lenders that were refused still have."""
    latest = {refusal.lender_id: refusal for refusal in refusals}
    known = [
        headroom_anywhere(state, latest[lender_id]) if lender_id in latest else None
        for lender_id in program.lenders
    ]
    amount_minor = most_that_fits(
        program.shares_ppm, program.split_parts, known, portion.amount_minor
    )
    parts = split(program, amount_minor)
    is_here = all(
        part <= free for part, free in zip(parts, free_of(state, program), strict=True)
    )
    if amount_minor and (is_here or len(refusals) <= len(program.lenders)):
        if amount_minor == portion.amount_minor:
            return portion
        place = _short(known, split(program, amount_minor + 1))
        lender_id = program.lenders[place]
        return Portion(
            amount_minor, e.Reduced(wanted_minor, RESERVE, "", lender_id, refusals)
        )
    place = program.lenders.index(refusals[-1].lender_id)
    if not amount_minor:
        place = _short(known, split(program, 1))
    found_minor = known[place]
    assert found_minor is not None
    lender_id = program.lenders[place]
    return e.Declined(
        DeclineReason.RESERVE_EXHAUSTED,
        max(1, split(program, wanted_minor)[place] - found_minor),
        lender_id,
        latest[lender_id].refusal,
        refusals=refusals,
    )


def _short(known: list[int | None], parts: e.Parts) -> int:
    """The place of the first lender that has less than its part."""
    return next(
        place
        for place, (part, found_minor) in enumerate(zip(parts, known, strict=True))
        if found_minor is not None and part > found_minor
    )
