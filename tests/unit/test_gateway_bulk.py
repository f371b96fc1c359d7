"""Many commands in one request: order, isolation, both encodings."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.keys import KeyFile
from gateway.ports import NothingDone, OutcomeUnknown, TooLate
from gateway.routes import Role
from processor import commands as c
from processor.messages import Answer, Outcome
from tests.unit.gateway_fake import AUTHORIZE, TODAY, FakeNodes, bounds, browsing

PATH = "/v1/commands"
MSGPACK = {"Content-Type": "application/msgpack"}


def item(name: str, request_id: str, **fields: Any) -> dict[str, Any]:
    return {"command": name, "request_id": request_id} | fields


def authorize(request_id: str, **changes: Any) -> dict[str, Any]:
    return item("authorize", request_id, **(AUTHORIZE | changes))


def echo(command: c.Command) -> Answer:
    """An answer that tells whose it is."""
    body = msgspec.json.encode({"status": "approved", "of": command.request_id})
    return Answer(0, Outcome.DECIDED, body)


async def test_commands_are_submitted_and_answered_in_order(tmp_path: Path) -> None:
    nodes = FakeNodes(echo)
    body = [authorize(f"r-{number}", amount_minor=number + 1) for number in range(300)]
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post(PATH, body, without=("Idempotency-Key",))
    assert told.status == 200
    wanted = [
        {"outcome": "decided", "answer": {"status": "approved", "of": f"r-{number}"}}
        for number in range(300)
    ]
    assert wanted == told.json
    assert [f"r-{n}" for n in range(300)] == [x.request_id for x in nodes.commands]


async def test_every_kind_of_command_can_be_sent(tmp_path: Path) -> None:
    shares = [{"lender_id": "bank", "share_ppm": 1_000_000}]
    nodes = FakeNodes(echo)
    body = [
        item("freeze_account", "1", account_id="alice"),
        item("refund", "2", authorization_id="au_3c0002a", amount_minor=None),
        item("register_program", "3", program_id="p", currency="GBP", shares=shares),
        {"command": "close_day", "day": "2011-01-31"},
        item("close_day", "mine", day="2011-01-31", next_day="2011-02-01"),
    ]
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post(PATH, body)
    assert [one["outcome"] for one in told.json] == ["decided"] * 5
    assert nodes.commands == [
        c.FreezeAccount("tester", "1", "alice"),
        c.Refund("tester", "2", "au_3c0002a"),
        c.RegisterProgram("tester", "3", "p", "GBP", (c.Share("bank", 1_000_000),)),
        c.CloseDay("tester", "close-2011-01-31", "2011-01-31"),
        c.CloseDay("tester", "close-2011-01-31", "2011-01-31", "2011-02-01"),
    ]


async def test_an_invalid_item_spoils_no_other(tmp_path: Path) -> None:
    nodes = FakeNodes(echo)
    body: list[Any] = [
        authorize("good-1"),
        authorize("float", amount_minor=1.5),
        authorize("unknown", surprise=1),
        {"command": "nothing", "request_id": "r"},
        {"request_id": "r"},
        7,
        authorize("bad id\n"),
        item("close_day", "", day="2011-01-31"),
        {"command": "close_day", "day": "9999-12-31"},
        authorize("good-2"),
    ]
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post(PATH, body)
    outcomes = [one["outcome"] for one in told.json]
    assert outcomes == ["decided", *["invalid"] * 8, "decided"]
    fields = [
        one["problem"]["errors"][0]["field"]
        for one in told.json
        if "errors" in one.get("problem", {})
    ]
    wanted = ["amount_minor", "surprise", "command", "command", "request_id"]
    assert fields == [*wanted, "request_id", "day"]
    assert [x.request_id for x in nodes.commands] == ["good-1", "good-2"]


async def test_msgpack_is_answered_in_msgpack(tmp_path: Path) -> None:
    nodes = FakeNodes(echo)
    body = msgspec.msgpack.encode([authorize("1"), authorize("2", currency="pound")])
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post(PATH, data=body, headers=MSGPACK)
    assert told.headers["content-type"] == "application/msgpack"
    results = msgspec.msgpack.decode(told.body)
    assert results[0] == {
        "outcome": "decided",
        "answer": {"status": "approved", "of": "1"},
    }
    assert results[1]["outcome"] == "invalid"
    assert results[1]["problem"]["errors"][0]["field"] == "currency"


async def test_each_outcome_has_its_word(tmp_path: Path) -> None:
    said: dict[str, Answer | Exception] = {
        "decided": Answer(0, Outcome.DECIDED, b'{"a":1}'),
        "replayed": Answer(0, Outcome.REPLAYED, b'{"a":1}'),
        "conflict": Answer(0, Outcome.CONFLICT, b"currency"),
        "not_done": NothingDone("gone"),
        "unknown": OutcomeUnknown("broke"),
    }
    nodes = FakeNodes(lambda command: said[command.request_id])
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post(PATH, [authorize(name) for name in said])
        metrics = (await browser.get("/metrics")).body.decode()
    assert [one["outcome"] for one in told.json] == list(said)
    assert [one.get("answer") for one in told.json[:2]] == [{"a": 1}, {"a": 1}]
    types = [one["problem"]["type"] for one in told.json[2:]]
    slugs = ["idempotency-key-reused", "unavailable", "outcome-unknown"]
    assert types == [f"/problems/{slug}" for slug in slugs]
    counted = "forebay_gateway_bulk_commands_total"
    assert f'{counted}{{outcome="answered"}} 2.0' in metrics
    assert f'{counted}{{outcome="outcome-unknown"}} 1.0' in metrics


async def test_the_role_is_checked_for_each_item(tmp_path: Path) -> None:
    nodes = FakeNodes(echo)
    key = KeyFile(tmp_path).add("payer", [Role.PAYMENTS], TODAY)
    async with browsing(tmp_path, nodes) as browser:
        browser.key = key
        told = await browser.post(
            PATH,
            [item("freeze_account", "1", account_id="alice"), authorize("2")],
        )
    assert [one["outcome"] for one in told.json] == ["invalid", "decided"]
    assert told.json[0]["problem"]["type"] == "/problems/forbidden"
    assert [command.caller for command in nodes.commands] == ["payer"]


async def test_a_late_answer_leaves_its_own_item_unknown(tmp_path: Path) -> None:
    def say(command: c.Command) -> Answer | None:
        return None if command.request_id == "late" else echo(command)

    given = bounds(answer_wait_ms_max=200)
    async with browsing(tmp_path, FakeNodes(say), given=given) as browser:
        told = await browser.post(PATH, [authorize("late"), authorize("good")])
    assert [one["outcome"] for one in told.json] == ["unknown", "decided"]


@pytest.mark.parametrize("data", [b"", b"{}", b"[", b"7", b"[1", b"\xc1", b"[" * 9_999])
@pytest.mark.parametrize("headers", [{}, MSGPACK])
async def test_what_is_no_array_is_refused(
    tmp_path: Path, data: bytes, headers: dict[str, str]
) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post(PATH, data=data, headers=headers)
    # One byte may be a whole number, or a short array, in msgpack.
    assert told.status in (400, 413) or b"invalid" in told.body
    assert nodes.commands == []


async def test_bulk_has_bounds_of_its_own(tmp_path: Path) -> None:
    nodes = FakeNodes(echo)
    given = bounds(bulk_commands_max=3, commands_in_flight_max=2)
    async with browsing(tmp_path, nodes, given=given) as browser:
        many = await browser.post(PATH, [authorize(str(n)) for n in range(4)])
        wrong = await browser.post(PATH, [{}] * 4)
        busy = await browser.post(PATH, [authorize(str(n)) for n in range(3)])
        fits = await browser.post(PATH, [authorize(str(n)) for n in range(2)])
        none = await browser.post(PATH, [])
    assert [t.status for t in (many, wrong, busy, fits)] == [413, 413, 429, 200]
    assert (none.status, none.body) == (200, b"[]")
    assert len(nodes.commands) == 2


async def test_bulk_needs_a_key_and_a_known_content_type(tmp_path: Path) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        nobody = await browser.post(PATH, [], without=("Authorization",))
        text = await browser.post(PATH, [], headers={"Content-Type": "text/csv"})
    assert (nobody.status, text.status) == (401, 415)


async def test_nothing_overtakes_an_item_that_comes_too_late(tmp_path: Path) -> None:
    class Busy(FakeNodes):
        def submit(self, command: c.Command, *given: Any) -> None:
            if command.request_id == "2":
                raise TooLate("it would wait too long")
            super().submit(command, *given)

    nodes = Busy(echo)
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post(PATH, [authorize(str(n)) for n in range(5)])
    outcomes = [one["outcome"] for one in told.json]
    assert outcomes == ["decided", "decided", "not_done", "not_done", "not_done"]
    assert [command.request_id for command in nodes.commands] == ["0", "1"]
