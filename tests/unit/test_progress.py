"""A shard tells now and then how far its journal has come; settlement journals it."""

import pytest

from processor import commands as c
from processor import events as e
from processor import limits
from processor import messages as m
from tests.unit.one_settlement import a_settlement
from tests.unit.one_shard import OneShard, a_shard


def told(shard: OneShard) -> list[int]:
    return [x.sequence for x in shard.heard if isinstance(x, m.ShardProgress)]


def connected() -> OneShard:
    shard = a_shard(L1=1_000).connected()
    shard.told(m.ShardWelcome(shard.state.day))
    return shard


def test_it_is_told_after_a_time_and_only_if_there_is_something_new() -> None:
    shard = connected()
    before = told(shard)
    shard.ask(c.FreezeAccount, "a")
    assert before == told(shard)  # It has just been said.
    assert shard.node.wakes_at_ms() == shard.now_ms + limits.PROGRESS_MS_MAX
    shard.now_ms += limits.PROGRESS_MS_MAX
    shard.step()
    assert [*before, shard.state.sequence] == told(shard)
    assert shard.node.wakes_at_ms() is None
    shard.now_ms += limits.PROGRESS_MS_MAX
    shard.step()
    assert [*before, shard.state.sequence] == told(shard)


def test_it_is_told_after_so_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = connected()
    shard.now_ms += limits.PROGRESS_MS_MAX
    shard.step()
    monkeypatch.setattr(limits, "PROGRESS_RECORDS_MAX", 4)
    before = told(shard)
    for _ in range(6):
        shard.ask(c.PlaceHold, "a", 1, "EUR")
    assert [*before, before[-1] + 4] == told(shard)


def test_without_settlement_or_its_welcome_nothing_is_told() -> None:
    shard = a_shard(L1=1_000)
    shard.now_ms += limits.PROGRESS_MS_MAX
    shard.step()
    assert [] == told(shard)
    assert shard.node.wakes_at_ms() is None


def test_settlement_journals_it_and_refuses_a_journal_that_ends_before() -> None:
    settlement = a_settlement(L1=100)
    settlement.told(10, m.ShardProgress(1, 44))
    assert e.ShardProgressed(0, 1, 44) == settlement.records[-1].event
    count = len(settlement.records)
    settlement.told(10, m.ShardProgress(1, 44))
    settlement.told(10, m.ShardProgress(1, 40))
    assert count == len(settlement.records)
    settlement.node.disconnected(10)
    (refused,) = settlement.hello(0, 12, sequence=43)
    assert isinstance(refused, m.ShardRefused)
    assert "ends at record 43, but settlement has acknowledged 44" in refused.reason
    welcome = settlement.hello(0, 13, sequence=44)
    assert isinstance(welcome[0], m.ShardWelcome)
