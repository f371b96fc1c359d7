"""The files of one journal, side by side in a directory.

    shard-000.journal           the first segment
    shard-000.journal.000002    the next, and so on; the last is written
    shard-000.journal-wal       what is not in its file yet
    shard-000.journal.lock      who owns them all

    shard-000.journal.000000204800.snapshot     see `snapshots.py`
    shard-000.journal.<32 digits>.piece         of snapshots; see there

What ends in `.draft` was being made when a process ended, and is worth nothing.
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

from processor.chain import Head, Identity, JournalRefused
from processor.storage import segment
from processor.storage.files import DRAFT, check_file, forget_drafts
from processor.storage.sealed import Sealed
from processor.storage.snapshots import FilePieces, read_snapshots

_DIGITS = 6


def segment_path(path: Path, number: int) -> Path:
    """Where a segment of the journal at `path` is."""
    if number == 1:
        return path
    return path.with_name(f"{path.name}.{number:0{_DIGITS}d}")


def segment_numbers(path: Path) -> list[int]:
    """Which segments of the journal at `path` there are."""
    numbers = [1] if path.exists() else []
    later = path.parent.glob(f"{path.name}.{'[0-9]' * _DIGITS}")
    return sorted([*numbers, *(int(found.name[-_DIGITS:]) for found in later)])


class Directory:
    """A journal's files, for whoever holds its lock."""

    def __init__(self, path: Path, lock: int) -> None:
        self.name = str(path)
        self.pieces = FilePieces(path)
        self._path = path
        self._lock = lock

    def path_of(self, number: int) -> Path:
        """Where a segment is."""
        return segment_path(self._path, number)

    def name_of(self, number: int) -> str:
        """What people find a segment by."""
        return str(self.path_of(number))

    def heads(self) -> list[Head]:
        """All segments, the one of an older version taken over."""
        forget_drafts(self._path, DRAFT)
        numbers = segment_numbers(self._path)
        if numbers == [1]:
            check_file(self._path)
            segment.take_over(self._path)
        return self.heads_as_they_are()

    def heads_as_they_are(self) -> list[Head]:
        """All segments; nothing is changed.  Raises JournalRefused."""
        numbers = segment_numbers(self._path)
        if numbers and numbers[0] != 1:
            check_file(self._path)  # It is missing.
        return [segment.head_of(self.path_of(number)) for number in numbers]

    async def create(self, number: int, identity: Identity) -> None:
        """Make a segment, unless a blank one was left there; a thread waits for it."""
        await asyncio.to_thread(self._create, number, identity)

    def _create(self, number: int, identity: Identity) -> None:
        path = self.path_of(number)
        if path.exists():
            head = segment.head_of(path)
            if (head.number, head.identity, head.begin) != (number, identity, None):
                raise JournalRefused(f"{path} is in the way of the next segment")
            return
        segment.create(path, number, identity)

    async def open(self, number: int) -> segment.Segment:
        """The segment to be written."""
        return await segment.Segment.open(self.path_of(number))

    def settle(self, number: int) -> None:
        """What a crash has left to do after sealing."""
        segment.settle_sealed(self.path_of(number))

    def sealed(self, number: int) -> Sealed:
        """A settled segment."""
        return Sealed(self.path_of(number))

    def saved(self) -> Iterator[tuple[str, int, bytes]]:
        """The snapshots: name, sequence and content, the newest first."""
        return read_snapshots(self._path)

    def close(self) -> None:
        """Let the next writer in."""
        os.close(self._lock)
