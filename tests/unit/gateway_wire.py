"""One connection to a gateway with fake nodes, byte by byte.

A plain socket, so that what arrives together and what does not is ours to say.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from gateway.config import BOUNDS, Bounds
from gateway.http_server import bound_socket, open_door
from gateway.keys import ALL_ROLES, KeyFile
from processor.messages import Answer, Outcome
from tests.unit.gateway_fake import (
    APPROVED,
    AUTHORIZE,
    TODAY,
    FakeNodes,
    Response,
    config_for,
)

PATH = "/v1/authorizations"
BODY = msgspec.json.encode(AUTHORIZE)
SECONDS_MAX = 10


class Wire:
    """One connection to a server, byte by byte."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.key = key
        self.count = 0

    def request(
        self,
        target: str = f"POST {PATH} HTTP/1.1",
        headers: tuple[str, ...] = (),
        body: bytes = BODY,
        without: str = "",
    ) -> bytes:
        """The bytes of a request with the usual headers and `headers` after them."""
        self.count += 1
        usual = {
            "Host": "x",
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"r-{self.count}",
            "Content-Length": str(len(body)),
        }
        lines = [f"{name}: {value}" for name, value in usual.items() if name != without]
        head = "\r\n".join([target, *lines, *headers])
        return head.encode("latin-1") + b"\r\n\r\n" + body

    def send(self, data: bytes) -> None:
        """Write, at once."""
        self.writer.write(data)

    async def receive(self) -> Response:
        """The next answer, whole."""
        async with asyncio.timeout(SECONDS_MAX):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:-2])
            length = int(headers.get("content-length", 0))
            body = await self.reader.readexactly(length)
        return Response(int(head[0].split()[1]), headers, body)

    async def ask(self, *what: Any, **how: Any) -> Response:
        """Send a request and receive its answer."""
        self.send(self.request(*what, **how))
        return await self.receive()

    async def is_closed(self) -> bool:
        """Wait until the server hangs up; False if it says anything before."""
        async with asyncio.timeout(SECONDS_MAX):
            return await self.reader.read(1) == b""


class Served:
    """A server, its nodes, and how to connect to it."""

    def __init__(self, url: str, key: str) -> None:
        self.key = key
        self.port = int(url.rsplit(":", 1)[1])

    @contextlib.asynccontextmanager
    async def wire(self, **options: Any) -> AsyncIterator[Wire]:
        """A connection that is closed on the way out."""
        if "sock" not in options:
            options |= {"host": "127.0.0.1", "port": self.port}
        reader, writer = await asyncio.open_connection(**options)
        try:
            yield Wire(reader, writer, self.key)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def serving(
    data_dir: Path, nodes: FakeNodes, given: Bounds = BOUNDS, send_buffer: int = 0
) -> AsyncIterator[Served]:
    """A server on a free port, with one key of all roles."""
    config = config_for(data_dir, given)
    keys = KeyFile(data_dir)
    key = keys.add("tester", ALL_ROLES, TODAY)
    with bound_socket(config) as listener:
        if send_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        async with open_door(config, nodes, keys, listener, None) as url:
            yield Served(url, key)


@contextlib.asynccontextmanager
async def wired(data_dir: Path, nodes: FakeNodes, **how: Any) -> AsyncIterator[Wire]:
    """A server and one connection to it."""
    async with serving(data_dir, nodes, **how) as served, served.wire() as wire:
        yield wire


def decided(body: bytes = APPROVED) -> Answer:
    return Answer(0, Outcome.DECIDED, body)


async def arrived(nodes: FakeNodes, count: int) -> None:
    """Wait until the nodes have so many commands."""
    async with asyncio.timeout(SECONDS_MAX):
        while len(nodes.commands) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
