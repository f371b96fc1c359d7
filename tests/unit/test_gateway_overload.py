"""The real door, the real links, and a node behind them that is slow."""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from time import perf_counter

import msgspec
import pytest

from actors import backlog
from actors.nodes import Nodes
from actors.runner import Statistics
from gateway import connections, door
from gateway.config import BOUNDS, Bounds
from gateway.http_server import bound_socket, open_door
from gateway.keys import ALL_ROLES, KeyFile
from processor import limits
from processor.framing import frame, node_reader
from processor.messages import Answer, Outcome, Submit
from tests.unit.gateway_fake import (
    APPROVED,
    AUTHORIZE,
    TODAY,
    FakeNodes,
    bounds,
    config_for,
)
from tests.unit.gateway_wire import Served, arrived, serving, wired

PATH = "/v1/authorizations"
TICK_SECONDS = 0.002


class SlowNode:
    """Answers so many commands a tick, in the order they came."""

    def __init__(self, per_tick: int) -> None:
        self.per_tick = per_tick
        self.waiting: deque[tuple[Submit, asyncio.StreamWriter]] = deque()
        self.seen: list[Submit] = []

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        frames = node_reader()
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                for message in frames.feed(data):
                    assert isinstance(message, Submit)
                    self.seen.append(message)
                    self.waiting.append((message, writer))
        writer.close()

    async def work(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            for _ in range(min(self.per_tick, len(self.waiting))):
                submit, writer = self.waiting.popleft()
                answer = Answer(submit.correlation, Outcome.DECIDED, APPROVED)
                writer.write(frame([answer]))


@contextlib.asynccontextmanager
async def overloadable(
    directory: Path, node: SlowNode, given: Bounds = BOUNDS, **key_bounds: int
) -> AsyncIterator[tuple[Served, Served]]:
    """A server with a greedy key, whose `key_bounds` these are, and a modest one."""

    async def no_figures() -> list[Statistics]:
        return []

    nodes = Nodes(1, no_figures)
    address = str(directory / "node.sock")
    server = await asyncio.start_unix_server(node.serve, address)
    working = asyncio.create_task(node.work())
    for link in nodes.links:
        link.connect_to(address)
    keys = KeyFile(directory)
    greedy = keys.add("greedy", ALL_ROLES, TODAY, **key_bounds)
    modest = keys.add("modest", ALL_ROLES, TODAY)
    config = config_for(directory, given)
    with bound_socket(config) as listener:
        async with open_door(config, nodes, keys, listener, None) as url:
            while not nodes.ready:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            yield Served(url, greedy), Served(url, modest)
    working.cancel()
    for link in nodes.links:
        link.connect_to("")
    server.close()
    await asyncio.sleep(0.01)  # For both ends to notice.


async def press(served: Served, seconds: float, told: dict[int, list[float]]) -> None:
    """One command after the other; how long each took, by status."""
    ends = perf_counter() + seconds
    async with served.wire() as wire:
        wire.count = id(wire)  # Keys that no other connection has.
        while (began := perf_counter()) < ends:
            response = await wire.ask()
            told.setdefault(response.status, []).append(perf_counter() - began)
            if response.status == 429:
                assert response.headers["retry-after"] == "1"
                await asyncio.sleep(0.005)


async def test_a_greedy_key_does_no_harm_to_a_modest_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_LEAST", 16)
    monkeypatch.setattr(limits, "NODE_COMMANDS_FIRST", 16)
    node = SlowNode(per_tick=1)
    greedy_told: dict[int, list[float]] = {}
    modest_told: dict[int, list[float]] = {}
    async with overloadable(tmp_path, node) as (greedy, modest):
        flood = [asyncio.create_task(press(greedy, 2.0, greedy_told)) for _ in "x" * 80]
        await asyncio.sleep(0.3)
        await press(modest, 1.0, modest_told)
        async with modest.wire() as wire:
            alive_began = perf_counter()
            assert (await wire.ask("GET /livez HTTP/1.1", body=b"")).status == 200
            shown = await wire.ask("GET /metrics HTTP/1.1", body=b"")
            looked_seconds = perf_counter() - alive_began
        await asyncio.gather(*flood)
    assert set(modest_told) == {200}
    assert len(modest_told[200]) >= 5
    refused, done = greedy_told[429], greedy_told[200]
    assert len(refused) > 50
    assert len(done) > 50  # The node never stood idle because of it.
    refused.sort()
    assert refused[len(refused) // 2] < 0.05
    # Nothing that was refused was sent on.
    assert len(node.seen) == len(done) + len(modest_told[200])
    assert b'forebay_gateway_rejected_total{key="' in shown.body
    assert b'reason="node_busy"}' in shown.body
    assert b'forebay_gateway_node_limit{node="shard-000"}' in shown.body
    assert looked_seconds < 1.0


async def test_a_key_with_a_bound_of_its_own_never_has_more_in_flight(
    tmp_path: Path,
) -> None:
    node = SlowNode(per_tick=1)
    told: dict[int, list[float]] = {}
    async with overloadable(tmp_path, node, in_flight_max=3) as (greedy, _modest):
        pressing = [asyncio.create_task(press(greedy, 0.5, told)) for _ in "x" * 10]
        most = 0
        while not all(task.done() for task in pressing):
            most = max(most, len(node.waiting))
            await asyncio.sleep(0.001)
        async with greedy.wire() as wire:
            items = [AUTHORIZE | {"command": "authorize"}] * 20
            wire.send(
                wire.request(
                    "POST /v1/commands HTTP/1.1",
                    body=_bulk(items),
                    without="Idempotency-Key",
                )
            )
            in_bulk = await wire.receive()
    assert most <= 3
    assert told[429]
    assert told[200]
    assert [one["outcome"] for one in in_bulk.json] == ["decided"] * 20


async def test_a_bulk_request_waits_for_room_and_what_finds_none_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_LEAST", 16)
    monkeypatch.setattr(limits, "NODE_COMMANDS_FIRST", 16)
    node = SlowNode(per_tick=1)
    async with (
        overloadable(tmp_path, node) as (greedy, _),
        greedy.wire() as wire,
    ):
        items = [AUTHORIZE | {"command": "authorize"}] * 500
        target = "POST /v1/commands HTTP/1.1"
        timeout = ("Request-Timeout-Ms: 400",)
        wire.send(wire.request(target, timeout, _bulk(items), "Idempotency-Key"))
        told = (await wire.receive()).json
    outcomes = [one["outcome"] for one in told]
    sent = len(node.seen)
    assert 0 < sent < 500
    assert "decided" in outcomes[:sent]
    assert "not_done" not in outcomes[:sent]  # In order: nothing overtakes.
    assert set(outcomes[sent:]) == {"not_done"}


def _bulk(items: list[dict[str, object]]) -> bytes:
    return msgspec.json.encode(
        [item | {"request_id": f"b{number}"} for number, item in enumerate(items)]
    )


# Connections.


async def test_over_the_bound_of_connections_the_answer_is_503(tmp_path: Path) -> None:
    given = bounds(connections_max=2)
    async with serving(tmp_path, FakeNodes(), given) as served:
        async with served.wire() as first, served.wire() as second:
            assert (await first.ask()).status == 200
            assert (await second.ask()).status == 200
            async with served.wire() as third:
                refused = await third.receive()
                assert await third.is_closed()
        await asyncio.sleep(0.05)
        async with served.wire() as fourth:
            assert (await fourth.ask()).status == 200
            shown = await fourth.ask("GET /metrics HTTP/1.1", body=b"")
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.headers["connection"] == "close"
    assert b'hung_up_total{reason="too_many"} 1.0' in shown.body


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_READ_SECONDS_MAX", 0.3)
    monkeypatch.setattr(connections, "_TAKE_SECONDS_MAX", 0.3)
    monkeypatch.setattr(door, "CONNECTIONS_SWEEP_SECONDS", 0.05)


HALVES = [
    b"",
    b"POST /v1/authorizations HT",
    b"POST /v1/authorizations HTTP/1.1\r\nHost: x\r\n",
    b"POST /v1/authorizations HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n{",
]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("half", HALVES)
async def test_a_request_that_is_never_whole_costs_its_connection(
    tmp_path: Path, half: bytes
) -> None:
    async with (
        serving(tmp_path, FakeNodes()) as served,
        served.wire() as slow,
        served.wire() as good,
    ):
        slow.send(half)
        for _ in range(5):  # Meanwhile others are served.
            assert (await good.ask()).status == 200
            await asyncio.sleep(0.15)
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                while await slow.reader.read(4_096):
                    pass
        assert (await good.ask()).status == 200


@pytest.mark.usefixtures("impatient")
async def test_who_waits_for_his_answer_is_not_hung_up_on(tmp_path: Path) -> None:
    nodes = FakeNodes(lambda command: None)
    async with wired(tmp_path, nodes) as wire:
        wire.send(wire.request())
        await arrived(nodes, 1)
        await asyncio.sleep(0.8)
        nodes.waiting[0].answered(Answer(0, Outcome.DECIDED, APPROVED))
        assert (await wire.receive()).status == 200
        await asyncio.sleep(0.5)  # Idle is not slow.
        nodes.say = lambda command: Answer(0, Outcome.DECIDED, APPROVED)
        assert (await wire.ask()).status == 200


@pytest.mark.usefixtures("impatient")
async def test_who_takes_no_answers_is_hung_up_on(tmp_path: Path) -> None:
    nodes = FakeNodes(lambda command: Answer(0, Outcome.DECIDED, b"x" * 500_000))
    async with serving(tmp_path, nodes, send_buffer=4_096) as served:
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            plain.connect(("127.0.0.1", served.port))
            plain.setblocking(False)
            async with served.wire(sock=plain.dup()) as wire:
                wire.send(wire.request() + wire.request())
                await arrived(nodes, 1)
                async with served.wire() as good:
                    async with asyncio.timeout(5):
                        shown = b""
                        while b'"answer_not_taken"} 1.0' not in shown:
                            await asyncio.sleep(0.05)
                            told = await good.ask("GET /metrics HTTP/1.1", body=b"")
                            shown = told.body
    assert len(nodes.commands) <= 2


async def test_only_so_many_requests_may_queue_up_on_a_connection(
    tmp_path: Path,
) -> None:
    nodes = FakeNodes(lambda command: None)
    async with serving(tmp_path, nodes) as served:
        async with served.wire() as wire:
            wire.send(wire.request() * (limits.PIPELINED_MAX + 5))
            assert b"400" in await wire.reader.readline()
        async with served.wire() as other:
            shown = await other.ask("GET /metrics HTTP/1.1", body=b"")
        nodes.waiting[0].answered(Answer(0, Outcome.DECIDED, APPROVED))
    assert b'hung_up_total{reason="too_many_queued"} 1.0' in shown.body
    assert len(nodes.commands) == 1
