"""What every rule shares: the outcome of a decision and the lenders' money.

`decide_*` functions look and never touch; `apply_*` functions touch and never
refuse.  Recovery replays `apply_*` alone, so no rule may live there.
"""

import msgspec

from processor import limits
from processor.apportion import apportion
from processor.declines import DeclineReason
from processor.events import Declined, Event, Parts, Refusal
from processor.messages import Need
from processor.pools import exhausted, lender_of
from processor.state import Account, AccountStatus, Program, ShardState
from processor.watched import pools_of, suspended


class NeedsReserve(msgspec.Struct, frozen=True, gc=False):
    """Undecided: the lenders' slices here do not cover it; settlement may."""

    needs: tuple[Need, ...]
    is_forced: bool = False  # Settlement may not refuse it.


Decision = Event | NeedsReserve


class Moment(msgspec.Struct, gc=False):
    """What a decision may know besides state and command.

    One reading of the clock for the whole batch, and, for a command that has
    waited for reserve, settlement's refusals, the latest last, or, for a forced
    one, what it took beyond what the lenders had.
    """

    now_ms: int
    refusals: tuple[Refusal, ...] = ()
    forced_minor: int = 0


def declined(reason: DeclineReason, missing_minor: int = 0) -> Declined:
    """A refusal; `missing_minor` as `Declined` has it."""
    return Declined(reason, missing_minor)


def decline_new_debt(account: Account | None, currency: str) -> Declined | None:
    """What stops any new hold or authorization on an account."""
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if account.currency != currency:
        return declined(DeclineReason.CURRENCY_MISMATCH)
    return decline_status(account)


def decline_status(account: Account) -> Declined | None:
    """What an account's status stops."""
    if account.status is AccountStatus.CLOSED:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    if account.status is AccountStatus.FROZEN:
        return declined(DeclineReason.ACCOUNT_FROZEN)
    return None


def split(program: Program, amount_minor: int) -> Parts:
    """An amount over the program's lenders, exact over all it ever split."""
    return apportion(program.shares_ppm, limits.PPM, program.split_parts, amount_minor)


def reserve_for(
    state: ShardState, program: Program, parts: Parts, moment: Moment
) -> Decision | None:
    """None when every lender's slice covers its part; all are taken or none.

    Otherwise the needs to ask settlement for, or, when settlement has refused,
    the decline.  A refusal counts only while the part is more than the
    headroom it found and what is free here; both may have moved since.
    A watched program may have a suspended lender, or needs caps too.
    """
    pools, amounts = program.lenders, parts
    if program.is_watched:
        stopped = suspended(state, program)
        if stopped is not None:
            return stopped
        pools, amounts = pools_of(state, program, parts)
    # As `is_covered`, without a call: every purchase comes by.
    slices = state.slices
    for pool_id, part in zip(pools, amounts, strict=True):
        lease = slices.get(pool_id)
        if part > (lease.free_minor if lease is not None else 0):
            break
    else:
        return None
    refusal = moment.refusals[-1] if moment.refusals else None
    if refusal is not None and refusal.pool_id in pools:
        part = amounts[pools.index(refusal.pool_id)]
        headroom_minor = headroom_anywhere(state, refusal)
        if part > headroom_minor:
            return Declined(
                exhausted(refusal.pool_id),
                part - headroom_minor,
                lender_of(refusal.pool_id),
                refusal.refusal,
            )
    needs = zip(pools, amounts, strict=True)
    return NeedsReserve(tuple(Need(pool_id, part) for pool_id, part in needs if part))


def is_covered(state: ShardState, pools: tuple[str, ...], amounts: Parts) -> bool:
    """Whether the slices here cover an amount of each pool."""
    for pool_id, part in zip(pools, amounts, strict=True):
        lease = state.slices.get(pool_id)
        if part > (lease.free_minor if lease is not None else 0):
            return False
    return True


def headroom_anywhere(state: ShardState, refusal: Refusal) -> int:
    """What a pool that was refused has: here, and where settlement found it.

    What came back to the slice since then counts too; what was received since
    then is counted once.
    """
    lease = state.slices[refusal.pool_id]
    since_minor = leased_minor(state, refusal.pool_id) - refusal.leased_minor
    elsewhere_minor = refusal.headroom_minor - since_minor
    # Below zero it is where others have lent out more than a new cap.
    least_minor = min(0, refusal.headroom_minor)
    return max(least_minor, elsewhere_minor) + lease.free_minor


def leased_minor(state: ShardState, pool_id: str) -> int:
    """What this shard leases of a pool, but for what was raised by force.

    That is no headroom: when it goes back, it ends.
    """
    lease = state.slices[pool_id]
    held_minor = state.forced_held.get(pool_id, 0)
    return lease.received_minor - lease.returned_minor - held_minor


def free_of(state: ShardState, program: Program) -> Parts:
    """What is free in the slice of each lender here."""
    return tuple([state.slices[lender_id].free_minor for lender_id in program.lenders])


def occupy_reserve(state: ShardState, program: Program, parts: Parts) -> Parts:
    """Take parts out of the slices for an authorization, and move the carry.

    Returns what was free before, lender by lender.
    """
    slices, free_parts, place = state.slices, [], 0
    for lender_id in program.lenders:
        lease, part = slices[lender_id], parts[place]
        place += 1
        free_minor = lease.free_minor
        assert free_minor >= part
        free_parts.append(free_minor)
        lease.free_minor = free_minor - part
        lease.authorized_minor += part
    assert place == len(parts)
    program.split_parts = add(program.split_parts, parts)
    return tuple(free_parts)


def release_reserve(state: ShardState, program: Program, parts: Parts) -> None:
    """Give authorized parts back to the slices."""
    for lender_id, part in zip(program.lenders, parts, strict=True):
        lease = state.slices[lender_id]
        lease.authorized_minor -= part
        lease.free_minor += part
        assert lease.authorized_minor >= 0


def add(a: Parts, b: Parts) -> Parts:
    """Two tuples of parts, lender by lender."""
    if len(a) == 1:  # The two commonest lengths, without a generator.
        return (a[0] + b[0],)
    if len(a) == 2:
        return (a[0] + b[0], a[1] + b[1])
    return tuple(x + y for x, y in zip(a, b, strict=True))


def subtract(a: Parts, b: Parts) -> Parts:
    """What is left of parts, lender by lender; never negative."""
    left = tuple(x - y for x, y in zip(a, b, strict=True))
    assert min(left) >= 0
    return left


def zeros(program: Program) -> Parts:
    """No part for any lender of the program."""
    return (0,) * len(program.lenders)
