"""The fingerprint of a state is made while the node works, or not at all."""

import asyncio

import pytest

from actors import digests
from actors.digests import digest_between_steps
from processor import commands as c
from processor.recovery import digest_of
from processor.scratch import MemoryScratch
from tests.unit.one_shard import OneShard, furnished

PURCHASES = 1_000


@pytest.fixture(autouse=True)
def always_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_MOMENT_SECONDS", 0.0)


def busy() -> OneShard:
    shard = furnished(OneShard(scratch=MemoryScratch()), L1=1_000_000)
    for _ in range(PURCHASES):
        answer = shard.ask(c.Authorize, "a", "m", 1, "EUR")
        assert "approved" == answer["status"]
    return shard


async def test_others_have_their_turns_meanwhile() -> None:
    state = busy().state
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    found = await digest_between_steps(state)
    counting.cancel()
    assert (state.sequence, digest_of(state)) == found
    assert turns > PURCHASES // 256


async def test_a_state_that_changed_meanwhile_has_none() -> None:
    shard = busy()
    digest = asyncio.create_task(digest_between_steps(shard.state))
    await asyncio.sleep(0)
    before = shard.state.sequence
    shard.ask(c.FreezeAccount, "a")
    assert (before, "") == await digest
    assert (shard.state.sequence, digest_of(shard.state)) == await digest_between_steps(
        shard.state
    )


async def test_what_comes_back_from_the_shelf_meanwhile_is_a_change() -> None:
    found = {}
    for turns in (1, 6, 7, 8, 9, 10):
        shard = busy()
        table = shard.state.authorizations
        first = next(iter(table))
        shard.ask(c.ReverseAuthorization, first)
        for _ in range(200):
            table.sweep(1_000)
        assert first not in dict.keys(table)
        digest = asyncio.create_task(digest_between_steps(shard.state))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert table.get(first) is not None
        _, found[turns] = await digest
        assert found[turns] in ("", digest_of(shard.state))
    assert found[1]  # Before the table is looked at it makes no difference.
    assert "" in found.values()
