"""Rebuild a node from its journal: apply, remember, index, and nothing else.

What has been rebuilt can be saved and restored (`snapshot.py` has the form of
it); a restored node goes on as the one that was saved would have.
"""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any, NamedTuple, Self

import msgspec

from processor import limits, machine, settlement_rules
from processor.history import History
from processor.journal import Batch, Identity
from processor.paged import Paged, SavedShelf, Shelf
from processor.pieces import NO_PIECES, Past, Piece, Pieces
from processor.records import (
    SETTLEMENT_RECORDS,
    SHARD_RECORDS,
    SettlementRecord,
    ShardRecord,
)
from processor.remembered import KEEPING, Keeping, Remembered, RowOf, no_row
from processor.saved_state import parts_of, state_of
from processor.scratch import MemoryScratch, Scratch
from processor.settlement_state import SettlementState
from processor.state import ShardState

_ENCODER = msgspec.msgpack.Encoder()
_SETTLEMENT_STATE = msgspec.msgpack.Decoder(SettlementState)

# What is saved of a node, by name, but for what is in pieces.
Parts = Mapping[str, bytes | memoryview]


class Saved(NamedTuple):
    """What a node needs to go on from somewhere: small parts, and shared pieces."""

    parts: Parts
    pieces: list[Piece]


class Room(NamedTuple):
    """What a node remembers and where; without scratch all of it in memory.

    `row_of` reads what was replayed; in `pieces` is what snapshots share.
    """

    keeping: Keeping = KEEPING
    scratch: Scratch | None = None
    row_of: RowOf = no_row
    in_memory_min: int = limits.OBJECTS_IN_MEMORY_MIN
    pieces: Pieces = NO_PIECES


IN_MEMORY = Room()


class ShardReplay:
    """A shard's state, one journal row after the other."""

    STATE = ShardState

    def __init__(self, identity: Identity, room: Room = IN_MEMORY) -> None:
        assert identity.kind == "shard"
        scratch = room.scratch or MemoryScratch()
        self.remembered = Remembered(room.keeping, ShardRecord, scratch, room.row_of)
        self.history = History(scratch)
        self._pieces = room.pieces
        self.at_ms = 0  # Of the last row.
        self.state = ShardState(
            identity.number, identity.shard_count, identity.first_day
        )
        self._shelf: Shelf | None = None
        self._unswept = 0  # Records since the last sweep.
        if room.scratch is not None:
            self._shelve_in(Shelf(scratch, identity.number), room.in_memory_min)

    def _shelve_in(self, shelf: Shelf, in_memory_min: int) -> None:
        self._shelf = shelf
        self.state.shelve_in(shelf, in_memory_min)

    def replay(self, batch: Batch) -> None:
        """Apply the records of a row."""
        state, at_ms = self.state, batch.at_ms
        records = SHARD_RECORDS.decode(batch.records)
        for record in records:
            machine.apply(state, record.event, record.command)
            self.history.record(state, record.event, record.command)
            if record.command is not None:
                self.remembered.remember(
                    record.command, record.event, state.sequence, at_ms
                )
        self._unswept += len(records)
        if self._unswept >= limits.OBJECTS_SWEPT_RECORDS:
            state.sweep(self._unswept)
            self._unswept = 0
        self.remembered.move_out()
        assert self.state.sequence == self.history.sequence == batch.last_sequence
        self.at_ms = batch.at_ms

    def saved(self) -> Saved:
        """All that a shard needs to go on from here.  Raises PieceDamaged."""
        pieces = self._pieces
        remembered, older = self.remembered.saved(pieces)
        newest, rows = self.history.saved(pieces)
        shelf = None if self._shelf is None else self._shelf.saved(pieces)
        parts = {
            **parts_of(self.state),
            "tables": _ENCODER.encode([table.saved() for table in self.state.paged]),
            "shelf": _ENCODER.encode(shelf),
            "remembered": remembered,
            "newest": newest,
            "rows": _ENCODER.encode(rows),
        }
        return Saved(parts, [*older, *rows, *(shelf.log if shelf else ())])

    @classmethod
    def restored(
        cls, identity: Identity, parts: Parts, at_ms: int, room: Room = IN_MEMORY
    ) -> Self:
        """What `saved` was made of; `at_ms` is the time of the last row.

        Raises PieceDamaged.
        """
        scratch = room.scratch or MemoryScratch()
        replay = cls(identity, room._replace(scratch=None))
        replay.state = state_of(parts)
        shelf = _SHELF.decode(parts["shelf"])
        if room.scratch is not None or shelf is not None:
            # Without scratch of its own it takes what is shelved, and adds nothing.
            in_memory_min = _NO_END if room.scratch is None else room.in_memory_min
            replay._shelve_in(
                Shelf(scratch, identity.number, shelf, room.pieces), in_memory_min
            )
        tables = _TABLES.decode(parts["tables"])
        for table, known in zip(replay.state.paged, tables, strict=True):
            table.restore(known)
        replay.remembered = Remembered(room.keeping, ShardRecord, scratch, room.row_of)
        replay.remembered.restore(parts["remembered"], room.pieces)
        rows = Past(room.pieces, _PIECES.decode(parts["rows"]))
        replay.history = History.restored(parts["newest"], rows, scratch)
        replay.at_ms = at_ms
        return replay


