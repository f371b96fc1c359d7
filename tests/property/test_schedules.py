"""Schedules against exact fractions, which round nothing and share no code."""

from datetime import date
from fractions import Fraction
from itertools import accumulate, pairwise

from hypothesis import given
from hypothesis import strategies as st

from processor.calendar import number_of
from processor.schedules import (
    Method,
    Payer,
    Period,
    Plan,
    annuity_payment,
    fee_back,
    instalments,
    interest_on,
    recut,
    schedule,
    trial,
)
from tests.property.profiles import trying

PPM = 1_000_000
HALF = Fraction(1, 2)
METHODS = st.sampled_from(Method)
# Ordinary, tiny, at the edges.
counts = st.one_of(st.integers(1, 36), st.just(1), st.integers(1, 120), st.just(120))
rates = st.one_of(
    st.integers(0, 50_000), st.just(0), st.integers(0, 10), st.integers(0, PPM)
)
amounts = st.one_of(
    st.integers(0, 130), st.integers(0, 10**6), st.integers(0, 10**12), st.just(10**12)
)


def balances(periods: tuple[Period, ...], principal_minor: int) -> list[int]:
    """What is open before each period, and after the last."""
    gone = accumulate((p.principal_minor for p in periods), initial=0)
    return [principal_minor - paid for paid in gone]


def annuity_factors(periods: int, rate_ppm: int) -> list[Fraction]:
    """What payments of 1 over 0, 1, … periods are worth now: discount each."""
    discount = Fraction(PPM, PPM + rate_ppm)
    worth = [Fraction(0)]
    for _ in range(periods):
        worth.append((worth[-1] + 1) * discount)
    return worth


@given(method=METHODS, count=counts, rate_ppm=rates, principal_minor=amounts)
@trying(examples=500)
def test_principals_sum_exactly_and_nothing_is_negative(
    method: Method, count: int, rate_ppm: int, principal_minor: int
) -> None:
    periods = schedule(method, count, rate_ppm, principal_minor)
    assert principal_minor == sum(p.principal_minor for p in periods)
    assert [*range(1, count + 1)] == [p.number for p in periods]
    for p in periods:
        assert 0 <= min(p.principal_minor, p.interest_minor, p.fee_minor)
        assert type(p.principal_minor) is type(p.interest_minor) is int
        assert 0 == (p.interest_minor if method is Method.FLAT_FEE else p.fee_minor)


@given(method=METHODS, count=counts, rate_ppm=rates, principal_minor=amounts)
@trying(examples=300)
def test_interest_is_half_a_unit_from_that_on_the_open_balance(
    method: Method, count: int, rate_ppm: int, principal_minor: int
) -> None:
    periods = schedule(method, count, rate_ppm, principal_minor)
    if method is Method.FLAT_FEE:
        return
    for period, open_minor in zip(
        periods, balances(periods, principal_minor), strict=False
    ):
        exact = Fraction(open_minor * rate_ppm, PPM)
        assert -HALF < period.interest_minor - exact <= HALF
        assert interest_on(open_minor, rate_ppm) == period.interest_minor


@given(
    method=st.sampled_from((Method.FLAT_FEE, Method.EQUAL_PRINCIPAL)),
    count=counts,
    rate_ppm=rates,
    principal_minor=amounts,
)
@trying(examples=300)
def test_equal_parts_are_within_a_unit_after_every_period(
    method: Method, count: int, rate_ppm: int, principal_minor: int
) -> None:
    periods = schedule(method, count, rate_ppm, principal_minor)
    each = Fraction(principal_minor, count)
    opens = balances(periods, principal_minor)
    for period, open_minor in zip(periods, opens[1:], strict=True):
        assert abs(period.principal_minor - each) < 1
        # Behind, never ahead: what is open is the exact balance or a bit more.
        assert 0 <= open_minor - (principal_minor - each * period.number) < 1


@given(count=counts, rate_ppm=rates, principal_minor=amounts)
@trying(examples=300)
def test_a_flat_fee_is_rounded_once_and_spread_evenly(
    count: int, rate_ppm: int, principal_minor: int
) -> None:
    periods = schedule(Method.FLAT_FEE, count, rate_ppm, principal_minor)
    each = Fraction(principal_minor * rate_ppm, PPM)
    whole = sum(p.fee_minor for p in periods)
    assert -HALF < whole - each * count <= HALF
    reached = 0
    for period in periods:
        reached += period.fee_minor
        assert abs(period.fee_minor - Fraction(whole, count)) < 1
        assert 0 <= Fraction(whole * period.number, count) - reached < 1


