"""Which record first had a request id, for more ids than memory should hold.

A generation is a hash table on a sheet outside memory, of eight bytes a slot:
the sequence of the record and sixteen bits of the id's hash, open addressing at
half load.  In memory is a Bloom filter in front of it, of sixteen bits a request:
all bits of a request lie in one word, so an id that was never used costs one
look at a word and, but for one in 180, no look at the sheet.

What is found is a guess: two ids may share a hash.  Whoever asks reads the record
and compares.  Requests are never taken out; a generation ends as a whole.
"""

import mmap
from collections.abc import Collection, Iterator
from hashlib import blake2b
from struct import Struct
from typing import Any

import msgspec

from processor.pieces import Piece, Pieces, fill, kept
from processor.scratch import Scratch

_PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
_SLOT_BYTES = 8
_SLOTS_PER_REQUEST = 2
_REQUESTS_PER_WORD = 4  # Of 64 bits.
_BITS_PER_REQUEST = 4  # Set in the word.
_SEQUENCE = (1 << 48) - 1
_TAG = ~_SEQUENCE & (1 << 64) - 1
_TAG_SHIFT = 16  # Bits that choose neither a place nor a pattern.

BYTES_PER_REQUEST = 8 // _REQUESTS_PER_WORD  # In memory, when a generation is full.


def _patterns() -> Iterator[int]:
    """Words with four bits set, chosen by twelve bits of a hash."""
    for number in range(1 << 12):
        digest = blake2b(number.to_bytes(2, "little"), digest_size=64).digest()
        places = dict.fromkeys(byte & 63 for byte in digest)
        yield sum(1 << place for place in list(places)[:_BITS_PER_REQUEST])


PATTERNS = tuple(_patterns())  # By the first bits of a hash, from PATTERN_AT on.
PATTERN_AT = 52


_blank_hash = blake2b(digest_size=8).copy  # Half the time of making it anew.
_number_of = Struct("<Q").unpack


def hash_of(caller: str, request_id: str) -> int:
    """64 bits of a request id, the same in every process."""
    hashed = _blank_hash()
    hashed.update(f"{caller}\0{request_id}".encode())
    number: int = _number_of(hashed.digest())[0]
    return number


class SavedGeneration(msgspec.Struct, frozen=True, array_like=True):
    """A generation in a snapshot; both of its tables are in pieces."""

    requests_max: int
    count: int
    newest_at_ms: int
    words: list[Piece]
    slots: list[Piece]


class Generation:
    """Requests that are forgotten together; `requests_max` is a power of two."""

    def __init__(self, requests_max: int, scratch: Scratch) -> None:
        assert requests_max >= _REQUESTS_PER_WORD
        assert requests_max & (requests_max - 1) == 0
        slots = _SLOTS_PER_REQUEST * requests_max
        self.requests_max = requests_max
        self.count = 0
        self.newest_at_ms = 0
        self._saved: SavedGeneration | None = None  # If nothing came since.
        words = requests_max // _REQUESTS_PER_WORD
        # Of pages that are made when they are used: to make all of them at once would
        # hold a step for tens of milliseconds.
        self._pages = mmap.mmap(-1, 8 * words, flags=_PRIVATE)
        self.words = memoryview(self._pages).cast("Q")
        self.word_mask = words - 1
        self._sheet = scratch.sheet(_SLOT_BYTES * slots)
        self._slots = memoryview(self._sheet.buffer).cast("Q")
        self._slot_mask = slots - 1

    @property
    def room(self) -> int:
        """How many more fit in."""
        return self.requests_max - self.count

    def add(self, requests: Collection[tuple[Any, ...]], newest_at_ms: int) -> None:
        """Requests newer than all before: hash and sequence, and whatever follows."""
        assert len(requests) <= self.room
        words, word_mask, patterns = self.words, self.word_mask, PATTERNS
        slots, mask = self._slots, self._slot_mask
        sequence = 0
        for request in requests:
            hashed, sequence = request[0], request[1]
            words[hashed & word_mask] |= patterns[hashed >> PATTERN_AT]
            place = hashed & mask
            while slots[place]:
                place = place + 1 & mask
            slots[place] = hashed << _TAG_SHIFT & _TAG | sequence
        assert 0 < sequence <= _SEQUENCE
        self.count += len(requests)
        self.newest_at_ms = newest_at_ms
        self._saved = None

    def find(self, hashed: int) -> list[int]:
        """The sequences of records that may be of this request, newest first."""
        slots, mask, tag = self._slots, self._slot_mask, hashed << _TAG_SHIFT & _TAG
        place = hashed & mask
        found = []
        while slot := slots[place]:
            if slot & _TAG == tag:
                found.append(slot & _SEQUENCE)
            place = place + 1 & mask
        found.sort(reverse=True)
        return found

    def saved(self, pieces: Pieces) -> SavedGeneration:
        """All of it, for a snapshot; nothing is written of one that is as it was."""
        if self._saved is None:
            self._saved = SavedGeneration(
                self.requests_max,
                self.count,
                self.newest_at_ms,
                kept(pieces, self.words),
                kept(pieces, self._slots),
            )
        return self._saved

    @classmethod
    def restored(
        cls, saved: SavedGeneration, pieces: Pieces, scratch: Scratch
    ) -> "Generation":
        """What `saved` was made of.  Raises PieceDamaged."""
        generation = cls(saved.requests_max, scratch)
        generation.count = saved.count
        generation.newest_at_ms = saved.newest_at_ms
        fill(generation.words, pieces, saved.words)
        fill(generation._slots, pieces, saved.slots)
        generation._saved = saved
        return generation

    def close(self) -> None:
        """It is forgotten, and its sheet is given back."""
        self.words.release()
        self._pages.close()
        self._slots.release()
        self._sheet.close()