class SettlementReplay:
    """Settlement's state, one journal row after the other."""

    STATE = SettlementState

    def __init__(self, identity: Identity, room: Room = IN_MEMORY) -> None:
        assert identity.kind == "settlement"
        self.remembered = Remembered(
            room.keeping, SettlementRecord, room.scratch or MemoryScratch(), room.row_of
        )
        self._pieces = room.pieces
        self.at_ms = 0  # Of the last row.
        self.state = SettlementState(identity.shard_count, identity.first_day)

    def replay(self, batch: Batch) -> None:
        """Apply the records of a row."""
        for record in SETTLEMENT_RECORDS.decode(batch.records):
            settlement_rules.apply(self.state, record.event)
            if record.command is not None:
                self.remembered.remember(
                    record.command, record.event, self.state.sequence, batch.at_ms
                )
        self.remembered.move_out()
        assert self.state.sequence == batch.last_sequence
        self.at_ms = batch.at_ms

    def saved(self) -> Saved:
        """All that settlement needs to go on from here."""
        remembered, older = self.remembered.saved(self._pieces)
        parts = {"state": _ENCODER.encode(self.state), "remembered": remembered}
        return Saved(parts, older)

    @classmethod
    def restored(
        cls, identity: Identity, parts: Parts, at_ms: int, room: Room = IN_MEMORY
    ) -> Self:
        """What `saved` was made of; `at_ms` is the time of the last row.

        Raises PieceDamaged.
        """
        replay = cls(identity, room)
        replay.state = _SETTLEMENT_STATE.decode(parts["state"])
        replay.remembered.restore(parts["remembered"], room.pieces)
        replay.at_ms = at_ms
        return replay


Replay = ShardReplay | SettlementReplay


def replay_of(identity: Identity) -> type[Replay]:
    """How a journal is replayed."""
    return SettlementReplay if identity.kind == "settlement" else ShardReplay


_SHELF = msgspec.msgpack.Decoder(SavedShelf | None)
_PIECES = msgspec.msgpack.Decoder(list[Piece])
_TABLES = msgspec.msgpack.Decoder(list[tuple[int, bytes]])
_NO_END = 1 << 62
_ITEMS_AT_ONCE = 4_096


def digest_of(state: ShardState | SettlementState) -> str:
    """A fingerprint of a whole state, a part of it in memory at a time.

    Equal histories give equal states, down to the order of their tables; where
    the objects of a `Paged` table are makes no difference.
    """
    found = ""
    for found in digesting(state):  # noqa: B007
        pass
    return found


def digesting(state: ShardState | SettlementState) -> Iterator[str]:
    """The same, last; before it an empty one whenever some milliseconds have gone.

    The state must not change meanwhile.
    """
    digest = blake2b(digest_size=16)
    for name in state.__struct_fields__:
        for part in _encoded(getattr(state, name)):
            if part:
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
            yield ""
    yield digest.hexdigest()


def _encoded(part: Any) -> Iterator[bytes]:
    if isinstance(part, Paged):
        yield from part.fingerprint()
    elif isinstance(part, dict):
        yield _ENCODER.encode(len(part))
        items = iter(part.items())
        while some := list(islice(items, _ITEMS_AT_ONCE)):
            yield _ENCODER.encode(some)
    else:
        yield _ENCODER.encode(part)
