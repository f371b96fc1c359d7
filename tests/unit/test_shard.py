"""A shard and settlement: who waits, who passes, and what a refusal is worth."""

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import limits
from processor import messages as m
from processor.declines import DeclineReason
from processor.recovery import digest_of
from tests.unit.one_shard import OneShard, a_shard


def buy(account_id: str, amount: int, request_id: str) -> c.Authorize:
    return c.Authorize("caller", request_id, account_id, "m", amount, "EUR")


def outcome(shard: OneShard, correlation: int) -> m.Outcome | None:
    answer = shard.answers.get(correlation)
    return None if answer is None else answer.outcome


def test_a_purchase_within_the_slice_asks_nobody() -> None:
    shard = a_shard(L1=100).connected()
    shard.heard.clear()
    assert "approved" == shard.ask(c.Authorize, "a", "m", 40, "EUR")["status"]
    assert not any(isinstance(message, m.SliceAsked) for message in shard.heard)


def test_a_purchase_beyond_the_slice_asks_for_all_its_lenders_at_once() -> None:
    shard = a_shard(L1=100, L2=20).connected()
    (waiting,) = shard.submit(buy("b", 100, "x"))
    assert outcome(shard, waiting) is None
    needs = (m.Need("L1", 30), m.Need("L2", 70))
    assert m.SliceAsked(1, needs, shard.state.sequence) == shard.heard[-1]


def test_a_grant_is_recorded_and_used_in_the_same_step() -> None:
    shard = a_shard().connected()
    (waiting,) = shard.submit(buy("a", 50, "x"))
    shard.told(m.GrantSlice("L1", 50), m.AskGranted(1))
    assert m.Outcome.DECIDED is outcome(shard, waiting)
    events = [type(record.event) for record in shard.records[-2:]]
    assert [e.SliceReceived, e.Authorized] == events


def test_a_grant_that_is_told_twice_counts_once() -> None:
    shard = a_shard(L1=50)
    shard.told(m.GrantSlice("L1", 50), m.GrantSlice("L1", 30))
    assert 50 == shard.state.slices["L1"].free_minor


def test_who_waits_for_reserve_holds_up_his_own_account_alone() -> None:
    shard = a_shard(L1=10, L2=100).connected()
    first, second = shard.submit(
        buy("a", 50, "x"), c.ChangeLimit("caller", "y", "a", 5)
    )
    (other,) = shard.submit(c.ChangeLimit("caller", "z", "b", 5))
    assert [None, None, m.Outcome.DECIDED] == [
        outcome(shard, number) for number in (first, second, other)
    ]
    shard.told(m.GrantSlice("L1", 60), m.AskGranted(1))
    decided = [r.command.request_id for r in shard.records if r.command is not None]
    assert ["z", "x", "y"] == decided[-3:]


def test_the_same_request_again_waits_for_its_own_answer() -> None:
    shard = a_shard().connected()
    first, second = shard.submit(buy("a", 50, "x"), buy("a", 50, "x"))
    shard.told(m.GrantSlice("L1", 50), m.AskGranted(1))
    assert m.Outcome.DECIDED is outcome(shard, first)
    assert m.Outcome.REPLAYED is outcome(shard, second)
    assert shard.answers[first].body == shard.answers[second].body


def test_who_waits_does_not_take_an_id_that_was_used_meanwhile() -> None:
    shard = a_shard().connected()
    (waiting,) = shard.submit(buy("a", 50, "x"))
    (other,) = shard.submit(c.FreezeAccount("caller", "x", "b"))
    shard.told(m.GrantSlice("L1", 50), m.AskGranted(1))
    assert m.Outcome.DECIDED is outcome(shard, other)
    assert m.Answer(waiting, m.Outcome.CONFLICT, b"command") == shard.answers[waiting]
    assert 50 == shard.state.slices["L1"].free_minor


def test_a_refusal_becomes_a_decline_with_what_was_missing() -> None:
    shard = a_shard().connected()
    (waiting,) = shard.submit(buy("a", 50, "x"))
    shard.told(m.AskRefused(1, "L1", 20, 7))
    assert m.Outcome.DECIDED is outcome(shard, waiting)
    declined = shard.records[-1].event
    expected = e.Declined(DeclineReason.RESERVE_EXHAUSTED, 30, "L1", 7)
    assert isinstance(declined, e.Declined)
    assert expected == msgspec.structs.replace(declined, authorization_id="", at_ms=0)


