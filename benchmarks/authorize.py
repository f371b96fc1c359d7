"""How many authorizations a second, one by one, beside doing nothing at all?

    python -m benchmarks.authorize [--quick]

Starts a server of its own on an empty data directory and asks three endpoints
in turn, A B C A B C …: `POST /v1/noop`, which decodes the same body and encodes
an answer of the same form and does nothing in between, as plain ASGI on Uvicorn;
`POST /v1/noop-direct`, the same through the door that commands take; and
`POST /v1/authorizations`.  64 connections, one request in flight on each,
unique Idempotency-Keys, random accounts; all get requests with the same headers
and the same body, and every answer is checked by `press.c`.

Timed: answers that were read whole within the time, from the client's first
byte to its last.  Everything between is in it: HTTP, the API key, idempotency,
the limit, the lender's reserve, the journal's sync, the answer.  Not timed:
starting, registering, the warm-up, and the answers that came after the time.

Client and server share the machine's cores, and Ray's own processes run beside
them: an absolute figure belongs to one machine and one hour.  What travels is
the ratio, the median over rounds measured within seconds of each other: `ratio`
to the first endpoint, `ratio_direct` to the second.

The journals must be on a real disk.  At the end the server's books are held
against the client's: the sum of all amounts approved must be what the lender's
position says, and their number what the closed day says, exactly.
"""

import argparse
import os
import shutil
import statistics
import sys
from pathlib import Path

import msgspec

from benchmarks.client import Client, Refused
from benchmarks.machine import (
    NoDisk,
    cpu_seconds,
    disk_of,
    machine_cpu_seconds,
    work_directory,
)
from benchmarks.press import Press, Pressed, PressFailed
from benchmarks.server import Server, ServerFailed, started_server
from benchmarks.stage import (
    AUTHORIZE,
    NOOP,
    NOOP_DIRECT,
    check_books,
    server_pids,
    set_stage,
)
from benchmarks.wrk import cross_check

_FULL = (5, 8.0)  # Rounds, and seconds of each measurement.
_QUICK = (5, 1.2)
_ROUND = (NOOP, NOOP_DIRECT, AUTHORIZE)
_ACCOUNTS = 10_000
_FAILURES = (NoDisk, ServerFailed, PressFailed, Refused, OSError)


class Options(msgspec.Struct, frozen=True):
    """What was asked for."""

    rounds: int
    seconds: float
    connections: int
    accounts: int
    shards: int
    work_dir: Path | None
    wrk: bool


class Figures(msgspec.Struct, frozen=True):
    """The answer, as the last line prints it."""

    authorize_per_s: int
    noop_per_s: int
    noop_direct_per_s: int
    ratio: float
    ratio_direct: float
    median_ms_1_connection: float
    p99_ms_1_connection: float
    approved: int
    approved_by_server: int
    rounds: int
    connections: int
    shards: int
    used_by_others: float  # The share of the machine, median.
    wrk_ratio: float | None = None


class Bench:
    """A staged server and the client; remembers all that was approved."""

    def __init__(self, server: Server, press: Press, options: Options) -> None:
        self._pids = server_pids(server)
        self._press = press
        self._options = options
        self.shards = len(self._pids) - 2  # Less gateway and settlement.
        self.approved = 0
        self.approved_minor = 0
        self.others: list[float] = []  # Of each measurement.

    def measure(self, path: str, connections: int, seconds: float) -> Pressed:
        """One measurement, told about.  Raises PressFailed if not all was approved."""
        before = [machine_cpu_seconds(), *map(cpu_seconds, self._pids)]
        pressed = self._pressed(path, connections, seconds)
        after = [machine_cpu_seconds(), *map(cpu_seconds, self._pids)]
        used = [b - a for a, b in zip(before, after, strict=True)]
        others = _share_of_others(pressed, used)
        self.others.append(others)
        _tell_row(path, connections, pressed, used, others)
        return pressed

    def rounds(self) -> list[dict[str, float]]:
        """How many a second each endpoint did, in turn, after a warm-up of all."""
        options = self._options
        for path in _ROUND:
            self._pressed(path, options.connections, min(1.0, options.seconds))
        _tell_head()
        return [
            {
                path: self.measure(path, options.connections, options.seconds).per_s
                for path in _ROUND
            }
            for _ in range(options.rounds)
        ]

    def _pressed(self, path: str, connections: int, seconds: float) -> Pressed:
        pressed = self._press.run(path, connections, seconds)
        if pressed.complaint:
            raise PressFailed(f"{path}: {pressed.complaint}")
        if path == AUTHORIZE:
            self.approved += pressed.approved
            self.approved_minor += pressed.approved_minor
        return pressed


def _tell(line: str = "") -> None:
    print(line, file=sys.stderr, flush=True)


