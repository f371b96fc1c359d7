"""Explanations: what bound a decision, and what would have passed, at that moment."""

from typing import Any

import pytest

from processor import commands as c
from processor import limits
from processor import messages as m
from processor.recovery import digest_of
from processor.terms import Velocity
from tests.unit.one_audit import change, check_clean
from tests.unit.one_shard import OneShard, a_shard


def why(shard: OneShard, answer: Any) -> Any:
    return shard.read("explanation", answer["authorization_id"])


def constraint(explained: Any, name: str, lender_id: str = "") -> Any:
    (found,) = [
        x
        for x in explained["constraints"]
        if (x["constraint"], x.get("lender_id", "")) == (name, lender_id)
    ]
    return found


def test_an_approved_purchase_says_what_there_was_before_it() -> None:
    shard = a_shard(limit=1_000, L1=300)
    shard.ask(c.Authorize, "a", "m", 100, "EUR")
    answer = shard.ask(c.Authorize, "a", "m", 50, "EUR", True)
    sequence = shard.state.sequence
    expected = {
        "authorization_id": answer["authorization_id"],
        "account_id": "a",
        "merchant_id": "m",
        "program_id": "solo",
        "program_version": 1,
        "decision": "approved",
        "reason": None,
        "business_day": "2026-01-01",
        "at_ms": 1_000,
        "sequence": sequence,
        "requested_minor": 50,
        "approved_minor": 50,
        "binding": {"constraint": "limit"},
        "would_have_passed_minor": 900,
        "certain_minor": 200,
        "constraints": [
            {
                "constraint": "limit",
                "needed_minor": 50,
                "headroom_minor": 900,
                "most_minor": 900,
                "is_final": True,
            },
            {
                "constraint": "reserve",
                "needed_minor": 50,
                "headroom_minor": 200,
                "most_minor": 200,
                "is_final": False,
                "lender_id": "L1",
            },
        ],
    }
    assert expected == why(shard, answer)
    shard.ask(c.ChangeLimit, "a", 5)
    shard.ask(c.Refund, answer["authorization_id"])
    assert expected == why(shard, answer)  # True for then, not for now.
    check_clean(shard)


def test_a_decline_for_the_limit_tells_what_would_have_passed() -> None:
    shard = a_shard(limit=70, L1=50)
    answer = shard.ask(c.Authorize, "a", "m", 100, "EUR")
    assert "declined" == answer["status"]
    explained = why(shard, answer)
    assert ("declined", "credit_limit_exceeded", 100, 0) == (
        explained["decision"],
        explained["reason"],
        explained["requested_minor"],
        explained["approved_minor"],
    )
    assert {"constraint": "limit"} == explained["binding"]
    assert (70, 50) == (
        explained["would_have_passed_minor"],
        explained["certain_minor"],
    )
    shard.told(m.GrantSlice("L1", 500))
    assert "approved" == shard.ask(c.Authorize, "a", "m", 70, "EUR")["status"]


def test_the_tightest_of_several_bound_whatever_the_reason_named() -> None:
    shard = a_shard(limit=30, L1=500)
    shard.ask(c.SetVelocity, "a", Velocity(90, 80, 70))
    answer = shard.ask(c.Authorize, "a", "m", 100, "EUR")
    assert "velocity_purchase" == answer["reason"]
    explained = why(shard, answer)
    assert {"constraint": "limit"} == explained["binding"]
    assert 30 == explained["would_have_passed_minor"]
    assert [90, 80, 70, 30, 500] == [
        x["headroom_minor"] for x in explained["constraints"]
    ]
    check_clean(shard)


def test_a_decline_for_reserve_names_the_lender_and_the_certificate() -> None:
    shard = a_shard(L1=1_000).connected()
    (number,) = shard.submit(c.Authorize("caller", "x", "b", "m", 100, "EUR"))
    shard.told(m.AskRefused(1, "L2", 20, 7))
    assert b"reserve_exhausted" in shard.answers[number].body
    (key,) = shard.state.declined
    explained = shard.read("explanation", key)
    assert {"constraint": "reserve", "lender_id": "L2"} == explained["binding"]
    assert {
        "constraint": "reserve",
        "needed_minor": 70,
        "headroom_minor": 20,
        "most_minor": explained["would_have_passed_minor"],
        "is_final": True,
        "lender_id": "L2",
        "refusal": 7,
    } == constraint(explained, "reserve", "L2")
    most = explained["would_have_passed_minor"]
    assert most in (28, 29)
    shard.told(m.GrantSlice("L2", 20))
    shard.node.settlement_is_connected = False
    assert "approved" == shard.ask(c.Authorize, "b", "m", most, "EUR")["status"]
    check_clean(shard)


def test_out_of_a_hold_the_hold_is_the_room() -> None:
    shard = a_shard(limit=100, L1=500)
    hold = shard.ask(c.PlaceHold, "a", 100, "EUR")["hold_id"]
    explained = why(shard, shard.ask(c.ConvertHold, hold, "m", 40))
    assert 100 == constraint(explained, "hold")["headroom_minor"]
    assert {"constraint": "hold"} == explained["binding"]
    check_clean(shard)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(c.FreezeAccount, "account_frozen"), (c.CloseAccount, "account_closed")],
)
def test_a_status_stops_every_amount(kind: type[c.Command], reason: str) -> None:
    shard = a_shard()
    shard.ask(kind, "a")
    explained = why(shard, shard.ask(c.Authorize, "a", "m", 10, "EUR"))
    assert {"constraint": reason} == explained["binding"]
    assert (0, []) == (explained["would_have_passed_minor"], explained["constraints"])


def test_what_names_nothing_that_exists_has_no_id() -> None:
    shard = a_shard()
    for fields in (
        ("nobody", "m", 1, "EUR"),
        ("a", "nowhere", 1, "EUR"),
        ("a", "m", 1, "USD"),
    ):
        assert "authorization_id" not in shard.ask(c.Authorize, *fields)
    assert shard.read("explanation", "au_0000001") is None


def test_a_declined_authorization_can_only_be_explained() -> None:
    shard = a_shard(limit=1)
    key = shard.ask(c.Authorize, "a", "m", 10, "EUR")["authorization_id"]
    assert shard.read("authorization", key) is None
    answer = shard.ask(c.CaptureAuthorization, key)
    assert "authorization_not_found" == answer["reason"]


def test_of_the_declined_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DECLINED_EXPLAINED_MAX", 3)
    shard = a_shard(limit=1)
    keys = [
        shard.ask(c.Authorize, "a", "m", 10 + i, "EUR")["authorization_id"]
        for i in range(5)
    ]
    assert [None, None, 12, 13, 14] == [
        explained and explained["requested_minor"]
        for explained in (shard.read("explanation", key) for key in keys)
    ]
    assert digest_of(shard.state) == digest_of(OneShard(shard.batches).state)
    check_clean(shard)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"authorization_id": "au_fa5001"}, "was not made by this record"),
        ({"at_ms": 999}, "it says it was decided at 999"),
    ],
)
def test_the_audit_checks_the_name_of_a_decline(
    fields: dict[str, Any], complaint: str
) -> None:
    shard = a_shard(limit=1)
    shard.ask(c.Authorize, "a", "m", 10, "EUR")
    assert complaint in "".join(change(shard, len(shard.records), **fields))