def test_a_refusal_counts_only_while_it_is_true_here() -> None:
    """What came back to the refused lender's slice meanwhile may be enough."""
    shard = a_shard(L1=30, L2=70).connected()
    paid = shard.ask(c.Authorize, "b", "m", 100, "EUR", True)["authorization_id"]
    shard.told(m.GrantSlice("L1", 60), m.GrantSlice("L2", 140))
    second = shard.ask(c.Authorize, "b", "m", 100, "EUR", True)
    assert "approved" == second["status"]
    shard.ask(c.OpenAccount, "b2", "pair", "EUR", 1_000)
    (waiting,) = shard.submit(buy("b2", 100, "x"))
    shard.ask(c.Refund, paid, 90)  # 27 and 63 are free again.
    asks = sum(isinstance(message, m.SliceAsked) for message in shard.heard)
    shard.told(m.AskRefused(1, "L1", 5, 1))  # 5 elsewhere and 27 here cover 30.
    assert outcome(shard, waiting) is None
    assert asks + 1 == sum(isinstance(x, m.SliceAsked) for x in shard.heard)


def test_without_settlement_nothing_is_done_and_nothing_is_declined() -> None:
    shard = a_shard()
    (waiting,) = shard.submit(buy("a", 50, "x"))
    assert m.Outcome.NOT_DONE is outcome(shard, waiting)
    assert shard.node.remembered.find(buy("a", 50, "x"), 0) is None


def test_who_has_waited_too_long_hears_that_nothing_was_done() -> None:
    shard = a_shard().connected()
    first, second = shard.submit(
        buy("a", 50, "x"), c.ChangeLimit("caller", "y", "a", 5)
    )
    shard.now_ms += limits.PARKED_MS_MAX
    assert shard.now_ms == shard.node.wakes_at_ms()
    shard.step()
    assert {m.Outcome.NOT_DONE} == {outcome(shard, first), outcome(shard, second)}
    assert 0 == shard.node.parked_count
    shard.told(m.GrantSlice("L1", 50), m.AskGranted(1))  # Too late, but kept.
    assert 50 == shard.state.slices["L1"].free_minor
    (again,) = shard.submit(buy("a", 50, "x"))
    assert m.Outcome.DECIDED is outcome(shard, again)


def test_a_clock_that_was_put_back_makes_nobody_wait_longer() -> None:
    shard = a_shard().connected()
    shard.now_ms += 3_600_000
    shard.step()
    shard.now_ms -= 3_600_000
    shard.step()
    (first,) = shard.submit(buy("a", 50, "x"))
    shard.now_ms += limits.PARKED_MS_MAX - 1
    shard.step()
    assert outcome(shard, first) is None
    assert shard.now_ms + 1 == shard.node.wakes_at_ms()
    shard.now_ms += 1
    shard.step()
    assert m.Outcome.NOT_DONE is outcome(shard, first)


def test_there_is_a_bound_on_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PARKED_COMMANDS_MAX", 2)
    shard = a_shard().connected()
    numbers = shard.submit(buy("a", 1, "x"), buy("a", 1, "y"), buy("a", 1, "z"))
    outcomes = [outcome(shard, number) for number in numbers]
    assert [None, None, m.Outcome.NOT_DONE] == outcomes


def test_on_a_new_connection_the_shard_says_hello_and_asks_again() -> None:
    shard = a_shard(L1=10).connected()
    shard.submit(buy("a", 50, "x"))
    shard.node.disconnected(0)
    shard.heard.clear()
    shard.connected()
    hello, ask = shard.heard
    assert isinstance(hello, m.ShardHello)
    leases = {lease.pool_id: lease for lease in hello.leases}
    assert (10, 0, 10) == (
        leases["L1"].received_minor,
        leases["L1"].returned_minor,
        leases["L1"].free_minor,
    )
    assert m.SliceAsked(1, (m.Need("L1", 50),), shard.state.sequence) == ask


