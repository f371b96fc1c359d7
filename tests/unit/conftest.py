"""What unit tests share: the server's event loop, and a look behind the door."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from gateway.app import GatewayApp


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Asynchronous tests run on the loop that the server runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def by_asgi(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The method and path of each request that went Uvicorn's own way."""
    seen: list[str] = []
    call = GatewayApp.__call__

    async def spy(app: GatewayApp, scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(f"{scope['method']} {scope['path']}")
        await call(app, scope, receive, send)

    monkeypatch.setattr(GatewayApp, "__call__", spy)
    return seen
