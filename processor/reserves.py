"""The rules of a lender's money: deposits, the advance line, what was forced.

Whatever lowers the headroom needs it unleased.  If settlement itself has too
little, the rule answers None and `need_of` says what to recall from the shards;
what no recall brings back is in use, and the wish is declined with the
certificate.  What a forced capture took beyond deposit and line is the first
to end when headroom comes back.
"""

from processor import commands as c
from processor import events as e
from processor import limits
from processor.declines import DeclineReason
from processor.messages import Need
from processor.pools import daily_pool
from processor.rules import declined
from processor.settlement_state import (
    DailyCap,
    Lender,
    Pool,
    SettlementState,
    ShardLease,
)

Decided = e.Event | None  # None: the shards must be asked.


def need_of(state: SettlementState, command: c.SettlementCommand) -> Need:
    """What a command, undecided, needs unleased of which pool."""
    if isinstance(command, c.WithdrawReserve):
        return Need(command.lender_id, command.amount_minor)
    if isinstance(command, c.ApproveFunds):
        movement = state.movements[command.movement_id]
        return Need(movement.lender_id, movement.amount_minor)
    if isinstance(command, c.SetDailyCap):
        pool_id = daily_pool(command.lender_id)
        cap_minor = state.daily_caps[pool_id].cap_minor
        return Need(pool_id, cap_minor - (command.daily_cap_minor or 0))
    assert isinstance(command, c.ChangeAdvanceLine)
    line_minor = state.lenders[command.lender_id].advance_line_minor
    return Need(command.lender_id, line_minor - command.advance_line_minor)


# Deposits and withdrawals.


def decide_deposit(state: SettlementState, command: c.DepositReserve) -> e.Event:
    lender = state.lenders.get(command.lender_id)
    if lender is None:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    if lender.requires_checker:
        return declined(DeclineReason.CHECKER_REQUIRED)
    return deposited(lender, command.amount_minor)


def decide_withdraw(state: SettlementState, command: c.WithdrawReserve) -> Decided:
    """More than was ever deposited is never paid out, whatever the advance line."""
    lender = state.lenders.get(command.lender_id)
    if lender is None:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    if lender.requires_checker:
        return declined(DeclineReason.CHECKER_REQUIRED)
    return withdrawn(lender, command.amount_minor)


def deposited(lender: Lender, amount_minor: int) -> e.Declined | e.ReserveDeposited:
    """A deposit, if the reserve may grow that much."""
    deposit_minor = lender.deposit_minor + amount_minor
    if deposit_minor > limits.RESERVE_MINOR_MAX:
        return declined(DeclineReason.AMOUNT_TOO_LARGE)
    return e.ReserveDeposited(lender.lender_id, amount_minor, deposit_minor)


def withdrawn(
    lender: Lender, amount_minor: int
) -> e.Declined | e.ReserveWithdrawn | None:
    """A withdrawal; None while too little is unleased."""
    deposit_minor = lender.deposit_minor - amount_minor
    if deposit_minor < 0:
        return declined(DeclineReason.WITHDRAWAL_EXCEEDS_DEPOSIT, -deposit_minor)
    if amount_minor > lender.unleased_minor:
        return None
    return e.ReserveWithdrawn(lender.lender_id, amount_minor, deposit_minor)


def apply_deposited(
    state: SettlementState,
    event: e.ReserveDeposited | e.ReserveWithdrawn | e.FundsApproved,
) -> None:
    lender = state.lenders[event.lender_id]
    lender.unleased_minor += event.deposit_minor - lender.deposit_minor
    lender.deposit_minor = event.deposit_minor
    check_pool(lender)


# The advance line.


def decide_change_advance_line(
    state: SettlementState, command: c.ChangeAdvanceLine
) -> Decided:
    lender = state.lenders.get(command.lender_id)
    if lender is None:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    less_minor = lender.advance_line_minor - command.advance_line_minor
    if less_minor > lender.unleased_minor:
        return None
    return e.AdvanceLineChanged(command.lender_id, command.advance_line_minor)


