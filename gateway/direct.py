"""Uvicorn's HTTP protocol, with a shorter way for small whole POSTs.

ASGI costs a scope, a cycle, a task, an event and a timer for each request:
more than an authorization does.  Here a request that arrived whole, on a
connection that owes no answer, for a path in the table, is carried out in the
parser's last callback; its answer is written where the node's answer comes in.

The rule: whatever is not exactly that goes Uvicorn's own way, unchanged, as if
this file did not exist.  That is decided when the headers are complete (or, for
a body that is not all there, at the end of what was read), before anything was
done.  To Uvicorn an exchange on its way looks like a cycle of its own: requests
behind it queue up, and shutting down waits for it.
"""

import asyncio
import logging
import re
from time import perf_counter
from typing import Any, Protocol

from gateway.connections import BoundedProtocol
from gateway.exchange import (
    JSON,
    REPLAYED,
    HeaderList,
    Headers,
    head_of,
    internal_fault,
)
from gateway.problems import WORDED_ALIKE, Refusal
from gateway.turns import Turns, whole_post

_log = logging.getLogger("forebay.gateway")
_HEADS_MAX = 4_096
_NEVER = float("inf")

# Every path with a parameter that is safe to use as it stands; what else there
# is (escapes, queries, whole URLs) Uvicorn takes apart.
_with_parameter = re.compile(rb"(/v1/[a-z-]+/)([A-Za-z0-9_.:-]+)(/[a-z]+)").fullmatch


class Heads:
    """The heads of answers, each made once while the Date header stays the same."""

    def __init__(self) -> None:
        self._usual: HeaderList | None = None  # What Uvicorn adds to each answer.
        self._ok: dict[int, bytes] = {}
        self._refused: dict[tuple[str, int], bytes] = {}

    def refused(self, usual: HeaderList, refusal: Refusal, length: int) -> bytes:
        """The head of a problem that comes in crowds."""
        if usual is not self._usual:
            self._forget(usual)
        head = self._refused.get((refusal.kind.slug, length))
        if head is None:
            headers = [*usual, *refusal.headers()]
            head = head_of(refusal.kind.status.value, headers, length)
            self._refused[refusal.kind.slug, length] = head
        return head

    def _forget(self, usual: HeaderList) -> None:
        self._usual = usual
        self._ok = {}
        self._refused = {}

    def ok(self, usual: HeaderList, length: int) -> bytes:
        """The head of a 200 with so many bytes of JSON."""
        if usual is not self._usual:  # Uvicorn makes a new list every second.
            self._forget(usual)
        head = self._ok.get(length)
        if head is None:
            head = head_of(200, [*usual, (b"content-type", JSON)], length)
            if len(self._ok) < _HEADS_MAX:
                self._ok[length] = head
        return head


class DirectExchange:
    """One request on its way, and for Uvicorn the cycle that is not complete."""

    __slots__ = ("disconnected", "keep_alive", "protocol", "response_complete")

    message_event = asyncio.Event()  # Uvicorn sets it; nobody waits for it.

    def __init__(self, protocol: "DirectProtocol") -> None:
        self.protocol = protocol
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = True

    def begin(self, headers: Headers, parameter: str, body: bytes) -> None:
        """Carry it out; `reply` or `refuse` at once or later, or raise."""
        raise NotImplementedError

    def reply(self, body: bytes, *, is_replay: bool = False) -> None:
        """Answer 200 with JSON."""
        protocol = self.protocol
        usual = protocol.server_state.default_headers
        if is_replay or not self.keep_alive:
            headers = [*usual, (b"content-type", JSON), *([REPLAYED] * is_replay)]
            self._reply(200, headers, body)
        else:
            protocol.respond(self, protocol.routes.heads.ok(usual, len(body)) + body)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with a problem."""
        protocol = self.protocol
        usual = protocol.server_state.default_headers
        if refusal.kind in WORDED_ALIKE and self.keep_alive:
            body = refusal.body
            head = protocol.routes.heads.refused(usual, refusal, len(body))
            protocol.respond(self, head + body)
            return
        headers = [*usual, *refusal.headers()]
        self._reply(refusal.kind.status.value, headers, refusal.body)

    def fault(self, error: Exception) -> None:
        """Log a fault of ours, and answer with what the caller is told of it."""
        _log.error("a fault while answering directly", exc_info=error)
        if not self.response_complete:
            self.refuse(internal_fault())

    def _reply(self, status: int, headers: HeaderList, body: bytes) -> None:
        if not self.keep_alive:
            headers.append((b"connection", b"close"))
        self.protocol.respond(self, head_of(status, headers, len(body)) + body)


class DirectEndpoint(Protocol):
    """What may stand in the table of `DirectRoutes`."""

    def exchange(self, protocol: "DirectProtocol") -> DirectExchange:
        """A new exchange on a connection."""

    def why_not_read(self, authorization: bytes) -> Refusal | None:
        """Why this key's request is sent away unread; None if it is read."""


class DirectRoutes:
    """Which paths are carried out directly; one table for all connections."""

    def __init__(self, turns: Turns) -> None:
        self.heads = Heads()
        self.turns = turns
        self._endpoints: dict[bytes, DirectEndpoint] = {}

    def add(self, path: str, endpoint: DirectEndpoint) -> None:
        """One more; its third part is `{}` if a parameter stands there."""
        self._endpoints[path.encode()] = endpoint

    def find(self, url: bytes) -> tuple[DirectEndpoint | None, str]:
        """Who carries it out, and the parameter in the path."""
        endpoint = self._endpoints.get(url)
        if endpoint is None and (parts := _with_parameter(url)):
            before, parameter, after = parts.groups()
            endpoint = self._endpoints.get(b"%b{}%b" % (before, after))
            return endpoint, parameter.decode()
        return endpoint, ""


