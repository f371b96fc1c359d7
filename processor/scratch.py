"""Room outside memory for what is rebuilt from the journal anyway.

What lies here is no fact: it need not survive the process, nobody else reads
it, and nothing is ever synced.  Whoever starts a node gives it one; the actor's
is files without names beside the journal (`storage/scratch_files.py`), that of
tests and of an audit is memory.
"""

from typing import Any, Protocol


class Log(Protocol):
    """Bytes that are appended, and read again from any place."""

    def append(self, octets: bytes) -> int:
        """Where they begin."""

    def read(self, at: int, size: int) -> bytes:
        """What was appended there."""


class Sheet(Protocol):
    """Bytes at fixed places, zero at first; `grow` gives another buffer."""

    buffer: Any  # Writable: struct packs into it, and a memoryview casts it.

    def grow(self, size: int) -> None:
        """So many bytes from now on, the new ones zero."""

    def close(self) -> None:
        """Its bytes are needed no more."""


class Scratch(Protocol):
    """Where logs and sheets come from."""

    def log(self) -> Log:
        """An empty log."""

    def sheet(self, size: int) -> Sheet:
        """A sheet of zeros."""


class MemoryLog:
    """A log in memory."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def append(self, octets: bytes) -> int:
        at = len(self._bytes)
        self._bytes += octets
        return at

    def read(self, at: int, size: int) -> bytes:
        return bytes(self._bytes[at : at + size])


class MemorySheet:
    """A sheet in memory."""

    def __init__(self, size: int) -> None:
        self.buffer = bytearray(size)

    def grow(self, size: int) -> None:
        self.buffer += bytes(size - len(self.buffer))

    def close(self) -> None:
        self.buffer = bytearray()


class MemoryScratch:
    """Scratch in memory, for who has no disk or needs none."""

    def log(self) -> Log:
        return MemoryLog()

    def sheet(self, size: int) -> Sheet:
        return MemorySheet(size)
