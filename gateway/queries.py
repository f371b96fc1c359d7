"""The quiet routes: reading objects, health, status, metrics, documents.

Starlette serves them.  They read through the nodes like anybody else and
change nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from time import perf_counter
from typing import Any

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from actors.cuts import SealedCut
from gateway.bodies import path_value, query_value
from gateway.door import Door
from gateway.keys import require
from gateway.metrics import GatewayCollector, exposition
from gateway.ports import NothingDone, OutcomeUnknown
from gateway.problems import NOT_FOUND, UNAVAILABLE, Refusal, invalid_field
from gateway.routes import AUDIT_PATH, SEALINGS_PATH, STATUS_PATH, QueryRoute, Role

Handler = Callable[[Request], Awaitable[Response]]
Audit = Callable[[], Coroutine[Any, Any, dict[str, object]]]  # Or NothingDone.
Seal = Callable[[], Coroutine[Any, Any, SealedCut]]  # Or NothingDone.
_JSON = "application/json"


def query_handler(route: QueryRoute, door: Door) -> Handler:
    """GET of one object, or of an account's entries, for any key."""
    counters = door.counters.of(route.path)

    async def read(request: Request) -> Response:
        started_seconds = perf_counter()
        try:
            door.keys.principal_of(_authorization(request))
            value = request.path_params[route.parameter]
            if (route.kind, value) != ("day", "current"):
                value = path_value(route.parameter, value)
            if route.narrowed_by:
                wanted = _narrowed_by(route, request)
                before = int(wanted["before"] or 0)
                body = await door.query_entries(value, before, wanted["limit"])
            else:
                body = await door.query(route.kind, value)
        except Refusal as refusal:
            counters.was_refused(refusal.kind.slug)
            raise
        finally:
            counters.took(perf_counter() - started_seconds)
        return Response(body, media_type=_JSON)

    return read


def _narrowed_by(route: QueryRoute, request: Request) -> dict[str, Any]:
    """The parameters of the query, checked; of one given twice the last counts."""
    for name in request.query_params:
        if name not in route.narrowed_by:
            known = ", ".join(route.narrowed_by)
            raise invalid_field(name[:64], f"unknown parameter; known are {known}")
    return route.narrowed_by | {
        name: query_value(name, text) for name, text in request.query_params.items()
    }


def status_handler(door: Door) -> Handler:
    """GET of every node's state, for any key."""
    counters = door.counters.of(STATUS_PATH)

    async def status(request: Request) -> Response:
        started_seconds = perf_counter()
        try:
            door.keys.principal_of(_authorization(request))
            told = await door.within_deadline(door.nodes.status())
        except Refusal as refusal:
            counters.was_refused(refusal.kind.slug)
            raise
        except (NothingDone, OutcomeUnknown, TimeoutError):
            counters.was_refused(UNAVAILABLE.slug)
            raise Refusal(UNAVAILABLE, "The nodes do not answer; ask again.") from None
        finally:
            counters.took(perf_counter() - started_seconds)
        return Response(msgspec.json.encode(told), media_type=_JSON)

    return status


def audit_handler(door: Door, audit: Audit | None) -> Handler:
    """GET of an audit of all journals, for auditors; it may take minutes.

    One at a time: a second caller waits for the first one's audit.
    """
    counters = door.counters.of(AUDIT_PATH)
    running: list[asyncio.Task[dict[str, object]]] = []

    async def read(request: Request) -> Response:
        started_seconds = perf_counter()
        try:
            principal = door.keys.principal_of(_authorization(request))
            require(principal, Role.AUDITOR)
            if audit is None:
                raise Refusal(NOT_FOUND, "This server has no journals to audit.")
            if not running or running[0].done():
                running[:] = [asyncio.ensure_future(audit())]
            found = await asyncio.shield(running[0])
        except NothingDone as error:
            counters.was_refused(UNAVAILABLE.slug)
            raise Refusal(UNAVAILABLE, f"Nothing was audited: {error}.") from None
        except Refusal as refusal:
            counters.was_refused(refusal.kind.slug)
            raise
        finally:
            counters.took(perf_counter() - started_seconds)
        return Response(msgspec.json.encode(found), media_type=_JSON)

    return read


def sealing_handler(door: Door, seal: Seal | None) -> Handler:
    """POST: seal every journal at one cut, for operators; how far that goes."""
    counters = door.counters.of(SEALINGS_PATH)

    async def sealing(request: Request) -> Response:
        started_seconds = perf_counter()
        try:
            require(door.keys.principal_of(_authorization(request)), Role.OPERATOR)
            if seal is None:
                raise Refusal(NOT_FOUND, "This server has no journals to seal.")
            cut = await asyncio.shield(seal())
        except NothingDone as error:
            counters.was_refused(UNAVAILABLE.slug)
            raise Refusal(UNAVAILABLE, f"There is no cut: {error}.") from None
        except Refusal as refusal:
            counters.was_refused(refusal.kind.slug)
            raise
        finally:
            counters.took(perf_counter() - started_seconds)
        return Response(msgspec.json.encode(cut), media_type=_JSON)

    return sealing


def live_handler() -> Handler:
    """Whether the process answers at all."""

    async def live(request: Request) -> Response:
        return Response(b'{"status":"live"}', media_type=_JSON)

    return live


def ready_handler(door: Door) -> Handler:
    """Whether new work should be sent here: not before start, not while draining."""

    async def ready(request: Request) -> Response:
        if door.is_ready:
            return Response(b'{"status":"ready"}', media_type=_JSON)
        why = "it is shutting down" if door.is_draining else "a node is not ready"
        raise Refusal(UNAVAILABLE, f"Not ready: {why}.")

    return ready


def metrics_handler(door: Door) -> Handler:
    """The counters of the door, and of the nodes when they can be asked."""

    async def metrics(request: Request) -> Response:
        try:
            nodes = await door.within_deadline(door.nodes.statistics())
        except (NothingDone, OutcomeUnknown, TimeoutError):
            nodes = ()
        collector = GatewayCollector(
            door.counters, door.in_flight, door.is_ready, nodes
        )
        return Response(
            exposition(collector), headers={"content-type": CONTENT_TYPE_LATEST}
        )

    return metrics


def _authorization(request: Request) -> bytes | None:
    value = request.headers.get("authorization")
    return None if value is None else value.encode("latin-1")