def test_a_recall_gives_back_what_is_free_and_tells_it_after() -> None:
    shard = a_shard(L1=100).connected()
    shard.ask(c.Authorize, "a", "m", 40, "EUR")
    shard.told(m.RecallSlice(5, "L1", False))
    assert e.SliceReturned("L1", 60) == shard.records[-1].event
    lease = m.Lease("L1", 100, 60, 0, 40, 0, 0)
    expected = m.SliceReported(5, lease, 1, shard.state.sequence)
    assert expected == shard.heard[-1]


def test_a_recall_that_only_asks_takes_nothing() -> None:
    shard = a_shard(L1=100).connected()
    shard.told(m.RecallSlice(5, "L1", True))
    assert 100 == shard.state.slices["L1"].free_minor
    assert (
        m.SliceReported(5, m.Lease("L1", 100, 0, 100, 0, 0, 0), 1, shard.state.sequence)
        == (shard.heard[-1])
    )


def test_the_day_moves_with_a_record_that_ends_its_batch() -> None:
    shard = a_shard(L1=100).connected()
    shard.ask(c.Authorize, "a", "m", 40, "EUR", True)
    shard.node.receive(0, [m.MoveDay("2026-01-01", "2026-01-02")])
    (after,) = shard.submit(buy("a", 10, "x"))
    assert "2026-01-01" == shard.batches[-1].day
    assert outcome(shard, after) is None  # The next batch is the next day's.
    ended = shard.heard[-1]
    assert isinstance(ended, m.DayEnded)
    assert ("2026-01-01", shard.state.sequence) == (ended.day, ended.sequence)
    assert 40 == ended.totals.merchants["m"].captured_minor
    shard.step()
    assert "2026-01-02" == shard.batches[-1].day
    assert m.Outcome.DECIDED is outcome(shard, after)


def test_a_day_that_is_moved_twice_is_reported_the_same() -> None:
    shard = a_shard(L1=100).connected()
    move = m.MoveDay("2026-01-01", "2026-01-02")
    shard.told(move)
    first = shard.heard[-1]
    shard.ask(c.Authorize, "a", "m", 40, "EUR", True)
    shard.told(move)
    assert first == shard.heard[-1]
    assert 1 == sum(isinstance(r.event, e.DayMoved) for r in shard.records)


def test_what_has_run_out_is_given_back_by_a_record() -> None:
    shard = a_shard(L1=100)
    key = shard.ask(c.Authorize, "a", "m", 40, "EUR")["authorization_id"]
    hold = shard.ask(c.PlaceHold, "a", 10, "EUR")["hold_id"]
    shard.now_ms += 30_000
    shard.step()
    assert [e.HoldExpired(hold, 10)] == [shard.records[-1].event]
    shard.now_ms += 30_000
    shard.step()
    assert e.AuthorizationExpired(key, 40, (40,)) == shard.records[-1].event
    assert 1_000 == shard.read("account", "a")["open_to_buy_minor"]
    assert 100 == shard.state.slices["L1"].free_minor


def test_what_is_captured_never_expires() -> None:
    shard = a_shard(L1=100)
    shard.ask(c.Authorize, "a", "m", 40, "EUR", True)
    partly = shard.ask(c.Authorize, "a", "m", 40, "EUR")["authorization_id"]
    shard.ask(c.CaptureAuthorization, partly, 15)
    shard.now_ms += 60_000
    shard.step()
    expired = [r.event for r in shard.records if r.command is None][-1]
    assert e.AuthorizationExpired(partly, 25, (25,)) == expired
    assert 55 == shard.read("account", "a")["outstanding_minor"]


def test_a_shard_from_its_journal_is_the_same_and_remembers() -> None:
    shard = a_shard(L1=100)
    shard.submit(buy("a", 40, "x"))
    expected = shard.answers[shard.count].body
    again = OneShard(shard.batches).welcomed()
    assert digest_of(shard.state) == digest_of(again.state)
    (number,) = again.submit(buy("a", 40, "x"))
    assert m.Answer(number, m.Outcome.REPLAYED, expected) == again.answers[number]
    again.now_ms += 61_000
    again.step()
    assert isinstance(again.records[-1].event, e.AuthorizationExpired)
