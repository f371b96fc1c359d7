"""Segments: one journal through all of them, whatever happens in between."""

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter

import pytest

from processor import limits
from processor.chain import has_end
from processor.journal import (
    Batch,
    Fenced,
    Identity,
    Journal,
    JournalRefused,
    Point,
    read_journal,
    read_segments,
)
from processor.storage.directory import segment_path
from tests.unit.storage_in_memory import Disk, MemoryStorage, PowerCut

IDENTITY = Identity("cluster", "shard", 3, 8, "journal-3", "2026-01-01")
DAY = "2026-01-01"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shard-003.journal"


@asynccontextmanager
async def opened(path: Path, create: Identity | None = None) -> AsyncIterator[Journal]:
    """Recovered, and closed again whatever happens."""
    journal = await Journal.open(path, create)
    try:
        async for _ in journal.recover():
            pass
        yield journal
    finally:
        await journal.close()


async def rotate(journal: Journal) -> None:
    await journal.prepare()
    journal.switch()
    await journal.settle()


def add(journal: Journal, rows: int) -> None:
    for _ in range(rows):
        count = 1 + journal.point.sequence % 3
        journal.append(count, DAY, 1_000, str(journal.point.sequence + 1).encode())


async def written(path: Path, segments: int = 3) -> None:
    """A closed journal, ten rows to a segment."""
    async with opened(path, IDENTITY) as journal:
        for number in range(segments):
            add(journal, 10)
            if number < segments - 1:
                await rotate(journal)


async def rows_of(path: Path) -> list[Batch]:
    journal = await Journal.open(path)
    try:
        return [batch async for batch in journal.recover()]
    finally:
        await journal.close()


def check_content(rows: list[Batch]) -> None:
    """Dense, and each row says which it is."""
    sequence = 0
    for row in rows:
        assert sequence + 1 == row.first_sequence
        assert str(row.first_sequence).encode() == row.records
        sequence = row.last_sequence


async def test_a_journal_goes_on_through_its_segments(path: Path) -> None:
    await written(path)
    rows = await rows_of(path)
    assert 30 == len(rows)
    check_content(rows)
    assert {1} == {row.epoch for row in rows}
    assert [path, segment_path(path, 2), segment_path(path, 3)] == sorted(
        found for found in path.parent.iterdir() if found.suffix != ".lock"
    )
    with read_journal(path) as (identity, offline):
        assert IDENTITY == identity
        assert rows == list(offline)


async def test_every_row_is_found_wherever_it_is(path: Path) -> None:
    await written(path)
    rows = await rows_of(path)
    async with opened(path) as journal:
        for row in rows:
            for sequence in range(row.first_sequence, row.last_sequence + 1):
                assert row == journal.row_of(sequence)
        found: list[Batch] = []
        while len(found) < len(rows):
            found += await journal.read(found[-1].last_sequence if found else 0, 7)
        assert rows == found


async def test_no_more_files_are_kept_open_than_may_be(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_READERS_MAX", 2)
    await written(path, segments=6)
    async with opened(path) as journal:
        for sequence in range(1, journal.point.sequence + 1):
            journal.row_of(sequence)
            assert len(journal._readers) <= 2


async def test_rows_are_found_while_their_segment_is_settling(path: Path) -> None:
    async with opened(path, IDENTITY) as journal:
        add(journal, 10)
        await journal.prepare()
        journal.switch()
        assert b"1" == journal.row_of(1).records
        assert 10 == len(await journal.read(0, 99))
        add(journal, 1)
        await journal.settle()
        assert b"1" == journal.row_of(1).records
        assert 10 == len(await journal.read(0, 99))


async def test_settling_and_finding_rows_do_not_meet_in_sqlite(path: Path) -> None:
    async with opened(path, IDENTITY) as journal:
        for _ in range(20):
            add(journal, 20)
            await journal.prepare()
            journal.switch()
            settling = asyncio.create_task(journal.settle())
            first = journal.sealed[-1].begin
            assert first is not None
            while not settling.done():
                await asyncio.sleep(0)
                for sequence in range(first.sequence + 1, journal.point.sequence + 1):
                    row = journal.row_of(sequence)
                    assert row.first_sequence <= sequence <= row.last_sequence
                assert await journal.read(first.sequence, 3)
            await settling


async def test_it_is_full_by_records_or_by_bytes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_RECORDS", 20)
    monkeypatch.setattr(limits, "SEGMENT_BYTES", 500)
    async with opened(path, IDENTITY) as journal:
        journal.append(19, DAY, 1, b"a")
        assert not journal.is_full
        journal.append(1, DAY, 1, b"a")
        assert journal.is_full
        await rotate(journal)
        assert not journal.is_full
        journal.append(1, DAY, 1, bytes(500))
        assert journal.is_full
    async with opened(path) as journal:
        assert journal.is_full


async def test_recovery_may_begin_where_a_segment_ends(path: Path) -> None:
    await written(path)
    rows = await rows_of(path)
    journal = await Journal.open(path)
    try:
        point = journal.sealed_point
        assert point is not None
        assert has_end(journal.sealed, point)
        another = Point(point.sequence, b"another", point.epoch)
        assert not has_end(journal.sealed, another)
        assert rows[20:] == [row async for row in journal.recover(point)]
        add(journal, 1)
    finally:
        await journal.close()
    check_content(await rows_of(path))


async def test_who_was_replaced_seals_nothing(path: Path) -> None:
    async with opened(path, IDENTITY) as journal:
        add(journal, 1)
        await journal.prepare()
        journal._live.take()
        with pytest.raises(Fenced, match=r"a later writer than epoch 1"):
            journal.switch()
    check_content(await rows_of(path))
    async with opened(path) as journal:
        assert [] == journal.sealed


async def test_nobody_appends_to_what_was_sealed(path: Path) -> None:
    async with opened(path, IDENTITY) as journal:
        add(journal, 1)
        await journal.prepare()
        before = journal._live
        journal.switch()
        row = Batch(2, 2, journal.epoch, DAY, 1, b"2", b"")
        with pytest.raises(Fenced):
            before.append(row)


# What does not fit is refused by name.


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (1, r"003\.journal is missing; it is never"),
        (2, r"journal\.000003 is segment 3 where segment 2 .* missing"),
        (3, r"journal\.000002 was sealed, and the segment after it is missing"),
    ],
)
async def test_a_missing_segment_is_named(path: Path, number: int, why: str) -> None:
    await written(path)
    segment_path(path, number).unlink()
    await check_refused(path, why)


