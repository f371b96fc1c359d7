"""The disk under one journal: segments and snapshots, and how they fail.

The journal is the real one; this is the `Storage` under it.  What SQLite
promises with `synchronous=FULL` is taken for granted: a call is durable when it
returns, wholly or not at all.  After one that raised nobody knows.

A disk can fail a call (EIO, ENOSPC), be slow, kill its process right before or
after a call is durable, tear the row that is being written, rot (one bit of one
row, or of a snapshot), and be replaced by an old copy of itself.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random

import msgspec

from processor import snapshot
from processor.chain import (
    Batch,
    Fenced,
    Head,
    Identity,
    JournalInUse,
    JournalRefused,
    Point,
    beginning_of,
    check_batch,
    check_end,
)
from processor.journal import Journal
from processor.pieces import MemoryPieces
from processor.recovery import Room, replay_of
from processor.snapshot import SnapshotRefused, pieces_of
from tests.simulation.virtual import MS, SECOND, Killed, Process

WRITE_US = 300  # How long a sync takes.
SNAPSHOTS_KEPT = 2
_SECTOR_BYTES = 512

Wrote = Callable[["Disk", Batch], None]


class Fault(StrEnum):
    """What happens at a call that is to be durable."""

    KILLED_BEFORE = "killed before it writes"
    KILLED_AFTER = "killed after it has written"
    TORN = "killed while it writes"
    EIO = "EIO, and it is not written"
    EIO_DURABLE = "EIO, and it is written"


@dataclass
class File:
    """What is durable of one segment."""

    identity: Identity
    begin: Point | None
    end: Point | None = None
    epoch: int = 0
    rows: list[Batch] = field(default_factory=list)
    is_settled: bool = False


class Disk:
    """One journal's directory; it survives every process."""

    def __init__(self, identity: Identity, segment_records: int, wrote: Wrote) -> None:
        number = f"-{identity.number:03d}" if identity.kind == "shard" else ""
        self.name = f"{identity.kind}{number}.sqlite"
        self.identity = identity
        self.segment_records = segment_records
        self.files: dict[int, File] = {}
        self.snapshots: list[tuple[str, int, bytes]] = []  # The newest first.
        self.pieces = MemoryPieces()
        self.owner: Process | None = None  # Who holds the lock.
        self.is_full = False
        self.write_us = WRITE_US
        self.armed: list[Fault] = []  # For the next calls.
        self.wrote = wrote
        self._rotten: dict[tuple[int, int], Batch] = {}  # What is read instead.
        self._newest: dict[int, File] | None = None

    @property
    def is_good(self) -> bool:
        """Whether this is the journal, and not an old copy in its place."""
        return self._newest is None

    def has_on_old_copy(self, row: Batch) -> bool:
        """Whether a row was written to an old copy.

        Who was frozen when the copy came writes on to the file that was taken away.
        """
        written = (file.rows[-1] for file in self.files.values() if file.rows)
        return not self.is_good and any(row is last for last in written)

    @property
    def is_rotten(self) -> bool:
        """Whether a row is not what was written."""
        return bool(self._rotten)

    @property
    def rows(self) -> list[Batch]:
        """What was written."""
        return [row for _, file in sorted(self.files.items()) for row in file.rows]

    def read(self, number: int) -> list[Batch]:
        """What a segment says; nothing if an old copy has not got that far."""
        file = self.files.get(number)
        rows = [] if file is None else file.rows
        if not self._rotten:
            return rows
        places = range(len(rows))
        return [self._rotten.get((number, i), rows[i]) for i in places]

    def heads(self) -> list[Head]:
        """What all segments say of themselves."""
        return [
            Head(f"{self.name}.{n}", n, file.identity, file.begin, file.end)
            for n, file in sorted(self.files.items())
        ]

    # What goes wrong.

    def rot(self, random: Random) -> str:
        """Flip one bit of one row; says where."""
        numbers = [number for number, file in self.files.items() if file.rows]
        number = random.choice(numbers)
        rows = self.files[number].rows
        place = random.randrange(len(rows))
        name = random.choice(["records", "chain", "day", "at_ms", "epoch"])
        value = getattr(rows[place], name)
        if isinstance(value, int):
            value ^= 1 << random.randrange(20)
        else:
            octets = bytearray(value if isinstance(value, bytes) else value.encode())
            octets[random.randrange(len(octets))] ^= 1 << random.randrange(7)
            value = bytes(octets) if name != "day" else octets.decode()
        broken = msgspec.structs.replace(rows[place], **{name: value})
        self._rotten[number, place] = broken
        return f"{name} of row {place} of segment {number}"

    def rot_snapshot(self, random: Random) -> str:
        """Flip a bit of the newest snapshot, or lose a sector of one of its pieces."""
        name, sequence, content = self.snapshots[0]
        blocks = self.pieces.blocks
        with suppress(SnapshotRefused):  # It has rotted before.
            needed = [x.name for x in pieces_of(name, content) if x.name in blocks]
            piece = random.choice(["", *needed])
            if piece:
                blocks[piece] = _with_a_bad_sector(blocks[piece], random)
                return f"piece {piece} of {name}"
        self.snapshots[0] = name, sequence, _flipped(content, random)
        return name

    def restore(self) -> None:
        """Put the newest good copy back."""
        self._rotten.clear()
        if self._newest is not None:
            self.files, self._newest = self._newest, None

    def go_back(self, rows: int) -> None:
        """Put an old copy in place: so many rows, and the epoch of then.

        Snapshots are not part of it: those there are may know more than it does.
        """
        assert self._newest is None
        self._newest, self.files = self.files, {}
        for number, file in sorted(self._newest.items()):
            if file.end is not None and rows > len(file.rows):
                self.files[number] = replace(file, is_settled=True)
                rows -= len(file.rows)
                continue
            kept = file.rows[:rows]
            begin = file.begin or self.files[number - 1].end
            assert begin is not None
            epoch = kept[-1].epoch if kept else max(1, begin.epoch)
            self.files[number] = File(file.identity, begin, None, epoch, kept)
            break

    # What the keeper does, beside the node.

    def fold(self) -> None:
        """Make a snapshot at the end of the last settled segment.

        Raises JournalRefused if a row does not fit.
        """
        settled = [n for n, file in sorted(self.files.items()) if file.is_settled]
        heads = self.heads()[: len(settled)]
        end = heads[-1].end if heads else None
        if end is None or end.sequence in [s for _, s, _ in self.snapshots[:1]]:
            return
        room = Room(pieces=self.pieces)
        found = snapshot.newest(
            self.snapshots, self.identity, heads, lambda why: None, room
        )
        if found is None:
            found = (
                beginning_of(self.identity),
                replay_of(self.identity)(self.identity, room),
            )
        point, replay = found
        sequence, chain = point.sequence, point.chain
        for head in heads:
            assert head.end is not None
            if head.end.sequence <= sequence:
                continue
            for row in self.read(head.number):
                chain = check_batch(head.name, row, sequence + 1, chain)
                sequence = row.last_sequence
                replay.replay(row)
            check_end(head, sequence, chain)
        saved = snapshot.encode(self.identity, end, replay)
        name = f"{self.name}.snapshot.{end.sequence}"
        self.snapshots.insert(0, (name, end.sequence, saved))
        del self.snapshots[SNAPSHOTS_KEPT:]


