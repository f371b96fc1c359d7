"""The journal: one row a batch, in segments, one writer for ever.

- The writer takes a new epoch when it opens.  Every append proves it, so a
  writer that was replaced writes nothing more.
- Rows are chained: each carries a checksum over itself and the one before,
  through all segments.  What must fit is in `chain.py`.
- The last segment is written, all before it are sealed.  `rotate` seals it and
  goes on in the next, which was made beforehand: two syncs are all that an
  append can have to wait for.  What it takes to settle the old one happens
  beside the next appends.
- A segment that is missing, foreign, of another kind or damaged is refused by
  name.  It is never created in place of one that should exist.
- An operating-system lock on `<journal>.lock` keeps other processes out; whoever
  comes second is told who is there.

After any error from `append` or `rotate` the node must end: what is durable is
then only known by reading the journal again.

Where the segments are is a `Storage`: files (`storage/`), or a simulated disk,
on which the same journal runs.
"""

import os
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from processor import limits
from processor.chain import (
    Batch,
    Fenced,
    Head,
    Identity,
    JournalInUse,
    JournalRefused,
    Point,
    chain_of,
    chain_start,
    check_batch,
    check_end,
    check_segments,
)
from processor.pieces import Pieces
from processor.storage.directory import Directory, segment_numbers, segment_path
from processor.storage.files import check_file, lock_journal
from processor.storage.sealed import Sealed

__all__ = [
    "Batch",
    "Fenced",
    "Head",
    "Identity",
    "Journal",
    "JournalInUse",
    "JournalRefused",
    "Point",
    "Storage",
    "chain_of",
    "chain_start",
    "check_batch",
    "check_file",
    "last_sequence",
    "read_journal",
    "read_segments",
]

_ROWS_PER_READ = 256


class Written(Protocol):
    """The segment that is written; what it returns from is durable."""

    def begin(self, begin: Point) -> None:
        """Say where a blank segment goes on from."""

    def take(self) -> int:
        """The next epoch, which is the caller's from now on."""

    def append(self, row: Batch) -> None:
        """Add a row.  Raises Fenced unless its epoch is the last that was taken."""

    def seal(self, end: Point) -> None:
        """Add nothing any more.  Raises Fenced, as `append` does."""

    async def read(self, after_sequence: int, rows: int) -> list[Batch]:
        """Up to `rows` rows that begin after a sequence."""

    def row_of(self, sequence: int) -> Batch:
        """The row that holds a record."""

    async def settle(self) -> None:
        """After sealing: make it what `Storage.sealed` can read."""

    async def close(self) -> None:
        """Let it go."""


class Settled(Protocol):
    """A segment that never changes any more."""

    def read(self, after_sequence: int, rows: int) -> list[Batch]:
        """Up to `rows` rows that begin after a sequence."""

    def row_of(self, sequence: int) -> Batch:
        """The row that holds a record."""

    def close(self) -> None:
        """Let it go."""


class Storage(Protocol):
    """Where the segments of one journal are, numbered from 1."""

    name: str  # What people find the journal by.

    def name_of(self, number: int) -> str:
        """What people find a segment by."""

    def heads(self) -> list[Head]:
        """All segments; what a crash has left of unfinished ones is gone."""

    async def create(self, number: int, identity: Identity) -> None:
        """Make a segment, whole or not there; any but the first is blank.

        One that was left blank there is good enough.
        """

    async def open(self, number: int) -> Written:
        """The segment to be written."""

    def settle(self, number: int) -> None:
        """What a crash has left to do after sealing."""

    def sealed(self, number: int) -> Settled:
        """A settled segment."""

    def saved(self) -> Iterator[tuple[str, int, bytes]]:
        """The snapshots: name, sequence and content, the newest first."""

    @property
    def pieces(self) -> Pieces:
        """What the snapshots share."""

    def close(self) -> None:
        """Let the next writer in."""


Reached = Callable[[str], None]  # A step of a rotation, by name.


def _nothing(step: str) -> None:
    pass


