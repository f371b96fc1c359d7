"""A short real run of the load test: a server, Locust, and the books after."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SECONDS_MAX = 120


def run_loadtest(work_dir: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "loadtest", "--work-dir", str(work_dir), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS_MAX,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


@pytest.mark.slow
def test_the_crowd_finds_nothing_wrong_and_the_books_agree(disk: Path) -> None:
    done = run_loadtest(
        disk, "--seconds", "5", "--rate", "150", "--users", "8", "--seed", "7"
    )
    assert 0 == done.returncode, done.stderr
    figures = last_line(done)
    assert 0 == figures["mismatches"]
    assert 0 == figures["unknown"]
    assert figures["keys"] == figures["approved"] + figures["declined"]
    assert figures["requests"] > 400  # Poisson: 750 were meant, some may be dropped.
    assert figures["declined"] > 0
    assert "all as expected, to the minor unit" in done.stderr
    assert "176 accounts, 5 lenders" in done.stderr
    assert [] == list(disk.iterdir())  # It cleans up after itself.


def test_a_server_that_is_not_there_is_said_so(disk: Path) -> None:
    done = run_loadtest(disk, "--url", "http://127.0.0.1:9", "--key", "fb_a_b")
    assert 2 == done.returncode
    assert done.stderr.startswith("loadtest: ")
    assert "Traceback" not in done.stderr


def test_a_url_without_a_key_is_refused(tmp_path: Path) -> None:
    done = run_loadtest(tmp_path, "--url", "http://127.0.0.1:9")
    assert 2 == done.returncode
    assert "--url and --key belong together" in done.stderr


def test_the_load_test_leaves_the_sockets_of_its_own_process_alone() -> None:
    code = (
        "import sys, loadtest.__main__, loadtest.reconcile, loadtest.workload\n"
        "print(sorted({'gevent', 'locust'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "[]\n" == done.stdout
