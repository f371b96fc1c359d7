"""SIGKILL of nodes while segments are sealed, packed and folded, under load.

Journals are sealed again and again, so that rotations, archives and snapshots
are always under way somewhere; nodes die at any moment of it.  Nothing that was
answered is lost or done twice, and the server comes back by itself.
"""

import threading
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.crash.test_killed_between_steps import read
from tests.processes import (
    RunningServer,
    check_verified,
    furnish,
    running_server,
    until_answered,
)

pytestmark = pytest.mark.crash

WISHES = 600
CLIENTS = 4
KILLS = ("shard-000", "settlement", "shard-001", "shard-000")


def buy(server: RunningServer, number: int, names: list[str]) -> Any:
    body = {
        "account_id": names[number % len(names)],
        "merchant_id": "shop",
        "amount_minor": 100 + number % 7,
        "currency": "EUR",
        "capture": True,
    }
    return until_answered(
        lambda: server.post("/v1/authorizations", f"k-{number}", body)
    )


def has_more(answers: dict[int, Any], count: int) -> bool:
    return len(answers) > count


def seal(server: RunningServer) -> bool:
    """False when there was no cut, because a node was down."""
    try:
        server.post("/v1/sealings", "", {})
    except OSError as error:
        if isinstance(error, HTTPError) and error.code not in (503, 504):
            raise
        return False
    return True


def test_nodes_killed_while_they_seal_lose_and_double_nothing(tmp_path: Path) -> None:
    random = Random(20_260_101)
    data_dir = tmp_path / "data"
    answers: dict[int, Any] = {}
    ended = threading.Event()
    with running_server(data_dir, "--shards", "2") as server:
        names = furnish(server, 6)

        def client(first: int) -> None:
            for number in range(first, WISHES, CLIENTS):
                answers[number] = buy(server, number, names)

        def seal_all_the_time() -> None:
            while not ended.is_set():
                sealed.append(seal(server))
                ended.wait(0.1)

        sealed: list[bool] = []
        sealing = threading.Thread(target=seal_all_the_time)
        clients = [threading.Thread(target=client, args=(n,)) for n in range(CLIENTS)]
        for thread in (sealing, *clients):
            thread.start()
        for kill, victim in enumerate(KILLS, start=1):
            so_many = WISHES * kill // (len(KILLS) + 1)
            server.wait_until("answers", partial(has_more, answers, so_many))
            ended.wait(random.random() * 0.3)
            until_answered(partial(server.kill_node, victim))
        for thread in clients:
            thread.join()
        server.wait_until("two cuts", lambda: sealed.count(True) >= 2)
        ended.set()
        sealing.join()
        assert answers.keys() == set(range(WISHES))
        again = {number: buy(server, number, names) for number in answers}
        assert again == answers
        owed = sum(
            read(server, f"/v1/accounts/{name}")["outstanding_minor"] for name in names
        )
        server.wait_until("snapshots", lambda: list(data_dir.glob("shard*.snapshot")))
        assert server.terminate() == 0
    assert owed == sum(answer["amount_minor"] for answer in answers.values())
    verified = check_verified(data_dir)
    assert WISHES == verified["counts"]["Authorized"]
    with running_server(data_dir) as server:
        server.add_key()
        assert buy(server, 0, names) == answers[0]
        assert server.terminate() == 0
    assert "is damaged" not in server.log
