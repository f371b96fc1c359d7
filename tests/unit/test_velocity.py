"""Velocity limits: what counts, for how long, and what is given back."""

from typing import Any

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.audit.velocity import VELOCITY_REASONS
from processor.declines import DeclineReason
from processor.recovery import digest_of
from processor.terms import CategoryVelocity, MerchantTerms, Velocity
from tests.unit.one_audit import audit_of, change, check_clean, put
from tests.unit.one_shard import OneShard, a_shard

DAYS = ("2026-01-01", "2026-01-02", "2026-01-31", "2026-02-01", "2026-02-02")


def limited(
    velocity: Velocity, *categories: CategoryVelocity, limit: int = 10_000
) -> OneShard:
    """Account `a` with velocity limits; merchant `toys` sells toys, `m` anything."""
    shard = a_shard(limit, L1=100_000, L2=100_000)
    version = shard.state.reference_version + 1
    toys = e.MerchantRegistered("toys", "", MerchantTerms("toys"))
    shard.told(m.ReferenceSent(version, (toys,)))
    answer = shard.ask(c.SetVelocity, "a", velocity, categories)
    assert "approved" == answer["status"]
    return shard


def buy(
    shard: OneShard, amount: int, merchant: str = "m", capture: bool = False
) -> Any:
    return shard.ask(c.Authorize, "a", merchant, amount, "EUR", capture)


def approved(shard: OneShard, amount: int, merchant: str = "m") -> str:
    answer = buy(shard, amount, merchant)
    assert "approved" == answer["status"]
    key: str = answer["authorization_id"]
    return key


def why_not(answer: Any) -> tuple[str, int, str]:
    assert "declined" == answer["status"]
    return (
        answer["reason"],
        answer["headroom_missing_minor"],
        answer.get("category", ""),
    )


def to_day(shard: OneShard, day: str) -> None:
    shard.told(m.MoveDay(shard.state.day, day))


def used(shard: OneShard, category: str | None = None) -> tuple[int, int]:
    for meter in shard.read("account", "a")["velocity"]:
        if meter["category"] == category:
            return meter["daily_used_minor"], meter["monthly_used_minor"]
    raise AssertionError(f"no limits for {category}")


def test_one_purchase_may_be_the_limit_and_no_more() -> None:
    shard = limited(Velocity(purchase_minor=100))
    approved(shard, 100)
    approved(shard, 100)
    assert ("velocity_purchase", 1, "") == why_not(buy(shard, 101))


def test_a_day_may_be_used_up_and_the_next_is_new() -> None:
    shard = limited(Velocity(daily_minor=100))
    approved(shard, 60)
    assert ("velocity_daily", 1, "") == why_not(buy(shard, 41))
    approved(shard, 40)
    to_day(shard, DAYS[1])
    assert (0, 100) == used(shard)
    approved(shard, 100)
    check_clean(shard)


def test_a_month_is_that_of_the_business_day() -> None:
    shard = limited(Velocity(monthly_minor=100))
    approved(shard, 60)
    to_day(shard, DAYS[2])
    assert ("velocity_monthly", 1, "") == why_not(buy(shard, 41))
    to_day(shard, DAYS[3])
    assert (0, 0) == used(shard)
    approved(shard, 100)
    check_clean(shard)


def test_a_category_has_limits_of_its_own_beside_those_for_all() -> None:
    shard = limited(Velocity(daily_minor=100), CategoryVelocity("toys", None, 30))
    approved(shard, 30, "toys")
    assert ("velocity_daily", 1, "toys") == why_not(buy(shard, 1, "toys"))
    approved(shard, 70)
    assert ("velocity_daily", 1, "") == why_not(buy(shard, 1, "toys"))
    assert (100, 100) == used(shard)
    assert (30, 30) == used(shard, "toys")


@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (200, ("velocity_purchase", 150, "")),
        (50, ("velocity_daily", 10, "")),
        (40, ("velocity_monthly", 10, "")),
        (30, ("credit_limit_exceeded", 5, "")),
    ],
)
def test_velocity_comes_before_the_limit_and_the_limit_before_the_reserve(
    amount: int, expected: tuple[str, int, str]
) -> None:
    shard = limited(Velocity(50, 40, 30), limit=25)
    assert expected == why_not(buy(shard, amount))


def test_an_increment_counts_and_is_part_of_its_purchase() -> None:
    shard = limited(Velocity(100, 150))
    key = approved(shard, 60)
    too_much = shard.ask(c.IncrementAuthorization, key, 41)
    assert ("velocity_purchase", 1, "") == why_not(too_much)
    assert "approved" == shard.ask(c.IncrementAuthorization, key, 40)["status"]
    assert (100, 100) == used(shard)
    approved(shard, 50)
    check_clean(shard)