def _flipped(content: bytes, random: Random) -> bytes:
    octets = bytearray(content)
    octets[random.randrange(len(octets))] ^= 1 << random.randrange(8)
    return bytes(octets)


def _with_a_bad_sector(content: bytes, random: Random) -> bytes:
    begin = random.randrange(0, len(content), _SECTOR_BYTES)
    size = min(_SECTOR_BYTES, len(content) - begin)
    return content[:begin] + random.randbytes(size) + content[begin + size :]


class Segment:
    """One segment, written by one process."""

    def __init__(self, disk: Disk, number: int, process: Process) -> None:
        self.disk = disk
        self.number = number
        self.process = process
        self.file = disk.files[number]

    def durably(self, write: Callable[[], None]) -> None:
        """Write, or fail as the disk does."""
        disk = self.disk
        self.process.is_busy_for(disk.write_us)
        if disk.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        fault = disk.armed.pop(0) if disk.armed else None
        if fault in (Fault.KILLED_BEFORE, Fault.TORN):
            raise Killed  # SQLite drops a torn tail when it opens.
        if fault is Fault.EIO:
            raise sqlite3.OperationalError("disk I/O error")
        write()
        if fault is Fault.KILLED_AFTER:
            raise Killed
        if fault is Fault.EIO_DURABLE:
            raise sqlite3.OperationalError("disk I/O error")

    def begin(self, begin: Point) -> None:
        def write() -> None:
            self.file.begin, self.file.epoch = begin, begin.epoch

        self.durably(write)

    def take(self) -> int:
        def write() -> None:
            self.file.epoch += 1

        self.durably(write)
        return self.file.epoch

    def append(self, row: Batch) -> None:
        self.prove(row.epoch)
        rows = self.file.rows
        if rows and any(r.first_sequence == row.first_sequence for r in rows[-8:]):
            raise sqlite3.IntegrityError("UNIQUE constraint failed")
        self.durably(lambda: self.write(row))

    def write(self, row: Batch) -> None:
        """The row is there."""
        self.file.rows.append(row)
        self.disk.wrote(self.disk, row)

    def seal(self, end: Point) -> None:
        self.prove(end.epoch)

        def write() -> None:
            self.file.end, self.file.epoch = end, 0

        self.durably(write)

    def prove(self, epoch: int) -> None:
        """Raise Fenced unless the epoch is the last that was taken."""
        if epoch != self.file.epoch:
            raise Fenced(f"{self.disk.name} has a later writer than epoch {epoch}")

    async def read(self, after_sequence: int, rows: int) -> list[Batch]:
        return _read(self.disk, self.number, after_sequence, rows)

    def row_of(self, sequence: int) -> Batch:
        return _row_of(self.disk, self.number, sequence)

    async def settle(self) -> None:
        def write() -> None:
            self.file.is_settled = True

        self.durably(write)

    async def close(self) -> None:
        pass


