"""What is due comes in order, not before its time, and not when it is over."""

import random

import pytest

from processor import commands as c
from processor import limits
from processor.expiries import Expiries
from processor.scratch import MemoryScratch
from tests.unit.one_shard import OneShard, furnished


def popped(expiries: Expiries, now_ms: int) -> list[str]:
    found = []
    while (name := expiries.pop(now_ms)) is not None:
        found.append(name)
    return found


def test_what_is_due_comes_in_order_and_not_a_millisecond_early() -> None:
    expiries = Expiries([(5_000, "b"), (5_001, "a"), (100_000, "c"), (4_999, "z")])
    assert [] == popped(expiries, 4_998)
    assert ["z"] == popped(expiries, 4_999)
    assert 5_000 == expiries.next_ms
    assert ["b"] == popped(expiries, 5_000)
    assert ["a"] == popped(expiries, 99_999)
    assert ["c"] == popped(expiries, 100_000)
    assert expiries.next_ms is None


def test_what_is_added_to_a_span_that_has_begun_is_not_lost() -> None:
    expiries = Expiries([(4_100, "a")])
    assert ["a"] == popped(expiries, 4_100)
    expiries.add(4_101, "b")
    expiries.add(4_000, "late")
    assert 4_000 == expiries.next_ms
    assert ["late", "b"] == popped(expiries, 4_101)


def test_what_is_over_is_forgotten_and_takes_no_room() -> None:
    expiries = Expiries((at_ms, str(at_ms)) for at_ms in range(0, 100_000, 10))
    for at_ms in range(0, 100_000, 10):
        if at_ms % 1_000:
            expiries.forget(at_ms, str(at_ms))
    expiries.forget(7, "never there")
    assert 100 == len(expiries)
    assert [str(n) for n in range(0, 50_001, 1_000)] == popped(expiries, 50_000)
    for at_ms in range(0, 100_000, 1_000):
        expiries.forget(at_ms, str(at_ms))
    assert ["51000"] == popped(expiries, 2_000_000)  # Its span had begun.


@pytest.mark.parametrize("seed", range(20))
def test_against_a_sorted_list(seed: int) -> None:
    chance = random.Random(seed)
    expiries, waiting, now_ms = Expiries([]), set[tuple[int, str]](), 0
    for number in range(500):
        if chance.random() < 0.6:
            at_ms = now_ms + chance.randrange(-100, 20_000)
            at_ms = max(0, at_ms)
            expiries.add(at_ms, str(number))
            waiting.add((at_ms, str(number)))
        else:
            now_ms += chance.randrange(3_000)
            due = [name for at_ms, name in sorted(waiting) if at_ms <= now_ms]
            assert due == popped(expiries, now_ms)
            waiting = {item for item in waiting if item[0] > now_ms}
        first_ms = min(waiting)[0] if waiting else None
        assert first_ms == expiries.next_ms


def test_a_shard_forgets_the_expiry_of_what_it_shelves() -> None:
    shard = furnished(OneShard(scratch=MemoryScratch()), L1=10_000)
    ids = [
        shard.ask(c.Authorize, "a", "m", 10, "EUR")["authorization_id"]
        for _ in range(20)
    ]
    assert 20 == len(shard.node._expiries)
    for name in ids[:-1]:
        shard.ask(c.ReverseAuthorization, name)
    for _ in range(4 * limits.OBJECTS_SWEPT_RECORDS):  # It begins slowly.
        shard.ask(c.FreezeAccount, "b")
    assert 1 == len(shard.node._expiries)
    shard.now_ms += 61_000
    shard.step()
    assert "expired" == shard.state.authorizations[ids[-1]].status
