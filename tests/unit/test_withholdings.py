"""Merchants' payouts: owed for closed days, withheld once, released once."""

from typing import Any

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.recovery import digest_of
from tests.unit.one_settlement import FIRST_DAY, GATEWAY, OneSettlement, a_settlement
from tests.unit.one_shard import a_shard


def owing(**payout: int) -> OneSettlement:
    """Two shards, and one closed day that leaves a merchant so much by currency."""
    settlement = a_settlement(2)
    settlement.submit(c.RegisterMerchant("caller", "shop", "shop"))
    settlement.told(10, m.ReferenceHeld(1))
    settlement.told(11, m.ReferenceHeld(1))
    close(settlement, FIRST_DAY, **payout)
    return settlement


def close(settlement: OneSettlement, day: str, **payout: int) -> None:
    """Close a day; the first shard has two thirds of the payout, rounded down."""
    settlement.ask(c.CloseDay, day)
    first = {currency: minor * 2 // 3 for currency, minor in payout.items()}
    second = {currency: minor - first[currency] for currency, minor in payout.items()}
    for shard, part in enumerate((first, second)):
        totals = e.DayTotals(merchants={"shop": e.MerchantTotals(payout_minor=part)})
        settlement.told(10 + shard, m.DayEnded(day, 5, totals))


def withhold(
    settlement: OneSettlement, amount: int, currency: str = "EUR"
) -> dict[str, Any]:
    return settlement.ask(c.WithholdFromMerchant, "ada", "shop", amount, currency)


def payables(settlement: OneSettlement) -> Any:
    (answer,) = settlement.told(GATEWAY, m.Query(999, "payable", "shop"))
    assert isinstance(answer, m.Answer)
    shown = msgspec.json.decode(answer.body)
    return {
        x["currency"]: (x["closed_minor"], x["withheld_minor"], x["payable_minor"])
        for x in shown["payables"]
    }


def test_a_merchant_is_owed_the_closed_days_of_all_shards_by_currency() -> None:
    settlement = owing(EUR=100, GBP=7)
    assert {"EUR": (100, 0, 100), "GBP": (7, 0, 7)} == payables(settlement)
    close(settlement, "2026-01-02", EUR=-30)
    assert {"EUR": (70, 0, 70), "GBP": (7, 0, 7)} == payables(settlement)


def test_a_day_that_is_still_closing_is_not_owed_yet() -> None:
    settlement = owing(EUR=100)
    settlement.ask(c.CloseDay, "2026-01-02")
    totals = e.DayTotals(merchants={"shop": e.MerchantTotals(payout_minor={"EUR": 9})})
    settlement.told(10, m.DayEnded("2026-01-02", 9, totals))
    assert 100 == withhold(settlement, 1_000)["withheld_minor"]


@pytest.mark.parametrize(("asked", "withheld"), [(60, 60), (100, 100), (101, 100)])
def test_no_more_is_withheld_than_the_merchant_is_owed(
    asked: int, withheld: int
) -> None:
    settlement = owing(EUR=100)
    assert withheld == withhold(settlement, asked)["withheld_minor"]
    assert 100 - withheld == withhold(settlement, 1_000)["withheld_minor"]
    assert {"EUR": (100, 100, 0)} == payables(settlement)


def test_where_nothing_is_owed_nothing_is_withheld_and_nothing_is_named() -> None:
    settlement = owing(EUR=100)
    answer = withhold(settlement, 5, "GBP")
    assert (0, "") == (answer["withheld_minor"], answer["withholding_id"])
    close(settlement, "2026-01-02", EUR=-300)
    assert 0 == withhold(settlement, 5)["withheld_minor"]
    assert {} == settlement.state.withholdings


def test_what_is_released_is_owed_again_once() -> None:
    settlement = owing(EUR=100)
    key = withhold(settlement, 70)["withholding_id"]
    assert 70 == settlement.ask(c.ReleaseWithholding, key)["released_minor"]
    assert {"EUR": (100, 0, 100)} == payables(settlement)
    again = settlement.ask(c.ReleaseWithholding, key)
    assert ("withholding_not_open", False) == (again["reason"], again["transient"])
    unknown = settlement.ask(c.ReleaseWithholding, "wh_0000001")
    assert "withholding_not_found" == unknown["reason"]


def test_a_merchant_that_is_not_there_is_owed_nothing() -> None:
    settlement = a_settlement(1)
    assert "merchant_not_found" == withhold(settlement, 5)["reason"]
    (answer,) = settlement.told(GATEWAY, m.Query(999, "payable", "shop"))
    assert isinstance(answer, m.Answer)
    assert answer.outcome is m.Outcome.NOT_FOUND


def test_the_same_withholding_again_withholds_nothing_more() -> None:
    settlement = owing(EUR=100)
    command = c.WithholdFromMerchant("caller", "x", "ada", "shop", 30, "EUR")
    first, again = settlement.submit(command), settlement.submit(command)
    assert first is not None
    assert again is not None
    assert (m.Outcome.REPLAYED, first.body) == (again.outcome, again.body)
    assert {"EUR": (100, 30, 70)} == payables(settlement)


def test_payouts_and_withholdings_are_rebuilt_from_the_journal() -> None:
    settlement = owing(EUR=100)
    withhold(settlement, 30)
    settlement.ask(c.ReleaseWithholding, withhold(settlement, 5)["withholding_id"])
    again = OneSettlement(2, settlement.batches)
    assert digest_of(settlement.state) == digest_of(again.state)


def test_a_repayment_out_of_a_payout_is_one_like_any_other() -> None:
    shard = a_shard(L1=500)
    shard.ask(c.Authorize, "a", "m", 100, "EUR", True)
    repaid = shard.ask(c.Repay, "a", 60, "EUR", "", "", False, "m", "wh_1")
    assert (60, 0) == (repaid["principal_minor"], repaid["credit_minor"])
    event = shard.records[-1].event
    assert isinstance(event, e.Repaid)
    assert ("m", "wh_1") == (event.withheld_from, event.withholding_id)
    assert 60 == shard.state.totals.repaid_minor


def test_a_withholding_is_spent_once_whatever_is_remembered() -> None:
    shard = a_shard(L1=500)
    shard.ask(c.Authorize, "a", "m", 100, "EUR", True)
    shard.ask(c.Repay, "a", 60, "EUR", "", "", False, "m", "wh_1")
    again = shard.ask(c.Repay, "a", 60, "EUR", "", "", False, "m", "wh_1")
    assert "withholding_spent" == again["reason"]
    assert 40 == shard.read("account", "a")["outstanding_minor"]


def test_what_was_withheld_is_here_and_cannot_bounce() -> None:
    """A return would give cash back that never came in as cash."""
    shard = a_shard(L1=1_000)
    wish = ("a", 50, "EUR", "", "", True, "m", "wh_1")
    told = shard.ask(c.Repay, *wish)
    returned = shard.ask(c.ReturnRepayment, told["repayment_id"])
    assert ("approved", False) == (told["status"], told["provisional"])
    assert "repayment_is_final" == returned["reason"]
