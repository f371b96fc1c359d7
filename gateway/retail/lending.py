"""Who lends to whom: the retail replay's programs, limits and due days.

The file knows customers and countries, but no credit.  Everything added to it
is a pure function of what the file says, so that every run over one file asks
for the same things.  Nothing here may be random or depend on the server.
"""

from enum import Enum
from typing import Final
from zlib import crc32

import msgspec

from processor import limits

CURRENCY: Final = "GBP"
LENDERS: Final = {
    "northbank": "Northbank",
    "harbour": "Harbour Credit",
    "continental": "Continental Finance",
    "meridian": "Meridian Capital",
}
MINOR_PER_UNIT: Final = 100


class RetailProgram(msgspec.Struct, frozen=True):
    """A program of the replay; its lenders' shares in parts per million."""

    program_id: str
    account_suffix: str
    shares_ppm: dict[str, int]


UNITED_KINGDOM: Final = RetailProgram(
    "retail-uk", "uk", {"northbank": 300_000, "harbour": 700_000}
)
EUROPE: Final = RetailProgram("retail-europe", "europe", {"continental": 1_000_000})
WORLD: Final = RetailProgram(
    "retail-world",
    "world",
    {"meridian": 500_000, "harbour": 300_000, "northbank": 200_000},
)
PROGRAMS: Final = (UNITED_KINGDOM, EUROPE, WORLD)

# As the shop spells them.  A country that is not named here is WORLD.
_EUROPE: Final = (
    "Austria, Belgium, Bulgaria, Channel Islands, Croatia, Cyprus, Czech Republic, "
    "Denmark, EIRE, Estonia, European Community, Finland, France, Germany, Greece, "
    "Hungary, Iceland, Ireland, Italy, Latvia, Liechtenstein, Lithuania, Luxembourg, "
    "Malta, Monaco, Netherlands, Norway, Poland, Portugal, Romania, Slovakia, "
    "Slovenia, Spain, Sweden, Switzerland"
)
_PROGRAM_OF_COUNTRY: Final = {"United Kingdom": UNITED_KINGDOM} | dict.fromkeys(
    _EUROPE.split(", "), EUROPE
)

assert all(sum(p.shares_ppm.values()) == limits.PPM for p in PROGRAMS)
assert all(lender in LENDERS for p in PROGRAMS for lender in p.shares_ppm)


def program_of_country(country: str) -> RetailProgram:
    """The program that lends to customers of a country."""
    return _PROGRAM_OF_COUNTRY.get(country, WORLD)


def account_id_of(customer_id: str, program: RetailProgram) -> str:
    """One account for a customer and a program."""
    return f"retail-{customer_id}-{program.account_suffix}"


class Line(Enum):
    """How much credit an account was given, as against what it wants to spend."""

    SCARCE = "below the largest purchase"
    TIGHT = "between one and two of the largest purchase"
    AMPLE = "all its purchases at once"


def line_of(account_id: str) -> Line:
    """Which line an account has: 5 in 100 scarce, 20 tight, the rest ample.

    A scarce line declines its largest purchases, a tight one what comes too
    soon after others.  Together they decline 3 to 8 in 100 purchases, in files
    of a week (where most customers buy once) as in files of a year.
    """
    percent = _drawn("line", account_id, 100)
    if percent < 5:
        return Line.SCARCE
    return Line.TIGHT if percent < 25 else Line.AMPLE


def limit_minor(account_id: str, largest_minor: int, total_minor: int) -> int:
    """The limit of an account, in whole pounds and at least one.

    `largest_minor` is its largest purchase in the file, `total_minor` all of
    them.
    """
    percent = {
        Line.SCARCE: 60 + _drawn("scarce", account_id, 40),
        Line.TIGHT: 100 + _drawn("tight", account_id, 100),
        Line.AMPLE: 100,
    }
    line = line_of(account_id)
    base_minor = total_minor if line is Line.AMPLE else largest_minor
    wanted_minor = base_minor * percent[line] // 100
    if line is Line.SCARCE:
        units = wanted_minor // MINOR_PER_UNIT
    else:
        units = -(-wanted_minor // MINOR_PER_UNIT)
    return min(max(units, 1) * MINOR_PER_UNIT, limits.LIMIT_MINOR_MAX)


def due_day_of_month(account_id: str) -> int:
    """The day of the month, 1 to 28, on which the account repays."""
    return 1 + _drawn("due", account_id, 28)


def repayment_minor(account_id: str, owed_minor: int) -> int:
    """What the account repays of what it owes: all, or half rounded up."""
    if _drawn("share", account_id, 2):
        return owed_minor
    return -(-owed_minor // 2)


def _drawn(purpose: str, account_id: str, choices: int) -> int:
    """One of 0 … choices - 1, the same for the same account on every machine.

    A separate purpose each, lest the small limits all be due on one day.
    """
    return crc32(f"{purpose}:{account_id}".encode()) % choices
