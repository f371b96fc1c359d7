"""`forebay verify` reads journals from disk and says what they are worth."""

import asyncio
import json
from pathlib import Path

import pytest

from gateway.verify import run_verify, verify
from processor import snapshot
from processor.journal import Journal
from processor.recovery import Room, ShardReplay
from processor.storage.archive import pack
from processor.storage.keeping import fold
from processor.storage.snapshots import FilePieces, read_snapshots, write_snapshot
from tests.unit.journals_by_hand import (
    SETTLEMENT,
    SHARD_0,
    SHARD_1,
    Journals,
    journals,
)

FILES = {
    SETTLEMENT: "settlement.journal",
    SHARD_0: "shard-000.journal",
    SHARD_1: "shard-001.journal",
}


def write(directory: Path, found: Journals) -> None:
    async def all_of_them() -> None:
        for name, script in found.items():
            journal = await Journal.open(directory / FILES[name], script.identity)
            for batch in script.batches():
                count = batch.last_sequence - batch.first_sequence + 1
                journal.append(count, batch.day, batch.at_ms, batch.records)
            await journal.close()

    asyncio.run(all_of_them())


def test_sound_journals_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, journals())

    assert run_verify(tmp_path, as_json=False) == 0

    said = capsys.readouterr().out
    assert "4 purchases approved, 3 commands declined" in said
    assert "south: GBP 882 of 20,100" in said
    assert "replay equal: yes" in said


def test_the_verdict_is_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, journals())

    assert run_verify(tmp_path, as_json=True) == 0

    verdict = json.loads(capsys.readouterr().out)
    assert verdict["overspend_minor"] == 0
    assert verdict["false_reserve_declines"] == 0
    assert verdict["trial_balance_minor"] == 0
    assert verdict["replay_equal"] is True
    assert verdict["differences"] == []
    assert verdict["days"]["2026-03-02"]["merchants"]["shop"]["captured_count"] == 3
    assert verdict["lenders"]["south"]["captured_minor"] == 1_778


def test_a_tampered_journal_is_named_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = journals()
    found[SHARD_0].change(11, credit_minor=99)
    write(tmp_path, found)

    assert run_verify(tmp_path, as_json=False) == 1
    assert "shard 0, record 11: its postings sum to 1" in capsys.readouterr().out

    assert run_verify(tmp_path, as_json=True) == 1
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["trial_balance_minor"] == 1
    assert verdict["replay_equal"] is False


async def seal(path: Path) -> None:
    journal = await Journal.open(path)
    async for _ in journal.recover():
        pass
    await journal.prepare()
    journal.switch()
    await journal.close()


def test_it_reads_through_all_segments_and_says_how_far(tmp_path: Path) -> None:
    """From the first row, packed or not, whatever snapshots there are."""
    write(tmp_path, journals())
    for file in FILES.values():
        asyncio.run(seal(tmp_path / file))
    fold(tmp_path / FILES[SHARD_0], 1, print)
    pack(tmp_path / FILES[SHARD_0], 1)
    told: list[tuple[int, int]] = []

    verdict = verify(tmp_path, lambda done, total: told.append((done, total)))

    assert verdict.is_clean
    total = sum(len(script.records) for script in journals().values())
    assert {total} == {all_of_them for _, all_of_them in told}
    assert sorted(told) == told
    assert (total, total) == told[-1]


def test_a_snapshot_that_is_not_what_the_journal_replays_to_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, journals())
    path = tmp_path / FILES[SHARD_0]
    asyncio.run(seal(path))
    point = fold(path, 1, print)
    assert point is not None
    ((name, _, saved),) = read_snapshots(path)
    pieces = FilePieces(path)
    identity = journals()[SHARD_0].identity
    _, replay = snapshot.decode(name, saved, identity, Room(pieces=pieces))
    assert isinstance(replay, ShardReplay)
    replay.state.accounts["alice"].limit_minor += 1
    other = snapshot.encode(identity, point, replay)

    write_snapshot(path, point.sequence, other)
    assert run_verify(tmp_path, as_json=False) == 1
    assert f"{name} is not what the journal replays to." in capsys.readouterr().out

    write_snapshot(path, point.sequence, saved[:-1])
    assert run_verify(tmp_path, as_json=False) == 1
    assert f"{name} is damaged" in capsys.readouterr().out


def test_a_missing_journal_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, journals())
    (tmp_path / FILES[SHARD_1]).unlink()

    assert run_verify(tmp_path, as_json=False) == 1
    assert "shard-001.journal is missing" in capsys.readouterr().err


def test_a_directory_that_does_not_exist_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verify(tmp_path / "nowhere", as_json=False) == 1
    assert "nowhere is not a directory" in capsys.readouterr().err
