"""Snapshots: exact, checked, never trusted, and made of sealed segments alone."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import GenericAlias
from typing import Any

import msgspec
import pytest

from actors import births
from actors.births import recover_shard
from processor import limits, snapshot
from processor.chain import Batch, Identity, Point
from processor.journal import Journal, JournalRefused, read_journal
from processor.pieces import MemoryPieces
from processor.recovery import Replay, Room, digest_of, replay_of
from processor.settlement_state import SettlementState
from processor.snapshot import SnapshotRefused
from processor.state import ShardState
from processor.storage import keeping
from processor.storage.archive import pack
from processor.storage.directory import segment_path
from processor.storage.keeping import fold
from processor.storage.sealed import Sealed
from processor.storage.snapshots import (
    read_snapshots,
    snapshot_path,
    snapshot_sequences,
    write_snapshot,
)
from tests.unit.one_shard import IDENTITY, a_shard
from tests.unit.test_readings import a_busy_shard
from tests.upgrade.released import NAMES, unpack_format_1

SEGMENT_ROWS = 10
ROOM = Room(pieces=MemoryPieces())


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Journals in which everything happens that stories tell of."""
    data_dir = tmp_path_factory.mktemp("format-1")
    unpack_format_1(data_dir)
    return data_dir


# The form.


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_goes_on_as_the_one_that_was_saved(
    released: Path, name: str
) -> None:
    """Saved and restored again and again on the way, it ends in the same bytes."""
    with read_journal(released / f"{name}.journal") as (identity, rows):
        straight = replay_of(identity)(identity, ROOM)
        again: Replay = replay_of(identity)(identity, ROOM)
        for number, row in enumerate(rows):
            straight.replay(row)
            again.replay(row)
            if number % 250 == 249:
                assert shared(straight.state) == shared(again.state)
                again = through_a_snapshot(identity, row, again)
    assert digest_of(straight.state) == digest_of(again.state)
    assert straight.saved() == again.saved()
    assert straight.at_ms == again.at_ms


def through_a_snapshot(identity: Identity, row: Batch, replay: Replay) -> Replay:
    point = Point(row.last_sequence, row.chain, row.epoch)
    saved = snapshot.encode(identity, point, replay)
    found, restored = snapshot.decode("it", saved, identity, ROOM)
    assert point == found
    assert shared(replay.state) == shared(restored.state)
    return restored


def shared(state: Any) -> set[tuple[str, ...]]:
    """What can change and is there under several names, by these names."""
    names: dict[int, list[str]] = {}
    seen = []

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict | list):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            inner = [(f"{name}[{key}]", item) for key, item in items]
        elif isinstance(value, msgspec.Struct):
            fields = value.__struct_fields__
            inner = [(f"{name}.{field}", getattr(value, field)) for field in fields]
        else:
            return
        if isinstance(value, dict | list) or not value.__struct_config__.frozen:
            seen.append(value)  # So that no other gets its id.
            known = names.setdefault(id(value), [])
            known.append(name)
            if len(known) > 1:
                return
        for name, value in inner:
            walk(name, value)

    walk("", state)
    return {tuple(several) for several in names.values() if len(several) > 1}


def test_programs_are_one_object_under_two_names() -> None:
    """Or what one learns the other would not know after a restart."""
    restored = through_a_snapshot(IDENTITY, last_row(), replayed())
    assert (".programs[solo]", ".program_versions[('solo', 1)]") in shared(
        restored.state
    )


def last_row() -> Batch:
    row: Batch = a_busy_shard().batches[-1]
    return row


def replayed() -> Any:
    replay = replay_of(IDENTITY)(IDENTITY, ROOM)
    for row in a_busy_shard().batches:
        replay.replay(row)
    return replay


@pytest.fixture(scope="module")
def saved() -> bytes:
    row = last_row()
    point = Point(row.last_sequence, row.chain, row.epoch)
    return snapshot.encode(IDENTITY, point, replayed())


