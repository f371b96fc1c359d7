"""The same question asked by wrk, so that nobody has to trust our own client.

wrk is the Debian package `wrk`; it is not needed for anything else.  It stops
in the middle of requests and looks into no body, so it runs after the books
were compared, and only answers that are not 2xx are noticed.
"""

import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path

from benchmarks.press import PressFailed
from benchmarks.server import Server
from benchmarks.stage import AUTHORIZE, NOOP

_SCRIPT = Path(__file__).with_name("wrk.lua")
_PAIRS = 5
_RATE = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)
_BAD = re.compile(r"^\s*(?:Non-2xx|Socket errors).*$", re.MULTILINE)


def cross_check(
    server: Server,
    accounts: int,
    connections: int,
    seconds: float,
    tell: Callable[[str], None],
) -> float:
    """Authorize ÷ noop by wrk, median over pairs in turn.  Raises PressFailed."""
    if shutil.which("wrk") is None:
        raise PressFailed("wrk is not here; on Debian: apt-get install wrk")
    ratios = []
    for pair in range(_PAIRS):
        rates = [
            _run(server, path, accounts, connections, seconds, f"wrk{pair}")
            for path in (NOOP, AUTHORIZE)
        ]
        ratios.append(rates[1] / rates[0])
        tell(f"wrk: noop {rates[0]:,.0f}/s, authorize {rates[1]:,.0f}/s")
    return round(statistics.median(ratios), 3)


def _run(
    server: Server,
    path: str,
    accounts: int,
    connections: int,
    seconds: float,
    prefix: str,
) -> float:
    command = ["wrk", "--threads", "1", "--connections", str(connections)]
    command += ["--duration", f"{max(1, round(seconds))}s", "--script", str(_SCRIPT)]
    command += [f"{server.url}{path}", "--", str(accounts), prefix]
    done = subprocess.run(
        command,
        env={**os.environ, "PRESS_KEY": server.key},
        capture_output=True,
        text=True,
        check=False,
    )
    rate = _RATE.search(done.stdout)
    bad = _BAD.search(done.stdout)
    if done.returncode != 0 or rate is None or bad is not None:
        raise PressFailed(f"wrk: {bad[0] if bad else done.stdout + done.stderr}")
    return float(rate[1])
