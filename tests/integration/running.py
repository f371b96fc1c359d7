"""A benchmark as a person would run it."""

import json
import subprocess
import sys
from typing import Any

_SECONDS_MAX = 120


def run_benchmark(name: str, *options: str) -> tuple[dict[str, Any], str]:
    """The figures of its only line, and what else it told."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_MAX,
    )
    assert 0 == done.returncode, done.stderr
    (line,) = done.stdout.splitlines()
    figures: dict[str, Any] = json.loads(line)
    return figures, done.stderr
