"""Does it stay as it is, hour after hour, at 60 % of what it can do, with kills?

    python -m benchmarks.soak [--hours 1] [--quick]

Starts a server of its own on an empty data directory.  First the capacity: as many
of both as closed loops get done.  Then purchases that are debts at once, and
repayments, by a schedule that waits for nobody, 60 % of the capacity together; more
is repaid than bought, so that purchases are done after a while and leave memory.
Every few slices a node is killed in the middle of one.

After each slice: memory of its own (`RssAnon`) and open files of gateway and nodes,
and the files of the data directory but for what is kept for ever, the journals'
segments and the pieces of their snapshots.  What is compared are medians over the
first and the last third of the slices, of latencies only those without a kill.  In
the end the server's books are held against what was answered.

Fails when memory has grown by more than is stated for what is remembered, when
something is refused or unknown in a slice without a kill, when files are left open
or lying about, when the books differ, or when a node died that nobody killed.  The
drift of p99 is printed and not judged: it needs a machine on which nothing else runs.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.client import Client, Refused
from benchmarks.machine import NoDisk, disk_of, work_directory
from benchmarks.press import Flooded, Press, PressFailed
from benchmarks.server import Server, ServerFailed, started_server
from benchmarks.stage import AUTHORIZE, closed_day, set_stage

_REPAY = "/v1/repayments"
_ACCOUNTS = 10_000
_CONNECTIONS = 64
_TIMEOUT_MS = 2_000
_LOAD = 0.6
_REPAID_PART = 0.6  # Of all commands: three are repaid where two are bought.
_BYTES_A_COMMAND_MAX = 16  # A remembered request: 2 to 4 (`benchmarks.memory`).
_REFUSED_PART_MAX = 0.001  # Of a slice without a kill.
_NOISE_MB = 32
_NOISE_FILES = 16
_BACK_SECONDS_MAX = 60.0
_is_kept = re.compile(r".*\.journal(\.\d{6}|\.[0-9a-f]{32}\.piece)?").fullmatch
_FAILURES = (NoDisk, ServerFailed, PressFailed, Refused, OSError)


class Options(msgspec.Struct, frozen=True):
    """What was asked for."""

    seconds: float
    slice_seconds: float
    kill_every: int  # Slices.
    work_dir: Path | None


class Slice(msgspec.Struct, frozen=True):
    """What was seen in a part of the time, and right after it."""

    killed: str  # The node that was, or "".
    approved_p50_ms: float
    approved_p99_ms: float
    commands: int
    refused: int
    unknown: int
    gateway_mb: int
    nodes_mb: int
    open_files: int
    files: int


class Figures(msgspec.Struct, frozen=True):
    """The answer, as the last line prints it; pairs are of the first and last third."""

    capacity_per_s: int
    offered_per_s: int
    seconds: float
    commands: int
    kills: int
    refused: int
    unknown: int
    p50_ms: list[float]
    p99_ms: list[float]
    p99_drift: float
    gateway_mb: list[int]
    nodes_mb: list[int]
    node_bytes_a_command: float
    open_files: list[int]
    files: list[int]
    failed: list[str]


class Soak:
    """A staged server, pressed for hours."""

    def __init__(self, server: Server, work_dir: Path, options: Options) -> None:
        self._server = server
        self._options = options
        self._data_dir = work_dir / "data"
        more = ',"capture":true'
        to = (work_dir, server.port, server.key, _ACCOUNTS)
        self._buy = Press(*to, more, name="buy")
        self._repay = Press(*to, name="pay")
        self._approved = 0
        self._unknown = 0
        self._kills = 0

    def measure(self) -> Figures:
        """All of it.  Raises one of _FAILURES when it proves nothing."""
        options = self._options
        capacity = self._capacity()
        rate = _LOAD * capacity
        _tell(f"capacity {capacity:,.0f} a second; from now on {rate:,.0f}")
        slices: list[Slice] = []
        ends = time.monotonic() + options.seconds
        while time.monotonic() < ends or len(slices) < 3:
            is_deadly = len(slices) % options.kill_every == options.kill_every - 1
            slices.append(self._slice(rate, is_deadly))
            _tell(msgspec.json.encode(slices[-1]).decode())
        failed = [*judged(slices), *self._died_by_itself(), *self._books()]
        return figures(capacity, options, slices, self._kills, failed)

    def _capacity(self) -> float:
        """Commands a second of both kinds, as they are mixed from then on."""
        seconds_each = 0.0
        for press, path, part in self._pressed():
            for seconds in (1.0, 4.0):
                pressed = press.run(path, _CONNECTIONS, seconds)
                if pressed.complaint:
                    raise PressFailed(pressed.complaint)
                if press is self._buy:
                    self._approved += pressed.approved
            seconds_each += part / pressed.per_s
        return 1 / seconds_each

    def _pressed(self) -> list[tuple[Press, str, float]]:
        """Who asks for what, and which part of all commands that is."""
        return [
            (self._buy, AUTHORIZE, 1 - _REPAID_PART),
            (self._repay, _REPAY, _REPAID_PART),
        ]

    def _slice(self, rate: float, is_deadly: bool) -> Slice:
        seconds = self._options.slice_seconds
        killed = ""
        runs = [
            press.flood(
                path,
                _CONNECTIONS,
                seconds,
                rate_per_s=rate * part,
                timeout_ms=_TIMEOUT_MS,
            )
            for press, path, part in self._pressed()
        ]
        if is_deadly:
            time.sleep(seconds / 2)
            killed = self._kill()
        bought, repaid = (run.result() for run in runs)
        if killed:
            self._wait_for(killed)
        self._approved += bought.approved
        self._unknown += bought.unknown + bought.unanswered
        return self._seen(killed, bought, repaid)

    def _seen(self, killed: str, *runs: Flooded) -> Slice:
        gateway, *nodes = [self._server.pid, *self._nodes().values()]
        every = [path.name for path in self._data_dir.rglob("*")]
        others = [name for name in every if not _is_kept(name)]
        return Slice(
            killed,
            runs[0].approved_p50_ms,
            runs[0].approved_p99_ms,
            sum(run.answered for run in runs),
            sum(run.refused for run in runs),
            sum(run.unknown + run.unanswered for run in runs),
            _own_mb(gateway),
            sum(map(_own_mb, nodes)),
            sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in (gateway, *nodes)),
            len(others),
        )

    def _nodes(self) -> dict[str, int]:
        """The process of each node that answers."""
        with Client(self._server.url, self._server.key) as client:
            nodes: list[dict[str, Any]] = client.read("/v1/status")["nodes"]
        return {n["name"]: n["figures"]["pid"] for n in nodes if n["figures"]}

    def _kill(self) -> str:
        nodes = self._nodes()
        name = sorted(nodes)[self._kills % len(nodes)]
        os.kill(nodes[name], signal.SIGKILL)
        self._kills += 1
        return name

    def _wait_for(self, name: str) -> None:
        deadline = time.monotonic() + _BACK_SECONDS_MAX
        while name not in self._nodes():
            if time.monotonic() > deadline:
                raise ServerFailed(f"{name} did not come back")
            time.sleep(0.1)

    def _died_by_itself(self) -> list[str]:
        with Client(self._server.url, self._server.key) as client:
            nodes = client.read("/v1/status")["nodes"]
        deaths = sum(node["figures"]["deaths"] for node in nodes)
        return [f"{deaths} deaths, {self._kills} kills"] * (deaths != self._kills)

    def _books(self) -> list[str]:
        with Client(self._server.url, self._server.key) as client:
            counted: int = closed_day(client)["totals"]["authorized_count"]
        if self._approved <= counted <= self._approved + self._unknown:
            return []
        seen = f"{self._approved} and {self._unknown} unknown"
        return [f"the server counts {counted} purchases, the client {seen}"]


def judged(slices: Sequence[Slice]) -> list[str]:
    """What has grown beyond its bound, or was refused though nothing had happened."""
    first, last = thirds(slices)
    failed = [
        f"{s.refused} refused, {s.unknown} unknown of {s.commands} in slice {number}"
        for number, s in enumerate(slices)
        if not s.killed and s.refused + s.unknown > _REFUSED_PART_MAX * s.commands
    ]
    commands = sum(s.commands for s in slices) * 2 // 3
    allowed_mb = {
        "gateway_mb": _NOISE_MB,
        "nodes_mb": _NOISE_MB + commands * _BYTES_A_COMMAND_MAX // 2**20,
        "open_files": _NOISE_FILES,
        "files": _NOISE_FILES,
    }
    for name, allowed in allowed_mb.items():
        before, after = _median(first, name), _median(last, name)
        if after > before + allowed:
            failed.append(f"{name} grew from {before:.0f} to {after:.0f}")
    return failed


def thirds(slices: Sequence[Slice]) -> tuple[Sequence[Slice], Sequence[Slice]]:
    """The first and the last third."""
    count = max(1, len(slices) // 3)
    return slices[:count], slices[-count:]


def figures(
    capacity: float,
    options: Options,
    slices: Sequence[Slice],
    kills: int,
    failed: list[str],
) -> Figures:
    """The medians of both thirds, side by side."""
    first, last = thirds(slices)
    quiet = [[s for s in part if not s.killed] or part for part in (first, last)]
    p99_ms = [_median(part, "approved_p99_ms") for part in quiet]
    commands = sum(s.commands for s in slices)
    nodes_mb = [_median(part, "nodes_mb") for part in (first, last)]
    return Figures(
        capacity_per_s=round(capacity),
        offered_per_s=round(_LOAD * capacity),
        seconds=options.slice_seconds * len(slices),
        commands=commands,
        kills=kills,
        refused=sum(s.refused for s in slices),
        unknown=sum(s.unknown for s in slices),
        p50_ms=[_median(part, "approved_p50_ms") for part in quiet],
        p99_ms=p99_ms,
        p99_drift=round(p99_ms[1] / p99_ms[0], 3) if p99_ms[0] else 0.0,
        gateway_mb=[round(_median(part, "gateway_mb")) for part in (first, last)],
        nodes_mb=[round(mb) for mb in nodes_mb],
        # Between the middles of the two thirds lie two thirds of the commands.
        node_bytes_a_command=round(
            (nodes_mb[1] - nodes_mb[0]) * 2**20 / max(1, commands * 2 / 3), 1
        ),
        open_files=[round(_median(part, "open_files")) for part in (first, last)],
        files=[round(_median(part, "files")) for part in (first, last)],
        failed=failed,
    )


def _median(slices: Sequence[Slice], name: str) -> float:
    values: list[float] = [getattr(s, name) for s in slices]
    return statistics.median(values)


def _own_mb(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) // 1_024
    raise OSError(f"no RssAnon of process {pid}")


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run(options: Options) -> Figures:
    """The whole benchmark.  Raises one of _FAILURES when it proves nothing."""
    work_dir = work_directory(options.work_dir)
    try:
        disk_of(work_dir)
        with started_server(work_dir) as server:
            with Client(server.url, server.key) as client:
                set_stage(client, _ACCOUNTS)
            return Soak(server, work_dir, options).measure()
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Run and print; 1 when something grew, or when it proves nothing."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak",
        description="Hours at 60 %% of the capacity, with kills.",
    )
    add = parser.add_argument
    add("--hours", type=float, default=1.0, help="default: 1")
    add("--slice-seconds", type=float, default=60.0, help="default: 60")
    add("--kill-every", type=int, default=3, help="slices; default: 3")
    add("--quick", action="store_true", help="9 slices of 3 seconds")
    add("--work-dir", type=Path, help="a directory on a real disk")
    asked = parser.parse_args(arguments)
    seconds, slice_seconds = 3_600 * asked.hours, asked.slice_seconds
    if asked.quick:
        seconds, slice_seconds = 27.0, 3.0
    try:
        found = run(Options(seconds, slice_seconds, asked.kill_every, asked.work_dir))
    except _FAILURES as error:
        _tell(f"benchmarks.soak: {error}")
        return 1
    print(msgspec.json.encode(found).decode())
    for complaint in found.failed:
        _tell(f"benchmarks.soak: {complaint}")
    return 1 if found.failed else 0


if __name__ == "__main__":
    sys.exit(main())
