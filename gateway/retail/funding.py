"""How much reserve each lender is given each morning.

On an ordinary day a lender's headroom is brought to a little more than the
day could take of it.  On its busiest day it is brought to half of that, so
that the reserve really runs out and declines for it must be exact; the next
morning's ordinary target tops it up again.

The busiest day is the one with the most demand once its largest purchase is
left aside, and half is half of that rest.  Counting the largest one too would
let a single order decide: it alone would be declined and the reserve would
never run low.
"""

from collections.abc import Iterable
from typing import Final

from gateway.retail import lending
from gateway.retail.lending import RetailProgram
from processor import limits

FLOOR_MINOR: Final = 100_00
ORDINARY_PPM: Final = 1_050_000
BUSIEST_PPM: Final = 500_000


class Demand:
    """What one lender would pay each day if every purchase were approved."""

    def __init__(self, day_count: int) -> None:
        self.total_minor = [0] * day_count
        self.largest_minor = [0] * day_count

    def add(self, day: int, part_minor: int) -> None:
        """Its part of one more purchase on a day, counted from zero."""
        self.total_minor[day] += part_minor
        self.largest_minor[day] = max(self.largest_minor[day], part_minor)

    def busiest_day(self) -> int | None:
        """The first of the busiest days; None when there is no demand at all."""
        rest = self._without_largest()
        figures = rest if max(rest) else self.total_minor
        return figures.index(max(figures)) if max(figures) else None

    def targets_minor(self) -> list[int]:
        """What the lender's headroom is brought to, by day."""
        targets = [
            -(-wanted * ORDINARY_PPM // limits.PPM) + FLOOR_MINOR
            for wanted in self.total_minor
        ]
        busiest = self.busiest_day()
        if busiest is not None:
            rest = self._without_largest()[busiest] or self.total_minor[busiest]
            targets[busiest] = rest * BUSIEST_PPM // limits.PPM
        return targets

    def _without_largest(self) -> list[int]:
        return [
            total - largest
            for total, largest in zip(self.total_minor, self.largest_minor, strict=True)
        ]


def demand_of(
    purchases: Iterable[tuple[int, RetailProgram, int]], day_count: int
) -> dict[str, Demand]:
    """Each lender's demand, from the day, program and amount of each purchase."""
    demand = {lender_id: Demand(day_count) for lender_id in lending.LENDERS}
    for day, program, amount_minor in purchases:
        for lender_id, share_ppm in program.shares_ppm.items():
            demand[lender_id].add(day, -(-amount_minor * share_ppm // limits.PPM))
    return demand
