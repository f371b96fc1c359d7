"""Endless demand on one lender while shards and settlement are killed.  (10.)

At every moment no more is approved than deposit and advance line; at the end
it is exactly that: nothing was stranded by a kill, and nobody declined falsely.
"""

import asyncio
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.crash.asking import Asker, purchase, told
from tests.processes import (
    RunningServer,
    check_verified,
    running_server,
    until_answered,
)

_DEPOSIT_MINOR, _LINE_MINOR = 400_000, 100_000
_BUYERS = 16
_NODES = ("shard-000", "settlement", "shard-001")


async def exhaust(directory: Path, seed: int, kills: int) -> int:
    """Buy until not one minor unit more is to be had, through so many kills.

    What was approved beyond what the lender has, in minor units.
    """
    random = Random(seed)
    approved: list[int] = []
    with running_server(directory / "data", "--shards", "2") as server:
        _set_stage(server)
        async with Asker(server) as asker:
            killing = asyncio.create_task(_kill(server, random, kills, approved))
            buyers = [
                _buy_to_the_last(asker, number, Random(f"{seed}:{number}"), approved)
                for number in range(_BUYERS)
            ]
            await asyncio.gather(*buyers)
            await killing
            # What a kill left unasked for is asked for now.
            last = [
                _buy_to_the_last(asker, _BUYERS + number, random, approved)
                for number in range(2)
            ]
            await asyncio.gather(*last)
        position = until_answered(partial(server.get, "/v1/lenders/solo/position"))
        assert server.terminate() == 0
    verified = check_verified(directory / "data")

    assert position["authorized_minor"] + position["captured_minor"] == sum(approved)
    assert verified["overspend_minor"] == 0
    assert verified["false_reserve_declines"] == 0
    return sum(approved) - _DEPOSIT_MINOR - _LINE_MINOR


def _set_stage(server: RunningServer) -> None:
    post: Any = server.post
    post("/v1/lenders", "l", {"lender_id": "solo", "currency": "EUR"})
    post("/v1/lenders/solo/deposits", "d", {"amount_minor": _DEPOSIT_MINOR})
    post("/v1/lenders/solo/advance-line", "a", {"advance_line_minor": _LINE_MINOR})
    shares = [{"lender_id": "solo", "share_ppm": 1_000_000}]
    program = {"program_id": "p", "currency": "EUR", "shares": shares}
    post("/v1/programs", "p", program)
    post("/v1/merchants", "m", {"merchant_id": "shop"})
    for number in range(_BUYERS + 2):
        account = {"account_id": f"b{number}", "program_id": "p", "currency": "EUR"}
        post("/v1/accounts", f"o{number}", account | {"limit_minor": 10**9})


async def _buy_to_the_last(
    asker: Asker, number: int, random: Random, approved: list[int]
) -> None:
    """Buy; when declined less, until even a single minor unit is declined."""
    amount_minor, count = 0, 0
    while amount_minor != 1:
        amount_minor = amount_minor // 2 or random.randint(1, 600)
        while True:
            count += 1
            body = purchase(f"b{number}", amount_minor, capture=random.random() < 0.5)
            key = f"e-{number}-{count}"
            answer = told(await asker.until_answered("/v1/authorizations", key, body))
            if answer["status"] != "approved":
                assert answer["reason"] == "reserve_exhausted", answer
                break
            approved.append(amount_minor)
            assert sum(approved) <= _DEPOSIT_MINOR + _LINE_MINOR
            if amount_minor > 1:
                amount_minor = random.randint(1, 600)


async def _kill(
    server: RunningServer, random: Random, kills: int, approved: list[int]
) -> None:
    """Kill a node each time that so much more is spent."""
    for number in range(kills):
        share = (number + 1) / (kills + 1)
        while sum(approved) < share * _DEPOSIT_MINOR:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        name = _NODES[number % len(_NODES)]
        await asyncio.to_thread(until_answered, partial(server.kill_node, name))
