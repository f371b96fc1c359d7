"""The drill: back a loaded system up, lose all of it, and serve on elsewhere.

Real servers, real journals, requests that never stop.  Every answer that was
there before the backup began is there after the restore, byte for byte; what
came later may be missing, and is simply done again.
"""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processor.journal import read_segments
from tests.processes import (
    RunningServer,
    check_verified,
    furnish,
    run_forebay,
    running_server,
)

pytestmark = pytest.mark.crash

CLIENTS = 4


def buy(server: RunningServer, key: str, account_id: str) -> Any:
    return server.post(
        "/v1/authorizations",
        key,
        {
            "account_id": account_id,
            "merchant_id": "shop",
            "amount_minor": 1_001,
            "currency": "EUR",
            "capture": True,
        },
    )


class Load:
    """Clients that buy until they are stopped; what they were answered, by key."""

    def __init__(self, server: RunningServer, names: list[str]) -> None:
        self.answers: dict[str, tuple[str, Any]] = {}
        self.failed: list[Exception] = []
        self._server, self._names = server, names
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._client, args=(number,))
            for number in range(CLIENTS)
        ]

    def _client(self, client: int) -> None:
        number = 0
        while not self._ended.is_set():
            key, name = f"k-{client}-{number}", self._names[number % len(self._names)]
            try:
                self.answers[key] = name, buy(self._server, key, name)
            except OSError as error:
                self.failed.append(error)
                return
            number += 1

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def back_up(server: RunningServer, directory: Path) -> Any:
    return run_forebay(
        *("backup", str(directory), "--data-dir", str(server.data_dir)),
        *("--url", server.url, "--key", server.key),
    )


@pytest.fixture(scope="module")
def drilled(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, dict[str, tuple[str, Any]], str]:
    """A backup taken under load, what had been answered before, and a day moved."""
    base = tmp_path_factory.mktemp("drill")
    with running_server(base / "data", "--shards", "2") as server:
        names = furnish(server, 12)
        with Load(server, names) as load:
            server.wait_until("some purchases", lambda: len(load.answers) > 150)
            day = str(server.get("/v1/business-days/current")["day"])
            server.post(f"/v1/business-days/{day}/close", "c", {})
            first = back_up(server, base / "first")
            before = len(load.answers)
            server.wait_until("more", lambda: len(load.answers) > before + 150)
            answered = dict(load.answers)
            second = back_up(server, base / "backup")
            after = len(load.answers)
            server.wait_until("yet more", lambda: len(load.answers) > after + 50)
            assert [] == load.failed
        server.wait_until("snapshots", lambda: list(base.glob("data/*.snapshot")))
        server.kill()
    shutil.rmtree(base / "data")
    assert 0 == first.returncode, first.stderr
    assert 0 == second.returncode, second.stderr
    assert "settlement stood still for" in second.stdout
    return base / "backup", answered, day


def restored(backup: Path, tmp_path: Path) -> Path:
    data_dir = tmp_path / "elsewhere" / "data"
    done = run_forebay("restore", str(backup), str(data_dir))
    assert 0 == done.returncode, done.stderr
    return data_dir


def test_everything_answered_before_is_there_and_it_serves(
    drilled: tuple[Path, dict[str, tuple[str, Any]], str], tmp_path: Path
) -> None:
    backup, answered, day = drilled
    data_dir = restored(backup, tmp_path)
    verified = check_verified(data_dir)
    assert verified["counts"]["Authorized"] >= len(answered)
    with running_server(data_dir) as server:
        again = {key: buy(server, key, name) for key, (name, _) in answered.items()}
        assert {key: answer for key, (_, answer) in answered.items()} == again
        assert "approved" == buy(server, "new", "borrower-1")["status"]
        assert "closed" == server.get(f"/v1/business-days/{day}")["status"]
        assert 0 == server.terminate()
    after = check_verified(data_dir)
    counts = verified["counts"]["Authorized"]
    assert counts + 1 == after["counts"]["Authorized"]  # Nothing was done twice.


