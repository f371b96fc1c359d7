"""One data directory: one owner, one set of journals, and never a blank one.

Real servers on real files, started and refused as a person would see it.
(Fault 14, and the rule that two processes cannot own one journal.)
"""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.processes import (
    RunningServer,
    check_verified,
    furnish,
    run_forebay,
    running_server,
    until_answered,
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that was served, used and stopped in order."""
    data_dir = tmp_path_factory.mktemp("served") / "data"
    with running_server(data_dir, "--shards", "2", "--first-day", "2026-01-30") as s:
        for number, name in enumerate(furnish(s, 8)):
            buy(s, f"k-{number}", name)
        s.post("/v1/business-days/2026-01-30/close", "c", {})
        assert s.terminate() == 0
    return data_dir


def buy(server: RunningServer, key: str, account_id: str) -> object:
    """One captured purchase."""
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


def copy_of(served: Path, tmp_path: Path) -> Path:
    """The same directory, to be damaged."""
    data_dir = tmp_path / "data"
    shutil.copytree(served, data_dir)
    return data_dir


def test_a_journal_that_is_gone_is_not_made_again_in_a_servers_first_life(
    tmp_path: Path,
) -> None:
    """Only before the cluster was ready a node may make its journal."""
    with running_server(tmp_path / "data", "--shards", "2") as server:
        names = furnish(server, 8)
        journal = server.data_dir / "shard-000.journal"
        away = journal.with_name("away")
        pid = server.nodes()["shard-000"]["pid"]
        journal.rename(away)
        os.kill(pid, signal.SIGKILL)

        def refused() -> str:
            nodes = {n["name"]: n for n in server.get("/v1/status")["nodes"]}
            why: str = nodes["shard-000"]["refused"]
            return why

        why = server.wait_until("a refusal", refused)
        assert "shard-000.journal is missing; it is never created again" in why
        assert not journal.exists()
        away.rename(journal)
        server.wait_until("a node that is back", lambda: not refused())
        for name in names:
            read = partial(server.get, f"/v1/accounts/{name}")
            assert name == until_answered(read)["account_id"]


def test_a_second_server_and_a_verifier_are_refused_by_name(tmp_path: Path) -> None:
    """Who comes second is told which process has it."""
    data_dir = tmp_path / "data"
    with running_server(data_dir, "--shards", "1") as server:
        pid = server.process.pid
        shard_pid = server.nodes()["shard-000"]["pid"]
        settlement_pid = server.nodes()["settlement"]["pid"]
        second = run_forebay("serve", "--data-dir", str(data_dir), "--port", "0")
        verify = run_forebay("verify", str(data_dir))
        assert buy(server, "k", "nobody") == {
            "status": "declined",
            "reason": "account_not_found",
            "transient": True,
        }

    assert second.returncode == 2
    assert f"{data_dir} is in use by process {pid}" in second.stderr
    assert verify.returncode == 1
    assert "settlement.journal is in use by process" in verify.stderr
    assert str(settlement_pid) in verify.stderr
    assert shard_pid != settlement_pid


def test_a_server_started_again_continues_where_it_was(
    served: Path, tmp_path: Path
) -> None:
    """Balances, the day, remembered requests and keys are as they were left."""
    data_dir = copy_of(served, tmp_path)
    server = RunningServer(data_dir)
    server.add_key()
    server.start()
    try:
        account = server.get("/v1/accounts/borrower-3")
        day = server.get("/v1/business-days/current")
        closed = server.get("/v1/business-days/2026-01-30")
        again = buy(server, "k-3", "borrower-3")
        account_after = server.get("/v1/accounts/borrower-3")
    finally:
        assert server.terminate() == 0
    verified = check_verified(data_dir)

    assert account["outstanding_minor"] == 1_001
    assert day == {"day": "2026-01-31", "status": "open"}
    assert closed["status"] == "closed"
    assert closed["totals"]["merchants"]["shop"]["captured_minor"] == 8 * 1_001
    assert again["status"] == "approved"  # type: ignore[index]
    assert account_after == account
    assert verified["counts"]["Authorized"] == 8


def _remove(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
    other.close()


def _tampered(path: Path) -> None:
    with sqlite3.connect(path) as journal:
        journal.execute("UPDATE batch SET at_ms = at_ms + 1 WHERE first_sequence = 1")
    journal.close()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (_remove, "is missing"),
        (_empty, "is empty"),
        (_foreign, "is not a journal of Forebay"),
        (_tampered, "is damaged"),
    ],
)
def test_a_bad_journal_is_refused_by_name_and_left_alone(
    served: Path, tmp_path: Path, damage: Callable[[Path], None], why: str
) -> None:
    """It is never served, and nothing is created in its place."""
    data_dir = copy_of(served, tmp_path)
    journal = data_dir / "shard-001.journal"
    damage(journal)
    before = journal.read_bytes() if journal.exists() else None

    refused = run_forebay("serve", "--data-dir", str(data_dir), "--port", "0")

    assert refused.returncode == 2, refused.stdout
    assert str(journal) in refused.stderr
    assert why in refused.stderr
    assert "ready" not in refused.stdout
    assert (journal.read_bytes() if journal.exists() else None) == before


def test_a_shards_journal_is_not_served_in_anothers_place(
    served: Path, tmp_path: Path
) -> None:
    """Both are whole, and every account would be unknown where it is looked for."""
    data_dir = copy_of(served, tmp_path)
    one, other = (data_dir / f"shard-00{number}.journal" for number in (0, 1))
    one.rename(data_dir / "aside")
    other.rename(one)
    (data_dir / "aside").rename(other)

    refused = run_forebay("serve", "--data-dir", str(data_dir), "--port", "0")

    assert refused.returncode == 2, refused.stdout
    assert f"{one} is the journal of shard 1" in refused.stderr
    assert "not the one that cluster.json names as shard-000" in refused.stderr


def test_yesterdays_copy_of_a_shard_is_refused(served: Path, tmp_path: Path) -> None:
    """Settlement has acknowledged more than an old copy knows."""
    data_dir = copy_of(served, tmp_path)
    old = tmp_path / "old.journal"
    shutil.copy(data_dir / "shard-000.journal", old)
    server = RunningServer(data_dir)
    server.add_key()
    server.start()
    try:
        for number in range(40):
            buy(server, f"later-{number}", f"borrower-{number % 8}")
        server.post("/v1/business-days/2026-01-31/close", "c", {})
        server.wait_until(
            "the day closed",
            lambda: server.get("/v1/business-days/2026-01-31")["status"] == "closed",
        )
    finally:
        server.terminate()
    shutil.copy(old, data_dir / "shard-000.journal")

    assert run_forebay("verify", str(data_dir)).returncode == 1
    server.spawn()
    try:
        server.wait_until("the refusal", lambda: "it is an old copy" in server.log)
    finally:
        server.terminate()
