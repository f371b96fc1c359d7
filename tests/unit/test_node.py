"""The inbox: bounded, in order, and refusing in time."""

import pytest

from processor import commands as c
from processor import limits
from processor import messages as m
from processor.remembered import Keeping
from processor.shard import SETTLEMENT
from tests.unit.one_shard import OneShard, a_shard, furnished


def freeze(number: int) -> m.Submit:
    return m.Submit(number, c.FreezeAccount("caller", f"id {number}", "a"))


def full_shard(monkeypatch: pytest.MonkeyPatch, room: int) -> OneShard:
    shard = a_shard()
    monkeypatch.setattr(limits, "INBOX_COMMANDS_MAX", room)
    return shard


def test_over_the_bound_nothing_is_done_and_the_caller_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shard = full_shard(monkeypatch, room=2)
    shard.node.receive(1, [freeze(101), freeze(102), freeze(103)])
    assert 2 == shard.node.inbox_length
    shard.step()
    assert m.Answer(103, m.Outcome.NOT_DONE, b"overloaded") == shard.answers[103]
    assert {101, 102, 103} <= set(shard.answers)
    asked = [r.command.request_id for r in shard.records if r.command is not None]
    assert ["id 101", "id 102"] == asked[-2:]


def test_settlement_is_heard_however_full_the_inbox_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shard = full_shard(monkeypatch, room=1)
    grants = [m.GrantSlice("L1", 10 * i) for i in range(1, 5)]
    shard.node.receive(SETTLEMENT, grants)
    assert 4 == shard.node.inbox_length


def test_what_is_refused_beyond_the_bound_is_not_done_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The inbox may hold more protocol messages than the bound; the rest is room 0."""
    shard = full_shard(monkeypatch, room=1)
    shard.node.receive(SETTLEMENT, [m.GrantSlice("L1", i) for i in range(1, 4)])
    shard.node.receive(1, [freeze(101), freeze(102), freeze(103)])
    shard.step()
    outcomes = {shard.answers[number].outcome for number in (101, 102, 103)}
    assert {m.Outcome.NOT_DONE} == outcomes
    assert "open" == shard.read("account", "a")["status"]


def test_one_step_takes_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = a_shard()
    monkeypatch.setattr(limits, "BATCH_COMMANDS_MAX", 2)
    shard.node.receive(1, [freeze(101), freeze(102), freeze(103)])
    shard.step()
    assert 1 == shard.node.inbox_length
    shard.step()
    assert {101, 102, 103} <= set(shard.answers)


def test_the_clock_of_a_node_never_goes_back() -> None:
    shard = a_shard(L1=100)
    late = shard.ask(c.PlaceHold, "a", 1, "EUR")["expires_at_ms"]
    shard.now_ms -= 500
    assert late == shard.ask(c.PlaceHold, "a", 1, "EUR")["expires_at_ms"]


def test_nor_does_it_after_a_restart() -> None:
    shard = a_shard(L1=100)
    late = shard.ask(c.PlaceHold, "a", 1, "EUR")["expires_at_ms"]
    again = OneShard(shard.batches).welcomed()
    again.now_ms, again.count = shard.now_ms - 500, 100
    assert late == again.ask(c.PlaceHold, "a", 1, "EUR")["expires_at_ms"]


def test_who_is_told_to_stop_does_nothing_more() -> None:
    shard = a_shard()
    shard.node.receive(SETTLEMENT, [m.ShardRefused("an old copy")])
    shard.node.receive(1, [freeze(101)])
    shard.step()
    assert "an old copy" == shard.node.stopped_because
    assert 101 not in shard.answers


def test_a_step_reads_so_many_old_requests_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REMEMBERED_READS_PER_STEP_MAX", 3)
    few = Keeping(
        keep_ms=10**6, requests_max=64, recent_min=1, generation_min=8, generation_max=8
    )
    shard = furnished(OneShard(keeping=few))
    commands = [c.FreezeAccount("caller", f"id {n}", "a") for n in range(10)]
    for command in commands:
        shard.submit(command)
    first, *_ = shard.submit(*commands)
    assert 4 == len([n for n in shard.answers if n >= first])
    assert shard.node.has_work
    while shard.node.has_work:
        shard.step()
    outcomes = [shard.answers[first + n].outcome for n in range(10)]
    assert [m.Outcome.REPLAYED] * 10 == outcomes
