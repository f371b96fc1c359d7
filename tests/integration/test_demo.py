"""`make run`, as its user sees it: once, again, and told to stop."""

import json
import signal
import subprocess
import time
from pathlib import Path

from tests.processes import FOREBAY, WAIT_SECONDS_MAX, check_verified, run_forebay

KEYS = [
    "purchases",
    "approved",
    "declined",
    "refunds",
    "refunds_unmatched",
    "repayments",
    "days_closed",
    "overspend_minor",
    "false_reserve_declines",
    "trial_balance_minor",
    "replay_equal",
]


def test_the_demo_ends_with_a_clean_audit_and_continues_where_it_was(
    tmp_path: Path,
) -> None:
    """A second run on the same directory answers everything from memory."""
    data_dir = tmp_path / "data"
    first = run_forebay("demo", "--once", "--data-dir", str(data_dir))
    again = run_forebay("demo", "--once", "--data-dir", str(data_dir))
    verified = check_verified(data_dir)

    assert first.returncode == 0, first.stderr
    assert again.returncode == 0, again.stderr
    line = first.stdout.splitlines()[-1]
    assert again.stdout.splitlines()[-1] == line
    figures = json.loads(line)
    assert list(figures) == KEYS
    assert figures["purchases"] == figures["approved"] + figures["declined"]
    assert (figures["overspend_minor"], figures["false_reserve_declines"]) == (0, 0)
    assert (figures["trial_balance_minor"], figures["replay_equal"]) == (0, True)
    assert verified["counts"]["Authorized"] == figures["approved"]
    # The busy day really empties a reserve: this is what the replay is for.
    assert verified["counts"]["Declined reserve_exhausted"] > 0


def test_the_demo_keeps_serving_until_it_is_interrupted(tmp_path: Path) -> None:
    """Ctrl-C after the audit is a normal end."""
    with (tmp_path / "said").open("w+") as said:
        demo = subprocess.Popen(
            [*FOREBAY, "demo", "--data-dir", str(tmp_path / "data")],
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while "Serving until Ctrl-C" not in (tmp_path / "said").read_text():
            assert demo.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        demo.send_signal(signal.SIGINT)

        assert demo.wait(WAIT_SECONDS_MAX) == 0
