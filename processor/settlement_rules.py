"""The rules of settlement: registers, reserves, and the business day.

As for a shard: `decide` looks and never touches, `apply` touches and never
refuses.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from processor import commands as c
from processor import events as e
from processor import limits
from processor.declines import DeclineReason
from processor.rules import declined
from processor.settlement_state import (
    BusinessDay,
    Lender,
    SettlementState,
    ShardLease,
    ShardSeen,
    add_totals,
)


def decide_register_lender(
    state: SettlementState, command: c.RegisterLender
) -> e.Event:
    if command.lender_id in state.lenders:
        return declined(DeclineReason.LENDER_EXISTS)
    if len(state.lenders) >= limits.LENDERS_MAX:
        return declined(DeclineReason.TOO_MANY_REGISTERED)
    return e.LenderRegistered(
        command.lender_id, command.currency, command.name, command.advance_line_minor
    )


def decide_deposit(state: SettlementState, command: c.DepositReserve) -> e.Event:
    lender = state.lenders.get(command.lender_id)
    if lender is None:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    deposit_minor = lender.deposit_minor + command.amount_minor
    if deposit_minor > limits.RESERVE_MINOR_MAX:
        return declined(DeclineReason.AMOUNT_TOO_LARGE)
    return e.ReserveDeposited(command.lender_id, command.amount_minor, deposit_minor)


def decide_withdraw(
    state: SettlementState, command: c.WithdrawReserve
) -> e.Event | None:
    """None when settlement itself has too little unleased: ask the shards.

    More than was ever deposited is never paid out, whatever the advance line.
    """
    lender = state.lenders.get(command.lender_id)
    if lender is None:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    if command.amount_minor > lender.deposit_minor:
        return declined(
            DeclineReason.WITHDRAWAL_EXCEEDS_DEPOSIT,
            command.amount_minor - lender.deposit_minor,
        )
    if command.amount_minor > lender.unleased_minor:
        return None
    return e.ReserveWithdrawn(
        command.lender_id,
        command.amount_minor,
        lender.deposit_minor - command.amount_minor,
    )


def decide_register_program(
    state: SettlementState, command: c.RegisterProgram
) -> e.Event:
    lenders = [state.lenders.get(share.lender_id) for share in command.shares]
    if None in lenders:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    current = state.programs.get(command.program_id)
    if current is None and command.replaces_version:
        return declined(DeclineReason.PROGRAM_NOT_FOUND)
    if current is not None and not command.replaces_version:
        return declined(DeclineReason.PROGRAM_EXISTS)
    if current is not None and command.replaces_version != current.version:
        return declined(DeclineReason.PROGRAM_VERSION_MISMATCH)
    currencies = {lender.currency for lender in lenders if lender is not None}
    if current is not None:
        currencies.add(current.currency)
    if currencies != {command.currency}:
        return declined(DeclineReason.CURRENCY_MISMATCH)
    names = {share.lender_id for share in command.shares}
    whole = sum(share.share_ppm for share in command.shares) == limits.PPM
    if not whole or len(names) != len(command.shares):
        return declined(DeclineReason.SHARES_NOT_WHOLE)
    if current is None and len(state.programs) >= limits.PROGRAMS_MAX:
        return declined(DeclineReason.TOO_MANY_REGISTERED)
    return e.ProgramRegistered(
        command.program_id,
        command.replaces_version + 1,
        command.currency,
        command.shares,
        command.authorization_expiry_seconds,
        command.hold_expiry_seconds,
        command.capture_tolerance_ppm,
    )


def decide_register_merchant(
    state: SettlementState, command: c.RegisterMerchant
) -> e.Event:
    if command.merchant_id in state.merchants:
        return declined(DeclineReason.MERCHANT_EXISTS)
    if len(state.merchants) >= limits.MERCHANTS_MAX:
        return declined(DeclineReason.TOO_MANY_REGISTERED)
    return e.MerchantRegistered(command.merchant_id, command.name, command.category)


def decide_close_day(state: SettlementState, command: c.CloseDay) -> e.Event:
    if command.day != state.day:
        return declined(DeclineReason.DAY_NOT_OPEN)
    next_day = command.next_day or following_day(command.day)
    if next_day <= command.day:
        return declined(DeclineReason.NEXT_DAY_NOT_LATER)
    return e.DayCut(command.day, next_day)


def following_day(day: str) -> str:
    """The calendar day after an ISO date."""
    return (date.fromisoformat(day) + timedelta(days=1)).isoformat()


DECIDE: dict[type[c.Command], Callable[[SettlementState, Any], e.Event | None]] = {
    c.RegisterLender: decide_register_lender,
    c.DepositReserve: decide_deposit,
    c.WithdrawReserve: decide_withdraw,
    c.RegisterProgram: decide_register_program,
    c.RegisterMerchant: decide_register_merchant,
    c.CloseDay: decide_close_day,
}


def apply(state: SettlementState, event: e.Event) -> None:
    """Make the event so.  Never refuses: an assertion here ends settlement."""
    state.sequence += 1
    if type(event) is not e.Declined:
        _APPLY[type(event)](state, event)


def _lender_registered(state: SettlementState, event: e.LenderRegistered) -> None:
    state.lenders[event.lender_id] = Lender(
        event.lender_id,
        event.currency,
        event.name,
        state.day,
        event.advance_line_minor,
        unleased_minor=event.advance_line_minor,
    )
    state.reference.append(event)


def _deposited(
    state: SettlementState, event: e.ReserveDeposited | e.ReserveWithdrawn
) -> None:
    lender = state.lenders[event.lender_id]
    lender.unleased_minor += event.deposit_minor - lender.deposit_minor
    lender.deposit_minor = event.deposit_minor
    check_reserve(lender)


def _program_registered(state: SettlementState, event: e.ProgramRegistered) -> None:
    state.programs[event.program_id] = event
    state.registered_on.setdefault(f"program:{event.program_id}", state.day)
    state.reference.append(event)


def _merchant_registered(state: SettlementState, event: e.MerchantRegistered) -> None:
    state.merchants[event.merchant_id] = event.name
    state.registered_on[f"merchant:{event.merchant_id}"] = state.day
    state.reference.append(event)


def _shard_joined(state: SettlementState, event: e.ShardJoined) -> None:
    assert event.shard not in state.shards
    state.shards[event.shard] = ShardSeen(event.journal_id)


def _granted(state: SettlementState, event: e.SliceGranted) -> None:
    lender = state.lenders[event.lender_id]
    lease = lender.leases.setdefault(event.shard, ShardLease())
    assert event.granted_minor > lease.granted_minor
    lender.unleased_minor -= event.granted_minor - lease.granted_minor
    lease.granted_minor = event.granted_minor
    seen = state.shards[event.shard]
    seen.epoch = max(seen.epoch, event.shard_epoch)
    seen.sequence = max(seen.sequence, event.shard_sequence)
    check_reserve(lender)


def _credited(state: SettlementState, event: e.SliceCredited) -> None:
    lender = state.lenders[event.lender_id]
    lease = lender.leases[event.shard]
    assert lease.credited_minor < event.returned_minor <= lease.granted_minor
    lender.unleased_minor += event.returned_minor - lease.credited_minor
    lease.credited_minor = event.returned_minor
    check_reserve(lender)


def check_reserve(lender: Lender) -> None:
    """Unleased and leased together are deposit and advance line, always."""
    assert lender.unleased_minor >= 0
    assert (
        lender.unleased_minor + lender.leased_minor
        == lender.deposit_minor + lender.advance_line_minor
    )


def _refused(state: SettlementState, event: e.ReserveRefused) -> None:
    assert event.refusal == state.refusals + 1
    state.refusals = event.refusal
    for point in event.cut:
        seen = state.shards[point.shard]
        seen.epoch = max(seen.epoch, point.epoch)
        seen.sequence = max(seen.sequence, point.sequence)


def _day_cut(state: SettlementState, event: e.DayCut) -> None:
    assert event.day == state.day < event.next_day
    state.days[event.day] = BusinessDay(event.day, event.next_day)
    state.day = event.next_day


def _day_reported(state: SettlementState, event: e.ShardDayReported) -> None:
    day = state.days[event.day]
    assert event.shard not in day.reported
    day.reported[event.shard] = event.sequence
    add_totals(day.totals, event.totals)
    seen = state.shards[event.shard]
    seen.sequence = max(seen.sequence, event.sequence)


def _day_closed(state: SettlementState, event: e.DayClosed) -> None:
    day = state.days[event.day]
    assert len(day.reported) == state.shard_count
    assert event.totals == day.totals
    day.is_closed = True


_APPLY: dict[type[e.Event], Callable[[SettlementState, Any], None]] = {
    e.LenderRegistered: _lender_registered,
    e.ReserveDeposited: _deposited,
    e.ReserveWithdrawn: _deposited,
    e.ProgramRegistered: _program_registered,
    e.MerchantRegistered: _merchant_registered,
    e.ShardJoined: _shard_joined,
    e.SliceGranted: _granted,
    e.SliceCredited: _credited,
    e.ReserveRefused: _refused,
    e.DayCut: _day_cut,
    e.ShardDayReported: _day_reported,
    e.DayClosed: _day_closed,
}
