"""Reversals before, during and after what they reverse, and repeated.  (13.)

An authorization's id comes with its answer, so a reversal that is sent before
can only guess it; it is declined, and stays so, whatever comes later.
"""

import asyncio
import json
from functools import partial
from pathlib import Path
from random import Random

from tests.crash.asking import Asker, purchase, told
from tests.crash.second_gateway import second_gateway
from tests.processes import check_verified, furnish, running_server, until_answered

_REPEATS = 5
_AMOUNT_MINOR = 500


async def race(directory: Path, seed: int, purchases: int) -> None:
    """Reverse so many authorizations while others capture them, and kill a shard."""
    random = Random(seed)
    with (
        running_server(directory / "data", "--shards", "2") as server,
        second_gateway(server, 2) as other,
    ):
        names = furnish(server, 10)
        before = {name: server.get(f"/v1/accounts/{name}") for name in names}
        async with Asker(server, other) as asker:
            racing = [
                asyncio.create_task(_race_one(asker, names, n, Random(f"{seed}:{n}")))
                for n in range(purchases)
            ]
            await racing[purchases // 3]
            until_answered(partial(server.kill_node, f"shard-00{random.randrange(2)}"))
            captured = await asyncio.gather(*racing)
        after = {
            name: until_answered(partial(server.get, f"/v1/accounts/{name}"))
            for name in names
        }
        assert server.terminate() == 0
    check_verified(directory / "data")

    for at, name in enumerate(names):
        owed_minor = sum(captured[at :: len(names)])
        expected = before[name] | {
            "outstanding_minor": owed_minor,
            "open_to_buy_minor": before[name]["open_to_buy_minor"] - owed_minor,
            "unpaid_purchases": after[name]["unpaid_purchases"],
        }
        assert expected == after[name]
    assert 0 < sum(captured) < purchases * _AMOUNT_MINOR


async def _race_one(asker: Asker, names: list[str], number: int, random: Random) -> int:
    """One authorization, captured and reversed at once; what was captured of it."""
    name = names[number % len(names)]
    key = f"r-{number}"
    body = purchase(name, _AMOUNT_MINOR)
    unknown = "/v1/authorizations/au_fffffff/reverse"
    early = await asker.until_answered(unknown, f"{key}-early", {})
    assert told(early)["status"] == "declined"
    answer = await asker.until_answered("/v1/authorizations", key, body)
    path = f"/v1/authorizations/{told(answer)['authorization_id']}"
    part_minor = random.randint(1, _AMOUNT_MINOR)
    capture = {"amount_minor": part_minor, "final": random.random() < 0.5}
    sendings = [
        *[(f"{path}/reverse", f"{key}-reverse", {}) for _ in range(_REPEATS)],
        (f"{path}/reverse", f"{key}-again", {}),
        (f"{path}/capture", f"{key}-capture", capture),
    ]
    random.shuffle(sendings)
    answers = await asyncio.gather(
        *(
            asker.until_answered(where, k, what, random.randrange(2))
            for where, k, what in sendings
        )
    )
    by_key: dict[str, set[bytes]] = {}
    for (_, k, _), answer in zip(sendings, answers, strict=True):
        by_key.setdefault(k, set()).add(answer.body)
    assert {1} == {len(bodies) for bodies in by_key.values()}
    late = await asker.until_answered(f"{path}/reverse", f"{key}-late", {})
    assert told(late)["status"] == "declined"
    (captured,) = by_key[f"{key}-capture"]
    captured_minor: int = json.loads(captured).get("amount_minor", 0)
    return captured_minor
