"""A node from its journal: the newest snapshot, the rows since, the next epoch.

Whoever opened the journal calls this once, before the first append.  Nothing
here knows Ray or sockets.
"""

import gc
import logging
from collections.abc import Callable

from processor import snapshot
from processor.journal import Batch, Journal
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

log = logging.getLogger("forebay.recovery")


def nothing_before(replay_row: ReplayRow) -> ReplayRow:
    """As it is."""
    return replay_row


async def recover_shard(
    journal: Journal,
    keeping: Keeping = KEEPING,
    scratch: Scratch | None = None,
    before_row: BeforeRow = nothing_before,
) -> Shard:
    """The shard of a journal; without scratch all in memory.  Raises JournalRefused."""
    replay = await _recovered(
        journal, Room(keeping, scratch, journal.row_of), before_row
    )
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
) -> Settlement:
    """The settlement of a journal, likewise.  Raises JournalRefused."""
    replay = await _recovered(
        journal, Room(keeping, scratch, journal.row_of), before_row
    )
    assert isinstance(replay, SettlementReplay)
    settlement = Settlement(replay.state, replay.remembered, journal.epoch)
    settlement.not_before(replay.at_ms)
    return settlement


async def _recovered(journal: Journal, room: Room, before_row: BeforeRow) -> Replay:
    identity = journal.identity
    gc.disable()  # All that is loaded stays: walking it takes a third of the time.
    try:
        found = snapshot.newest(
            journal.saved(), identity, journal.sealed, log.error, room
        )
    finally:
        gc.enable()
    point, replay = found or (None, replay_of(identity)(identity, room))
    replay_row = before_row(replay.replay)
    async for batch in journal.recover(point):
        replay_row(batch)
    return replay
