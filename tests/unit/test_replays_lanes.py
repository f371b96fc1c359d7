"""One account's operations keep their order; the rest run side by side."""

import asyncio
import random
from collections import defaultdict
from functools import partial

import pytest

from gateway.replays.lanes import Lanes


async def test_an_account_keeps_its_order_while_others_pass() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    ended: defaultdict[str, list[int]] = defaultdict(list)
    running: set[str] = set()
    most = 0

    async def work(account: str, number: int) -> None:
        nonlocal most
        assert account not in running
        running.add(account)
        most = max(most, len(running))
        await asyncio.sleep(chance.random() / 500)
        running.remove(account)
        ended[account].append(number)

    async with asyncio.TaskGroup() as group:
        lanes = Lanes(group, 8)
        for number in range(300):
            account = f"account{chance.randrange(20)}"
            await lanes.put(account, partial(work, account, number))

    assert 300 == sum(len(numbers) for numbers in ended.values())
    assert all(numbers == sorted(numbers) for numbers in ended.values())
    assert 1 < most <= 8


async def test_one_account_alone_does_not_lock_up_all_slots() -> None:
    ended = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        ended.append(number)

    async with asyncio.TaskGroup() as group:
        lanes = Lanes(group, 2)
        for number in range(50):
            await lanes.put("one", partial(work, number))
    assert list(range(50)) == ended


async def test_a_failure_ends_all_and_nothing_behind_it_starts() -> None:
    started = []

    async def work(number: int) -> None:
        started.append(number)
        await asyncio.sleep(0.001)
        if number == 1:
            raise ValueError("broken")

    async def run() -> None:
        async with asyncio.TaskGroup() as group:
            lanes = Lanes(group, 4)
            for number in range(20):
                await lanes.put("one", partial(work, number))

    with pytest.raises(ExceptionGroup) as failures:
        await run()
    assert failures.group_contains(ValueError, match="broken")
    assert [0, 1] == started
