"""What a reader is shown of settlement, as JSON."""

from collections.abc import Iterable

import msgspec

from processor.answers import ENCODER
from processor.commands import Share
from processor.events import DayTotals
from processor.messages import Lease
from processor.schedules import Plan
from processor.settlement_state import Movement, SettlementState
from processor.terms import MerchantTerms, Terms


class ProgramCapOf(msgspec.Struct, frozen=True, gc=False):
    """What a lender may have lent out through one program, in minor units."""

    program_id: str
    program_cap_minor: int


class CapOf(msgspec.Struct, frozen=True, gc=False):
    """What one lender may have lent out through a program, in minor units."""

    lender_id: str
    program_cap_minor: int


class UsedCapView(msgspec.Struct, frozen=True, gc=False):
    """A cap, exact at one record of every shard; minor units.

    Used is what was authorized and neither given back nor refunded; headroom is
    below zero where more is lent out than the cap is now.
    """

    lender_id: str
    program_cap_minor: int
    used_minor: int
    headroom_minor: int


class ProgramCapsView(msgspec.Struct, frozen=True, gc=False):
    """What the lenders of a program have lent out through it, where it is capped."""

    program_id: str
    currency: str
    caps: tuple[UsedCapView, ...]


class PositionView(msgspec.Struct, frozen=True, gc=False):
    """A lender's position, exact at one record of every shard; minor units.

    headroom = unleased + free = deposit + advance line + forced - authorized
    - captured + refunded.

    `advance_used_minor` is what is used beyond the deposit.  `advance_due_minor`
    of it falls due on the business day `advance_due_on`: what was captured less
    refunded up to the last closed day, beyond the deposit as it is now (what is
    only authorized is not paid out yet).  `forced_minor` is what forced
    captures took beyond the advance line too.  `daily_cap_minor` is null
    without a cap.
    """

    lender_id: str
    name: str
    currency: str
    registered_on: str
    deposit_minor: int
    advance_line_minor: int
    headroom_minor: int
    unleased_minor: int
    leased_minor: int
    free_minor: int
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    forced_minor: int
    advance_used_minor: int
    advance_due_minor: int
    advance_due_on: str | None
    daily_cap_minor: int | None
    suspended: bool
    requires_checker: bool
    program_caps: tuple[ProgramCapOf, ...]


class FundsView(msgspec.Struct, frozen=True, gc=False):
    """A funds movement: proposed, approved or rejected, by whom and on which day."""

    movement_id: str
    lender_id: str
    direction: str
    amount_minor: int
    reference: str
    status: str
    proposed_by: str
    proposed_on: str
    decided_by: str
    decided_on: str


class ProgramView(msgspec.Struct, frozen=True, gc=False):
    """The version of a program in force."""

    program_id: str
    version: int
    currency: str
    registered_on: str
    shares: tuple[Share, ...]
    authorization_expiry_seconds: int
    hold_expiry_seconds: int
    capture_tolerance_ppm: int
    plans: tuple[Plan, ...]
    terms: Terms
    cap_ppm: int | None
    caps: tuple[CapOf, ...]


class MerchantView(msgspec.Struct, frozen=True, gc=False):
    """A merchant, and the version of its terms in force."""

    merchant_id: str
    name: str
    registered_on: str
    version: int
    terms: MerchantTerms | None


class PayableView(msgspec.Struct, frozen=True, gc=False):
    """What a merchant is owed in one currency, in minor units.

    payable = the payout of all closed days - what was withheld of it.
    """

    currency: str
    closed_minor: int
    withheld_minor: int
    payable_minor: int


class MerchantPayableView(msgspec.Struct, frozen=True, gc=False):
    """What a merchant is owed for all closed days and was not paid out yet."""

    merchant_id: str
    payables: tuple[PayableView, ...]


