"""What a journal is, whatever it is kept on: rows, segments, and what must fit.

Rows are chained, each to the one before; the first to the identity.  A journal
is kept in segments, numbered from 1.  A segment begins at the point at which
the one before it ended, and says so; the end is written into it when it is
sealed, and then nothing is ever added.  So a segment that is missing, swapped,
or an older copy of itself does not fit its neighbours, and is found by name.

The one that is written last is sealed before the next one begins, but not
before that one exists.  A crash in between leaves a sealed segment and a blank
one behind it, which is where the journal goes on.  A sealed segment that
nothing follows has lost what followed, and is refused.

Pure: the files are in `storage/`, and a simulated disk runs the same rules.
"""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise

import msgspec

_CHAIN_BYTES = 16


class JournalRefused(Exception):
    """The journal cannot be used as it is; the message names it and says why."""


class JournalInUse(JournalRefused):
    """Another process owns the journal."""


class Fenced(Exception):
    """A later writer has taken the journal over."""


class Identity(msgspec.Struct, frozen=True):
    """Whose journal it is; written into each segment, when it is created."""

    cluster_id: str
    kind: str  # "shard" or "settlement".
    number: int
    shard_count: int
    journal_id: str
    first_day: str


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row: the records of one step, in msgpack."""

    first_sequence: int
    last_sequence: int
    epoch: int
    day: str
    at_ms: int
    records: bytes
    chain: bytes


class Point(msgspec.Struct, frozen=True, array_like=True):
    """A place between two rows: the last record before it, and the chain there.

    `epoch` is that of the writer who was there last.
    """

    sequence: int
    chain: bytes
    epoch: int


class Head(msgspec.Struct, frozen=True):
    """What a segment says of itself.  `name` is what people find it by.

    It is blank when it has no `begin`, and sealed when it has an `end`.
    """

    name: str
    number: int
    identity: Identity
    begin: Point | None
    end: Point | None


def chain_of(
    previous: bytes,
    first_sequence: int,
    last_sequence: int,
    epoch: int,
    day: str,
    at_ms: int,
    records: bytes,
) -> bytes:
    """The checksum of a row over its content and the row before."""
    head = f"{first_sequence},{last_sequence},{epoch},{day},{at_ms},"
    digest = blake2b(previous, digest_size=_CHAIN_BYTES)
    digest.update(head.encode())
    digest.update(records)
    return digest.digest()


def chain_start(identity: Identity) -> bytes:
    """What the first row is chained to: the identity of the journal."""
    return blake2b(msgspec.json.encode(identity), digest_size=_CHAIN_BYTES).digest()


def beginning_of(identity: Identity) -> Point:
    """The point before the first row."""
    return Point(0, chain_start(identity), 0)


def check_batch(
    name: object, batch: Batch, expected_sequence: int, previous: bytes
) -> bytes:
    """The chain after a row; raises JournalRefused if the row does not fit."""
    fits = isinstance(batch.records, bytes) and batch.chain == chain_of(
        previous,
        batch.first_sequence,
        batch.last_sequence,
        batch.epoch,
        batch.day,
        batch.at_ms,
        batch.records,
    )
    if not fits or batch.first_sequence != expected_sequence:
        raise JournalRefused(
            f"{name} is damaged: the row of record {batch.first_sequence} does not "
            f"follow record {expected_sequence - 1} (checksum or sequence)"
        )
    return batch.chain


def check_end(head: Head, sequence: int, chain: bytes) -> None:
    """Raise JournalRefused unless a sealed segment's rows end where it says."""
    assert head.end is not None
    if (sequence, chain) != (head.end.sequence, head.end.chain):
        raise JournalRefused(
            f"{head.name} is damaged: it ends with record {sequence}, and was sealed "
            f"after record {head.end.sequence}"
        )


def has_end(heads: Sequence[Head], point: Point) -> bool:
    """Whether one of the segments was sealed at a point."""
    where = (point.sequence, point.chain)
    ends = [head.end for head in heads if head.end is not None]
    return any((end.sequence, end.chain) == where for end in ends)


def check_segments(heads: Sequence[Head]) -> int:
    """The number of the segment in which the journal goes on.

    All segments there are, by number.  That one is the last, or the last but
    one when a blank one lies ready.  Raises JournalRefused, naming a segment.
    """
    check_row_of_segments(heads)
    last = heads[-1]
    if last.end is not None:
        raise JournalRefused(
            f"{last.name} was sealed, and the segment after it is missing: restore it "
            "from a backup"
        )
    is_spare = last.begin is None and heads[-2].end is None
    return last.number - 1 if is_spare else last.number


def check_row_of_segments(heads: Sequence[Head]) -> None:
    """Raise JournalRefused, naming one, unless each fits behind the one before."""
    first = heads[0]
    if first.number == 1 and first.begin != beginning_of(first.identity):
        raise JournalRefused(f"{first.name} is damaged: it is not how a journal begins")
    for expected, head in enumerate(heads, start=1):
        if head.number != expected:
            raise JournalRefused(
                f"{head.name} is segment {head.number} where segment {expected} of the "
                "journal is expected: one is missing or in the wrong place"
            )
        if head.identity != first.identity:
            raise JournalRefused(f"{head.name} is a segment of another journal")
    for before, head in pairwise(heads):
        _check_edge(before, head, head is heads[-1])


def _check_edge(before: Head, head: Head, is_last: bool) -> None:
    if head.begin is None:
        if not is_last:
            raise JournalRefused(f"{head.name} is blank, and others follow it")
    elif before.end is None:
        raise JournalRefused(
            f"{before.name} is not sealed, but {head.name} goes on after it: it is "
            "an old copy"
        )
    elif before.end != head.begin:
        raise JournalRefused(
            f"{head.name} does not go on where {before.name} was sealed: one of "
            "the two is an old copy or of another history"
        )
