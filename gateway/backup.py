"""`forebay backup` and `forebay restore`: sealed segments, copied and put back.

A backup is taken of a running system.  The server seals every journal at one
cut (`POST /v1/sealings`, see `actors/sealing.py`) and says how far that goes; what
is sealed never changes, so it is copied without hurry, by whoever may read the
data directory.  A path to write to is never told to the server.

`backup.json` is written last: a directory without it is not a whole backup.  It
has a checksum of each file, which is compared before anything is restored.
API keys are not in it: a backup goes where secrets should not.

To restore is to put the segments into an empty directory, each journal followed
by a blank segment to go on in, and the manifest last.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from hashlib import blake2b
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from actors.cuts import SealedCut, SealedJournal
from actors.manifest import Manifest, journal_path, node_names, save
from processor.chain import Head, check_row_of_segments
from processor.snapshot import SnapshotRefused, pieces_of
from processor.storage import segment
from processor.storage.directory import segment_path
from processor.storage.files import publish, sync
from processor.storage.sealed import Sealed
from processor.storage.snapshots import (
    FilePieces,
    snapshot_path,
    snapshot_sequences,
)

FORMAT = 1
_NAME = "backup.json"
_READ_BYTES = 1024 * 1024

Advance = Callable[[int], None]  # Told of bytes copied.


class BackupRefused(Exception):
    """The backup cannot be taken or restored; the message says why."""


class Backup(msgspec.Struct, frozen=True):
    """What a backup holds: the manifest, the cut, and every file's checksum."""

    format: int
    manifest: Manifest
    journals: list[SealedJournal]
    files: dict[str, str]  # By name, BLAKE2b in hexadecimal digits.


def take_backup(
    data_dir: Path, directory: Path, cut: SealedCut, advance: Advance
) -> Backup:
    """Copy what was sealed at a cut.  Raises BackupRefused, JournalRefused, OSError."""
    manifest = manifest_of(data_dir)
    if manifest.cluster_id != cut.cluster_id:
        raise BackupRefused(f"the server does not serve {data_dir}")
    _begin(directory)
    sums = {}
    for journal in cut.journals:
        for file in _segments_of(data_dir, journal):
            sums[file.name] = _copy(file, directory / file.name, advance)
        sums |= _copy_snapshot(data_dir, journal, directory, advance)
    for journal in cut.journals:
        _check_journal(directory, journal)
    backup = Backup(FORMAT, manifest, cut.journals, sums)
    draft = directory / f"{_NAME}.new"
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(backup), indent=2))
    publish(draft, directory / _NAME)
    return backup


def restore_backup(directory: Path, data_dir: Path, advance: Advance) -> Backup:
    """Put a backup where there is nothing.

    Raises BackupRefused, JournalRefused, OSError.
    """
    backup = backup_in(directory)
    _begin(data_dir)
    for name, expected in backup.files.items():
        if Path(name).name != name:
            raise BackupRefused(f"{directory / _NAME} names a file elsewhere: {name}")
        if not (directory / name).is_file():
            raise BackupRefused(f"{directory / name} is missing")
        if _copy(directory / name, data_dir / name, advance) != expected:
            raise BackupRefused(f"{directory / name} is damaged: its checksum differs")
    for journal in backup.journals:
        heads = _check_journal(data_dir, journal)
        following = segment_path(journal_path(data_dir, journal.name), len(heads) + 1)
        segment.create(following, len(heads) + 1, heads[0].identity)
    sync(data_dir)
    save(data_dir, backup.manifest)
    return backup


def bytes_of(data_dir: Path, cut: SealedCut) -> int:
    """How much there is to be copied."""
    size = 0
    for journal in cut.journals:
        size += sum(file.stat().st_size for file in _segments_of(data_dir, journal))
        with suppress(FileNotFoundError):  # The keeper has just made another.
            files = _snapshot_of(journal_path(data_dir, journal.name), journal)
            size += sum(file.stat().st_size for file in files)
    return size


