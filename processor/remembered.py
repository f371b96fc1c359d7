"""Idempotency: the same request id gets the same answer, for as long as kept.

The answer is a function of the command and its event, and both are in the
journal.  So all that is kept is where: the latest requests as they are, older
ones as the sequence of their record (`generations.py`).  An old one that is asked
again costs the look-up of a journal row.

A request is kept for `keep_ms` from the time stamped on its record; a
millisecond later its id is new again.  How many are kept is bounded too: beyond
`requests_max` the oldest generation is forgotten before its time.  Both depend
on nothing but the records, so a replay forgets the same.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from processor import limits
from processor.commands import Command
from processor.events import Event
from processor.generations import (
    PATTERN_AT,
    PATTERNS,
    Generation,
    SavedGeneration,
    hash_of,
)
from processor.journal import Batch
from processor.pieces import Piece, Pieces
from processor.scratch import Scratch

# The row that holds a durable record, by its sequence.
RowOf = Callable[[int], Batch]

_RECORDS = msgspec.msgpack.Decoder(list[msgspec.Raw])


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """For how long requests are remembered, and how many of them.

    At least `recent_min` are kept as they are, and not three times as many after any
    step; generations begin small and grow with what there is to remember.  All three
    are powers of two.
    """

    keep_ms: int
    requests_max: int
    recent_min: int
    generation_min: int
    generation_max: int


KEEPING: Final = Keeping(
    keep_ms=limits.KEEP_ANSWERS_MS,
    requests_max=limits.REMEMBERED_REQUESTS_MAX,
    recent_min=limits.REMEMBERED_RECENT_MIN,
    generation_min=limits.GENERATION_REQUESTS_MIN,
    generation_max=limits.GENERATION_REQUESTS_MAX,
)

_Key = tuple[str, str]  # Caller and request id.
_Entry = tuple[int, int, int, Command, Event]  # Hash of the id, sequence, time.
_Part = dict[_Key, _Entry]
_ENCODER = msgspec.msgpack.Encoder()


def no_row(sequence: int) -> Batch:
    """Stands for a journal that is not there to be asked."""
    raise AssertionError(f"no journal to read record {sequence} from")


class Remembered:
    """(caller, request id) → the command and what it ended in."""

    def __init__(
        self, keeping: Keeping, record: type, scratch: Scratch, row_of: RowOf
    ) -> None:
        assert keeping.generation_max <= keeping.requests_max
        assert keeping.generation_min % keeping.recent_min == 0
        self.keeping = keeping
        self.reads = 0  # Of journal rows, ever.
        self._record: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(record)
        self._saved: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(
            tuple[list[tuple[int, int, record]], list[SavedGeneration]]  # type: ignore[valid-type]
        )
        self._scratch = scratch
        self._row_of = row_of
        self._row: Batch | None = None  # The last one that was read.
        self._raw: list[msgspec.Raw] = []
        # Looked for last, with its key and the hash of that.
        self._asked: tuple[Command | None, _Key, int] = (None, ("", ""), 0)
        # The latest in parts, the newest first, which is being filled; all others are
        # full.  A part leaves as a whole: that costs less than one by one.
        self._parts: tuple[_Part, ...] = ({},)
        self._generations: deque[Generation] = deque()  # The newest first.

    def __len__(self) -> int:
        older = sum(generation.count for generation in self._generations)
        return sum(map(len, self._parts)) + older

    def saved(self, pieces: Pieces) -> tuple[bytes, list[Piece]]:
        """All of it, for a snapshot: what is small, and what it says is in pieces."""
        recent = [
            (sequence, at_ms, (command, event))
            for part in reversed(self._parts)
            for _, sequence, at_ms, command, event in part.values()
        ]
        generations = [x.saved(pieces) for x in self._generations]
        in_pieces = [piece for x in generations for piece in (*x.words, *x.slots)]
        return _ENCODER.encode((recent, generations)), in_pieces

    def restore(self, saved: bytes | memoryview, pieces: Pieces) -> None:
        """Remember what `saved` was made of, and nothing else.  Raises PieceDamaged."""
        assert not len(self)
        recent, generations = self._saved.decode(saved)
        for sequence, at_ms, record in recent:
            assert record.command is not None
            self.remember(record.command, record.event, sequence, at_ms)
        self._generations.extend(
            Generation.restored(x, pieces, self._scratch) for x in generations
        )

    def find(self, command: Command, now_ms: int) -> tuple[Command, Event] | None:
        """What the same caller asked under the same id, if it is still kept.

        Raises what reading the journal raises.
        """
        key = (command.caller, command.request_id)
        for part in self._parts:
            entry = part.get(key)
            if entry is not None:
                _, _, at_ms, first, event = entry
                # If it is not, an older one under the same id is forgotten as well.
                is_kept = now_ms < at_ms + self.keeping.keep_ms
                return (first, event) if is_kept else None
        if not self._generations:
            return None
        hashed = hash_of(*key)
        self._asked = command, key, hashed
        pattern = PATTERNS[hashed >> PATTERN_AT]
        for generation in self._generations:
            word = generation.words[hashed & generation.word_mask]
            if word & pattern == pattern:
                for sequence in generation.find(hashed):
                    found, at_ms = self._read(sequence)
                    first = found.command
                    if (first.caller, first.request_id) == key:
                        is_kept = now_ms < at_ms + self.keeping.keep_ms
                        return (first, found.event) if is_kept else None
        return None

    def _read(self, sequence: int) -> tuple[Any, int]:
        """A record of the journal, and its time."""
        row = self._row
        if row is None or not row.first_sequence <= sequence <= row.last_sequence:
            self.reads += 1
            row = self._row = self._row_of(sequence)
            self._raw = _RECORDS.decode(row.records)
        assert row.first_sequence <= sequence <= row.last_sequence
        record = self._record.decode(self._raw[sequence - row.first_sequence])
        assert record.command is not None
        return record, row.at_ms

    def remember(
        self, command: Command, event: Event, sequence: int, at_ms: int
    ) -> None:
        """Keep one more, as it is."""
        asked, key, hashed = self._asked
        if asked is not command:  # It was not looked for just now.
            key = (command.caller, command.request_id)
            hashed = hash_of(*key)
        filling = self._parts[0]
        filling[key] = (hashed, sequence, at_ms, command, event)
        if len(filling) >= self.keeping.recent_min:
            self._parts = ({}, *self._parts)

    def move_out(self) -> None:
        """The oldest, beyond those that stay as they are, move to a generation.

        All that is remembered must be durable: from here on it is looked for in the
        journal.
        """
        while len(self._parts) > 2:
            part, self._parts = self._parts[-1], self._parts[:-1]
            moved = part.values()
            # Nothing in the part is newer than what has filled it.
            newest_at_ms = next(reversed(moved))[2]
            if not self._generations or not self._generations[0].room:
                self._begin_generation(newest_at_ms)
            self._generations[0].add(moved, newest_at_ms)

    def _begin_generation(self, at_ms: int) -> None:
        """As large as all before, within bounds; what is over goes."""
        keeping, kept = self.keeping, len(self)
        size = keeping.generation_min
        while size < min(kept, keeping.generation_max):
            size *= 2
        generations = self._generations
        while generations and (
            generations[-1].newest_at_ms + keeping.keep_ms <= at_ms
            or kept + size > keeping.requests_max
        ):
            oldest = generations.pop()
            kept -= oldest.count
            oldest.close()
        generations.appendleft(Generation(size, self._scratch))


def differing_field(first: Command, second: Command) -> str | None:
    """The first field in which two commands differ; None if they are the same.

    "command" when they are not even of one kind.
    """
    if first == second:
        return None
    if type(first) is not type(second):
        return "command"
    for field in msgspec.structs.fields(first):
        if getattr(first, field.name) != getattr(second, field.name):
            return field.name
    raise AssertionError("two commands differ in no field")
