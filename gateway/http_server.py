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
from functools import partial

import uvicorn

from gateway.app import GatewayApp
from gateway.config import Bounds, ConfigRefused, GatewayConfig
from gateway.direct import DirectProtocol
from gateway.door import Door
from gateway.keys import KeyFile, KeyRing
from gateway.ports import NodesPort
from gateway.queries import Audit, Seal

_BACKLOG = 2_048
_KEEP_ALIVE_SECONDS = 75
_POLL_SECONDS = 0.005
_AFTER_LAST_CALL_SECONDS = 1


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
    seal: Seal | None = None,
) -> AsyncIterator[str]:
    """Answer HTTP for nodes that run; yields the URL, drains on the way out."""
    keys = KeyRing(key_file)
    keys.refresh()
    door = Door(nodes, keys, config.bounds)
    app = GatewayApp(door, audit=audit, with_noop=config.with_noop, seal=seal)
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
    loop = asyncio.get_running_loop()
    drain_seconds = door.bounds.drain_ms_max / 1_000
    last_call = loop.call_later(drain_seconds, door.end_all)
    ends_seconds = loop.time() + drain_seconds + _AFTER_LAST_CALL_SECONDS
    try:
        await serve
        # A direct command whose client hung up belongs to no connection any more.
        while door.in_flight and loop.time() < ends_seconds:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_SECONDS)
    finally:
        last_call.cancel()


def _uvicorn_config(app: GatewayApp, bounds: Bounds) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        # A factory is all that it is used as.
        http=partial(DirectProtocol, routes=app.direct),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        # Past our own last call: it has nothing left to cancel then.
        timeout_graceful_shutdown=math.ceil(bounds.drain_ms_max / 1_000)
        + _AFTER_LAST_CALL_SECONDS,
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
