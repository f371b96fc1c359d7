"""Everything a load test is: where, how much, over which accounts.

Made once, written to a file that only its owner may read (the API key is in
it), and read by the Locust process.  Nothing else is configured anywhere.
"""

import os
from pathlib import Path
from random import Random

import msgspec

from loadtest.wishes import Lot

LASTING_PER_USER = 20
LAPSING_PER_USER = 2
EXPIRY_SECONDS = 2  # Of what is left alone.
TOLERANCE_PPM = 100_000
_MERCHANTS = 25
PLAN_VARIABLE = "FOREBAY_LOADTEST_PLAN"


class Program(msgspec.Struct, frozen=True):
    """A program of the stage, with lenders of its own, so that sums are exact."""

    program_id: str
    shares_ppm: dict[str, int]
    capture_tolerance_ppm: int
    expiry_seconds: int


class Plan(msgspec.Struct, frozen=True):
    """One load test.  `prefix` makes all its names its own."""

    url: str
    key: str
    seed: int
    prefix: str
    users: int
    seconds: float
    per_second: float
    record: str
    programs: tuple[Program, ...]
    merchants: tuple[str, ...]
    lots: tuple[tuple[Lot, ...], ...]  # Each user's own.

    @property
    def user_names(self) -> list[str]:
        """What the requests of each user begin with."""
        return [f"{self.prefix}-u{number}" for number in range(self.users)]


def make_plan(
    url: str,
    key: str,
    seed: int,
    prefix: str,
    users: int,
    seconds: float,
    per_second: float,
    record: Path,
) -> Plan:
    """The plan of a seed; the same seed and prefix give the same lots."""
    programs = _programs(prefix)
    random = Random(f"{seed}:lots")
    return Plan(
        url,
        key,
        seed,
        prefix,
        users,
        seconds,
        per_second,
        str(record),
        programs,
        tuple(f"{prefix}-shop-{number:02d}" for number in range(_MERCHANTS)),
        tuple(_lots(prefix, user, programs, random) for user in range(users)),
    )


def _programs(prefix: str) -> tuple[Program, ...]:
    day = 24 * 3_600
    solo, joint, brief = f"{prefix}-solo", f"{prefix}-joint", f"{prefix}-brief"
    return (
        Program(solo, {f"{solo}-a": 1_000_000}, 0, day),
        Program(
            joint,
            {f"{joint}-a": 300_000, f"{joint}-b": 500_000, f"{joint}-c": 200_000},
            TOLERANCE_PPM,
            day,
        ),
        Program(brief, {f"{brief}-a": 1_000_000}, 0, EXPIRY_SECONDS),
    )


def _lots(
    prefix: str, user: int, programs: tuple[Program, ...], random: Random
) -> tuple[Lot, ...]:
    solo, joint, brief = programs
    chosen = [random.choice((solo, joint)) for _ in range(LASTING_PER_USER)]
    chosen += [brief] * LAPSING_PER_USER
    return tuple(
        Lot(
            f"{prefix}-u{user}-a{number}",
            program.program_id,
            random.randrange(20_000, 300_000),
            program.capture_tolerance_ppm,
            program is brief,
        )
        for number, program in enumerate(chosen)
    )


def write_plan(plan: Plan, path: Path) -> None:
    """Write it where the Locust process will look; only the owner may read it."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.encode(plan))


def read_plan(path: Path) -> Plan:
    """The plan of a file."""
    return msgspec.json.decode(path.read_bytes(), type=Plan)
