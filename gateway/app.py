"""The ASGI application: a dict for what is hot, Starlette for the rest.

Commands are found by one or two dict look-ups on the path before any router
runs.  Everything that goes wrong leaves as a problem, a fault of ours too.
"""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import problems, queries
from gateway.bulk import BulkEndpoint
from gateway.calculating import CalculationEndpoint
from gateway.calculations import CALCULATIONS
from gateway.commands import CommandEndpoint
from gateway.direct import DirectRoutes
from gateway.docs import docs_routes
from gateway.door import Door
from gateway.exchange import internal_fault, send_refusal
from gateway.noop import NoopEndpoint
from gateway.openapi import document
from gateway.pos_repayments import PosRepaymentEndpoint
from gateway.problems import Refusal
from gateway.routes import (
    AUDIT_PATH,
    BULK_PATH,
    COMMAND_ROUTES,
    NOOP_DIRECT_PATH,
    NOOP_PATH,
    QUERY_ROUTES,
    SAGA_ROUTES,
    SEALINGS_PATH,
    STATUS_PATH,
)

_log = logging.getLogger("forebay.gateway")


class GatewayApp:
    """Every route of the gateway, as one ASGI application.

    `direct` are those that `DirectProtocol` may carry out without it.
    """

    def __init__(
        self,
        door: Door,
        *,
        audit: queries.Audit | None,
        with_noop: bool,
        seal: queries.Seal | None = None,
    ) -> None:
        self.direct = DirectRoutes(door.turns)
        self._posts: dict[str, ASGIApp] = {BULK_PATH: BulkEndpoint(door)}
        for route in COMMAND_ROUTES:
            path = route.path.replace(f"{{{route.parameter}}}", "{}")
            command = CommandEndpoint(route, door)
            self._posts[path] = command
            self.direct.add(path, command)
        for saga in SAGA_ROUTES:
            self._posts[saga.path] = PosRepaymentEndpoint(saga, door)
        for calculation in CALCULATIONS:
            self._posts[calculation.path] = CalculationEndpoint(calculation, door)
        if with_noop:
            noop = NoopEndpoint()
            self._posts[NOOP_PATH] = self._posts[NOOP_DIRECT_PATH] = noop
            self.direct.add(NOOP_DIRECT_PATH, noop)
        self._quiet = _quiet(door, self._posts, audit, seal)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            path: str = scope["path"]
            endpoint = self._posts.get(path) or self._posts.get(_template(path))
            if endpoint is not None:
                try:
                    await endpoint(scope, receive, send)
                except Exception:  # Goes on: the caller gets a problem.
                    _log.exception("a fault while answering %s", path)
                    await send_refusal(send, internal_fault())
                return
        await self._quiet(scope, receive, send)


def _template(path: str) -> str:
    """`/v1/noun/7/verb` → `/v1/noun/{}/verb`: all our parameters stand there."""
    parts = path.split("/", 4)
    if len(parts) != 5:
        return ""
    return f"/{parts[1]}/{parts[2]}/{{}}/{parts[4]}"


def _quiet(
    door: Door,
    posts: dict[str, ASGIApp],
    audit: queries.Audit | None,
    seal: queries.Seal | None,
) -> Starlette:
    routes: list[BaseRoute] = [
        Route(r.path, queries.query_handler(r, door)) for r in QUERY_ROUTES
    ]
    # Only for the methods they do not take: POST never comes this far.
    routes += [
        Route(path.replace("{}", "{parameter}"), endpoint, methods=["POST"])
        for path, endpoint in posts.items()
    ]
    told = document()

    async def openapi(request: Request) -> Response:
        return Response(told, media_type="application/json")

    routes += [
        Route(STATUS_PATH, queries.status_handler(door)),
        Route(AUDIT_PATH, queries.audit_handler(door, audit)),
        Route(SEALINGS_PATH, queries.sealing_handler(door, seal), methods=["POST"]),
        Route("/livez", queries.live_handler()),
        Route("/readyz", queries.ready_handler(door)),
        Route("/metrics", queries.metrics_handler(door)),
        Route("/openapi.json", openapi),
        Route("/", _to_docs),
        *docs_routes(),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            Refusal: _refused,
            HTTPException: _http_exception,
            Exception: _fault,
        },
    )
    app.router.redirect_slashes = False
    return app


async def _to_docs(request: Request) -> Response:
    return RedirectResponse("/docs")


def _response(refusal: Refusal) -> Response:
    headers = {n.decode(): v.decode() for n, v in refusal.headers()}
    return Response(refusal.body, refusal.kind.status.value, headers)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return _response(error)


async def _http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own: an unknown path, a wrong method, an unreadable file."""
    assert isinstance(error, HTTPException)
    if error.status_code == problems.METHOD_NOT_ALLOWED.status:
        allow = (error.headers or {}).get("Allow", "")
        return _response(
            Refusal(
                problems.METHOD_NOT_ALLOWED,
                f"{request.url.path} takes {allow}, not {request.method}.",
                allow=allow,
            )
        )
    return _response(
        Refusal(problems.NOT_FOUND, f"There is nothing at {request.url.path}.")
    )


async def _fault(request: Request, error: Exception) -> Response:
    return _response(internal_fault())
