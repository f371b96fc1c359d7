"""Suspended lenders, daily caps and forced captures, on one shard."""

from typing import Any

import pytest

from processor import commands as c
from processor import events as e
from processor import messages as m
from tests.unit.one_shard import OneShard, a_shard

NEXT_DAY = "2026-01-02"


def told(shard: OneShard, *facts: e.ReferenceFact) -> OneShard:
    """More reference data."""
    version = shard.state.reference_version + len(facts)
    shard.told(m.ReferenceSent(version, facts))
    return shard


def authorize(shard: OneShard, amount: int, account: str = "a") -> dict[str, Any]:
    return shard.ask(c.Authorize, account, "m", amount, "EUR")


def asked(shard: OneShard) -> m.SliceAsked:
    message = shard.heard[-1]
    assert isinstance(message, m.SliceAsked)
    return message


# Suspension.


def test_a_suspended_lender_stops_what_is_new_and_nothing_else() -> None:
    shard = a_shard(L1=1_000, L2=1_000)
    bought = authorize(shard, 100, "b")["authorization_id"]
    hold = shard.ask(c.PlaceHold, "b", 10, "EUR")["hold_id"]
    told(shard, e.LenderSuspended("L2"))
    declined = authorize(shard, 1, "b")
    made_id = declined["authorization_id"]
    assert {
        "status": "declined",
        "reason": "lender_suspended",
        "transient": True,
        "lender_id": "L2",
        "authorization_id": made_id,
    } == declined
    explained = shard.read("explanation", made_id)
    assert explained["binding"] == {"constraint": "lender_suspended", "lender_id": "L2"}
    for wish in (
        (c.IncrementAuthorization, bought, 1),
        (c.CaptureAuthorization, bought, 101),
        (c.ConvertHold, hold, "m"),
    ):
        assert "lender_suspended" == shard.ask(*wish)["reason"]
    for fine in (
        (c.CaptureAuthorization, bought, 60),
        (c.ReverseAuthorization, bought, 40),
        (c.Refund, bought, 10),
        (c.Repay, "b", 10, "EUR"),
        (c.PlaceHold, "b", 10, "EUR"),
        (c.Authorize, "a", "m", 1, "EUR"),  # L1 alone.
        (c.ForceCapture, "b", "m", 10, "EUR"),
    ):
        assert "approved" == shard.ask(*fine)["status"]
    told(shard, e.LenderResumed("L2"))
    assert "approved" == authorize(shard, 1, "b")["status"]


def test_the_borrower_hears_of_his_limit_before_he_hears_of_a_lender() -> None:
    shard = told(a_shard(L1=5), e.LenderSuspended("L1"))
    assert "credit_limit_exceeded" == authorize(shard, 1_001)["reason"]
    assert "lender_suspended" == authorize(shard, 6)["reason"]


def test_a_program_that_comes_later_is_watched_too() -> None:
    shard = told(a_shard(L1=500), e.LenderSuspended("L1"))
    shares = (c.Share("L1", 1_000_000),)
    told(shard, e.ProgramRegistered("solo", 2, "EUR", shares, 60, 30, 0))
    assert "lender_suspended" == authorize(shard, 1)["reason"]


# The daily cap.


def capped(cap: int = 100, **headroom: int) -> OneShard:
    shard = told(a_shard(L1=1_000, **headroom), e.DailyCapSet("L1", cap))
    shard.told(m.GrantSlice("daily/L1", cap))
    return shard


def used(shard: OneShard) -> tuple[int, int]:
    lease = shard.state.slices["daily/L1"]
    return lease.authorized_minor, lease.free_minor


