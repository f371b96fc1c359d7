"""What happens at three times what the system can do?

    python -m benchmarks.overload [--quick] [--seconds 600]

Starts a server of its own on an empty data directory.  First the capacity: as
many purchases as a closed loop gets done.  Then by a schedule that waits for
nobody (open loop): around the capacity, at three times of it for as long as asked,
and below it to see the recovery; at last two API keys at once, one that floods and
one that is modest.  Every latency counts from the moment a request was due, so
nothing is hidden by a client that waits (no coordinated omission), and each
request says how long it is waited for (`Request-Timeout-Ms`).  How long the server
takes for a refusal is told from the moment of sending, too: before it there is the
client's wait for a free connection, up to a tenth of the time-out.

Goodput is what was approved within that time.  Meanwhile somebody reads an
account, `/livez` and `/metrics`, twenty times a second.

A purchase here is one in twelve instalments of four lenders, so that the shard
has more to do for one than the gateway: who is sent away costs the gateway
two thirds of what the others cost it, and no bound can help a door that spends all its
time on sending people away.  Client and server share the machine; what each
process used is told.
"""

import argparse
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.client import Client, Refused
from benchmarks.machine import (
    NoDisk,
    cpu_seconds,
    machine_cpu_seconds,
    resident_mb,
    work_directory,
)
from benchmarks.press import Flooded, Press, PressFailed
from benchmarks.server import Server, ServerFailed, started_server
from benchmarks.stage import AUTHORIZE, closed_day, open_accounts, server_pids
from gateway.keys import KeyFile
from gateway.routes import Role
from processor import limits

_FAILURES = (NoDisk, ServerFailed, PressFailed, Refused, OSError)
_MORE = ',"capture":true,"plan_id":"twelve"'
_LENDERS = 4
_CLOSED_CONNECTIONS = 128
_AROUND = (0.8, 0.9, 1.0)  # Of the capacity: where the peak is looked for.
_AFTERWARDS = 0.6
_MODEST = 0.05
_RECOVERED = 0.95
_READ_SECONDS = 0.05


class Options(msgspec.Struct, frozen=True):
    """What was asked for; times in seconds."""

    seconds: float
    around_seconds: float
    factor: float
    connections: int
    accounts: int
    timeout_ms: int
    work_dir: Path | None


class Figures(msgspec.Struct, frozen=True):
    """The answer, as the last line prints it."""

    capacity_per_s: int  # Closed loop.
    peak_goodput_per_s: int
    flood_goodput_per_s: int
    ratio: float
    offered_per_s: int
    refused_p50_ms: float
    refused_p99_ms: float
    refused_max_ms: float
    refusal_took_p50_ms: float  # From sending on; all others from when it was due.
    refusal_took_p99_ms: float
    admitted_p99_ms: float
    admitted_late: int
    unknown: int
    given_up: int
    recovered_seconds: float | None  # None: not within the time it was looked at.
    read_p99_ms: float  # An account, /livez and /metrics, during the flood.
    gateway_rss_mb: list[int]  # Before, most, after.
    nodes_rss_mb: list[int]
    modest_alone_p99_ms: float
    modest_beside_p99_ms: float
    modest_beside_refused: int
    modest_beside_approved: float  # The part in time of what was due.
    greedy_beside_approved: float
    flood_cpu: dict[str, float]  # Cores used by gateway, nodes, client, others.
    timeout_ms: int
    connections: int
    seconds: float


class Looker(threading.Thread):
    """Reads now and then, and watches the memory, until told to stop."""

    def __init__(self, server: Server, pids: list[int]) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._pids = pids
        self._is_over = threading.Event()
        self.took_ms: list[float] = []
        self.rss_mb = (0, 0)
        self.error: Exception | None = None

    def run(self) -> None:
        """Look until it is over."""
        paths = ("/v1/accounts/bench-00000000", "/livez", "/metrics")
        try:
            with Client(self._server.url, self._server.key) as client:
                while not self._is_over.wait(_READ_SECONDS):
                    for path in paths:
                        began = time.perf_counter()
                        status = client.send("GET", path).status
                        self.took_ms.append(1_000 * (time.perf_counter() - began))
                        if status != 200:
                            raise Refused(f"GET {path}: {status}")
                    now = memory(self._pids)
                    self.rss_mb = (
                        max(self.rss_mb[0], now[0]),
                        max(self.rss_mb[1], now[1]),
                    )
        except (Refused, OSError) as error:
            self.error = error

    def end(self) -> None:
        """Stop; raises what went wrong."""
        self._is_over.set()
        self.join()
        if self.error is not None:
            raise self.error


def memory(pids: list[int]) -> tuple[int, int]:
    """Resident megabytes of the gateway, and of all nodes."""
    gateway, *nodes = map(resident_mb, pids)
    return gateway, sum(nodes)


