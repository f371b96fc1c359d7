"""Builds and runs `press.c`, and reads what it measured.

Compiled on demand with the machine's C compiler into a temporary directory: a
client in Python would cost more than the server it measures.
"""

import os
import shutil
import subprocess
from pathlib import Path

import msgspec

_SOURCE = Path(__file__).with_name("press.c")
_COMPILERS = ("cc", "gcc", "clang")
_EXTRA_SECONDS_MAX = 30.0  # Beyond what it was told to press for.


class PressFailed(Exception):
    """The client could not be built, or it could not go on; says why."""


class Pressed(msgspec.Struct, frozen=True):
    """What one run of the client saw; `answered_in_time` alone makes the rate."""

    seconds: float
    sent: int
    answered: int
    answered_in_time: int
    approved: int
    declined: int
    refused: int
    strange: int
    unanswered: int
    first_bad_status: int
    approved_minor: int
    median_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    client_cpu_seconds: float
    request_bytes: int

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answered_in_time / self.seconds

    @property
    def complaint(self) -> str:
        """What is wrong with this run; empty when all was approved."""
        if self.approved == self.answered == self.sent:
            return ""
        return (
            f"of {self.sent} requests {self.approved} were approved, {self.declined} "
            f"declined, {self.refused} refused (first status "
            f"{self.first_bad_status}), {self.strange} answered strangely, "
            f"{self.unanswered} not answered"
        )


class Flooded(Pressed, frozen=True):
    """One run by a schedule; latencies count from when a request was due.

    `due_in`, `approved_in` (in time) and `refused_in` are by the tenth of a
    second in which the requests were due.
    """

    due: int
    given_up: int  # No connection was free.
    unknown: int
    approved_late: int
    approved_p50_ms: float
    approved_p99_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    refused_max_ms: float
    refusal_took_p50_ms: (
        float  # From when it was sent; all others from when it was due.
    )
    refusal_took_p99_ms: float
    due_in: list[int]
    approved_in: list[int]
    refused_in: list[int]

    @property
    def goodput_per_s(self) -> float:
        """Approved in time, a second."""
        return sum(self.approved_in) / self.seconds


class Running:
    """A run under way, of a process of its own."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self._process = process
        self._seconds = seconds

    def result(self) -> Flooded:
        """Wait for its end.  Raises PressFailed when it could not go on."""
        told, complaint = self._process.communicate(
            timeout=self._seconds + _EXTRA_SECONDS_MAX
        )
        if self._process.returncode != 0:
            raise PressFailed(complaint.decode().strip())
        return msgspec.json.decode(told, type=Flooded)


class Press:
    """The client, built once; each run is a process of its own.

    `more` is more of each body, such as `,"capture":true`.  Two of one API key need
    names, of the same length: request ids begin with them.
    """

    def __init__(
        self,
        build_dir: Path,
        port: int,
        key: str,
        accounts: int,
        more: str = "",
        name: str = "press",
    ) -> None:
        self._program = _build(build_dir)
        self._port = port
        self._environment = {**os.environ, "PRESS_KEY": key}
        self._accounts = accounts
        self._more = more
        self._name = name
        self._runs = 0

    def flood(
        self,
        path: str,
        connections: int,
        seconds: float,
        *,
        rate_per_s: float,
        timeout_ms: int,
    ) -> Running:
        """Begin a run by a schedule."""
        command = self._command(path, connections, seconds)
        command += [str(rate_per_s), str(timeout_ms), self._more]
        process = subprocess.Popen(
            command,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return Running(process, seconds)

    def run(self, path: str, connections: int, seconds: float) -> Pressed:
        """Press one path.  Raises PressFailed when not every answer was read."""
        command = self._command(path, connections, seconds)
        if self._more:
            command += ["0", "0", self._more]
        done = subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            check=False,
            timeout=seconds + _EXTRA_SECONDS_MAX,
        )
        if done.returncode != 0:
            raise PressFailed(f"{path}: {done.stderr.decode().strip()}")
        return msgspec.json.decode(done.stdout, type=Pressed)

    def _command(self, path: str, connections: int, seconds: float) -> list[str]:
        self._runs += 1
        return [
            str(self._program),
            str(self._port),
            path,
            str(connections),
            str(seconds),
            str(self._accounts),
            f"{self._name}{self._runs:03d}",  # Keys differ from run to run.
            str(self._runs),
        ]


def _build(build_dir: Path) -> Path:
    found = [name for name in _COMPILERS if shutil.which(name)]
    if not found:
        raise PressFailed(
            "no C compiler to build the client with; on Debian: apt-get install gcc"
        )
    program = build_dir / "press"
    command = [found[0], "-O2", "-std=c11", "-o", str(program), str(_SOURCE)]
    built = subprocess.run(command, capture_output=True, check=False)
    if built.returncode != 0:
        raise PressFailed(f"{' '.join(command)}:\n{built.stderr.decode()}")
    return program
