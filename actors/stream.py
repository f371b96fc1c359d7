"""The ends of the stream: asyncio protocols around `processor.framing`.

`NodeConnection` is the serving end, in a node's process.  `SettlementLink` is
a shard's end of its connection to settlement; it connects again until told to
stop.  The gateway's end is in `actors.nodes`.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from processor.framing import BrokenFrame, caller_reader, node_reader
from processor.shard import SETTLEMENT

if TYPE_CHECKING:
    from actors.runner import Runner

_RECONNECT_SECONDS = 0.05

log = logging.getLogger("forebay.stream")


class NodeConnection(asyncio.Protocol):
    """One accepted connection of a node."""

    def __init__(self, runner: "Runner", number: int) -> None:
        self._runner = runner
        self._number = number
        self._reader = node_reader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._runner.connections[self._number] = self

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._reader.feed(data)
        except BrokenFrame as error:
            log.warning("hung up: %s", error)
            self.close()
            return
        if messages:
            self._runner.receive(self._number, list(messages))

    def connection_lost(self, exc: Exception | None) -> None:
        self._runner.lost(self._number)

    def write(self, data: bytes) -> None:
        """Send a frame; after a loss it is dropped."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


class SettlementLink(asyncio.Protocol):
    """A shard's connection to settlement, made again whenever it breaks."""

    def __init__(self, runner: "Runner", connected: Callable[[], None]) -> None:
        self._runner = runner
        self._connected = connected
        self._address = ""
        self._reader = caller_reader()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connect_to(self, address: str) -> None:
        """Settlement is (now) there; drop what leads elsewhere."""
        self._address = address
        if self._transport is not None:
            self._transport.abort()
        elif self._task is None:
            self._task = asyncio.create_task(self._connect(), name="settlement link")

    def close(self) -> None:
        """Hang up for good."""
        self._address = ""
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while self._address:
            try:
                await loop.create_unix_connection(lambda: self, self._address)
                break
            except OSError:
                await asyncio.sleep(_RECONNECT_SECONDS)
        self._task = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._reader = caller_reader()
        # It can be told what a node's connection can.
        self._runner.connections[SETTLEMENT] = self  # type: ignore[assignment]
        self._connected()
        self._runner.step_soon()

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._reader.feed(data)
        except BrokenFrame as error:
            log.warning("hung up: %s", error)
            self.close()
            return
        if messages:
            self._runner.receive(SETTLEMENT, list(messages))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._runner.lost(SETTLEMENT)
        if self._address and self._task is None:
            self._task = asyncio.create_task(self._connect(), name="settlement link")

    def write(self, data: bytes) -> None:
        """Send a frame; after a loss it is dropped."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