def test_what_a_capture_takes_above_counts() -> None:
    shard = limited(Velocity(daily_minor=105))
    key = approved(shard, 100)
    too_much = shard.ask(c.CaptureAuthorization, key, 106)
    assert ("velocity_daily", 1, "") == why_not(too_much)
    assert "approved" == shard.ask(c.CaptureAuthorization, key, 105)["status"]
    assert (105, 105) == used(shard)
    check_clean(shard)


def test_a_hold_counts_when_it_is_converted() -> None:
    shard = limited(Velocity(daily_minor=100))
    hold = shard.ask(c.PlaceHold, "a", 500, "EUR")["hold_id"]
    assert (0, 0) == used(shard)
    too_much = shard.ask(c.ConvertHold, hold, "m", 101)
    assert ("velocity_daily", 1, "") == why_not(too_much)
    assert "approved" == shard.ask(c.ConvertHold, hold, "m", 100)["status"]
    assert (100, 100) == used(shard)


def test_what_is_reversed_released_or_expired_is_given_back() -> None:
    shard = limited(Velocity(daily_minor=100), CategoryVelocity("toys"))
    first, second = approved(shard, 30, "toys"), approved(shard, 70, "toys")
    shard.ask(c.ReverseAuthorization, first, 10)
    assert (90, 90) == used(shard, "toys")
    shard.ask(c.CaptureAuthorization, first, 15, True)
    assert (85, 85) == used(shard)
    shard.now_ms += 61_000
    shard.step()
    assert "expired" == shard.state.authorizations[second].status
    assert (15, 15) == used(shard)
    assert (15, 15) == used(shard, "toys")
    check_clean(shard)


def test_a_refund_gives_nothing_back() -> None:
    shard = limited(Velocity(daily_minor=100))
    key = buy(shard, 100, capture=True)["authorization_id"]
    shard.ask(c.Refund, key)
    assert ("velocity_daily", 1, "") == why_not(buy(shard, 1))
    check_clean(shard)


def test_what_was_made_in_an_earlier_day_is_given_back_to_the_month_alone() -> None:
    shard = limited(Velocity(daily_minor=100))
    key = approved(shard, 80)
    to_day(shard, DAYS[1])
    approved(shard, 50)
    shard.ask(c.ReverseAuthorization, key)
    assert (50, 50) == used(shard)
    check_clean(shard)


def test_what_was_made_in_an_earlier_month_is_not_given_back() -> None:
    shard = limited(Velocity(daily_minor=100))
    key = approved(shard, 80)
    to_day(shard, DAYS[3])
    approved(shard, 50)
    shard.ask(c.ReverseAuthorization, key)
    assert (50, 50) == used(shard)
    check_clean(shard)


def test_counting_begins_when_the_limits_are_set() -> None:
    shard = a_shard(L1=1_000)
    before = approved(shard, 400)
    shard.ask(c.SetVelocity, "a", Velocity(daily_minor=100))
    assert (0, 0) == used(shard)
    approved(shard, 60)
    shard.ask(c.ReverseAuthorization, before)
    assert (60, 60) == used(shard)
    check_clean(shard)


def test_new_limits_go_on_from_what_was_counted() -> None:
    shard = limited(Velocity(daily_minor=100), CategoryVelocity("toys"))
    approved(shard, 60, "toys")
    categories = (CategoryVelocity("toys", None, 80), CategoryVelocity("food"))
    shard.ask(c.SetVelocity, "a", Velocity(daily_minor=50), categories)
    assert (60, 60) == used(shard)
    assert (60, 60) == used(shard, "toys")
    assert (0, 0) == used(shard, "food")
    assert ("velocity_daily", 11, "") == why_not(buy(shard, 1))
    check_clean(shard)


def test_without_any_limit_nothing_is_kept() -> None:
    shard = limited(Velocity(daily_minor=100))
    key = approved(shard, 100)
    shard.ask(c.SetVelocity, "a", Velocity())
    assert shard.state.accounts["a"].velocity is None
    assert "velocity" not in shard.read("account", "a")
    approved(shard, 500)
    shard.ask(c.SetVelocity, "a", Velocity(daily_minor=100))
    shard.ask(c.ReverseAuthorization, key)
    assert (0, 0) == used(shard)
    check_clean(shard)


def test_a_category_stands_once() -> None:
    shard = limited(Velocity())
    twice = (CategoryVelocity("toys"), CategoryVelocity("toys", 5))
    answer = shard.ask(c.SetVelocity, "a", Velocity(), twice)
    assert "category_repeated" == answer["reason"]


def test_a_reader_sees_what_is_used_and_left() -> None:
    shard = limited(Velocity(50, 100), CategoryVelocity("toys", monthly_minor=70))
    approved(shard, 40, "toys")
    assert [
        {
            "category": None,
            "purchase_minor": 50,
            "daily_minor": 100,
            "daily_used_minor": 40,
            "daily_left_minor": 60,
            "monthly_minor": None,
            "monthly_used_minor": 40,
            "monthly_left_minor": None,
        },
        {
            "category": "toys",
            "purchase_minor": None,
            "daily_minor": None,
            "daily_used_minor": 40,
            "daily_left_minor": None,
            "monthly_minor": 70,
            "monthly_used_minor": 40,
            "monthly_left_minor": 30,
        },
    ] == shard.read("account", "a")["velocity"]


