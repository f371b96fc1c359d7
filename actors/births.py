"""A node from its journal: replay all of it, and go on in the next epoch.

Whoever opened the journal calls this once, before the first append.  Nothing
here knows Ray or sockets.
"""

from processor.journal import Journal
from processor.recovery import SettlementReplay, ShardReplay
from processor.settlement import Settlement
from processor.shard import Shard


async def recover_shard(journal: Journal) -> Shard:
    """The shard of a journal.  Raises JournalRefused."""
    replay = ShardReplay(journal.identity)
    async for batch in journal.recover():
        replay.replay(batch)
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
    replay = SettlementReplay(journal.identity)
    async for batch in journal.recover():
        replay.replay(batch)
    settlement = Settlement(replay.state, replay.remembered, journal.epoch)
    settlement.not_before(replay.at_ms)
    return settlement
