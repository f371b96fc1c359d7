"""The split is exact for ever: for any weights, any amounts, any order."""

from collections.abc import Sequence
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.apportion import apportion
from tests.property.profiles import trying

PPM = 1_000_000
PARTIES_MAX = 8

# Ordinary, absent, and so small or large that the others hardly count.
weight = st.one_of(
    st.integers(1, 10), st.just(0), st.integers(1, 10**6), st.integers(10**9, 10**12)
)
weights_of = st.lists(weight, min_size=1, max_size=PARTIES_MAX).filter(any)
chunk = st.one_of(
    st.integers(0, 3), st.integers(0, 100), st.just(1), st.integers(0, 10**9)
)


def plus(taken: Sequence[int], parts: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(taken, parts, strict=True)]


def assert_within_one_unit(weights: Sequence[int], taken: Sequence[int]) -> None:
    """Exact fractions: every party is less than one unit from its quota."""
    reached, total = sum(taken), sum(weights)
    for share, given_so_far in zip(weights, taken, strict=True):
        assert abs(given_so_far - Fraction(share * reached, total)) < 1


@given(weights=weights_of, chunks=st.lists(chunk, max_size=60))
@trying(examples=400)
def test_no_party_is_ever_a_whole_unit_from_its_quota(
    weights: list[int], chunks: list[int]
) -> None:
    taken = [0] * len(weights)
    for amount in chunks:
        parts = apportion(weights, sum(weights), taken, amount)
        assert amount == sum(parts)
        assert min(parts) >= 0
        taken = plus(taken, parts)
        assert_within_one_unit(weights, taken)


@given(weights=weights_of, count=st.integers(1, 300))
@trying(examples=100)
def test_unit_by_unit_stays_within_one_unit(weights: list[int], count: int) -> None:
    taken = [0] * len(weights)
    for _ in range(count):
        parts = apportion(weights, sum(weights), taken, 1)
        assert [0] * (len(weights) - 1) + [1] == sorted(parts)
        taken = plus(taken, parts)
        assert_within_one_unit(weights, taken)


@given(weights=weights_of, chunks=st.lists(chunk, max_size=30))
@trying(examples=200)
def test_a_party_without_weight_gets_nothing(
    weights: list[int], chunks: list[int]
) -> None:
    taken = [0] * len(weights)
    for amount in chunks:
        taken = plus(taken, apportion(weights, sum(weights), taken, amount))
    nothing = [given for share, given in zip(weights, taken, strict=True) if not share]
    assert [0] * len(nothing) == nothing


@st.composite
def stocks_and_draws(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """A stock in parts, and amounts that draw it down to nothing."""
    size = st.one_of(st.integers(0, 5), st.integers(0, 1_000), st.integers(0, 10**12))
    stock = draw(st.lists(size, min_size=1, max_size=PARTIES_MAX).filter(any))
    left = sum(stock)
    draws: list[int] = []
    while left and len(draws) < 40:
        draws.append(draw(st.integers(1, left)))
        left -= draws[-1]
    return stock, [*draws, left]


@given(case=stocks_and_draws())
@trying(examples=150)
def test_refunds_in_any_pieces_end_in_the_exact_inverse(
    case: tuple[list[int], list[int]],
) -> None:
    stock, draws = case
    back = [0] * len(stock)
    for amount in draws:
        parts = apportion(stock, sum(stock), back, amount)
        assert amount == sum(parts)
        back = plus(back, parts)
        assert_within_one_unit(stock, back)
        assert all(b <= s for b, s in zip(back, stock, strict=True))
    assert stock == back


@given(data=st.data(), case=stocks_and_draws())
@trying(examples=100)
def test_a_stock_that_grew_meanwhile_is_never_overdrawn(
    data: st.DataObject, case: tuple[list[int], list[int]]
) -> None:
    """A refund, then another capture, then refunds: the weights have changed."""
    stock, draws = case
    back = [0] * len(stock)
    for amount in draws:
        if data.draw(st.booleans()):
            part = st.integers(0, 50)
            stock = plus(stock, [data.draw(part) for _ in stock])
        parts = apportion(stock, sum(stock), back, amount)
        assert amount == sum(parts)
        assert min(parts) >= 0
        back = plus(back, parts)
        assert all(b <= s for b, s in zip(back, stock, strict=True))
    left = sum(stock) - sum(back)
    assert stock == plus(back, apportion(stock, sum(stock), back, left))


@pytest.mark.parametrize(
    ("stock", "back", "amount"),
    [
        ([1, 99], [1, 0], 1),
        ([10, 10], [10, 0], 10),
        ([10, 10, 0], [0, 10, 0], 9),
        ([3, 3, 3], [3, 0, 0], 1),
        ([100, 0], [0, 0], 100),
    ],
)
def test_what_came_back_by_other_weights_is_made_up_from_what_is_left(
    stock: list[int], back: list[int], amount: int
) -> None:
    parts = apportion(stock, sum(stock), back, amount)
    assert amount == sum(parts)
    assert min(parts) >= 0
    after = plus(back, parts)
    assert all(b <= s for b, s in zip(after, stock, strict=True))


@pytest.mark.parametrize("weights", [(1,), (300, 700), (1, 2, 3), (0, 0, 5)])
def test_nothing_is_split_into_nothing(weights: tuple[int, ...]) -> None:
    assert (0,) * len(weights) == apportion(
        weights, sum(weights), (0,) * len(weights), 0
    )


def test_one_lender_takes_all() -> None:
    assert (123,) == apportion((PPM,), PPM, (10**15,), 123)


def test_whoever_is_due_first_gets_the_unit() -> None:
    """With three parties the one furthest behind may not be the most urgent."""
    taken = [0, 0, 0]
    order = []
    for _ in range(10):
        parts = apportion((500_000, 300_000, 200_000), PPM, taken, 1)
        order.append(parts.index(1))
        taken = plus(taken, parts)
    assert [5, 3, 2] == taken
    assert [0, 1, 0, 2, 0] == order[:5]


@pytest.mark.parametrize(
    "weights", [(300_000, 700_000), (300_000, 330_000, 370_000)], ids=["30/70", "trio"]
)
def test_a_million_purchases_stay_within_one_minor_unit(
    weights: tuple[int, ...],
) -> None:
    """Rounding each purchase on its own is hundreds of thousands off by then."""
    random = Random(20_260_101)
    count = 1_000_000
    taken = [0] * len(weights)
    alone = [0] * len(weights)
    others = range(1, len(weights))
    for _ in range(count):
        amount = random.randrange(1, 100_000)
        parts = apportion(weights, PPM, taken, amount)
        for i, part in enumerate(parts):
            taken[i] += part
        rest = amount
        for i in others:  # Floor each, and what is left goes to the first.
            floor = weights[i] * amount // PPM
            alone[i] += floor
            rest -= floor
        alone[0] += rest
    assert sum(taken) == sum(alone)
    assert_within_one_unit(weights, taken)
    drift = abs(alone[0] - Fraction(weights[0] * sum(alone), PPM))
    assert drift > count // 4