@given(
    count=counts,
    rate_ppm=rates.map(lambda rate_ppm: rate_ppm or 1),
    principal_minor=amounts,
)
@trying(examples=200)
def test_an_annuity_stays_as_near_as_it_says_to_the_exact_one(
    count: int, rate_ppm: int, principal_minor: int
) -> None:
    factors = annuity_factors(count, rate_ppm)
    exact = principal_minor / factors[count]
    payment_minor = annuity_payment(count, rate_ppm, principal_minor)
    assert -HALF < payment_minor - exact <= HALF

    periods = schedule(Method.EQUAL_PAYMENT, count, rate_ppm, principal_minor)
    opens = balances(periods, principal_minor)
    rate, off = Fraction(rate_ppm, PPM), Fraction(0)
    for k, open_minor in enumerate(opens[:-1]):
        assert abs(open_minor - exact * factors[count - k]) <= off
        off = off * (1 + rate) + 1
    last = periods[-1].principal_minor + periods[-1].interest_minor
    assert abs(last - payment_minor) <= off


@given(
    count=counts,
    rate_ppm=rates.map(lambda rate_ppm: rate_ppm or 1),
    principal_minor=amounts,
)
@trying(examples=300)
def test_all_payments_of_an_annuity_but_the_last_are_equal(
    count: int, rate_ppm: int, principal_minor: int
) -> None:
    """Or, when rounding up repaid it early: one smaller, then empty periods."""
    payment_minor = annuity_payment(count, rate_ppm, principal_minor)
    periods = schedule(Method.EQUAL_PAYMENT, count, rate_ppm, principal_minor)
    opens = balances(periods, principal_minor)
    for period, open_after in zip(periods[:-1], opens[1:], strict=False):
        paid = period.principal_minor + period.interest_minor
        assert paid == payment_minor or (open_after == 0 and paid < payment_minor)


@given(method=METHODS, count=counts, rate_ppm=rates, principal_minor=amounts)
@trying(examples=300)
def test_interest_never_rises_from_period_to_period(
    method: Method, count: int, rate_ppm: int, principal_minor: int
) -> None:
    periods = schedule(method, count, rate_ppm, principal_minor)
    assert all(a.interest_minor >= b.interest_minor for a, b in pairwise(periods))
    if method is Method.EQUAL_PAYMENT and rate_ppm:
        # The principal rises, up to where it is all gone.
        open_after = balances(periods, principal_minor)[1:]
        for (a, b), left in zip(pairwise(periods), open_after[1:], strict=True):
            assert a.principal_minor <= b.principal_minor or left == 0


@given(
    method=METHODS,
    count=counts,
    rates_ppm=st.tuples(rates, rates),
    principals=st.tuples(amounts, amounts),
)
@trying(examples=300)
def test_more_money_or_a_higher_rate_is_never_charged_less(
    method: Method,
    count: int,
    rates_ppm: tuple[int, int],
    principals: tuple[int, int],
) -> None:
    """For an annuity this is true of the payment."""

    def charged(rate_ppm: int, principal_minor: int) -> int:
        if method is Method.EQUAL_PAYMENT:
            return annuity_payment(count, rate_ppm or 1, principal_minor)
        periods = schedule(method, count, rate_ppm, principal_minor)
        return sum(p.interest_minor + p.fee_minor for p in periods)

    low, high = sorted(rates_ppm)
    small, large = sorted(principals)
    assert charged(low, small) <= charged(low, large) <= charged(high, large)


