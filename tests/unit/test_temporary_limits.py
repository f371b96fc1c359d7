"""Temporary limits: in force through their last day, and not one record longer."""

from typing import Any

import pytest

from processor import commands as c
from processor import events as e
from processor import limits
from processor import messages as m
from processor.recovery import digest_of
from tests.unit.one_audit import change, check_clean, put
from tests.unit.one_shard import OneShard, a_shard

TODAY, TOMORROW, LATER = "2026-01-01", "2026-01-02", "2026-01-05"


def raised(until_day: str = TODAY) -> OneShard:
    """Account `a` with 1 000, and 3 000 until a day."""
    shard = a_shard(limit=1_000, L1=100_000).connected()
    answer = shard.ask(c.SetTemporaryLimit, "a", 3_000, until_day)
    assert {
        "status": "approved",
        "account_id": "a",
        "limit_minor": 3_000,
        "until_day": until_day,
        "ordinary_limit_minor": 1_000,
        "open_to_buy_minor": 3_000,
    } == answer
    return shard


def buy(account_id: str, amount: int, request_id: str) -> c.Authorize:
    return c.Authorize("caller", request_id, account_id, "m", amount, "EUR")


def move(shard: OneShard, day: str = TOMORROW) -> None:
    """The day moves; the next step is still to come."""
    shard.told(m.MoveDay(shard.state.day, day))


def kinds(shard: OneShard, count: int) -> list[type[Any]]:
    return [type(record.event) for record in shard.records[-count:]]


def test_a_temporary_limit_counts_at_once_and_through_its_last_day() -> None:
    shard = raised(TOMORROW)
    assert "approved" == shard.ask(c.Authorize, "a", "m", 2_000, "EUR")["status"]
    move(shard)
    assert "approved" == shard.ask(c.Authorize, "a", "m", 1_000, "EUR")["status"]
    check_clean(shard)


def test_the_first_decision_of_the_next_day_sees_the_ordinary_limit() -> None:
    shard = raised()
    shard.node.receive(0, [m.MoveDay(TODAY, TOMORROW)])
    (number,) = shard.submit(buy("a", 1_001, "x"))  # Behind it, in the same batch.
    shard.step()
    assert b"credit_limit_exceeded" in shard.answers[number].body
    expected = [e.DayMoved, e.TemporaryLimitEnded, e.Declined]
    assert expected == kinds(shard, 3)
    assert TOMORROW == shard.batches[-1].day
    check_clean(shard)


def test_the_end_is_recorded_though_nobody_asks() -> None:
    shard = raised()
    move(shard)
    assert shard.node.has_work
    shard.step()
    assert e.TemporaryLimitEnded("a", 1_000, 1_000) == shard.records[-1].event
    assert {} == shard.state.temporary_limits
    assert not shard.node.has_work


def test_reading_sees_both_limits_and_ends_nothing() -> None:
    shard = raised(TOMORROW)
    shown = shard.read("account", "a")
    assert (3_000, 1_000, TOMORROW) == (
        shown["limit_minor"],
        shown["ordinary_limit_minor"],
        shown["temporary_until_day"],
    )
    move(shard)
    shard.read("account", "a")
    assert e.DayMoved is kinds(shard, 1)[0]
    move(shard, LATER)
    shown = shard.read("account", "a")
    assert 1_000 == shown["limit_minor"]
    assert "ordinary_limit_minor" not in shown
    assert "temporary_until_day" not in shown


def test_a_change_meanwhile_is_of_the_ordinary_limit_and_says_so() -> None:
    shard = raised()
    assert {
        "status": "approved",
        "account_id": "a",
        "limit_minor": 500,
        "open_to_buy_minor": 3_000,
        "temporary_limit_minor": 3_000,
        "temporary_until_day": TODAY,
    } == shard.ask(c.ChangeLimit, "a", 500)
    move(shard)
    shard.step()
    assert 500 == shard.read("account", "a")["limit_minor"]
    check_clean(shard)


def test_a_second_one_replaces_the_first_and_not_the_ordinary() -> None:
    shard = raised()
    shard.ask(c.SetTemporaryLimit, "a", 200, TOMORROW)
    shown = shard.read("account", "a")
    assert (200, 1_000) == (shown["limit_minor"], shown["ordinary_limit_minor"])
    move(shard)
    assert 200 == shard.read("account", "a")["limit_minor"]
    move(shard, LATER)
    assert 1_000 == shard.read("account", "a")["limit_minor"]
    check_clean(shard)


