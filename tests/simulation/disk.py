"""The disk under one journal, row by row.

What SQLite promises with `synchronous=FULL` is taken for granted: a row is
there wholly or not at all, and it is there when `append` returns.  After an
append that raised nobody knows.  All the rest is the journal's own code: epochs,
sequences, chains, and what is refused.

A disk can fail an append (EIO, ENOSPC), be slow, kill its process right before
or after a row is durable, tear the row that is being written, rot (one bit of
one row), and be replaced by an old copy of itself.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from pathlib import Path
from random import Random

import msgspec

from processor.journal import (
    Batch,
    Fenced,
    Identity,
    JournalInUse,
    JournalRefused,
    chain_of,
    chain_start,
    check_batch,
)
from tests.simulation.virtual import MS, Killed, Process

Wrote = Callable[["Disk", Batch], None]


class Fault(StrEnum):
    """What happens at an append."""

    KILLED_BEFORE = "killed before the append"
    KILLED_AFTER = "killed after the append"
    TORN = "killed while the row was being written"
    EIO = "EIO, the row is not there"
    EIO_DURABLE = "EIO, the row is there"


class Disk:
    """One journal file; it survives every process."""

    def __init__(self, identity: Identity, wrote: Wrote) -> None:
        self.identity = identity
        self.epoch = 0
        self.rows: list[Batch] = []
        self.torn: Batch | None = None  # A tail that SQLite drops when it opens.
        self.owner: Process | None = None  # Who holds the lock.
        self.is_full = False
        self.append_us = 300
        self.armed: list[Fault] = []  # For the next appends.
        self.wrote = wrote
        self._rotten: dict[int, Batch] = {}  # By place: what is read instead.
        self._newest: tuple[int, list[Batch]] | None = None

    @property
    def path(self) -> Path:
        """As messages name it."""
        number = f"-{self.identity.number:03d}"
        kind = self.identity.kind
        return Path(f"{kind}{number if kind == 'shard' else ''}.sqlite")

    @property
    def sequence(self) -> int:
        """The last durable record."""
        return self.rows[-1].last_sequence if self.rows else 0

    @property
    def is_good(self) -> bool:
        """Whether this is the journal, and not an old copy in its place."""
        return self._newest is None

    @property
    def is_rotten(self) -> bool:
        """Whether a row is not what was written."""
        return bool(self._rotten)

    def read(self) -> list[Batch]:
        """What the file says."""
        rows = list(self.rows)
        for place, row in self._rotten.items():
            rows[place] = row
        return rows

    def restore(self) -> None:
        """Put the newest good copy back."""
        self._rotten.clear()
        if self._newest is not None:
            self.epoch, self.rows = self._newest
            self._newest = None

    def go_back(self, rows: int) -> None:
        """Put an old copy in place: so many rows, and the epoch of then."""
        assert self._newest is None
        self._newest = (self.epoch, self.rows)
        self.rows = self.rows[:rows]
        self.epoch = self.rows[-1].epoch if self.rows else 1

    def rot(self, random: Random) -> str:
        """Flip one bit of one row; says where."""
        place = random.randrange(len(self.rows))
        row = self.rows[place]
        name = random.choice(["records", "chain", "day", "at_ms", "epoch"])
        value = getattr(row, name)
        if isinstance(value, int):
            value ^= 1 << random.randrange(20)
        else:
            octets = bytearray(value if isinstance(value, bytes) else value.encode())
            octets[random.randrange(len(octets))] ^= 1 << random.randrange(7)
            value = bytes(octets) if name != "day" else octets.decode()
        self._rotten[place] = msgspec.structs.replace(row, **{name: value})
        return f"{name} of row {place} of {len(self.rows)}"


class SimulatedJournal:
    """An open journal, as `processor.journal.Journal` is one."""

    def __init__(self, disk: Disk, process: Process) -> None:
        self.disk = disk
        self.process = process
        self.identity = disk.identity
        self.path = disk.path
        self.epoch = 0
        self._next_sequence = 1
        self._chain = chain_start(disk.identity)

    @classmethod
    def open(cls, disk: Disk, process: Process) -> "SimulatedJournal":
        """Take the lock and the next epoch."""
        if disk.owner is not None:
            raise JournalInUse(f"{disk.path} is in use by {disk.owner.name}")
        if disk.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        disk.torn = None
        disk.owner = process
        process.on_end.append(lambda: cls._unlock(disk, process))
        disk.epoch += 1
        journal = cls(disk, process)
        journal.epoch = disk.epoch
        return journal

    @staticmethod
    def _unlock(disk: Disk, process: Process) -> None:
        if disk.owner is process:
            disk.owner = None

    async def recover(self) -> AsyncIterator[Batch]:
        """Every row from the first, each checked."""
        for batch in self.disk.read():
            self._chain = check_batch(
                self.path, batch, self._next_sequence, self._chain
            )
            self._next_sequence = batch.last_sequence + 1
            yield batch

    async def read(self, after_sequence: int, rows: int) -> list[Batch]:
        """Rows that begin after a sequence."""
        found = [r for r in self.disk.read() if r.first_sequence > after_sequence]
        return found[:rows]

    def row_of(self, sequence: int) -> Batch:
        """The row that holds a record."""
        for row in reversed(self.disk.read()):
            if row.first_sequence <= sequence:
                return row
        raise JournalRefused(f"{self.path} is damaged: no record {sequence}")

    def append(self, count: int, day: str, at_ms: int, records: bytes) -> None:
        """One row, durable when this returns."""
        disk = self.disk
        row = self.row(count, day, at_ms, records)
        self.process.is_busy_for(disk.append_us)
        if disk.epoch != self.epoch:
            raise Fenced(f"{self.path} has a later writer than epoch {self.epoch}")
        if disk.is_full:
            raise sqlite3.OperationalError("database or disk is full")
        fault = disk.armed.pop(0) if disk.armed else None
        if fault is Fault.KILLED_BEFORE:
            raise Killed
        if fault is Fault.TORN:
            disk.torn = row
            raise Killed
        if fault is Fault.EIO:
            raise sqlite3.OperationalError("disk I/O error")
        if any(r.first_sequence == row.first_sequence for r in disk.rows[-8:]):
            raise sqlite3.IntegrityError("UNIQUE constraint failed")
        self.write(row)
        if fault is Fault.KILLED_AFTER:
            raise Killed
        if fault is Fault.EIO_DURABLE:
            raise sqlite3.OperationalError("disk I/O error")
        self._next_sequence = row.last_sequence + 1
        self._chain = row.chain

    def row(self, count: int, day: str, at_ms: int, records: bytes) -> Batch:
        """The row as it would be written."""
        first = self._next_sequence
        last = first + count - 1
        chain = chain_of(self._chain, first, last, self.epoch, day, at_ms, records)
        return Batch(first, last, self.epoch, day, at_ms, records, chain)

    def write(self, row: Batch) -> None:
        """Make a row durable."""
        self.disk.rows.append(row)
        self.disk.wrote(self.disk, row)

    async def close(self) -> None:
        """Let the next writer in."""
        self._unlock(self.disk, self.process)


def slow(random: Random) -> int:
    """How long a sync takes on a bad day, in microseconds."""
    return random.choice([5 * MS, 50 * MS, 400 * MS])