def apply_advance_line_changed(
    state: SettlementState, event: e.AdvanceLineChanged
) -> None:
    lender = state.lenders[event.lender_id]
    lender.unleased_minor += event.advance_line_minor - lender.advance_line_minor
    lender.advance_line_minor = event.advance_line_minor
    check_pool(lender)


# The daily cap.


def decide_set_daily_cap(state: SettlementState, command: c.SetDailyCap) -> Decided:
    if command.lender_id not in state.lenders:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    cap_minor = command.daily_cap_minor
    pool = state.daily_caps.get(daily_pool(command.lender_id))
    if cap_minor is None or pool is None:
        return e.DailyCapSet(command.lender_id, cap_minor)
    if pool.cap_minor - cap_minor > pool.unleased_minor:
        return None
    return e.DailyCapSet(command.lender_id, cap_minor)


def apply_daily_cap_set(state: SettlementState, event: e.DailyCapSet) -> None:
    state.lenders[event.lender_id].daily_cap_minor = event.daily_cap_minor
    if event.daily_cap_minor is not None:
        pool = state.daily_caps.setdefault(daily_pool(event.lender_id), DailyCap())
        pool.unleased_minor += event.daily_cap_minor - pool.cap_minor
        pool.cap_minor = event.daily_cap_minor
        check_pool(pool)
    state.reference.append(event)


# What was forced beyond deposit and line.


def is_forceable(lender: Lender, missing_minor: int) -> bool:
    """Whether the platform may pay that much more beyond the line."""
    return lender.forced_minor + missing_minor <= limits.FORCED_MINOR_MAX


def repaid_advance(lender: Lender) -> e.ForcedAdvanceRepaid | None:
    """Unleased headroom ends what was forced; None if there is no such thing."""
    amount_minor = min(lender.forced_minor, lender.unleased_minor)
    if not amount_minor:
        return None
    left_minor = lender.forced_minor - amount_minor
    return e.ForcedAdvanceRepaid(lender.lender_id, amount_minor, left_minor)


def apply_forced(
    state: SettlementState, event: e.AdvanceForced | e.ForcedAdvanceRepaid
) -> None:
    lender = state.lenders[event.lender_id]
    more_minor = event.forced_minor - lender.forced_minor
    if isinstance(event, e.AdvanceForced):
        lease = lender.leases.setdefault(event.shard, ShardLease())
        lease.forced_minor += more_minor
        acknowledge(state, event.cut)
    lender.unleased_minor += more_minor
    lender.forced_minor = event.forced_minor
    check_pool(lender)


# Leases.


def apply_granted(state: SettlementState, event: e.SliceGranted) -> None:
    pool = state.pool(event.pool_id)
    lease = pool.leases.setdefault(event.shard, ShardLease())
    assert event.granted_minor > lease.granted_minor
    pool.unleased_minor -= event.granted_minor - lease.granted_minor
    lease.granted_minor = event.granted_minor
    seen = state.shards[event.shard]
    seen.epoch = max(seen.epoch, event.shard_epoch)
    seen.sequence = max(seen.sequence, event.shard_sequence)
    check_pool(pool)


def apply_credited(state: SettlementState, event: e.SliceCredited) -> None:
    pool = state.pool(event.pool_id)
    lease = pool.leases[event.shard]
    assert lease.credited_minor < event.returned_minor <= lease.granted_minor
    pool.unleased_minor += event.returned_minor - lease.credited_minor
    lease.credited_minor = event.returned_minor
    check_pool(pool)


def acknowledge(state: SettlementState, cut: tuple[e.CutPoint, ...]) -> None:
    """The shards' journals have come as far as the evidence says."""
    for point in cut:
        seen = state.shards[point.shard]
        seen.epoch = max(seen.epoch, point.epoch)
        seen.sequence = max(seen.sequence, point.sequence)


def check_pool(pool: Pool) -> None:
    """Unleased and leased together are the whole, always."""
    assert pool.unleased_minor >= 0
    assert pool.unleased_minor + pool.leased_minor == pool.whole_minor
