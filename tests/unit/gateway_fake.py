"""A gateway on a real port, with nodes that are written by hand.

The server, the HTTP and the files are the real ones; only what stands behind
`NodesPort` is a fake that remembers what it was given and answers as told.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from actors.runner import Statistics
from gateway.config import BOUNDS, Bounds, GatewayConfig, decode_config
from gateway.http_server import bound_socket, open_door
from gateway.keys import ALL_ROLES, KeyFile
from gateway.ports import SINGLE, Backlog, Sender, Waiting
from gateway.queries import Audit, Seal
from processor.commands import Command
from processor.messages import Answer, Outcome

TODAY = "2011-01-31"
APPROVED = b'{"status":"approved","account_id":"alice"}'
DECLINED = (
    b'{"status":"declined","reason":"reserve_exhausted","transient":true,'
    b'"headroom_missing_minor":5,"lender_id":"first-bank"}'
)
AUTHORIZE = {
    "account_id": "alice",
    "merchant_id": "corner-shop",
    "amount_minor": 12_500,
    "currency": "GBP",
}

Say = Callable[[Command], Answer | Exception | None]


def approve(command: Command) -> Answer:
    """Yes to everything."""
    return Answer(0, Outcome.DECIDED, APPROVED)


class FakeNodes:
    """Answers each command with what `say` says; None leaves it open."""

    def __init__(self, say: Say = approve) -> None:
        self.say = say
        self.ready = True
        self.arrived = asyncio.Event()  # Set by every command.
        self.commands: list[Command] = []
        self.senders: list[Sender | None] = []
        self.deadlines_ms: list[int] = []
        self.backlogs: dict[str, Backlog] = {"shard-000": Backlog()}
        self.waiting: list[Waiting] = []  # For the commands, in their order.
        self.queries: list[tuple[str, str]] = []
        self.pages: list[tuple[int, int]] = []  # Of entries: before, and how many.
        self.read: Answer | Exception = Answer(0, Outcome.READ, b'{"found":true}')
        self.raises: Exception | None = None

    def has_room(self, sender: Sender) -> bool:
        """Always."""
        return True

    def submit(
        self,
        command: Command,
        waiting: Waiting,
        sender: Sender | None = None,
        deadline_ms: int = 0,
        part: int = SINGLE,
    ) -> None:
        """Remember a command, and answer it in the next turn of the loop."""
        if self.raises is not None:
            raise self.raises
        self.commands.append(command)
        self.senders.append(sender)
        self.deadlines_ms.append(deadline_ms)
        self.waiting.append(waiting)
        self.arrived.set()
        said = self.say(command)
        if said is not None:
            asyncio.get_running_loop().call_soon(tell, waiting, said)

    async def query(self, kind: str, object_id: str) -> Answer:
        """Remember a query, and answer it."""
        self.queries.append((kind, object_id))
        if isinstance(self.read, Exception):
            raise self.read
        return self.read

    async def query_entries(self, account_id: str, before: int, limit: int) -> Answer:
        """Remember what was asked, and answer it."""
        self.pages.append((before, limit))
        return await self.query("entries", account_id)

    async def status(self) -> dict[str, object]:
        """Something to show."""
        return {"ready": self.ready, "nodes": []}

    async def statistics(self) -> Sequence[Statistics]:
        """One node's figures."""
        return [Statistics("shard-000", 1, 2, 3, TODAY, 4, 5, batches=6, records=7)]


def tell(waiting: Waiting, said: Answer | Exception) -> None:
    """Answer as the nodes do."""
    if isinstance(said, Exception):
        waiting.failed(said)
    else:
        waiting.answered(said)


class Response(msgspec.Struct, frozen=True):
    """One HTTP answer, read whole."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)


class Browser:
    """A client of one server, with a key or without."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self.session = session
        self.url = url
        self.key = key
        self.count = 0

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        data: bytes | None = None,
        headers: dict[str, str] | None = None,
        without: tuple[str, ...] = (),
    ) -> Response:
        """Send a request with the usual headers, less `without`."""
        self.count += 1
        sent = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"request-{self.count}",
        } | (headers or {})
        for name in without:
            del sent[name]
        payload = data if body is None else msgspec.json.encode(body)
        async with self.session.request(
            method,
            self.url + path,
            data=payload,
            headers=sent,
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
        ) as response:
            return Response(
                response.status,
                {name.lower(): value for name, value in response.headers.items()},
                await response.read(),
            )

    async def post(self, path: str, body: object = None, **how: Any) -> Response:
        """POST JSON."""
        return await self.ask("POST", path, body, **how)

    async def get(self, path: str, **how: Any) -> Response:
        """GET."""
        return await self.ask("GET", path, **how)


def bounds(**changes: int) -> Bounds:
    """The bounds, some of them tighter."""
    return msgspec.structs.replace(BOUNDS, **changes)


def config_for(data_dir: Path, given: Bounds = BOUNDS) -> GatewayConfig:
    """A config for a free port on this machine."""
    config = decode_config(
        {
            "data_dir": str(data_dir),
            "host": "127.0.0.1",
            "port": 0,
            "shard_count": 1,
            "first_day": TODAY,
            "with_noop": True,
        }
    )
    return msgspec.structs.replace(config, bounds=given)


@contextlib.asynccontextmanager
async def browsing(
    data_dir: Path,
    nodes: FakeNodes,
    *,
    given: Bounds = BOUNDS,
    audit: Audit | None = None,
    seal: Seal | None = None,
) -> AsyncIterator[Browser]:
    """A server on a free port, and a client with a key of all roles."""
    config = config_for(data_dir, given)
    keys = KeyFile(data_dir)
    key = keys.add("tester", ALL_ROLES, TODAY)
    with bound_socket(config) as listener:
        async with (
            open_door(config, nodes, keys, listener, audit, seal) as url,
            aiohttp.ClientSession() as session,
        ):
            yield Browser(session, url, key)
