"""The stream between gateway and shard, and between shard and settlement.

A frame is one byte of format, four bytes of length, big-endian, then that many
bytes of msgpack: a list of messages.  `FrameReader` turns whatever pieces arrive
into lists of messages; `frame` turns a list of messages into bytes.  Neither
touches a socket.  A frame over the bound, or one that does not decode, is a
broken peer: the connection is to be closed.  So is one of another format: both
ends are of one version, or say so.  (Format 1 had no such byte: its first one was
0 or 1, and it takes ours for a length over its bound.)

`Window` keeps who waits for which answer on one connection.  When the
connection breaks, everyone in it is told that the outcome is unknown.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Generic, TypeVar

import msgspec

from processor import limits
from processor.messages import FromNode, Message, ToNode

FORMAT = 2  # Raise it when a message changes its form or its meaning.
_HEAD = Struct(">BI")
_ENCODER = msgspec.msgpack.Encoder()
_TO_NODE = msgspec.msgpack.Decoder(list[ToNode])
_FROM_NODE = msgspec.msgpack.Decoder(list[FromNode])

M = TypeVar("M", bound=Message)
T = TypeVar("T")


class BrokenFrame(Exception):
    """The peer sent what is not a frame; close the connection."""


def frame(messages: Sequence[Message]) -> bytes:
    """One frame; splitting what is too large is the caller's."""
    body = _ENCODER.encode(messages)
    if len(body) > limits.FRAME_BYTES_MAX:
        raise BrokenFrame(f"a frame of {len(body)} bytes is over the bound")
    return _HEAD.pack(FORMAT, len(body)) + body


class FrameReader(Generic[M]):
    """Collects bytes and hands out the messages of each whole frame."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[list[M]]) -> None:
        self._decoder = decoder
        self._buffer = bytearray()

    def feed(self, received: bytes) -> list[M]:
        """The messages that are complete now, in order."""
        buffer = self._buffer
        buffer += received
        messages: list[M] = []
        begin = 0
        while len(buffer) - begin >= _HEAD.size:
            version, length = _HEAD.unpack_from(buffer, begin)
            if version != FORMAT:
                spoken = version or 1
                raise BrokenFrame(f"a peer of format {spoken}, this program {FORMAT}")
            if length > limits.FRAME_BYTES_MAX:
                raise BrokenFrame(f"a frame of {length} bytes is over the bound")
            end = begin + _HEAD.size + length
            if len(buffer) < end:
                break
            body = bytes(memoryview(buffer)[begin + _HEAD.size : end])
            try:
                messages += self._decoder.decode(body)
            except msgspec.MsgspecError as error:
                raise BrokenFrame(str(error)) from error
            begin = end
        if begin:
            del buffer[:begin]
        return messages


def node_reader() -> FrameReader[ToNode]:
    """For the side that serves: what gateways and shards send to a node."""
    return FrameReader(_TO_NODE)


def caller_reader() -> FrameReader[FromNode]:
    """For the side that connects: what a node sends."""
    return FrameReader(_FROM_NODE)


class Window(Generic[T]):
    """Who waits for which answer; bounded."""

    def __init__(self, commands_max: int) -> None:
        assert 0 < commands_max <= limits.WINDOW_COMMANDS_MAX
        self._commands_max = commands_max
        self._last = 0
        self._waiting: dict[int, T] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def open(self, waiter: T) -> int:
        """The correlation under which the answer will come; 0 when it is full."""
        waiting = self._waiting
        if len(waiting) >= self._commands_max:
            return 0
        self._last = number = self._last + 1
        waiting[number] = waiter
        return number

    def close(self, correlation: int) -> T | None:
        """Who waits for this answer; None if nobody does any more."""
        return self._waiting.pop(correlation, None)

    def break_all(self) -> list[T]:
        """Everyone who waits, for the bad news; the window is empty then."""
        waiting = list(self._waiting.values())
        self._waiting.clear()
        return waiting
