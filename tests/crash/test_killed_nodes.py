"""SIGKILL in the middle of the work: nothing acknowledged is lost or doubled.

Real processes, real journals, real HTTP.  Clients ask again with the same
Idempotency-Key until they have an answer.  (Faults 1, 4 and 11.)
"""

import asyncio
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.retail import WEEK
from tests.processes import (
    FOREBAY,
    RunningServer,
    check_verified,
    furnish,
    running_server,
)

pytestmark = pytest.mark.crash

ACCOUNTS = 40
PURCHASES = 2_000
IN_FLIGHT = 64
Answers = dict[str, tuple[bytes, bool]]  # Key → body, and whether it was replayed.


async def ask(
    session: aiohttp.ClientSession, server: RunningServer, key: str, body: object
) -> tuple[bytes, bool]:
    """Ask until there is an answer; an error of any kind is unknown."""
    headers = {"Authorization": f"Bearer {server.key}", "Idempotency-Key": key}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            async with session.post(
                f"{server.url}/v1/authorizations", json=body, headers=headers
            ) as response:
                answer = await response.read()
                if response.status == 200:
                    return answer, "Idempotency-Replayed" in response.headers
                assert response.status in (429, 503, 504), answer
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError(f"{key} was never answered; {server.log}")


async def buy(server: RunningServer, names: list[str], prefix: str) -> Answers:
    """Many purchases at once."""
    answers: Answers = {}
    slots = asyncio.Semaphore(IN_FLIGHT)
    async with aiohttp.ClientSession() as session:

        async def one(number: int) -> None:
            body = {
                "account_id": names[number % len(names)],
                "merchant_id": "shop",
                "amount_minor": 100 + number % 7,
                "currency": "EUR",
                "capture": number % 2 == 0,
            }
            key = f"{prefix}-{number}"
            async with slots:
                answers[key] = await ask(session, server, key, body)

        await asyncio.gather(*(one(number) for number in range(PURCHASES)))
    return answers


def kill_in_the_middle(server: RunningServer, name: str, purchases: int) -> None:
    """Kill a node once the shards have recorded so much."""
    begin: int = sum(n["sequence"] for n in server.nodes().values())

    def far_enough() -> bool:
        try:
            nodes = server.nodes()
        except OSError:
            return False
        recorded: int = sum(node["sequence"] for node in nodes.values())
        return recorded > begin + purchases

    server.wait_until("half of the work", far_enough)
    server.kill_node(name)


@pytest.mark.parametrize("victim", ["shard-000", "shard-001", "settlement"])
async def test_what_was_acknowledged_survives_a_kill(
    tmp_path: Path, victim: str
) -> None:
    """The same key has the same answer before and after, byte for byte."""
    with running_server(tmp_path / "data", "--shards", "2") as server:
        names = furnish(server, ACCOUNTS)
        buying = asyncio.create_task(buy(server, names, "k"))
        await asyncio.to_thread(kill_in_the_middle, server, victim, PURCHASES // 3)
        before = await buying
        epoch = server.wait_until("a new life", lambda: server.nodes().get(victim))
        again = await buy(server, names, "k")
        position = server.get("/v1/lenders/north/position")
        assert server.terminate() == 0
    verified = check_verified(tmp_path / "data")

    assert epoch["epoch"] == 2
    assert {key: body for key, (body, _) in before.items()} == {
        key: body for key, (body, _) in again.items()
    }
    assert all(replayed for _, replayed in again.values())
    approved = [b for b, _ in before.values() if json.loads(b)["status"] == "approved"]
    assert len(approved) == PURCHASES
    assert verified["counts"]["Authorized"] == PURCHASES
    assert (
        verified["lenders"]["north"]["authorized_minor"]
        == (position["authorized_minor"])
    )


async def test_what_was_acknowledged_survives_a_kill_of_the_whole_server(
    tmp_path: Path,
) -> None:
    """Not one actor but the process that owns them all, then a new one."""
    server = RunningServer(tmp_path / "data")
    server.start("--shards", "2")
    try:
        names = furnish(server, ACCOUNTS)
        buying = asyncio.create_task(buy(server, names, "k"))

        def kill_and_restart() -> None:
            server.wait_until(
                "some work",
                lambda: sum(n["records"] for n in server.nodes().values()) > 1_000,
            )
            server.kill()
            server.start()

        await asyncio.to_thread(kill_and_restart)
        before = await buying
        again = await buy(server, names, "k")
    finally:
        if server.process.poll() is None:
            server.terminate()
    verified = check_verified(tmp_path / "data")

    assert {key: body for key, (body, _) in before.items()} == {
        key: body for key, (body, _) in again.items()
    }
    assert verified["counts"]["Authorized"] == PURCHASES


def replayed_with_kills(
    tmp_path: Path, victims: list[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The bundled week, with kills under way: what replay and verify say."""
    with running_server(tmp_path / "data", "--shards", "2") as server:
        replay = subprocess.Popen(
            [*FOREBAY, "replay", str(WEEK), "--json"],
            env={
                "FOREBAY_URL": server.url,
                "FOREBAY_KEY": server.key,
                "PATH": "/usr/bin:/bin",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, victim in enumerate(victims, start=1):
            kill_in_the_middle(server, victim, 120)
            server.wait_until(
                "a new life",
                lambda v=victim, n=number: (
                    server.nodes().get(v, {"epoch": 1}).get("epoch", 1)
                    > victims[:n].count(v)
                ),
            )
        told, said = replay.communicate(timeout=120)
        assert replay.returncode == 0, said
        assert server.terminate() == 0
    return json.loads(told.splitlines()[-1]), check_verified(tmp_path / "data")


@pytest.mark.parametrize("victim", ["shard-000", "settlement"])
def test_a_replay_survives_a_kill(tmp_path: Path, victim: str) -> None:
    """It finishes, and the journals agree with what it was told."""
    replayed, verified = replayed_with_kills(tmp_path, [victim])

    assert replayed["approved"] == verified["counts"]["Authorized"]
    assert replayed["refunds"] == verified["counts"]["Refunded"]
    assert replayed["repayments"] == verified["counts"]["Repaid"]
    assert replayed["days_closed"] == len(verified["days"])
    assert {"overspend_minor": 0, "false_reserve_declines": 0} == {
        key: replayed[key] for key in ("overspend_minor", "false_reserve_declines")
    }
    assert replayed["trial_balance_minor"] == 0
    assert replayed["replay_equal"] is True