def test_a_day_that_is_over_is_declined() -> None:
    shard = a_shard()
    answer = shard.ask(c.SetTemporaryLimit, "a", 5, "2025-12-31")
    assert ("until_day_past", False) == (answer["reason"], answer["transient"])


def test_over_limit_after_the_end_is_no_new_yes() -> None:
    shard = raised()
    shard.ask(c.Authorize, "a", "m", 2_500, "EUR", True)
    move(shard)
    shard.step()
    ended = e.TemporaryLimitEnded("a", 1_000, -1_500)
    assert ended in [record.event for record in shard.records]
    assert -1_500 == shard.read("account", "a")["open_to_buy_minor"]
    assert (
        "credit_limit_exceeded" == shard.ask(c.Authorize, "a", "m", 1, "EUR")["reason"]
    )


def test_a_closed_account_has_its_ordinary_limit() -> None:
    shard = raised()
    shard.ask(c.CloseAccount, "a")
    assert 1_000 == shard.read("account", "a")["limit_minor"]
    move(shard)
    shard.step()
    assert e.DayMoved is kinds(shard, 1)[0]
    check_clean(shard)


def test_of_many_ends_a_batch_a_step_but_ones_own_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BATCH_COMMANDS_MAX", 2)
    shard = a_shard(limit=10, L1=1_000)
    names = [f"x{i}" for i in range(6)]
    for name in names:
        shard.ask(c.OpenAccount, name, "solo", "EUR", 10)
        shard.ask(c.SetTemporaryLimit, name, 100, TODAY)
    move(shard)
    (number,) = shard.submit(buy("x5", 50, "x"))
    assert b"declined" in shard.answers[number].body
    ended = [e.TemporaryLimitEnded] * 3
    assert [e.DayMoved, *ended, e.Declined] == kinds(shard, 5)
    shard.step()
    shard.step()
    assert 6 == sum(type(r.event) is e.TemporaryLimitEnded for r in shard.records)
    assert not shard.node.has_work
    check_clean(shard)


def test_while_others_end_a_limit_of_today_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "BATCH_COMMANDS_MAX", 1)
    shard = raised(TOMORROW)
    for name in ("x0", "x1"):
        shard.ask(c.OpenAccount, name, "solo", "EUR", 10)
        shard.ask(c.SetTemporaryLimit, name, 100, TODAY)
    move(shard)
    assert "approved" == shard.ask(c.Authorize, "a", "m", 3_000, "EUR")["status"]
    check_clean(shard)


def test_a_shard_that_starts_in_the_new_day_ends_what_is_left() -> None:
    shard = raised()
    move(shard)
    again = OneShard(shard.batches)
    assert digest_of(shard.state) == digest_of(again.state)
    again.step()
    assert [] == again.records  # Not before settlement has confirmed the journal.
    again.welcomed()
    assert [e.TemporaryLimitEnded] == kinds(again, 1)
    assert 1_000 == again.state.accounts["a"].limit_minor


# The audit.


def ended_at(shard: OneShard) -> int:
    return next(
        i
        for i, record in enumerate(shard.records, 1)
        if type(record.event) is e.TemporaryLimitEnded
    )


def test_the_audit_finds_a_limit_that_outlived_its_day() -> None:
    shard = raised()
    move(shard)
    shard.step()
    shard.ask(c.Authorize, "a", "m", 10, "EUR")
    nothing = e.SliceReceived("L1", 100_001)
    found = put(shard, ended_at(shard), None, nothing)
    assert "still has the temporary limit" in "".join(found)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"limit_minor": 999, "open_to_buy_minor": 999}, "the ordinary limit is 1000"),
        ({"open_to_buy_minor": 3_000}, "leaves account a 3000 to buy"),
    ],
)
def test_the_audit_finds_a_wrong_end(fields: dict[str, Any], complaint: str) -> None:
    shard = raised()
    move(shard)
    shard.step()
    assert complaint in "".join(change(shard, ended_at(shard), **fields))


def test_the_audit_finds_an_end_before_its_day() -> None:
    shard = raised(TOMORROW)
    shard.ask(c.FreezeAccount, "a")
    early = e.TemporaryLimitEnded("a", 1_000, 1_000)
    found = put(shard, len(shard.records), None, early)
    assert "it is in force until 2026-01-02" in "".join(found)