async def check_refused(path: Path, why: str) -> None:
    """Neither opened nor read, and no file comes or goes."""
    before = files(path)
    with pytest.raises(JournalRefused, match=why):
        await rows_of(path)
    with pytest.raises(JournalRefused, match=why), read_journal(path) as (_, rows):
        list(rows)
    assert before == files(path)


def files(path: Path) -> list[Path]:
    return sorted(found for found in path.parent.iterdir() if found.suffix != ".lock")


async def test_segments_in_each_others_place_are_named(path: Path) -> None:
    await written(path)
    second, third, aside = (segment_path(path, n) for n in (2, 3, 9))
    second.rename(aside)
    third.rename(second)
    aside.rename(third)
    await check_refused(path, r"journal\.000002 is segment 3 where segment 2")


async def test_a_segment_of_another_journal_is_named(path: Path) -> None:
    await written(path)
    other = path.with_name("other.journal")
    journal = await Journal.open(
        other, Identity("cluster", "shard", 3, 8, "another", "2026-01-01")
    )
    add(journal, 10)
    await rotate(journal)
    await journal.close()
    segment_path(other, 2).rename(segment_path(path, 2))
    await check_refused(path, r"journal\.000002 is a segment of another journal")


async def test_a_segment_of_another_history_is_named(path: Path) -> None:
    """Both came from one journal; then each went on by itself."""
    await written(path, segments=2)
    copy = path.with_name("copy") / path.name
    shutil.copytree(path.parent, copy.parent)
    for one, rows in ((path, 3), (copy, 4)):
        async with opened(one) as journal:
            add(journal, rows)
            await rotate(journal)
    segment_path(copy, 3).rename(segment_path(path, 3))
    await check_refused(path, r"000003 does not go on where .*000002 was sealed")


async def test_an_older_copy_of_a_segment_is_named(path: Path) -> None:
    await written(path, segments=2)
    old = path.parent / "old"
    shutil.copy(segment_path(path, 2), old)
    async with opened(path) as journal:
        add(journal, 1)
        await rotate(journal)
    old.rename(segment_path(path, 2))
    await check_refused(path, r"000002 is not sealed, but .*000003 goes on after it")


async def test_a_sealed_segment_that_lost_its_last_row_is_named(path: Path) -> None:
    await written(path)
    with pytest.raises(JournalRefused, match=r"000002 is damaged: it ends with record"):
        await rows_of(shortened(path))


def shortened(path: Path) -> Path:
    change(path, "DELETE FROM batch WHERE rowid = (SELECT max(rowid) FROM batch)")
    return path


@pytest.mark.parametrize(
    "changed",
    ["epoch = epoch + 1", "at_ms = at_ms + 1", "records = X'00'", "day = '2026-01-02'"],
)
async def test_a_changed_row_in_a_sealed_segment_is_named(
    path: Path, changed: str
) -> None:
    await written(path)
    middle = "(SELECT first_sequence FROM batch LIMIT 1 OFFSET 5)"
    change(path, f"UPDATE batch SET {changed} WHERE first_sequence = {middle}")
    with pytest.raises(JournalRefused, match=r"000002 is damaged: the row of record"):
        await rows_of(path)


