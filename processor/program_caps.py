"""The rules of caps by program: how much a lender may have lent out through one.

Lent out is what was authorized under the program, in any of its versions, and
was neither given back nor refunded: what the program has taken from the
lender's reserve and not brought back.  It is exposure, not turnover.  What
borrowers repay is remitted to the lender and does not come back to either.
What was captured by force does not count.

A cap is a pool (`pools.py`), a new one each time it is set, because what is
lent out already counts.  A shard that learns of it has lent out more than it
leases: its free part is below zero by that, and nothing new passes.  Once every
shard has learned of it, that can only shrink, so settlement may add it up.  As
soon as all of it fits into the cap it is leased, and the cap is *covered*; only
then is anything leased ahead of need.  A cap may thus be set below what is lent
out: nothing new is lent until enough has come back.
"""

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.pools import program_pool
from processor.reserves import acknowledge, check_pool
from processor.rules import declined
from processor.settlement_state import ProgramCap, SettlementState


def decide_set_program_cap(state: SettlementState, command: c.SetProgramCap) -> e.Event:
    if command.lender_id not in state.lenders:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    if command.program_id not in state.programs:
        return declined(DeclineReason.PROGRAM_NOT_FOUND)
    pool_id = ""
    if command.program_cap_minor is not None:
        version = len(state.reference) + 1
        pool_id = program_pool(command.program_id, command.lender_id, version)
    return e.ProgramCapSet(
        command.program_id, command.lender_id, command.program_cap_minor, pool_id
    )


def apply_program_cap_set(state: SettlementState, event: e.ProgramCapSet) -> None:
    for pool_id, cap in state.program_caps_of(event.program_id).items():
        if cap.lender_id == event.lender_id:
            del state.program_pools[pool_id]
    cap_minor = event.program_cap_minor
    if cap_minor is not None:
        state.program_pools[event.pool_id] = ProgramCap(
            event.program_id, event.lender_id, cap_minor, unleased_minor=cap_minor
        )
    state.reference.append(event)


def apply_program_cap_covered(
    state: SettlementState, event: e.ProgramCapCovered
) -> None:
    cap = state.program_pools[event.pool_id]
    assert not cap.is_covered
    assert uncovered_minor(event.cut) <= cap.unleased_minor
    cap.is_covered = True
    acknowledge(state, event.cut)
    check_pool(cap)


def uncovered_minor(cut: tuple[e.CutPoint, ...]) -> int:
    """What the shards have lent out beyond their slices."""
    return sum(max(0, -point.free_minor) for point in cut)
