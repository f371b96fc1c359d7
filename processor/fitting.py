"""The largest purchase whose every part fits: the inverse of the exact split.

Parts do not simply grow with the amount.  Each stays within one unit of its
quota, but with four lenders or more the odd unit may pass from one to another
as the amount grows, so a larger amount may fit where a smaller one does not.
What is certain: from the amount on at which a lender's whole quota is more than
it has, nothing fits.  The search goes down from there, `FITTING_STEPS_MAX`
amounts at most.  That finds the largest for two and three lenders, and whenever
no share is below PPM / FITTING_STEPS_MAX; below that, with many lenders, it
may end in an amount that fits and that one unit more would spoil.
"""

from collections.abc import Callable, Sequence

from processor import limits
from processor.apportion import apportion
from processor.events import Parts

Fits = Callable[[int], bool]


def most_that_fits(
    shares_ppm: Parts,
    split_parts: Parts,
    headrooms: Sequence[int | None],
    amount_max: int,
) -> int:
    """The largest amount, up to `amount_max`, with no part above its headroom.

    In minor units, in the order of the program's lenders; None is no bound.
    0 when not even one unit fits.
    """

    def fits(amount: int) -> bool:
        parts = apportion(shares_ppm, limits.PPM, split_parts, amount)
        return all(
            headroom is None or part <= headroom
            for part, headroom in zip(parts, headrooms, strict=True)
        )

    if amount_max <= 0 or fits(amount_max):
        return max(0, amount_max)
    reached = sum(split_parts)
    highest = amount_max - 1
    for share, given, headroom in zip(shares_ppm, split_parts, headrooms, strict=True):
        if headroom is not None:
            # Here the first unit that it cannot give is due.
            due = -(-(given + headroom + 1) * limits.PPM // share)
            highest = min(highest, due - 1 - reached)
    lowest = max(0, highest - limits.FITTING_STEPS_MAX)
    for amount in range(highest, lowest, -1):
        if fits(amount):
            return amount
    return _some_last(fits, lowest)


def _some_last(fits: Fits, too_much: int) -> int:
    """An amount that fits and that one unit more would spoil; 0 always fits."""
    if too_much <= 0 or fits(too_much):
        return max(0, too_much)
    enough = 0
    while too_much - enough > 1:
        middle = (enough + too_much) // 2
        if fits(middle):
            enough = middle
        else:
            too_much = middle
    return enough
