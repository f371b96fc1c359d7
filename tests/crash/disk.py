"""A bad disk for journals: builds `disk.c`, orders its faults, loses what it may.

A power failure keeps what was synced.  Of what was only written it keeps, sector
by sector, some state between the last sync and the end.
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import msgspec
import pytest

_SOURCE = Path(__file__).with_name("disk.c")
_HEAD = struct.Struct("=IIQQQQ")
_SECTOR_BYTES = 512


class Entry(msgspec.Struct, frozen=True):
    """One write, and what stood there before; or a sync."""

    at_ns: int
    is_sync: bool
    path: Path
    offset: int
    length: int
    old: bytes


class BadDisk:
    """What to run a process with, and what to do to its files afterwards."""

    def __init__(self, directory: Path) -> None:
        self._fault = directory / "fault"
        self._undo = directory / "undo"
        self._undo.mkdir()
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler: the bad disk is a preloaded library")
        library = directory / "disk.so"
        subprocess.run(
            [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)],
            check=True,
        )
        self._library = library

    def environment(self, *, is_forgetful: bool) -> dict[str, str]:
        """The environment of a process on this disk."""
        variables = {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "FOREBAY_DISK_FAULT": str(self._fault),
        }
        if is_forgetful:
            variables["FOREBAY_DISK_UNDO"] = str(self._undo)
        return variables

    def fail(self, how: str) -> None:
        """From now on fail: "write ENOSPC", "write EIO" or "sync EIO"."""
        self._fault.write_text(how)

    def mend(self) -> None:
        """Work again."""
        self._fault.unlink()

    def lose_power(self, random: Random) -> int:
        """Take back what was not synced, in part; how many writes that were.

        Every process that wrote must be gone.
        """
        logs = sorted(self._undo.iterdir())
        entries = [entry for log in logs for entry in _entries(log.read_bytes())]
        lost = 0
        for path, writes in _unsynced(sorted(entries, key=lambda e: e.at_ns)).items():
            lost += len(writes)
            if path.exists():
                _tear(path, writes, random)
        for log in logs:
            log.unlink()
        return lost


def _unsynced(entries: list[Entry]) -> dict[Path, list[Entry]]:
    """Writes by file, without those before its last sync, whoever synced."""
    found: dict[Path, list[Entry]] = {}
    for entry in entries:
        if entry.is_sync:
            found.pop(entry.path, None)
        else:
            found.setdefault(entry.path, []).append(entry)
    return found


def _entries(log: bytes) -> Iterator[Entry]:
    at = 0
    while at < len(log):
        is_sync, path_bytes, *numbers, at_ns = _HEAD.unpack_from(log, at)
        offset, length, old_bytes = numbers
        at += _HEAD.size
        path = Path(log[at : at + path_bytes].decode())
        at += path_bytes
        old = log[at : at + old_bytes]
        at += old_bytes
        yield Entry(at_ns, bool(is_sync), path, offset, length, old)


def _tear(path: Path, writes: list[Entry], random: Random) -> None:
    """Leave each sector as it was after some of the writes to it, or before all."""
    content = bytearray(path.read_bytes())
    keeps_all = random.random() < 0.2
    keeps_none = not keeps_all and random.random() < 0.3
    survived: dict[int, int] = {}
    end = len(content)
    for number in range(len(writes) - 1, -1, -1):
        write = writes[number]
        first, last = write.offset, write.offset + write.length
        for sector in range(first // _SECTOR_BYTES, (last - 1) // _SECTOR_BYTES + 1):
            if sector not in survived:
                some = random.randint(0, len(writes))
                survived[sector] = (
                    len(writes) if keeps_all else 0 if keeps_none else some
                )
            if survived[sector] <= number:
                begin = max(first, sector * _SECTOR_BYTES)
                stop = min(last, (sector + 1) * _SECTOR_BYTES)
                old = write.old[begin - first : stop - first]
                content[begin:stop] = old.ljust(stop - begin, b"\0")
        if len(write.old) < write.length and keeps_none:
            end = min(end, write.offset + len(write.old))
    with path.open("r+b") as file:
        file.write(content)
        file.truncate(end)