def test_a_purchase_needs_the_cap_and_the_reserve() -> None:
    shard = capped(L2=1_000)
    assert "approved" == authorize(shard, 100, "b")["status"]
    assert (30, 70) == used(shard)  # L1's part alone.
    shard.node.settlement_connected()
    shard.submit(c.Authorize("caller", "x", "a", "m", 71, "EUR"))
    assert (m.Need("daily/L1", 71), m.Need("L1", 71)) == asked(shard).needs
    shard.told(m.AskRefused(1, "daily/L1", 0, 1))
    declined = shard.records[-1].event
    assert isinstance(declined, e.Declined)
    assert ("daily_cap_exceeded", 1, "L1", 1) == (
        declined.reason,
        declined.missing_minor,
        declined.lender_id,
        declined.refusal,
    )


def test_what_is_given_back_the_same_day_can_be_authorized_again() -> None:
    shard = capped()
    bought = authorize(shard, 80)["authorization_id"]
    shard.ask(c.IncrementAuthorization, bought, 20)
    assert (100, 0) == used(shard)
    shard.ask(c.ReverseAuthorization, bought, 30)
    shard.ask(c.CaptureAuthorization, bought, 50, True)  # 20 are released.
    assert (50, 50) == used(shard)
    shard.ask(c.Refund, bought)  # A refund is no new headroom for the day.
    assert (50, 50) == used(shard)


def test_an_expiry_of_the_same_day_counts_too() -> None:
    shard = capped()
    authorize(shard, 80)
    shard.now_ms += 60_000
    shard.step()
    assert (0, 100) == used(shard)


def test_the_cut_frees_what_was_used_and_yesterday_gives_nothing_back() -> None:
    shard = capped()
    bought = authorize(shard, 80)["authorization_id"]
    shard.told(m.MoveDay("2026-01-01", NEXT_DAY))
    assert (0, 100) == used(shard)
    shard.ask(c.IncrementAuthorization, bought, 15)
    assert (15, 85) == used(shard)
    shard.ask(c.ReverseAuthorization, bought, 10)
    assert (5, 95) == used(shard)
    shard.ask(c.ReverseAuthorization, bought, 60)
    assert (0, 100) == used(shard)  # Of 15 authorized today, no more than 15.


def test_a_cap_counts_from_when_it_is_known() -> None:
    shard = a_shard(L1=1_000)
    bought = authorize(shard, 80)["authorization_id"]
    told(shard, e.DailyCapSet("L1", 100))
    shard.told(m.GrantSlice("daily/L1", 100))
    shard.ask(c.ReverseAuthorization, bought, 30)
    assert (0, 100) == used(shard)
    assert "approved" == authorize(shard, 100)["status"]


def test_a_cap_that_is_lifted_stops_nothing_and_counts_nothing() -> None:
    shard = capped()
    bought = authorize(shard, 80)["authorization_id"]
    told(shard, e.DailyCapSet("L1", None))
    assert "approved" == authorize(shard, 300)["status"]
    assert (0, 100) == used(shard)
    told(shard, e.DailyCapSet("L1", 100))
    shard.ask(c.ReverseAuthorization, bought)
    assert (0, 100) == used(shard)


def test_a_program_without_caps_has_no_pools_but_its_lenders() -> None:
    shard = capped(L2=1_000)
    told(shard, e.DailyCapSet("L1", None))
    assert not any(p.is_watched for p in shard.state.program_versions.values())


# Forced captures.


def force(shard: OneShard, amount: int, *fields: Any) -> dict[str, Any]:
    return shard.ask(c.ForceCapture, "a", "m", amount, "EUR", *fields)


def test_a_forced_capture_is_booked_whatever_limit_and_status_say() -> None:
    shard = a_shard(limit=50, L1=1_000)
    shard.ask(c.FreezeAccount, "a")
    answer = force(shard, 80, "gone")
    assert ("approved", True, 30, 0, -30) == (
        answer["status"],
        answer["forced"],
        answer["over_limit_minor"],
        answer["lender_advance_minor"],
        answer["open_to_buy_minor"],
    )
    shown = shard.read("authorization", answer["authorization_id"])
    assert ("captured", 80, 80, "gone", True, 30) == (
        shown["status"],
        shown["captured_minor"],
        shown["outstanding_minor"],
        shown["reference"],
        shown["forced"],
        shown["over_limit_minor"],
    )
    assert 0 == shard.state.accounts["a"].authorization_count


