"""The disk fails or is full while a crowd buys.  (Fault 7.)

A node whose append fails ends at once and comes back only when its journal can
be written again.  Until then nobody is told yes or no; then nothing is missing.
"""

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash.crowd import Crowd
from tests.crash.disk import BadDisk
from tests.processes import RunningServer

_USERS = 8
_QUIET_SECONDS = 1.5
_SMALL = "12m"


async def fail_disk(directory: Path, seed: int, faults: tuple[str, ...]) -> int:
    """Each fault in turn, for as long as it takes until nothing is answered.

    How many answers there were, all of them right.
    """
    disk = BadDisk(directory)
    server = RunningServer(directory / "data")
    server.environment = disk.environment(is_forgetful=False)
    server.start("--shards", "2")
    try:
        crowd = Crowd(server, directory, seed, _USERS)
        await asyncio.to_thread(crowd.set_stage)
        living = asyncio.create_task(crowd.live())
        for fault in faults:
            await crowd.until(200)
            disk.fail(fault)
            await _until_silent(crowd)
            disk.mend()
        await crowd.until(200)
        crowd.stop()
        await living
        await asyncio.to_thread(crowd.reconcile)
    finally:
        server.terminate()
    return crowd.verify()


async def fill_disk(directory: Path, seed: int) -> None:
    """A file system of a few megabytes is full; then there is more of it."""
    with _small_disk(directory / "data") as (data_dir, grow):
        server = RunningServer(data_dir)
        server.start("--shards", "2")
        try:
            crowd = Crowd(server, directory, seed, _USERS)
            await asyncio.to_thread(crowd.set_stage)
            living = asyncio.create_task(crowd.live())
            await asyncio.to_thread(
                server.wait_until, "a full disk", lambda: _is_full(server.log)
            )
            await _until_silent(crowd)
            await asyncio.to_thread(
                server.wait_until,
                "the reason",
                lambda: any(map(_is_full, _why_not_started(server.log))),
            )
            grow()
            await crowd.until(200)
            crowd.stop()
            await living
            await asyncio.to_thread(crowd.reconcile)
        finally:
            server.terminate()
        crowd.verify()


def _is_full(told: str) -> bool:
    """SQLite's words, or the system's: whoever wanted room first."""
    return "disk is full" in told or "No space left on device" in told


def _why_not_started(log: str) -> list[str]:
    return re.findall(r"cannot start: (.*)", log)


async def _until_silent(crowd: Crowd) -> None:
    """Until for a while not one answer comes: customers wait for theirs then."""
    answers = -1
    while answers != crowd.answers:
        answers = crowd.answers
        await asyncio.sleep(_QUIET_SECONDS)


def may_mount() -> bool:
    """Whether this user may mount a file system."""
    tried = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    return tried.returncode == 0


@contextmanager
def _small_disk(path: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A tiny tmpfs, and how to make it larger."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mount, f"size={_SMALL}", "none", str(path)], check=True)

    def grow() -> None:
        subprocess.run(
            ["mount", "-o", "remount,size=256m", "none", str(path)], check=True
        )

    try:
        yield path, grow
    finally:
        subprocess.run(["umount", str(path)], check=True)
