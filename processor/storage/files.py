"""Files that are whole or not there: locks, drafts, and what a crash leaves.

A file that others rely on is written as a draft, synced, and then renamed; so
whoever finds it under its name finds all of it.
"""

import fcntl
import os
from pathlib import Path

from processor.chain import JournalInUse, JournalRefused

# How drafts end: those of a journal's owner, and those of whoever keeps it.
DRAFT = ".draft"
KEEPERS_DRAFT = ".keeping"


def lock_journal(path: Path) -> int:
    """Hold `<journal>.lock`, or raise JournalInUse and say who has it."""
    lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(lock, 64).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise JournalInUse(
            f"{path} is in use by process {owner}; a journal has one owner"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def check_file(path: Path) -> None:
    """Raise JournalRefused unless the file exists and is not empty."""
    if not path.exists():
        raise JournalRefused(
            f"{path} is missing; it is never created again: restore it from a backup"
        )
    if path.stat().st_size == 0:
        raise JournalRefused(f"{path} is empty: restore it from a backup")


def forget_drafts(path: Path, ending: str) -> None:
    """Remove what was left unfinished of the journal at `path`."""
    for leftover in path.parent.glob(f"{path.name}*{ending}*"):
        leftover.unlink()


def draft_of(path: Path, ending: str = DRAFT) -> Path:
    """Where a file is written before it has its name; nothing is there yet."""
    draft = path.with_name(path.name + ending)
    for leftover in (draft, Path(f"{draft}-journal")):
        leftover.unlink(missing_ok=True)
    return draft


def publish(draft: Path, path: Path) -> None:
    """Give a draft its name, durably; what had it before is replaced."""
    sync(draft)
    draft.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
