"""The journal: one writer, rows that are durable or not there, damage by name."""

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from processor.journal import (
    Batch,
    Fenced,
    Identity,
    Journal,
    JournalInUse,
    JournalRefused,
    chain_of,
    chain_start,
    read_journal,
)

IDENTITY = Identity("cluster", "shard", 3, 8, "journal-3", "2026-01-01")
ROWS = [(1, b"one"), (3, b"three records"), (2, b"two more")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shard-3.journal"


@asynccontextmanager
async def opened(path: Path, create: Identity | None = None) -> AsyncIterator[Journal]:
    """Closed again whatever happens: its thread would keep the process alive."""
    journal = await Journal.open(path, create)
    try:
        yield journal
    finally:
        await journal.close()


async def try_to_open(path: Path, create: Identity | None = None) -> None:
    async with opened(path, create):
        pass


async def written(path: Path, rows: list[tuple[int, bytes]] = ROWS) -> None:
    """A closed journal with one row for each (count, records)."""
    async with opened(path, IDENTITY) as journal:
        async for _ in journal.recover():
            pass
        for i, (count, records) in enumerate(rows):
            journal.append(count, "2026-01-01", 1_000 + i, records)


async def recovered(path: Path) -> list[Batch]:
    async with opened(path) as journal:
        return [batch async for batch in journal.recover()]


async def test_what_was_appended_comes_back_in_order(path: Path) -> None:
    await written(path)
    batches = await recovered(path)
    assert [(1, 1), (2, 4), (5, 6)] == [
        (batch.first_sequence, batch.last_sequence) for batch in batches
    ]
    assert [b"one", b"three records", b"two more"] == [b.records for b in batches]
    assert {1} == {batch.epoch for batch in batches}
    assert [1_000, 1_001, 1_002] == [batch.at_ms for batch in batches]


async def test_each_row_is_chained_to_the_one_before(path: Path) -> None:
    await written(path)
    chain = chain_start(IDENTITY)
    for b in await recovered(path):
        fields = (b.first_sequence, b.last_sequence, b.epoch, b.day, b.at_ms, b.records)
        chain = chain_of(chain, *fields)
        assert chain == b.chain


async def test_every_writer_takes_the_next_epoch(path: Path) -> None:
    epochs = []
    for _ in range(3):
        async with opened(path, IDENTITY) as journal:
            epochs.append(journal.epoch)
    assert [1, 2, 3] == epochs


async def test_a_second_writer_goes_on_after_the_first(path: Path) -> None:
    await written(path)
    async with opened(path) as journal:
        assert 6 == [b.last_sequence async for b in journal.recover()][-1]
        journal.append(2, "2026-01-02", 2_000, b"later")
    last = (await recovered(path))[-1]
    assert (7, 8, 2, b"later") == (
        last.first_sequence,
        last.last_sequence,
        last.epoch,
        last.records,
    )


async def test_who_was_replaced_writes_nothing_more(path: Path) -> None:
    late = r"shard-3\.journal has a later writer.* epoch 1"
    async with opened(path, IDENTITY) as journal:
        journal.append(1, "2026-01-01", 1, b"mine")
        # Nothing but this connection may touch the file, so a later writer is
        # played by the same one.
        journal._live.take()
        with pytest.raises(Fenced, match=late):
            journal.append(1, "2026-01-01", 2, b"too late")
    assert [b"mine"] == [batch.records for batch in await recovered(path)]


async def test_the_second_owner_is_told_who_the_first_is(path: Path) -> None:
    async with opened(path, IDENTITY) as journal:
        with pytest.raises(JournalInUse, match=rf"{path} .*process {os.getpid()};"):
            await try_to_open(path)
        with pytest.raises(JournalInUse, match=str(os.getpid())), read_journal(path):
            pass
        journal.append(1, "2026-01-01", 1, b"still the owner")
    assert 1 == len(await recovered(path))


def test_another_process_is_refused_and_told_the_pid(path: Path) -> None:
    with run_writer(path) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline()
        with (
            pytest.raises(JournalInUse, match=f"process {writer.pid};"),
            read_journal(path),
        ):
            pass
        writer.kill()
    with read_journal(path) as (identity, _):  # The lock died with its owner.
        assert IDENTITY == identity


async def test_a_missing_journal_is_named_and_never_made_anew(path: Path) -> None:
    with pytest.raises(JournalRefused, match=rf"{path} is missing"):
        await try_to_open(path)
    with pytest.raises(JournalRefused, match=rf"{path} is missing"), read_journal(path):
        pass
    assert not is_there(path)


async def test_an_empty_journal_is_refused(path: Path) -> None:
    fill(path, b"")
    with pytest.raises(JournalRefused, match=rf"{path} is empty"):
        await try_to_open(path)
    assert b"" == content(path)


@pytest.mark.parametrize("create", [None, IDENTITY], ids=["open", "create"])
async def test_what_is_no_database_is_refused_and_left_alone(
    path: Path, create: Identity | None
) -> None:
    fill(path, b"Dear diary, " * 1_000)
    with pytest.raises(JournalRefused, match=rf"{path} is damaged or foreign"):
        await try_to_open(path, create)
    assert b"Dear diary, " * 1_000 == content(path)


@pytest.mark.parametrize("create", [None, IDENTITY], ids=["open", "create"])
async def test_somebody_elses_database_is_refused_and_left_alone(
    path: Path, create: Identity | None
) -> None:
    change(path, "CREATE TABLE recipes (name TEXT)")
    before = content(path)
    with pytest.raises(JournalRefused, match=rf"{path} is not a journal of Forebay"):
        await try_to_open(path, create)
    assert before == content(path)


async def test_another_format_is_refused_by_its_number(path: Path) -> None:
    await written(path)
    change(path, "PRAGMA user_version = 7")
    with pytest.raises(JournalRefused, match=rf"{path} has journal format 7"):
        await try_to_open(path)


async def test_a_journal_cut_short_is_refused(path: Path) -> None:
    await written(path)
    fill(path, content(path)[:6_000])
    with pytest.raises(JournalRefused, match=str(path)):
        await recovered(path)


CHANGES = {
    "first_sequence": "first_sequence + 100",
    "last_sequence": "last_sequence + 1",
    "epoch": "epoch + 1",
    "day": "'2026-01-02'",
    "at_ms": "at_ms + 1",
    "records": "zeroblob(length(records))",
    "chain": "randomblob(16)",
}


@pytest.mark.parametrize("row", [1, 2, 5])
@pytest.mark.parametrize("column", sorted(CHANGES))
async def test_a_changed_row_is_found_whichever_column_it_is(
    path: Path, row: int, column: str
) -> None:
    await written(path)
    change(path, f"UPDATE batch SET {column} = {CHANGES[column]} WHERE rowid = {row}")
    with pytest.raises(JournalRefused, match=rf"{path} is damaged"):
        await recovered(path)


@pytest.mark.parametrize("row", [1, 2])
async def test_a_row_that_is_missing_in_the_middle_is_found(
    path: Path, row: int
) -> None:
    await written(path)
    change(path, f"DELETE FROM batch WHERE rowid = {row}")
    with pytest.raises(JournalRefused, match=rf"{path} is damaged: the row of record"):
        await recovered(path)


async def test_rows_of_another_journal_do_not_fit(path: Path) -> None:
    await written(path)
    change(
        path,
        "UPDATE identity SET body = "
        "CAST(replace(CAST(body AS TEXT), 'journal-3', 'journal-4') AS BLOB)",
    )
    with pytest.raises(JournalRefused, match=rf"{path} is damaged: it is not how"):
        await recovered(path)
    start = chain_start(msgspec.structs.replace(IDENTITY, journal_id="journal-4"))
    change(path, f"UPDATE edge SET chain = X'{start.hex()}'")
    with pytest.raises(JournalRefused, match="does not follow record 0"):
        await recovered(path)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO identity SELECT body FROM identity",
        "DELETE FROM identity",
        "INSERT INTO segment VALUES (1)",
        "DELETE FROM segment",
        "INSERT INTO owner VALUES (1)",
        "DELETE FROM owner",
    ],
)
async def test_a_row_more_or_less_where_one_should_be_is_refused(
    path: Path, statement: str
) -> None:
    await written(path)
    change(path, statement)
    with pytest.raises(JournalRefused, match=str(path)):
        await recovered(path)


