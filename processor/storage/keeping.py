"""What is done with segments once they are sealed: packed, and folded.

Beside the live node and never in its way: everything here reads settled
segments, which nothing changes, and writes drafts that take their name when
they are whole.  It may be killed at any moment and begun again.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from processor import limits, snapshot
from processor.chain import (
    Batch,
    Head,
    JournalRefused,
    Point,
    beginning_of,
    check_batch,
    check_end,
)
from processor.recovery import Room, digest_of, replay_of
from processor.remembered import KEEPING
from processor.snapshot import SnapshotRefused, Tell
from processor.storage.directory import segment_path
from processor.storage.files import KEEPERS_DRAFT, check_file, forget_drafts
from processor.storage.scratch_files import FileScratch
from processor.storage.sealed import Sealed
from processor.storage.snapshots import (
    FilePieces,
    forget_snapshots,
    read_snapshots,
    snapshot_path,
    snapshot_sequences,
    write_snapshot,
)

SNAPSHOTS_KEPT = 2

# Whoever restores it may keep answers for less.
_KEEPING = msgspec.structs.replace(KEEPING, keep_ms=limits.KEEP_ANSWERS_MS_MAX)


def fold(path: Path, last_number: int, tell: Tell) -> Point | None:
    """A new snapshot of the state after a settled segment; None if there is one.

    It is a recovery run: the newest good snapshot, and every row since, each
    checked.  Raises JournalRefused, or what `apply` raises on a row that should
    not be.
    """
    forget_drafts(path, KEEPERS_DRAFT)
    heads = [_head(path, number) for number in range(1, last_number + 1)]
    end = heads[-1].end
    assert end is not None
    if end.sequence in snapshot_sequences(path)[:1]:
        return None
    identity = heads[0].identity
    pieces = FilePieces(path)
    room = Room(_KEEPING, FileScratch(path.parent), pieces=pieces)
    found = snapshot.newest(read_snapshots(path), identity, heads, tell, room)
    if found is None:
        found = beginning_of(identity), replay_of(identity)(identity, room)
    point, replay = found
    for batch in _checked(path, heads, point):
        replay.replay(batch)
    saved = snapshot.encode(identity, end, replay)
    # It must come back the same, or it is not a snapshot.
    name = str(snapshot_path(path, end.sequence))
    _, again = snapshot.decode(name, saved, identity, room)
    if digest_of(again.state) != digest_of(replay.state):
        raise SnapshotRefused(f"{name} does not hold the state that was saved")
    write_snapshot(path, end.sequence, saved)
    forget_snapshots(path, SNAPSHOTS_KEPT)
    pieces.forget_but(_needed(path))
    return end


def _needed(path: Path) -> set[str]:
    """The pieces of the snapshots that there are."""
    names: set[str] = set()
    for name, _, saved in read_snapshots(path):
        try:
            names.update(piece.name for piece in snapshot.pieces_of(name, saved))
        except SnapshotRefused:
            continue  # It was told when it was looked for the newest.
    return names


def _head(path: Path, number: int) -> Head:
    file = segment_path(path, number)
    check_file(file)
    segment = Sealed(file)
    segment.close()
    head = segment.head
    if head.number != number or head.begin is None or head.end is None:
        raise JournalRefused(f"{file} is not sealed segment {number} of its journal")
    return head


def _checked(path: Path, heads: list[Head], after: Point) -> Iterator[Batch]:
    sequence, chain = after.sequence, after.chain
    for head in heads:
        assert head.end is not None
        if head.end.sequence <= sequence:
            continue
        segment = Sealed(segment_path(path, head.number))
        try:
            for batch in segment.rows():
                chain = check_batch(head.name, batch, sequence + 1, chain)
                sequence = batch.last_sequence
                yield batch
        finally:
            segment.close()
        check_end(head, sequence, chain)
