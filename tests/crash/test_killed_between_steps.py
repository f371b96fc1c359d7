"""POS repayments on a real server whose nodes are killed between the steps.

Every request is asked again under its key until it is answered.  In the end
each withholding is one repayment, and the money is where the answers say.
"""

import threading
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.processes import (
    RunningServer,
    check_verified,
    furnish,
    running_server,
    until_answered,
)

pytestmark = pytest.mark.crash

PURCHASE_MINOR = 1_000
FEE_PPM = 20_000
WISHES = 400
CLIENTS = 8
KILLED = ((80, "shard-000"), (240, "settlement"))


def repay(server: RunningServer, key: str, body: dict[str, Any]) -> Any:
    return until_answered(lambda: server.post("/v1/pos-repayments", key, body))


def has(answers: dict[str, Any], count: int) -> bool:
    return len(answers) >= count


def read(server: RunningServer, path: str) -> Any:
    return until_answered(lambda: server.get(path))


def test_nodes_killed_between_the_steps_lose_and_double_nothing(tmp_path: Path) -> None:
    random = Random(20260101)
    with running_server(tmp_path / "data", "--shards", "2") as server:
        names = furnish(server, 6)
        terms = {"pricing": {"fee_ppm": FEE_PPM}}
        server.post("/v1/merchants/shop/terms", "terms", terms)
        for name in names:
            bought = server.post("/v1/authorizations", f"buy-{name}", buy(name))
            assert bought["fee_minor"] == PURCHASE_MINOR * FEE_PPM // 1_000_000
        day = server.get("/v1/business-days/current")["day"]
        server.post(f"/v1/business-days/{day}/close", "close", {})
        server.wait_until(
            "the day closed",
            lambda: server.get(f"/v1/business-days/{day}")["status"] == "closed",
        )
        answers = repay_while_nodes_die(server, names, random)
        payables = read(server, "/v1/merchants/shop/payable")["payables"]
        owed = sum(
            read(server, f"/v1/accounts/{name}")["outstanding_minor"] for name in names
        )
        again = repay(server, "pos-0", answers["pos-0"][0])
        assert again == answers["pos-0"][1]
    verified = check_verified(tmp_path / "data")

    withheld = sum(answer["withheld_minor"] for _, answer in answers.values())
    closed = 6 * PURCHASE_MINOR * (1_000_000 - FEE_PPM) // 1_000_000
    assert {
        "currency": "EUR",
        "closed_minor": closed,
        "withheld_minor": withheld,
        "payable_minor": closed - withheld,
    } == payables[0]
    assert owed == 6 * PURCHASE_MINOR - withheld
    assert verified["open_withholdings"] == {}
    for body, answer in answers.values():
        left = answer["left_to_debit_minor"]
        assert answer["withheld_minor"] + left == body["amount_minor"]


def buy(name: str) -> dict[str, Any]:
    return {
        "account_id": name,
        "merchant_id": "shop",
        "amount_minor": PURCHASE_MINOR,
        "currency": "EUR",
        "capture": True,
    }


def repay_while_nodes_die(
    server: RunningServer, names: list[str], random: Random
) -> dict[str, tuple[dict[str, Any], Any]]:
    """By key, what was asked and what was answered in the end."""
    wishes = {
        f"pos-{i}": {
            "account_id": names[i % len(names)],
            "merchant_id": "shop",
            "amount_minor": random.randint(1, 14),
            "currency": "EUR",
        }
        for i in range(WISHES)
    }
    answers: dict[str, tuple[dict[str, Any], Any]] = {}

    def client(number: int) -> None:
        for key, body in list(wishes.items())[number::CLIENTS]:
            answers[key] = (body, repay(server, key, body))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for count, name in KILLED:
        server.wait_until(f"{count} answers", partial(has, answers, count))
        until_answered(partial(server.kill_node, name))
    for thread in threads:
        thread.join()
    assert answers.keys() == wishes.keys()
    return answers
