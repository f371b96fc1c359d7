"""A real `forebay serve` as a child process, for tests that kill and restart it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

FOREBAY = [sys.executable, "-c", "from gateway.cli import main; main()"]
WAIT_SECONDS_MAX = 60.0


class RunningServer:
    """One data directory, served by one process after the other."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.url = ""
        self.key = ""
        self.environment: dict[str, str] | None = None  # As this process, or so.
        self.process: subprocess.Popen[str]

    def add_key(self) -> None:
        """A further key for the first caller: its secret was shown only once."""
        added = run_forebay(
            *("keys", "add", "--data-dir", str(self.data_dir), "--caller", "first"),
            *("--role", "payments", "--role", "operator", "--role", "auditor"),
        )
        assert added.returncode == 0, added.stderr
        self.key = added.stdout.strip()

    def start(self, *options: str) -> None:
        """Start on a free port, and wait until it says it is ready."""
        self.spawn(*options)
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.split()
            if words and words[0].startswith("fb_"):
                self.key = words[0]
            if words and words[0] == "API":
                self.url = words[1].removesuffix("/v1")
            if line.strip() == "ready":
                return
        raise AssertionError(f"the server did not start: {self.log}")

    def spawn(self, *options: str) -> None:
        """Start on a free port, whatever comes of it."""
        serve = ["serve", "--data-dir", str(self.data_dir), "--port", "0", *options]
        with (self.data_dir.parent / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                [*FOREBAY, *serve],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self.environment,
            )

    @property
    def log(self) -> str:
        """What the server has said on standard error."""
        return (self.data_dir.parent / "server.log").read_text()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self._ended()

    def _ended(self) -> int:
        code = self.process.wait(WAIT_SECONDS_MAX)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code

    def kill(self) -> None:
        """SIGKILL, and nobody left to say goodbye."""
        self.process.kill()
        self._ended()

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        request = Request(
            self.url + path, headers={"Authorization": f"Bearer {self.key}"}
        )
        with urlopen(request, timeout=10) as response:
            return json.load(response)

    def post(self, path: str, key: str, body: dict[str, Any]) -> Any:
        """The JSON answer to a command."""
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Idempotency-Key": key,
            "Content-Type": "application/json",
        }
        data = json.dumps(body).encode()
        request = Request(self.url + path, data=data, headers=headers, method="POST")
        with urlopen(request, timeout=10) as response:
            return json.load(response)

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What each node says of itself, by name; those that answer."""
        nodes = self.get("/v1/status")["nodes"]
        return {node["name"]: node["figures"] for node in nodes if node["figures"]}

    def wait_until(self, what: str, condition: Any) -> Any:
        """Poll until a condition is true, and return what it returned."""
        deadline = time.monotonic() + WAIT_SECONDS_MAX
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.01)
        raise AssertionError(f"{what} did not happen in time; {self.log}")

    def kill_node(self, name: str) -> None:
        """SIGKILL one node's process."""
        os.kill(self.nodes()[name]["pid"], signal.SIGKILL)


def until_answered(ask: Callable[[], Any]) -> Any:
    """Ask again whatever was refused, is unknown, or broke the connection."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while time.monotonic() < deadline:
        try:
            return ask()
        except (HTTPException, OSError, KeyError):
            time.sleep(0.01)
    raise AssertionError("there was never an answer")


def run_forebay(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line, to its end."""
    return subprocess.run(
        [*FOREBAY, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def check_verified(data_dir: Path) -> dict[str, Any]:
    """`forebay verify` finds nothing wrong; what it counted."""
    verified = run_forebay("verify", str(data_dir), "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    found: dict[str, Any] = json.loads(verified.stdout)
    return found


@contextlib.contextmanager
def running_server(data_dir: Path, *options: str) -> Iterator[RunningServer]:
    """A server that is stopped, one way or another, on the way out."""
    server = RunningServer(data_dir)
    server.start(*options)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.terminate()


def furnish(
    server: RunningServer, accounts: int, expiry_seconds: int = 604_800
) -> list[str]:
    """A joint program with reserve to spare, a merchant, and accounts."""
    for lender in ("north", "south"):
        server.post(
            "/v1/lenders", f"r-{lender}", {"lender_id": lender, "currency": "EUR"}
        )
        server.post(
            f"/v1/lenders/{lender}/deposits",
            f"d-{lender}",
            {"amount_minor": 10**9},
        )
    shares = [
        {"lender_id": "north", "share_ppm": 333_333},
        {"lender_id": "south", "share_ppm": 666_667},
    ]
    server.post(
        "/v1/programs",
        "r-program",
        {
            "program_id": "joint",
            "currency": "EUR",
            "shares": shares,
            "authorization_expiry_seconds": expiry_seconds,
        },
    )
    server.post("/v1/merchants", "r-merchant", {"merchant_id": "shop"})
    names = [f"borrower-{number}" for number in range(accounts)]
    for name in names:
        answer = server.post(
            "/v1/accounts",
            f"open-{name}",
            {
                "account_id": name,
                "program_id": "joint",
                "currency": "EUR",
                "limit_minor": 10**8,
            },
        )
        assert answer["status"] == "approved"
    return names
