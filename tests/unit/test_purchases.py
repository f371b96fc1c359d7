"""Purchases, holds, refunds and repayments: one rule a test, by hand.

`tests/property` tries all of them in every order; these say what they are.
"""

from typing import Any

import pytest

from processor import commands as c
from processor import messages as m
from tests.unit.one_shard import OneShard, a_shard, program


def buy(shard: OneShard, amount: int, capture: bool = True, account: str = "a") -> str:
    answer = shard.ask(c.Authorize, account, "m", amount, "EUR", capture)
    key: str = answer["authorization_id"]
    return key


def reason(answer: dict[str, Any]) -> tuple[str, int | None]:
    return answer["reason"], answer.get(
        "headroom_missing_minor", answer.get("excess_minor")
    )


def test_a_purchase_may_use_the_last_cent_of_credit() -> None:
    shard = a_shard(limit=100, L1=500)
    assert 0 == shard.ask(c.Authorize, "a", "m", 100, "EUR")["open_to_buy_minor"]
    declined = shard.ask(c.Authorize, "a", "m", 1, "EUR")
    assert ("credit_limit_exceeded", 1) == reason(declined)


def test_a_captured_purchase_still_occupies_the_limit() -> None:
    shard = a_shard(limit=100, L1=500)
    buy(shard, 60)
    declined = shard.ask(c.Authorize, "a", "m", 50, "EUR")
    assert ("credit_limit_exceeded", 10) == reason(declined)


def test_a_repayment_restores_the_limit_at_once() -> None:
    shard = a_shard(limit=100, L1=500)
    buy(shard, 100)
    assert 30 == shard.ask(c.Repay, "a", 30, "EUR")["open_to_buy_minor"]


def test_a_repayment_pays_the_oldest_first_and_the_rest_is_credit() -> None:
    shard = a_shard(L1=500)
    first, second = buy(shard, 50), buy(shard, 30)
    repaid = shard.ask(c.Repay, "a", 60, "EUR")
    assert (60, 0) == (repaid["principal_minor"], repaid["credit_minor"])
    assert 0 == shard.read("authorization", first)["outstanding_minor"]
    assert 20 == shard.read("authorization", second)["outstanding_minor"]
    repaid = shard.ask(c.Repay, "a", 60, "EUR")
    assert (20, 40) == (repaid["principal_minor"], repaid["credit_minor"])
    assert 1_040 == shard.read("account", "a")["open_to_buy_minor"]


def test_credit_pays_for_the_next_purchase_when_it_is_captured() -> None:
    shard = a_shard(L1=500)
    shard.ask(c.Repay, "a", 40, "EUR")
    key = buy(shard, 100, capture=False)
    assert 40 == shard.read("account", "a")["credit_minor"]
    shard.ask(c.CaptureAuthorization, key)
    account = shard.read("account", "a")
    assert (0, 60) == (account["credit_minor"], account["outstanding_minor"])


def test_a_refund_of_what_was_repaid_becomes_credit() -> None:
    shard = a_shard(L1=500)
    key = buy(shard, 100)
    shard.ask(c.Repay, "a", 70, "EUR")
    refunded = shard.ask(c.Refund, key, 50)
    assert (30, 20) == (refunded["principal_minor"], refunded["credit_minor"])


def test_no_more_can_be_refunded_than_was_captured() -> None:
    shard = a_shard(L1=500)
    key = buy(shard, 100)
    shard.ask(c.Refund, key, 60)
    assert ("refund_exceeds_captured", 1) == reason(shard.ask(c.Refund, key, 41))
    assert 40 == shard.ask(c.Refund, key)["amount_minor"]
    assert ("refund_exceeds_captured", None) == reason(shard.ask(c.Refund, key))


def test_a_full_refund_in_odd_pieces_gives_each_lender_back_what_it_paid() -> None:
    shard = a_shard(L1=500, L2=500)
    key = buy(shard, 101, account="b")
    paid = shard.read("authorization", key)["lenders"]
    for amount in (1, 7, 33, 3, 57):
        shard.ask(c.Refund, key, amount)
    back = shard.read("authorization", key)["lenders"]
    captured = [part["captured_minor"] for part in paid]
    assert captured == [part["refunded_minor"] for part in back]
    assert [500, 500] == [shard.state.slices[x].free_minor for x in ("L1", "L2")]


def test_the_lenders_shares_stay_exact_over_many_purchases() -> None:
    shard = a_shard(limit=10_000, L1=5_000, L2=5_000)
    for _ in range(10):
        buy(shard, 1, account="b")
    split = shard.state.programs["pair"].split_parts
    assert (3, 7) == split  # Each on its own would give (10, 0) or (0, 10).