def backup_in(directory: Path) -> Backup:
    """What a directory says it is a backup of.  Raises BackupRefused."""
    path = directory / _NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BackupRefused(f"{directory} is not a whole backup: no {_NAME}") from None
    try:
        told: dict[str, Any] = msgspec.json.decode(content, type=dict[str, Any])
        if told.get("format") != FORMAT:
            raise BackupRefused(
                f"{path} has backup format {told.get('format')}, this program reads "
                f"{FORMAT}"
            )
        backup = msgspec.convert(told, Backup)
    except msgspec.MsgspecError as error:
        raise BackupRefused(f"{path} is damaged: {error}") from error
    names = [journal.name for journal in backup.journals]
    if names != node_names(backup.manifest.shard_count):
        raise BackupRefused(f"{path} does not have every journal of its cluster")
    return backup


def manifest_of(data_dir: Path) -> Manifest:
    """The manifest of a data directory that is complete.  Raises BackupRefused."""
    try:
        manifest = msgspec.json.decode(
            (data_dir / "cluster.json").read_bytes(), type=Manifest
        )
    except (OSError, msgspec.MsgspecError) as error:
        raise BackupRefused(f"{data_dir} is not a data directory: {error}") from None
    if not manifest.is_ready:
        raise BackupRefused(f"{data_dir} is still being created")
    return manifest


def _begin(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise BackupRefused(f"{directory} is not empty")
    directory.mkdir(parents=True, exist_ok=True)


def _segments_of(data_dir: Path, journal: SealedJournal) -> list[Path]:
    path = journal_path(data_dir, journal.name)
    return [segment_path(path, number) for number in range(1, journal.segments + 1)]


def _snapshot_of(path: Path, journal: SealedJournal) -> list[Path]:
    """The newest snapshot that is not after the cut, and its pieces; none if bad.

    First what will soon be gone: the pieces that are not full are among the last.
    """
    for sequence in snapshot_sequences(path):
        if sequence <= journal.sequence:
            file = snapshot_path(path, sequence)
            try:
                needed = pieces_of(str(file), file.read_bytes())
            except SnapshotRefused:
                return []
            pieces = FilePieces(path, only_looks=True)
            needed.sort(key=attrgetter("size"))
            return [file, *(pieces.path_of(piece.name) for piece in needed)]
    return []


def _copy_snapshot(
    data_dir: Path, journal: SealedJournal, directory: Path, advance: Advance
) -> dict[str, str]:
    """Checksums of what was copied; nothing of a snapshot that is replaced meanwhile.

    The segments alone are a whole backup.
    """
    sums = {}
    try:
        for file in _snapshot_of(journal_path(data_dir, journal.name), journal):
            sums[file.name] = _copy(file, directory / file.name, advance)
    except FileNotFoundError:
        for name in sums:
            directory.joinpath(name).unlink()
        return {}
    return sums


def _copy(source: Path, target: Path, advance: Advance) -> str:
    """Copy a file durably; its checksum as it was read."""
    digest = blake2b(digest_size=32)
    with source.open("rb") as reading, target.open("wb") as writing:
        while some := reading.read(_READ_BYTES):
            digest.update(some)
            writing.write(some)
            advance(len(some))
    shutil.copystat(source, target)
    sync(target)
    return digest.hexdigest()


def _check_journal(directory: Path, journal: SealedJournal) -> list[Head]:
    """All its segments are there, fit each other, and end at the cut."""
    heads = []
    for number in range(1, journal.segments + 1):
        opened = Sealed(segment_path(journal_path(directory, journal.name), number))
        opened.close()
        heads.append(opened.head)
    check_row_of_segments(heads)
    end = heads[-1].end
    if end is None or (end.sequence, end.chain.hex()) != (
        journal.sequence,
        journal.chain,
    ):
        raise BackupRefused(f"{heads[-1].name} does not end at the cut of the backup")
    return heads
