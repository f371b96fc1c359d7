"""Who lends on what terms, and on which days of a month what happens.

The file knows limits, bills and payments, but no lender, no term and no date.
Everything added to it is a pure function of what the file says.  Amounts are
New Taiwan dollars: ISO 4217 gives TWD two decimals, so a dollar of the file is
100 minor units, and penalties may be parts of one.
"""

from typing import Final
from zlib import crc32

import msgspec

from gateway.clients.reader import CardRow
from processor import limits
from processor.terms import Bucket, Component, Due, Terms

CURRENCY: Final = "TWD"
MINOR_PER_UNIT: Final = 100
LENDERS: Final = {
    "formosa": "Bank of Formosa",
    "jade": "Jade Consumer Credit",
    "pacific": "Pacific Trust",
}


class CardProgram(msgspec.Struct, frozen=True):
    """A program of the replay; its lenders' shares in parts per million."""

    program_id: str
    shares_ppm: dict[str, int]
    terms: Terms


CLASSIC: Final = CardProgram(
    "cards-classic",
    {"formosa": 300_000, "jade": 700_000},
    Terms(grace_days=3, penalty_ppm_per_day=500, minimum_due_ppm=30_000),
)
GOLD: Final = CardProgram(
    "cards-gold",
    {"formosa": 333_333, "jade": 333_333, "pacific": 333_334},
    Terms(
        grace_days=5,
        penalty_ppm_per_day=400,
        minimum_due_ppm=20_000,
        # What is billed of the principal before any penalty.
        allocation=(
            Bucket(Due.PAST_DUE, Component.PRINCIPAL),
            Bucket(Due.DUE, Component.PRINCIPAL),
        ),
    ),
)
PROGRAMS: Final = (CLASSIC, GOLD)
_GOLD_FROM_UNITS: Final = 150_000

assert all(sum(p.shares_ppm.values()) == limits.PPM for p in PROGRAMS)
assert all(lender in LENDERS for p in PROGRAMS for lender in p.shares_ppm)


class Cycle(msgspec.Struct, frozen=True):
    """Days of the month; what is billed on one is due in the month after.

    Who pays late does so after the due date and every program's days of grace,
    and all repay before they buy.
    """

    statement_day: int
    due_day: int
    in_time_day: int
    late_day: int
    purchase_day: int


CYCLES: Final = (Cycle(20, 8, 7, 16, 18), Cycle(25, 13, 12, 21, 23))
FIRST_DAY_OF_MONTH: Final = 18  # The first purchases are all there is in April.
# When each statement can be seen: on the first business day after its date.
_SEEN_DAYS: Final = (21, 26)
BUSINESS_DAYS: Final = tuple(
    sorted(
        {*_SEEN_DAYS}.union(
            *((c.in_time_day, c.late_day, c.purchase_day) for c in CYCLES)
        )
    )
)
READING_DAY: Final = max(BUSINESS_DAYS) + 1  # After the last month's statements.

_GRACE_DAYS_MAX: Final = max(program.terms.grace_days for program in PROGRAMS)
for _cycle, _seen_day in zip(CYCLES, _SEEN_DAYS, strict=True):
    assert _cycle.in_time_day <= _cycle.due_day
    assert _cycle.due_day + _GRACE_DAYS_MAX < _cycle.late_day < _cycle.purchase_day
    assert _cycle.purchase_day <= _cycle.statement_day < _seen_day
    assert _cycle.statement_day <= limits.DAY_OF_MONTH_MAX
assert READING_DAY <= limits.DAY_OF_MONTH_MAX
assert FIRST_DAY_OF_MONTH == min(cycle.purchase_day for cycle in CYCLES)


def program_of(row: CardRow) -> CardProgram:
    """Gold from 150 000 dollars of limit on."""
    return GOLD if row.limit_units >= _GOLD_FROM_UNITS else CLASSIC


def cycle_of(row: CardRow) -> Cycle:
    """One of the two, the same for the same client on every machine."""
    return CYCLES[crc32(row.client_id.encode()) % len(CYCLES)]
