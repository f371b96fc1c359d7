"""An unknown outcome is asked for again, with the same key, until it is known."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from gateway.replays.client import (
    Client,
    Conflict,
    NoAnswer,
    Patience,
    Refused,
    ReplayFailed,
)
from gateway.replays.registration import Position
from tests.unit.replay_fake import FakeServer, Trouble

QUICK = Patience(
    total_seconds=5.0,
    first_wait_seconds=0.001,
    longest_wait_seconds=0.01,
    jitter_seconds=0.001,
)
LENDER = {"lender_id": "harbour", "currency": "GBP"}


def troubles(*wanted: Trouble) -> Callable[[str, str], Trouble]:
    coming: Iterator[Trouble] = iter(wanted)
    return lambda path, key: next(coming, Trouble.NONE)


@asynccontextmanager
async def served(
    *wanted: Trouble, patience: Patience = QUICK
) -> AsyncIterator[tuple[FakeServer, Client]]:
    async with FakeServer() as server:
        server.trouble = troubles(*wanted)
        async with Client(server.url, "fb_1_secret", 4, patience) as client:
            yield server, client


@pytest.mark.parametrize(
    "trouble",
    [Trouble.BUSY, Trouble.THROTTLED, Trouble.RESET_BEFORE],
)
async def test_what_was_not_done_is_asked_again_and_done(trouble: Trouble) -> None:
    async with served(trouble, trouble) as (server, client):
        decided = await client.command("/v1/lenders", LENDER, "key-1")
        assert decided.answer.is_approved
        assert not decided.replayed
        assert {"key-1": 3} == server.requests_to("/v1/lenders")
        assert 1 == len(server.done)
        assert 1 == client.asked_again


@pytest.mark.parametrize("trouble", [Trouble.RESET_AFTER, Trouble.UNKNOWN])
async def test_what_was_done_and_not_heard_is_done_once(trouble: Trouble) -> None:
    async with served(trouble) as (server, client):
        decided = await client.command("/v1/lenders", LENDER, "key-1")
        assert decided.answer.is_approved
        assert decided.replayed
        assert {"key-1": 2} == server.requests_to("/v1/lenders")
        assert 1 == len(server.done)


async def test_a_decline_is_an_answer_and_not_asked_again() -> None:
    async with served() as (server, client):
        await client.command("/v1/lenders", LENDER, "key-1")
        decided = await client.command("/v1/lenders", LENDER, "key-2")
        assert not decided.answer.is_approved
        assert "lender_exists" == decided.answer.reason
        assert {"key-1": 1, "key-2": 1} == server.requests_to("/v1/lenders")


async def test_when_patience_runs_out_the_outcome_is_called_unknown() -> None:
    impatient = Patience(0.05, 0.001, 0.01, 0.001)
    always = [Trouble.RESET_AFTER] * 1000
    async with served(*always, patience=impatient) as (server, client):
        with pytest.raises(NoAnswer, match="the outcome is unknown"):
            await client.command("/v1/lenders", LENDER, "key-1")
        assert 1 == len(server.done)
        assert server.requests_to("/v1/lenders")["key-1"] > 2


async def test_a_server_that_is_not_there_gives_no_answer() -> None:
    async with FakeServer() as server:
        url = server.url
    async with Client(url, "key", 4, Patience(0.05, 0.001, 0.01, 0.0)) as client:
        with pytest.raises(NoAnswer, match="outcome is unknown"):
            await client.command("/v1/lenders", LENDER, "key-1")


async def test_an_address_that_is_none_is_refused_at_once() -> None:
    async with Client("no address", "key", 4) as client:
        with pytest.raises(Refused, match="not the address of a server"):
            await client.read("/v1/business-days/current", Position)


async def test_other_content_under_one_key_is_a_conflict() -> None:
    async with served() as (_, client):
        await client.command("/v1/lenders", LENDER, "key-1")
        with pytest.raises(Conflict, match="used for other content"):
            await client.command("/v1/lenders", LENDER | {"currency": "EUR"}, "key-1")


async def test_what_is_not_there_reads_as_none_and_is_not_asked_again() -> None:
    async with served(Trouble.BUSY) as (server, client):
        path = "/v1/lenders/nobody/position"
        assert await client.read(path, Position) is None
        assert {"": 2} == server.requests_to(path)


@asynccontextmanager
async def answering(
    *responses: Callable[[], web.Response],
) -> AsyncIterator[tuple[list[tuple[float, dict[str, str]]], str]]:
    """A server that gives these answers in turn, and the requests it saw."""
    coming = iter(responses)
    seen: list[tuple[float, dict[str, str]]] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append((asyncio.get_running_loop().time(), dict(request.headers)))
        return next(coming)()

    application = web.Application()
    application.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield seen, f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_the_server_may_name_the_time_to_come_back() -> None:
    patience = Patience(5.0, 0.001, longest_wait_seconds=0.2, jitter_seconds=0.01)
    async with (
        answering(
            lambda: web.Response(status=503, headers={"Retry-After": "1"}),
            lambda: web.json_response({"status": "approved"}),
        ) as (seen, url),
        Client(url, "key", 4, patience) as client,
    ):
        await client.command("/v1/lenders", LENDER, "key-1")
    assert 2 == len(seen)
    assert seen[1][0] - seen[0][0] >= 0.19


async def test_every_request_carries_the_key_of_the_caller() -> None:
    async with (
        answering(lambda: web.json_response({"status": "approved"})) as (
            seen,
            url,
        ),
        Client(url + "/", "fb_1_secret", 4) as client,
    ):
        await client.command("/v1/lenders", LENDER, "key-1")
    headers = seen[0][1]
    assert "Bearer fb_1_secret" == headers["Authorization"]
    assert "key-1" == headers["Idempotency-Key"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413])
async def test_a_wrong_request_is_refused_with_the_words_of_the_server(
    status: int,
) -> None:
    problem = {"title": "No", "detail": "the key has not the role operator"}
    async with (
        answering(lambda: web.json_response(problem, status=status)) as (
            seen,
            url,
        ),
        Client(url, "key", 4) as client,
    ):
        with pytest.raises(Refused, match="has not the role operator"):
            await client.command("/v1/lenders", LENDER, "key-1")
    assert 1 == len(seen)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"state": "approved"}', b'{"status": "maybe"}']
)
async def test_an_answer_that_is_not_of_the_form_is_neither_yes_nor_no(
    body: bytes,
) -> None:
    async with (
        answering(lambda: web.Response(body=body)) as (_, url),
        Client(url, "key", 4) as client,
    ):
        with pytest.raises(ReplayFailed, match="not of the form"):
            await client.command("/v1/lenders", LENDER, "key-1")


async def test_an_answer_that_breaks_off_is_asked_for_again() -> None:
    def broken() -> web.Response:
        # Says it is longer than it is; the connection then closes.
        response = web.Response(body=b'{"status":', headers={"Content-Length": "22"})
        response.force_close()
        return response

    def whole() -> web.Response:
        return web.json_response({"status": "approved"})

    async with (
        answering(broken, whole) as (seen, url),
        Client(url, "key", 4, QUICK) as client,
    ):
        decided = await client.command("/v1/lenders", LENDER, "key-1")
    assert decided.answer.is_approved
    assert ["key-1", "key-1"] == [headers["Idempotency-Key"] for _, headers in seen]