class DayView(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A business day: open, closing (not all shards have reported) or closed."""

    day: str
    status: str
    next_day: str = ""
    reported_shards: int | None = None
    totals: DayTotals | None = None


def position(state: SettlementState, lender_id: str, leases: Iterable[Lease]) -> bytes:
    """From settlement's own record and what every shard reported."""
    lender = state.lenders[lender_id]
    authorized_minor = captured_minor = refunded_minor = free_minor = 0
    for lease in leases:
        free_minor += lease.free_minor
        authorized_minor += lease.authorized_minor
        captured_minor += lease.captured_minor
        refunded_minor += lease.refunded_minor
    used_minor = authorized_minor + captured_minor - refunded_minor
    total_minor = lender.whole_minor
    return ENCODER.encode(
        PositionView(
            lender.lender_id,
            lender.name,
            lender.currency,
            lender.registered_on,
            lender.deposit_minor,
            lender.advance_line_minor,
            total_minor - used_minor,
            total_minor - used_minor - free_minor,
            used_minor + free_minor,
            free_minor,
            authorized_minor,
            captured_minor,
            refunded_minor,
            lender.forced_minor,
            max(0, used_minor - lender.deposit_minor),
            max(0, lender.spent_minor - lender.deposit_minor),
            _due_on(state),
            lender.daily_cap_minor,
            lender.is_suspended,
            lender.requires_checker,
            tuple(
                ProgramCapOf(cap.program_id, cap.cap_minor)
                for cap in state.program_pools.values()
                if cap.lender_id == lender_id
            ),
        )
    )


def caps_in_force(
    state: SettlementState, program_id: str, used_minor: dict[str, int]
) -> bytes:
    """The caps of a program, with what the shards say is used of each pool."""
    caps = tuple(
        UsedCapView(
            cap.lender_id,
            cap.cap_minor,
            used_minor[pool_id],
            cap.cap_minor - used_minor[pool_id],
        )
        for pool_id, cap in state.program_caps_of(program_id).items()
        if pool_id in used_minor  # Otherwise it was set while they were asked.
    )
    currency = state.programs[program_id].currency
    return ENCODER.encode(ProgramCapsView(program_id, currency, caps))


def _due_on(state: SettlementState) -> str | None:
    """The day after the last one that is closed; None before the first."""
    closed = [day.next_day for day in state.days.values() if day.is_closed]
    return closed[-1] if closed else None


def view(state: SettlementState, kind: str, object_id: str) -> bytes | None:
    """The JSON of a "program", "merchant", "funds" or "day"; None if unknown."""
    """The JSON of a "program", "merchant", "payable" or "day"; None if unknown."""
    shown: msgspec.Struct | None = None
    if kind == "program" and object_id in state.programs:
        program = state.programs[object_id]
        shown = ProgramView(
            program.program_id,
            program.version,
            program.currency,
            state.registered_on[f"program:{object_id}"],
            program.shares,
            program.authorization_expiry_seconds,
            program.hold_expiry_seconds,
            program.capture_tolerance_ppm,
            program.plans,
            program.terms,
            program.cap_ppm,
            tuple(
                CapOf(cap.lender_id, cap.cap_minor)
                for cap in state.program_caps_of(object_id).values()
            ),
        )
    elif kind == "merchant" and object_id in state.merchants:
        merchant = state.merchants[object_id]
        shown = MerchantView(
            object_id,
            merchant.name,
            state.registered_on[f"merchant:{object_id}"],
            merchant.version,
            merchant.terms,
        )
    elif kind == "funds" and object_id in state.movements:
        shown = _funds(state.movements[object_id])
    elif kind == "payable" and object_id in state.merchants:
        shown = _payables(state, object_id)
    elif kind == "day":
        shown = _day(state, state.day if object_id == "current" else object_id)
    return None if shown is None else ENCODER.encode(shown)


def _funds(movement: Movement) -> FundsView:
    return FundsView(
        movement.movement_id,
        movement.lender_id,
        movement.direction.value,
        movement.amount_minor,
        movement.reference,
        movement.status.value,
        movement.proposed_by,
        movement.proposed_on,
        movement.decided_by,
        movement.decided_on,
    )


def _payables(state: SettlementState, merchant_id: str) -> MerchantPayableView:
    payables = state.payables.get(merchant_id, {})
    return MerchantPayableView(
        merchant_id,
        tuple(
            PayableView(
                currency,
                payable.closed_minor,
                payable.withheld_minor,
                payable.payable_minor,
            )
            for currency, payable in payables.items()
        ),
    )


def _day(state: SettlementState, day: str) -> DayView | None:
    if day == state.day:
        return DayView(day, "open")
    if day > state.day:
        return DayView(day, "future")
    cut = state.days.get(day)
    if cut is None:
        return None
    status = "closed" if cut.is_closed else "closing"
    return DayView(day, status, cut.next_day, len(cut.reported), cut.totals)
