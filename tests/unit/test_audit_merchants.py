"""The audit names whatever is wrong with what merchants are charged."""

import pytest

from processor import events as e
from processor.terms import MerchantTerms, PartyShare, Subsidy
from tests.unit.journals_by_hand import SETTLEMENT, SHARD_0, audited, journals
from tests.unit.test_audit import Tamper, add, change, totals

SPLIT = (PartyShare("platform", 600_000), PartyShare("bank", 400_000))
BRAND = Subsidy("brand", 5_000)
CHANGED = e.MerchantChanged("shop", "", MerchantTerms(), 3)
OTHER_PARTIES = {
    "platform": {"GBP": e.PartyTotals(28, 10)},
    "bank": {"GBP": e.PartyTotals(19, 6)},
}
OTHER_PAYOUT = {
    "shop": e.MerchantTotals(2_540, 3, 800, 1, 46, 16, 12, 3, {"GBP": 1_718})
}
UNNAMED = e.MerchantCharge(12, ("platform",), (12,), 3, ("brand",), (3,))


def charged(sequence: int, fee: int, parts: tuple[int, ...], subsidy: int) -> Tamper:
    """Another charge of a capture, or another one given back by a refund."""
    field = "charge_back" if sequence == 11 else "charge"
    names = ("platform", "bank")
    charge = e.MerchantCharge(fee, names, parts, subsidy, ("brand",), (subsidy,))
    return change(SHARD_0, sequence, **{field: charge})


@pytest.mark.parametrize(
    ("said", "tamper"),
    [
        ("its fee is 13, by the terms it is 12", charged(7, 13, (8, 5), 3)),
        ("party platform has 10 of 12 in fees", charged(7, 12, (10, 2), 3)),
        ("the parts of its fee of 12 are [7, 6]", charged(7, 12, (7, 6), 3)),
        ("the parts of its fee of 12 are [13, -1]", charged(7, 12, (13, -1), 3)),
        ("brand has paid 4 in subsidies where 3 was due", charged(7, 12, (7, 5), 4)),
        ("against its merchant's terms", change(SHARD_0, 7, charge=None)),
        ("its fee is 30, by the terms it is 25", charged(15, 30, (18, 12), 7)),
        ("of its fee 17 has gone back where 16 was due", charged(11, 17, (10, 7), 3)),
        ("of its subsidy 4 has gone back where 3 was", charged(11, 16, (10, 6), 4)),
        ("gave back of the fee is not in proportion", charged(11, 16, (8, 8), 3)),
        ("bank gave back 9 of 8 fee", charged(11, 16, (7, 9), 3)),
        ("nothing back of what was charged", change(SHARD_0, 11, charge_back=None)),
        ("its charge names ('platform', 'brand')", change(SHARD_0, 7, charge=UNNAMED)),
        (
            "have fee_minor of party bank in GBP 19",
            change(SHARD_0, 27, totals=totals(parties=OTHER_PARTIES)),
        ),
        (
            "payout_minor of merchant shop in GBP 1718",
            change(SHARD_0, 27, totals=totals(merchants=OTHER_PAYOUT)),
        ),
        (
            "the fee shares of merchant shop are not whole",
            change(SETTLEMENT, 7, terms=MerchantTerms(fee_shares=SPLIT[:1])),
        ),
        (
            "the terms of merchant shop name somebody twice",
            change(SETTLEMENT, 7, terms=MerchantTerms(subsidies=(BRAND, BRAND))),
        ),
        ("terms 3 of merchant shop after 1", add(SETTLEMENT, None, CHANGED)),
        (
            "terms 3 of merchant shop come out of turn",
            add(SHARD_0, None, e.ReferenceReceived(6, (CHANGED,))),
        ),
    ],
)
def test_the_audit_names_what_is_wrong_with_a_charge(said: str, tamper: Tamper) -> None:
    found = journals()
    tamper(found)

    report = audited(found)

    assert [text for text in report.differences if said in text], report.differences
    assert not report.is_clean