def test_counters_come_back_from_the_journal() -> None:
    shard = limited(Velocity(daily_minor=100), CategoryVelocity("toys", 30))
    approved(shard, 30, "toys")
    again = OneShard(shard.batches).welcomed()
    assert digest_of(shard.state) == digest_of(again.state)
    assert (30, 30) == used(again, "toys")


# The audit.


def test_the_audit_finds_what_was_approved_above_a_limit() -> None:
    shard = limited(Velocity(daily_minor=100))
    approved(shard, 60)
    approved(shard, 40)
    (place,) = [
        i for i, r in enumerate(shard.records) if type(r.event) is e.VelocitySet
    ]
    record = shard.records[place]
    assert record.command is not None
    tighter = Velocity(daily_minor=99)
    command = msgspec.structs.replace(record.command, velocity=tighter)
    found = put(shard, place + 1, command, e.VelocitySet("a", tighter, ()))
    assert ["approved up to 100, velocity_daily is 99."] == [
        text.partition(": ")[2] for text in found
    ]


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"missing_minor": 2}, "1 was missing, not 2"),
        ({"category": "toys"}, "a velocity limit that there is not"),
        ({"reason": DeclineReason.VELOCITY_MONTHLY}, "there is no such limit"),
        ({"reason": DeclineReason.VELOCITY_PURCHASE}, "although 9 was to spare"),
    ],
)
def test_the_audit_finds_a_decline_that_was_not_right(
    fields: dict[str, Any], complaint: str
) -> None:
    shard = limited(Velocity(50, 100))
    approved(shard, 50)
    approved(shard, 10)
    assert ("velocity_daily", 1, "") == why_not(buy(shard, 41))
    found = change(shard, len(shard.records), **fields)
    assert complaint in "".join(found)


def test_the_audit_holds_its_own_count_against_the_shards() -> None:
    shard = limited(Velocity(daily_minor=100))
    approved(shard, 60)
    shard.state.accounts["a"].velocity.overall.day_minor += 1
    with pytest.raises(AssertionError):
        check_clean(shard)
    assert [] == audit_of(shard).differences
    assert 3 == len(VELOCITY_REASONS)


def change_category(shard: OneShard, category: str) -> None:
    version = shard.state.merchants["toys"].version + 1
    fact = e.MerchantChanged("toys", "", MerchantTerms(category), version)
    shard.told(m.ReferenceSent(shard.state.reference_version + 1, (fact,)))


def test_a_purchase_keeps_the_category_it_was_made_in() -> None:
    shard = limited(
        Velocity(), CategoryVelocity("toys", None, 100), CategoryVelocity("food", 5)
    )
    key = approved(shard, 30, "toys")
    change_category(shard, "food")
    answer = shard.ask(c.IncrementAuthorization, key, 71)
    assert ("velocity_daily", 1, "toys") == why_not(answer)
    assert ("velocity_purchase", 1, "food") == why_not(buy(shard, 6, "toys"))
    shard.ask(c.IncrementAuthorization, key, 70)
    assert (100, 100) == used(shard, "toys")
    shard.ask(c.ReverseAuthorization, key)
    assert (0, 0) == used(shard, "toys")
    check_clean(shard)


def test_what_is_captured_by_force_is_not_counted() -> None:
    shard = limited(Velocity(daily_minor=100))
    key = approved(shard, 60)
    forced = ("a", "m", 150, "EUR", "", key)
    assert "approved" == shard.ask(c.ForceCapture, *forced)["status"]
    assert "approved" == shard.ask(c.ForceCapture, *forced[:-1])["status"]
    assert (60, 60) == used(shard)
    check_clean(shard)


def test_a_purchase_that_is_all_force_was_bound_by_nothing() -> None:
    shard = limited(Velocity(daily_minor=100))
    answer = shard.ask(c.ForceCapture, "a", "m", 150, "EUR")
    explained = shard.read("explanation", answer["authorization_id"])
    assert {"constraint": "forced"} == explained["binding"]
    assert (150, 150, []) == (
        explained["approved_minor"],
        explained["would_have_passed_minor"],
        explained["constraints"],
    )
    assert shard.now_ms == explained["at_ms"]


def test_a_category_without_a_name_is_all_of_them() -> None:
    shard = limited(Velocity(daily_minor=100))
    nameless = (CategoryVelocity("", 1),)
    answer = shard.ask(c.SetVelocity, "a", Velocity(), nameless)
    assert "category_repeated" == answer["reason"]
