"""Programs that need a look at their lenders: suspended, or capped.

Most need none, and cost one test of `Program.is_watched`.  A daily cap is a pool
(`pools.py`) of which a shard has a slice: `authorized_minor` is what of it was
used on the shard's business day, and free again when the shard moves to the
next.  Used is what was authorized on that day, by authorization, increment or
capture above what was open, less what was given back on the same day of the
same purchase.  What was authorized on an earlier day gives nothing back to the
cap, and neither do refunds.  What is captured by force is not counted.

A daily cap counts from the record with which a shard learns of it: what was
authorized before, on that day, is not part of it.  A cap for one program counts
what is lent out, whenever that was (`exposure.py`).
"""

from processor import events as e
from processor.declines import DeclineReason
from processor.events import Parts
from processor.pools import daily_pool
from processor.state import Program, ShardState, Slice


def suspended(state: ShardState, program: Program) -> e.Declined | None:
    """The decline for the first lender of the program that is suspended."""
    for lender_id in program.lenders:
        if lender_id in state.suspended:
            return e.Declined(DeclineReason.LENDER_SUSPENDED, 0, lender_id)
    return None


def pools_of(
    state: ShardState, program: Program, parts: Parts
) -> tuple[tuple[str, ...], Parts]:
    """All pools that a purchase needs, with its parts.

    In order of precedence: caps of the program, daily caps, reserves.
    """
    pools, amounts = [], []
    of_program = state.program_caps.get(program.program_id, {})
    for lender_id, part in zip(program.lenders, parts, strict=True):
        if part and lender_id in of_program:  # Free may be below zero.
            pools.append(of_program[lender_id])
            amounts.append(part)
    for lender_id, part in zip(program.lenders, parts, strict=True):
        if lender_id in state.daily_caps:
            pools.append(daily_pool(lender_id))
            amounts.append(part)
    return (*pools, *program.lenders), (*amounts, *parts)


def caps_of(state: ShardState, program: Program) -> tuple[tuple[str, int], ...]:
    """What is free here of each cap that the program's purchases need, by pool."""
    if not program.is_watched:
        return ()
    pools, _ = pools_of(state, program, program.shares_ppm)
    caps = pools[: -len(program.lenders)]
    return tuple((pool_id, state.slices[pool_id].free_minor) for pool_id in caps)


# Applied with the fact that authorizes or gives back.


def count(
    state: ShardState, program: Program, authorization_id: str, parts: Parts
) -> None:
    """What was just authorized is used of its lenders' caps."""
    of_program = state.program_caps.get(program.program_id, {})
    for lender_id, part in zip(program.lenders, parts, strict=True):
        if part and lender_id in of_program:
            lease = state.slices[of_program[lender_id]]
            lease.free_minor -= part
            lease.authorized_minor += part
            assert lease.free_minor >= 0
    for lender_id, part in zip(program.lenders, parts, strict=True):
        if part and lender_id in state.daily_caps:
            pool_id = daily_pool(lender_id)
            lease = state.slices[pool_id]
            lease.free_minor -= part
            lease.authorized_minor += part
            assert lease.free_minor >= 0
            counted = state.counted.setdefault(authorization_id, {})
            counted[pool_id] = counted.get(pool_id, 0) + part


def uncount(
    state: ShardState, program: Program, authorization_id: str, parts: Parts
) -> None:
    """What is given back is free again of a day's cap, as far as it counted today."""
    counted = state.counted.get(authorization_id)
    if counted is None:
        return
    for lender_id, part in zip(program.lenders, parts, strict=True):
        pool_id = daily_pool(lender_id)
        back_minor = min(part, counted.get(pool_id, 0))
        if back_minor:
            counted[pool_id] -= back_minor
            lease = state.slices[pool_id]
            lease.authorized_minor -= back_minor
            lease.free_minor += back_minor
            assert lease.authorized_minor >= 0


def end_day(state: ShardState) -> None:
    """Whatever was used of daily caps is free again."""
    for lender_id in state.daily_caps:
        _free(state.slices[daily_pool(lender_id)])
    state.counted = {}


def _free(lease: Slice) -> None:
    lease.free_minor += lease.authorized_minor
    lease.authorized_minor = 0


# Applied with settlement's word.


def apply_suspension(
    state: ShardState, fact: e.LenderSuspended | e.LenderResumed
) -> None:
    if isinstance(fact, e.LenderSuspended):
        state.suspended[fact.lender_id] = True
    else:
        del state.suspended[fact.lender_id]
    watch(state)


def apply_daily_cap(state: ShardState, fact: e.DailyCapSet) -> None:
    pool_id = daily_pool(fact.lender_id)
    if fact.daily_cap_minor is not None:
        state.daily_caps[fact.lender_id] = fact.daily_cap_minor
        state.slices.setdefault(pool_id, Slice(pool_id))
    elif state.daily_caps.pop(fact.lender_id, None) is not None:
        _free(state.slices[pool_id])
        for counted in state.counted.values():
            counted.pop(pool_id, None)
    watch(state)


def watch(state: ShardState) -> None:
    """Find out anew which programs need a look."""
    for program in state.program_versions.values():
        program.is_watched = is_watched(state, program)


def is_watched(state: ShardState, program: Program) -> bool:
    """Whether a lender of the program is suspended or capped."""
    of_program = state.program_caps.get(program.program_id, {})
    return any(lender_id in of_program for lender_id in program.lenders) or any(
        lender_id in state.suspended or lender_id in state.daily_caps
        for lender_id in program.lenders
    )