class Bench:
    """A staged server and its client."""

    def __init__(self, server: Server, work_dir: Path, options: Options) -> None:
        self._server = server
        self._options = options
        self._pids = server_pids(server)
        self._press = Press(work_dir, server.port, server.key, options.accounts, _MORE)
        modest_key = KeyFile(work_dir / "data").add(
            "modest", [Role.PAYMENTS], "2026-01-01"
        )
        self._modest = Press(work_dir, server.port, modest_key, options.accounts, _MORE)
        self.approved = 0
        self.unknown = 0
        self.cores: dict[str, float] = {}  # Of the last run.

    def capacity(self) -> float:
        """Approved a second in a closed loop, after a warm-up."""
        best = 0.0
        for seconds in (1.0, self._options.around_seconds):
            pressed = self._press.run(AUTHORIZE, _CLOSED_CONNECTIONS, seconds)
            if pressed.complaint:
                raise PressFailed(pressed.complaint)
            self.approved += pressed.approved
            best = pressed.per_s
        return best

    def alone(self, rate_per_s: float, seconds: float) -> Flooded:
        """One key by itself."""
        (found,), self.cores = self._flood(seconds, (self._press, rate_per_s))
        return found

    def beside(
        self, rate_per_s: float, modest_per_s: float, seconds: float
    ) -> tuple[Flooded, Flooded]:
        """Two keys at once."""
        (greedy, modest), self.cores = self._flood(
            seconds, (self._press, rate_per_s), (self._modest, modest_per_s)
        )
        return greedy, modest

    def _flood(
        self, seconds: float, *pressed: tuple[Press, float]
    ) -> tuple[list[Flooded], dict[str, float]]:
        """What became of each, and the cores that were used meanwhile."""
        options = self._options
        before = [machine_cpu_seconds(), *map(cpu_seconds, self._pids)]
        runs = [
            press.flood(
                AUTHORIZE,
                options.connections,
                seconds,
                rate_per_s=rate_per_s,
                timeout_ms=options.timeout_ms,
            )
            for press, rate_per_s in pressed
        ]
        found = [run.result() for run in runs]
        after = [machine_cpu_seconds(), *map(cpu_seconds, self._pids)]
        machine, gateway, *nodes = (
            (b - a) / seconds for a, b in zip(before, after, strict=True)
        )
        client = 0.0
        for one in found:
            self.approved += one.approved
            self.unknown += one.unknown + one.unanswered
            client += one.client_cpu_seconds / seconds
        others = max(0.0, machine - gateway - sum(nodes) - client)
        cores = {
            "gateway": gateway,
            "nodes": sum(nodes),
            "client": client,
            "others": others,
        }
        for one in found:
            _tell_row(one, cores)
        return found, {name: round(n, 2) for name, n in cores.items()}

    def measure(self) -> Figures:
        """The whole benchmark."""
        options = self._options
        capacity = self.capacity()
        _tell(f"capacity, closed loop: {capacity:,.0f} a second")
        around = [
            self.alone(capacity * part, options.around_seconds) for part in _AROUND
        ]
        peak = max(one.goodput_per_s for one in around)
        before = memory(self._pids)
        looker = Looker(self._server, self._pids)
        looker.start()
        flood = self.alone(capacity * options.factor, options.seconds)
        cores = self.cores
        looker.end()
        calm = self.alone(peak * _AFTERWARDS, 2 * options.around_seconds)
        after = memory(self._pids)
        (alone,), _ = self._flood(
            options.around_seconds, (self._modest, peak * _MODEST)
        )
        greedy, modest = self.beside(
            capacity * options.factor, peak * _MODEST, 2 * options.around_seconds
        )
        return Figures(
            capacity_per_s=round(capacity),
            peak_goodput_per_s=round(peak),
            flood_goodput_per_s=round(flood.goodput_per_s),
            ratio=round(flood.goodput_per_s / peak, 3),
            offered_per_s=round(flood.due / flood.seconds),
            refused_p50_ms=flood.refused_p50_ms,
            refused_p99_ms=flood.refused_p99_ms,
            refused_max_ms=flood.refused_max_ms,
            refusal_took_p50_ms=flood.refusal_took_p50_ms,
            refusal_took_p99_ms=flood.refusal_took_p99_ms,
            admitted_p99_ms=flood.approved_p99_ms,
            admitted_late=flood.approved_late,
            unknown=flood.unknown,
            given_up=flood.given_up,
            recovered_seconds=recovered_seconds(calm),
            read_p99_ms=round(percentile(looker.took_ms, 0.99), 1),
            gateway_rss_mb=[before[0], looker.rss_mb[0], after[0]],
            nodes_rss_mb=[before[1], looker.rss_mb[1], after[1]],
            modest_alone_p99_ms=alone.approved_p99_ms,
            modest_beside_p99_ms=modest.approved_p99_ms,
            modest_beside_refused=modest.refused,
            modest_beside_approved=_part(modest),
            greedy_beside_approved=_part(greedy),
            flood_cpu=cores,
            timeout_ms=options.timeout_ms,
            connections=options.connections,
            seconds=options.seconds,
        )

    def check_books(self, client: Client) -> None:
        """The server has all that was approved, and nothing that nobody asked."""
        counted: int = closed_day(client)["totals"]["authorized_count"]
        if not self.approved <= counted <= self.approved + self.unknown:
            raise Refused(
                f"the server counts {counted} authorizations, the client "
                f"{self.approved} and {self.unknown} unknown"
            )
        _tell(
            f"books: {counted:,} approved, {self.approved:,} seen by the client"
            f" and {self.unknown:,} unknown to it"
        )


