"""Tells a torn tail from a damaged middle in a write-ahead log of SQLite.

SQLite reads its log up to the first frame whose checksum does not fit, and
takes the rest for what a crash left unfinished.  A bit that flipped in the
middle looks the same to it: everything that was durable behind it is gone, and
nobody is told.

A commit is synced before the next one begins.  So what a crash can leave
unfinished is the last transaction, and nothing of it follows a commit: a frame
of the same log behind a commit that cannot be read proves damage.  What is left
in doubt is the last transaction alone, which is dropped as if it had been torn.
For this a log must have one writer and no second life: whoever opens the
journal empties it first.

The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_HEADER = struct.Struct(">8I")
_FRAME_HEADER = struct.Struct(">6I")
_LITTLE_ENDIAN, _BIG_ENDIAN = 0x377F0682, 0x377F0683
_PAGE_BYTES_MIN = 512
_SECTOR_BYTES = 512  # What a disk writes whole or not at all.
_WORD = 0xFFFF_FFFF

Pair = tuple[int, int]


class Frame(NamedTuple):
    """One page in the log, as far as it can be read."""

    end: int  # The offset behind it.
    is_of_this_log: bool  # Its salts; what an older log left may follow.
    is_commit: bool
    is_whole: bool  # Its checksum follows from all before it.


def damage_of(log: bytes) -> str:
    """What is wrong with a log beyond a torn tail; "" if nothing is."""
    if len(log) < _HEADER.size + _FRAME_HEADER.size + _PAGE_BYTES_MIN:
        return ""  # Nothing can have been committed in it.
    if _start(log) is None:
        return "its header is damaged"
    broken = 0  # The first that cannot be read.
    is_behind_commit = False
    for number, frame in enumerate(_frames(log), start=1):
        if not broken and frame.is_whole:
            if frame.is_of_this_log:
                continue
            return f"frame {number} is damaged"  # In its salts.
        broken = broken or number
        if frame.is_of_this_log:
            if is_behind_commit:
                return f"frame {broken} is damaged, and it was durable"
            is_behind_commit = frame.is_commit
    return ""


def commits(log: bytes) -> list[int]:
    """The offsets behind each transaction that can be read, in order."""
    ends = []
    for frame in _frames(log):
        if not (frame.is_whole and frame.is_of_this_log):
            break
        if frame.is_commit:
            ends.append(frame.end)
    return ends


def _start(log: bytes) -> tuple[str, int, Pair, Pair] | None:
    """Byte order, page size, salts and checksum of the header; None if damaged."""
    magic, _, page_bytes, _, *rest = _HEADER.unpack_from(log)
    order = {_LITTLE_ENDIAN: "<", _BIG_ENDIAN: ">"}.get(magic)
    if order is None:
        return None
    checksum = _sum(order, log[: _HEADER.size - 8], (0, 0))
    if checksum != (rest[2], rest[3]):
        return None
    return order, page_bytes, (rest[0], rest[1]), checksum


def _frames(log: bytes) -> Iterator[Frame]:
    start = _start(log)
    if start is None:
        return
    order, page_bytes, salts, chain = start
    is_unbroken = True
    frame_bytes = _FRAME_HEADER.size + page_bytes
    for begin in range(_HEADER.size, len(log) - frame_bytes + 1, frame_bytes):
        end = begin + frame_bytes
        _, pages, *rest = _FRAME_HEADER.unpack_from(log, begin)
        is_of_this_log = (rest[0], rest[1]) == salts
        if is_unbroken:
            chain = _sum(order, log[begin : begin + 8], chain)
            chain = _sum(order, log[begin + _FRAME_HEADER.size : end], chain)
            is_unbroken = chain == (rest[2], rest[3])
        # Across a sector's edge two halves of a torn header differ in age.
        is_torn = not is_unbroken and begin % _SECTOR_BYTES == _SECTOR_BYTES - 8
        is_commit = pages != 0 and not is_torn
        yield Frame(end, is_of_this_log, is_commit, is_unbroken)


def _sum(order: str, content: bytes, checksum: Pair) -> Pair:
    one, two = checksum
    words = struct.unpack(f"{order}{len(content) // 4}I", content)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & _WORD
        two = (two + second + one) & _WORD
    return one, two