class DirectProtocol(BoundedProtocol):
    """Uvicorn's protocol with the shorter way; `routes` says for what."""

    def __init__(self, *, routes: DirectRoutes, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self.routes = routes
        self._turns = routes.turns
        # The request that is being read, from its last header to its end, if it
        # may be direct; None hands what comes to Uvicorn.
        self._endpoint: DirectEndpoint | None = None
        self._parameter = ""
        self._fields: Headers = {}
        self._body = b""
        self._is_midway = False  # Of a request, as far as the parser has come.
        # One timer a connection, set anew when it fires: cheaper than one a request.
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_since_seconds = _NEVER

    # What the parser calls, in this order.

    def on_message_begin(self) -> None:
        # As Uvicorn does, but for the scope: who needs one makes it.
        self.is_reading = self._is_midway = True
        self.reading_since_seconds = 0.0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._idle_since_seconds = _NEVER

    def on_headers_complete(self) -> None:
        if not self._may_be_direct():
            self._hand_over()

    def on_body(self, body: bytes) -> None:
        if self._endpoint is None:
            super().on_body(body)
        else:
            self._body += body  # All there is of it in one piece, nearly always.

    def on_message_complete(self) -> None:
        self._is_midway = False
        endpoint = self._endpoint
        if endpoint is None:
            super().on_message_complete()
            return
        self._endpoint = None
        self.is_reading = False
        exchange = endpoint.exchange(self)
        # It has what Uvicorn asks of a cycle.
        self.cycle = exchange  # type: ignore[assignment]
        try:
            exchange.begin(self._fields, self._parameter, self._body)
        except Refusal as refusal:
            exchange.refuse(refusal)
        except Exception as error:  # Goes on: the caller gets a problem.
            exchange.fault(error)

    def data_received(self, data: bytes) -> None:
        turns = self._turns
        if turns.left:
            turns.left -= 1
        elif not turns.begin() and self._sent_away(data):
            return
        super().data_received(data)
        if self._endpoint is not None and not self.transport.is_closing():
            # There is more of it to come: Uvicorn waits for that.
            body = self._body
            self._hand_over()
            super().on_body(body)

    def _sent_away(self, data: bytes) -> bool:
        """Answer one whole request without reading it, if that may be."""
        cycle = self.cycle
        if self._is_midway or (cycle is not None and not cycle.response_complete):
            return False
        request = whole_post(data)
        if request is None or self.flow.write_paused:
            return False
        url, authorization = request
        endpoint, _ = self.routes.find(url)
        refusal = endpoint.why_not_read(authorization) if endpoint else None
        if refusal is None:
            return False
        body = refusal.body
        usual = self.server_state.default_headers
        head = self.routes.heads.refused(usual, refusal, len(body))
        self.transport.write_now(head + body)
        self.is_reading = False
        self._answered()
        return True

    def _may_be_direct(self) -> bool:
        """Whether what was read so far may go the shorter way; remembers it."""
        cycle, parser = self.cycle, self.parser
        if cycle is not None and not cycle.response_complete:
            return False  # Answers leave in the order of their requests.
        if parser.get_method() != b"POST" or not parser.should_keep_alive():
            return False
        self._endpoint, self._parameter = self.routes.find(self.url)
        if self._endpoint is None:
            return False
        headers = self._fields = dict(self.headers)
        if (
            self.expect_100_continue
            or self.flow.write_paused
            or b"transfer-encoding" in headers
            or (b"connection" in headers and not self._is_plain_1_1())
        ):
            self._endpoint = None
            return False
        self._body = b""
        return True

    def _is_plain_1_1(self) -> bool:
        version = self.parser.get_http_version()
        return version == "1.1" and not self.parser.should_upgrade()

    def _hand_over(self) -> None:
        """Tell Uvicorn of a request up to its last header."""
        self._endpoint = None
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url = url
        self.headers += headers  # Into the list that its scope has.
        self.expect_100_continue = expects
        super().on_headers_complete()
        self.refuse_long_queue()

    # After the answer.

    def respond(self, exchange: DirectExchange, data: bytes) -> None:
        """Write a whole answer, and go on with what comes after it."""
        exchange.response_complete = True
        # A client that hung up gets nothing, and nothing it sent is taken back.
        self.transport.write_now(data)
        if not exchange.keep_alive:
            self.transport.close()
        if self.pipeline:
            self.on_response_complete()  # Uvicorn starts the next in line.
            return
        self._answered()

    def _answered(self) -> None:
        self.server_state.total_requests += 1
        self._idle_since_seconds = perf_counter()
        if self._idle_timer is None and not self.transport.is_closing():
            self._watch(self.timeout_keep_alive)

    def _watch(self, seconds: float) -> None:
        self._idle_timer = self.loop.call_later(seconds, self._close_if_idle)

    def _close_if_idle(self) -> None:
        idle_seconds = perf_counter() - self._idle_since_seconds
        if idle_seconds < 0 or not self.cycle.response_complete:
            self._watch(self.timeout_keep_alive)
        elif idle_seconds < self.timeout_keep_alive:
            self._watch(self.timeout_keep_alive - idle_seconds)
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
