"""A real Prometheus beside a real server: each fault raises its own alert alone.

The rules are those that are shipped, with shorter times.  What takes more than a
moment to bring about is played to the same rules by `promtool` (`alerts.test.yml`).
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.crash.asking import purchase
from tests.processes import RunningServer, furnish, running_server

RULES = Path(__file__).parents[2] / "gateway" / "alerts.yml"
PLAYED = Path(__file__).with_name("alerts.test.yml")
SECONDS_MAX = 60.0
SCRAPE = "1200ms"  # A frozen node is waited for, for a second.
SHORTER = {
    "[5m]": "[6s]",
    "[1m]": "[6s]",
    "for: 15s": "for: 3s",
    "for: 30s": "for: 20s",
}

pytestmark = pytest.mark.skipif(
    not (shutil.which("prometheus") and shutil.which("promtool")),
    reason="needs Prometheus (Debian: apt-get install prometheus)",
)


def test_the_rules_are_rules_and_do_as_is_said_of_them() -> None:
    for command in (["check", "rules", str(RULES)], ["test", "rules", str(PLAYED)]):
        done = subprocess.run(
            ["promtool", *command], capture_output=True, text=True, check=False
        )
        assert 0 == done.returncode, done.stdout + done.stderr


def test_every_alert_says_what_to_do_and_is_played() -> None:
    rules, played = RULES.read_text(), PLAYED.read_text()
    names = [line.split()[-1] for line in rules.splitlines() if "- alert:" in line]
    assert len(names) == len(set(names)) == rules.count("action:")
    assert (
        len(names)
        == rules.count("summary:")
        == rules.count("severity: page}") + (rules.count("severity: ticket}"))
    )
    assert [] == [name for name in names if f"alertname: {name}\n" not in played]


class Watch:
    """A Prometheus that looks every second or so, and what it has raised."""

    def __init__(self, directory: Path, target: str) -> None:
        self._port = _free_port()
        rules = RULES.read_text()
        for before, after in SHORTER.items():
            assert before in rules
            rules = rules.replace(before, after)
        (directory / "rules.yml").write_text(rules)
        job = {"job_name": "forebay", "static_configs": [{"targets": [target]}]}
        config = {
            "global": {"scrape_interval": SCRAPE, "evaluation_interval": "500ms"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [job],
        }
        (directory / "prometheus.yml").write_text(json.dumps(config))  # Is YAML, too.
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _ask(self, what: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self._port}/api/v1/{what}", timeout=5) as told:
            return json.load(told)["data"]

    def begin(self) -> None:
        """Wait until it has looked; it takes seconds to find what to look at."""
        deadline = time.monotonic() + SECONDS_MAX
        query = "query?query=count_over_time(forebay_gateway_ready[10s])>2"
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if self._ask(query)["result"]:
                    self.until()
                    return
            time.sleep(0.2)
        raise AssertionError("Prometheus does not look")

    def firing(self) -> set[str]:
        """The alerts that are raised now."""
        alerts = self._ask("alerts")["alerts"]
        return {a["labels"]["alertname"] for a in alerts if a["state"] == "firing"}

    def until(self, *expected: str) -> set[str]:
        """Wait until exactly these are raised; all that were raised meanwhile."""
        deadline = time.monotonic() + SECONDS_MAX
        seen: set[str] = set()
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                found = self.firing()
                seen |= found
                if found == set(expected):
                    return seen
            time.sleep(0.2)
        raise AssertionError(f"not {expected} alone; seen: {seen}")

    def raises(self, *alone: str, calm: Callable[[], object] | None = None) -> None:
        """What is wrong now raises these, and none but these until it is over."""
        seen = self.until(*alone)
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            seen |= self.firing()
            time.sleep(0.2)
        assert set(alone) == seen
        if calm is not None:
            calm()
        self.until()


@contextlib.contextmanager
def watched(directory: Path) -> Iterator[tuple[RunningServer, list[str], Watch]]:
    with running_server(directory / "data", "--shards", "2") as server:
        names = furnish(server, 20)
        watch = Watch(directory, server.url.removeprefix("http://"))
        try:
            watch.begin()
            yield server, names, watch
        finally:
            watch.process.terminate()
            watch.process.wait(10)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _status(ask: Callable[[], Any]) -> int:
    try:
        ask()
    except HTTPError as error:
        return error.code
    return 200


@pytest.mark.slow
def test_each_fault_raises_its_own_alert_and_no_other(tmp_path: Path) -> None:
    with watched(tmp_path) as (server, names, watch):

        def buy(key: str, body: dict[str, Any]) -> int:
            return _status(lambda: server.post("/v1/authorizations", key, body))

        for number in range(20):
            assert 200 == buy(f"p-{number}", purchase(names[number], 100))
        time.sleep(2)
        assert set() == watch.firing()

        server.kill_node("shard-000")
        watch.raises("ForebayNodeDied")

        frozen = server.nodes()["shard-001"]["pid"]
        os.kill(frozen, signal.SIGSTOP)
        watch.raises("ForebayNodeSilent")

        assert 422 == buy("p-0", purchase(names[0], 200))
        watch.raises("ForebayKeysReused")

        for number in range(10):
            assert 400 == buy(f"b-{number}", purchase(names[0], -1))
        watch.raises("ForebayBadRequests")

        asyncio.run(_never_whole(server))
        watch.raises("ForebayClientsHungUp")

        _poor_program(server)
        assert 200 == buy("poor", purchase("poor", 1_000))  # A decline.
        watch.raises("ForebayReserveExhausted")

        journal = server.data_dir / "shard-000.journal"
        away = journal.with_name("away")
        pid = server.nodes()["shard-000"]["pid"]
        journal.rename(away)
        os.kill(pid, signal.SIGKILL)
        watch.raises("ForebayNodeRefused", calm=lambda: away.rename(journal))

        server.kill()
        watch.raises("ForebayDown", calm=lambda: _start_again(server))


async def _never_whole(server: RunningServer) -> None:
    """A client that begins a request and does not end it, until it is hung up on."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", int(server.url.rpartition(":")[2])
    )
    writer.write(b"POST /v1/authorizations HTTP/1.1\r\nHost: x\r\n")
    async with asyncio.timeout(SECONDS_MAX):
        assert b"" == await reader.read()
    writer.close()


def _poor_program(server: RunningServer) -> None:
    """A lender with next to nothing, and an account that could buy more."""
    post = server.post
    post("/v1/lenders", "r-poor", {"lender_id": "poor", "currency": "EUR"})
    post("/v1/lenders/poor/deposits", "d-poor", {"amount_minor": 10})
    share = {"lender_id": "poor", "share_ppm": 1_000_000}
    program = {"program_id": "poor", "currency": "EUR", "shares": [share]}
    post("/v1/programs", "p-poor", program)
    account = {"account_id": "poor", "program_id": "poor", "currency": "EUR"}
    post("/v1/accounts", "a-poor", account | {"limit_minor": 10_000})


def _start_again(server: RunningServer) -> None:
    port = server.url.rpartition(":")[2]
    server.start("--port", port)
