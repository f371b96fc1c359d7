"""Tables whose finished objects lie outside memory until somebody asks for them.

A `Paged` table means the same whether an object of it is in memory or on the
*shelf*: getting, testing and iterating see all of them, and its fingerprint does
not tell where they are.  What is touched comes back to memory, and may be shelved
again.  So no rule knows of any of this.

It is a dict of what is in memory, so that what is alive costs no more than in a
dict; only what is missing there is looked for on the shelf.  Objects are put
there by `sweep`, a few at a time, between two steps and never during one: whoever
holds an object for the length of a step holds the only one.

An object's place is found by the sequence in its id (`ids.py`): eight bytes a
record on a sheet.  Its bytes carry their own checksum, and their id.
"""

from array import array
from collections import deque
from collections.abc import (
    Callable,
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Sequence,
    ValuesView,
)
from hashlib import blake2b
from struct import Struct
from typing import Any, Generic, TypeVar

import msgspec

from processor.pieces import NOTHING, Past, Piece, Pieces
from processor.scratch import Scratch

T = TypeVar("T")

_ENTRY = Struct("Q")
_SHEET_BYTES = 64 * 1024
_PAGE_BYTES = 4_096  # Of a sheet; they are saved and come back one by one.
_ENTRIES_PER_PAGE = _PAGE_BYTES // _ENTRY.size
_AS_SAVED, _CHANGED, _ABSENT = range(3)  # What can be said of a page.
_GROWTH_BYTES_MAX = 64 * 1024 * 1024
_DIGEST_BYTES = 16
_DIGESTS = 1 << 8 * _DIGEST_BYTES  # Sums of digests are counted up to this.

# An entry: where it begins, its length, the table, and whether it is in memory.
_AT, _LENGTH, _TABLE = 26, 3, 1
_LENGTH_MAX = 1 << _AT - _LENGTH
_TABLES_MAX = 1 << _LENGTH - _TABLE
_IS_OUT = 1

_DIGESTED_AT_ONCE = 256
_PACE_MIN = 8
_WORTH_ONE_IN = 8

_encode = msgspec.msgpack.Encoder().encode


class SavedShelf(msgspec.Struct, frozen=True, array_like=True):
    """A shelf in a snapshot.

    Its log, which also holds the pages of the sheet, is in pieces.
    """

    log: list[Piece]
    pages: bytes  # Where each page begins in the log, as 64-bit numbers; 0: no entry.