async def test_a_flipped_bit_anywhere_in_the_file_is_refused_or_harmless(
    path: Path,
) -> None:
    await written(path)
    sound = content(path)
    expected = [batch.records for batch in await recovered(path)]
    used = [i for i, byte in enumerate(sound) if byte]
    refused = 0
    for place in Random(20_260_101).sample(used, 150):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        copy = path.with_name(f"{place}.journal")
        fill(copy, bytes(damaged))
        found = await recovered_or_refused(copy)
        assert found in (None, expected)
        refused += found is None
    assert refused > 100


async def recovered_or_refused(path: Path) -> list[bytes] | None:
    """None for a refusal that names the file; any other error is a bug."""
    try:
        return [batch.records for batch in await recovered(path)]
    except JournalRefused as error:
        named = str(path) in str(error)
    assert named
    return None


async def test_reading_offline_gives_identity_and_rows(path: Path) -> None:
    await written(path)
    before = content(path)
    with read_journal(path) as (identity, rows):
        found = list(rows)
    assert IDENTITY == identity
    assert [b"one", b"three records", b"two more"] == [row.records for row in found]
    assert before == content(path)
    assert found == await recovered(path)


WRITER = """
import asyncio, sys
from pathlib import Path
from processor.journal import Identity, Journal

async def main():
    identity = Identity("cluster", "shard", 3, 8, "journal-3", "2026-01-01")
    journal = await Journal.open(Path(sys.argv[1]), identity)
    async for _ in journal.recover():
        pass
    last = 0
    while True:
        count = 1 + last % 7
        records = str(last).encode() * (1 + last % 900)
        journal.append(count, "2026-01-01", last, records)
        last += count
        print(last, flush=True)

asyncio.run(main())
"""


@contextmanager
def run_writer(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that appends and says what has become durable, until killed."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with writer:
        try:
            yield writer
        finally:
            writer.kill()


@pytest.mark.parametrize("after", [1, 40, 200])
async def test_a_killed_writer_has_lost_nothing_it_acknowledged(
    path: Path, after: int
) -> None:
    with run_writer(path) as writer:
        assert writer.stdout is not None
        for _ in range(after):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        for line in writer.stdout.readlines():
            acknowledged = int(line)
    batches = await recovered(path)
    assert batches[-1].last_sequence >= acknowledged
    for batch in batches:
        last = batch.first_sequence - 1
        assert str(last).encode() * (1 + last % 900) == batch.records


def change(path: Path, statement: str) -> Any:
    """Damage a journal that nobody has open."""
    connection = sqlite3.connect(path)
    try:
        with connection:
            connection.execute(statement)
    finally:
        connection.close()


# The tests wait for nothing else, so the disk may be waited for in their loop.


def content(path: Path) -> bytes:
    return path.read_bytes()


def fill(path: Path, new: bytes) -> None:
    path.write_bytes(new)


def is_there(path: Path) -> bool:
    return path.exists()
