"""The first word of a shard: whether settlement may work with its journal.

A journal that is behind what was acknowledged here is an old copy, and refused.
A shard that knows more than settlement does means that *settlement's* journal
is the old copy: then settlement must stop.
"""

import msgspec

from processor.messages import Lease, ShardHello
from processor.pools import is_of_program
from processor.settlement_state import SettlementState, ShardLease


class Refused(msgspec.Struct, frozen=True):
    """Why not; with `settlement_is_old` settlement must serve no more."""

    why: str
    settlement_is_old: bool = False


def why_refused(
    state: SettlementState, epoch_seen: int, hello: ShardHello
) -> Refused | None:
    """None when the shard is welcome; `epoch_seen` is its latest so far."""
    shard = hello.shard
    if not 0 <= shard < state.shard_count:
        return Refused(f"there is no shard {shard}")
    if hello.epoch < epoch_seen:
        return Refused(f"a later incarnation of shard {shard} has taken over")
    seen = state.shards.get(shard)
    if seen is not None and seen.journal_id != hello.journal_id:
        return Refused(f"the journal of shard {shard} is not the one that joined")
    if seen is not None and (
        hello.sequence < seen.sequence or hello.epoch < seen.epoch
    ):
        return Refused(
            f"the journal of shard {shard} ends at record {hello.sequence}, "
            f"but settlement has acknowledged {seen.sequence}: it is an old copy"
        )
    if hello.day > state.day:
        return _knows_more(
            f"shard {shard} is at business day {hello.day}, which settlement's journal"
        )
    if hello.reference_version > len(state.reference):
        return _knows_more(
            f"shard {shard} holds reference data that settlement's journal"
        )
    for lease in hello.leases:
        refused = _why_lease_refused(state, shard, lease)
        if refused is not None:
            return refused
    return None


def _why_lease_refused(
    state: SettlementState, shard: int, lease: Lease
) -> Refused | None:
    pool = state.find_pool(lease.pool_id)
    if pool is None and is_of_program(lease.pool_id):
        return None  # A cap that is no more: the shard has still to hear of that.
    known = (pool and pool.leases.get(shard)) or ShardLease()
    if lease.received_minor > known.granted_minor:
        return _knows_more(
            f"shard {shard} holds grants of {lease.pool_id} that settlement's journal"
        )
    if lease.returned_minor < known.credited_minor:
        return Refused(f"the journal of shard {shard} is an old copy")
    return None


def _knows_more(what: str) -> Refused:
    return Refused(f"{what} does not know: it is an old copy", settlement_is_old=True)
