"""What one turn of the loop writes leaves the process as one write."""

import asyncio
from typing import Any

from gateway.one_write import OneWriteTransport


class FakeSocket(asyncio.Transport):
    """Keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.reading = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "a closed connection takes nothing"
        self.writes.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1)}.get(name, default)


async def test_head_and_body_are_one_write() -> None:
    socket = FakeSocket()
    transport = OneWriteTransport(socket)
    transport.write(b"head ")
    transport.write(bytearray(b"body"))
    assert socket.writes == []
    await asyncio.sleep(0)
    assert socket.writes == [b"head body"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert socket.writes == [b"head body", b"next"]


async def test_what_is_whole_by_itself_does_not_wait_nor_overtake() -> None:
    socket = FakeSocket()
    transport = OneWriteTransport(socket)
    transport.write_now(b"first")
    assert socket.writes == [b"first"]
    transport.write(b"head ")
    transport.write(b"body")
    transport.write_now(b" next")
    assert socket.writes == [b"first"]
    await asyncio.sleep(0)
    assert socket.writes == [b"first", b"head body next"]
    socket.closed = True
    transport.write_now(b"too late")
    assert socket.writes[2:] == []


async def test_closing_writes_first_and_aborting_does_not() -> None:
    closed, aborted = FakeSocket(), FakeSocket()
    for socket in (closed, aborted):
        OneWriteTransport(socket).write(b"")
    first, second = OneWriteTransport(closed), OneWriteTransport(aborted)
    first.write(b"last words")
    first.close()
    second.write(b"last words")
    second.abort()
    await asyncio.sleep(0)
    assert (closed.writes, closed.closed) == ([b"last words"], True)
    assert (aborted.writes, aborted.closed) == ([], True)


async def test_what_a_lost_client_should_have_got_is_dropped() -> None:
    socket = FakeSocket()
    transport = OneWriteTransport(socket)
    transport.write(b"too late")
    socket.closed = True
    await asyncio.sleep(0)
    assert (socket.writes, transport.is_closing()) == ([], True)


async def test_the_rest_is_the_connections_own() -> None:
    socket = FakeSocket()
    transport = OneWriteTransport(socket)
    transport.pause_reading()
    assert socket.reading is False
    transport.resume_reading()
    assert socket.reading is True
    assert transport.get_extra_info("peername") == ("127.0.0.1", 1)
    assert transport.get_extra_info("nothing", 7) == 7
