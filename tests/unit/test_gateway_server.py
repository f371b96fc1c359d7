"""Starting, stopping and the command line: what is refused, and in what words."""

import asyncio
import datetime
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from click.testing import CliRunner, Result

from gateway import server
from gateway.cli import main
from gateway.config import ConfigRefused, GatewayConfig, decode_config
from gateway.http_server import bound_socket, open_door, url_of
from gateway.keys import ALL_ROLES, KeyFile
from processor.messages import Answer, Outcome
from tests.unit.gateway_fake import AUTHORIZE, TODAY, FakeNodes, bounds, config_for

OPTIONS = {
    "data_dir": "somewhere",
    "host": "127.0.0.1",
    "port": 0,
    "shard_count": 2,
    "first_day": "2011-01-31",
}


def test_a_config_is_decoded_once_and_frozen() -> None:
    config = decode_config(OPTIONS)
    assert config.data_dir == Path("somewhere")
    assert config.first_day == datetime.date(2011, 1, 31)
    with pytest.raises(AttributeError):
        config.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", 65_536),
        ("port", -1),
        ("shard_count", -1),
        ("shard_count", 257),
        ("first_day", "2011-02-30"),
        ("host", ""),
    ],
)
def test_an_impossible_option_is_named(name: str, value: Any) -> None:
    with pytest.raises(ConfigRefused, match=name):
        decode_config(OPTIONS | {name: value})


@pytest.mark.parametrize(
    ("host", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("forebay.example", False),
    ],
)
def test_only_this_machine_is_loopback(host: str, is_loopback: bool) -> None:
    assert decode_config(OPTIONS | {"host": host}).is_loopback is is_loopback


def test_a_port_in_use_is_refused_by_number(tmp_path: Path) -> None:
    config = config_for(tmp_path)
    with bound_socket(config) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        assert url_of("127.0.0.1", listener) == f"http://127.0.0.1:{port}"
        again = msgspec.structs.replace(config, port=port)
        with pytest.raises(ConfigRefused, match=f"port {port}"), bound_socket(again):
            pass


async def post(session: aiohttp.ClientSession, url: str, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "r"}
    async with session.post(
        f"{url}/v1/authorizations", json=AUTHORIZE, headers=headers
    ) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize(("answers", "status"), [(True, 200), (False, 504)])
async def test_a_drain_finishes_what_is_in_flight(
    tmp_path: Path, answers: bool, status: int
) -> None:
    nodes = FakeNodes(lambda command: None)
    config = config_for(tmp_path, bounds(drain_ms_max=500))
    keys = KeyFile(tmp_path)
    key = keys.add("tester", ALL_ROLES, TODAY)
    async with aiohttp.ClientSession() as session:
        with bound_socket(config) as listener:
            async with open_door(config, nodes, keys, listener, None) as url:
                asked = asyncio.create_task(post(session, url, key))
                await nodes.arrived.wait()
                if answers:
                    answer = Answer(0, Outcome.DECIDED, b"{}")
                    loop = asyncio.get_running_loop()
                    loop.call_later(0.3, nodes.waiting[0].answered, answer)
            # The door is closed: the request was answered, no other is taken.
            assert asked.done()
            with pytest.raises(aiohttp.ClientConnectionError):
                await post(session, url, key)
        assert await asked == status


def forebay(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_keys_are_added_listed_and_revoked(tmp_path: Path) -> None:
    of = ("--data-dir", tmp_path)
    added = forebay("keys", "add", *of, "--caller", "shop", "--role", "payments")
    key_id = added.output.strip().split("_")[1]
    listed = forebay("keys", "list", *of)
    revoked = forebay("keys", "revoke", *of, key_id)
    again = forebay("keys", "revoke", *of, key_id)
    assert (added.exit_code, listed.exit_code, revoked.exit_code) == (0, 0, 0)
    assert listed.output.split()[0::2] == [key_id, "shop"]
    assert added.output.strip() not in listed.output
    assert (again.exit_code, forebay("keys", "list", *of).output) == (2, "")


def test_other_machines_are_not_let_in_without_keys(tmp_path: Path) -> None:
    told = forebay("serve", "--data-dir", tmp_path, "--host", "0.0.0.0", "--port", 0)
    assert told.exit_code == 2
    assert "forebay keys add" in told.output
    assert "Traceback" not in told.output


def test_an_impossible_port_is_told_in_words(tmp_path: Path) -> None:
    told = forebay("serve", "--data-dir", tmp_path, "--port", 70_000)
    assert told.exit_code == 2
    assert "port" in told.output


@pytest.mark.parametrize("kept", ["7", "d", "-1d", "1.5h", "7w", "59m", "367d", ""])
def test_a_time_to_keep_answers_that_cannot_be_is_told_in_words(
    tmp_path: Path, kept: str
) -> None:
    told = forebay("serve", "--data-dir", tmp_path, "--keep-answers", kept)
    assert told.exit_code == 2
    assert "keep" in told.output
    assert "Traceback" not in told.output


def test_answers_are_kept_for_days_hours_or_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = []

    async def serve(config: GatewayConfig, today: str, tell: object) -> None:
        configs.append(config)

    monkeypatch.setattr(server, "serve_until_stopped", serve)
    for kept in ("2d", "12h", "90m"):
        told = forebay("serve", "--data-dir", tmp_path, "--keep-answers", kept)
        assert told.exit_code == 0
    hour_ms = 3_600_000
    assert [48 * hour_ms, 12 * hour_ms, 90 * 60_000] == [c.keep_ms for c in configs]


def test_a_server_that_is_not_there_is_told_in_words() -> None:
    told = forebay("position", "--url", "http://127.0.0.1:1", "--key", "fb_x", "bank")
    assert told.exit_code == 2
    assert "no answer from http://127.0.0.1:1" in told.output


@pytest.mark.parametrize("command", ["serve", "keys", "replay", "demo", "verify"])
def test_every_command_has_help(command: str) -> None:
    told = forebay(command, "--help")
    assert told.exit_code == 0
    assert len(told.output.splitlines()) > 5


def serve_program(data_dir: Path) -> list[str]:
    program = [sys.executable, "-m", "gateway.cli", "serve", "--port", "0"]
    return [*program, "--shards", "1", "--data-dir", str(data_dir)]


@contextmanager
def serving(data_dir: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A real server as a program, and the lines it printed up to "ready"."""
    process = subprocess.Popen(
        serve_program(data_dir), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:
            lines.append(line.strip())
            if lines[-1] == "ready":
                break
        yield process, lines
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.slow
async def test_serve_prints_a_first_key_once_and_stops_with_0(tmp_path: Path) -> None:
    with serving(tmp_path) as (process, lines):
        key, url = lines[1], lines[2].split()[1].removesuffix("/v1")
        async with aiohttp.ClientSession() as session:
            assert await post(session, url, key) == 200
        second = await asyncio.to_thread(
            subprocess.run,
            serve_program(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
    assert second.returncode == 2
    assert str(tmp_path) in second.stderr
    assert str(process.pid) in second.stderr
    assert "Traceback" not in second.stderr
    with serving(tmp_path) as (process, lines):
        assert not any(line.startswith("fb_") for line in lines)
        async with aiohttp.ClientSession() as session:
            assert await post(session, lines[0].split()[1][:-3], key) == 200
        process.send_signal(signal.SIGINT)
        assert await asyncio.to_thread(process.wait, 30) == 0
