"""What holds for every run of the tests."""

import os
import threading

import pytest

_WAIT_SECONDS = 5.0
_STATUS = pytest.StashKey[int]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remember how the run ended, for `pytest_unconfigure`."""
    session.config.stash[_STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """End the run also if a test has left a thread behind, and say which.

    Python waits for such threads for ever, so a failed test that left one would
    take the whole run's result with it.
    """
    for thread in threading.enumerate():
        if thread is threading.main_thread() or thread.daemon:
            continue
        thread.join(_WAIT_SECONDS)
        if thread.is_alive():
            print(f"tests: a thread was left behind: {thread}", flush=True)
            os._exit(config.stash.get(_STATUS, 1) or 1)
