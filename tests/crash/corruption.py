"""Journals with a flipped bit, and journals that are not where they belong.

(Fault 14.)  Each is refused by name, or it was a bit that nobody uses: then
what is read is what was written, to the last row.  Never is less served.
"""

import asyncio
import fcntl
import shutil
import time
from pathlib import Path
from random import Random

from processor.journal import Batch, Journal, JournalRefused
from processor.recovery import SettlementReplay, ShardReplay, digest_of
from processor.wal import commits
from tests.crash.asking import Asker, purchase
from tests.processes import furnish, running_server

_PURCHASES = 150
_PAGE_BYTES = 4_096


async def served_directory(directory: Path, *, is_killed: bool) -> Path:
    """The data directory of a server that was killed while it worked, or stopped.

    Of the one nearly all is still in the logs, of the other all in the journals.
    """
    data_dir = directory / f"served-{is_killed}"
    with running_server(data_dir, "--shards", "2") as server:
        names = furnish(server, 20)
        async with Asker(server) as asker:
            for number in range(_PURCHASES):
                body = purchase(names[number % 20], 100, capture=True)
                await asker.until_answered("/v1/authorizations", f"c-{number}", body)
        if is_killed:
            server.kill()
            await asyncio.to_thread(_wait_until_free, data_dir)
    return data_dir


def _wait_until_free(data_dir: Path) -> None:
    """Until no node of the killed server is left; nothing is opened meanwhile."""
    for path in data_dir.glob("*.journal.lock"):
        with path.open() as lock:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    time.sleep(0.05)


async def recover(path: Path) -> tuple[str, list[tuple[int, bytes]]]:
    """What a node would start from: the state's fingerprint, and every row."""
    journal = await Journal.open(path)
    try:
        rows: list[Batch] = [row async for row in journal.recover()]
    finally:
        await journal.close()
    is_shard = journal.identity.kind == "shard"
    replay = (ShardReplay if is_shard else SettlementReplay)(journal.identity)
    for row in rows:
        replay.replay(row)
    return digest_of(replay.state), [(row.first_sequence, row.records) for row in rows]


async def flip_bits(directory: Path, served: Path, seed: int, flips: int) -> int:
    """One random bit in a file, so many times; how often it was refused."""
    random = Random(seed)
    files = _files(served)
    whole = {path.name: await recover(_copy(served, directory, path)) for path in files}
    refused = 0
    for _ in range(flips):
        path = random.choice(files)
        journal = _copy(served, directory, path)
        damaged = journal.with_name(path.name)
        offset = random.randrange(damaged.stat().st_size)
        bit = random.randrange(8)
        _flip(damaged, offset, bit)
        try:
            found = await recover(journal)
        except JournalRefused as error:
            refused += str(journal) in str(error)
            continue
        if damaged.suffix == ".journal-wal" and _is_last_commit(path, offset):
            _, rows = whole[path.name]
            assert found[1] in (rows, rows[:-1])  # As if it had been torn.
            continue
        assert found == whole[path.name], (
            f"bit {bit} of byte {offset} of {path.name} (page offset "
            f"{offset % _PAGE_BYTES}) went unnoticed: {len(found[1])} rows of "
            f"{len(whole[path.name][1])}"
        )
    return refused


def _files(served: Path) -> list[Path]:
    """The journals and their logs."""
    return sorted(
        path
        for path in served.iterdir()
        if path.suffix in (".journal", ".journal-wal") and path.stat().st_size
    )


def _is_last_commit(path: Path, offset: int) -> bool:
    """Whether an offset is in a log's last transaction: a crash may tear it."""
    return offset >= commits(path.read_bytes())[-2]


def _copy(served: Path, directory: Path, path: Path) -> Path:
    """A fresh copy of a journal with its WAL."""
    name = path.name.removesuffix("-wal")
    into = directory / "damaged"
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    for one in (name, f"{name}-wal"):
        if (served / one).exists():
            shutil.copy(served / one, into / one)
    return into / name


def _flip(path: Path, offset: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))