class Journal:
    """An open journal: the only writer, in its own epoch.

    `reached` is called at each step of a rotation, so that a test can end there.
    """

    def __init__(self, storage: Storage, reached: Reached = _nothing) -> None:
        self.name = storage.name
        self.identity: Identity
        self.epoch = 0
        self.sealed: list[Head] = []  # Every settled segment, oldest first.
        self._storage = storage
        self._reached = reached
        self._live: Written
        self._number = 0  # Of the live segment.
        self._begin: Point
        self._settling: Written | None = None  # Sealed, and its head the last one.
        self._spare: Written | None = None  # Made beforehand.
        self._readers: dict[int, Settled] = {}  # Those used last, for `row_of`.
        self._is_reading = False
        self._next_sequence = 1
        self._chain = b""
        self._bytes = 0  # In the live segment, of records.

    @classmethod
    async def open(
        cls, path: Path, create: Identity | None = None, reached: Reached = _nothing
    ) -> "Journal":
        """Open files, or with `create` make them if there are none.

        Raises JournalRefused, naming the file and the reason.
        """
        return await cls.on(Directory(path, lock_journal(path)), create, reached)

    @classmethod
    async def on(
        cls,
        storage: Storage,
        create: Identity | None = None,
        reached: Reached = _nothing,
    ) -> "Journal":
        """The same on any storage; takes the next epoch."""
        journal = cls(storage, reached)
        try:
            await journal._open(create)
        except BaseException:
            storage.close()
            raise
        return journal

    async def _open(self, create: Identity | None) -> None:
        heads = self._storage.heads()
        if not heads:
            if create is None:
                raise JournalRefused(
                    f"{self.name} is missing; it is never created again: restore it "
                    "from a backup"
                )
            await self._storage.create(1, create)
            heads = self._storage.heads()
        self._number = check_segments(heads)
        self.identity = heads[0].identity
        self.sealed = heads[: self._number - 1]
        for head in self.sealed:
            self._storage.settle(head.number)
        live = heads[self._number - 1]
        self._live = await self._storage.open(self._number)
        try:
            if live.begin is None:  # A crash came between sealing and beginning.
                self._live.begin(self._last_end)
            self._begin = live.begin or self._last_end
            self.epoch = self._live.take()
        except BaseException:
            await self._live.close()
            raise
        self._next_sequence = self._begin.sequence + 1
        self._chain = self._begin.chain

    @property
    def _last_end(self) -> Point:
        end = self.sealed[-1].end
        assert end is not None
        return end

    @property
    def point(self) -> Point:
        """The end of the journal as it is now."""
        return Point(self._next_sequence - 1, self._chain, self.epoch)

    @property
    def sealed_point(self) -> Point | None:
        """The end of the last segment that is sealed; None before the first is."""
        return self._last_end if self.sealed else None

    @property
    def settled_count(self) -> int:
        """How many segments, from the first, never change any more."""
        return len(self.sealed) - (self._settling is not None)

    @property
    def is_at_sealed_end(self) -> bool:
        """Whether all there is is in sealed segments already."""
        return self._next_sequence - 1 == self._begin.sequence and bool(self.sealed)

    @property
    def is_full(self) -> bool:
        """Whether it is time to rotate."""
        records = self._next_sequence - 1 - self._begin.sequence
        return records >= limits.SEGMENT_RECORDS or self._bytes >= limits.SEGMENT_BYTES

    # Reading.

    async def recover(self, after: Point | None = None) -> AsyncIterator[Batch]:
        """Every row from the first, or after a point, each checked.

        Append only after the last.  Raises JournalRefused at the first row that
        does not fit.
        """
        heads = self.sealed
        if after is None:
            after = (heads[0].begin if heads else None) or self._begin
        sequence, chain = after.sequence, after.chain
        for head in heads:
            assert head.end is not None
            if head.end.sequence <= sequence:
                continue
            while True:
                rows = self._read_sealed(head.number, sequence, _ROWS_PER_READ)
                for batch in rows:
                    chain = check_batch(head.name, batch, sequence + 1, chain)
                    sequence = batch.last_sequence
                    yield batch
                if not rows:
                    break
            check_end(head, sequence, chain)
        self._next_sequence, self._chain = sequence + 1, chain
        while True:
            rows = await self._read_live(sequence, _ROWS_PER_READ)
            for batch in rows:
                chain = check_batch(self.name, batch, sequence + 1, chain)
                sequence = batch.last_sequence
                self._next_sequence, self._chain = sequence + 1, chain
                self._bytes += len(batch.records)
                yield batch
            if not rows:
                return

    def saved(self) -> Iterator[tuple[str, int, bytes]]:
        """What snapshots there are: name, sequence and content, the newest first."""
        return self._storage.saved()

    @property
    def pieces(self) -> Pieces:
        """What the snapshots share."""
        return self._storage.pieces

    async def read(self, after_sequence: int, rows: int) -> list[Batch]:
        """Up to `rows` rows that begin after a sequence; fewer at a segment's end."""
        number = self._number_of(after_sequence + 1)
        if number == self._number:
            return await self._read_live(after_sequence, rows)
        if self._is_settling(number):
            assert self._settling is not None
            return await self._settling.read(after_sequence, rows)
        return self._read_sealed(number, after_sequence, rows)

    async def _read_live(self, after_sequence: int, rows: int) -> list[Batch]:
        assert not self._is_reading
        self._is_reading = True
        try:
            return await self._live.read(after_sequence, rows)
        finally:
            self._is_reading = False

    def _read_sealed(self, number: int, after_sequence: int, rows: int) -> list[Batch]:
        return self._reader(number).read(after_sequence, rows)

    def row_of(self, sequence: int) -> Batch:
        """The row that holds a durable record; the caller waits for the disk.

        Raises JournalRefused if the file is damaged, or if the row does not
        follow the one before it.
        """
        assert 0 < sequence < self._next_sequence
        row = self._row_of(sequence)
        if not row.first_sequence <= sequence <= row.last_sequence:
            raise JournalRefused(f"{self.name} is damaged: no row has {sequence}")
        before = self._chain_after(row.first_sequence - 1)
        check_batch(self.name, row, row.first_sequence, before)
        return row

    def _chain_after(self, sequence: int) -> bytes:
        """The chain right after the last record of a row, or before the first row."""
        if sequence == self._begin.sequence:
            return self._begin.chain
        if sequence == 0:
            return chain_start(self.identity)
        head = self.sealed[self._number_of(sequence) - 1 :][:1]
        if head and head[0].end is not None and head[0].end.sequence == sequence:
            return head[0].end.chain
        return self._row_of(sequence).chain

    def _row_of(self, sequence: int) -> Batch:
        number = self._number_of(sequence)
        if number == self._number:
            assert not self._is_reading
            return self._live.row_of(sequence)
        if self._is_settling(number):
            assert self._settling is not None
            return self._settling.row_of(sequence)
        return self._reader(number).row_of(sequence)

    def _number_of(self, sequence: int) -> int:
        """The segment that a record is in."""
        if sequence > self._begin.sequence:
            return self._number
        return 1 + bisect_left(
            self.sealed, sequence, key=lambda head: head.end.sequence if head.end else 0
        )

    def _is_settling(self, number: int) -> bool:
        return self._settling is not None and number == self._number - 1

    def _reader(self, number: int) -> Settled:
        reader = self._readers.pop(number, None)
        if reader is None:
            reader = self._storage.sealed(number)
            if len(self._readers) >= limits.SEGMENT_READERS_MAX:
                self._readers.pop(next(iter(self._readers))).close()
        self._readers[number] = reader  # The one used last is the last.
        return reader

    # Writing.

    def append(self, count: int, day: str, at_ms: int, records: bytes) -> None:
        """Make one batch of `count` records durable; returns when it is.

        Raises Fenced when a later writer owns the journal.  After any
        exception the caller must end: it cannot know what is on disk.
        """
        assert count > 0
        assert not self._is_reading
        first = self._next_sequence
        last = first + count - 1
        chain = chain_of(self._chain, first, last, self.epoch, day, at_ms, records)
        self._live.append(Batch(first, last, self.epoch, day, at_ms, records, chain))
        self._next_sequence = last + 1
        self._chain = chain
        self._bytes += len(records)

    async def prepare(self) -> None:
        """Make the next segment beforehand; appends go on meanwhile."""
        if self._spare is None:
            number = self._number + 1
            await self._storage.create(number, self.identity)
            self._reached("created")
            self._spare = await self._storage.open(number)

    def switch(self) -> None:
        """Seal the segment and go on in the one that was prepared.

        The caller waits for two syncs.  Nothing may be reading, and `settle` is
        due after it.  Raises Fenced; after any exception the caller must end.
        """
        assert self._spare is not None
        assert self._settling is None
        assert not self._is_reading
        end = self.point
        self._live.seal(end)
        self._reached("sealed")
        self._spare.begin(end)
        self._reached("begun")
        head = Head(
            self._storage.name_of(self._number),
            self._number,
            self.identity,
            self._begin,
            end,
        )
        self._settling, self._live, self._spare = self._live, self._spare, None
        self.sealed.append(head)
        self._number += 1
        self._begin = end
        self._bytes = 0

    async def settle(self) -> None:
        """Make the segment that was sealed last readable for everybody."""
        if self._settling is None:
            return
        await self._settling.settle()
        self._reached("settled")
        settled, self._settling = self._settling, None
        await settled.close()

    async def close(self) -> None:
        """Close the files and let the next writer in, all of it whatever fails."""
        async with AsyncExitStack() as stack:
            stack.callback(self._storage.close)
            for written in (self._live, self._spare, self._settling):
                if written is not None:
                    stack.push_async_callback(written.close)
            for reader in self._readers.values():
                stack.callback(reader.close)
            self._readers.clear()
            if self._settling is not None:
                await self._settling.settle()
                self._settling = None


