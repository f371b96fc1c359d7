"""The files of snapshots, beside the journal they were made from.

    shard-000.journal.000000204800.snapshot     of the state after record 204 800
    shard-000.journal.<32 digits>.piece         what snapshots share, by its content

Written as drafts, synced and renamed, so each is whole or not there.  A piece that
was found to be damaged ends in `.damaged`; nobody reads it again.
"""

import os
from collections import OrderedDict
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from weakref import finalize

from processor import limits
from processor.storage.files import KEEPERS_DRAFT, draft_of, publish

_ENDING = ".snapshot"
_PIECE = ".piece"
_DAMAGED = ".damaged"
_DIGITS = 12


def snapshot_path(path: Path, sequence: int) -> Path:
    """Where the snapshot after a record of the journal at `path` is."""
    return path.with_name(f"{path.name}.{sequence:0{_DIGITS}d}{_ENDING}")


def snapshot_sequences(path: Path) -> list[int]:
    """After which records there are snapshots, the newest first."""
    found = path.parent.glob(f"{path.name}.{'[0-9]' * _DIGITS}{_ENDING}")
    return sorted((int(file.name.split(".")[-2]) for file in found), reverse=True)


def read_snapshots(path: Path) -> Iterator[tuple[str, int, bytes]]:
    """Name, sequence and content of each, the newest first."""
    for sequence in snapshot_sequences(path):
        file = snapshot_path(path, sequence)
        yield str(file), sequence, file.read_bytes()


def write_snapshot(path: Path, sequence: int, saved: bytes) -> None:
    """Write one durably, in place of what may have been there."""
    file = snapshot_path(path, sequence)
    draft = draft_of(file, KEEPERS_DRAFT)
    draft.write_bytes(saved)
    publish(draft, file)


def forget_snapshots(path: Path, kept: int) -> None:
    """Remove all but the newest."""
    for sequence in snapshot_sequences(path)[kept:]:
        snapshot_path(path, sequence).unlink()


class FilePieces:
    """The pieces of one journal's snapshots; a few are kept open.

    Who only looks does not set aside what is damaged.
    """

    def __init__(self, path: Path, only_looks: bool = False) -> None:
        self._path = path
        self._only_looks = only_looks
        self._open: OrderedDict[str, int] = OrderedDict()  # The latest last.
        finalize(self, _close_all, self._open)

    def path_of(self, name: str) -> Path:
        """Where a piece is."""
        return self._path.with_name(f"{self._path.name}.{name}{_PIECE}")

    def put(self, name: str, blocks: bytes) -> None:
        """Write one durably, unless it is there."""
        file = self.path_of(name)
        if self.size(name) == len(blocks):
            return
        draft = draft_of(file, KEEPERS_DRAFT)
        draft.write_bytes(blocks)
        publish(draft, file)

    def size(self, name: str) -> int:
        """How many bytes there are of it; 0 if there is none."""
        try:
            return self.path_of(name).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, name: str, at: int, size: int) -> bytes:
        """What there is of its bytes.  Raises OSError."""
        file = self._open.get(name)
        if file is None:
            if len(self._open) >= limits.PIECE_READERS_MAX:
                os.close(self._open.popitem(last=False)[1])
            file = self._open[name] = os.open(self.path_of(name), os.O_RDONLY)
        self._open.move_to_end(name)
        return os.pread(file, size, at)

    def set_aside(self, name: str) -> None:
        """Nobody is to find it any more; people may look at it."""
        if self._only_looks:
            return
        file = self.path_of(name)
        with suppress(FileNotFoundError):  # Somebody else has.
            file.rename(f"{file}{_DAMAGED}")

    def forget_but(self, names: Collection[str]) -> None:
        """Remove those that are not needed."""
        ending = len(_PIECE)
        for file in self._path.parent.glob(f"{self._path.name}.*{_PIECE}"):
            if file.name[len(self._path.name) + 1 : -ending] not in names:
                file.unlink()


def _close_all(files: OrderedDict[str, int]) -> None:
    for file in files.values():
        os.close(file)
