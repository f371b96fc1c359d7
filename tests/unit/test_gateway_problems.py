"""What is refused, with which problem, and that the nodes never hear of it."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.ports import NothingDone, OutcomeUnknown, Overloaded
from processor.commands import Command
from processor.messages import Answer, Outcome
from tests.unit.gateway_fake import AUTHORIZE, FakeNodes, bounds, browsing

PATH = "/v1/authorizations"


def changed(**changes: Any) -> dict[str, Any]:
    return AUTHORIZE | changes


INVALID: list[tuple[dict[str, Any], str]] = [
    ({}, "account_id"),
    (changed(amount_minor=0), "amount_minor"),
    (changed(amount_minor=-1), "amount_minor"),
    (changed(amount_minor=10**12 + 1), "amount_minor"),
    (changed(amount_minor=10**400), "amount_minor"),
    (changed(amount_minor=1.0), "amount_minor"),
    (changed(amount_minor=12.5), "amount_minor"),
    (changed(amount_minor="12500"), "amount_minor"),
    (changed(amount_minor=True), "amount_minor"),
    (changed(amount_minor=None), "amount_minor"),
    (changed(account_id=""), "account_id"),
    (changed(account_id="a" * 65), "account_id"),
    (changed(account_id="a b"), "account_id"),
    (changed(account_id="alice\n"), "account_id"),
    (changed(account_id="älice"), "account_id"),
    (changed(account_id=7), "account_id"),
    (changed(currency="gbp"), "currency"),
    (changed(currency="GBP\n"), "currency"),
    (changed(currency="GBPX"), "currency"),
    (changed(capture="yes"), "capture"),
    (changed(capture=1), "capture"),
    (changed(reference="a" * 65), "reference"),
    (changed(reference="a\x00b"), "reference"),
    (changed(surprise=1), "surprise"),
    (changed(caller="somebody"), "caller"),
    (changed(request_id="r"), "request_id"),
]


async def test_an_invalid_field_is_named_with_the_fix(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = [await browser.post(PATH, body) for body, _ in INVALID]
    for answer, (body, field) in zip(told, INVALID, strict=True):
        problem = answer.json
        assert (answer.status, problem["type"]) == (400, "/problems/invalid-field")
        assert answer.headers["content-type"] == "application/problem+json"
        assert [error["field"] for error in problem["errors"]] == [field], body
        assert problem["detail"].startswith(f"{field}: ")
        assert problem["retryable"] is False
    assert nodes.commands == []


MALFORMED = [
    b"{",
    b"nonsense",
    b'{"amount_minor":NaN}',
    b'{"amount_minor":Infinity}',
    b'{"account_id":"\xff"}',
    b'{"account_id":"\\ud800"}',
    b"[]",
    b"7",
    b"null",
    b"[" * 100_000,
    msgspec.json.encode(AUTHORIZE) + b" {}",
    msgspec.msgpack.encode(AUTHORIZE),
]


async def test_a_body_that_is_no_object_of_json_is_refused(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = [await browser.post(PATH, data=data) for data in MALFORMED]
    types = [(answer.status, answer.json["type"]) for answer in told]
    assert [(400, "/problems/malformed-body")] * len(MALFORMED) == types
    assert nodes.commands == []


async def test_an_amount_is_written_as_a_whole_number(tmp_path: Path) -> None:
    data = b'{"account_id":"a","merchant_id":"m","currency":"GBP","amount_minor":%b}'
    numbers = [b"1e3", b"1E3", b"1000.0", b"1e400", b"01", b"+1", b"1000"]
    async with browsing(tmp_path, FakeNodes()) as browser:
        told = [await browser.post(PATH, data=data % number) for number in numbers]
    assert [answer.status for answer in told] == [400] * 6 + [200]


async def test_of_a_field_given_twice_the_last_counts(tmp_path: Path) -> None:
    nodes = FakeNodes()
    data = (
        b'{"amount_minor":1,"account_id":"a","merchant_id":"m","currency":"GBP",'
        b'"amount_minor":2}'
    )
    async with browsing(tmp_path, nodes) as browser:
        await browser.post(PATH, data=data)
    assert [getattr(command, "amount_minor", None) for command in nodes.commands] == [2]


ELSEWHERE: list[tuple[str, dict[str, Any] | None, str]] = [
    ("/v1/accounts/a%20b/freeze", None, "account_id"),
    ("/v1/accounts/a%0A/freeze", None, "account_id"),
    ("/v1/authorizations/nonsense/capture", None, "authorization_id"),
    ("/v1/authorizations/ho_3c0002a/capture", None, "authorization_id"),
    ("/v1/holds/ho_xyz/release", None, "hold_id"),
    ("/v1/business-days/2011-02-30/close", None, "day"),
    ("/v1/business-days/20110228/close", None, "day"),
    ("/v1/business-days/9999-12-31/close", None, "day"),
    ("/v1/business-days/2011-01-31/close", {"next_day": "soon"}, "next_day"),
    ("/v1/business-days/2011-01-31/close", {"next_day": "3000-01-01"}, "next_day"),
    ("/v1/refunds", {"authorization_id": "au_00"}, "authorization_id"),
    ("/v1/programs", {"program_id": "p", "currency": "GBP"}, "shares"),
    (
        "/v1/programs",
        {"program_id": "p", "currency": "GBP", "shares": []},
        "shares",
    ),
    (
        "/v1/programs",
        {"program_id": "p", "currency": "GBP", "shares": [{"lender_id": "b"}]},
        "shares[0].share_ppm",
    ),
    (
        "/v1/programs",
        {
            "program_id": "p",
            "currency": "GBP",
            "shares": [{"lender_id": "b", "share_ppm": 0}],
        },
        "shares[0].share_ppm",
    ),
]


async def test_paths_and_nested_fields_are_checked_too(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = [await browser.post(path, body) for path, body, _ in ELSEWHERE]
    for answer, (path, _, field) in zip(told, ELSEWHERE, strict=True):
        assert answer.status == 400, path
        assert [error["field"] for error in answer.json["errors"]] == [field], path
    assert nodes.commands == []


async def test_a_command_needs_an_idempotency_key(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = [await browser.post(PATH, AUTHORIZE, without=("Idempotency-Key",))]
        for key in ("", "a" * 65, "a b", "ä"):
            headers = {"Idempotency-Key": key}
            told.append(await browser.post(PATH, AUTHORIZE, headers=headers))
    for answer in told:
        assert answer.status == 400
        assert answer.json["type"] == "/problems/idempotency-key-missing"
        assert answer.json["errors"][0]["field"] == "Idempotency-Key"
    assert nodes.commands == []


async def test_a_request_needs_a_known_key(tmp_path: Path) -> None:
    wrong = (
        "",
        "Bearer",
        "Bearer fb_",
        "Bearer fb_00000000_0",
        "Basic eDp5",
        "fb_\xff",
    )
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = [await browser.post(PATH, AUTHORIZE, without=("Authorization",))]
        for value in (*wrong, f"Bearer {browser.key}0", f"Bearer {browser.key[:-1]}"):
            headers = {"Authorization": value}
            told.append(await browser.post(PATH, AUTHORIZE, headers=headers))
    for answer in told:
        assert answer.status == 401
        assert answer.json["type"] == "/problems/unauthenticated"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert nodes.commands == []


async def test_another_content_type_is_refused(tmp_path: Path) -> None:
    wrong = ("text/plain", "application/x-www-form-urlencoded", "", "json")
    async with browsing(tmp_path, FakeNodes()) as browser:
        told = [
            await browser.post(PATH, AUTHORIZE, headers={"Content-Type": content_type})
            for content_type in wrong
        ]
    types = [(answer.status, answer.json["type"]) for answer in told]
    assert [(415, "/problems/unsupported-content-type")] * len(wrong) == types


async def test_json_with_a_charset_or_without_a_type_is_accepted(
    tmp_path: Path,
) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        charset = {"Content-Type": "Application/JSON; charset=utf-8"}
        first = await browser.post(PATH, AUTHORIZE, headers=charset)
        second = await browser.post(PATH, AUTHORIZE, without=("Content-Type",))
    assert (first.status, second.status) == (200, 200)


@pytest.mark.parametrize("size", [101, 70_000, 300_000])
async def test_a_body_over_the_bound_is_refused(tmp_path: Path, size: int) -> None:
    nodes = FakeNodes()
    given = bounds(body_bytes_max=100)
    async with browsing(tmp_path, nodes, given=given) as browser:
        told = await browser.post(PATH, data=b" " * size)
        fits = await browser.post("/v1/merchants", {"merchant_id": "shop"})
    assert (told.status, told.json["type"]) == (413, "/problems/too-large")
    assert fits.status == 200


async def test_a_body_without_a_declared_length_is_bounded_too(tmp_path: Path) -> None:
    async def chunks() -> Any:
        for _ in range(20):
            yield b" " * 100

    async with (
        browsing(tmp_path, FakeNodes(), given=bounds(body_bytes_max=1_000)) as browser,
        browser.session.post(
            browser.url + PATH,
            data=chunks(),
            headers={
                "Authorization": f"Bearer {browser.key}",
                "Content-Type": "application/json",
                "Idempotency-Key": "r",
            },
        ) as response,
    ):
        status = response.status
    assert status == 413


async def test_a_body_that_does_not_arrive_is_given_up(tmp_path: Path) -> None:
    given = bounds(answer_wait_ms_max=200)
    async with browsing(tmp_path, FakeNodes(), given=given) as browser:
        host, port = browser.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
            f"Authorization: Bearer {browser.key}\r\nIdempotency-Key: r\r\n\r\n"
            "{".encode()
        )
        status = await asyncio.wait_for(reader.readline(), 5)
        writer.close()
    assert status == b"HTTP/1.1 408 Request Timeout\r\n"


WRONG_METHODS = [
    ("GET", "/v1/authorizations", "POST"),
    ("DELETE", "/v1/refunds", "POST"),
    ("PUT", "/v1/accounts/alice/limit", "POST"),
    ("GET", "/v1/commands", "POST"),
    ("POST", "/v1/accounts/alice", "GET"),
    ("POST", "/livez", "GET"),
]


async def test_a_wrong_method_is_told_the_right_one(tmp_path: Path) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        for method, path, allow in WRONG_METHODS:
            told = await browser.ask(method, path)
            assert told.status == 405, path
            assert told.json["type"] == "/problems/method-not-allowed"
            assert allow in told.headers["allow"]


async def test_an_unknown_path_is_not_found(tmp_path: Path) -> None:
    paths = ("/v2", "/v1", "/v1/authorizations/", "/v1/nothing/x/y", "/v1/a/b/c/d")
    async with browsing(tmp_path, FakeNodes()) as browser:
        told = [await browser.ask(m, path) for path in paths for m in ("GET", "POST")]
        told.append(await browser.get("/docs/assets/nothing"))
    types = [(answer.status, answer.json["type"]) for answer in told]
    assert [(404, "/problems/not-found")] * len(told) == types


NODE_SAYS: list[tuple[Answer | Exception, int, str, bool]] = [
    (NothingDone("shard-000 is gone"), 503, "unavailable", True),
    (Overloaded("too much"), 429, "overloaded", True),
    (OutcomeUnknown("it broke"), 504, "outcome-unknown", True),
    (Answer(0, Outcome.NOT_DONE, b"no reserve"), 503, "unavailable", True),
    (Answer(0, Outcome.NOT_DONE, b"overloaded"), 429, "overloaded", True),
    (Answer(0, Outcome.CONFLICT, b"currency"), 422, "idempotency-key-reused", False),
    (RuntimeError("a bug"), 500, "internal", True),
]


@pytest.mark.parametrize(("said", "status", "slug", "retryable"), NODE_SAYS)
async def test_what_the_nodes_say_becomes_a_problem(
    tmp_path: Path,
    said: Answer | Exception,
    status: int,
    slug: str,
    retryable: bool,
) -> None:
    async with browsing(tmp_path, FakeNodes(lambda command: said)) as browser:
        told = await browser.post(PATH, AUTHORIZE)
    assert told.status == status
    assert told.json["type"] == f"/problems/{slug}"
    assert told.json["retryable"] is retryable
    assert told.headers.get("retry-after") == ("1" if status in (429, 503) else None)
    if status == 422:
        assert told.json["errors"][0]["field"] == "currency"


@pytest.mark.parametrize(
    ("error", "status"), [(NothingDone("gone"), 503), (Overloaded("much"), 429)]
)
async def test_a_command_that_cannot_be_sent_was_not_done(
    tmp_path: Path, error: Exception, status: int
) -> None:
    nodes = FakeNodes()
    nodes.raises = error
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post(PATH, AUTHORIZE)
    assert told.status == status


@pytest.mark.parametrize("error", [NothingDone("gone"), OutcomeUnknown("broke")])
async def test_what_cannot_be_read_is_unavailable(
    tmp_path: Path, error: Exception
) -> None:
    nodes = FakeNodes()
    nodes.read = error
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.get("/v1/accounts/alice")
    assert (told.status, told.json["type"]) == (503, "/problems/unavailable")


async def test_no_answer_in_time_is_unknown_and_never_a_decline(
    tmp_path: Path,
) -> None:
    nodes = FakeNodes(lambda command: None)
    given = bounds(answer_wait_ms_max=200)
    async with browsing(tmp_path, nodes, given=given) as browser:
        told = await browser.post(PATH, AUTHORIZE)
        # What comes after all finds nobody, and does no harm.
        nodes.waiting[0].answered(Answer(0, Outcome.DECIDED, b"late"))
        alive = await browser.get("/livez")
    assert (told.status, told.json["type"]) == (504, "/problems/outcome-unknown")
    assert "same Idempotency-Key" in told.json["detail"]
    assert (alive.status, alive.json) == (200, {"status": "live"})


async def test_over_the_bound_of_commands_in_flight_the_answer_is_429(
    tmp_path: Path,
) -> None:
    nodes = FakeNodes(lambda command: None)
    given = bounds(commands_in_flight_max=1, answer_wait_ms_max=1_000)
    async with browsing(tmp_path, nodes, given=given) as browser:
        first = asyncio.create_task(browser.post(PATH, AUTHORIZE))
        await nodes.arrived.wait()
        second = await browser.post(PATH, AUTHORIZE)
        assert (await first).status == 504
        nodes.say = lambda command: Answer(0, Outcome.DECIDED, b"{}")
        third = await browser.post(PATH, AUTHORIZE)
    assert (second.status, second.json["type"]) == (429, "/problems/overloaded")
    assert second.headers["retry-after"] == "1"
    assert third.status == 200
    assert len(nodes.commands) == 2


async def test_a_client_that_hangs_up_cancels_nothing(tmp_path: Path) -> None:
    nodes = FakeNodes(lambda command: None)
    async with browsing(tmp_path, nodes) as browser:
        asked = asyncio.create_task(browser.post(PATH, AUTHORIZE))
        await nodes.arrived.wait()
        asked.cancel()
        await asyncio.sleep(0.2)
        nodes.waiting[0].answered(Answer(0, Outcome.DECIDED, b"{}"))
        nodes.say = lambda command: Answer(0, Outcome.DECIDED, b"{}")
        told = await browser.post(PATH, AUTHORIZE)
    assert told.status == 200


async def test_a_key_used_for_another_account_is_caught_across_shards(
    tmp_path: Path,
) -> None:
    nodes = FakeNodes()
    once = {"Idempotency-Key": "once"}
    async with browsing(tmp_path, nodes) as browser:
        first = await browser.post(PATH, AUTHORIZE, headers=once)
        again = await browser.post(PATH, AUTHORIZE, headers=once)
        other = await browser.post(PATH, changed(account_id="bob"), headers=once)
        refund = {"authorization_id": "au_3c0002a"}
        kind = await browser.post("/v1/refunds", refund, headers=once)
    assert [told.status for told in (first, again, other, kind)] == [200, 200, 422, 422]
    assert other.json["errors"][0]["field"] == "account_id"
    assert kind.json["errors"][0]["field"] == "authorization_id"
    assert len(nodes.commands) == 2


async def test_a_key_whose_command_was_not_done_is_free_again(tmp_path: Path) -> None:
    said: list[Answer | Exception] = [
        Answer(0, Outcome.NOT_DONE, b"no"),
        NothingDone("gone"),
        Answer(0, Outcome.DECIDED, b"{}"),
    ]

    def say(command: Command) -> Answer | Exception:
        return said.pop(0)

    once = {"Idempotency-Key": "once"}
    async with browsing(tmp_path, FakeNodes(say)) as browser:
        statuses = [
            (await browser.post(PATH, changed(account_id=name), headers=once)).status
            for name in ("alice", "bob", "carol")
        ]
    assert statuses == [503, 503, 200]
