"""One HTTP exchange on raw ASGI: read a bounded body, send bytes.

For the endpoints where every microsecond counts, and for those beside them so
that there is one way.  Never answers twice; a client that hung up is noticed
only by ClientGone while its body is read, and nothing that was submitted is
touched by it.
"""

import asyncio
from time import perf_counter

from starlette.types import Message, Receive, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from gateway.problems import (
    BODY_TIMEOUT,
    INTERNAL,
    TOO_LARGE,
    UNSUPPORTED_TYPE,
    Refusal,
)

Headers = dict[bytes, bytes]  # Names in lower case; of a name given twice the last.
HeaderList = list[tuple[bytes, bytes]]

JSON = b"application/json"
MSGPACK = b"application/msgpack"
_MSGPACK_NAMES = frozenset(
    {MSGPACK, b"application/x-msgpack", b"application/vnd.msgpack"}
)
REPLAYED = (b"idempotency-replayed", b"true")
_STARTS_MAX = 4_096


class ClientGone(Exception):
    """The client hung up before its request was complete."""


class BodyReader:
    """Reads bodies within a bound of bytes and of time.

    Most bodies are there with the first message.  Who has to wait for more is
    listed, and `sweep` ends those who have waited for too long: a timer for
    each would cost more than the reading.
    """

    def __init__(self, wait_seconds_max: float) -> None:
        self._wait_seconds_max = wait_seconds_max
        self._reading: dict[asyncio.Task[object], float] = {}
        self._too_slow: set[asyncio.Task[object]] = set()

    async def read(self, receive: Receive, headers: Headers, bytes_max: int) -> bytes:
        """The whole body; Refusal over a bound, ClientGone if it ends early."""
        message = await receive()
        if message["type"] == "http.request" and not message["more_body"]:
            body: bytes = message["body"]
            if len(body) > bytes_max:
                raise too_large(bytes_max)
            return body
        _refuse_declared_length(headers, bytes_max)
        return await self._read_on(receive, message, bytes_max)

    async def _read_on(
        self, receive: Receive, message: Message, bytes_max: int
    ) -> bytes:
        task = asyncio.current_task()
        assert task is not None
        self._reading[task] = perf_counter()
        try:
            return await _rest(receive, message, bytes_max)
        except asyncio.CancelledError:
            if task not in self._too_slow:
                raise
            task.uncancel()
            raise Refusal(BODY_TIMEOUT, "The body did not arrive in time.") from None
        finally:
            del self._reading[task]
            self._too_slow.discard(task)

    def sweep(self, now_seconds: float) -> None:
        """Give up on those who have been waiting for too long."""
        for task, since_seconds in self._reading.items():
            if now_seconds - since_seconds < self._wait_seconds_max:
                break  # In order of their start.
            if task not in self._too_slow:
                self._too_slow.add(task)
                task.cancel()


async def _rest(receive: Receive, message: Message, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    length = 0
    while message["type"] == "http.request":
        chunk: bytes = message.get("body", b"")
        chunks.append(chunk)
        length += len(chunk)
        if length > bytes_max:
            raise too_large(bytes_max)
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await receive()
    raise ClientGone


def too_large(bytes_max: int) -> Refusal:
    """The refusal of a body over its bound."""
    return Refusal(TOO_LARGE, f"The body has more than {bytes_max} bytes.")


def internal_fault() -> Refusal:
    """What a caller is told of a fault of ours."""
    return Refusal(
        INTERNAL,
        "An error of the server; it was logged. Whether a command was done is not"
        " known: send it again with the same Idempotency-Key.",
    )


def _refuse_declared_length(headers: Headers, bytes_max: int) -> None:
    """Refuse by Content-Length, before all of it is read."""
    declared = headers.get(b"content-length", b"0")
    if len(declared) > 18 or (declared.isdigit() and int(declared) > bytes_max):
        raise too_large(bytes_max)


def require_json(headers: Headers) -> None:
    """Refuse a body that is said to be anything but JSON."""
    if _media_type(headers) != JSON:
        raise Refusal(UNSUPPORTED_TYPE, "Send `Content-Type: application/json`.")


def bulk_type(headers: Headers) -> bytes:
    """JSON or MSGPACK, whichever the body is said to be."""
    media_type = _media_type(headers)
    if media_type == JSON:
        return JSON
    if media_type in _MSGPACK_NAMES:
        return MSGPACK
    raise Refusal(
        UNSUPPORTED_TYPE,
        "Send `Content-Type: application/json` or `application/msgpack`.",
    )


def _media_type(headers: Headers) -> bytes:
    return headers.get(b"content-type", JSON).partition(b";")[0].strip().lower()


_starts: dict[int, Message] = {}


def ok_start(length: int) -> Message:
    """The head of a 200 with so many bytes of JSON; made once and kept."""
    start = _starts.get(length)
    if start is None:
        start = _start(length)
        if len(_starts) < _STARTS_MAX:
            _starts[length] = start
    return start


def replayed_start(length: int) -> Message:
    """The head of an answer that was given before."""
    return _start(length, REPLAYED)


def _start(length: int, *more: tuple[bytes, bytes]) -> Message:
    headers = [(b"content-type", JSON), (b"content-length", b"%d" % length), *more]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def head_of(status: int, headers: HeaderList, length: int) -> bytes:
    """Status line and headers as bytes; the body is to follow at once."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"%bcontent-length: %d\r\n\r\n" % (
        STATUS_LINE[status] + b"".join(lines),
        length,
    )


async def send_bytes(send: Send, status: int, headers: HeaderList, body: bytes) -> None:
    """A whole response."""
    headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_refusal(send: Send, refusal: Refusal) -> None:
    """A problem."""
    await send_bytes(send, refusal.kind.status.value, refusal.headers(), refusal.body)
