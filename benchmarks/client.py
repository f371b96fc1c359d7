"""A small synchronous client: for setting a stage and reading the books after.

Not for measuring.  One connection, one request at a time, JSON both ways.  It
never asks twice by itself: a lost answer is the caller's to resolve.
"""

import http.client
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

_ITEMS_PER_REQUEST = 5_000
_TIMEOUT_SECONDS = 30.0


class Refused(Exception):
    """The server answered with a problem, or declined what must be approved."""


class Reply(msgspec.Struct, frozen=True):
    """One HTTP answer."""

    status: int
    is_replay: bool
    body: bytes


class Client:
    """A server, an API key, and one kept-alive connection."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Refused(f"{url!r} is not an address such as http://127.0.0.1:8080")
        kind = (
            http.client.HTTPSConnection
            if parts.scheme == "https"
            else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname, parts.port, timeout=_TIMEOUT_SECONDS)
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def send(self, method: str, path: str, body: Any = None, key: str = "") -> Reply:
        """One request; `key` is its Idempotency-Key.  Raises OSError."""
        headers = {**self._headers, "Idempotency-Key": key} if key else self._headers
        payload = None if body is None else msgspec.json.encode(body)
        try:
            self._connection.request(method, path, payload, headers)
            response = self._connection.getresponse()
            data = response.read()
        except http.client.HTTPException as error:
            self._connection.close()
            raise ConnectionError(f"not an HTTP answer: {error}") from error
        except OSError:
            self._connection.close()
            raise
        is_replay = response.headers.get("Idempotency-Replayed") == "true"
        return Reply(response.status, is_replay, data)

    def read(self, path: str) -> dict[str, Any]:
        """The JSON at a path.  Raises Refused or OSError."""
        reply = self.send("GET", path)
        if reply.status != 200:
            raise Refused(f"GET {path}: {reply.status} {reply.body.decode()}")
        return msgspec.json.decode(reply.body, type=dict[str, Any])

    def command(self, path: str, key: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one command that must be approved.  Raises Refused or OSError."""
        reply = self.send("POST", path, body, key)
        if reply.status != 200:
            raise Refused(f"POST {path}: {reply.status} {reply.body.decode()}")
        answer = msgspec.json.decode(reply.body, type=dict[str, Any])
        if answer["status"] != "approved":
            raise Refused(f"POST {path}: {reply.body.decode()}")
        return answer

    def commands(self, items: Sequence[Mapping[str, Any]]) -> None:
        """Carry out many commands, all of which must be approved."""
        for some in _chunks(items):
            reply = self.send("POST", "/v1/commands", some)
            if reply.status != 200:
                raise Refused(f"POST /v1/commands: {reply.status} {reply.body[:500]!r}")
            results = msgspec.json.decode(reply.body, type=list[dict[str, Any]])
            for item, result in zip(some, results, strict=True):
                if result.get("answer", {}).get("status") != "approved":
                    raise Refused(f"{item}: {result}")


def _chunks(items: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(items), _ITEMS_PER_REQUEST):
        yield items[begin : begin + _ITEMS_PER_REQUEST]
