"""What the version before wrote replays to the same state, and is taken over.

N-1 → N → N-1 (fault 17): the version before refuses what this one has touched,
because each file says format 2; a newer one is refused here in the same way.
"""

import shutil
import sqlite3
from hashlib import blake2b
from pathlib import Path

import pytest

from gateway.verify import verify
from processor.journal import Journal, JournalRefused, read_journal
from processor.recovery import digest_of, replay_of
from processor.settlement_state import SettlementState
from processor.settlement_views import view as settlement_view
from processor.state import ShardState
from processor.storage.segment import FORMAT
from processor.views import view as shard_view
from tests.upgrade.released import NAMES, expected_of_format_1, unpack_format_1


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("format-1")
    unpack_format_1(data_dir)
    return data_dir


# What is shown of each account, and of each object in settlement's tables.
ACCOUNT_VIEWS = ("account", "statements", "schedule")
SETTLEMENT_VIEWS = (
    ("programs", "program"),
    ("merchants", "merchant"),
    ("merchants", "payable"),
    ("days", "day"),
)


@pytest.mark.parametrize("name", NAMES)
def test_it_replays_to_the_state_it_had(released: Path, name: str) -> None:
    expected = expected_of_format_1()[f"{name}.journal"]
    before = (released / f"{name}.journal").read_bytes()
    with read_journal(released / f"{name}.journal") as (identity, rows):
        replay = replay_of(identity)(identity)
        count = 0
        for row in rows:
            replay.replay(row)
            count += 1
    assert expected == {
        "rows": count,
        "sequence": replay.state.sequence,
        "digest": digest_of(replay.state),
        "remembered": len(replay.remembered),
        "views": len(shown(replay.state)),
        "views_digest": blake2b(
            b"".join(shown(replay.state)), digest_size=16
        ).hexdigest(),
    }
    assert before == (released / f"{name}.journal").read_bytes()


def test_its_books_are_clean_as_they_were(released: Path) -> None:
    verdict = verify(released)
    assert [] == verdict.differences
    assert verdict.is_clean
    assert 70_860 == verdict.report.counts["StatementIssued"]


@pytest.mark.parametrize("name", NAMES)
async def test_it_is_taken_over_as_the_first_segment(
    released: Path, tmp_path: Path, name: str
) -> None:
    path = tmp_path / f"{name}.journal"
    shutil.copy(released / f"{name}.journal", path)
    with read_journal(path) as (_, rows):
        before = list(rows)
    for _ in range(2):  # The second time there is nothing to be taken over.
        journal = await Journal.open(path)
        try:
            assert before == [row async for row in journal.recover()]
        finally:
            await journal.close()
    assert FORMAT == format_of(path)
    journal = await Journal.open(path)
    try:
        async for _ in journal.recover():
            pass
        await journal.prepare()
        journal.switch()
        await journal.settle()
        assert journal.sealed_point is not None
        assert before[-1].last_sequence == journal.sealed_point.sequence
    finally:
        await journal.close()
    with read_journal(path) as (_, rows):
        assert before == list(rows)


async def test_a_newer_one_is_refused_by_name_and_left_alone(
    released: Path, tmp_path: Path
) -> None:
    path = tmp_path / "shard-001.journal"
    shutil.copy(released / "shard-001.journal", path)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    before = path.read_bytes()
    why = rf"{path} has journal format {FORMAT + 1}, this program reads 1 and {FORMAT}"
    with pytest.raises(JournalRefused, match=why):
        await Journal.open(path)
    with pytest.raises(JournalRefused, match=why), read_journal(path):
        pass
    assert before == path.read_bytes()


def shown(state: ShardState | SettlementState) -> list[bytes]:
    """What a caller reads of it, whatever form the state has."""
    if isinstance(state, ShardState):
        found = [
            shard_view(state, kind, account_id)
            for account_id in sorted(state.accounts)
            for kind in ACCOUNT_VIEWS
        ]
    else:
        found = [
            settlement_view(state, kind, object_id)
            for table, kind in SETTLEMENT_VIEWS
            for object_id in sorted(getattr(state, table))
        ]
    return [body for body in found if body is not None]


def format_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    finally:
        connection.close()
    return int(version)