def test_a_flipped_bit_anywhere_is_refused_by_name(saved: bytes) -> None:
    places = [*range(200), *Random(20_260_101).sample(range(len(saved)), 200)]
    for place in [*places, *range(len(saved) - 40, len(saved))]:
        damaged = bytearray(saved)
        damaged[place] ^= 1 << (place % 8)
        with pytest.raises(SnapshotRefused, match="the name"):
            snapshot.decode("the name", bytes(damaged), IDENTITY, ROOM)


@pytest.mark.parametrize("length", [0, 1, 15, 20, 60, 1_000])
def test_one_cut_short_is_refused_by_name(saved: bytes, length: int) -> None:
    with pytest.raises(SnapshotRefused, match="the name"):
        snapshot.decode("the name", saved[:length], IDENTITY, ROOM)


def test_one_of_another_journal_is_refused(saved: bytes) -> None:
    other = msgspec.structs.replace(IDENTITY, journal_id="another")
    with pytest.raises(SnapshotRefused, match="the name is a snapshot of another"):
        snapshot.decode("the name", saved, other, ROOM)


def changed(saved: bytes, **fields: Any) -> bytes:
    """The same with another header, and a checksum that fits."""
    body = memoryview(saved)[:-32]
    begin = len(b"Forebay snapshot") + 4
    length = int.from_bytes(body[begin - 4 : begin], "big")
    header = msgspec.msgpack.decode(body[begin : begin + length]) | fields
    encoded = msgspec.msgpack.encode(header)
    new = b"".join(
        (
            b"Forebay snapshot",
            len(encoded).to_bytes(4, "big"),
            encoded,
            body[begin + length :],
        )
    )
    return new + snapshot._checksum(new)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"format": 5, "unheard_of": 1}, "has snapshot format 5, this program reads 4"),
        ({"form": "another"}, "is of a state that had another form"),
        ({"point": [1, b"", 1]}, "does not hold the state that was saved"),
        ({"parts": {}}, "cannot be read"),
        ({"pieces": [["ab", 7]]}, "needs piece ab, which is not whole"),
    ],
)
def test_one_that_is_not_what_it_says_is_refused(
    saved: bytes, fields: dict[str, Any], why: str
) -> None:
    snapshot.decode("the name", changed(saved), IDENTITY, ROOM)
    with pytest.raises(SnapshotRefused, match=f"the name {why}"):
        snapshot.decode("the name", changed(saved, **fields), IDENTITY, ROOM)