def test_each_journal_goes_on_behind_the_backup(
    drilled: tuple[Path, dict[str, tuple[str, Any]], str], tmp_path: Path
) -> None:
    backup, _, _ = drilled
    data_dir = restored(backup, tmp_path)
    told = json.loads((backup / "backup.json").read_text())
    assert ["settlement", "shard-000", "shard-001"] == [
        journal["name"] for journal in told["journals"]
    ]
    for journal in told["journals"]:
        with read_segments(data_dir / f"{journal['name']}.journal") as (heads, _):
            assert journal["segments"] + 1 == len(heads)
            assert heads[-1].begin is None
            assert heads[-2].end is not None
            assert journal["sequence"] == heads[-2].end.sequence


def test_a_restored_shard_beside_a_newer_settlement_is_an_old_copy(
    drilled: tuple[Path, dict[str, tuple[str, Any]], str], tmp_path: Path
) -> None:
    """The parts of two backups do not make one."""
    backup, _, _ = drilled
    data_dir = restored(backup, tmp_path)
    older = restored(backup.with_name("first"), tmp_path / "older")
    for file in data_dir.glob("shard-001.*"):
        file.unlink()
    for file in older.glob("shard-001.*"):
        shutil.copy(file, data_dir)
    assert 1 == run_forebay("verify", str(data_dir)).returncode


def _remove(file: Path) -> None:
    file.unlink()


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("name", "damage", "why"),
    [
        ("backup.json", _remove, "is not a whole backup"),
        ("backup.json", lambda file: file.write_text("{"), "is damaged"),
        ("backup.json", lambda file: file.write_text("{}"), "backup format None"),
        ("shard-001.journal", _remove, "is missing"),
        ("shard-001.journal", _flip, "is damaged: its checksum differs"),
        ("settlement.journal", _flip, "is damaged: its checksum differs"),
    ],
)
def test_a_bad_backup_is_refused_by_name_and_serves_nothing(
    drilled: tuple[Path, dict[str, tuple[str, Any]], str],
    tmp_path: Path,
    name: str,
    damage: Callable[[Path], None],
    why: str,
) -> None:
    backup = tmp_path / "backup"
    shutil.copytree(drilled[0], backup)
    damage(backup / name)
    refused = run_forebay("restore", str(backup), str(tmp_path / "data"))
    assert 2 == refused.returncode
    assert str(backup) in refused.stderr
    assert name.removesuffix(".json") in refused.stderr
    assert why in refused.stderr
    assert not (tmp_path / "data" / "cluster.json").exists()


def test_nothing_is_restored_over_what_is_there(
    drilled: tuple[Path, dict[str, tuple[str, Any]], str], tmp_path: Path
) -> None:
    data_dir = restored(drilled[0], tmp_path)
    before = sorted(os.listdir(data_dir))
    refused = run_forebay("restore", str(drilled[0]), str(data_dir))
    assert 2 == refused.returncode
    assert f"{data_dir} is not empty" in refused.stderr
    assert before == sorted(os.listdir(data_dir))


def test_a_backup_is_of_what_the_server_serves(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--shards", "1") as server:
        furnish(server, 1)
        (tmp_path / "other").mkdir()
        with running_server(tmp_path / "other" / "data", "--shards", "1") as other:
            wrong = run_forebay(
                *("backup", str(tmp_path / "b"), "--data-dir", str(other.data_dir)),
                *("--url", server.url, "--key", server.key),
            )
        idle = back_up(server, tmp_path / "one")
        again = back_up(server, tmp_path / "two")
        full = back_up(server, tmp_path / "two")
    assert 2 == wrong.returncode
    assert "the server does not serve" in wrong.stderr
    assert (0, 0) == (idle.returncode, again.returncode), idle.stderr + again.stderr
    assert "is not empty" in full.stderr
    segments = [
        json.loads((tmp_path / name / "backup.json").read_text())["journals"]
        for name in ("one", "two")
    ]
    assert segments[0] == segments[1]  # Nothing was added in between.