class SettledSegment:
    """The same, for anybody."""

    def __init__(self, disk: Disk, number: int) -> None:
        assert disk.files[number].is_settled
        self._disk = disk
        self._number = number

    def read(self, after_sequence: int, rows: int) -> list[Batch]:
        return _read(self._disk, self._number, after_sequence, rows)

    def row_of(self, sequence: int) -> Batch:
        return _row_of(self._disk, self._number, sequence)

    def close(self) -> None:
        pass


def _read(disk: Disk, number: int, after_sequence: int, rows: int) -> list[Batch]:
    found = [r for r in disk.read(number) if r.first_sequence > after_sequence]
    return found[:rows]


def _row_of(disk: Disk, number: int, sequence: int) -> Batch:
    rows = [row for row in disk.read(number) if row.first_sequence <= sequence]
    if not rows:  # It was put back while its writer was frozen.
        raise JournalRefused(f"{disk.name} is damaged: no row has {sequence}")
    return rows[-1]


class DiskStorage:
    """The segments of one journal, for the process that holds the lock."""

    def __init__(self, disk: Disk, process: Process, segment: type[Segment]) -> None:
        if disk.owner is not None:
            raise JournalInUse(f"{disk.name} is in use by {disk.owner.name}")
        disk.owner = process
        process.on_end.append(self.close)
        self.name = disk.name
        self.pieces = disk.pieces
        self._disk = disk
        self._process = process
        self._segment = segment

    def name_of(self, number: int) -> str:
        return f"{self.name}.{number}"

    def heads(self) -> list[Head]:
        return self._disk.heads()

    async def create(self, number: int, identity: Identity) -> None:
        if self._disk.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        begin = beginning_of(identity) if number == 1 else None
        self._disk.files.setdefault(number, File(identity, begin))

    async def open(self, number: int) -> Segment:
        return self._segment(self._disk, number, self._process)

    def settle(self, number: int) -> None:
        self._disk.files[number].is_settled = True

    def sealed(self, number: int) -> SettledSegment:
        return SettledSegment(self._disk, number)

    def saved(self) -> Iterator[tuple[str, int, bytes]]:
        return iter(self._disk.snapshots)

    def close(self) -> None:
        if self._disk.owner is self._process:
            self._disk.owner = None


class SmallJournal(Journal):
    """A journal whose segments are full soon."""

    segment_records = 0  # Of its disk.

    @property
    def is_full(self) -> bool:
        return self._next_sequence - 1 - self._begin.sequence >= self.segment_records


def slow(random: Random) -> int:
    """How long a sync takes on a bad day, in microseconds."""
    return random.choice([5 * MS, 50 * MS, SECOND // 2])
