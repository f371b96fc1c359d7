"""What the replay adds to the file is fixed by the file."""

import pytest

from gateway.retail import lending
from gateway.retail.funding import FLOOR_MINOR, Demand, demand_of
from gateway.retail.lending import Line

ACCOUNTS = [f"retail-{customer}-uk" for customer in range(12_000, 14_000)]


@pytest.mark.parametrize(
    ("country", "program_id"),
    [
        ("United Kingdom", "retail-uk"),
        ("EIRE", "retail-europe"),
        ("Germany", "retail-europe"),
        ("Channel Islands", "retail-europe"),
        ("Japan", "retail-world"),
        ("Unspecified", "retail-world"),
        ("a country nobody has thought of", "retail-world"),
    ],
)
def test_the_country_decides_the_program(country: str, program_id: str) -> None:
    assert program_id == lending.program_of_country(country).program_id


def test_a_customer_has_one_account_for_each_program() -> None:
    assert "retail-17850-uk" == lending.account_id_of("17850", lending.UNITED_KINGDOM)
    assert "retail-17850-world" == lending.account_id_of("17850", lending.WORLD)


def test_what_is_drawn_for_an_account_never_changes() -> None:
    # Journals of earlier runs hold what follows from these.
    account_id = "retail-17850-uk"
    assert 9 == lending.due_day_of_month(account_id)
    assert Line.AMPLE is lending.line_of(account_id)
    assert 123_500 == lending.limit_minor(account_id, 100_000, 123_456)


def test_five_in_a_hundred_lines_are_scarce_and_twenty_tight() -> None:
    lines = [lending.line_of(account_id) for account_id in ACCOUNTS]
    assert 4 * 20 < lines.count(Line.SCARCE) < 6 * 20
    assert 18 * 20 < lines.count(Line.TIGHT) < 22 * 20


def test_a_limit_is_in_whole_pounds_and_at_least_one() -> None:
    for largest in (1, 99, 100, 12_345):
        limits = [lending.limit_minor(a, largest, 2 * largest) for a in ACCOUNTS]
        assert min(limits) >= 100
        assert {0} == {limit % 100 for limit in limits}


def test_a_scarce_line_is_below_the_largest_purchase_and_no_other_is() -> None:
    for account_id in ACCOUNTS:
        limit = lending.limit_minor(account_id, 50_001, 80_001)
        line = lending.line_of(account_id)
        assert (limit < 50_001) == (line is Line.SCARCE)
        assert (limit >= 80_001) or line is not Line.AMPLE


def test_due_days_exist_in_every_month_and_spread_over_it() -> None:
    days = [lending.due_day_of_month(account_id) for account_id in ACCOUNTS]
    assert set(range(1, 29)) == set(days)
    scarce = [a for a in ACCOUNTS if lending.line_of(a) is Line.SCARCE]
    assert len({lending.due_day_of_month(a) for a in scarce}) > 14


def test_an_account_repays_all_or_half_rounded_up() -> None:
    paid = {lending.repayment_minor(account_id, 101) for account_id in ACCOUNTS}
    assert {101, 51} == paid
    assert {1} == {lending.repayment_minor(account_id, 1) for account_id in ACCOUNTS}


def demand(*days: list[int]) -> Demand:
    figures = Demand(len(days))
    for number, parts in enumerate(days):
        for part in parts:
            figures.add(number, part)
    return figures


def test_an_ordinary_morning_has_a_little_more_than_the_day_can_take() -> None:
    targets = demand([10_000, 10_000], [1_001], []).targets_minor()
    assert [5_000, 1_052 + FLOOR_MINOR, FLOOR_MINOR] == targets


def test_the_busiest_morning_has_half_without_the_largest_purchase() -> None:
    figures = demand([1_000_000], [4_000, 3_001, 3_000], [5_000, 5_000])
    assert 1 == figures.busiest_day()
    assert 3_000 == figures.targets_minor()[1]
    assert 1_050_000 + FLOOR_MINOR == figures.targets_minor()[0]


def test_of_two_busiest_days_the_first_counts() -> None:
    assert 1 == demand([1], [5, 5], [5, 5]).busiest_day()


def test_a_lender_with_single_purchases_runs_out_on_its_largest() -> None:
    figures = demand([300], [501], [])
    assert 1 == figures.busiest_day()
    assert 250 == figures.targets_minor()[1]


def test_without_demand_no_day_is_busiest() -> None:
    assert demand([], []).busiest_day() is None
    assert [FLOOR_MINOR, FLOOR_MINOR] == demand([], []).targets_minor()


def test_a_purchase_is_demand_on_every_lender_of_its_program_rounded_up() -> None:
    figures = demand_of([(0, lending.UNITED_KINGDOM, 101), (1, lending.WORLD, 10)], 2)
    totals = {lender_id: each.total_minor for lender_id, each in figures.items()}
    assert {
        "northbank": [31, 2],
        "harbour": [71, 3],
        "continental": [0, 0],
        "meridian": [0, 5],
    } == totals