def state_of(*fields: tuple[str, Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct("State", fields)


def table_of(field: str, kind: type) -> Any:
    inner: Any = msgspec.defstruct("Inner", [(field, kind)])
    return GenericAlias(dict, (str, inner))


def test_another_field_or_type_anywhere_is_another_form() -> None:
    states = [
        state_of(("table", table_of("a", int))),
        state_of(("table", table_of("a", str))),
        state_of(("table", table_of("b", int))),
        state_of(("tables", table_of("a", int))),
        state_of(("table", table_of("a", int)), ("more", int)),
    ]
    assert len(states) == len({snapshot.form_of(state) for state in states})
    assert snapshot.form_of(states[0]) == snapshot.form_of(
        state_of(("table", table_of("a", int)))
    )
    assert snapshot.form_of(ShardState) != snapshot.form_of(SettlementState)


async def test_a_snapshot_that_does_not_come_back_as_it_was_is_not_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = snapshot.encode

    def forgetful(identity: Identity, point: Point, replay: Any) -> bytes:
        saved = encode(identity, point, replay)
        replay.state.totals.authorized_count += 1
        return saved

    monkeypatch.setattr(snapshot, "encode", forgetful)
    with pytest.raises(SnapshotRefused, match="does not hold the state"):
        fold(path, 4, never)
    assert () == tuple(snapshot_sequences(path))


# Files.


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A journal of a busy shard: four sealed segments and a live one."""
    path = tmp_path / "shard-000.journal"
    journal = await Journal.open(path, IDENTITY)
    try:
        for number, row in enumerate(a_busy_shard().batches):
            if number and number % SEGMENT_ROWS == 0:
                await journal.prepare()
                journal.switch()
                await journal.settle()
            count = row.last_sequence - row.first_sequence + 1
            journal.append(count, row.day, row.at_ms, row.records)
        assert 4 <= journal.settled_count
    finally:
        await journal.close()
    return path


async def recovered(path: Path, told: list[str]) -> tuple[Point | None, str, int]:
    """Where recovery began, the digest it ended in, and how many rows it read."""
    journal = await Journal.open(path)
    rows = 0
    try:
        found = snapshot.newest(
            journal.saved(),
            journal.identity,
            journal.sealed,
            told.append,
            Room(pieces=journal.pieces),
        )
        point, replay = found or (None, replay_of(journal.identity)(journal.identity))
        async for row in journal.recover(point):
            replay.replay(row)
            rows += 1
    finally:
        await journal.close()
    return point, digest_of(replay.state), rows


def never(text: str) -> None:
    raise AssertionError(text)


async def test_recovery_is_the_newest_snapshot_and_the_rows_since(path: Path) -> None:
    _, digest, all_rows = await recovered(path, [])
    point = fold(path, 4, never)
    assert point is not None
    assert (point, digest, all_rows - 4 * SEGMENT_ROWS) == await recovered(path, [])
    assert digest == digest_of(replayed().state)


async def test_a_node_is_born_of_a_snapshot_and_reads_nothing_before_it(
    path: Path,
) -> None:
    """What is damaged there, `forebay verify` finds; a node does without."""
    digest = digest_of(replayed().state)
    fold(path, 4, never)
    change(segment_path(path, 2), "UPDATE batch SET at_ms = at_ms + 1")
    journal = await Journal.open(path)
    try:
        shard = await recover_shard(journal)
        assert digest == digest_of(shard.state)
        assert journal.point.sequence == shard.sequence == shard.history.sequence
        journal.append(1, shard.day, 1, b"appended behind it")
    finally:
        await journal.close()
    for sequence in snapshot_sequences(path):
        snapshot_path(path, sequence).unlink()
    journal = await Journal.open(path)
    try:
        with pytest.raises(JournalRefused, match=r"000002 is damaged"):
            await recover_shard(journal)
    finally:
        await journal.close()


def change(file: Path, statement: str) -> None:
    connection = sqlite3.connect(file)
    with connection:
        connection.execute(statement)
    connection.close()


async def test_each_snapshot_goes_on_from_the_one_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    checked = keeping._checked

    def spy(*arguments: Any) -> Iterator[Batch]:
        for row in checked(*arguments):
            read.append(row.first_sequence)
            yield row

    monkeypatch.setattr(keeping, "_checked", spy)
    for number in (1, 2, 3, 4):
        assert fold(path, number, never) is not None
        assert fold(path, number, never) is None
    assert 4 * SEGMENT_ROWS == len(read) == len(set(read))
    assert 2 == len(snapshot_sequences(path))


async def test_a_bad_snapshot_is_named_and_the_one_before_is_taken(path: Path) -> None:
    _, digest, _ = await recovered(path, [])
    older, newer = fold(path, 2, never), fold(path, 4, never)
    assert older is not None
    assert newer is not None
    file = snapshot_path(path, newer.sequence)
    file.write_bytes(file.read_bytes()[:-100])
    told: list[str] = []
    found = await recovered(path, told)
    assert (older, digest) == found[:2]
    assert [f"{file} is damaged: its checksum is another"] == told

    snapshot_path(path, older.sequence).write_bytes(b"")
    told = []
    assert (None, digest) == (await recovered(path, told))[:2]
    assert 2 == len(told)


async def test_the_next_one_takes_the_place_of_a_bad_one(path: Path) -> None:
    point = fold(path, 3, never)
    assert point is not None
    file = snapshot_path(path, point.sequence)
    file.write_bytes(b"Forebay snapshot and nothing else, for a while, and more")
    told: list[str] = []
    assert fold(path, 4, told.append) is not None
    assert [str(file)] == [text.split()[0] for text in told]


async def test_one_of_another_history_is_not_taken(path: Path) -> None:
    """It is whole, and of this journal; but no segment was sealed there."""
    point = fold(path, 2, never)
    assert point is not None
    file = snapshot_path(path, point.sequence)
    saved = file.read_bytes()
    file.unlink()
    elsewhere = changed(saved, point=[point.sequence, b"another chain", point.epoch])
    write_snapshot(path, point.sequence, elsewhere)
    told: list[str] = []
    assert (await recovered(path, told))[0] is None
    assert "of another history" in told[0]
    file.unlink()
    write_snapshot(path, point.sequence + 1, saved)  # Under another's name.
    told = []
    assert (await recovered(path, told))[0] is None
    assert "of another history" in told[0]


async def test_a_damaged_segment_is_never_folded(path: Path) -> None:
    file = segment_path(path, 2)
    content = bytearray(file.read_bytes())
    place = content.index(b"caller", len(content) // 2)
    content[place] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(JournalRefused, match=f"{file} is damaged"):
        fold(path, 4, never)
    assert [] == snapshot_sequences(path)


# Archives.


async def test_an_archive_takes_a_fraction_of_the_space(
    released: Path, tmp_path: Path
) -> None:
    path = tmp_path / "shard-000.journal"
    shutil.copy(released / "shard-000.journal", path)
    journal = await Journal.open(path)
    try:
        before = [row async for row in journal.recover()]
        await journal.prepare()
        journal.switch()
        await journal.settle()
    finally:
        await journal.close()
    size = path.stat().st_size
    pack(path, 1)
    assert path.stat().st_size < size // 4
    with read_journal(path) as (_, rows):
        assert before == list(rows)


async def test_an_archive_has_the_same_rows(path: Path) -> None:
    with read_journal(path) as (_, rows):
        before = list(rows)
    for number in (1, 2, 3, 4):
        assert pack(path, number)
        assert not pack(path, number)
    with read_journal(path) as (_, rows):
        assert before == list(rows)
    journal = await Journal.open(path)
    try:
        assert before == [row async for row in journal.recover()]
        for row in Random(1).sample(before, len(before)):
            assert row == journal.row_of(row.last_sequence)
        found: list[Batch] = []
        while len(found) < len(before):
            found += await journal.read(found[-1].last_sequence if found else 0, 3)
        assert before == found
    finally:
        await journal.close()
    assert fold(path, 4, never) is not None


async def test_who_reads_the_old_file_reads_on(path: Path) -> None:
    reader = Sealed(segment_path(path, 1))
    before = list(reader.rows())
    pack(path, 1)
    assert before == list(reader.rows())
    reader.close()


async def test_blocks_are_found_however_many_there_are(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "ARCHIVE_BLOCK_BYTES", 1)
    before = Sealed(segment_path(path, 2))
    pack(path, 2)
    after = Sealed(segment_path(path, 2))
    rows = list(before.rows())
    assert rows == list(after.rows())
    for row in rows:
        assert row == after.row_of(row.first_sequence)
        assert before.read(row.last_sequence, 2) == after.read(row.last_sequence, 2)
    before.close()
    after.close()


async def test_a_damaged_archive_is_named(path: Path) -> None:
    pack(path, 2)
    file = segment_path(path, 2)
    sound = file.read_bytes()
    with read_journal(path) as (_, rows):
        before = list(rows)
    refused = 0
    used = [place for place, byte in enumerate(sound) if byte]
    for place in Random(20_260_101).sample(used, 100):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        file.write_bytes(bytes(damaged))
        with named_or_harmless(str(file)) as refusals:
            await recovered(path, [])
            with read_journal(path) as (_, rows):
                assert before == list(rows)
        refused += len(refusals)
    assert refused > 60


@contextmanager
def named_or_harmless(file: str) -> Iterator[list[str]]:
    """A refusal must name the file; any other error is a bug."""
    refusals: list[str] = []
    try:
        yield refusals
    except JournalRefused as error:
        refusals.append(str(error))
    assert all(file in text for text in refusals)


# Killed in the middle.

KILLED = """
import os, sys
from pathlib import Path
from processor.storage import archive, files, keeping, snapshots

module = {"fold": snapshots, "pack": archive}[sys.argv[2]]
when, ending = sys.argv[3:5]
publish = files.publish

def killed(draft, path):
    if not path.name.endswith(ending):
        return publish(draft, path)
    if when == "after":
        publish(draft, path)
    os._exit(9)

module.publish = killed
if sys.argv[2] == "fold":
    keeping.fold(Path(sys.argv[1]), 4, print)
else:
    archive.pack(Path(sys.argv[1]), 2)
"""


def run_until_killed(path: Path, what: str, when: str, ending: str) -> int:
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(path), what, when, ending],
        cwd=Path(__file__).parents[2],
        check=False,
    ).returncode


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(
    ("what", "ending"), [("fold", "piece"), ("fold", "snapshot"), ("pack", "")]
)
async def test_killed_around_the_rename_it_is_done_or_not(
    path: Path, what: str, ending: str, when: str
) -> None:
    _, digest, _ = await recovered(path, [])
    assert 9 == run_until_killed(path, what, when, ending)
    drafts = [file for file in os.listdir(path.parent) if file.endswith("ing")]
    assert (when == "before") == bool(drafts)
    point, after, _ = await recovered(path, [])
    assert digest == after
    assert (point is not None) == ((ending, when) == ("snapshot", "after"))
    for number in (1, 2, 3, 4):
        pack(path, number)
    fold(path, 4, never)
    assert digest == (await recovered(path, []))[1]
    assert not [file for file in os.listdir(path.parent) if file.endswith("ing")]
    assert [name for name, _, _ in read_snapshots(path)]


async def test_an_idle_shard_is_saved_too() -> None:
    shard = a_shard()
    replay = replay_of(IDENTITY)(IDENTITY, ROOM)
    for row in shard.batches:
        replay.replay(row)
    restored = through_a_snapshot(IDENTITY, shard.batches[-1], replay)
    assert digest_of(shard.state) == digest_of(restored.state)


async def test_a_node_that_recovers_shows_that_it_is_alive(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it is killed as silent, and the next life as well, for ever."""
    monkeypatch.setattr(births, "_RECORDS_AT_ONCE", 1)
    fold(path, 2, never)
    newest = snapshot.newest
    turns_while_loading = rows = 0
    rows_at_turns: list[int] = []

    def slow(*arguments: Any) -> Any:
        nonlocal turns_while_loading
        before = len(rows_at_turns)
        time.sleep(0.2)
        turns_while_loading = len(rows_at_turns) - before
        return newest(*arguments)

    def counted(replay_row: births.ReplayRow) -> births.ReplayRow:
        def replay_and_count(row: Batch) -> None:
            nonlocal rows
            replay_row(row)
            rows += 1

        return replay_and_count

    async def live() -> None:
        while True:
            rows_at_turns.append(rows)
            await asyncio.sleep(0)

    monkeypatch.setattr(snapshot, "newest", slow)
    living = asyncio.create_task(live())
    journal = await Journal.open(path)
    try:
        await recover_shard(journal, before_row=counted, load=asyncio.to_thread)
    finally:
        living.cancel()
        await journal.close()
    assert turns_while_loading > 10
    assert rows > 10
    assert rows == len(set(rows_at_turns)) - 1  # One between each two of them.