def _tell_head() -> None:
    _tell(
        f"{'':36} {'latency, ms':^26}   {'CPU, microseconds a request':^28}\n"
        f"{'endpoint':20} {'conns':>5} {'per s':>8}  {'median':>8} {'p99':>8} "
        f"{'max':>8}   {'gateway':>8} {'nodes':>9} {'client':>9}   others"
    )


def _share_of_others(p: Pressed, used: list[float]) -> float:
    """The share of the machine that none of the processes measured has used."""
    machine, *ours = used
    seconds = machine - sum(ours) - p.client_cpu_seconds
    return max(0.0, seconds) / (p.seconds * (os.cpu_count() or 1))


def _tell_row(
    path: str, connections: int, p: Pressed, used: list[float], others: float
) -> None:
    _, gateway, *nodes = used
    us = 1e6 / p.answered
    _tell(
        f"{path:20} {connections:5} {p.per_s:8,.0f}  {p.median_ms:8.2f} {p.p99_ms:8.2f}"
        f" {p.max_ms:8.2f}   {gateway * us:8.1f} {sum(nodes) * us:9.1f}"
        f" {p.client_cpu_seconds * us:9.1f}   {others:5.0%}"
    )


def run(options: Options) -> Figures:
    """The whole benchmark.  Raises one of _FAILURES when it proves nothing."""
    work_dir = work_directory(options.work_dir)
    try:
        disk = disk_of(work_dir)
        _tell(
            f"journals on {disk.kind} ({disk.device}), one sync of 4 KiB "
            f"{disk.sync_ms_median:.2f} ms; {options.accounts:,} accounts"
        )
        shards = ("--shards", str(options.shards)) if options.shards else ()
        with started_server(work_dir, "--with-noop", *shards) as server:
            press = Press(work_dir, server.port, server.key, options.accounts)
            with Client(server.url, server.key) as client:
                set_stage(client, options.accounts)
                return _measure_all(server, press, client, options)
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def _measure_all(
    server: Server, press: Press, client: Client, options: Options
) -> Figures:
    bench = Bench(server, press, options)
    rounds = bench.rounds()
    bench.measure(NOOP, 1, options.seconds)
    alone = bench.measure(AUTHORIZE, 1, options.seconds)
    counted = check_books(client, bench.approved, bench.approved_minor)
    _tell(f"books: {counted:,} approved here and there, the same to the minor unit")
    wrk_ratio = None
    if options.wrk:
        wrk_ratio = cross_check(
            server, options.accounts, options.connections, options.seconds, _tell
        )
    return Figures(
        authorize_per_s=round(_median(rounds, AUTHORIZE)),
        noop_per_s=round(_median(rounds, NOOP)),
        noop_direct_per_s=round(_median(rounds, NOOP_DIRECT)),
        ratio=round(_median(rounds, AUTHORIZE, NOOP), 3),
        ratio_direct=round(_median(rounds, AUTHORIZE, NOOP_DIRECT), 3),
        median_ms_1_connection=alone.median_ms,
        p99_ms_1_connection=alone.p99_ms,
        approved=bench.approved,
        approved_by_server=counted,
        rounds=options.rounds,
        connections=options.connections,
        shards=bench.shards,
        used_by_others=round(statistics.median(bench.others), 3),
        wrk_ratio=wrk_ratio,
    )


def _median(rounds: list[dict[str, float]], path: str, over: str = "") -> float:
    """Of all rounds; with `over`, of the ratios within each."""
    return statistics.median(
        per_s[path] / (per_s[over] if over else 1) for per_s in rounds
    )


def _options(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.authorize",
        description="Authorizations a second, one by one, beside doing nothing.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="in under 40 seconds")
    add("--wrk", action="store_true", help="measure with wrk as well, and compare")
    add("--work-dir", type=Path, help="a directory on a real disk")
    add("--connections", type=int, default=64, help="default: 64")
    add("--shards", type=int, default=0, help="default: the server's own")
    add("--rounds", type=int, help=argparse.SUPPRESS)
    add("--seconds", type=float, help=argparse.SUPPRESS)
    add("--accounts", type=int, default=_ACCOUNTS, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    rounds, seconds = _QUICK if asked.quick else _FULL
    return Options(
        asked.rounds or rounds,
        asked.seconds or seconds,
        asked.connections,
        asked.accounts,
        asked.shards,
        asked.work_dir,
        asked.wrk,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run and print; 1 when the benchmark proves nothing."""
    options = _options(arguments)
    try:
        figures = run(options)
    except _FAILURES as error:
        _tell(f"benchmarks.authorize: {error}")
        return 1
    _tell(
        f"authorize ÷ noop {figures.ratio:.3f}, ÷ noop-direct "
        f"{figures.ratio_direct:.3f}; one connection: median "
        f"{figures.median_ms_1_connection:.2f} ms, "
        f"p99 {figures.p99_ms_1_connection:.2f} ms"
    )
    print(msgspec.json.encode(figures).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
