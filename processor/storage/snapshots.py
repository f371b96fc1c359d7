"""The files of snapshots, beside the journal they were made from.

    shard-000.journal.000000204800.snapshot     of the state after record 204 800

Written as a draft, synced and renamed, so a snapshot is whole or not there.
"""

from collections.abc import Iterator
from pathlib import Path

from processor.storage.files import KEEPERS_DRAFT, draft_of, publish

_ENDING = ".snapshot"
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
