"""Sealed segments, compressed: the same rows in the place of the same file.

Rows are put together into blocks of bounded size, so that any record is found
by unpacking one block.  The archive is compared with what it was made from, row
by row, before it takes its place; whoever has the old file open goes on
reading the same rows in it.
"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from processor import limits
from processor.chain import Batch, JournalRefused
from processor.storage.directory import segment_path
from processor.storage.files import KEEPERS_DRAFT, draft_of, publish
from processor.storage.sealed import BLOCKS, Sealed
from processor.storage.segment import create_packed

_ENCODER = msgspec.msgpack.Encoder()


def pack(path: Path, number: int) -> bool:
    """Compress a settled segment of the journal at `path`.

    False if that was done before.  Raises JournalRefused, naming the segment.
    """
    file = segment_path(path, number)
    segment = Sealed(file)
    try:
        if segment.is_packed:
            return False
        draft = draft_of(file, KEEPERS_DRAFT)
        _write(draft, segment)
        _compare(draft, segment)
    finally:
        segment.close()
    publish(draft, file)
    return True


def _write(draft: Path, segment: Sealed) -> None:
    connection = create_packed(draft, segment.head)
    try:
        connection.execute(BLOCKS)
        for block in _blocks(segment.rows()):
            body = zlib.compress(_ENCODER.encode(block))
            row = (block[0].first_sequence, block[-1].last_sequence, body)
            connection.execute("INSERT INTO block VALUES (?, ?, ?)", row)
        connection.execute("COMMIT")
    finally:
        connection.close()


def _blocks(rows: Iterator[Batch]) -> Iterator[list[Batch]]:
    block: list[Batch] = []
    size = 0
    for row in rows:
        block.append(row)
        size += len(row.records)
        if size >= limits.ARCHIVE_BLOCK_BYTES:
            yield block
            block, size = [], 0
    if block:
        yield block


def _compare(draft: Path, segment: Sealed) -> None:
    packed = Sealed(draft)
    try:
        same = packed.head.end == segment.head.end and all(
            one == other
            for one, other in zip(packed.rows(), segment.rows(), strict=True)
        )
    except ValueError:  # One has more rows than the other.
        same = False
    finally:
        packed.close()
    if not same:
        raise JournalRefused(f"{segment.path} could not be packed: its rows differ")
