"""One segment of a journal: one SQLite file, one row a batch, one writer.

- A batch is durable or it is not there: one INSERT is one transaction, with
  `synchronous=FULL` in WAL mode.
- Every append, and the sealing, proves the writer's epoch inside its own
  transaction.  Sealing takes the epoch away, so nobody appends after it.
- aiosqlite opens, reads and closes it on a thread of its own.  An append does
  not go through that thread: handing a statement over and back costs three
  waits for the interpreter, under load longer than the sync itself (measured:
  0.9 ms a batch through the thread, 0.28 ms without).  It runs on the same
  connection in the caller's thread, which may not have a read under way at the
  same time.  So does the look-up of one row, which takes 10 µs.
- Settling and the look-up of a row take turns: SQLite refuses to empty the log
  while a statement of the same connection is half done.
- While it is written there is one connection and no other, ever: SQLite 3.7.0
  to 3.51.2 can corrupt a WAL that two connections checkpoint and write.  The
  file is opened by nothing but SQLite, because closing it would drop SQLite's
  own locks.
- What SQLite would drop silently, a damaged middle of its write-ahead log, is
  refused (`wal.py`); only a torn last transaction is dropped.  Each writer begins
  with an empty log: whoever looked at the file before it has emptied it.
- A sealed segment is *settled* when its WAL has gone into the file.  Nothing
  ever changes it then, and anybody may read it (`sealed.py`).
"""

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec

from processor.chain import (
    Batch,
    Fenced,
    Head,
    Identity,
    JournalInUse,
    JournalRefused,
    Point,
    beginning_of,
)
from processor.storage.files import check_file, draft_of, publish
from processor.wal import damage_of

FORMAT = 2
_FORMAT_OF_ONE_FILE = 1  # Before there were segments: no number, no edges.
_APPLICATION_ID = 0x466F7265  # "Fore".
_ROWS_PER_READ = 256
_NOBODY = 0  # The epoch of a sealed segment; writers count from 1.

# What reading a damaged file ends in: SQLite's own word, its message quoting broken
# text, or a row more, a row less or something else where one thing should be.
DAMAGED = (sqlite3.DatabaseError, ValueError, TypeError)

_PRIMARY_CODE = 0xFF
_OF_THE_DISK = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN)

# A page that says it holds fewer rows than it does would hide the last ones from
# the chain; in a sealed segment they are missed at its end.
_CHECK_PAGES = "PRAGMA quick_check(1)"

_EDGES = """
CREATE TABLE segment (number INTEGER NOT NULL) STRICT;
CREATE TABLE edge (
    side     TEXT    PRIMARY KEY,
    sequence INTEGER NOT NULL,
    chain    BLOB    NOT NULL,
    epoch    INTEGER NOT NULL
) STRICT;
"""
_OWNED = f"""
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {FORMAT};
CREATE TABLE identity (body BLOB NOT NULL) STRICT;
CREATE TABLE owner (epoch INTEGER NOT NULL) STRICT;
INSERT INTO owner VALUES ({_NOBODY});
{_EDGES}
"""
_ROWS = """
CREATE TABLE batch (
    first_sequence INTEGER PRIMARY KEY,
    last_sequence  INTEGER NOT NULL,
    epoch          INTEGER NOT NULL,
    day            TEXT    NOT NULL,
    at_ms          INTEGER NOT NULL,
    records        BLOB    NOT NULL,
    chain          BLOB    NOT NULL
) STRICT;
"""
_APPEND = """
INSERT INTO batch SELECT ?, ?, ?, ?, ?, ?, ?
WHERE (SELECT epoch FROM owner) = ?
"""
_SEAL = """
INSERT INTO edge SELECT 'end', ?, ?, ? WHERE (SELECT epoch FROM owner) = ?
"""
_BEGIN = "INSERT INTO edge VALUES ('begin', ?, ?, ?)"
READ = """
SELECT first_sequence, last_sequence, epoch, day, at_ms, records, chain
FROM batch WHERE first_sequence > ? ORDER BY first_sequence LIMIT ?
"""
READ_ONE = """
SELECT first_sequence, last_sequence, epoch, day, at_ms, records, chain
FROM batch WHERE first_sequence <= ? ORDER BY first_sequence DESC LIMIT 1
"""


