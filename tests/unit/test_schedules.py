"""Schedules worked by hand: every figure here can be checked with a pencil."""

import msgspec
import pytest

from processor import limits
from processor.calendar import number_of
from processor.schedules import (
    Instalments,
    Method,
    Payer,
    Period,
    Plan,
    TrialPeriod,
    annuity_payment,
    fee_back,
    instalments,
    interest_on,
    recut,
    schedule,
    trial,
)

METHODS = tuple(Method)


def principals(periods: tuple[Period, ...]) -> list[int]:
    return [period.principal_minor for period in periods]


def interests(periods: tuple[Period, ...]) -> list[int]:
    return [period.interest_minor for period in periods]


def fees(periods: tuple[Period, ...]) -> list[int]:
    return [period.fee_minor for period in periods]


# One method after the other.


@pytest.mark.parametrize("method", METHODS)
def test_without_a_rate_1200_in_12_is_100_each(method: Method) -> None:
    expected = tuple(Period(number, 100_00, 0, 0) for number in range(1, 13))
    assert expected == schedule(method, 12, 0, 1_200_00)


@pytest.mark.parametrize("method", METHODS)
def test_what_does_not_divide_falls_on_the_later_periods(method: Method) -> None:
    assert [14, 14, 14, 15, 14, 14, 15] == principals(schedule(method, 7, 0, 100))


def test_a_flat_fee_is_a_part_of_the_original_principal() -> None:
    assert (
        Period(1, 333_33, 0, 6_00),
        Period(2, 333_33, 0, 6_00),
        Period(3, 333_34, 0, 6_00),
    ) == schedule(Method.FLAT_FEE, 3, 6_000, 1_000_00)


def test_the_whole_flat_fee_is_rounded_once_and_spread() -> None:
    # 0.7 % of 1.00 four times is 2.8 cents; each alone would round to 1, making 4.
    assert [0, 1, 1, 1] == fees(schedule(Method.FLAT_FEE, 4, 7_000, 1_00))
    # 0.4 cents a period: each alone would round to nothing.
    assert [0, 1, 0, 1, 1] == fees(schedule(Method.FLAT_FEE, 5, 6_000, 1_00))
    assert [0, 0, 0, 1] == fees(schedule(Method.FLAT_FEE, 4, 2_500, 1_00))


def test_half_a_unit_of_fee_is_a_unit() -> None:
    assert [1] == fees(schedule(Method.FLAT_FEE, 1, 5_000, 1_00))
    assert [0] == fees(schedule(Method.FLAT_FEE, 1, 4_999, 1_00))


def test_equal_principal_bears_interest_on_what_is_left() -> None:
    assert (
        Period(1, 250_00, 10_00, 0),
        Period(2, 250_00, 7_50, 0),
        Period(3, 250_00, 5_00, 0),
        Period(4, 250_00, 2_50, 0),
    ) == schedule(Method.EQUAL_PRINCIPAL, 4, 10_000, 1_000_00)


def test_an_annuity_of_10_000_over_12_at_one_percent_pays_888_49() -> None:
    periods = schedule(Method.EQUAL_PAYMENT, 12, 10_000, 10_000_00)
    payments = [p.principal_minor + p.interest_minor for p in periods]
    assert 888_49 == annuity_payment(12, 10_000, 10_000_00)
    assert [888_49] * 11 + [888_47] == payments
    assert 10_000_00 == sum(principals(periods))
    assert 661_86 == sum(interests(periods))
    assert Period(1, 788_49, 100_00, 0) == periods[0]
    assert Period(2, 796_37, 92_12, 0) == periods[1]  # 1 % of 9 211.51.
    assert Period(12, 879_67, 8_80, 0) == periods[11]


def test_the_last_payment_of_an_annuity_makes_up_for_the_rounding() -> None:
    assert (
        Period(1, 330_02, 10_00, 0),  # 340.02, from 340.0221.
        Period(2, 333_32, 6_70, 0),  # 1 % of 669.98.
        Period(3, 336_66, 3_37, 0),  # 340.03.
    ) == schedule(Method.EQUAL_PAYMENT, 3, 10_000, 1_000_00)


@pytest.mark.parametrize(
    ("periods", "rate_ppm", "principal_minor", "payment_minor"),
    [
        (360, 5_000, 100_000_00, 599_55),  # 6 % a year over 30 years.
        (60, 5_000, 20_000_00, 386_66),
        (1, 10_000, 100_00, 101_00),
        (2, 1_000_000, 3_00, 4_00),  # 3 = 4/2 + 4/4.
    ],
)
def test_known_annuities(
    periods: int, rate_ppm: int, principal_minor: int, payment_minor: int
) -> None:
    assert payment_minor == annuity_payment(periods, rate_ppm, principal_minor)


