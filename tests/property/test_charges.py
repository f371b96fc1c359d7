"""Merchants' fees and subsidies: exact for ever, and refunds are their inverse."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from processor.merchants import (
    charge_back,
    charge_by,
    count_back,
    count_charge,
    more_charged,
    tariff_of,
)
from processor.state import Charge
from processor.terms import MerchantTerms, PartyShare, Subsidy
from tests.property.naive_charges import check_back, fee_due
from tests.property.profiles import trying

PPM = 1_000_000
PARTIES = ("platform", "bank", "agent", "acquirer")
PAYERS = ("brand", "mall", "scheme")


def some_terms(random: Random) -> MerchantTerms:
    """Any terms that make sense, in all proportions."""
    parties = random.sample(PARTIES, random.randint(0, len(PARTIES)))
    cuts = sorted(random.sample(range(1, PPM), max(0, len(parties) - 1)))
    edges = [0, *cuts, PPM]
    shares = tuple(
        PartyShare(name, edges[i + 1] - edges[i]) for i, name in enumerate(parties)
    )
    payers = random.sample(PAYERS, random.randint(0, len(PAYERS)))
    least = random.choice([0, 0, random.randint(1, 40)])
    most = random.choice([None, least + random.randint(0, 300)])
    return MerchantTerms(
        "",
        random.choice([0, 1, 29_000, 333_333, PPM, random.randint(0, PPM)]),
        least,
        most,
        shares,
        tuple(Subsidy(name, random.randint(1, PPM)) for name in payers),
    )


def test_a_million_captures_lose_nothing() -> None:
    """Every cumulative part is within one unit of its share, at every capture."""
    seed = 20260101
    random = Random(seed)
    shares = (
        PartyShare("platform", 612_345),
        PartyShare("bank", 287_654),
        PartyShare("agent", 100_000),
        PartyShare("scheme", 1),
    )
    terms = MerchantTerms("", 23_457, 0, 900, shares, (Subsidy("brand", 7_013),))
    tariff = tariff_of(terms, 1)
    assert tariff is not None
    fees = captured = subsidies = 0
    weights = [share.share_ppm for share in shares]
    for amount in random.choices(range(1, 60_000), k=1_000_000):
        charge = charge_by(tariff, amount)
        count_charge(tariff, amount, charge)
        fees += charge.fee_minor
        captured += amount
        subsidies += charge.subsidy_minor
        assert subsidies == captured * 7_013 // PPM, seed
        for weight, part in zip(weights, tariff.split_parts, strict=True):
            assert -PPM < part * PPM - weight * fees < PPM, seed
    assert sum(tariff.split_parts) == fees


@given(seed=st.integers(0, 2**32 - 1))
@trying(examples=300, is_seeded=True)
def test_refunds_give_back_exactly_what_captures_took(seed: int) -> None:
    """In any number, size and order, between captures and under changing terms."""
    random = Random(seed)
    tariffs = [tariff_of(some_terms(random), i + 1) for i in range(3)]
    moved: Charge | None = None
    captured = refunded = 0
    is_steady = True
    for _ in range(random.randint(1, 60)):
        left = captured - refunded
        tariff = random.choice(tariffs)
        if left and random.random() < 0.6:
            amount = random.choice([1, left, random.randint(1, left)])
            refunded += amount
            if moved is not None:
                give_back(moved, refunded, captured, is_steady)
        elif random.random() < 0.5:
            amount = random.choice([1, random.randint(1, 90), random.randint(1, 9_999)])
            captured += amount
            is_steady = is_steady and not refunded
            if tariff is not None:
                charge = charge_by(tariff, amount)
                assert charge.fee_minor <= amount
                count_charge(tariff, amount, charge)
                moved = more_charged(moved, charge)
    if moved is not None and captured > refunded:
        give_back(moved, captured, captured, is_steady)
    if moved is not None and captured:
        assert moved.fee_parts == moved.fee_back_parts
        assert moved.subsidy_parts == moved.subsidy_back_parts


def give_back(moved: Charge, refunded: int, captured: int, is_steady: bool) -> None:
    """One refund; `refunded` is with it."""
    before = (moved.fee_back_parts, moved.subsidy_back_parts)
    back = charge_back(moved, refunded, captured)
    count_back(moved, back)
    is_whole = refunded == captured
    for taken, had, now, parts in (
        (moved.fee_parts, before[0], moved.fee_back_parts, back.fee_parts),
        (moved.subsidy_parts, before[1], moved.subsidy_back_parts, back.subsidy_parts),
    ):
        check_back(taken, now, parts, is_steady, is_whole)
        due = max(sum(had), sum(taken) * refunded // captured)
        assert sum(now) == due


@given(
    amount=st.integers(1, 10**12),
    ppm=st.integers(0, PPM),
    least=st.integers(0, 10**12),
    cap=st.one_of(st.none(), st.integers(0, 10**12)),
)
@trying(examples=500)
def test_a_fee_is_what_its_words_say(
    amount: int, ppm: int, least: int, cap: int | None
) -> None:
    terms = MerchantTerms("", ppm, least, cap if cap is None else max(cap, least))
    tariff = tariff_of(terms, 1)
    if tariff is not None:
        charge = charge_by(tariff, amount)
        assert fee_due(terms, amount) == charge.fee_minor == sum(charge.fee_parts)
