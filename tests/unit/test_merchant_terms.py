"""Merchants' terms: what may be agreed, and when it is in force."""

import pytest

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.declines import DeclineReason
from processor.terms import MerchantTerms, PartyShare, Subsidy
from tests.unit.one_settlement import GATEWAY, OneSettlement, a_settlement, of_kind

HALVES = (PartyShare("platform", 500_000), PartyShare("bank", 500_000))


def register(settlement: OneSettlement) -> None:
    """The only shard holds the new merchant."""
    settlement.submit(c.RegisterMerchant("caller", "shop", "shop", "The Shop"))
    settlement.told(10, m.ReferenceHeld(1))


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (
            MerchantTerms(fee_shares=(PartyShare("platform", 999_999),)),
            DeclineReason.SHARES_NOT_WHOLE,
        ),
        (
            MerchantTerms(fee_shares=(HALVES[0], HALVES[0])),
            DeclineReason.SHARES_NOT_WHOLE,
        ),
        (
            MerchantTerms(fee_minimum_minor=10, fee_cap_minor=9),
            DeclineReason.FEE_CAP_BELOW_MINIMUM,
        ),
        (
            MerchantTerms(subsidies=(Subsidy("brand", 1), Subsidy("brand", 2))),
            DeclineReason.SUBSIDY_PAYER_REPEATED,
        ),
    ],
)
def test_terms_that_make_no_sense_are_declined(
    terms: MerchantTerms, reason: DeclineReason
) -> None:
    settlement = a_settlement(1)
    answer = settlement.ask(c.RegisterMerchant, "shop", "", terms)
    assert reason == answer["reason"]
    assert not answer["transient"]
    register(settlement)
    assert reason == settlement.ask(c.ChangeMerchant, "shop", terms)["reason"]


def test_a_merchant_that_is_not_there_has_no_terms() -> None:
    settlement = a_settlement(1)
    answer = settlement.ask(c.ChangeMerchant, "shop", MerchantTerms())
    assert "merchant_not_found" == answer["reason"]


def test_new_terms_are_answered_when_the_shards_hold_them() -> None:
    settlement = a_settlement(1)
    register(settlement)
    terms = MerchantTerms(fee_ppm=10_000, fee_shares=HALVES)
    assert settlement.submit(c.ChangeMerchant("caller", "x", "shop", terms)) is None
    sent = of_kind(settlement.said[10], m.ReferenceSent)[-1]
    assert (e.MerchantChanged("shop", "The Shop", terms, 2),) == sent.facts
    settlement.told(10, m.ReferenceHeld(2))
    assert settlement.answer(settlement.count) is not None


def test_a_merchant_is_shown_with_its_terms() -> None:
    settlement = a_settlement(1)
    register(settlement)
    terms = MerchantTerms(category="food")
    settlement.submit(c.ChangeMerchant("caller", "x", "shop", terms, "Shop"))
    (answer,) = settlement.told(GATEWAY, m.Query(99, "merchant", "shop"))
    assert isinstance(answer, m.Answer)
    for shown in (b'"name":"Shop"', b'"version":2', b'"category":"food"'):
        assert shown in answer.body
