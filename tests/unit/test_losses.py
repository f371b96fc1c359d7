"""What a write-off cost each lender, and what of it comes back to whom."""

from typing import Any

import pytest

from processor import commands as c
from processor import events as e
from processor.scratch import MemoryScratch
from tests.unit.one_shard import OneShard, furnished


@pytest.fixture(params=[None, MemoryScratch], ids=["in memory", "shelved"])
def shard(request: pytest.FixtureRequest) -> OneShard:
    """Account `b` owes 10 that were written off: 3 of L1, 7 of L2."""
    scratch = request.param and request.param()
    shard = furnished(OneShard(scratch=scratch), L1=1_000, L2=1_000)
    shard.ask(c.Authorize, "b", "m", 10, "EUR", True)
    shard.ask(c.WriteOff, "b")
    return shard


def recovered(shard: OneShard) -> dict[str, int]:
    """What each lender had of all recoveries that were not reversed."""
    parts: dict[str, int] = {}
    reversed_ids = {
        record.event.recovery_id
        for record in shard.records
        if isinstance(record.event, e.RecoveryReversed)
    }
    for record in shard.records:
        event: Any = record.event
        if isinstance(event, e.RecoveryRecorded) and (
            event.recovery_id not in reversed_ids
        ):
            for part in event.parts:
                got_minor = parts.get(part.lender_id, 0) + part.amount_minor
                parts[part.lender_id] = got_minor
    return parts


@pytest.mark.parametrize("amounts", [[10], [5, 5], [1] * 10, [3, 3, 3, 1], [9, 1]])
def test_in_any_parts_each_lender_gets_back_what_it_lost(
    shard: OneShard, amounts: list[int]
) -> None:
    for amount in amounts:
        shard.ask(c.RecordRecovery, "b", amount, "EUR")
        shard.ask(c.FreezeAccount, "a")  # A step more, in which something is shelved.
    assert {"L1": 3, "L2": 7} == recovered(shard)


def test_what_was_reversed_is_lost_again(shard: OneShard) -> None:
    made = shard.ask(c.RecordRecovery, "b", 9, "EUR")["recovery_id"]
    shard.ask(c.ReverseRecovery, made)
    for amount in (5, 5):
        shard.ask(c.RecordRecovery, "b", amount, "EUR")
    assert {"L1": 3, "L2": 7} == recovered(shard)
