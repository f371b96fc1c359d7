"""The audit's own calendar: which day of the month comes next.

A day is a number (`datetime.date.toordinal`).  Days are walked one by one, as
on a wall calendar.
"""

from datetime import date, timedelta
from functools import lru_cache

ONE_DAY = timedelta(days=1)
MONTH_DAYS_MAX = 28  # Every month has it.


def number_of(iso: str) -> int:
    """The number of a day as it is written in journals; 0 if it is none."""
    try:
        return date.fromisoformat(iso).toordinal()
    except ValueError:
        return 0


@lru_cache(4_096)
def text_of(number: int) -> str:
    """The day as people write it."""
    try:
        return date.fromordinal(number).isoformat()
    except (OverflowError, ValueError):
        return f"day {number}"


@lru_cache(4_096)
def next_on(day: int, day_of_month: int) -> int:
    """The first day with that day of the month, `day` itself included."""
    if not 1 <= day_of_month <= MONTH_DAYS_MAX:
        return day
    try:
        found = date.fromordinal(day)
        while found.day != day_of_month:
            found += ONE_DAY
    except (OverflowError, ValueError):
        return day
    return found.toordinal()


def monthly(first: int, count: int) -> list[int]:
    """That day and the same day of the months after it."""
    if count < 1:
        return []
    days = [first]
    try:
        day_of_month = date.fromordinal(first).day
    except (OverflowError, ValueError):
        return [first] * count
    for _ in range(count - 1):
        days.append(next_on(days[-1] + 1, day_of_month))
    return days
