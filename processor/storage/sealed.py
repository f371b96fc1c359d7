"""Reading a settled segment: it never changes, so anybody may, at any time.

It is opened as immutable: without locks, and without looking for a WAL.  Its
rows are there one by one, or packed into compressed blocks by `archive.py`;
a reader cannot tell.  An archive takes the place of the file it was made from;
who has the old one open goes on reading the same rows.
"""

import sqlite3
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from processor.chain import Batch, Head, JournalRefused
from processor.storage.files import check_file
from processor.storage.segment import (
    DAMAGED,
    READ,
    READ_ONE,
    read_head,
    refusal_of,
)

BLOCKS = """
CREATE TABLE block (
    first_sequence INTEGER PRIMARY KEY,
    last_sequence  INTEGER NOT NULL,
    rows           BLOB    NOT NULL
) STRICT;
"""
_BLOCK_OF = """
SELECT first_sequence, last_sequence, rows FROM block
WHERE first_sequence <= ? ORDER BY first_sequence DESC LIMIT 1
"""
_ROWS = msgspec.msgpack.Decoder(list[Batch])
_BROKEN = (*DAMAGED, zlib.error, msgspec.MsgspecError)


class Sealed:
    """A settled segment, open for one reader."""

    def __init__(self, path: Path) -> None:
        self.path = path
        check_file(path)
        uri = f"file:{quote(str(path))}?mode=ro&immutable=1"
        self._sqlite = sqlite3.connect(
            uri, uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            self.head: Head = read_head(path, self._sqlite)
            tables = self._sqlite.execute("SELECT name FROM sqlite_master").fetchall()
        except DAMAGED as error:
            self._sqlite.close()
            raise refusal_of(path, error) from error
        except BaseException:
            self._sqlite.close()
            raise
        self.is_packed = ("block",) in tables
        self._block: list[Batch] = []  # The last one unpacked.

    def read(self, after_sequence: int, rows: int) -> list[Batch]:
        """Up to `rows` rows that begin after a sequence; -1 for all there are."""
        try:
            if self.is_packed:
                return self._unpacked(after_sequence, rows)
            found = self._sqlite.execute(READ, (after_sequence, rows)).fetchall()
        except _BROKEN as error:
            raise JournalRefused(f"{self.path} is damaged: {error}") from error
        return [Batch(*row) for row in found]

    def rows(self) -> Iterator[Batch]:
        """Every row, as they are: checking them is the reader's."""
        after = 0
        while True:
            found = self.read(after, 256)
            if not found:
                return
            yield from found
            after = found[-1].first_sequence

    def last_sequence(self) -> int:
        """The last record in it; 0 if it has none."""
        table = "block" if self.is_packed else "batch"
        try:
            ((last,),) = self._sqlite.execute(
                f"SELECT coalesce(max(last_sequence), 0) FROM {table} WHERE "
                f"first_sequence = (SELECT max(first_sequence) FROM {table})"
            ).fetchall()
        except _BROKEN as error:
            raise JournalRefused(f"{self.path} is damaged: {error}") from error
        return int(last)

    def row_of(self, sequence: int) -> Batch:
        """The row that holds a record of this segment."""
        try:
            if not self.is_packed:
                (found,) = self._sqlite.execute(READ_ONE, (sequence,)).fetchall()
                return Batch(*found)
            block = self._block
            if not block or not (
                block[0].first_sequence <= sequence <= block[-1].last_sequence
            ):
                (packed,) = self._sqlite.execute(_BLOCK_OF, (sequence,)).fetchall()
                block = self._block = self._unpack(packed)
            firsts = [row.first_sequence for row in block]
            return block[bisect_right(firsts, sequence) - 1]
        except _BROKEN as error:
            raise JournalRefused(f"{self.path} is damaged: {error}") from error

    def _unpacked(self, after_sequence: int, rows: int) -> list[Batch]:
        assert self.head.begin is not None
        found: list[Batch] = []
        last = max(after_sequence, self.head.begin.sequence)
        while rows < 0 or len(found) < rows:
            packed = self._sqlite.execute(_BLOCK_OF, (last + 1,)).fetchone()
            if packed is None or packed[1] <= last:
                break
            block = self._unpack(packed)
            found += [row for row in block if row.first_sequence > last]
            last = block[-1].last_sequence
        return found if rows < 0 else found[:rows]

    def _unpack(self, packed: tuple[int, int, bytes]) -> list[Batch]:
        first_sequence, last_sequence, body = packed
        block = _ROWS.decode(zlib.decompress(body))
        if (block[0].first_sequence, block[-1].last_sequence) != (
            first_sequence,
            last_sequence,
        ):
            raise JournalRefused(
                f"{self.path} is damaged: its block of record {first_sequence} holds "
                f"records {block[0].first_sequence} to {block[-1].last_sequence}"
            )
        return block

    def close(self) -> None:
        """Close the file."""
        self._sqlite.close()
