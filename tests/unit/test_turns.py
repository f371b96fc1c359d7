"""More than a turn can read: what is over is sent away unread, and nobody is lost."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from actors.backlog import Sender
from actors.nodes import Overloaded
from gateway import turns
from gateway.keys import KeyFile
from gateway.routes import Role
from gateway.turns import Turns, whole_post
from processor import limits
from processor.commands import Command
from tests.unit.gateway_fake import TODAY, FakeNodes
from tests.unit.gateway_wire import Wire, decided, serving

READ_MAX, LATE_MAX = 5, 2
HEAD = b"POST /v1/authorizations HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer fb_k\r\n"
WHOLE = HEAD + b"Content-Length: 2\r\n\r\n{}"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_READ_MAX", READ_MAX)
    monkeypatch.setattr(limits, "TURN_LATE_REQUESTS_MAX", LATE_MAX)


def test_a_whole_post_tells_where_to_and_whose_it_is() -> None:
    assert (b"/v1/authorizations", b"Bearer fb_k") == whole_post(WHOLE)
    lower = WHOLE.replace(b"Content-Length: ", b"content-length:")
    assert (b"/v1/authorizations", b"Bearer fb_k") == whole_post(lower)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        WHOLE[:-1],
        WHOLE + b"x",
        WHOLE + WHOLE,
        WHOLE[: len(HEAD)],
        HEAD + b"\r\n{}",
        HEAD + b"Content-Length: two\r\n\r\n{}",
        HEAD + b"Content-Length: -2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nUpgrade: h2c\r\n\r\n{}",
        HEAD + b"Authorization: Bearer fb_l\r\nContent-Length: 2\r\n\r\n{}",
        b"POST /v1/noop HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        WHOLE.replace(b"POST", b"PUT "),
        WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"\r\n\r\n" + WHOLE,
    ],
)
def test_whatever_is_not_exactly_that_is_read(data: bytes) -> None:
    assert whole_post(data) is None


async def test_a_turn_reads_so_many_and_the_next_as_many_again(few: None) -> None:
    counted = Turns()
    for _ in range(3):
        assert counted.begin()  # And the first is read.
        assert READ_MAX - 1 == counted.left
        counted.left = 0
        assert not counted.begin()
        assert 0 == counted.left
        number = counted.number
        await asyncio.sleep(0)
        assert number + 1 == counted.number


async def press(wires: list[Wire]) -> Counter[int]:
    """Everybody asks in one turn of the loop; how many were told what."""
    for wire in wires:
        wire.send(wire.request())
    return Counter([(await wire.receive()).status for wire in wires])


async def test_what_a_turn_has_beyond_is_sent_away_and_the_modest_are_heard(
    tmp_path: Path, few: None
) -> None:
    nodes = FakeNodes(lambda command: decided())
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(tmp_path, nodes))
        greedy = [await stack.enter_async_context(served.wire()) for _ in range(20)]
        assert {200: 1} == await press(greedy[:1])  # The key is known from now on.
        modest_key = KeyFile(tmp_path).add("modest", [Role.PAYMENTS], TODAY)
        modest = await stack.enter_async_context(served.wire())
        modest.key = modest_key
        await asyncio.sleep(0.1)  # The gateway follows the file.
        assert {200: 1} == await press([modest])
        assert {200: 1} == await press(greedy[:1])
        asked = refused = 0
        for _ in range(5):
            done = len(nodes.commands)
            told = await press([*greedy, modest])
            assert {200, 429} == set(told)
            assert READ_MAX + LATE_MAX <= told[200] <= 15
            # What was refused was never sent on, and what was not was.
            assert done + told[200] == len(nodes.commands)
            assert "modest" == nodes.commands[-1].caller
            asked, refused = asked + told.total(), refused + told[429]
        assert {200: 3} == await press(greedy[:3])  # Nobody is worse off for it.
        modest.send(modest.request("GET /metrics HTTP/1.1", body=b""))
        shown = (await modest.receive()).body
    assert b'reason="door_busy"' in shown
    # All are counted, and how long it took of those that were read.
    read = len(nodes.commands)
    assert asked + 6 == read + refused
    name, route = b"forebay_gateway_request", b'route="/v1/authorizations"'
    assert b"%b_duration_seconds_count{%b} %d.0\n" % (name, route, read) in shown
    assert b's_total{outcome="answered",%b} %d.0\n' % (route, read) in shown
    assert b's_total{outcome="overloaded",%b} %d.0\n' % (route, refused) in shown


@contextlib.asynccontextmanager
async def crowd(tmp_path: Path, nodes: FakeNodes) -> AsyncIterator[list[Wire]]:
    """Connections whose key is known."""
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(tmp_path, nodes))
        wires = [await stack.enter_async_context(served.wire()) for _ in range(20)]
        nodes.say = lambda command: decided()
        assert {200: 1} == await press(wires[:1])
        yield wires


async def test_a_command_in_pieces_is_read_when_its_turn_is_over(
    tmp_path: Path, few: None
) -> None:
    async with crowd(tmp_path, FakeNodes()) as wires:
        late = wires[-1]
        request = late.request()
        late.send(request[:50])
        await asyncio.sleep(0.05)
        for wire in wires[:-1]:
            wire.send(wire.request())
        late.send(request[50:])
        assert 200 == (await late.receive()).status
        for wire in wires[:-1]:
            await wire.receive()


@pytest.mark.parametrize(
    "begun", [b"POST /v1/authorizations HTTP/1.1\r\nHost: a\r\n", None]
)
async def test_the_rest_of_a_request_that_looks_like_one_is_none(
    tmp_path: Path, few: None, begun: bytes | None
) -> None:
    async with crowd(tmp_path, FakeNodes()) as wires:
        late = wires[-1]
        inner = late.request()
        late.send(begun or late.request(body=inner)[: -len(inner)])
        await asyncio.sleep(0.05)
        for wire in wires[:-1]:
            wire.send(wire.request())
        late.send(inner)
        assert 400 == (await late.receive()).status
        for wire in wires[:-1]:
            await wire.receive()


async def test_nobody_is_sent_away_before_his_first_request_is_answered(
    tmp_path: Path, few: None
) -> None:
    nodes = FakeNodes()
    async with crowd(tmp_path, nodes) as wires:
        nodes.say = lambda command: None
        late = wires[-1]
        late.send(late.request())
        await asyncio.sleep(0.05)
        first = nodes.waiting[-1]
        nodes.say = lambda command: decided()
        for wire in wires[:-1]:
            wire.send(wire.request())
        late.send(late.request())
        await asyncio.sleep(0.05)
        first.answered(decided(b"first"))
        assert b"first" == (await late.receive()).body
        assert 200 == (await late.receive()).status
        for wire in wires[:-1]:
            await wire.receive()


class FullNodes(FakeNodes):
    """Every shard is full; settlement is not."""

    def __init__(self) -> None:
        super().__init__(lambda command: decided())
        self.is_full = True

    def has_room(self, sender: Sender) -> bool:
        return not self.is_full

    def submit(self, command: Command, *more: Any) -> None:
        if self.is_full and command.ROUTED_BY:
            raise Overloaded("full")
        super().submit(command, *more)


async def test_what_is_for_a_full_shard_is_refused_before_its_body_is_looked_into(
    tmp_path: Path,
) -> None:
    nodes = FullNodes()
    lender = b'{"lender_id":"north","currency":"EUR"}'
    async with contextlib.AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(tmp_path, nodes))
        first, broken, other = [
            await stack.enter_async_context(served.wire()) for _ in range(3)
        ]
        for wire in (first, broken, other):
            assert 200 == (await wire.ask("GET /livez HTTP/1.1", body=b"")).status
        first.send(first.request())
        broken.send(broken.request(body=b"no json"))
        other.send(other.request("POST /v1/lenders HTTP/1.1", body=lender))
        told = [(await wire.receive()).status for wire in (first, broken, other)]
        assert [429, 429, 200] == told
        # In a turn of its own it is not the shards' business.
        assert 400 == (await broken.ask(body=b"no json")).status
        nodes.is_full = False
        assert {200: 2} == await press([first, broken])
