"""Days as numbers: statement dates, due dates, months.

A day is its proleptic Gregorian ordinal (`datetime.date.toordinal`), so that
days compare, subtract and travel as integers.  Statement and due dates are days
of the month from 1 to 28, which every month has: no date is ever moved, and k
months later is the same day of the month.  Nothing here knows what day it is,
weekends or time zones.

The years are 1 to 9999.  A date beyond them is a ValueError; whoever takes days
from outside keeps well inside.
"""

from datetime import date
from functools import lru_cache
from typing import Final

from processor import limits

_CACHED: Final = 4_096  # A few years of days with every statement day in use.


@lru_cache(_CACHED)
def number_of(iso: str) -> int:
    """The number of a day written YYYY-MM-DD; ValueError for anything else.

    One day has one text: the other forms of ISO 8601 are not taken.
    """
    day = date.fromisoformat(iso)
    if day.isoformat() != iso:
        raise ValueError(f"{iso!r} is not written YYYY-MM-DD")
    return day.toordinal()


@lru_cache(_CACHED)
def iso_of(number: int) -> str:
    """The day as YYYY-MM-DD."""
    return date.fromordinal(number).isoformat()


@lru_cache(_CACHED)
def statement_on_or_after(day: int, statement_day: int) -> int:
    """The first statement date that is not before `day`."""
    assert 1 <= statement_day <= limits.DAY_OF_MONTH_MAX
    on = date.fromordinal(day)
    if on.day <= statement_day:
        return day + statement_day - on.day
    return _in_month(_month_of(on) + 1, statement_day)


def statement_after(day: int, statement_day: int) -> int:
    """The first statement date later than `day`."""
    return statement_on_or_after(day + 1, statement_day)


def due_after(statement_on: int, due_day: int) -> int:
    """When a statement is due: the first date with that day of the month after it.

    Never on the statement's own date: when both days are the same, what is
    billed is due a month later.
    """
    return statement_on_or_after(statement_on + 1, due_day)


@lru_cache(_CACHED)
def months_later(statement_on: int, months: int) -> int:
    """The same day of the month so many months later; earlier, if negative."""
    on = date.fromordinal(statement_on)
    assert on.day <= limits.DAY_OF_MONTH_MAX
    return _in_month(_month_of(on) + months, on.day)


def _month_of(on: date) -> int:
    """The month counted from January of the year 0."""
    return on.year * 12 + on.month - 1


def _in_month(month: int, day_of_month: int) -> int:
    return date(month // 12, month % 12 + 1, day_of_month).toordinal()
