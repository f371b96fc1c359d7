"""What a client's connection may cost, however the client behaves.

There are at most so many; who comes then is told 503 and hung up on.  A request
must be whole some time after its first byte, and the first one some time after
the connection was made; an answer must be taken some time after it was written;
and only so many requests may queue up behind one.  Whoever keeps none of that
is hung up on: what his connection holds is what nobody else can have.

Looked at once a second, all of them, by one task: no timers, and nothing for the
requests that do as they should but two attributes to set.
"""

import asyncio
from typing import Any

from uvicorn.server import ServerState

from gateway.exchange import head_of
from gateway.one_write import OneWriteProtocol
from gateway.problems import UNAVAILABLE, Refusal
from processor import limits

_READ_SECONDS_MAX = limits.REQUEST_READ_MS_MAX / 1_000
_TAKE_SECONDS_MAX = limits.ANSWER_READ_MS_MAX / 1_000
# Why somebody is hung up on.
_REASONS = ("answer_not_taken", "request_not_sent", "too_many", "too_many_queued")
_FULL = Refusal(UNAVAILABLE, "There are too many connections. Nothing was done.")


class QueueTooLong(Exception):
    """More requests on one connection than may wait there."""


class Connections:
    """All the connections of a server: how many, and who was hung up on and why."""

    def __init__(self, connections_max: int) -> None:
        self.connections_max = connections_max
        self.hung_up = dict.fromkeys(_REASONS, 0)
        self._open: set[BoundedProtocol] = set()

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, protocol: "BoundedProtocol") -> bool:
        """Whether there is room for one more."""
        if len(self._open) >= self.connections_max:
            self.count("too_many")
            return False
        self._open.add(protocol)
        return True

    def leave(self, protocol: "BoundedProtocol") -> None:
        """One is gone."""
        self._open.discard(protocol)

    def count(self, reason: str) -> None:
        """Count one that was hung up on."""
        self.hung_up[reason] += 1

    def sweep(self, now_seconds: float) -> None:
        """Hang up on those who have had too long for what they are at."""
        for protocol in tuple(self._open):
            reason = protocol.why_too_slow(now_seconds)
            if reason:
                self.count(reason)
                protocol.transport.abort()


class BoundedProtocol(OneWriteProtocol):
    """Uvicorn's protocol on a connection that is counted and watched."""

    def __init__(
        self, *, held: Connections, server_state: ServerState, **uvicorns: Any
    ) -> None:
        super().__init__(server_state=server_state, **uvicorns)
        self.held = held
        self.is_reading = True  # The first request is due from the beginning.
        self.reading_since_seconds = 0.0  # Seen by a sweep.
        self._unread_since_seconds = 0.0

    # As Uvicorn's own, which is narrower than asyncio's.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self.held.enter(self):
            usual = self.server_state.default_headers
            headers = [*usual, *_FULL.headers(), (b"connection", b"close")]
            head = head_of(_FULL.kind.status.value, headers, len(_FULL.body))
            self.transport.write(head + _FULL.body)
            self.transport.close()

    def on_message_complete(self) -> None:
        self.is_reading = False
        super().on_message_complete()

    def refuse_long_queue(self) -> None:
        """Raise, for the parser to stop, when too many wait behind one."""
        if len(self.pipeline) > limits.PIPELINED_MAX:
            self.held.count("too_many_queued")
            raise QueueTooLong

    def connection_lost(self, exc: Exception | None) -> None:
        self.held.leave(self)
        super().connection_lost(exc)

    def why_too_slow(self, now_seconds: float) -> str:
        """Why to hang up, or nothing; called once a second."""
        if not self.flow.write_paused:
            self._unread_since_seconds = 0.0
        elif not self._unread_since_seconds:
            self._unread_since_seconds = now_seconds
        elif now_seconds - self._unread_since_seconds > _TAKE_SECONDS_MAX:
            return "answer_not_taken"
        if not self.is_reading or self.flow.read_paused:  # By us.
            self.reading_since_seconds = 0.0
        elif not self.reading_since_seconds:
            self.reading_since_seconds = now_seconds
        elif now_seconds - self.reading_since_seconds > _READ_SECONDS_MAX:
            return "request_not_sent"
        return ""
