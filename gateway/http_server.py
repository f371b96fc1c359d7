"""Uvicorn inside our own event loop: open the door on a socket, and close it.

Closing: say "not ready", take no more connections, finish what is in flight,
and end what is left as unknown.  Nothing that was submitted is cancelled.
"""

import asyncio
import contextlib
import gc
import math
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn

from gateway.app import GatewayApp
from gateway.config import Bounds, ConfigRefused, GatewayConfig
from gateway.door import Door
from gateway.keys import KeyFile, KeyRing
from gateway.one_write import OneWriteProtocol
from gateway.ports import NodesPort
from gateway.queries import Audit

_BACKLOG = 2_048
_KEEP_ALIVE_SECONDS = 75
_POLL_SECONDS = 0.005


class _Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Signals are the program's: uvicorn would end it before the nodes stop.
        yield


@contextlib.asynccontextmanager
async def open_door(
    config: GatewayConfig,
    nodes: NodesPort,
    key_file: KeyFile,
    listener: socket.socket,
    audit: Audit | None,
) -> AsyncIterator[str]:
    """Answer HTTP for nodes that run; yields the URL, drains on the way out."""
    keys = KeyRing(key_file)
    keys.refresh()
    door = Door(nodes, keys, config.bounds)
    app = GatewayApp(door, audit=audit, with_noop=config.with_noop)
    server = _Uvicorn(_uvicorn_config(app, config.bounds))
    serve = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    sweep = asyncio.create_task(door.sweep_for_ever(), name="sweep")
    try:
        while not server.started:
            if serve.done():
                await serve
            await asyncio.sleep(_POLL_SECONDS)
        # What exists now lives for ever: keep the collector from walking it.
        gc.collect()
        gc.freeze()
        yield url_of(config.host, listener)
    finally:
        await _drain(door, server, serve)
        sweep.cancel()


async def _drain(door: Door, server: uvicorn.Server, serve: asyncio.Task[None]) -> None:
    door.is_draining = True
    server.should_exit = True
    last_call = asyncio.get_running_loop().call_later(
        door.bounds.drain_ms_max / 1_000, door.end_all
    )
    try:
        await serve
    finally:
        last_call.cancel()


def _uvicorn_config(app: GatewayApp, bounds: Bounds) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=OneWriteProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        # A second past our own last call; it has nothing left to cancel then.
        timeout_graceful_shutdown=math.ceil(bounds.drain_ms_max / 1_000) + 1,
    )


@contextlib.contextmanager
def bound_socket(config: GatewayConfig) -> Iterator[socket.socket]:
    """A socket bound to the host and port; ConfigRefused when it cannot be."""
    try:
        found = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        with listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            yield listener
    except OSError as error:
        raise ConfigRefused(
            f"cannot listen on {config.host} port {config.port}: {error.strerror}"
        ) from error


def url_of(host: str, listener: socket.socket) -> str:
    """Where the server is, with the real port."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"