@contextmanager
def read_journal(path: Path) -> Iterator[tuple[Identity, Iterator[Batch]]]:
    """The identity and rows of a journal that nobody is writing.

    Takes the owner's lock for as long as it reads.  The rows come as they
    are, through all segments: checking them is the reader's.  Raises
    JournalRefused.
    """
    with read_segments(path) as (heads, rows):
        yield heads[0].identity, rows


@contextmanager
def read_segments(path: Path) -> Iterator[tuple[list[Head], Iterator[Batch]]]:
    """The same, with what each segment says of itself.

    Of the live one nobody has written down where it ends.
    """
    lock = lock_journal(path)
    directory = Directory(path, lock)
    try:
        check_file(path)
        heads = directory.heads_as_they_are()
        check_segments(heads)
        yield heads, _rows(directory, heads)
    finally:
        os.close(lock)


def last_sequence(path: Path) -> int:
    """The last record of a journal that `read_segments` has opened."""
    number = segment_numbers(path)[-1]
    found = 0
    while number and not found:  # A blank segment has none.
        segment = Sealed(segment_path(path, number))
        found = segment.last_sequence()
        segment.close()
        number -= 1
    return found


def _rows(directory: Directory, heads: list[Head]) -> Iterator[Batch]:
    for head in heads:
        segment = Sealed(directory.path_of(head.number))
        try:
            yield from segment.rows()
        finally:
            segment.close()