def test_a_capture_may_exceed_within_the_tolerance_and_ends_it() -> None:
    shard = a_shard(L1=500)
    key = buy(shard, 100, capture=False)
    declined = shard.ask(c.CaptureAuthorization, key, 111)
    assert ("capture_exceeds_authorized", 11) == reason(declined)
    assert "approved" == shard.ask(c.CaptureAuthorization, key, 110)["status"]
    assert "captured" == shard.read("authorization", key)["status"]


def test_what_was_reversed_cannot_be_captured_after_all() -> None:
    shard = a_shard(L1=500)
    key = buy(shard, 100, capture=False)
    shard.ask(c.ReverseAuthorization, key, 40)
    declined = shard.ask(c.CaptureAuthorization, key, 67)  # 60 and 10 % of it: 66.
    assert ("capture_exceeds_authorized", 7) == reason(declined)
    assert "approved" == shard.ask(c.CaptureAuthorization, key, 66)["status"]


def test_a_final_capture_gives_the_rest_back() -> None:
    shard = a_shard(L1=500)
    key = buy(shard, 100, capture=False)
    captured = shard.ask(c.CaptureAuthorization, key, 30, True)
    assert (30, 70) == (captured["amount_minor"], captured["released_minor"])
    assert 470 == shard.state.slices["L1"].free_minor
    again = shard.ask(c.CaptureAuthorization, key, 1)
    assert ("authorization_not_open", None) == reason(again)


def test_a_hold_occupies_the_limit_and_no_lenders_money() -> None:
    shard = a_shard(limit=100)
    hold = shard.ask(c.PlaceHold, "a", 100, "EUR")
    assert 0 == hold["open_to_buy_minor"]
    assert ("credit_limit_exceeded", 1) == reason(
        shard.ask(c.Authorize, "a", "m", 1, "EUR")
    )


@pytest.mark.parametrize(("final", "held"), [(False, 40), (True, 0)])
def test_a_converted_hold_needs_no_room_again(final: bool, held: int) -> None:
    shard = a_shard(limit=100, L1=500)
    key = shard.ask(c.PlaceHold, "a", 100, "EUR")["hold_id"]
    bought = shard.ask(c.ConvertHold, key, "m", 60, False, final)
    assert 40 - held == bought["open_to_buy_minor"]
    assert held == shard.read("hold", key)["held_minor"]


def test_a_limit_below_what_is_occupied_stops_new_purchases_only() -> None:
    shard = a_shard(limit=100, L1=500)
    key = buy(shard, 80, capture=False)
    assert -30 == shard.ask(c.ChangeLimit, "a", 50)["open_to_buy_minor"]
    declined = shard.ask(c.Authorize, "a", "m", 1, "EUR")
    assert ("credit_limit_exceeded", 31) == reason(declined)
    assert "approved" == shard.ask(c.CaptureAuthorization, key)["status"]


def test_a_frozen_account_goes_on_with_what_exists() -> None:
    shard = a_shard(L1=500)
    key = buy(shard, 80, capture=False)
    shard.ask(c.FreezeAccount, "a")
    for kind, fields in (
        (c.Authorize, ("a", "m", 1, "EUR")),
        (c.PlaceHold, ("a", 1, "EUR")),
        (c.IncrementAuthorization, (key, 1)),
    ):
        assert "account_frozen" == shard.ask(kind, *fields)["reason"]
    assert "approved" == shard.ask(c.CaptureAuthorization, key)["status"]
    assert "approved" == shard.ask(c.Refund, key, 5)["status"]
    assert "approved" == shard.ask(c.Repay, "a", 5, "EUR")["status"]


def test_an_account_closes_when_nothing_is_left_on_it() -> None:
    shard = a_shard(L1=500)
    buy(shard, 80)
    assert "account_in_use" == shard.ask(c.CloseAccount, "a")["reason"]
    shard.ask(c.Repay, "a", 80, "EUR")
    assert "approved" == shard.ask(c.CloseAccount, "a")["status"]
    assert "account_closed" == shard.ask(c.Repay, "a", 1, "EUR")["reason"]


def test_an_old_purchase_is_incremented_under_its_own_version() -> None:
    shard = a_shard(L1=500, L2=500)
    key = buy(shard, 10, capture=False, account="b")
    version = shard.state.reference_version + 1
    turned = program("pair", 2, L1=700_000, L2=300_000)
    shard.told(m.ReferenceSent(version, (turned,)))
    shard.ask(c.IncrementAuthorization, key, 10)
    new = buy(shard, 10, capture=False, account="b")
    parts = {
        k: [x["authorized_minor"] for x in shard.read("authorization", k)["lenders"]]
        for k in (key, new)
    }
    assert {key: [6, 14], new: [7, 3]} == parts
