"""The gateway's end of the stream: find the node, keep the window, await.

A command is sent once.  What cannot be sent is *nothing done*; what was sent
and not answered when a connection breaks is *unknown*, and only the same
request id will tell.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from actors.runner import Statistics
from processor import limits
from processor.commands import Command
from processor.framing import BrokenFrame, Window, caller_reader, frame
from processor.ids import shard_of_slot, slot_of_account, slot_of_made_id
from processor.messages import Answer, Message, Query, Submit
from processor.views import ACCOUNT_KINDS

_RECONNECT_SECONDS = 0.05
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


class OutcomeUnknown(Exception):
    """The connection broke before the answer: ask again with the same id."""


class Link(asyncio.Protocol):
    """The connection to one node, made again whenever it breaks."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_connected = False
        self._address = ""
        self._window: Window[asyncio.Future[Answer]] = Window(
            limits.WINDOW_COMMANDS_MAX
        )
        self._reader = caller_reader()
        self._outgoing: list[Message] = []
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

    def submit(self, command: Command) -> asyncio.Future[Answer]:
        """The answer to come.  Raises NothingDone or Overloaded at once."""
        correlation, future = self._open()
        self._send(Submit(correlation, command))  # type: ignore[arg-type]
        return future

    def query(self, kind: str, object_id: str) -> asyncio.Future[Answer]:
        """The answer to come.  Raises NothingDone or Overloaded at once."""
        correlation, future = self._open()
        self._send(Query(correlation, kind, object_id))
        return future

    def _open(self) -> tuple[int, asyncio.Future[Answer]]:
        if not self.is_connected:
            raise NothingDone(f"{self.name} cannot be reached")
        if self._window.is_full:
            raise Overloaded(f"{self.name} has too much in flight")
        future: asyncio.Future[Answer] = self._loop.create_future()
        return self._window.open(future), future

    def _send(self, message: Message) -> None:
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(message)

    def _flush(self) -> None:
        """All that one turn of the event loop has brought, as one frame."""
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(outgoing))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._reader = caller_reader()
        self._outgoing = []
        self.is_connected = True

    def data_received(self, data: bytes) -> None:
        try:
            answers = self._reader.feed(data)
        except BrokenFrame:
            assert self._transport is not None
            self._transport.abort()
            return
        close = self._window.close
        for answer in answers:
            assert isinstance(answer, Answer)
            future = close(answer.correlation)
            if future is not None and not future.done():
                future.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.is_connected = False
        for future in self._window.break_all():
            if not future.done():
                future.set_exception(
                    OutcomeUnknown(f"the connection to {self.name} broke")
                )
        if self._address and self._task is None:
            self._task = self._loop.create_task(self._connect())


class Nodes:
    """Every shard and settlement, by what a command is about."""

    def __init__(
        self,
        shard_count: int,
        figures: Callable[[], Awaitable[list[Statistics]]],
    ) -> None:
        assert 0 < shard_count <= limits.SHARDS_MAX
        self.figures = figures
        self.shard_count = shard_count
        self.settlement = Link("settlement")
        self.shards = [Link(f"shard-{n:03d}") for n in range(shard_count)]

    @property
    def links(self) -> list[Link]:
        """Settlement's first, then the shards' in order."""
        return [self.settlement, *self.shards]

    @property
    def ready(self) -> bool:
        """Whether every node can be reached."""
        return all(link.is_connected for link in self.links)

    def submit(self, command: Command) -> asyncio.Future[Answer]:
        """The answer to come.  Raises NothingDone or Overloaded at once.

        The future fails with OutcomeUnknown when the connection breaks.
        """
        routed_by = command.ROUTED_BY
        if not routed_by:
            return self.settlement.submit(command)
        return self._link_of(routed_by, getattr(command, routed_by)).submit(command)

    async def query(self, kind: str, object_id: str) -> Answer:
        """The same, to read an object by kind and id."""
        routed_by = _ROUTED_BY.get(kind)
        if routed_by is not None:
            return await self._link_of(routed_by, object_id).query(kind, object_id)
        return await self.settlement.query(kind, object_id)

    async def statistics(self) -> list[Statistics]:
        """The figures of every node that answers."""
        return await self.figures()

    async def status(self) -> dict[str, object]:
        """What an operator looks at first: who is up, in which epoch, how far."""
        up = {figures.name: figures for figures in await self.figures()}
        return {
            "ready": self.ready,
            "nodes": [
                {
                    "name": link.name,
                    "connected": link.is_connected,
                    "in_flight": link.in_flight,
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
