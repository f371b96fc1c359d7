"""A node from its journal: the newest snapshot, the rows since, the next epoch.

Whoever opened the journal calls this once, before the first append.  Nothing
here knows Ray or sockets.
"""

import logging

from processor import snapshot
from processor.journal import Journal
from processor.recovery import Replay, SettlementReplay, ShardReplay, replay_of
from processor.settlement import Settlement
from processor.shard import Shard

log = logging.getLogger("forebay.recovery")


async def recover_shard(journal: Journal) -> Shard:
    """The shard of a journal.  Raises JournalRefused."""
    replay = await _recovered(journal)
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


async def recover_settlement(journal: Journal) -> Settlement:
    """The settlement of a journal.  Raises JournalRefused."""
    replay = await _recovered(journal)
    assert isinstance(replay, SettlementReplay)
    settlement = Settlement(replay.state, replay.remembered, journal.epoch)
    settlement.not_before(replay.at_ms)
    return settlement


async def _recovered(journal: Journal) -> Replay:
    identity = journal.identity
    found = snapshot.newest(journal.saved(), identity, journal.sealed, log.error)
    point, replay = found or (None, replay_of(identity)(identity))
    async for batch in journal.recover(point):
        replay.replay(batch)
    return replay