@pytest.mark.parametrize(
    ("balance_minor", "rate_ppm", "interest_minor"),
    [
        (0, 10_000, 0),
        (49, 10_000, 0),
        (50, 10_000, 1),  # A half goes up, also the second time.
        (150, 10_000, 2),
        (1, 499_999, 0),
        (1, 500_000, 1),
        (10**13, 1_000_000, 10**13),
        (123_45, 0, 0),
    ],
)
def test_interest_is_rounded_half_up(
    balance_minor: int, rate_ppm: int, interest_minor: int
) -> None:
    assert interest_minor == interest_on(balance_minor, rate_ppm)


# Far from ordinary.


@pytest.mark.parametrize("method", METHODS)
def test_one_period_takes_all(method: Method) -> None:
    (period,) = schedule(method, 1, 10_000, 100_00)
    assert 100_00 == period.principal_minor
    assert 1_00 == period.interest_minor + period.fee_minor


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_cut_into_nothing(method: Method) -> None:
    assert (Period(1, 0, 0, 0), Period(2, 0, 0, 0)) == schedule(method, 2, 10_000, 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("rate_ppm", [0, 1, 10_000])
def test_one_unit_over_24_periods_is_due_in_the_last(
    method: Method, rate_ppm: int
) -> None:
    periods = schedule(method, 24, rate_ppm, 1)
    assert [0] * 23 + [1] == principals(periods)
    assert [0] * 24 == interests(periods)
    assert [0] * 24 == fees(periods)


def test_an_annuity_below_half_a_unit_leaves_all_to_the_last_period() -> None:
    assert [0] * 23 + [10] == principals(schedule(Method.EQUAL_PAYMENT, 24, 10_000, 10))


def test_an_annuity_rounded_up_to_a_unit_is_repaid_early() -> None:
    periods = schedule(Method.EQUAL_PAYMENT, 24, 10_000, 13)
    assert [1] * 13 + [0] * 11 == principals(periods)


def test_at_100_percent_the_principal_doubles_from_period_to_period() -> None:
    periods = schedule(Method.EQUAL_PAYMENT, 4, 1_000_000, 15_00)
    assert [1_00, 2_00, 4_00, 8_00] == principals(periods)
    assert [15_00, 14_00, 12_00, 8_00] == interests(periods)


def test_when_the_annuity_is_all_interest_the_last_period_takes_the_principal() -> None:
    periods = schedule(Method.EQUAL_PAYMENT, 41, 1_000_000, 10**12)
    assert [0] * 40 + [10**12] == principals(periods)
    assert [10**12] * 41 == interests(periods)


def test_the_most_that_can_be_charged_is_still_a_json_number() -> None:
    most = limits.LIMIT_MINOR_MAX
    for method in METHODS:
        periods = schedule(method, 120, 1_000_000, most)
        charged = sum(interests(periods)) + sum(fees(periods))
        assert charged + most <= limits.JSON_INTEGER_MAX
    assert 120 * most == sum(fees(schedule(Method.FLAT_FEE, 120, 1_000_000, most)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("periods", "rate_ppm", "principal_minor"),
    [(0, 0, 1), (121, 0, 1), (1, -1, 1), (1, 1_000_001, 1), (1, 0, -1)],
)
def test_what_no_gateway_lets_through_is_a_bug(
    method: Method, periods: int, rate_ppm: int, principal_minor: int
) -> None:
    with pytest.raises(AssertionError):
        schedule(method, periods, rate_ppm, principal_minor)


# Plans, and who pays.


def test_a_plan_is_a_json_object_and_the_borrower_pays_unless_said() -> None:
    text = b'{"plan_id":"six","periods":6,"method":"equal_payment","rate_ppm":5000}'
    plan = msgspec.json.decode(text, type=Plan)
    assert Plan("six", 6, Method.EQUAL_PAYMENT, 5_000, Payer.BORROWER) == plan
    assert text[:-1] + b',"payer":"borrower"}' == msgspec.json.encode(plan)


def test_a_period_is_a_short_array() -> None:
    period = Period(1, 333_33, 0, 6_00)
    assert b"[1,33333,0,600]" == msgspec.json.encode(period)
    assert period == msgspec.json.decode(b"[1,33333,0,600]", type=Period)


def test_the_borrower_pays_the_schedule() -> None:
    plan = Plan("three", 3, Method.EQUAL_PAYMENT, 10_000)
    periods = schedule(Method.EQUAL_PAYMENT, 3, 10_000, 1_000_00)
    assert Instalments(periods, 0) == instalments(plan, 1_000_00)


@pytest.mark.parametrize(
    ("method", "parts", "subsidy_minor"),
    [
        (Method.FLAT_FEE, [333_33, 333_33, 333_34], 30_00),
        (Method.EQUAL_PRINCIPAL, [333_33, 333_33, 333_34], 10_00 + 6_67 + 3_33),
        (Method.EQUAL_PAYMENT, [330_02, 333_32, 336_66], 10_00 + 6_70 + 3_37),
    ],
)
def test_a_subsidised_borrower_pays_the_principal_alone(
    method: Method, parts: list[int], subsidy_minor: int
) -> None:
    cut = instalments(Plan("free", 3, method, 10_000, Payer.MERCHANT), 1_000_00)
    assert subsidy_minor == cut.subsidy_minor
    assert [Period(k, part, 0, 0) for k, part in enumerate(parts, 1)] == [*cut.periods]


# Refunds.


def test_a_refund_comes_off_every_period() -> None:
    assert (10, 20, 30) == recut((100, 200, 300), 600, (0, 0, 0), 60)


def test_a_unit_too_few_for_all_goes_to_whoever_is_due_first() -> None:
    parts = (333, 333, 334)
    assert (0, 0, 1) == recut(parts, 1_000, (0, 0, 0), 1)
    assert (1, 0, 0) == recut(parts, 1_000, (0, 0, 1), 1)
    assert (333, 333, 333) == recut(parts, 1_000, (0, 0, 1), 999)


def test_a_whole_refund_is_the_inverse_also_with_empty_periods() -> None:
    parts = principals(schedule(Method.EQUAL_PAYMENT, 24, 10_000, 13))
    assert tuple(parts) == recut(parts, 13, [0] * 24, 13)
    assert (7,) == recut((9,), 9, (2,), 7)


@pytest.mark.parametrize(
    ("captured_minor", "back", "amount_minor"),
    [(9, (0,), 10), (9, (4,), 6), (9, (0,), -1), (8, (0,), 1), (10, (0,), 1)],
)
def test_a_refund_of_what_is_not_there_is_a_bug(
    captured_minor: int, back: tuple[int, ...], amount_minor: int
) -> None:
    with pytest.raises(AssertionError):
        recut((9,), captured_minor, back, amount_minor)


@pytest.mark.parametrize(
    ("charged_minor", "captured_minor", "refunded_minor", "back_minor"),
    [
        (6_00, 1_000_00, 0, 0),
        (6_00, 1_000_00, 1_66, 0),  # 0.996 cents: not yet one.
        (6_00, 1_000_00, 1_67, 1),
        (6_00, 1_000_00, 500_00, 3_00),
        (6_00, 1_000_00, 999_99, 5_99),
        (6_00, 1_000_00, 1_000_00, 6_00),
        (0, 1_000_00, 700_00, 0),
        (7, 3, 2, 4),
    ],
)
def test_a_fee_goes_back_with_what_it_was_charged_for(
    charged_minor: int, captured_minor: int, refunded_minor: int, back_minor: int
) -> None:
    assert back_minor == fee_back(charged_minor, captured_minor, refunded_minor)


@pytest.mark.parametrize("case", [(1, 0, 0), (1, 10, 11), (1, 10, -1), (-1, 10, 1)])
def test_a_fee_of_what_was_never_captured_is_a_bug(case: tuple[int, int, int]) -> None:
    with pytest.raises(AssertionError):
        fee_back(*case)


# The trial calculation.


def test_a_trial_shows_dates_amounts_and_totals() -> None:
    plan = Plan("three", 3, Method.EQUAL_PAYMENT, 10_000)
    shown = trial(plan, 1_000_00, number_of("2026-11-06"), 5, 25)
    assert (
        TrialPeriod(1, "2026-12-05", "2026-12-25", 330_02, 10_00, 0, 340_02),
        TrialPeriod(2, "2027-01-05", "2027-01-25", 333_32, 6_70, 0, 340_02),
        TrialPeriod(3, "2027-02-05", "2027-02-25", 336_66, 3_37, 0, 340_03),
    ) == shown.periods
    assert 1_000_00 == shown.principal_minor
    assert 20_07 == shown.interest_minor
    assert 0 == shown.fee_minor
    assert 1_020_07 == shown.total_minor
    assert 0 == shown.subsidy_minor


def test_a_purchase_on_a_statement_date_is_billed_that_day() -> None:
    plan = Plan("two", 2, Method.FLAT_FEE, 6_000)
    shown = trial(plan, 1_000_00, number_of("2026-01-28"), 28, 15)
    assert (
        TrialPeriod(1, "2026-01-28", "2026-02-15", 500_00, 0, 6_00, 506_00),
        TrialPeriod(2, "2026-02-28", "2026-03-15", 500_00, 0, 6_00, 506_00),
    ) == shown.periods
    assert 12_00 == shown.fee_minor
    assert 1_012_00 == shown.total_minor


def test_a_subsidised_trial_costs_the_borrower_nothing_more() -> None:
    plan = Plan("free", 2, Method.FLAT_FEE, 6_000, Payer.MERCHANT)
    shown = trial(plan, 1_000_00, number_of("2026-01-28"), 28, 15)
    assert [500_00, 500_00] == [period.total_minor for period in shown.periods]
    assert 1_000_00 == shown.total_minor
    assert 12_00 == shown.subsidy_minor
