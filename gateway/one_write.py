"""Uvicorn's HTTP protocol, with one write to the socket for one response.

ASGI sends a response in two messages, head and body, and Uvicorn writes each
at once: two system calls, two packets, and a client that wakes up twice, which
costs more than all else that happens to a small answer.  Here what is written
in one turn of the event loop leaves together at its end.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class OneWriteTransport(asyncio.Transport):
    """A transport that gathers what one turn of the loop writes."""

    def __init__(self, inner: asyncio.Transport) -> None:
        self._inner = inner
        self._call_soon = asyncio.get_running_loop().call_soon
        self._gathered: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take data; the first of a turn asks for the write at its end."""
        gathered = self._gathered
        if not gathered:
            self._call_soon(self._flush)
        gathered.append(bytes(data))

    def write_now(self, data: bytes) -> None:
        """Take data that is whole by itself; what was taken before goes first."""
        if self._gathered:
            self._gathered.append(data)
        elif not self._inner.is_closing():
            self._inner.write(data)

    def _flush(self) -> None:
        data = b"".join(self._gathered)
        self._gathered.clear()
        # It may be lost since: then there is nobody to write to.
        if data and not self._inner.is_closing():
            self._inner.write(data)

    def close(self) -> None:
        """Write what there is, then close."""
        self._flush()
        self._inner.close()

    def abort(self) -> None:
        """Close at once; what was not written is lost."""
        self._gathered.clear()
        self._inner.abort()

    def is_closing(self) -> bool:
        """Of the connection itself."""
        return self._inner.is_closing()

    def pause_reading(self) -> None:
        """Of the connection itself."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Of the connection itself."""
        self._inner.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the connection itself."""
        return self._inner.get_extra_info(name, default)


class OneWriteProtocol(HttpToolsProtocol):
    """Uvicorn's protocol on such a transport."""

    transport: OneWriteTransport

    # As Uvicorn's own, which is narrower than asyncio's.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(OneWriteTransport(transport))
