"""The gateway's connection to a node: frames in order, and everyone is told."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from actors.backlog import SINGLE, Sender
from actors.nodes import Awaited, Link, NothingDone, OutcomeUnknown, Overloaded
from processor import limits
from processor.commands import ChangeLimit
from processor.framing import frame, node_reader
from processor.messages import Answer, Outcome, Submit, ToNode

SECONDS_MAX = 10


class Node:
    """The other end: keeps what comes, in the frames it came in."""

    def __init__(self) -> None:
        self.frames: list[list[ToNode]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.may_read = asyncio.Event()
        self.may_read.set()

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.writers.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await self.may_read.wait()
                head = await reader.readexactly(5)
                body = await reader.readexactly(int.from_bytes(head[1:], "big"))
                self.frames.append(node_reader().feed(head + body))

    @property
    def limits_seen(self) -> list[int]:
        """What was submitted, in the order it came."""
        commands = [m.command for f in self.frames for m in f if isinstance(m, Submit)]
        return [c.limit_minor for c in commands if isinstance(c, ChangeLimit)]


@contextlib.asynccontextmanager
async def linked(directory: Path) -> AsyncIterator[tuple[Link, Node]]:
    """A link and the node it leads to."""
    node, link = Node(), Link("shard-000")
    address = str(directory / "node.sock")
    server = await asyncio.start_unix_server(node.serve, address, limit=1024)
    link.connect_to(address)
    await until(lambda: link.is_connected and bool(node.writers))
    try:
        yield link, node
    finally:
        link.connect_to("")
        server.close()
        for writer in node.writers:
            writer.close()


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS_MAX):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def submit(link: Link, count: int, begin: int = 0) -> list[Awaited]:
    """So many commands in one turn of the loop, numbered."""
    waiting = [Awaited() for _ in range(count)]
    for number, one in enumerate(waiting, start=begin):
        link.submit(ChangeLimit("caller", f"r{number}", "alice", number), one)
    return waiting


async def test_a_turn_leaves_in_few_frames_and_the_first_at_once(
    tmp_path: Path,
) -> None:
    async with linked(tmp_path) as (link, node):
        for _ in range(2):  # Each turn anew.
            submit(link, 100)
            await until(lambda: len(node.limits_seen) % 100 == 0)
            await asyncio.sleep(0.01)
        submit(link, 3)
        await until(lambda: len(node.limits_seen) == 203)
    assert [len(f) for f in node.frames] == [8, 16, 32, 44, 8, 16, 32, 44, 3]
    assert node.limits_seen == [*range(100), *range(100), *range(3)]


async def test_frames_are_on_the_way_before_the_turn_ends(tmp_path: Path) -> None:
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    link = Link("shard-000")
    with near, far:
        transport, _ = await loop.create_unix_connection(lambda: link, sock=near)
        submit(link, 7)
        with pytest.raises(BlockingIOError):
            far.recv(1)
        submit(link, 1)
        assert len(node_reader().feed(far.recv(100_000))) == 8
        transport.abort()


async def test_a_node_that_reads_nothing_gets_all_in_order_later(
    tmp_path: Path,
) -> None:
    async with linked(tmp_path) as (link, node):
        node.may_read.clear()
        count = 0
        for _ in range(20):
            count += 500
            submit(link, 500)
            await asyncio.sleep(0)
        assert len(node.limits_seen) < count
        node.may_read.set()
        await until(lambda: len(node.limits_seen) == count)
    assert node.limits_seen == [*range(500)] * 20


async def test_nothing_overtakes_what_the_transport_holds_back() -> None:
    near, far = socket.socketpair()
    far.setblocking(False)
    loop = asyncio.get_running_loop()
    link, reader, seen = Link("shard-000"), node_reader(), list[int]()

    def read() -> None:
        with contextlib.suppress(BlockingIOError):
            while data := far.recv(1_000_000):
                commands = [
                    m.command for m in reader.feed(data) if isinstance(m, Submit)
                ]
                seen.extend(
                    c.limit_minor for c in commands if isinstance(c, ChangeLimit)
                )

    with near, far:
        transport, _ = await loop.create_unix_connection(lambda: link, sock=near)
        count = 0
        while transport.get_write_buffer_size() == 0:
            submit(link, 8, count)
            count += 8
        await asyncio.sleep(0.01)
        assert transport.get_write_buffer_size() > 0
        read()  # Now the socket has room, and the transport still holds some.
        submit(link, 8, count)
        async with asyncio.timeout(SECONDS_MAX):
            while len(seen) < count + 8:
                await asyncio.sleep(0.001)
                read()
        transport.abort()
    assert seen == [*range(count + 8)]


async def test_each_is_told_its_own_answer(tmp_path: Path) -> None:
    async with linked(tmp_path) as (link, node):
        waiting = submit(link, 3)
        await until(lambda: len(node.limits_seen) == 3)
        messages = [m for f in node.frames for m in f if isinstance(m, Submit)]
        answers = [
            Answer(m.correlation, Outcome.DECIDED, m.command.request_id.encode())
            for m in reversed(messages)
        ]
        node.writers[0].write(frame([*answers, answers[0]]))  # One of them twice.
        told = [await one.told() for one in waiting]
        assert link.in_flight == 0
    assert [t.body for t in told if isinstance(t, Answer)] == [b"r0", b"r1", b"r2"]


async def test_when_the_connection_breaks_everyone_is_told_unknown(
    tmp_path: Path,
) -> None:
    async with linked(tmp_path) as (link, node):
        waiting = submit(link, 20)
        node.writers[0].close()
        told = [await one.told() for one in waiting]
        await until(lambda: len(node.writers) == 2 and link.is_connected)
        submit(link, 1)
        await until(lambda: node.limits_seen[-1:] == [0])
    assert {type(t) for t in told} == {OutcomeUnknown}


async def test_what_cannot_be_sent_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(NothingDone, match="shard-000"):
        submit(Link("shard-000"), 1)
    async with linked(tmp_path) as (link, _):
        submit(link, limits.WINDOW_COMMANDS_MAX - 1)
        waits = link.backlog.waiting
        sender, command = Sender("key"), ChangeLimit("caller", "r", "alice", 7)
        link.submit(command, Awaited(), sender)
        # A place that was taken for what is not sent is given back.
        for _ in range(2 * limits.SENDER_COMMANDS_LEAST):
            with pytest.raises(Overloaded, match="too much in flight"):
                link.submit(command, Awaited(), sender)
        with pytest.raises(Overloaded):
            submit(link, 1)
        with pytest.raises(Overloaded):
            link.query("account", "alice", Awaited())
        assert waits + 1 == link.backlog.waiting


async def test_who_has_given_up_is_told_nothing() -> None:
    awaited = Awaited()
    awaited.failed(OutcomeUnknown("late"))
    awaited.answered(Answer(0, Outcome.DECIDED, b""))
    awaited.failed(OutcomeUnknown("later"))
    assert str(await awaited.told()) == "late"


async def test_a_deadline_and_a_senders_share_go_with_a_command(
    tmp_path: Path,
) -> None:
    async with linked(tmp_path) as (link, node):
        sender, waiting = Sender("key"), Awaited()
        link.submit(
            ChangeLimit("caller", "r", "alice", 7), waiting, sender, 9_999_999_999
        )
        await until(lambda: node.limits_seen == [7])
        (submitted,) = (m for f in node.frames for m in f)
        assert isinstance(submitted, Submit)
        assert submitted.deadline_ms == 9_999_999_999
        assert link.backlog.waiting == 1
        answer = Answer(submitted.correlation, Outcome.DECIDED, b"")
        node.writers[0].write(frame([answer]))
        await waiting.told()
        assert link.backlog.waiting == 0


async def test_over_its_share_a_key_is_refused_and_others_are_not(
    tmp_path: Path,
) -> None:
    greedy, modest = Sender("greedy"), Sender("modest")
    async with linked(tmp_path) as (link, _):
        command, share = ChangeLimit("caller", "r", "alice", 1), 0
        while place := link.backlog.enter(greedy, SINGLE):  # As `submit` does.
            assert share < limits.NODE_COMMANDS_FIRST
            place.in_flight -= 1
            link.submit(command, Awaited(), greedy, 2**40)
            share += 1
        with pytest.raises(Overloaded, match="share"):
            link.submit(command, Awaited(), greedy, 2**40)
        assert share == link.in_flight == limits.NODE_COMMANDS_FIRST * 4 // 5 + 1
        link.submit(ChangeLimit("caller", "r", "alice", 1), Awaited(), modest, 2**40)
        link.submit(ChangeLimit("caller", "r", "alice", 1), Awaited())  # Nobody's.
