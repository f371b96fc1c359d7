"""What snapshots share: bytes that never change once they are written.

Most of what a shard saves is history: it is appended to, and what was appended
stays.  A snapshot that carried all of it would cost more with every record.  So
this lies in *pieces*, each written once, and a snapshot says which are its own.
A node reads them where they lie, and only what it is asked for.

A piece is named after its content.  It lies in blocks, each with a checksum over
itself, the piece and its place; so whatever is read is known to be what was saved,
and no more than that has to be looked at.
"""

from collections.abc import Callable, Sequence
from errno import EIO
from hashlib import blake2b
from typing import Final, Protocol

import msgspec

from processor import limits

_BLOCK_BYTES = 4_096
_CHECKSUM_BYTES = 16
_BODY_BYTES = _BLOCK_BYTES - _CHECKSUM_BYTES

Read = Callable[[int, int], bytes]  # From where, and how many bytes.


class PieceDamaged(Exception):
    """A piece is not what was saved; the message names it.

    It ends the node.  The piece has been set aside, so the next life refuses the
    snapshots that need it and recovers without.
    """


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """The name of a piece (hexadecimal digits), and its content's length in bytes."""

    name: str
    size: int


class Pieces(Protocol):
    """Where the pieces of a journal's snapshots lie."""

    def put(self, name: str, blocks: bytes) -> None:
        """Keep a piece durably; if it is there already, nothing is done."""

    def size(self, name: str) -> int:
        """How many bytes there are of it; 0 if there is none."""

    def read(self, name: str, at: int, size: int) -> bytes:
        """What there is of its bytes.  Raises OSError or LookupError."""

    def set_aside(self, name: str) -> None:
        """Nobody is to find it any more."""


class MemoryPieces:
    """Pieces in memory."""

    def __init__(self) -> None:
        self.blocks: dict[str, bytes] = {}

    def put(self, name: str, blocks: bytes) -> None:
        self.blocks.setdefault(name, blocks)

    def size(self, name: str) -> int:
        return len(self.blocks.get(name, b""))

    def read(self, name: str, at: int, size: int) -> bytes:
        return self.blocks[name][at : at + size]

    def set_aside(self, name: str) -> None:
        self.blocks.pop(name, None)


def put(pieces: Pieces, content: bytes | memoryview) -> Piece:
    """Keep some bytes as a piece."""
    name = blake2b(content, digest_size=_CHECKSUM_BYTES).hexdigest()
    blocks: list[bytes | memoryview] = []
    view = memoryview(content)
    for number, begin in enumerate(range(0, len(view), _BODY_BYTES)):
        body = view[begin : begin + _BODY_BYTES]
        blocks += [body, _checksum(name, number, body)]
    pieces.put(name, b"".join(blocks))
    return Piece(name, len(view))


def read(pieces: Pieces, piece: Piece, at: int, size: int) -> bytes:
    """Some bytes of a piece.  Raises PieceDamaged."""
    assert at >= 0
    assert size > 0
    assert at + size <= piece.size
    first, last = at // _BODY_BYTES, (at + size - 1) // _BODY_BYTES
    try:
        blocks = memoryview(
            pieces.read(
                piece.name, _BLOCK_BYTES * first, _BLOCK_BYTES * (last + 1 - first)
            )
        )
    except (OSError, LookupError) as error:
        if isinstance(error, OSError) and error.errno == EIO:
            pieces.set_aside(piece.name)  # It will not be readable the next time.
        raise PieceDamaged(f"piece {piece.name} cannot be read: {error}") from error
    bodies = []
    for number in range(first, last + 1):
        begin = _BLOCK_BYTES * (number - first)
        block = blocks[begin : begin + _BLOCK_BYTES]
        body = block[:-_CHECKSUM_BYTES]
        if block[-_CHECKSUM_BYTES:] != _checksum(piece.name, number, body):
            pieces.set_aside(piece.name)
            raise PieceDamaged(
                f"piece {piece.name} is damaged in block {number}; it was set aside"
            )
        bodies.append(body)
    at -= _BODY_BYTES * first
    return b"".join(bodies)[at : at + size]


def is_there(pieces: Pieces, piece: Piece) -> bool:
    """Whether there is as much of it as there must be."""
    blocks = -(-piece.size // _BODY_BYTES)
    return pieces.size(piece.name) == piece.size + blocks * _CHECKSUM_BYTES


def check(pieces: Pieces, piece: Piece) -> None:
    """Read all of a piece.  Raises PieceDamaged."""
    read(pieces, piece, 0, piece.size)


def _checksum(name: str, number: int, body: bytes | memoryview) -> bytes:
    return blake2b(
        body,
        digest_size=_CHECKSUM_BYTES,
        person=bytes.fromhex(name),
        salt=number.to_bytes(8, "little"),
    ).digest()


class Past:
    """What full pieces hold, one after the other; all of them are of one size.

    A last one that is not full is written anew with what follows it, and may be
    gone soon: its content is the `rest`, to be taken at once.
    """

    def __init__(self, pieces: Pieces, saved: Sequence[Piece] = ()) -> None:
        self._pieces = pieces
        self._full = list(saved)
        self._last: Piece | None = None
        if saved and saved[-1].size < limits.PIECE_BYTES:
            self._last = self._full.pop()
        assert all(piece.size == limits.PIECE_BYTES for piece in self._full)
        self.size = limits.PIECE_BYTES * len(self._full)

    def rest(self) -> bytes:
        """What is in the piece that is not full.  Raises PieceDamaged."""
        last = self._last
        return b"" if last is None else read(self._pieces, last, 0, last.size)

    def read(self, at: int, size: int, behind: Read) -> bytes:
        """Some bytes of those in full pieces and behind them.  Raises PieceDamaged.

        `behind` is asked for what is there, from 0 on.
        """
        assert at >= 0
        found = []
        while size > 0:
            number, begin = divmod(at, limits.PIECE_BYTES)
            if number >= len(self._full):
                found.append(behind(at - self.size, size))
                break
            some = min(size, limits.PIECE_BYTES - begin)
            found.append(read(self._pieces, self._full[number], begin, some))
            at, size = at + some, size - some
        return b"".join(found)

    def followed(self, pieces: Pieces, behind: Read, size: int) -> list[Piece]:
        """The full ones, and new ones for so many bytes that are behind them now."""
        some = limits.PIECE_BYTES
        return [
            *self._full,
            *(
                put(pieces, behind(at, min(size - at, some)))
                for at in range(0, size, some)
            ),
        ]


class _Nowhere(MemoryPieces):
    """Stands for a place that was not given."""

    def put(self, name: str, blocks: bytes) -> None:
        raise AssertionError("no place for pieces")


NO_PIECES: Final = _Nowhere()
NOTHING: Final = Past(NO_PIECES)


def kept(pieces: Pieces, buffer: memoryview) -> list[Piece]:
    """All of a buffer in pieces."""
    octets = buffer.cast("B")
    return NOTHING.followed(
        pieces, lambda at, size: bytes(octets[at : at + size]), len(octets)
    )


def fill(buffer: memoryview, pieces: Pieces, saved: Sequence[Piece]) -> None:
    """Copy back what was `kept`.  Raises PieceDamaged."""
    octets, at = buffer.cast("B"), 0
    assert len(octets) == sum(piece.size for piece in saved)
    for piece in saved:
        octets[at : at + piece.size] = read(pieces, piece, 0, piece.size)
        at += piece.size
