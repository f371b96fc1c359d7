"""Recovery: apply and remembering alone, the same at every row."""

import pytest

from processor import commands as c
from processor import messages as m
from processor.journal import Identity
from processor.recovery import SettlementReplay, ShardReplay, digest_of
from processor.remembered import Keeping
from tests.unit.one_settlement import a_settlement
from tests.unit.one_shard import IDENTITY, OneShard, a_shard, furnished


def test_every_row_gives_the_state_that_was() -> None:
    shard = a_shard(L1=500, L2=500)
    digests = {}
    for amount in (10, 7, 2_000):
        shard.ask(c.Authorize, "b", "m", amount, "EUR", amount == 7)
        digests[shard.state.sequence] = digest_of(shard.state)
    replay = ShardReplay(IDENTITY)
    for batch in shard.batches:
        replay.replay(batch)
        expected = digests.get(batch.last_sequence)
        assert expected in (None, digest_of(replay.state))
    assert len(shard.node.remembered) == len(replay.remembered)


def test_a_difference_of_one_minor_unit_is_another_fingerprint() -> None:
    shard = a_shard(L1=500)
    before = digest_of(shard.state)
    shard.state.slices["L1"].free_minor += 1
    assert before != digest_of(shard.state)


def test_a_replay_forgets_the_same_requests() -> None:
    few = Keeping(
        keep_ms=10**6, requests_max=8, recent_min=2, generation_min=4, generation_max=4
    )
    shard = furnished(OneShard(keeping=few))
    for _ in range(20):
        shard.ask(c.FreezeAccount, "a")
    again = OneShard(shard.batches, keeping=few)
    commands = [r.command for r in shard.records if r.command is not None]
    for node in (shard.node, again.node):
        found = [node.remembered.find(command, 2_000) for command in commands]
        kept = len(node.remembered)
        assert 4 <= kept <= 8
        assert [None] * (len(commands) - kept) == found[:-kept]
        assert [shard.event_of(x) for x in commands[-kept:]] == [
            pair and pair[1] for pair in found[-kept:]
        ]


def test_settlement_is_rebuilt_the_same() -> None:
    settlement = a_settlement(L1=100)
    settlement.told(10, m.SliceAsked(1, (m.Need("L1", 60),), 20))
    settlement.ask(c.CloseDay, "2026-01-01")
    identity = Identity("test", "settlement", 0, 2, "s", "2026-01-01")
    replay = SettlementReplay(identity)
    for batch in settlement.batches:
        replay.replay(batch)
    assert digest_of(settlement.state) == digest_of(replay.state)


def test_a_row_that_does_not_end_where_it_says_is_not_applied_in_silence() -> None:
    shard = a_shard()
    batch = shard.batches[0]
    batch = type(batch)(1, batch.last_sequence + 1, 1, batch.day, 0, batch.records, b"")
    with pytest.raises(AssertionError):
        ShardReplay(IDENTITY).replay(batch)


def test_a_journal_of_the_other_kind_is_not_taken() -> None:
    with pytest.raises(AssertionError):
        SettlementReplay(IDENTITY)
