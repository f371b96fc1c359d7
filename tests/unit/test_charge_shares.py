"""Charges are split over the lenders by their shares, over all there ever were."""

from typing import Any

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.debts import give_fees_back
from processor.events import (
    DayTotals,
    LenderTotals,
    MerchantTotals,
    PartyTotals,
    PayerTotals,
)
from processor.schedules import Method, Plan
from processor.settlement_state import add_totals
from processor.terms import Terms
from tests.unit.one_shard import OneShard

FEES = Plan("fees", 1, Method.FLAT_FEE, 100_000)


def a_shard(**terms: Any) -> OneShard:
    """With account `a` of lenders L1 and L2 at 30/70, billed every 5th."""
    shard = OneShard().welcomed()
    shares = (c.Share("L1", 300_000), c.Share("L2", 700_000))
    program = e.ProgramRegistered(
        "p", 1, "EUR", shares, 10**6, 10**6, 0, (FEES,), Terms(**terms)
    )
    facts = (
        e.LenderRegistered("L1", "EUR", "", 0),
        e.LenderRegistered("L2", "EUR", "", 0),
        e.MerchantRegistered("m", ""),
        program,
    )
    shard.told(m.ReferenceSent(len(facts), facts))
    shard.told(*(m.GrantSlice(name, 10**9) for name in ("L1", "L2")))
    shard.ask(c.OpenAccount, "a", "p", "EUR", 10**9, 5, 20)
    return shard


def buy(shard: OneShard, amount: int, plan: str = "") -> str:
    wish = ("a", "m", amount, "EUR", True, "", plan)
    made: str = shard.ask(c.Authorize, *wish)["authorization_id"]
    return made


def charges(shard: OneShard) -> list[int]:
    """What each lender has of the day's charges."""
    totals = shard.state.totals.lenders
    return [totals[name].charges_minor for name in ("L1", "L2")]


def test_a_paid_fee_that_goes_back_in_pieces_comes_from_both_lenders() -> None:
    shard = a_shard()
    bought = buy(shard, 100, "fees")  # 10 of fees.
    shard.told(m.MoveDay("2026-01-01", "2026-01-06"))
    shard.ask(c.Repay, "a", 110, "EUR")
    assert [3, 7] == charges(shard)

    for _ in range(10):
        shard.ask(c.Refund, bought, 10)

    assert [0, 0] == charges(shard)


def test_what_bounces_does_not_count_against_a_lenders_share() -> None:
    shard = a_shard()
    for _ in range(12):
        buy(shard, 10, "fees")  # 1 of fees each.
    shard.told(m.MoveDay("2026-01-01", "2026-01-06"))
    state = shard.state

    for _ in range(30):
        repaid = shard.ask(c.Repay, "a", 3, "EUR", "", "", True)
        shard.ask(c.ReturnRepayment, repaid["repayment_id"])

    assert (27, 63) == state.programs["p"].charge_parts  # Of 90 ever paid.
    assert [0, 0] == charges(shard)


def three_paid_fees() -> tuple[OneShard, str, str]:
    """Three fees of 1 each: by the shares, the last alone is the first lender's.

    And the purchase that the last is of, and its provisional repayment.
    """
    shard = a_shard()
    bought = [buy(shard, 10, "fees") for _ in range(3)]
    shard.told(m.MoveDay("2026-01-01", "2026-01-06"))
    found = []
    for key in bought:
        repaid = shard.ask(c.Repay, "a", 11, "EUR", "", key, True)
        found.append((charges(shard), repaid["repayment_id"]))
    assert [[0, 1], [0, 2], [1, 2]] == [had for had, _ in found]
    return shard, bought[-1], found[-1][1]


def test_a_fee_goes_back_from_the_lender_who_has_it() -> None:
    shard, bought, _ = three_paid_fees()

    shard.ask(c.Refund, bought)

    assert [0, 2] == charges(shard)


def test_a_fee_that_went_back_does_not_go_back_once_more() -> None:
    shard, bought, repaid = three_paid_fees()
    shard.ask(c.Refund, bought)

    shard.ask(c.ReturnRepayment, repaid)

    assert [0, 2] == charges(shard)
    assert () == shard.state.authorizations[bought].fee_parts


def test_what_is_left_of_a_fee_goes_back_from_whoever_has_it() -> None:
    """Paid in two parts; half went back, and then one of the two bounced."""
    shard = a_shard()
    bought = buy(shard, 40, "fees")  # 4 of fees: one is the first lender's.
    shard.told(m.MoveDay("2026-01-01", "2026-01-06"))
    first, second = (
        shard.ask(c.Repay, "a", 2, "EUR", "", bought, True)["repayment_id"]
        for _ in range(2)
    )
    assert [1, 3] == charges(shard)

    shard.ask(c.Refund, bought, 30)
    assert [0, 1] == charges(shard)
    for repaid in (first, second):
        assert "approved" == shard.ask(c.ReturnRepayment, repaid)["status"]

    assert [0, 0] == charges(shard)
    assert () == shard.state.authorizations[bought].fee_parts


def test_a_journal_in_which_fees_went_back_by_the_shares_is_replayed() -> None:
    """One lender gave the unit that the other had: nobody has anything left."""
    shard, bought, _ = three_paid_fees()
    purchase = shard.state.authorizations[bought]
    assert (1, 0) == purchase.fee_parts

    give_fees_back(purchase, (0, 1))

    assert () == purchase.fee_parts


def test_only_who_has_a_plan_leaves_it_early() -> None:
    shard = a_shard(early_settlement_fee_ppm=100_000)
    wish = ("a", "m", 1_000, "EUR")
    bought = shard.ask(c.Authorize, *wish)["authorization_id"]
    shard.ask(c.CaptureAuthorization, bought, 400)
    shard.told(m.MoveDay("2026-01-01", "2026-01-06"))
    shard.ask(c.CaptureAuthorization, bought, 600)  # A line of its own: no plan.

    settled = shard.ask(c.SettleEarly, "a", 1_000, "EUR", bought)

    assert "approved" == settled["status"]


def test_a_closed_day_has_every_sum_of_its_shards() -> None:
    lender = LenderTotals(*range(1, 1 + len(LenderTotals.__struct_fields__)))
    names = MerchantTotals.__struct_fields__
    figures: dict[str, Any] = {name: i for i, name in enumerate(names, 1)}
    figures["payout_minor"] = {"EUR": 3, "GBP": -4}
    part = DayTotals({"L1": lender}, {"m": MerchantTotals(**figures)}, 1, 2, 3, 4, 5, 6)
    part.parties["platform"] = {"EUR": PartyTotals(1, 2), "GBP": PartyTotals(3, 4)}
    part.payers["brand"] = {"EUR": PayerTotals(5, 6)}
    total = DayTotals({}, {})

    add_totals(total, part)

    assert part == total
