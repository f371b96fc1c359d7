"""What a measurement stands on: the disk under the journals, and who used the CPU.

Durability on a file system in memory costs nothing and proves nothing, so a
benchmark looks before it starts.  Linux only, by way of /proc.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

_IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
_SYNCS = 100
_SYNC_BYTES = 4_096
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class NoDisk(Exception):
    """There is no directory on a real disk to put journals in."""


class Disk(msgspec.Struct, frozen=True):
    """Where a directory really is, and what one sync costs there."""

    directory: Path
    kind: str
    device: str
    sync_ms_median: float


def work_directory(wanted: Path | None) -> Path:
    """A new directory on a real disk: under `wanted`, or where there is one.

    Raises NoDisk.
    """
    places = [wanted] if wanted else [Path(tempfile.gettempdir()), Path("/var/tmp")]
    if not wanted:
        places.append(Path.cwd())
    for place in places:
        if place.is_dir() and file_system(place)[0] not in _IN_MEMORY:
            return Path(tempfile.mkdtemp(prefix="forebay-work-", dir=place))
    names = ", ".join(str(place) for place in places)
    raise NoDisk(f"no directory on a real disk among {names}: name one with --work-dir")


def file_system(directory: Path) -> tuple[str, str]:
    """The kind and the device of the file system a directory is on."""
    wanted = directory.resolve()
    found, kind, device = Path("/"), "unknown", "unknown"
    for line in Path("/proc/self/mounts").read_text().splitlines():
        source, mount, mount_kind = line.split(" ")[:3]
        where = Path(mount.encode().decode("unicode_escape"))
        if wanted.is_relative_to(where) and where.is_relative_to(found):
            found, kind, device = where, mount_kind, source
    return kind, device


def disk_of(directory: Path) -> Disk:
    """The disk under a directory; syncs a small file there a hundred times."""
    path = directory / "sync"
    took_ms = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            began = time.perf_counter()
            file.write(bytes(_SYNC_BYTES))
            os.fdatasync(file.fileno())
            took_ms.append(1_000 * (time.perf_counter() - began))
    path.unlink()
    return Disk(directory, *file_system(directory), statistics.median(took_ms))


def cpu_seconds(pid: int) -> float:
    """The CPU a process has used so far, in user and system mode, all threads."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def resident_mb(pid: int) -> int:
    """The memory a process has now, in megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def machine_cpu_seconds() -> float:
    """The CPU that all processes of the machine have used so far."""
    first = Path("/proc/stat").read_text().partition("\n")[0]
    user, nice, system, _idle, _iowait, irq, soft, *_ = map(int, first.split()[1:])
    return (user + nice + system + irq + soft) / _TICKS_PER_SECOND
