"""`python -m loadtest`: set the stage, let the crowd in, and count the money after.

    python -m loadtest [--url URL --key KEY] [--users N] [--seconds S] [--rate R]

Without --url it starts a server of its own.  Locust runs in a process of its
own, because it patches the sockets of the one it runs in.  Exits 1 when an
answer was wrong or the books do not agree, 2 when there was no test at all.
"""

import argparse
import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks.client import Client, Refused
from benchmarks.machine import NoDisk, work_directory
from benchmarks.server import ServerFailed, started_server
from loadtest.plan import PLAN_VARIABLE, Plan, make_plan, write_plan
from loadtest.reconcile import Reconciliation, Report
from loadtest.stage import set_stage

_LOCUSTFILE = Path(__file__).with_name("locustfile.py")
_STOP_SECONDS = 20  # For what is under way when the time is over.
_EXTRA_SECONDS_MAX = 60.0
_SHOWN_MAX = 20
_FAILURES = (NoDisk, ServerFailed, Refused, OSError, subprocess.TimeoutExpired)


class CrowdFailed(Exception):
    """Locust itself did not run."""


class Asked(msgspec.Struct, frozen=True):
    """The options, checked."""

    url: str | None
    key: str | None
    users: int
    seconds: float
    per_second: float
    seed: int
    work_dir: Path | None
    keep: bool


def main(arguments: list[str] | None = None) -> int:
    """Run, print the verdict, and return the exit code."""
    asked = _options(arguments)
    try:
        report = _run(asked)
    except (*_FAILURES, CrowdFailed) as error:
        _tell(f"loadtest: {error}")
        return 2
    _tell_verdict(asked, report)
    print(_last_line(report))
    return 1 if report.mismatches or report.unknown else 0


def _run(asked: Asked) -> Report:
    work_dir = work_directory(asked.work_dir)
    try:
        with _server(asked, work_dir) as (url, key), Client(url, key) as client:
            plan = make_plan(
                url,
                key,
                asked.seed,
                f"lt{secrets.token_hex(3)}",
                asked.users,
                asked.seconds,
                asked.per_second,
                work_dir / "record.jsonl",
            )
            set_stage(client, plan)
            _tell(f"seed {plan.seed}, names begin with {plan.prefix}, server {url}")
            write_plan(plan, work_dir / "plan.json")
            _let_the_crowd_in(plan, work_dir / "plan.json")
            return Reconciliation(plan, client).run()
    finally:
        if asked.keep:
            _tell(f"the record is in {work_dir}")
        else:
            shutil.rmtree(work_dir, ignore_errors=True)


@contextlib.contextmanager
def _server(asked: Asked, work_dir: Path) -> Iterator[tuple[str, str]]:
    """The server that was named, or one of our own for as long as it is needed."""
    if asked.url is not None and asked.key is not None:
        yield asked.url.rstrip("/"), asked.key
        return
    with started_server(work_dir) as server:
        yield server.url, server.key


def _let_the_crowd_in(plan: Plan, plan_path: Path) -> None:
    command = [sys.executable, "-m", "locust", "--locustfile", str(_LOCUSTFILE)]
    command += ["--headless", "--only-summary", "--host", plan.url]
    command += ["--users", str(plan.users), "--spawn-rate", str(plan.users)]
    # The users end by themselves; a second more lets the last of them do so.
    command += ["--run-time", f"{plan.seconds + 1:.0f}s"]
    command += ["--stop-timeout", str(_STOP_SECONDS), "--exit-code-on-error", "0"]
    done = subprocess.run(
        command,
        env={**os.environ, PLAN_VARIABLE: str(plan_path)},
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        check=False,
        timeout=plan.seconds + _EXTRA_SECONDS_MAX,
    )
    if done.returncode != 0:
        raise CrowdFailed(f"locust ended with {done.returncode}")


def _options(arguments: list[str] | None) -> Asked:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest",
        description="A realistic mix, every answer checked, the books compared after.",
    )
    add = parser.add_argument
    add("--url", help="a running server; default: start one")
    add("--key", help="its API key, with the roles payments and operator")
    add("--users", type=int, default=32, help="default: 32")
    add("--seconds", type=float, default=30.0, help="default: 30")
    add("--rate", type=float, default=400.0, help="requests a second; default: 400")
    add("--seed", type=int, help="default: a random one, which is printed")
    add("--work-dir", type=Path, help="a directory on a real disk")
    add("--keep", action="store_true", help="keep the record of every request")
    asked = parser.parse_args(arguments)
    if (asked.url is None) != (asked.key is None):
        parser.error("--url and --key belong together")
    if asked.users < 1 or asked.seconds < 1 or asked.rate <= 0:
        parser.error("users and seconds must be 1 or more, rate above 0")
    seed = secrets.randbelow(10**9) if asked.seed is None else asked.seed
    return Asked(
        asked.url,
        asked.key,
        asked.users,
        asked.seconds,
        asked.rate,
        seed,
        asked.work_dir,
        asked.keep,
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _tell_verdict(asked: Asked, report: Report) -> None:
    per_s = report.requests / asked.seconds
    _tell(
        f"{report.requests:,} requests, {per_s:,.0f}/s of {asked.per_second:,.0f}/s "
        f"intended; {report.dropped:,} slots dropped, {report.sent_again:,} sent again"
    )
    _tell(
        f"{report.keys:,} keys: {report.approved:,} approved, {report.declined:,} "
        f"declined, {report.unknown:,} unknown ({report.resolved:,} resolved after)"
    )
    for reason, number in sorted(report.reasons.items(), key=lambda item: -item[1]):
        _tell(f"  {number:7,} {reason}")
    for name, took_ms in (
        ("exchange", report.exchange_ms),
        ("from intended start", report.from_intended_ms),
    ):
        _tell(
            f"{name}: median {_quantile(took_ms, 0.5):.2f} ms, "
            f"p99 {_quantile(took_ms, 0.99):.2f} ms, max {max(took_ms, default=0):.2f}"
        )
    _tell(
        f"compared with the books: {report.accounts_compared:,} accounts, "
        f"{report.lenders_compared} lenders"
    )
    for text in report.mismatches[:_SHOWN_MAX]:
        _tell(f"  {text}")
    wrong = len(report.mismatches)
    _tell(f"{wrong:,} MISMATCHES" if wrong else "all as expected, to the minor unit")


def _last_line(report: Report) -> str:
    figures = {
        "requests": report.requests,
        "keys": report.keys,
        "approved": report.approved,
        "declined": report.declined,
        "unknown": report.unknown,
        "dropped": report.dropped,
        "mismatches": len(report.mismatches),
        "median_ms_from_intended_start": _quantile(report.from_intended_ms, 0.5),
        "p99_ms_from_intended_start": _quantile(report.from_intended_ms, 0.99),
    }
    return msgspec.json.encode(figures).decode()


def _quantile(values: list[float], part: float) -> float:
    """A value of the list itself, 0 of none."""
    ordered = sorted(values)
    return round(ordered[int(part * (len(ordered) - 1))], 3) if ordered else 0.0


if __name__ == "__main__":
    sys.exit(main())
