"""An account's history from a real server: complete, explained, and kept.

After purchases, a decline and an expiry; after a SIGKILL of the shard; and
while many read and many buy at once.
"""

import asyncio
import json
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import aiohttp
import pytest

from tests.processes import RunningServer, check_verified, furnish, running_server

EXPIRY_SECONDS = 1
READERS = 16
BUYERS = 32
LOAD_SECONDS = 4.0
# A machine that does many other things may stop a process this long, a page never.
PAUSE_SECONDS_MAX = 0.5


def history(
    server: RunningServer, account_id: str, limit: int = 200
) -> list[dict[str, Any]]:
    """Every entry, newest first, by pages."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = server.get(f"/v1/accounts/{account_id}/entries?limit={limit}{cursor}")
        assert len(page["entries"]) <= limit
        found += page["entries"]
        if page["next"] is None:
            return found
        cursor = f"&before={page['next']}"


def check_joined(server: RunningServer, entries: list[dict[str, Any]]) -> None:
    """Each goes on where the one before ended, from nothing to the account."""
    assert entries[-1]["kind"] == "account_opened"
    assert entries[-1]["before"] == {"open_to_buy_minor": 0, "outstanding_minor": 0}
    for newer, older in pairwise(entries):
        assert newer["before"] == older["after"]
        assert newer["sequence"] > older["sequence"]
        assert newer["at"] >= older["at"]
    account_id = entries[-1]["command"]["request_id"].removeprefix("open-")
    account = server.get(f"/v1/accounts/{account_id}")
    assert entries[0]["after"] == {name: account[name] for name in entries[0]["after"]}


def authorize(
    server: RunningServer, key: str, account_id: str, amount_minor: int, **more: Any
) -> Any:
    body = {
        "account_id": account_id,
        "merchant_id": "shop",
        "amount_minor": amount_minor,
        "currency": "EUR",
    }
    return server.post("/v1/authorizations", key, body | more)


def with_a_past(server: RunningServer, name: str) -> None:
    """Bought, refunded in part, declined, and one that expires."""
    bought = authorize(server, "buy", name, 12_000, capture=True)
    key = bought["authorization_id"]
    server.post("/v1/refunds", "back", {"authorization_id": key, "amount_minor": 500})
    assert authorize(server, "too-much", name, 10**9)["status"] == "declined"
    authorize(server, "left-open", name, 700)
    server.wait_until(
        "the expiry",
        lambda: server.get(f"/v1/accounts/{name}")["authorized_minor"] == 0,
    )


EXPECTED = [  # Kind, amount, command, reason; newest first.
    ("authorization_expired", 700, None, None),
    ("authorized", 700, "authorize", None),
    ("declined", 10**9, "authorize", "credit_limit_exceeded"),
    ("refunded", 500, "refund", None),
    ("authorized", 12_000, "authorize", None),
    ("account_opened", None, "open_account", None),
]
LEFT = [10**8 - 11_500, 10**8 - 12_200, *[10**8 - 11_500] * 2, 10**8 - 12_000, 10**8]
OWED = [11_500, 11_500, 11_500, 11_500, 12_000, 0]


def told_of(entries: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        (
            entry["kind"],
            entry["amount_minor"],
            entry["command"] and entry["command"]["name"],
            entry["reason"],
        )
        for entry in entries
    ]


def test_a_past_is_told_and_survives_a_kill(tmp_path: Path) -> None:
    """The same bytes before and after, and they go on from there."""
    with running_server(tmp_path / "data", "--shards", "1") as server:
        (name,) = furnish(server, 1, EXPIRY_SECONDS)
        with_a_past(server, name)
        before = history(server, name)
        assert EXPECTED == told_of(before)
        assert LEFT == [entry["after"]["open_to_buy_minor"] for entry in before]
        assert OWED == [entry["after"]["outstanding_minor"] for entry in before]
        assert {"first"} == {e["command"]["caller"] for e in before if e["command"]}
        check_joined(server, before)
        for limit in (1, 2, 5):
            assert before == history(server, name, limit)

        server.kill_node("shard-000")
        server.wait_until(
            "a new life",
            lambda: server.nodes().get("shard-000", {}).get("epoch") == 2,
        )
        assert before == server.wait_until(
            "the history", lambda: answered(lambda: history(server, name))
        )
        authorize(server, "later", name, 900, capture=True)
        after = history(server, name)
        assert before == after[1:]
        assert "later" == after[0]["command"]["request_id"]
        check_joined(server, after)

        problems = [
            problem_of(server, path)
            for path in (
                "/v1/accounts/nobody/entries",
                f"/v1/accounts/{name}/entries?limit=0",
                f"/v1/accounts/{name}/entries?before=last",
            )
        ]
        assert server.terminate() == 0
    assert [(404, ""), (400, "limit"), (400, "before")] == problems
    assert 1 == check_verified(tmp_path / "data")["counts"]["AuthorizationExpired"]


def answered(ask: Callable[[], Any]) -> Any:
    """What was told, or None while the node that knows cannot be reached."""
    try:
        return ask()
    except HTTPError as error:
        error.close()
        if error.code != 503:
            raise
        return None


def problem_of(server: RunningServer, path: str) -> tuple[int, str]:
    """The status of a problem, and the field it names."""
    with pytest.raises(HTTPError) as refused:
        server.get(path)
    with refused.value as answer:
        problem = json.load(answer)
    return problem["status"], problem.get("errors", [{"field": ""}])[0]["field"]


class Crowd:
    """Buyers and readers of the same accounts, until the time is over."""

    def __init__(self, server: RunningServer, names: list[str]) -> None:
        self.server = server
        self.names = names
        self.until = time.monotonic() + LOAD_SECONDS
        self.slowest_purchase_seconds = 0.0
        self.purchases = 0
        self.pages = 0

    async def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.server.key}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=headers, connector=connector) as s:
            await asyncio.gather(
                *(self.buy(s, number) for number in range(BUYERS)),
                *(self.read(s, number) for number in range(READERS)),
            )

    async def buy(self, session: aiohttp.ClientSession, buyer: int) -> None:
        number = 0
        while time.monotonic() < self.until:
            number += 1
            body = {
                "account_id": self.names[(buyer + number) % len(self.names)],
                "merchant_id": "shop",
                "amount_minor": 1,
                "currency": "EUR",
                "capture": True,
            }
            began = time.monotonic()
            async with session.post(
                f"{self.server.url}/v1/authorizations",
                json=body,
                headers={"Idempotency-Key": f"b-{buyer}-{number}"},
            ) as response:
                assert (await response.json())["status"] == "approved"
            seconds = time.monotonic() - began
            self.slowest_purchase_seconds = max(self.slowest_purchase_seconds, seconds)
            self.purchases += 1

    async def read(self, session: aiohttp.ClientSession, reader: int) -> None:
        """Page after page of one account, always as deep as there is."""
        name = self.names[reader % len(self.names)]
        path = f"{self.server.url}/v1/accounts/{name}/entries?limit=200"
        cursor, last = "", None
        while time.monotonic() < self.until:
            async with session.get(path + cursor) as response:
                page = await response.json()
                assert response.status == 200, page
            for entry in page["entries"]:
                assert last is None or entry["after"] == last["before"]
                last = entry
            self.pages += 1
            cursor = "" if page["next"] is None else f"&before={page['next']}"
            last = last if cursor else None


async def test_readers_do_not_stop_a_node_under_load(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--shards", "1") as server:
        names = await asyncio.to_thread(furnish, server, 8)
        crowd = Crowd(server, names)
        await crowd.run()
        figures = (await asyncio.to_thread(server.nodes))["shard-000"]
        for name in names:
            found = await asyncio.to_thread(history, server, name)
            await asyncio.to_thread(check_joined, server, found)
            assert crowd.purchases // len(names) - BUYERS < len(found)
        assert server.terminate() == 0
    check_verified(tmp_path / "data")
    print(
        f"{crowd.purchases} purchases, {crowd.pages} pages in {LOAD_SECONDS} s; "
        f"slowest purchase {crowd.slowest_purchase_seconds * 1e3:.1f} ms, "
        f"longest reading at once {figures['reading_seconds_max'] * 1e3:.2f} ms of "
        f"{figures['reading_seconds']:.2f} s, "
        f"longest append {figures['append_seconds_max'] * 1e3:.1f} ms"
    )
    assert crowd.pages <= figures["readings"]
    assert crowd.pages > READERS
    assert crowd.purchases > BUYERS
    assert figures["reading_seconds_max"] < PAUSE_SECONDS_MAX
