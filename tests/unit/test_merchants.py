"""Merchants' money: one rule a test, by hand.

`tests/property` tries them in every order; these say what they are.
"""

from typing import Any

import pytest

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.merchants import fee_of, tariff_of
from processor.terms import MerchantTerms, PartyShare, Subsidy
from tests.unit.one_shard import OneShard, a_shard

SPLIT = (PartyShare("platform", 700_000), PartyShare("bank", 300_000))
BRAND = (Subsidy("brand", 10_000),)


def a_shop(terms: MerchantTerms, limit: int = 100_000) -> OneShard:
    """A shard with merchant `m` on new terms, and money enough."""
    shard = a_shard(limit=limit, L1=limit, L2=limit).connected()
    change(shard, terms)
    return shard


def change(shard: OneShard, terms: MerchantTerms) -> None:
    version = shard.state.merchants["m"].version + 1
    fact = e.MerchantChanged("m", "", terms, version)
    shard.told(m.ReferenceSent(shard.state.reference_version + 1, (fact,)))


def buy(shard: OneShard, amount: int, capture: bool = True) -> dict[str, Any]:
    return shard.ask(c.Authorize, "a", "m", amount, "EUR", capture)


def totals(shard: OneShard) -> Any:
    return shard.state.totals.merchants["m"]


def back_of(shard: OneShard, key: str) -> tuple[int, dict[str, int]]:
    """What went back of a purchase's fee, in all and by party."""
    parties = shard.read("authorization", key)["charge"]["parties"]
    back = {part["party_id"]: part["fee_back_minor"] for part in parties}
    return sum(back.values()), back


@pytest.mark.parametrize(
    ("amount", "fee"),
    [(1, 1), (24, 5), (249, 5), (250, 5), (274, 5), (275, 6), (1_000, 20), (9_999, 30)],
)
def test_a_fee_is_rounded_half_up_and_clamped(amount: int, fee: int) -> None:
    tariff = tariff_of(MerchantTerms("", 20_000, 5, 30), 1)
    assert tariff is not None
    assert fee == fee_of(tariff, amount)


def test_a_fee_is_never_more_than_the_capture() -> None:
    shard = a_shop(MerchantTerms(fee_minimum_minor=50))
    assert 7 == buy(shard, 7)["fee_minor"]
    assert {"EUR": 0} == totals(shard).payout_minor


def test_without_terms_nothing_is_charged_and_nothing_is_shown() -> None:
    shard = a_shop(MerchantTerms("food"))
    answer = buy(shard, 1_000)
    assert "fee_minor" not in answer
    assert "subsidy_minor" not in answer
    assert "charge" not in shard.read("authorization", answer["authorization_id"])
    assert {"EUR": 1_000} == totals(shard).payout_minor


def test_what_is_only_authorized_is_not_charged() -> None:
    shard = a_shop(MerchantTerms(fee_ppm=20_000))
    key = buy(shard, 1_000, capture=False)["authorization_id"]
    assert "m" not in shard.state.totals.merchants
    assert 12 == shard.ask(c.CaptureAuthorization, key, 600)["fee_minor"]
    assert 8 == shard.ask(c.CaptureAuthorization, key)["fee_minor"]
    assert (20, {"EUR": 980}) == (totals(shard).fee_minor, totals(shard).payout_minor)


def test_a_converted_hold_that_is_captured_is_charged() -> None:
    shard = a_shop(MerchantTerms(fee_ppm=20_000, subsidies=BRAND))
    key = shard.ask(c.PlaceHold, "a", 1_000, "EUR")["hold_id"]
    answer = shard.ask(c.ConvertHold, key, "m", None, True)
    assert (20, 10) == (answer["fee_minor"], answer["subsidy_minor"])


def test_a_fee_without_shares_is_the_platforms() -> None:
    shard = a_shop(MerchantTerms(fee_ppm=20_000))
    buy(shard, 1_000)
    assert {"platform": {"EUR": e.PartyTotals(20, 0)}} == shard.state.totals.parties