class Segment:
    """A segment that is open for its only writer; see the module."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sqlite: sqlite3.Connection
        self._connection = aiosqlite.Connection(self._connect, _ROWS_PER_READ)
        self._elsewhere = asyncio.Lock()  # A read, settling or closing.
        self._turn = threading.Lock()  # Settling, or the look-up of a row.

    @classmethod
    async def open(cls, path: Path) -> "Segment":
        """Open what exists and has been looked at.  Raises JournalRefused."""
        segment = cls(path)
        await segment._connection
        try:
            await segment._begin()
        except DAMAGED as error:
            await segment.close()
            raise refusal_of(path, error) from error
        except BaseException:
            await segment.close()
            raise
        return segment

    def _connect(self) -> sqlite3.Connection:
        # Two threads use it, never at once.
        self._sqlite = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False
        )
        return self._sqlite

    async def _begin(self) -> None:
        for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL"):
            await self._connection.execute(f"PRAGMA {pragma}")
        await self._connection.execute("PRAGMA synchronous = FULL")
        ((level,),) = await self._connection.execute_fetchall("PRAGMA synchronous")
        if level != 2:
            raise JournalRefused(f"{self.path}: SQLite did not accept synchronous=FULL")
        # Changes nothing: the WAL is made now, and not while somebody waits.
        await self._connection.execute("UPDATE owner SET epoch = epoch")

    def begin(self, begin: Point) -> None:
        """Say where a blank segment goes on from; durable when it returns."""
        row = (begin.sequence, begin.chain, begin.epoch)
        self._sqlite.execute("BEGIN IMMEDIATE")
        self._sqlite.execute(_BEGIN, row)
        self._sqlite.execute("UPDATE owner SET epoch = ?", (begin.epoch,))
        self._sqlite.execute("COMMIT")

    def take(self) -> int:
        """The next epoch, which is the caller's from now on."""
        try:
            self._sqlite.execute("UPDATE owner SET epoch = epoch + 1")
            ((epoch,),) = self._sqlite.execute("SELECT epoch FROM owner").fetchall()
        except DAMAGED as error:
            raise JournalRefused(f"{self.path} is damaged: {error}") from error
        return int(epoch)

    def append(self, row: Batch) -> None:
        """Make a row durable; returns when it is.

        Raises Fenced when the row's epoch is not the segment's any more.
        """
        values = (
            row.first_sequence,
            row.last_sequence,
            row.epoch,
            row.day,
            row.at_ms,
            row.records,
            row.chain,
            row.epoch,
        )
        if self._sqlite.execute(_APPEND, values).rowcount != 1:
            raise self._fenced(row.epoch)

    def seal(self, end: Point) -> None:
        """Nothing is added any more; durable when it returns.

        Raises Fenced when the point's epoch is not the segment's any more.
        """
        self._sqlite.execute("BEGIN IMMEDIATE")
        row = (end.sequence, end.chain, end.epoch, end.epoch)
        if self._sqlite.execute(_SEAL, row).rowcount != 1:
            self._sqlite.execute("ROLLBACK")
            raise self._fenced(end.epoch)
        self._sqlite.execute("UPDATE owner SET epoch = ?", (_NOBODY,))
        self._sqlite.execute("COMMIT")

    def _fenced(self, epoch: int) -> Fenced:
        return Fenced(f"{self.path} has a later writer than epoch {epoch}")

    async def read(self, after_sequence: int, rows: int) -> list[Batch]:
        """Up to `rows` rows that begin after a sequence."""
        try:
            async with self._elsewhere:
                found = await self._connection.execute_fetchall(
                    READ, (after_sequence, rows)
                )
        except DAMAGED as error:
            raise JournalRefused(f"{self.path} is damaged: {error}") from error
        return [Batch(*row) for row in found]

    def row_of(self, sequence: int) -> Batch:
        """The row that holds a record; the caller waits for the disk."""
        try:
            with self._turn:
                (found,) = self._sqlite.execute(READ_ONE, (sequence,)).fetchall()
        except DAMAGED as error:
            raise JournalRefused(f"{self.path} is damaged: {error}") from error
        return Batch(*found)

    async def settle(self) -> None:
        """Bring the WAL into the file, after sealing; rows can be read meanwhile."""
        async with self._elsewhere:
            await asyncio.to_thread(self._settle)

    def _settle(self) -> None:
        for pragma in ("wal_checkpoint(TRUNCATE)", "journal_mode = DELETE"):
            with self._turn:
                self._sqlite.execute(f"PRAGMA {pragma}").fetchall()

    async def close(self) -> None:
        """Close the file, when nobody is reading any more."""
        async with self._elsewhere:
            await self._connection.close()


def create(path: Path, number: int, identity: Identity) -> None:
    """Make a segment that is whole or not there.

    The first begins at the beginning; any other is blank until it is begun.
    """
    draft = draft_of(path)
    connection = sqlite3.connect(draft, isolation_level=None)
    try:
        body = msgspec.json.encode(identity)
        connection.executescript(f"BEGIN;{_OWNED}{_ROWS}")
        connection.execute("INSERT INTO identity VALUES (?)", (body,))
        _write_edges(connection, number, identity)
        connection.execute("COMMIT")
    finally:
        connection.close()
    publish(draft, path)


