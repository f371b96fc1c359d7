"""Statement and due dates: days of the month that every month has."""

from datetime import date

import pytest

from processor.calendar import (
    due_after,
    iso_of,
    months_later,
    number_of,
    statement_after,
    statement_on_or_after,
)


def test_a_day_and_its_number_are_the_same_thing() -> None:
    assert 1 == number_of("0001-01-01")
    assert 739_252 == number_of("2025-01-01")
    assert "2025-01-01" == iso_of(739_252)
    assert "9999-12-31" == iso_of(number_of("9999-12-31"))
    assert 2 == number_of("2028-03-01") - number_of("2028-02-28")
    assert 1 == number_of("2027-03-01") - number_of("2027-02-28")


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026", "20260131", "2026-1-31", "2026-W05-6", "2026-01-31T00:00"),
        *("2026-02-29", "2026-13-01", "0000-01-01", " 2026-01-31", "yesterday"),
    ],
)
def test_a_day_has_one_text_only(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        number_of(text)


@pytest.mark.parametrize(
    ("day", "statement_day", "on_or_after", "after"),
    [
        ("2026-01-04", 5, "2026-01-05", "2026-01-05"),
        ("2026-01-05", 5, "2026-01-05", "2026-02-05"),
        ("2026-01-06", 5, "2026-02-05", "2026-02-05"),
        ("2026-12-31", 1, "2027-01-01", "2027-01-01"),
        ("2027-01-01", 1, "2027-01-01", "2027-02-01"),
        ("2026-12-28", 28, "2026-12-28", "2027-01-28"),
        ("2028-02-28", 28, "2028-02-28", "2028-03-28"),
        ("2028-02-29", 28, "2028-03-28", "2028-03-28"),
        ("2026-01-31", 28, "2026-02-28", "2026-02-28"),
    ],
)
def test_a_statement_date_is_the_next_such_day_of_the_month(
    day: str, statement_day: int, on_or_after: str, after: str
) -> None:
    number = number_of(day)
    assert on_or_after == iso_of(statement_on_or_after(number, statement_day))
    assert after == iso_of(statement_after(number, statement_day))


@pytest.mark.parametrize(
    ("statement_on", "due_day", "due_on"),
    [
        ("2026-01-05", 25, "2026-01-25"),
        ("2026-01-25", 5, "2026-02-05"),
        ("2026-01-05", 6, "2026-01-06"),
        ("2026-01-05", 5, "2026-02-05"),  # Never on the statement's own date.
        ("2026-12-20", 10, "2027-01-10"),
    ],
)
def test_a_statement_is_due_on_the_first_due_day_after_it(
    statement_on: str, due_day: int, due_on: str
) -> None:
    assert due_on == iso_of(due_after(number_of(statement_on), due_day))


@pytest.mark.parametrize(
    ("statement_on", "months", "later"),
    [
        ("2026-01-28", 0, "2026-01-28"),
        ("2026-01-28", 1, "2026-02-28"),
        ("2026-01-05", 11, "2026-12-05"),
        ("2026-01-05", 12, "2027-01-05"),
        ("2026-12-05", 1, "2027-01-05"),
        ("2026-11-05", 119, "2036-10-05"),
        ("2026-01-05", -1, "2025-12-05"),
        ("2026-01-05", -13, "2024-12-05"),
    ],
)
def test_months_later_is_the_same_day_of_the_month(
    statement_on: str, months: int, later: str
) -> None:
    assert later == iso_of(months_later(number_of(statement_on), months))


def test_the_next_statement_is_what_walking_day_by_day_finds() -> None:
    first, last = number_of("2027-01-01"), number_of("2028-12-31")  # A leap year.
    for statement_day in range(1, 29):
        dates = [
            day
            for day in range(first, last + 1)
            if date.fromordinal(day).day == statement_day
        ]
        assert 24 == len(dates)
        for before, on in zip([first - 1, *dates], dates, strict=False):
            for day in range(before + 1, on + 1):
                assert on == statement_on_or_after(day, statement_day)
                assert on == statement_after(day - 1, statement_day)
        assert dates == [months_later(dates[0], k) for k in range(24)]


@pytest.mark.parametrize("statement_day", [0, 29, 31, -1])
def test_a_day_that_some_month_lacks_is_no_statement_day(statement_day: int) -> None:
    with pytest.raises(AssertionError):
        statement_on_or_after(number_of("2026-01-01"), statement_day)


def test_the_29th_is_not_moved_through_the_months() -> None:
    with pytest.raises(AssertionError):
        months_later(number_of("2026-01-29"), 1)


def test_nothing_is_later_than_the_year_9999() -> None:
    with pytest.raises(ValueError, match="10000"):
        statement_on_or_after(number_of("9999-12-06"), 5)
