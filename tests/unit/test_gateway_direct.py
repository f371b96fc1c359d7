"""Which requests are carried out directly, and that nobody can tell."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.direct import Heads
from gateway.keys import KeyFile
from processor.commands import Authorize
from processor.messages import Answer, Outcome
from tests.unit.gateway_fake import APPROVED, AUTHORIZE, FakeNodes, bounds
from tests.unit.gateway_wire import (
    BODY,
    PATH,
    wired,
)


async def test_a_whole_post_is_answered_directly(
    tmp_path: Path, by_asgi: list[str]
) -> None:
    nodes = FakeNodes()
    async with wired(tmp_path, nodes) as wire:
        told = [await wire.ask() for _ in range(3)]
        await wire.ask("POST /v1/accounts/alice/freeze HTTP/1.1", body=b"")
        nodes.say = lambda command: Answer(0, Outcome.REPLAYED, APPROVED)
        again = await wire.ask()
    assert [(answer.status, answer.body) for answer in told] == [(200, APPROVED)] * 3
    assert set(told[0].headers) == {"date", "content-type", "content-length"}
    assert "idempotency-replayed" not in told[0].headers
    assert again.headers["idempotency-replayed"] == "true"
    assert [type(command).__name__ for command in nodes.commands] == [
        *["Authorize"] * 3,
        "FreezeAccount",
        "Authorize",
    ]
    assert nodes.commands[1].request_id == "r-2"
    assert by_asgi == []


def test_heads_are_kept_while_the_date_is_the_same() -> None:
    heads = Heads()
    now, later = [(b"date", b"now")], [(b"date", b"later")]
    first = heads.ok(now, 7)
    assert first is heads.ok(now, 7)
    assert heads.ok(now, 8).endswith(b"content-length: 8\r\n\r\n")
    assert heads.ok(later, 7) == first.replace(b"now", b"later")
    assert first == (
        b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-type: application/json\r\n"
        b"content-length: 7\r\n\r\n"
    )


# What is not taken directly, what is answered, and whether the server hangs up.
ELSEWHERE: list[tuple[str, tuple[str, ...], int, bool]] = [
    (f"GET {PATH} HTTP/1.1", (), 405, False),
    (f"PUT {PATH} HTTP/1.1", (), 405, False),
    (f"POST {PATH}/ HTTP/1.1", (), 404, False),
    ("POST /v1/accounts/a/b/freeze HTTP/1.1", (), 404, False),
    (f"POST {PATH}?capture=1 HTTP/1.1", (), 200, False),
    (f"POST {PATH}#there HTTP/1.1", (), 200, False),
    ("POST /v1/%61uthorizations HTTP/1.1", (), 200, False),
    (f"POST http://x{PATH} HTTP/1.1", (), 200, False),
    ("POST /v1/accounts/a%20b/freeze HTTP/1.1", (), 400, False),
    ("POST /v1/accounts/a?b/freeze HTTP/1.1", (), 405, False),
    ("POST /v1/accounts/a@b/freeze HTTP/1.1", (), 400, False),
    (f"POST {PATH} HTTP/1.1", ("Connection: close",), 200, True),
    (f"POST {PATH} HTTP/1.1", ("Connection: upgrade", "Upgrade: x"), 400, False),
    (f"POST {PATH} HTTP/1.0", (), 200, True),
    (f"POST {PATH} HTTP/1.0", ("Connection: keep-alive",), 200, True),
    ("POST /v1/commands HTTP/1.1", (), 400, False),
    ("POST /v1/noop HTTP/1.1", (), 200, False),
]


@pytest.mark.parametrize(("target", "headers", "status", "closes"), ELSEWHERE)
async def test_the_unusual_goes_uvicorns_own_way(
    tmp_path: Path,
    by_asgi: list[str],
    target: str,
    headers: tuple[str, ...],
    status: int,
    closes: bool,
) -> None:
    async with wired(tmp_path, FakeNodes()) as wire:
        told = await wire.ask(target, headers)
        assert (told.status, len(by_asgi)) == (status, 1)
        if closes:
            assert await wire.is_closed()
        else:
            assert (await wire.ask()).status == 200
            assert len(by_asgi) == 1


async def test_keep_alive_said_aloud_is_direct_too(
    tmp_path: Path, by_asgi: list[str]
) -> None:
    async with wired(tmp_path, FakeNodes()) as wire:
        told = await wire.ask(headers=("Connection: keep-alive",))
    assert (told.status, by_asgi) == (200, [])


async def test_head_has_no_body(tmp_path: Path) -> None:
    async with wired(tmp_path, FakeNodes()) as wire:
        wire.send(wire.request(f"HEAD {PATH} HTTP/1.1", body=b""))
        head = await wire.reader.readuntil(b"\r\n\r\n")
        after = await wire.ask()
    assert head.startswith(b"HTTP/1.1 405 ")
    assert after.status == 200


async def test_who_expects_100_gets_it(tmp_path: Path, by_asgi: list[str]) -> None:
    async with wired(tmp_path, FakeNodes()) as wire:
        request = wire.request(headers=("Expect: 100-continue",))
        wire.send(request.removesuffix(BODY))
        first = await wire.receive()
        wire.send(BODY)
        second = await wire.receive()
        assert (first.status, second.status) == (100, 200)
        wire.send(wire.request(headers=("Expect: 100-continue",)))
        assert [(await wire.receive()).status for _ in range(2)] == [100, 200]
    assert len(by_asgi) == 2


async def test_a_chunked_body_is_put_together(
    tmp_path: Path, by_asgi: list[str]
) -> None:
    nodes = FakeNodes()
    half = len(BODY) // 2
    chunks = [b"%x\r\n%b\r\n" % (len(c), c) for c in (BODY[:half], BODY[half:])]
    async with wired(tmp_path, nodes) as wire:
        head = wire.request(
            headers=("Transfer-Encoding: chunked",),
            body=b"",
            without="Content-Length",
        )
        wire.send(b"".join([head, *chunks, b"0\r\n\r\n"]))
        told = await wire.receive()
    assert (told.status, len(nodes.commands), len(by_asgi)) == (200, 1, 1)


async def test_a_request_may_be_cut_at_every_byte(
    tmp_path: Path, by_asgi: list[str]
) -> None:
    nodes = FakeNodes()
    async with wired(tmp_path, nodes) as wire:
        length = len(wire.request())
        for cut in range(1, length):
            request = wire.request()
            wire.send(request[:cut])
            await asyncio.sleep(0.001)
            wire.send(request[cut:])
            told = await wire.receive()
            assert (told.status, told.body) == (200, APPROVED), cut
    ids = [command.request_id for command in nodes.commands]
    assert len(ids) == len(set(ids)) == length - 1
    # Only where the body was cut, or had not begun, it was waited for elsewhere.
    assert 0 < len(by_asgi) <= len(BODY)


async def test_many_cuts_in_one_request(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with wired(tmp_path, nodes) as wire:
        for byte in wire.request():
            wire.send(bytes([byte]))
            await asyncio.sleep(0.001)
        assert (await wire.receive()).status == 200
    assert isinstance(nodes.commands[0], Authorize)
    assert nodes.commands[0].amount_minor == AUTHORIZE["amount_minor"]


REFUSED: list[tuple[dict[str, Any], int]] = [
    ({"without": "Authorization"}, 401),
    ({"headers": ("Authorization: Bearer fb_0_0",)}, 401),
    ({"headers": ("Content-Type: text/plain",)}, 415),
    ({"without": "Idempotency-Key"}, 400),
    ({"headers": ("Idempotency-Key: a b",)}, 400),
    ({"body": b"{"}, 400),
    ({"body": b"{}"}, 400),
    ({"body": b" " * 2_000}, 413),
]


async def test_refusals_are_direct_too(tmp_path: Path, by_asgi: list[str]) -> None:
    nodes = FakeNodes()
    given = bounds(body_bytes_max=1_000)
    async with wired(tmp_path, nodes, given=given) as wire:
        told = [await wire.ask(**how) for how, _ in REFUSED]
        after = await wire.ask()
    assert [answer.status for answer in told] == [status for _, status in REFUSED]
    for answer in told:
        assert answer.json["status"] == answer.status
        assert answer.headers["content-type"] == "application/problem+json"
    assert "www-authenticate" in told[0].headers
    assert (after.status, len(nodes.commands), by_asgi) == (200, 1, [])


async def test_either_way_tells_the_same(tmp_path: Path, by_asgi: list[str]) -> None:
    said = [Answer(0, o, APPROVED) for o in (Outcome.DECIDED, Outcome.REPLAYED)]
    said += [Answer(0, Outcome.NOT_DONE, b"no"), Answer(0, Outcome.CONFLICT, b"x")]
    nodes = FakeNodes()
    given = bounds(body_bytes_max=1_000)
    asked: list[tuple[dict[str, Any], Answer]] = [({}, answer) for answer in said]
    asked += [(how, said[0]) for how, _ in REFUSED]
    async with wired(tmp_path, nodes, given=given) as wire:
        for number, (how, answer) in enumerate(asked, start=1):
            nodes.say = lambda command, answer=answer: answer  # type: ignore[misc]
            direct = await wire.ask(**how)
            assert len(by_asgi) == number - 1
            request = wire.request(**how)
            wire.send(request[:-1])
            await asyncio.sleep(0.01)
            wire.send(request[-1:])
            asgi = await wire.receive()
            assert len(by_asgi) == number
            assert (direct.status, direct.body) == (asgi.status, asgi.body)
            assert direct.headers | {"date": ""} == asgi.headers | {"date": ""}


async def test_a_large_body_in_pieces_is_bounded_too(tmp_path: Path) -> None:
    async with wired(tmp_path, FakeNodes(), given=bounds(body_bytes_max=100)) as wire:
        wire.send(wire.request(body=b" " * 1_000_000))
        told = await wire.receive()
    assert told.status == 413


async def test_names_of_headers_have_no_case_and_the_last_counts(
    tmp_path: Path, by_asgi: list[str]
) -> None:
    nodes = FakeNodes()
    names = ("idempotency-key", "IDEMPOTENCY-KEY", "IdEmPoTeNcY-kEy")
    async with wired(tmp_path, nodes) as wire:
        for name in names:
            await wire.ask(headers=(f"{name}: {name}",))
        for name in ("authorization", "AUTHORIZATION"):
            assert (await wire.ask(headers=(f"{name}: none",))).status == 401
        # The same, where the whole of it does not arrive together.
        request = wire.request(headers=("idempotency-key: slow",))
        wire.send(request[:-1])
        await asyncio.sleep(0.01)
        assert by_asgi == [f"POST {PATH}"]
        wire.send(request[-1:])
        assert (await wire.receive()).status == 200
    assert [c.request_id for c in nodes.commands] == [*names, "slow"]


async def test_a_revoked_key_is_refused_on_an_open_connection(tmp_path: Path) -> None:
    async with wired(tmp_path, FakeNodes()) as wire:
        first = await wire.ask()
        assert KeyFile(tmp_path).revoke(wire.key.split("_")[1])
        await asyncio.sleep(0.25)
        second = await wire.ask()
    assert (first.status, second.status) == (200, 401)


async def test_the_direct_noop_answers_and_touches_no_node(
    tmp_path: Path, by_asgi: list[str]
) -> None:
    nodes = FakeNodes()
    async with wired(tmp_path, nodes) as wire:
        target = "POST /v1/noop-direct HTTP/1.1"
        told = await wire.ask(target, without="Authorization")
        broken = await wire.ask(target, body=b"{")
        asgi = await wire.ask("POST /v1/noop HTTP/1.1")
    assert (told.status, told.json["status"]) == (200, "approved")
    assert broken.status == 500
    assert told.body == asgi.body
    assert (nodes.commands, by_asgi) == ([], ["POST /v1/noop"])
