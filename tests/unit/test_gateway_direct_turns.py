"""Direct requests in flight: their order, their end, and who is waited for."""

import asyncio
import contextlib
import logging
import socket
from pathlib import Path

import pytest

from gateway import http_server
from gateway.commands import CommandEndpoint
from gateway.metrics import RouteCounters
from processor.commands import Command
from processor.messages import Answer
from tests.unit.gateway_fake import FakeNodes, bounds
from tests.unit.gateway_wire import (
    PATH,
    SECONDS_MAX,
    Wire,
    arrived,
    decided,
    serving,
    wired,
)


async def test_two_in_one_packet_are_answered_in_their_order(tmp_path: Path) -> None:
    nodes = FakeNodes(lambda command: None)
    async with wired(tmp_path, nodes) as wire:
        wire.send(wire.request() + wire.request())
        await arrived(nodes, 1)
        await asyncio.sleep(0.05)
        assert len(nodes.commands) == 1  # The second waits for its turn.
        nodes.waiting[0].answered(decided(b"first"))
        await arrived(nodes, 2)
        nodes.waiting[1].answered(decided(b"second"))
        told = [(await wire.receive()).body for _ in range(2)]
    assert told == [b"first", b"second"]


async def test_what_comes_while_one_is_in_flight_waits_for_its_turn(
    tmp_path: Path, by_asgi: list[str]
) -> None:
    nodes = FakeNodes(lambda command: None)
    async with wired(tmp_path, nodes) as wire:
        wire.send(wire.request())
        await arrived(nodes, 1)
        wire.send(wire.request("GET /livez HTTP/1.1", body=b""))
        wire.send(wire.request(body=b"{}") + wire.request()[:40])
        await asyncio.sleep(0.05)
        assert by_asgi == []
        nodes.waiting[0].answered(decided())
        told = [await wire.receive() for _ in range(3)]
        nodes.say = lambda command: decided()
        # What is left of the fourth request, which was cut.
        wire.count -= 1
        wire.send(wire.request()[40:])
        told.append(await wire.receive())
        told.append(await wire.ask())
    assert [answer.status for answer in told] == [200, 200, 400, 200, 200]
    assert by_asgi[:2] == ["GET /livez", f"POST {PATH}"]


async def test_a_hundred_at_once_on_one_connection(tmp_path: Path) -> None:
    def say(command: Command) -> Answer:
        return decided(command.request_id.encode())

    async with wired(tmp_path, FakeNodes(say)) as wire:
        wire.send(b"".join(wire.request() for _ in range(100)))
        told = [(await wire.receive()).body for _ in range(100)]
    assert told == [b"r-%d" % n for n in range(1, 101)]


async def test_a_client_that_hangs_up_is_not_waited_for(tmp_path: Path) -> None:
    nodes = FakeNodes(lambda command: None)
    async with serving(tmp_path, nodes) as served:
        async with served.wire() as wire:
            wire.send(wire.request())
            await arrived(nodes, 1)
        await asyncio.sleep(0.05)
        nodes.waiting[0].answered(decided())  # Written to nobody.
        async with served.wire() as wire:
            nodes.say = lambda command: decided()
            assert (await wire.ask()).status == 200
            shown = await wire.ask("GET /metrics HTTP/1.1", body=b"")
    assert b"forebay_gateway_commands_in_flight 0.0" in shown.body


async def test_a_late_answer_is_nobodys(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nodes = FakeNodes(lambda command: None)
    given = bounds(answer_wait_ms_max=200)
    async with wired(tmp_path, nodes, given=given) as wire:
        overdue = await wire.ask()
        wire.send(wire.request())
        await arrived(nodes, 2)
        nodes.waiting[0].answered(decided(b"late"))
        nodes.waiting[1].answered(decided(b"its own"))
        told = await wire.receive()
    assert (overdue.status, overdue.json["type"]) == (504, "/problems/outcome-unknown")
    assert told.body == b"its own"
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


async def test_a_fault_is_logged_and_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    nodes = FakeNodes()
    async with wired(tmp_path, nodes) as wire:
        with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
            patch.setattr(CommandEndpoint, "submit", broken)
            before = await wire.ask()
            patch.undo()
            patch.setattr(RouteCounters, "took", broken)
            behind = await wire.ask()
        after = await wire.ask()
        shown = await wire.ask("GET /metrics HTTP/1.1", body=b"")
    assert [before.status, behind.status, after.status] == [500, 500, 200]
    assert before.json["type"] == "/problems/internal"
    assert [str(r.exc_info[1]) for r in caplog.records if r.exc_info] == ["a bug"] * 2
    assert b"forebay_gateway_commands_in_flight 0.0" in shown.body


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "_KEEP_ALIVE_SECONDS", 0.2)
    nodes = FakeNodes(lambda command: None)
    async with wired(tmp_path, nodes) as wire:
        for number in range(3):
            wire.send(wire.request())
            await arrived(nodes, number + 1)
            await asyncio.sleep(0.3)  # Longer than an idle one may last.
            nodes.waiting[number].answered(decided())
            assert (await wire.receive()).status == 200
            await asyncio.sleep(0.1)
        assert await wire.is_closed()


async def test_how_long_it_is_idle_counts_from_the_last_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "_KEEP_ALIVE_SECONDS", 0.4)
    loop = asyncio.get_running_loop()
    async with wired(tmp_path, FakeNodes()) as wire:
        for _ in range(4):
            assert (await wire.ask()).status == 200
            await asyncio.sleep(0.15)
        assert (await wire.ask()).status == 200
        began = loop.time()
        assert await wire.is_closed()
        assert 0.39 < loop.time() - began < 1.0


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_a_drain_waits_for_a_direct_command(
    tmp_path: Path, hangs_up: bool
) -> None:
    nodes = FakeNodes(lambda command: None)
    ends: list[bool] = []

    def answer() -> None:
        ends.append(True)
        nodes.waiting[0].answered(decided())

    async with contextlib.AsyncExitStack() as clients:
        async with serving(tmp_path, nodes) as served:
            idle = await clients.enter_async_context(served.wire())
            busy = await clients.enter_async_context(served.wire())
            busy.send(busy.request())
            await arrived(nodes, 1)
            if hangs_up:
                busy.writer.close()
            asyncio.get_running_loop().call_later(0.5, answer)
        assert ends == [True]
        assert await idle.is_closed()
        if not hangs_up:
            told = await busy.receive()
            assert (told.status, told.headers["connection"]) == (200, "close")
            assert await busy.is_closed()


async def test_a_client_that_reads_nothing_is_not_written_to_for_ever(
    tmp_path: Path,
) -> None:
    large = b"x" * 50_000

    def say(command: Command) -> Answer:
        return decided(large)

    nodes = FakeNodes(say)
    async with serving(tmp_path, nodes, send_buffer=8_192) as served:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
            client.connect(("127.0.0.1", served.port))
            client.setblocking(False)
            async with served.wire(sock=client, limit=1) as wire:
                for _ in range(50):
                    wire.send(wire.request())
                    await asyncio.sleep(0.005)
                taken = len(nodes.commands)
                told = [await wire_large(wire) for _ in range(50)]
    assert taken < 20
    assert told == [large] * 50


async def wire_large(wire: Wire) -> bytes:
    """The body of the next answer, which is larger than the stream's limit."""
    head = b""
    async with asyncio.timeout(SECONDS_MAX):
        while not head.endswith(b"\r\n\r\n"):
            head += await wire.reader.readexactly(1)
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        return await wire.reader.readexactly(length)