def recovered_seconds(calm: Flooded) -> float | None:
    """From when on nearly everything that is due is approved, to the end."""
    since = len(calm.due_in)
    for number in reversed(range(len(calm.due_in))):
        if calm.approved_in[number] < _RECOVERED * calm.due_in[number]:
            break
        since = number
    return None if since == len(calm.due_in) else since / 10


def percentile(values: list[float], part: float) -> float:
    """One of the values; 0 of none."""
    return sorted(values)[int(len(values) * part)] if values else 0.0


def _part(run: Flooded) -> float:
    return round(sum(run.approved_in) / run.due, 4) if run.due else 0.0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tell_row(run: Flooded, cores: dict[str, float]) -> None:
    used = ", ".join(f"{name} {count:.2f}" for name, count in cores.items())
    _tell(
        f"{run.due / run.seconds:8,.0f} due/s: {run.goodput_per_s:8,.0f} good/s, "
        f"p50 {run.approved_p50_ms:.1f} p99 {run.approved_p99_ms:.1f} ms, "
        f"{run.approved_late} late; refused {run.refused:,}, p50 "
        f"{run.refused_p50_ms:.1f} p99 {run.refused_p99_ms:.1f} max "
        f"{run.refused_max_ms:.1f} ms, from sending p50 {run.refusal_took_p50_ms:.1f} "
        f"p99 {run.refusal_took_p99_ms:.1f} ms; unknown {run.unknown}, given up "
        f"{run.given_up}; cores: {used}"
    )


def set_stage(client: Client, accounts: int) -> None:
    """Four lenders, a program with a plan, one merchant, accounts."""
    names = [f"bench-lender-{number}" for number in range(_LENDERS)]
    for name in names:
        client.command(
            "/v1/lenders", f"l-{name}", {"lender_id": name, "currency": "EUR"}
        )
        for number in range(10):
            client.command(
                f"/v1/lenders/{name}/deposits",
                f"d-{name}-{number}",
                {"amount_minor": limits.AMOUNT_MINOR_MAX},
            )
    client.command("/v1/programs", "program", _program(names))
    client.command("/v1/merchants", "merchant", {"merchant_id": "bench-shop"})
    open_accounts(client, accounts)


def _program(lenders: list[str]) -> dict[str, Any]:
    share_ppm = limits.PPM // len(lenders)
    return {
        "program_id": "bench-program",
        "currency": "EUR",
        "shares": [{"lender_id": name, "share_ppm": share_ppm} for name in lenders],
        "plans": [
            {
                "plan_id": "twelve",
                "periods": 12,
                "method": "equal_payment",
                "rate_ppm": 10_000,
            }
        ],
    }


def run(options: Options) -> Figures:
    """The whole benchmark.  Raises one of _FAILURES when it proves nothing."""
    work_dir = work_directory(options.work_dir)
    try:
        with started_server(work_dir, "--shards", "1") as server:
            with Client(server.url, server.key) as client:
                set_stage(client, options.accounts)
            bench = Bench(server, work_dir, options)
            figures = bench.measure()
            # Another one: who said nothing for so long was hung up on.
            with Client(server.url, server.key) as client:
                bench.check_books(client)
            return figures
    finally:
        shutil.rmtree(work_dir, ignore_errors=True)


def _options(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overload",
        description="What happens at three times the capacity.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="in under 40 seconds")
    add("--seconds", type=float, help="of the flood; default: 60")
    add("--factor", type=float, default=3.0, help="times the capacity; default: 3")
    add("--connections", type=int, default=1_500, help="of each key; default: 1500")
    add("--timeout-ms", type=int, default=500, help="of each request; default: 500")
    add("--work-dir", type=Path, help="a directory on a real disk")
    add("--accounts", type=int, default=2_000, help=argparse.SUPPRESS)
    add("--around-seconds", type=float, help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    return Options(
        asked.seconds or (6.0 if asked.quick else 60.0),
        asked.around_seconds or (1.5 if asked.quick else 5.0),
        asked.factor,
        asked.connections,
        asked.accounts,
        asked.timeout_ms,
        asked.work_dir,
    )


def main(arguments: list[str] | None = None) -> int:
    """Run and print; 1 when the benchmark proves nothing."""
    try:
        figures = run(_options(arguments))
    except _FAILURES as error:
        _tell(f"benchmarks.overload: {error}")
        return 1
    print(msgspec.json.encode(figures).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
