"""Scratch on disk: files without names, gone with the process.

They lie on the journal's file system, are never synced, and their room is
allocated before it is used: a full disk is an error that ends the node, as it
does for the journal, and not a fault in the middle of a step.
"""

import itertools
import mmap
import os
import weakref
from pathlib import Path

from processor.scratch import Log, Sheet

_NUMBERS = itertools.count()


class FileLog:
    """A log in a file of its own."""

    def __init__(self, directory: Path) -> None:
        self._file = _nameless(directory)
        weakref.finalize(self, os.close, self._file)
        self._end = 0

    def append(self, octets: bytes) -> int:
        at, self._end = self._end, self._end + len(octets)
        left = memoryview(octets)
        while left:
            left = left[os.pwrite(self._file, left, self._end - len(left)) :]
        return at

    def read(self, at: int, size: int) -> bytes:
        return os.pread(self._file, size, at)


class FileSheet:
    """A sheet that is mapped from a file of its own.

    The kernel is told that it is used at random places.  Otherwise it reads around the
    first use of a page, megabytes at once, and a step has to wait until all of them
    are zero.
    """

    def __init__(self, directory: Path, size: int) -> None:
        self._file = _nameless(directory)
        self._close = weakref.finalize(self, os.close, self._file)
        os.posix_fallocate(self._file, 0, size)
        self.buffer = mmap.mmap(self._file, size)
        self.buffer.madvise(mmap.MADV_RANDOM)

    def grow(self, size: int) -> None:
        os.posix_fallocate(self._file, 0, size)
        self.buffer.resize(size)

    def close(self) -> None:
        self.buffer.close()
        self._close()


class FileScratch:
    """Logs and sheets as files in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def log(self) -> Log:
        return FileLog(self._directory)

    def sheet(self, size: int) -> Sheet:
        return FileSheet(self._directory, size)


def _nameless(directory: Path) -> int:
    """A file that has a name for a moment only; what a crash left of one is taken."""
    path = directory.joinpath(f"scratch-{os.getpid()}-{next(_NUMBERS)}")
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    path.unlink()
    return file
