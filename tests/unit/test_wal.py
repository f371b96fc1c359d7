"""A torn tail of SQLite's log is no damage; a damaged middle is, and is named."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from processor.wal import commits, damage_of

FRAME_BYTES = 24 + 4_096
ROWS = 12


@pytest.fixture
def log(tmp_path: Path) -> Iterator[bytes]:
    """The log of some commits of two frames or more, before it is checkpointed."""
    path = tmp_path / "some.db"
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE row (body BLOB)")
    for number in range(ROWS):
        connection.execute("INSERT INTO row VALUES (?)", (bytes([number]) * 9_000,))
    yield Path(f"{path}-wal").read_bytes()
    connection.close()


def flipped(log: bytes, offset: int, bit: int) -> bytes:
    return log[:offset] + bytes([log[offset] ^ (1 << bit)]) + log[offset + 1 :]


def test_a_whole_log_is_not_damaged(log: bytes) -> None:
    assert "" == damage_of(log)
    assert commits(log)[-1] == len(log)
    assert len(commits(log)) == ROWS + 1


def test_no_log_is_not_damaged() -> None:
    assert "" == damage_of(b"")
    assert "" == damage_of(bytes(32))


def test_a_flipped_bit_before_the_last_commit_is_damage(log: bytes) -> None:
    random = Random(1)
    durable_end = commits(log)[-2]
    offsets = [*range(32), *(random.randrange(32, durable_end) for _ in range(150))]
    for offset in offsets:
        assert damage_of(flipped(log, offset, random.randrange(8))), offset


def test_every_frames_header_is_watched(log: bytes) -> None:
    """Flags, salts and checksums too, of every frame that was surely durable.

    A commit's flag is the exception when it loses its only bit: what follows
    could then be of the same, torn, transaction.
    """
    random = Random(3)
    for begin in range(32, commits(log)[-2], 2 * FRAME_BYTES):
        for offset in range(begin, begin + 24, 2):
            bit = random.randrange(8)
            damaged = flipped(log, offset, bit)
            flag = damaged[begin + 4 : begin + 8]
            if flag != bytes(4) or log[begin + 4 : begin + 8] == bytes(4):
                assert damage_of(damaged), (begin, offset - begin, bit)


def test_a_torn_tail_is_not_damage(log: bytes) -> None:
    """Whatever of the last commit is missing, in whichever sectors."""
    random = Random(2)
    begin = commits(log)[-2]
    for _ in range(200):
        torn = bytearray(log[: random.randrange(begin, len(log) + 1)])
        for sector in range(begin, len(torn), 512):
            if random.random() < 0.5:
                end = min(sector - sector % 512 + 512, len(torn))
                torn[sector:end] = bytes(end - sector)
        assert "" == damage_of(bytes(torn))


def test_what_an_older_log_left_behind_is_not_damage(log: bytes) -> None:
    """After a checkpoint the log is written anew over the old frames."""
    newer = bytearray(log)
    newer[: commits(log)[3]] = _with_other_salts(log[: commits(log)[3]])
    assert "" == damage_of(bytes(newer))
    assert 4 == len(commits(bytes(newer)))


def _with_other_salts(log: bytes) -> bytes:
    """The same commits as another log would hold them."""
    from processor.wal import _sum

    order = "<" if log[:4] == b"\x37\x7f\x06\x82" else ">"
    salts = bytes(reversed(log[16:24]))
    head = log[:16] + salts
    chain = _sum(order, head, (0, 0))
    made = head + b"".join(word.to_bytes(4, "big") for word in chain)
    for begin in range(32, len(log), FRAME_BYTES):
        page = log[begin + 24 : begin + FRAME_BYTES]
        chain = _sum(order, page, _sum(order, log[begin : begin + 8], chain))
        made += log[begin : begin + 8] + salts
        made += b"".join(word.to_bytes(4, "big") for word in chain) + page
    return made
