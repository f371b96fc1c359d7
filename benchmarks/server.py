"""A server of one's own: `forebay serve` as a child process, from start to stop.

It runs exactly what a person would run, with a data directory that is empty at
first.  The rule: who starts one stops it, also when the work in between fails,
and never touches a server that was not started here.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

_START_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 30.0
_POLL_SECONDS = 0.02
_ENTRY = "from gateway.cli import main; main()"
_KEY = re.compile(r"^\s*(fb_\S+)$", re.MULTILINE)
_URL = re.compile(r"^API\s+(\S+)/v1$", re.MULTILINE)


class ServerFailed(Exception):
    """The server did not start; the message has its own last words."""


class Server(msgspec.Struct, frozen=True):
    """A server that answers: where, with which key, and its gateway's process."""

    url: str
    key: str
    pid: int

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.url.rsplit(":", 1)[1])


@contextlib.contextmanager
def started_server(
    work_dir: Path, *options: str, tree: Path | None = None
) -> Iterator[Server]:
    """A server on a free port with `work_dir`/data, stopped on the way out.

    It is of this code, or of the checkout at `tree`.  Its log is in
    `work_dir`/server.log.  Raises ServerFailed.
    """
    told, log = work_dir / "server.out", work_dir / "server.log"
    serve = ("serve", "--data-dir", str(work_dir / "data"), "--port", "0")
    with told.open("wb") as out, log.open("wb") as err:
        child = subprocess.Popen(
            [sys.executable, "-c", _ENTRY, *serve, *options],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,  # Ctrl-C is ours; we stop it in our own time.
            cwd=tree,
            env={**os.environ, "PYTHONPATH": str(tree)} if tree else None,
        )
    try:
        yield _wait_until_ready(child, told, log)
    finally:
        _stop(child)


def _wait_until_ready(child: subprocess.Popen[bytes], told: Path, log: Path) -> Server:
    deadline = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < deadline:
        text = told.read_text()
        if "ready" in text.splitlines():
            return Server(_found(_URL, text), _found(_KEY, text), child.pid)
        if child.poll() is not None:
            break
        time.sleep(_POLL_SECONDS)
    words = log.read_text(errors="replace").strip()[-2_000:]
    raise ServerFailed(f"the server did not start; it said:\n{words}")


def _found(pattern: re.Pattern[str], text: str) -> str:
    match = pattern.search(text)
    if match is None:
        raise ServerFailed(f"the server said nothing like {pattern.pattern!r}")
    return match[1]


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(_STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
