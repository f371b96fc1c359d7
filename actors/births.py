"""A node from its journal: the newest snapshot, the rows since, the next epoch.

Whoever opened the journal calls this once, before the first append.  Nothing
here knows Ray or sockets.

It may take minutes, and must not look like death: a snapshot is loaded wherever the
caller says (a node's in a thread), and between rows everybody else has his turn.
"""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable

from processor import snapshot
from processor.journal import Batch, Journal, Point
from processor.recovery import (
    Replay,
    Room,
    SettlementReplay,
    ShardReplay,
    replay_of,
)
from processor.remembered import KEEPING, Keeping
from processor.scratch import Scratch
from processor.settlement import Settlement
from processor.shard import Shard

# What applies a row, perhaps with something before it.
ReplayRow = Callable[[Batch], None]
BeforeRow = Callable[[ReplayRow], ReplayRow]
Found = tuple[Point, Replay] | None
Load = Callable[[Callable[[], Found]], Awaitable[Found]]

_RECORDS_AT_ONCE = 4_096  # Some 50 ms.

log = logging.getLogger("forebay.recovery")


def nothing_before(replay_row: ReplayRow) -> ReplayRow:
    """As it is."""
    return replay_row


async def load_at_once(load: Callable[[], Found]) -> Found:
    """In the caller's own thread, which does nothing else meanwhile."""
    return load()


async def recover_shard(
    journal: Journal,
    keeping: Keeping = KEEPING,
    scratch: Scratch | None = None,
    before_row: BeforeRow = nothing_before,
    load: Load = load_at_once,
) -> Shard:
    """The shard of a journal; without scratch all in memory.  Raises JournalRefused."""
    replay = await _recovered(journal, keeping, scratch, before_row, load)
    assert isinstance(replay, ShardReplay)
    shard = Shard(
        replay.state,
        replay.remembered,
        replay.history,
        journal.epoch,
        journal.identity.journal_id,
    )
    shard.not_before(replay.at_ms)
    return shard


async def recover_settlement(
    journal: Journal,
    keeping: Keeping = KEEPING,
    scratch: Scratch | None = None,
    before_row: BeforeRow = nothing_before,
    load: Load = load_at_once,
) -> Settlement:
    """The settlement of a journal, likewise.  Raises JournalRefused."""
    replay = await _recovered(journal, keeping, scratch, before_row, load)
    assert isinstance(replay, SettlementReplay)
    settlement = Settlement(replay.state, replay.remembered, journal.epoch)
    settlement.not_before(replay.at_ms)
    return settlement


async def _recovered(
    journal: Journal,
    keeping: Keeping,
    scratch: Scratch | None,
    before_row: BeforeRow,
    load: Load,
) -> Replay:
    identity = journal.identity
    room = Room(keeping, scratch, journal.row_of, pieces=journal.pieces)

    def newest() -> Found:
        return snapshot.newest(
            journal.saved(), identity, journal.sealed, log.error, room
        )

    gc.disable()  # All that is loaded stays: walking it takes a third of the time.
    try:
        found = await load(newest)
    finally:
        gc.enable()
    point, replay = found or (None, replay_of(identity)(identity, room))
    replay_row = before_row(replay.replay)
    at_once = 0
    async for batch in journal.recover(point):
        replay_row(batch)
        at_once += batch.last_sequence - batch.first_sequence + 1
        if at_once >= _RECORDS_AT_ONCE:
            at_once = 0
            await asyncio.sleep(0)
    return replay
