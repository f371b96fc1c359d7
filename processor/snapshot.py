"""A snapshot: a node's state at a point of its journal, in bytes.

    magic, length of the header, header (msgpack), parts one after the other,
    BLAKE2b over all of it

What is appended to and never changed lies in pieces beside it, which snapshots
share (`pieces.py`): a snapshot costs what is alive, and what has come since the
one before.

It is made by a recovery run to the end of a sealed segment, by nothing else;
so each one shows once more that the journal replays.  Whoever reads one checks
that it is whole, of this format and this journal, and that the state's structs
had the form that they have today.  Whoever makes one has seen that it comes back
as it was, which takes half as long again and so is not for whoever is waited for.
Raise FORMAT when the same form comes to mean something else.

A snapshot is never needed: what is wrong with it is said, and recovery takes
the one before, or begins at the first row.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from hashlib import blake2b
from typing import Any, get_args

import msgspec

from processor.chain import Head, Identity, Point, has_end
from processor.pieces import Piece, PieceDamaged, Pieces, is_there
from processor.pieces import check as check_piece
from processor.recovery import (
    IN_MEMORY,
    Parts,
    Replay,
    Room,
    ShardReplay,
    replay_of,
)

FORMAT = 4
_MAGIC = b"Forebay snapshot"
_LENGTH_BYTES = 4
_BEGIN = len(_MAGIC) + _LENGTH_BYTES  # Of the header.
_CHECKSUM_BYTES = 32
_BROKEN = (msgspec.MsgspecError, LookupError, ValueError, AssertionError)

Tell = Callable[[str], None]  # What is wrong with a snapshot, by its name.


class SnapshotRefused(Exception):
    """The snapshot cannot be used; the message names it and says why."""


class Header(msgspec.Struct, frozen=True):
    """What is saved: whose, where in its journal, and how to know it again."""

    format: int
    identity: Identity
    point: Point
    at_ms: int  # Of the last row.
    form: str  # Of the state.
    parts: dict[str, int]  # By name, their lengths in bytes, in their order.
    pieces: list[Piece]  # All that it needs.


_ENCODER = msgspec.msgpack.Encoder()
_HEADER = msgspec.msgpack.Decoder(Header)


def encode(identity: Identity, point: Point, replay: Replay) -> bytes:
    """A replay at a point of its journal, as bytes; history is put in its pieces.

    Raises PieceDamaged.
    """
    assert replay.state.sequence == point.sequence
    parts, needed = replay.saved()
    header = _ENCODER.encode(
        Header(
            FORMAT,
            identity,
            point,
            replay.at_ms,
            form_of(type(replay.state)),
            {name: len(part) for name, part in parts.items()},
            needed,
        )
    )
    length = len(header).to_bytes(_LENGTH_BYTES, "big")
    body = (_MAGIC, length, header, *parts.values())
    return b"".join((*body, _checksum(*body)))


def decode(
    name: str,
    saved: bytes,
    identity: Identity,
    room: Room = IN_MEMORY,
) -> tuple[Point, Replay]:
    """Where it was made, and the replay at that point.

    Raises SnapshotRefused, with the name, for whatever is wrong with it.
    """
    header = _header_of(name, saved)
    if header.identity != identity:
        raise SnapshotRefused(f"{name} is a snapshot of another journal")
    if header.form != form_of(replay_of(identity).STATE):
        raise SnapshotRefused(f"{name} is of a state that had another form")
    for piece in header.pieces:
        if not is_there(room.pieces, piece):
            raise SnapshotRefused(
                f"{name} needs piece {piece.name}, which is not whole"
            )
    try:
        parts = _parts(header, memoryview(saved))
        replay = replay_of(identity).restored(identity, parts, header.at_ms, room)
    except (*_BROKEN, PieceDamaged) as error:
        raise SnapshotRefused(f"{name} cannot be read: {error}") from error
    if replay.state.sequence != header.point.sequence:
        raise SnapshotRefused(f"{name} does not hold the state that was saved")
    return header.point, replay


def check(name: str, saved: bytes, replay: Replay, pieces: Pieces) -> None:
    """Read all that was decoded of it, and all of its pieces.

    Raises SnapshotRefused.
    """
    try:
        for piece in pieces_of(name, saved):
            check_piece(pieces, piece)
        if isinstance(replay, ShardReplay):
            for table in replay.state.paged:
                if not table.is_as_known():
                    raise SnapshotRefused(f"{name} does not have all that was shelved")
    except (*_BROKEN, PieceDamaged) as error:
        raise SnapshotRefused(f"{name} cannot be read: {error}") from error


@cache
def form_of(state: type[msgspec.Struct]) -> str:
    """A hash of the names, fields and types of all structs that a state is made of."""
    forms: dict[str, str] = {}

    def look(kind: Any) -> None:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind.__qualname__ in forms:
                return
            fields = msgspec.structs.fields(kind)
            told = ", ".join(f"{field.name}: {field.type!r}" for field in fields)
            forms[kind.__qualname__] = told
            for field in fields:
                look(field.type)
        for inner in get_args(kind):
            look(inner)

    look(state)
    return blake2b(repr(sorted(forms.items())).encode(), digest_size=16).hexdigest()


def _header_of(name: str, saved: bytes) -> Header:
    """What it says of itself, once it is known to be whole.  Raises as `decode`."""
    body = memoryview(saved)[:-_CHECKSUM_BYTES]
    if body[: len(_MAGIC)] != _MAGIC:
        raise SnapshotRefused(f"{name} is not a snapshot of Forebay")
    if _checksum(body) != saved[-_CHECKSUM_BYTES:]:
        raise SnapshotRefused(f"{name} is damaged: its checksum is another")
    encoded = body[_BEGIN : _BEGIN + _length_of(body)]
    try:
        # The format first: all else of a newer header may be unknown.
        version = msgspec.msgpack.decode(encoded)["format"]
        if version != FORMAT:
            raise SnapshotRefused(
                f"{name} has snapshot format {version}, this program reads {FORMAT}"
            )
        return _HEADER.decode(encoded)
    except _BROKEN as error:
        raise SnapshotRefused(f"{name} cannot be read: {error}") from error


def pieces_of(name: str, saved: bytes) -> list[Piece]:
    """Which pieces a snapshot needs.  Raises SnapshotRefused if it cannot be said."""
    return _header_of(name, saved).pieces


def _parts(header: Header, saved: memoryview) -> Parts:
    parts = {}
    begin = _BEGIN + _length_of(saved)
    for part, length in header.parts.items():
        parts[part] = saved[begin : begin + length]
        begin += length
    return parts


def _length_of(saved: memoryview) -> int:
    return int.from_bytes(saved[len(_MAGIC) : _BEGIN], "big")


def newest(
    saved: Iterable[tuple[str, int, bytes]],
    identity: Identity,
    heads: Sequence[Head],
    tell: Tell,
    room: Room = IN_MEMORY,
) -> tuple[Point, Replay] | None:
    """The first good one of the name, sequence and content of several.

    Good is also that one of the journal's segments was sealed where it was made.
    Those that are not are told by name.
    """
    for name, sequence, content in saved:
        try:
            point, replay = decode(name, content, identity, room)
            if point.sequence != sequence or not has_end(heads, point):
                raise SnapshotRefused(
                    f"{name} is of record {point.sequence} of another history: no "
                    "segment of the journal was sealed there"
                )
        except SnapshotRefused as refused:
            tell(str(refused))
        else:
            return point, replay
    return None


def _checksum(*body: bytes | memoryview) -> bytes:
    digest = blake2b(digest_size=_CHECKSUM_BYTES)
    for part in body:
        digest.update(part)
    return digest.digest()
