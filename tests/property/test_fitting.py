"""The largest purchase that fits, against trying every amount."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from processor import limits
from processor.apportion import apportion
from processor.fitting import most_that_fits
from tests.property.profiles import trying


@st.composite
def programs(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shares of one to eight lenders, and what they were given before."""
    count = draw(st.integers(1, 8))
    cuts = draw(st.sets(st.integers(1, 199), min_size=count - 1, max_size=count - 1))
    edges = [0, *sorted(cuts), 200]
    shares = tuple(
        (high - low) * limits.PPM // 200 for low, high in itertools.pairwise(edges)
    )
    carry = (0,) * count
    for amount in draw(st.lists(st.integers(1, 60), max_size=6)):
        parts = apportion(shares, limits.PPM, carry, amount)
        carry = tuple(x + y for x, y in zip(carry, parts, strict=True))
    return shares, carry


@given(
    program=programs(),
    headrooms=st.lists(st.none() | st.integers(0, 40), min_size=8, max_size=8),
    amount_max=st.integers(0, 250),
)
@trying(examples=400)
def test_the_largest_that_fits_is_found(
    program: tuple[tuple[int, ...], tuple[int, ...]],
    headrooms: list[int | None],
    amount_max: int,
) -> None:
    shares, carry = program
    bounds = headrooms[: len(shares)]

    def fits(amount: int) -> bool:
        parts = apportion(shares, limits.PPM, carry, amount)
        return all(h is None or p <= h for p, h in zip(parts, bounds, strict=True))

    expected = max(amount for amount in range(amount_max + 1) if fits(amount))
    assert expected == most_that_fits(shares, carry, bounds, amount_max)


def test_a_tiny_share_among_many_ends_where_one_more_does_not_fit() -> None:
    shares = (limits.PPM - 7, 1, 1, 1, 1, 1, 1, 1)
    none = (0,) * 8
    headrooms = [None, 0, *[None] * 6]
    most = most_that_fits(shares, none, headrooms, 10**12)
    assert 0 == apportion(shares, limits.PPM, none, most)[1]
    assert 1 == apportion(shares, limits.PPM, none, most + 1)[1]


def test_a_large_amount_is_found_at_once() -> None:
    shares, carry = (300_000, 700_000), (30, 70)
    most = most_that_fits(shares, carry, (10**9, 10**15), 10**12)
    assert 10**9 == apportion(shares, limits.PPM, carry, most)[0]
    assert 10**9 + 1 == apportion(shares, limits.PPM, carry, most + 1)[0]