def test_what_is_open_of_the_named_authorization_is_used_first() -> None:
    shard = a_shard(L1=100)
    bought = authorize(shard, 60)["authorization_id"]
    answer = force(shard, 75, "", bought)
    assert bought == answer["authorization_id"]
    lease = shard.state.slices["L1"]
    assert (0, 75, 25) == (
        lease.authorized_minor,
        lease.captured_minor,
        lease.free_minor,
    )
    assert "captured" == shard.read("authorization", bought)["status"]


def test_a_part_of_an_authorization_can_be_forced_and_the_rest_stays_open() -> None:
    shard = a_shard(L1=100)
    bought = authorize(shard, 60)["authorization_id"]
    force(shard, 20, "", bought)
    shown = shard.read("authorization", bought)
    assert ("open", 40, 20) == (
        shown["status"],
        shown["open_minor"],
        shown["captured_minor"],
    )


@pytest.mark.parametrize("over", [c.ReverseAuthorization, c.CaptureAuthorization])
def test_one_that_is_over_or_is_another_s_is_not_used(over: type[c.Command]) -> None:
    shard = a_shard(L1=1_000, L2=1_000)
    bought = authorize(shard, 60)["authorization_id"]
    shard.ask(over, bought)
    assert bought != force(shard, 10, "", bought)["authorization_id"]
    another = authorize(shard, 60)["authorization_id"]
    other = shard.ask(c.ForceCapture, "b", "m", 1, "EUR", "", another)
    assert other["authorization_id"] not in (bought, another)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (("nobody", "nowhere", 1, "USD"), "account_not_found"),
        (("a", "nowhere", 1, "USD"), "merchant_not_found"),
        (("a", "m", 1, "USD"), "currency_mismatch"),
    ],
)
def test_only_what_makes_no_sense_is_declined(
    fields: tuple[Any, ...], reason: str
) -> None:
    shard = a_shard(L1=1_000, L2=1_000)
    assert reason == shard.ask(c.ForceCapture, *fields)["reason"]


def test_a_closed_account_is_closed_for_force_too() -> None:
    shard = a_shard(L1=1_000)
    shard.ask(c.CloseAccount, "a")
    assert "account_closed" == force(shard, 1)["reason"]


def test_what_the_slices_lack_is_asked_for_by_force_and_told_in_the_answer() -> None:
    shard = a_shard(L1=10).connected()
    (correlation,) = shard.submit(c.ForceCapture("caller", "f", "a", "m", 50, "EUR"))
    assert m.SliceAsked(1, (m.Need("L1", 50),), shard.state.sequence, True) == (
        asked(shard)
    )
    shard.told(m.GrantSlice("L1", 60), m.AskGranted(1, 40))
    assert b'"lender_advance_minor":40' in shard.answers[correlation].body
    (again,) = shard.submit(c.ForceCapture("caller", "f", "a", "m", 50, "EUR"))
    assert shard.answers[correlation].body == shard.answers[again].body


def test_without_settlement_nothing_is_forced_and_nothing_done() -> None:
    shard = a_shard(L1=10)
    (correlation,) = shard.submit(c.ForceCapture("caller", "f", "a", "m", 50, "EUR"))
    assert m.Outcome.NOT_DONE is shard.answers[correlation].outcome
    assert {} == shard.state.authorizations


def test_a_forced_capture_is_paid_from_credit_and_refunded_like_any_other() -> None:
    shard = a_shard(L1=1_000)
    shard.ask(c.Repay, "a", 30, "EUR")
    forced = force(shard, 80)["authorization_id"]
    assert 50 == shard.state.accounts["a"].outstanding_minor
    assert "approved" == shard.ask(c.Refund, forced)["status"]
    assert 1_000 == shard.state.slices["L1"].free_minor


def test_a_forced_capture_does_not_count_towards_the_cap() -> None:
    shard = capped()
    force(shard, 300)
    assert (0, 100) == used(shard)