def change(path: Path, statement: str) -> None:
    """Damage the second segment of a journal that nobody has open."""
    connection = sqlite3.connect(segment_path(path, 2))
    with connection:
        connection.execute(statement)
    connection.close()


# Crashes.

WRITER = """
import asyncio, os, sys
from pathlib import Path
from processor.journal import Identity, Journal

STEP = sys.argv[2]

def reached(step):
    if step == STEP and seen["rotations"] == 2:
        os._exit(9)

seen = {"rotations": 0}

async def main():
    identity = Identity("cluster", "shard", 3, 8, "journal-3", "2026-01-01")
    journal = await Journal.open(Path(sys.argv[1]), identity, reached)
    async for _ in journal.recover():
        pass
    def add(rows):
        for _ in range(rows):
            sequence = journal.point.sequence
            count = 1 + sequence % 3
            journal.append(count, "2026-01-01", 1_000, str(sequence + 1).encode())
            print(sequence + count, flush=True)
    while True:
        add(5)
        prepared = asyncio.create_task(journal.prepare())
        add(2)
        await prepared
        journal.switch()
        settled = asyncio.create_task(journal.settle())
        await asyncio.sleep(0)
        add(2)
        await settled
        seen["rotations"] += 1

asyncio.run(main())
"""


def start_writer(path: Path, step: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), step],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("step", ["created", "sealed", "begun", "settled"])
async def test_a_crash_at_any_step_of_a_rotation_loses_nothing(
    path: Path, step: str
) -> None:
    with start_writer(path, step) as writer:
        acknowledged = [int(line) for line in writer.communicate()[0].splitlines()]
        assert 9 == writer.returncode
    await check_recovered(path, acknowledged[-1])


async def check_recovered(path: Path, acknowledged: int) -> None:
    """What was said is there, it goes on, rotates, and is whole offline."""
    rows = await rows_of(path)
    assert rows[-1].last_sequence >= acknowledged
    check_content(rows)
    async with opened(path) as journal:
        add(journal, 3)
        await rotate(journal)
        add(journal, 3)
    after = await rows_of(path)
    assert len(rows) + 6 == len(after)
    check_content(after)
    with read_segments(path) as (heads, offline):
        assert after == list(offline)
    assert all(head.end is not None for head in heads[:-1])


@pytest.mark.parametrize("after", [3, 50, 120])
async def test_a_writer_killed_while_it_rotates_all_the_time_loses_nothing(
    path: Path, after: int
) -> None:
    acknowledged = 0
    for _ in range(3):
        with start_writer(path, "never") as writer:
            assert writer.stdout is not None
            for _ in range(after):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout.readlines():
                acknowledged = int(line)
    await check_recovered(path, acknowledged)


async def test_what_was_durable_and_cannot_be_read_is_not_dropped_in_silence(
    path: Path,
) -> None:
    """SQLite takes all that follows a flipped bit in its log for unfinished."""
    with start_writer(path, "sealed") as writer:
        writer.communicate()
    (log,) = path.parent.glob("*.000003-wal")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 1
    log.write_bytes(bytes(content))
    await check_refused(path, r"000003 is damaged: .*-wal: frame \d+ is damaged")


@pytest.mark.parametrize("calls", range(40))
async def test_the_power_may_be_cut_before_any_call_to_the_disk(calls: int) -> None:
    """Also while the last cut is being recovered from; on a disk in memory."""
    disk = Disk()
    acknowledged = 0
    for life in range(6):
        disk.calls_left = calls + 7 * life
        with suppress(PowerCut):
            journal = await Journal.on(MemoryStorage(disk), IDENTITY)
            async for _ in journal.recover():
                pass
            assert journal.point.sequence >= acknowledged
            while True:
                for _ in range(3):
                    add(journal, 1)
                    acknowledged = journal.point.sequence
                await rotate(journal)
    disk.calls_left = -1
    journal = await Journal.on(MemoryStorage(disk), IDENTITY)
    rows = [row async for row in journal.recover()]
    check_content(rows)
    assert acknowledged <= journal.point.sequence <= acknowledged + 3
    epochs = [row.epoch for row in rows]
    assert sorted(epochs) == epochs
    for row in rows:
        assert row == journal.row_of(row.last_sequence)


async def test_appends_go_on_beside_a_rotation(path: Path) -> None:
    """What an append has to wait for is two syncs, not the making of a file."""
    async with opened(path, IDENTITY) as journal:
        for _ in range(200):
            journal.append(1, DAY, 1, bytes(20_000))
        waits = []

        async def append_all_the_time() -> None:
            while True:
                began = perf_counter()
                journal.append(1, DAY, 1, bytes(2_000))
                waits.append(perf_counter() - began)
                await asyncio.sleep(0)

        appending = asyncio.create_task(append_all_the_time())
        for _ in range(5):
            await journal.prepare()
            journal.switch()
            await journal.settle()
        appending.cancel()
    assert len(waits) > 20
