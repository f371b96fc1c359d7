"""`python -m tests.crash --minutes N [--seed S]`: ordeals in a random order.

Every other round is the bank test; the others are the single faults, at full
volume, each once before any comes again.  Each round names its seed, and is
verified before the next begins.  The first that fails ends the run: its directory
is kept, and its seed alone (`--seed S --only NAME`) does the same again, as far as
processes can.
"""

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from random import Random

from tests.crash.bank import live_in_trouble
from tests.crash.cancellations import hang_up
from tests.crash.corruption import flip_bits, served_directory
from tests.crash.cut_over import close_days
from tests.crash.disk_faults import fail_disk, fill_disk, may_mount
from tests.crash.duplicates import send_many_times
from tests.crash.exhaustion import exhaust
from tests.crash.pauses import live_through_freezes
from tests.crash.power import fail_power
from tests.crash.ray_head import behead
from tests.crash.reversals import race
from tests.crash.steps import GRANT_KILLS, KILLS, live_through

_BANK_SECONDS = 45.0
_DISK_FAULTS = ("sync EIO", "write ENOSPC", "write EIO")


async def _flip(directory: Path, seed: int) -> str:
    told = []
    for is_killed in (True, False):
        served = await served_directory(directory, is_killed=is_killed)
        refused = await flip_bits(directory, served, seed, 100)
        told.append(f"{refused} of 100 refused, the rest harmless")
    return "; ".join(told)


async def _power(directory: Path, seed: int) -> str:
    rows = await asyncio.to_thread(fail_power, directory, seed, 200)
    return f"{rows} rows through 200 power failures"


async def _exhaust(directory: Path, seed: int) -> str:
    assert 0 == await exhaust(directory, seed, 12)
    return "used to the last minor unit"


async def _fill(directory: Path, seed: int) -> str:
    if not may_mount():
        return "not possible: this user may not mount a file system"
    await fill_disk(directory, seed)
    return ""


ORDEALS: dict[str, Callable[[Path, int], Coroutine[None, None, object]]] = {
    "bank": lambda path, seed: live_in_trouble(path, seed, _BANK_SECONDS),
    "steps": lambda path, seed: live_through(path, seed, KILLS + GRANT_KILLS),
    "freezes": live_through_freezes,
    "duplicates": lambda path, seed: send_many_times(path, seed, 1_000, 50),
    "cancellations": lambda path, seed: hang_up(path, seed, 10_000),
    "exhaustion": _exhaust,
    "reversals": lambda path, seed: race(path, seed, 300),
    "days": lambda path, seed: close_days(path, seed, 10),
    "corruption": _flip,
    "power": _power,
    "disk": lambda path, seed: fail_disk(path, seed, _DISK_FAULTS),
    "full disk": _fill,
    "ray control store": lambda path, seed: behead(path, seed, "gcs"),
    "raylet": lambda path, seed: behead(path, seed, "raylet"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run for as long as asked; 1 as soon as something is lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", choices=ORDEALS, default=None)
    asked = parser.parse_args(arguments)
    seed = secrets.randbelow(10**6) if asked.seed is None else asked.seed
    ends = time.monotonic() + 60 * asked.minutes
    print(f"seed {seed}", flush=True)
    rounds = 0
    names = _order(seed, asked.only)
    while rounds == 0 or time.monotonic() < ends:
        if not _round(next(names), seed + rounds):
            return 1
        rounds += 1
    print(f"{rounds} rounds, nothing lost, nothing doubled", flush=True)
    return 0


def _order(seed: int, only: str | None) -> Iterator[str]:
    """The bank test every other time, and all the others before one again."""
    random = Random(seed)
    while True:
        others = [name for name in ORDEALS if name != "bank"]
        random.shuffle(others)
        for name in others:
            yield from (only,) if only else ("bank", name)


def _round(name: str, seed: int) -> bool:
    directory = Path(tempfile.mkdtemp(prefix="forebay-crash-"))
    began = time.monotonic()
    try:
        told = asyncio.run(ORDEALS[name](directory, seed))
    except Exception:  # Goes on: to say where it failed, and to keep it.
        traceback.print_exc()
        print(f"FAILED {name}, seed {seed}: {directory} is kept", flush=True)
        return False
    seconds = time.monotonic() - began
    print(f"{name}, seed {seed}: {seconds:.0f} s  {told or ''}".rstrip(), flush=True)
    shutil.rmtree(directory)
    return True


if __name__ == "__main__":
    sys.exit(main())
