"""What `forebay backup` and `forebay restore` do and say, with a bar of progress."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from actors.cuts import SealedCut
from gateway.backup import (
    Advance,
    Backup,
    BackupRefused,
    backup_in,
    bytes_of,
    manifest_of,
    restore_backup,
    take_backup,
)
from gateway.routes import SEALINGS_PATH

Asked = Any  # How a server is asked: method, address and key → the JSON.


def run_backup(
    directory: Path, data_dir: Path, url: str, key: str, asked: Asked
) -> str:
    """Back a running system up; what was done, in a sentence.

    Raises BackupRefused, JournalRefused, OSError.
    """
    manifest_of(data_dir)  # Before anything is sealed.
    told = asked("POST", f"{url}{SEALINGS_PATH}", key)
    try:
        cut = msgspec.convert(told, SealedCut)
    except msgspec.ValidationError as error:
        raise BackupRefused(f"{url} gave another answer: {error}") from error
    with _progress("Copying", bytes_of(data_dir, cut)) as advance:
        backup = take_backup(data_dir, directory, cut, advance)
    return (
        f"{directory} has {_records(backup)} of {len(cut.journals)} journals; "
        f"settlement stood still for {cut.stood_still_ms} ms."
    )


def run_restore(directory: Path, data_dir: Path) -> str:
    """Put a backup into an empty directory; what was done, in a sentence.

    Raises BackupRefused, JournalRefused, OSError.
    """
    files = backup_in(directory).files
    missing = [name for name in files if not (directory / name).is_file()]
    if missing:
        raise BackupRefused(f"{directory / missing[0]} is missing")
    size = sum((directory / name).stat().st_size for name in files)
    with _progress("Restoring", size) as advance:
        backup = restore_backup(directory, data_dir, advance)
    return (
        f"{data_dir} has {_records(backup)}. API keys are not in a backup: make them "
        f"with `forebay keys add --data-dir {data_dir}`, for the same callers."
    )


def _records(backup: Backup) -> str:
    return f"{sum(journal.sequence for journal in backup.journals):,} records"


@contextmanager
def _progress(what: str, size: int) -> Iterator[Advance]:
    console = Console(stderr=True)
    with Progress(
        TextColumn(what),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(what, total=size)
        yield lambda count: progress.advance(task, count)
