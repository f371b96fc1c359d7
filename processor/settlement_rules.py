"""The rules of settlement: registers and the business day; the table of all.

As for a shard: `decide` looks and never touches, `apply` touches and never
refuses.
"""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from processor import commands as c
from processor import events as e
from processor import (
    funds,
    limits,
    merchant_terms,
    program_caps,
    reserves,
    withholdings,
)
from processor.declines import DeclineReason
from processor.rules import declined
from processor.settlement_state import (
    BusinessDay,
    Lender,
    SettlementState,
    ShardSeen,
    add_totals,
)
from processor.tenders import RefundPolicy, wrong_policy_field


def decide_register_lender(
    state: SettlementState, command: c.RegisterLender
) -> e.Event:
    if command.lender_id in state.lenders:
        return declined(DeclineReason.LENDER_EXISTS)
    if len(state.lenders) >= limits.LENDERS_MAX:
        return declined(DeclineReason.TOO_MANY_REGISTERED)
    return e.LenderRegistered(
        command.lender_id,
        command.currency,
        command.name,
        command.advance_line_minor,
        command.requires_checker,
    )


def decide_suspend_lender(state: SettlementState, command: c.SuspendLender) -> e.Event:
    lender = state.lenders.get(command.lender_id)
    if lender is None:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    if lender.is_suspended:
        return declined(DeclineReason.LENDER_SUSPENDED)
    return e.LenderSuspended(command.lender_id)


def decide_resume_lender(state: SettlementState, command: c.ResumeLender) -> e.Event:
    lender = state.lenders.get(command.lender_id)
    if lender is None:
        return declined(DeclineReason.LENDER_NOT_FOUND)
    if not lender.is_suspended:
        return declined(DeclineReason.LENDER_NOT_SUSPENDED)
    return e.LenderResumed(command.lender_id)


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
    if len({plan.plan_id for plan in command.plans}) != len(command.plans):
        return declined(DeclineReason.PLANS_NOT_UNIQUE)
    if wrong_policy_field(RefundPolicy(command.terms.refund_order)) is not None:
        return declined(DeclineReason.ORDER_NOT_SOUND)
    if any(share.share_ppm < share.floor_ppm for share in command.shares):
        return declined(DeclineReason.SHARE_BELOW_FLOOR)
    cap_ppm = limits.PPM if command.cap_ppm is None else command.cap_ppm
    if any(share.share_ppm > cap_ppm for share in command.shares):
        return declined(DeclineReason.SHARE_ABOVE_CAP)
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
        command.plans,
        command.terms,
        command.cap_ppm,
    )


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
    c.DepositReserve: reserves.decide_deposit,
    c.WithdrawReserve: reserves.decide_withdraw,
    c.RegisterProgram: decide_register_program,
    c.RegisterMerchant: merchant_terms.decide_register_merchant,
    c.CloseDay: decide_close_day,
    # Lenders.
    c.ChangeAdvanceLine: reserves.decide_change_advance_line,
    c.SuspendLender: decide_suspend_lender,
    c.ResumeLender: decide_resume_lender,
    c.SetDailyCap: reserves.decide_set_daily_cap,
    c.SetProgramCap: program_caps.decide_set_program_cap,
    c.ProposeFunds: funds.decide_propose_funds,
    c.ApproveFunds: funds.decide_approve_funds,
    c.RejectFunds: funds.decide_reject_funds,
    c.ChangeMerchant: merchant_terms.decide_change_merchant,
    c.WithholdFromMerchant: withholdings.decide_withhold,
    c.ReleaseWithholding: withholdings.decide_release,
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
        requires_checker=event.requires_checker,
        unleased_minor=event.advance_line_minor,
    )
    state.reference.append(event)


def _suspension_changed(
    state: SettlementState, event: e.LenderSuspended | e.LenderResumed
) -> None:
    lender = state.lenders[event.lender_id]
    lender.is_suspended = isinstance(event, e.LenderSuspended)
    state.reference.append(event)


def _program_registered(state: SettlementState, event: e.ProgramRegistered) -> None:
    state.programs[event.program_id] = event
    state.registered_on.setdefault(f"program:{event.program_id}", state.day)
    state.reference.append(event)


def _shard_joined(state: SettlementState, event: e.ShardJoined) -> None:
    assert event.shard not in state.shards
    state.shards[event.shard] = ShardSeen(event.journal_id)


def _shard_progressed(state: SettlementState, event: e.ShardProgressed) -> None:
    seen = state.shards[event.shard]
    assert event.sequence > seen.sequence
    seen.sequence = event.sequence
    seen.epoch = max(seen.epoch, event.epoch)


def _refused(state: SettlementState, event: e.ReserveRefused) -> None:
    assert event.refusal == state.refusals + 1
    state.refusals = event.refusal
    reserves.acknowledge(state, event.cut)


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
    for lender_id, totals in event.totals.lenders.items():
        spent_minor = totals.captured_minor - totals.refunded_minor
        state.lenders[lender_id].spent_minor += spent_minor
    withholdings.count_day(state, event.totals)


_APPLY: dict[type[e.Event], Callable[[SettlementState, Any], None]] = {
    e.LenderRegistered: _lender_registered,
    e.ReserveDeposited: reserves.apply_deposited,
    e.ReserveWithdrawn: reserves.apply_deposited,
    e.ProgramRegistered: _program_registered,
    e.MerchantRegistered: merchant_terms.apply_merchant_registered,
    e.MerchantChanged: merchant_terms.apply_merchant_changed,
    e.MerchantWithheld: withholdings.apply_withheld,
    e.WithholdingReleased: withholdings.apply_released,
    e.ShardJoined: _shard_joined,
    e.ShardProgressed: _shard_progressed,
    e.SliceGranted: reserves.apply_granted,
    e.SliceCredited: reserves.apply_credited,
    e.ReserveRefused: _refused,
    e.DayCut: _day_cut,
    e.ShardDayReported: _day_reported,
    e.DayClosed: _day_closed,
    # Lenders.
    e.AdvanceLineChanged: reserves.apply_advance_line_changed,
    e.LenderSuspended: _suspension_changed,
    e.LenderResumed: _suspension_changed,
    e.DailyCapSet: reserves.apply_daily_cap_set,
    e.ProgramCapSet: program_caps.apply_program_cap_set,
    e.ProgramCapCovered: program_caps.apply_program_cap_covered,
    e.AdvanceForced: reserves.apply_forced,
    e.ForcedAdvanceRepaid: reserves.apply_forced,
    e.FundsProposed: funds.apply_funds_proposed,
    e.FundsApproved: funds.apply_funds_approved,
    e.FundsRejected: funds.apply_funds_rejected,
}