def test_parties_share_the_fees_of_all_captures_not_of_each() -> None:
    shard = a_shop(MerchantTerms(fee_minimum_minor=1, fee_shares=SPLIT))
    for _ in range(10):
        buy(shard, 5)
    parties = shard.state.totals.parties
    assert (7, 3) == (
        parties["platform"]["EUR"].fee_minor,
        parties["bank"]["EUR"].fee_minor,
    )


def test_a_subsidy_of_small_captures_is_not_rounded_away() -> None:
    shard = a_shop(MerchantTerms(subsidies=BRAND))
    shown = [buy(shard, 30).get("subsidy_minor", 0) for _ in range(10)]
    assert [0, 0, 0, 1, 0, 0, 1, 0, 0, 1] == shown
    assert 3 == shard.state.totals.payers["brand"]["EUR"].subsidy_minor
    assert {"EUR": 303} == totals(shard).payout_minor


def test_new_terms_count_for_captures_from_then_on() -> None:
    shard = a_shop(MerchantTerms(fee_ppm=10_000))
    key = buy(shard, 1_000, capture=False)["authorization_id"]
    assert 5 == shard.ask(c.CaptureAuthorization, key, 500)["fee_minor"]
    change(shard, MerchantTerms(fee_ppm=30_000, fee_shares=SPLIT))
    assert 15 == shard.ask(c.CaptureAuthorization, key, 500)["fee_minor"]
    assert 20 == shard.ask(c.Refund, key)["fee_back_minor"]
    assert {"platform": 16, "bank": 4} == back_of(shard, key)[1]


def test_a_refund_gives_back_its_part_of_fee_and_subsidy() -> None:
    shard = a_shop(MerchantTerms("", 20_000, 0, None, SPLIT, BRAND))
    key = buy(shard, 1_000)["authorization_id"]
    refunded = shard.ask(c.Refund, key, 499)
    assert (9, 4) == (refunded["fee_back_minor"], refunded["subsidy_back_minor"])
    assert (9, {"platform": 7, "bank": 2}) == back_of(shard, key)
    assert {"EUR": 1_000 - 20 + 10 - 499 + 9 - 4} == totals(shard).payout_minor


@pytest.mark.parametrize("pieces", [(997,), (1, 996), (300, 1, 1, 695), (996, 1)])
def test_a_whole_refund_in_odd_pieces_gives_everybody_back_what_he_had(
    pieces: tuple[int, ...],
) -> None:
    shard = a_shop(MerchantTerms("", 33_333, 0, None, SPLIT, BRAND))
    buy(shard, 333)
    key = buy(shard, 997)["authorization_id"]
    for amount in pieces:
        shard.ask(c.Refund, key, amount)
    charge = shard.read("authorization", key)["charge"]
    for part in charge["parties"]:
        assert part["fee_minor"] == part["fee_back_minor"]
    for part in charge["payers"]:
        assert part["subsidy_minor"] == part["subsidy_back_minor"]


def test_what_went_back_stays_back_when_more_is_captured() -> None:
    shard = a_shop(MerchantTerms(fee_ppm=100_000))
    key = buy(shard, 200, capture=False)["authorization_id"]
    shard.ask(c.CaptureAuthorization, key, 100)  # 10 of fee.
    assert 8 == shard.ask(c.Refund, key, 80)["fee_back_minor"]
    change(shard, MerchantTerms("", 10_000))
    shard.ask(c.CaptureAuthorization, key, 100)  # 11 of fee; 80 of 200: 4 are due.
    assert "fee_back_minor" not in shard.ask(c.Refund, key, 60)  # 140 of 200: 7.
    assert 1 == shard.ask(c.Refund, key, 30)["fee_back_minor"]  # 170 of 200: 9.
    assert 2 == shard.ask(c.Refund, key)["fee_back_minor"]
    assert 0 == totals(shard).fee_minor - totals(shard).fee_back_minor
    assert {"EUR": 0} == totals(shard).payout_minor