def create_packed(path: Path, head: Head) -> sqlite3.Connection:
    """An archive in the making: who and where it is, without its rows yet."""
    assert head.begin is not None
    assert head.end is not None
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(f"BEGIN;{_OWNED}")
    body = msgspec.json.encode(head.identity)
    connection.execute("INSERT INTO identity VALUES (?)", (body,))
    connection.execute("INSERT INTO segment VALUES (?)", (head.number,))
    for side, point in (("begin", head.begin), ("end", head.end)):
        row = (side, point.sequence, point.chain, point.epoch)
        connection.execute("INSERT INTO edge VALUES (?, ?, ?, ?)", row)
    return connection


def _write_edges(
    connection: sqlite3.Connection, number: int, identity: Identity
) -> None:
    connection.execute("INSERT INTO segment VALUES (?)", (number,))
    if number == 1:
        begin = beginning_of(identity)
        connection.execute(_BEGIN, (begin.sequence, begin.chain, begin.epoch))


def take_over(path: Path) -> None:
    """Make the one file of an older version the first segment, in its place.

    One transaction: it is of one format or of the other.  Does nothing to a file
    that is a segment already.
    """
    connection = _connected(path)
    try:
        if _format_of(path, connection) == _FORMAT_OF_ONE_FILE:
            # Before it is changed in any way.
            identity = _identity_of(path, connection)
            connection.executescript(f"BEGIN IMMEDIATE;{_EDGES}")
            _write_edges(connection, 1, identity)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
    except DAMAGED as error:
        raise refusal_of(path, error) from error
    finally:
        connection.close()


def settle_sealed(path: Path) -> None:
    """What a crash left undone after sealing; nobody else may have it open."""
    if not Path(f"{path}-wal").exists():
        return
    connection = _connected(path)
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
    except DAMAGED as error:
        raise JournalRefused(f"{path} is damaged: {error}") from error
    finally:
        connection.close()


def head_of(path: Path) -> Head:
    """What a segment says of itself.  Raises JournalRefused.

    Nobody may be writing it.  What a writer that was killed has left in the WAL
    is taken into the file.
    """
    check_file(path)
    connection = _connected(path)
    try:
        head = read_head(path, connection)
        if head.end is None and _one(connection, _CHECK_PAGES) != "ok":
            raise JournalRefused(f"{path} is damaged: its pages do not add up")
        return head
    except DAMAGED as error:
        raise refusal_of(path, error) from error
    finally:
        connection.close()


def refusal_of(path: Path, error: Exception) -> JournalRefused:
    """What an error while opening means: the disk may be at fault, not the file."""
    code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
    if code == sqlite3.SQLITE_BUSY:
        return JournalInUse(f"{path} is in use by another process, without its lock")
    if code in _OF_THE_DISK:
        return JournalRefused(f"{path} cannot be read or written: {error}")
    return JournalRefused(f"{path} is damaged or foreign: {error}")


def _check_log(path: Path) -> None:
    """Raise JournalRefused if rows that were durable cannot be read any more.

    Before SQLite opens the log: it would drop them without a word.
    """
    log = Path(f"{path}-wal")
    if log.exists():
        damage = damage_of(log.read_bytes())
        if damage:
            raise JournalRefused(f"{path} is damaged: {log.name}: {damage}")


def _one(connection: sqlite3.Connection, query: str) -> Any:
    ((found,),) = connection.execute(query).fetchall()
    return found


def _connected(path: Path) -> sqlite3.Connection:
    _check_log(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


def read_head(path: Path, connection: sqlite3.Connection) -> Head:
    """The same through a connection; raises what a damaged file raises, too."""
    if _format_of(path, connection) == _FORMAT_OF_ONE_FILE:
        identity = _identity_of(path, connection)
        return Head(str(path), 1, identity, beginning_of(identity), None)
    identity = _identity_of(path, connection)
    ((number,),) = connection.execute("SELECT number FROM segment").fetchall()
    edges: dict[Any, Point] = {
        side: Point(*point) for side, *point in connection.execute("SELECT * FROM edge")
    }
    return Head(str(path), number, identity, edges.get("begin"), edges.get("end"))


def _format_of(path: Path, connection: sqlite3.Connection) -> int:
    ((application_id,),) = connection.execute("PRAGMA application_id").fetchall()
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if application_id != _APPLICATION_ID:
        raise JournalRefused(f"{path} is not a journal of Forebay")
    if version not in (_FORMAT_OF_ONE_FILE, FORMAT):
        raise JournalRefused(
            f"{path} has journal format {version}, this program reads "
            f"{_FORMAT_OF_ONE_FILE} and {FORMAT}"
        )
    return int(version)


def _identity_of(path: Path, connection: sqlite3.Connection) -> Identity:
    ((body,),) = connection.execute("SELECT body FROM identity").fetchall()
    try:
        return msgspec.json.decode(body, type=Identity)
    except (msgspec.MsgspecError, TypeError, UnicodeDecodeError) as error:
        raise JournalRefused(f"{path} is damaged: its identity: {error}") from error