@st.composite
def refunded_purchases(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """The principals of a purchase and refunds that sum to it, in some order."""
    captured_minor = draw(amounts.filter(bool))
    periods = schedule(draw(METHODS), draw(counts), draw(rates), captured_minor)
    cuts = draw(st.lists(st.integers(0, captured_minor), max_size=12))
    marks = [0, *sorted(cuts), captured_minor]
    refunds = draw(st.permutations([b - a for a, b in pairwise(marks)]))
    return [p.principal_minor for p in periods], refunds


@given(case=refunded_purchases())
@trying(examples=300)
def test_refunds_in_any_order_end_in_the_exact_inverse(
    case: tuple[list[int], list[int]],
) -> None:
    principals, refunds = case
    captured_minor = sum(principals)
    back = [0] * len(principals)
    for amount_minor in refunds:
        parts = recut(principals, captured_minor, back, amount_minor)
        assert amount_minor == sum(parts)
        assert 0 <= min(parts)
        back = [a + b for a, b in zip(back, parts, strict=True)]
        for principal_minor, gone in zip(principals, back, strict=True):
            exact = Fraction(principal_minor * sum(back), captured_minor)
            assert abs(gone - exact) < 1
            assert gone <= principal_minor
    assert principals == back


@given(charged_minor=amounts, case=refunded_purchases())
@trying(examples=300)
def test_a_fee_goes_back_in_proportion_and_in_the_end_exactly(
    charged_minor: int, case: tuple[list[int], list[int]]
) -> None:
    principals, refunds = case
    captured_minor = sum(principals)
    before = 0
    for refunded_minor in accumulate(refunds):
        back = fee_back(charged_minor, captured_minor, refunded_minor)
        exact = Fraction(charged_minor * refunded_minor, captured_minor)
        assert 0 <= exact - back < 1
        assert before <= back
        before = back
    assert charged_minor == before


@given(
    first=st.tuples(st.integers(1, 10**9), st.integers(0, PPM)),
    more=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), max_size=12),
)
@trying(examples=200)
def test_captures_between_refunds_leave_the_end_exact(
    first: tuple[int, int], more: list[tuple[int, int]]
) -> None:
    """As `fee_back` tells its caller: what went back already is never taken again."""
    captured_minor, rate_ppm = first
    refunded_minor = back = 0
    for capture_minor, refund_minor in more:
        captured_minor += capture_minor
        refunded_minor += min(refund_minor, captured_minor - refunded_minor)
        charged_minor = interest_on(captured_minor, rate_ppm)
        back = max(back, fee_back(charged_minor, captured_minor, refunded_minor))
        assert back <= charged_minor
    charged_minor = interest_on(captured_minor, rate_ppm)
    assert charged_minor == max(
        back, fee_back(charged_minor, captured_minor, captured_minor)
    )


@given(
    method=METHODS,
    count=counts,
    rate_ppm=rates,
    principal_minor=amounts,
    captured_on=st.dates().filter(lambda day: day.year < 9_980),
    statement_day=st.integers(1, 28),
    due_day=st.integers(1, 28),
)
@trying(examples=200)
def test_a_trial_is_the_bill_whoever_pays(
    method: Method,
    count: int,
    rate_ppm: int,
    principal_minor: int,
    captured_on: date,
    statement_day: int,
    due_day: int,
) -> None:
    periods = schedule(method, count, rate_ppm, principal_minor)
    charged = sum(p.interest_minor + p.fee_minor for p in periods)
    days = captured_on.toordinal(), statement_day, due_day
    own, free = (
        trial(Plan("p", count, method, rate_ppm, payer), principal_minor, *days)
        for payer in (Payer.BORROWER, Payer.MERCHANT)
    )
    assert (charged + principal_minor, 0) == (own.total_minor, own.subsidy_minor)
    assert (principal_minor, charged) == (free.total_minor, free.subsidy_minor)
    for shown, paid in ((own, charged), (free, 0)):
        assert paid == shown.interest_minor + shown.fee_minor
        assert shown.total_minor == sum(p.total_minor for p in shown.periods)
        assert principal_minor == sum(p.principal_minor for p in shown.periods)

    statements = [number_of(p.statement_on) for p in own.periods]
    assert 0 <= statements[0] - captured_on.toordinal() <= 30
    assert all(28 <= b - a <= 31 for a, b in pairwise(statements))
    for period, statement_on in zip(own.periods, statements, strict=True):
        assert 1 <= number_of(period.due_on) - statement_on <= 31
        assert f"{statement_day:02}" == period.statement_on[-2:]
        assert f"{due_day:02}" == period.due_on[-2:]


@given(method=METHODS, count=counts, rate_ppm=rates, principal_minor=amounts)
@trying(examples=100)
def test_a_subsidy_moves_the_charge_and_not_the_principal(
    method: Method, count: int, rate_ppm: int, principal_minor: int
) -> None:
    own, free = (
        instalments(Plan("p", count, method, rate_ppm, payer), principal_minor)
        for payer in (Payer.BORROWER, Payer.MERCHANT)
    )
    assert [p.principal_minor for p in own.periods] == [
        p.principal_minor for p in free.periods
    ]
    assert all(p.interest_minor == p.fee_minor == 0 for p in free.periods)
    assert 0 == own.subsidy_minor
    assert free.subsidy_minor == sum(
        p.interest_minor + p.fee_minor for p in own.periods
    )
