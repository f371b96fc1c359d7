"""The gateway's end of the stream: find the node, keep the window, await.

A command is sent once.  What cannot be sent is *nothing done*; what was sent
and not answered when a connection breaks is *unknown*, and only the same
request id will tell.

What one turn of the event loop brings leaves in few frames, and the first of
them at once: while the gateway reads on, the node has begun.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Protocol, cast

from actors.backlog import SINGLE, Backlog, Place, Sender
from actors.runner import Statistics
from processor import limits
from processor.commands import Command
from processor.framing import BrokenFrame, Window, caller_reader, frame
from processor.ids import shard_of_slot, slot_of_account, slot_of_made_id
from processor.messages import Answer, Message, Query, QueryEntries, Submit
from processor.views import ACCOUNT_KINDS

Seconds = Callable[[], float]  # A clock that only grows.

_RECONNECT_SECONDS = 0.05
_FIRST_FRAME_MESSAGES = 8  # Of a turn; each that follows may be twice as long.
# What a shard is asked for by kind, and whose id that is.
_ROUTED_BY = dict.fromkeys(ACCOUNT_KINDS, "account_id") | {
    "authorization": "authorization_id",
    "explanation": "authorization_id",
    "hold": "hold_id",
}


class NothingDone(Exception):
    """The node cannot be reached; the command was not and will not be done."""


class Overloaded(NothingDone):
    """Too much is in flight to that node; nothing was done."""


class TooLate(NothingDone):
    """It would wait longer than it may; nothing was done."""


class OutcomeUnknown(Exception):
    """The connection broke before the answer: ask again with the same id."""


class Waiting(Protocol):
    """Who waits for one answer: told once, never before `submit` returned.

    It must not raise: others are told in the same turn.
    """

    def answered(self, answer: Answer) -> None:
        """The answer has come."""

    def failed(self, error: Exception) -> None:
        """None will come: NothingDone or OutcomeUnknown."""


class Awaited:
    """A Waiting for coroutines; who has given up is told nothing."""

    __slots__ = ("_told",)

    def __init__(self) -> None:
        self._told: asyncio.Future[Answer | Exception] = (
            asyncio.get_running_loop().create_future()
        )

    def answered(self, answer: Answer) -> None:
        """The answer has come."""
        if not self._told.done():
            self._told.set_result(answer)

    # An error is a result here, so that one which nobody asks for is no fault.
    def failed(self, error: Exception) -> None:
        """None will come."""
        if not self._told.done():
            self._told.set_result(error)

    @property
    def is_told(self) -> bool:
        """Whether it has come."""
        return self._told.done()

    async def told(self) -> Answer | Exception:
        """What came."""
        return await self._told


class Link(asyncio.Protocol):
    """The connection to one node, made again whenever it breaks."""

    def __init__(self, name: str, seconds: Seconds = perf_counter) -> None:
        self.name = name
        self._seconds = seconds
        self.is_connected = False
        self._address = ""
        self.backlog = Backlog()
        self._is_closed = f"{name} cannot be reached"
        self._is_crowded = f"{name} has too much in flight"
        self._is_full = f"more than its share waits for {name} already"
        self._is_too_slow = f"what waits for {name} takes longer than it may"
        self._window: Window[tuple[Waiting, Place | None]] = Window(
            limits.WINDOW_COMMANDS_MAX
        )
        self._reader = caller_reader()
        self._outgoing: list[Message] = []
        self._outgoing_max = _FIRST_FRAME_MESSAGES
        # The gateway's turn: since when, if one is under way, and how long the last
        # two took, from the first command in them on.
        self._turn_began_seconds = 0.0
        self._turns_seconds = (0.0, 0.0)
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def in_flight(self) -> int:
        """Commands and queries without an answer yet."""
        return len(self._window)

    def connect_to(self, address: str) -> None:
        """The node is (now) there; "" means nowhere."""
        self._address = address
        if self._transport is not None:
            self._transport.abort()
        elif address and self._task is None:
            self._task = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        while self._address:
            try:
                await self._loop.create_unix_connection(lambda: self, self._address)
                break
            except OSError:
                await asyncio.sleep(_RECONNECT_SECONDS)
        self._task = None

    def submit(
        self,
        command: Command,
        waiting: Waiting,
        sender: Sender | None = None,
        deadline_ms: int = 0,
        part: int = SINGLE,
    ) -> None:
        """Send a command.  Raises NothingDone, Overloaded or TooLate at once.

        Without a sender it has its place whatever waits there already.
        """
        if not self._turn_began_seconds:
            self._turn_began_seconds = self._seconds()
            self._loop.call_soon(self._end_turn)
        backlog, window, place = self.backlog, self._window, None
        if not self.is_connected:
            raise NothingDone(self._is_closed)
        if sender is not None:
            if backlog.is_slow and backlog.is_too_long(
                deadline_ms / 1_000 - self._turn_began_seconds
            ):
                raise TooLate(self._is_too_slow)
            place = backlog.enter(sender, part)
            if place is None:
                raise Overloaded(self._is_full)
        number = window.open((waiting, place))
        if not number:
            if place is not None:
                place.in_flight -= 1
            raise Overloaded(self._is_crowded)
        if backlog.probe:
            backlog.last = number
        else:
            backlog.sent(number, self._turn_began_seconds)
        # As `_send`, without a call: every purchase comes by, and its turn has begun.
        # (What is routed here is of the union that a `Submit` takes.)
        outgoing = self._outgoing
        outgoing.append(Submit(number, command, deadline_ms))  # type: ignore[arg-type]
        if len(outgoing) >= self._outgoing_max:
            self._flush()

    def query(self, kind: str, object_id: str, waiting: Waiting) -> None:
        """Send a query.  Raises NothingDone or Overloaded at once."""
        number = self._open(waiting)
        self._send(Query(number, kind, object_id))

    def query_entries(
        self, account_id: str, before: int, limit: int, waiting: Waiting
    ) -> None:
        """The same for entries of an account."""
        number = self._open(waiting)
        self._send(QueryEntries(number, account_id, before, limit))

    def _open(self, waiting: Waiting) -> int:
        if not self.is_connected:
            raise NothingDone(self._is_closed)
        number = self._window.open((waiting, None))
        if not number:
            raise Overloaded(self._is_crowded)
        self.backlog.sent(number, self._turn_began_seconds or self._seconds())
        return number

    def _send(self, message: Message) -> None:
        outgoing = self._outgoing
        if not outgoing and not self._turn_began_seconds:
            self._loop.call_soon(self._end_turn)
        outgoing.append(message)
        if len(outgoing) >= self._outgoing_max:
            self._flush()

    def _end_turn(self) -> None:
        if self._outgoing:
            self._flush()
        self._outgoing_max = _FIRST_FRAME_MESSAGES
        if self._turn_began_seconds:
            took_seconds = self._seconds() - self._turn_began_seconds
            self._turns_seconds = (self._turns_seconds[1], took_seconds)
            self._turn_began_seconds = 0.0

    def _flush(self) -> None:
        self._outgoing_max *= 2
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None and not self._transport.is_closing():
            _write_at_once(self._transport, frame(outgoing))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._reader = caller_reader()
        self._outgoing = []
        self.is_connected = True

    def data_received(self, data: bytes) -> None:
        try:
            answers = cast("list[Answer]", self._reader.feed(data))
        except BrokenFrame:
            assert self._transport is not None
            self._transport.abort()
            return
        close = self._window.close
        # In order, but for those that were set aside for a while.
        numbers = [answer.correlation for answer in answers]
        if numbers:
            self.backlog.reached(
                max(numbers), self._seconds(), sum(self._turns_seconds)
            )
        for answer in answers:
            found = close(answer.correlation)
            if found is not None:
                waiting, place = found
                if place is not None:
                    place.in_flight -= 1
                waiting.answered(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.is_connected = False
        self.backlog.broke()
        for waiting, _ in self._window.break_all():
            waiting.failed(OutcomeUnknown(f"the connection to {self.name} broke"))
        if self._address and self._task is None:
            self._task = self._loop.create_task(self._connect())


def _write_at_once(transport: asyncio.Transport, data: bytes) -> None:
    """Write now what uvloop would write at the end of its turn.

    Past the transport only while it holds nothing back itself; it gets what the
    socket does not take, and finds out for itself when the socket is broken.
    """
    if transport.get_write_buffer_size() == 0:
        with contextlib.suppress(OSError):
            data = data[os.write(transport.get_extra_info("socket").fileno(), data) :]
    if data:
        transport.write(data)


class Nodes:
    """Every shard and settlement, by what a command is about."""

    def __init__(
        self,
        shard_count: int,
        figures: Callable[[], Awaitable[list[Statistics]]],
        seconds: Seconds = perf_counter,
    ) -> None:
        assert 0 < shard_count <= limits.SHARDS_MAX
        self.figures = figures
        self.shard_count = shard_count
        self.settlement = Link("settlement", seconds)
        self.shards = [Link(f"shard-{n:03d}", seconds) for n in range(shard_count)]

    @property
    def links(self) -> list[Link]:
        """Settlement's first, then the shards' in order."""
        return [self.settlement, *self.shards]

    @property
    def backlogs(self) -> dict[str, Backlog]:
        """What is on its way to each node, by name."""
        return {link.name: link.backlog for link in self.links}

    @property
    def ready(self) -> bool:
        """Whether every node can be reached."""
        return all(link.is_connected for link in self.links)

    def has_room(self, sender: Sender) -> bool:
        """Whether any shard would take one more command of a sender."""
        return any(link.backlog.has_room(sender) for link in self.shards)

    def submit(
        self,
        command: Command,
        waiting: Waiting,
        sender: Sender | None = None,
        deadline_ms: int = 0,
        part: int = SINGLE,
    ) -> None:
        """Send a command.  Raises NothingDone, Overloaded or TooLate at once.

        It is not decided after `deadline_ms` of the system's `perf_counter`.
        `waiting` fails with OutcomeUnknown when the connection breaks.
        """
        link = self.settlement
        if routed_by := command.ROUTED_BY:
            link = self._link_of(routed_by, getattr(command, routed_by))
        link.submit(command, waiting, sender, deadline_ms, part)

    async def query(self, kind: str, object_id: str) -> Answer:
        """Read an object by kind and id.  Raises what `submit` does, at any time."""
        link = self.settlement
        routed_by = _ROUTED_BY.get(kind)
        if routed_by is not None:
            link = self._link_of(routed_by, object_id)
        awaited = Awaited()
        link.query(kind, object_id, awaited)
        return await _answer(awaited)

    async def query_entries(self, account_id: str, before: int, limit: int) -> Answer:
        """Read entries of an account before a sequence (0: the last).  As `query`."""
        awaited = Awaited()
        link = self._link_of("account_id", account_id)
        link.query_entries(account_id, before, limit, awaited)
        return await _answer(awaited)

    async def statistics(self) -> list[Statistics]:
        """The figures of every node, as far as it answers."""
        return await self.figures()

    async def status(self) -> dict[str, object]:
        """What an operator looks at first: who is up, in which epoch, how far."""
        told = {figures.name: figures for figures in await self.figures()}
        up = {name: figures for name, figures in told.items() if figures.pid}
        refused = {name: figures.refused for name, figures in told.items()}
        return {
            "ready": self.ready,
            "nodes": [
                {
                    "name": link.name,
                    "connected": link.is_connected,
                    "in_flight": link.in_flight,
                    "refused": refused.get(link.name, ""),
                    "figures": up.get(link.name),
                }
                for link in self.links
            ],
        }

    def _link_of(self, routed_by: str, object_id: str) -> Link:
        if routed_by == "account_id":
            slot: int | None = slot_of_account(object_id)
        else:
            slot = slot_of_made_id(object_id)
        # What is no id of ours is unknown to every shard alike.
        return self.shards[shard_of_slot(slot or 0, self.shard_count)]


async def _answer(awaited: Awaited) -> Answer:
    told = await awaited.told()
    if isinstance(told, Exception):
        raise told
    return told