class Shelf:
    """Bytes of objects by table and sequence; the latest version of each counts."""

    def __init__(
        self,
        scratch: Scratch,
        shard: int,
        saved: SavedShelf | None = None,
        pieces: Pieces | None = None,
    ) -> None:
        self.shard = shard
        self._past = NOTHING
        self._log = scratch.log()  # Behind that.
        self._sheet = scratch.sheet(_SHEET_BYTES)
        self._end = _SHEET_BYTES // _ENTRY.size
        self._saved_at = array("Q")  # By page.
        self._pages = bytearray(_SHEET_BYTES // _PAGE_BYTES)
        if saved is None:
            self.append(bytes(1))  # So that no entry is zero.
        else:
            assert pieces is not None
            self._past = Past(pieces, saved.log)
            self._log.append(self._past.rest())
            self._saved_at.frombytes(saved.pages)
            self._grow(_PAGE_BYTES * len(self._saved_at))
            for page, at in enumerate(self._saved_at):
                if at:
                    self._pages[page] = _ABSENT

    @property
    def sequences(self) -> range:
        """All that it may have something at."""
        return range(1, self._end)

    def entry(self, sequence: int) -> int:
        """What it knows of a sequence; 0 for nothing.  Raises PieceDamaged."""
        if not 0 < sequence < self._end:
            return 0
        page = sequence // _ENTRIES_PER_PAGE
        if self._pages[page] == _ABSENT:
            self._fetch(page)
        entry: int = _ENTRY.unpack_from(self._sheet.buffer, _ENTRY.size * sequence)[0]
        return entry

    def set_entry(self, sequence: int, entry: int) -> None:
        if sequence >= self._end:
            self._grow(_ENTRY.size * (sequence + 1))
        page = sequence // _ENTRIES_PER_PAGE
        if self._pages[page] == _ABSENT:
            self._fetch(page)
        self._pages[page] = _CHANGED
        _ENTRY.pack_into(self._sheet.buffer, _ENTRY.size * sequence, entry)

    def _fetch(self, page: int) -> None:
        at = _PAGE_BYTES * page
        found = self._read(self._saved_at[page], _PAGE_BYTES)
        self._sheet.buffer[at : at + _PAGE_BYTES] = found
        self._pages[page] = _AS_SAVED

    def _grow(self, size_min: int) -> None:
        size = before = _ENTRY.size * self._end
        while size < size_min:
            size += min(size, _GROWTH_BYTES_MAX)
        self._sheet.grow(size)
        self._end = size // _ENTRY.size
        self._pages += bytes((size - before) // _PAGE_BYTES)

    def append(self, octets: bytes) -> int:
        return self._past.size + self._log.append(octets)

    def saved(self, pieces: Pieces) -> SavedShelf:
        """All of it, for a snapshot; pages that were changed go into the log."""
        self._saved_at.extend([0] * (len(self._pages) - len(self._saved_at)))
        buffer = self._sheet.buffer
        for page, mark in enumerate(self._pages):
            if mark == _CHANGED:
                at = _PAGE_BYTES * page
                self._saved_at[page] = self.append(buffer[at : at + _PAGE_BYTES])
                self._pages[page] = _AS_SAVED
        log = self._past.followed(pieces, self._log.read, self._log.append(b""))
        return SavedShelf(log, self._saved_at.tobytes())

    def _read(self, at: int, size: int) -> bytes:
        return self._past.read(at, size, self._log.read)

    def read(self, entry: int) -> tuple[bytes, bytes]:
        """The digest and the body of an object.  Raises PieceDamaged.

        An assertion that fails here ends the node: what is shelved is damaged,
        and the journal has it.
        """
        found = self._read(entry >> _AT, entry >> _LENGTH & _LENGTH_MAX - 1)
        digest, body = found[:_DIGEST_BYTES], found[_DIGEST_BYTES:]
        assert digest == _digest(body), "what lies on the shelf is damaged"
        return digest, body

    def digest(self, entry: int) -> bytes:
        """The digest alone, as it was written."""
        return self._read(entry >> _AT, _DIGEST_BYTES)


class Paged(dict[str, T], Generic[T]):
    """Objects by the id that the processor made for them; see the module.

    Without a shelf it is a dict.
    """

    def __init__(self, kind: type[T], is_done: Callable[[T], bool]) -> None:
        super().__init__()
        self._decoder = msgspec.msgpack.Decoder(tuple[str, kind])  # type: ignore[valid-type]
        self._is_done = is_done
        self._shelf: Shelf | None = None
        self._table = 0
        self._hot_max = 0
        self._count = 0  # On the shelf, and not in memory.
        self._sum = 0  # Of their digests.
        self._newest = ""  # Up to here all keys in memory are in the queue.
        self._queue: deque[str] = deque()
        self._pace = _PACE_MIN  # How many are looked at next.

    def attach(self, shelf: Shelf, table: int, hot_max: int) -> None:
        """Shelve from now on, but for `hot_max` objects that stay in memory."""
        assert self._shelf is None
        assert table < _TABLES_MAX
        self._shelf, self._table, self._hot_max = shelf, table, hot_max

    def saved(self) -> tuple[int, bytes]:
        """What is known here of what is on the shelf, for a snapshot."""
        return self._count, self._sum.to_bytes(_DIGEST_BYTES, "big")

    def restore(self, saved: tuple[int, bytes]) -> None:
        """Know what `saved` was made of."""
        self._count, self._sum = saved[0], _number(saved[1])

    # What a reader sees: all of it.

    def __missing__(self, key: str) -> T:
        found = self._come_back(key)
        if found is None:
            raise KeyError(key)
        return found

    def get(self, key: str, default: Any = None) -> T | Any:
        found = _get(self, key)
        if found is None and self._count:
            found = self._come_back(key)
        return default if found is None else found

    def __contains__(self, key: object) -> bool:
        if _contains(self, key):
            return True
        return bool(self._count) and self._come_back(str(key)) is not None

    def __len__(self) -> int:
        return self.in_memory + self._count

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._all())

    def __eq__(self, other: object) -> bool:
        return dict(self._all()) == other

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        return KeysView(self)

    def values(self) -> ValuesView[T]:  # type: ignore[override]
        return _Values(self)

    def items(self) -> ItemsView[str, T]:  # type: ignore[override]
        return _Items(self)

    @property
    def in_memory(self) -> int:
        """How many of them are in memory."""
        return _len(self)

    def at_hand(self) -> Iterable[T]:
        """Those in memory, which are all that are not done."""
        return dict.values(self)

    def _all(self) -> Iterator[tuple[str, T]]:
        """In the order in which they were made, none of them moved."""
        if not self._count:
            # What came back is at the end of the dict, out of its turn.
            found = dict.items(self)
            return iter(sorted(found, key=_by_sequence) if self._shelf else found)
        return self._merged()

    def _merged(self) -> Iterator[tuple[str, T]]:
        hot = deque(sorted(dict.items(self), key=_by_sequence))
        for _, body in self._shelved():
            key, found = self._decoder.decode(body)
            while hot and sequence_of(hot[0][0]) < sequence_of(key):
                yield hot.popleft()
            yield key, found
        yield from hot

    def _shelved(self) -> Iterator[tuple[bytes, bytes]]:
        """The digest and the body of each object on the shelf, and not in memory."""
        shelf = self._shelf
        assert shelf is not None
        for sequence in shelf.sequences:
            entry = shelf.entry(sequence)
            if entry and self._has(entry):
                yield shelf.read(entry)

    def is_as_known(self) -> bool:
        """Whether the shelf has what it is known to have; reads all of it."""
        if self._shelf is None:
            return True
        digests = [_number(digest) for digest, _ in self._shelved()]
        return (len(digests), sum(digests) % _DIGESTS) == (self._count, self._sum)

    def fingerprint(self) -> Iterator[bytes]:
        """The same for the same objects, wherever they are.

        Comes last; before it, empty ones now and then, for who has to go on with
        something else.  The table must not change meanwhile.
        """
        total = self._sum
        for count, (key, found) in enumerate(dict.items(self)):
            total += _number(_digest(_encode((key, found))))
            if count % _DIGESTED_AT_ONCE == 0:
                yield b""
        yield _encode((len(self), (total % _DIGESTS).to_bytes(_DIGEST_BYTES, "big")))

    # Coming and going.

    def _has(self, entry: int) -> bool:
        table = entry >> _TABLE & _TABLES_MAX - 1
        return table == self._table and not entry & _IS_OUT

    def _come_back(self, key: str) -> T | None:
        """Take an object from the shelf into memory; None if it is not there."""
        shelf = self._shelf
        if shelf is None:
            return None
        sequence = sequence_of(key)
        entry = shelf.entry(sequence)
        if not entry or not self._has(entry):
            return None
        digest, body = shelf.read(entry)
        name, found = self._decoder.decode(body)
        if name != key:
            return None  # An id that nobody made.
        shelf.set_entry(sequence, entry | _IS_OUT)
        self._count -= 1
        self._sum = (self._sum - _number(digest)) % _DIGESTS
        self[key] = found
        return found

    def sweep(self, looks_max: int) -> Sequence[tuple[str, T]]:
        """Look at so many objects in memory, the oldest first; shelve what is done.

        Between two steps only.
        """
        over = self.in_memory - self._hot_max
        if self._shelf is None or over <= 0:
            return ()
        self._queue_new()
        queue, done = self._queue, []
        looks = min(looks_max, self._pace, over, len(queue))
        for _ in range(looks):
            key = queue.popleft()
            found = _get(self, key)
            if found is None:
                continue
            # The newest marks how far the queue goes.
            if key != self._newest and self._is_done(found) and self._is_mine(key):
                done.append((key, found))
            else:
                queue.append(key)
        # Where nearly all is alive, looking for the rest is not worth much time.
        is_worth_it = _WORTH_ONE_IN * len(done) >= looks
        self._pace = 2 * self._pace if is_worth_it else self._pace // 2
        self._pace = max(_PACE_MIN, min(self._pace, looks_max))
        if done:
            self._put(self._shelf, done)
        return done

    def _queue_new(self) -> None:
        new = []
        for key in dict.__reversed__(self):
            if key == self._newest:
                break
            new.append(key)
        if new:
            self._queue.extend(reversed(new))
            self._newest = new[0]

    def _is_mine(self, key: str) -> bool:
        """Made here: sequences of other shards are other sequences."""
        assert self._shelf is not None
        return sequence_of(key) > 0 and int(key[6:8], 16) == self._shelf.shard

    def _has_place(self, key: str) -> bool:
        """Whether nothing else is where it would be."""
        assert self._shelf is not None
        entry = self._shelf.entry(sequence_of(key))
        return not entry or bool(entry & _IS_OUT)

    def _put(self, shelf: Shelf, done: list[tuple[str, T]]) -> None:
        octets, places, size = [], [], 0
        for key, found in done:
            body = _encode((key, found))
            digest = _digest(body)
            length = len(digest) + len(body)
            if length >= _LENGTH_MAX:
                self._queue.append(key)
                continue
            sequence = sequence_of(key)
            entry = shelf.entry(sequence)
            if entry & _IS_OUT and shelf.digest(entry) == digest:
                shelf.set_entry(sequence, entry ^ _IS_OUT)  # It was only read.
            else:
                assert not entry or entry & _IS_OUT
                places.append((sequence, size, length))
                octets += [digest, body]
                size += length
            self._sum = (self._sum + _number(digest)) % _DIGESTS
            self._count += 1
            del self[key]
        begins = shelf.append(b"".join(octets)) if octets else 0
        for sequence, at, length in places:
            entry = begins + at << _AT | length << _LENGTH | self._table << _TABLE
            shelf.set_entry(sequence, entry)


class _Values(ValuesView[T]):
    """All objects of a table, none of them moved."""

    _mapping: Paged[T]

    def __iter__(self) -> Iterator[T]:
        return (found for _, found in self._mapping._all())


class _Items(ItemsView[str, T]):
    """The same, with their ids."""

    _mapping: Paged[T]

    def __iter__(self) -> Iterator[tuple[str, T]]:
        return self._mapping._all()


_get, _contains, _len = dict.get, dict.__contains__, dict.__len__


def sequence_of(key: str) -> int:
    """The sequence in an id that the processor made; 0 in any other."""
    try:
        return int(key[8:], 16)
    except ValueError:
        return 0


def _by_sequence(item: tuple[str, Any]) -> int:
    return sequence_of(item[0])


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=_DIGEST_BYTES).digest()


def _number(digest: bytes) -> int:
    return int.from_bytes(digest, "big")
