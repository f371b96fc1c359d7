"""Is this version faster or slower than another checkout of it?

    python -m benchmarks.versus DIRECTORY [--rounds 20] [--seconds 1.5]

Starts a server of each, on empty data directories, and presses them in turn with
purchase authorizations, A B B A A B …, as `benchmarks.authorize` does: what slows
the machine for a second slows both.  Printed are the medians, and the median over
rounds of the ratio within each.  Both have the packages of this one's environment.

The CPU columns are microseconds a request in gateway and nodes; the steadier
figures, because who else uses the machine is not in them.
"""

import argparse
import contextlib
import shutil
import statistics
import sys
from pathlib import Path

import msgspec

from benchmarks.client import Client, Refused
from benchmarks.machine import NoDisk, cpu_seconds, disk_of, work_directory
from benchmarks.press import Press, PressFailed
from benchmarks.server import Server, ServerFailed, started_server
from benchmarks.stage import AUTHORIZE, check_books, server_pids, set_stage

_ACCOUNTS = 10_000
_CONNECTIONS = 64
_HERE = Path(__file__).parent.parent
_FAILURES = (NoDisk, ServerFailed, PressFailed, Refused, OSError)


class Figures(msgspec.Struct, frozen=True):
    """The answer, as the last line prints it: this version's, and the other's."""

    this_per_s: int
    other_per_s: int
    ratio: float
    ratio_quartiles: list[float]
    this_cpu_us: float
    other_cpu_us: float
    ratio_cpu: float
    rounds: int
    approved: int


class Round(msgspec.Struct, frozen=True):
    """One measurement: authorizations a second, and CPU microseconds for each."""

    per_s: float
    gateway_us: float
    nodes_us: float

    @property
    def cpu_us(self) -> float:
        """Of gateway and nodes together."""
        return self.gateway_us + self.nodes_us


class Side:
    """A server on its stage, and all that was measured of it."""

    def __init__(self, work_dir: Path, server: Server, press_seconds: float) -> None:
        self._server = server
        self._pids = server_pids(server)
        self._press = Press(work_dir, server.port, server.key, _ACCOUNTS)
        self._seconds = press_seconds
        self._approved_minor = 0
        self.approved = 0
        self.rounds: list[Round] = []
        with Client(server.url, server.key) as client:
            set_stage(client, _ACCOUNTS)

    def measure(self) -> Round:
        """Press it once.  Raises PressFailed if not all was approved."""
        before = [cpu_seconds(pid) for pid in self._pids]
        pressed = self._press.run(AUTHORIZE, _CONNECTIONS, self._seconds)
        after = [cpu_seconds(pid) for pid in self._pids]
        if pressed.complaint:
            raise PressFailed(pressed.complaint)
        self.approved += pressed.approved
        self._approved_minor += pressed.approved_minor
        gateway, *nodes = (b - a for a, b in zip(before, after, strict=True))
        us = 1e6 / pressed.answered
        return Round(pressed.per_s, gateway * us, sum(nodes) * us)

    def check(self) -> None:
        """Hold its books against what was approved.  Raises Refused."""
        with Client(self._server.url, self._server.key) as client:
            check_books(client, self.approved, self._approved_minor)


def run(other: Path, rounds: int, seconds: float, wanted: Path | None) -> Figures:
    """The whole comparison.  Raises one of _FAILURES when it proves nothing."""
    work_dir = work_directory(wanted)
    try:
        disk_of(work_dir)
        with contextlib.ExitStack() as stack:
            sides = []
            for name, tree in (("this", _HERE), ("other", other)):
                own = work_dir / name
                own.mkdir()
                server = stack.enter_context(started_server(own, tree=tree))
                sides.append(Side(own, server, seconds))
            for side in sides:
                side.measure()  # The warm-up.
            _tell("          this                      other")
            _tell("   per s  gateway  nodes    per s  gateway  nodes    ratio")
            for number in range(rounds):
                # Neither is always the one that finds the disk busy.
                for side in sides if number % 2 == 0 else reversed(sides):
                    side.rounds.append(side.measure())
                _tell_round(sides[0].rounds[-1], sides[1].rounds[-1])
            for side in sides:
                side.check()
            return _figures(*sides)
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def _figures(this: Side, other: Side) -> Figures:
    pairs = list(zip(this.rounds, other.rounds, strict=True))
    ratios = [a.per_s / b.per_s for a, b in pairs]
    return Figures(
        this_per_s=round(statistics.median(a.per_s for a, _ in pairs)),
        other_per_s=round(statistics.median(b.per_s for _, b in pairs)),
        ratio=round(statistics.median(ratios), 3),
        ratio_quartiles=[round(cut, 3) for cut in statistics.quantiles(ratios)],
        this_cpu_us=round(statistics.median(a.cpu_us for a, _ in pairs), 1),
        other_cpu_us=round(statistics.median(b.cpu_us for _, b in pairs), 1),
        ratio_cpu=round(statistics.median(a.cpu_us / b.cpu_us for a, b in pairs), 3),
        rounds=len(pairs),
        approved=this.approved + other.approved,
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tell_round(this: Round, other: Round) -> None:
    _tell(
        f"{this.per_s:8,.0f} {this.gateway_us:8.1f} {this.nodes_us:6.1f} "
        f"{other.per_s:8,.0f} {other.gateway_us:8.1f} {other.nodes_us:6.1f} "
        f"{this.per_s / other.per_s:8.3f}"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run and print; 1 when the comparison proves nothing."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.versus",
        description="Authorizations a second, beside those of another checkout.",
    )
    add = parser.add_argument
    add("directory", type=Path, help="the other checkout")
    add("--rounds", type=int, default=20, help="default: 20")
    add("--seconds", type=float, default=1.5, help="of each, default: 1.5")
    add("--work-dir", type=Path, help="a directory on a real disk")
    asked = parser.parse_args(arguments)
    if asked.rounds < 2:
        parser.error("two rounds are the least: neither is always the first")
    if not (asked.directory / "processor").is_dir():
        parser.error(f"{asked.directory} is no checkout of Forebay")
    try:
        figures = run(
            asked.directory.resolve(), asked.rounds, asked.seconds, asked.work_dir
        )
    except _FAILURES as error:
        _tell(f"benchmarks.versus: {error}")
        return 1
    print(msgspec.json.encode(figures).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
