"""What a reader is shown of settlement, as JSON."""

from collections.abc import Iterable

import msgspec

from processor.answers import ENCODER
from processor.commands import Share
from processor.events import DayTotals
from processor.messages import Lease
from processor.settlement_state import Lender, SettlementState
from processor.terms import MerchantTerms


class PositionView(msgspec.Struct, frozen=True, gc=False):
    """A lender's position, exact at one record of every shard; minor units.

    headroom = unleased + free = deposit + advance line - authorized - captured
    + refunded.
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


def position(lender: Lender, leases: Iterable[Lease]) -> bytes:
    """From settlement's own record and what every shard reported."""
    authorized_minor = captured_minor = refunded_minor = free_minor = 0
    for lease in leases:
        free_minor += lease.free_minor
        authorized_minor += lease.authorized_minor
        captured_minor += lease.captured_minor
        refunded_minor += lease.refunded_minor
    used_minor = authorized_minor + captured_minor - refunded_minor
    total_minor = lender.deposit_minor + lender.advance_line_minor
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
        )
    )


def view(state: SettlementState, kind: str, object_id: str) -> bytes | None:
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
    elif kind == "payable" and object_id in state.merchants:
        shown = _payables(state, object_id)
    elif kind == "day":
        shown = _day(state, state.day if object_id == "current" else object_id)
    return None if shown is None else ENCODER.encode(shown)


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
