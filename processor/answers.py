"""What the caller is told, made from a command and its event alone.

Answers are JSON from the moment they leave the shard: the gateway passes the
bytes on, and a repeated request gets the same bytes again because nothing but
the remembered command and event go into them.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.terms import CategoryVelocity, Velocity

ENCODER = msgspec.json.Encoder()

APPROVED = "approved"
DECLINED = "declined"


class DeclinedAnswer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A refusal.  `transient`: a new request could turn out otherwise.

    Of these at most one stands in it: the headroom that was missing of a limit, a
    cap or a reserve; the excess of the amount over what there is; the quote that
    the amount had to be.  With an `authorization_id` the decision can be
    explained; there is nothing to capture under it.
    """

    status: str
    reason: str
    transient: bool
    headroom_missing_minor: int | None = None
    excess_minor: int | None = None
    quote_minor: int | None = None
    lender_id: str = ""
    category: str = ""
    authorization_id: str = ""


class ApprovedAnswer(msgspec.Struct, frozen=True, gc=False):
    """The command was carried out."""

    status: str


class AccountAnswer(ApprovedAnswer, frozen=True, gc=False):
    """About an account."""

    account_id: str


class LimitAnswer(ApprovedAnswer, frozen=True, gc=False, omit_defaults=True):
    """The new limit, and what may still be bought (negative: over limit).

    Where a temporary limit is in force the new one counts from the business day
    after `temporary_until_day` on.
    """

    account_id: str
    limit_minor: int
    open_to_buy_minor: int
    temporary_limit_minor: int | None = None
    temporary_until_day: str | None = None


class TemporaryLimitAnswer(ApprovedAnswer, frozen=True, gc=False):
    """The limit up to and with a business day, and the one after it."""

    account_id: str
    limit_minor: int
    until_day: str
    ordinary_limit_minor: int
    open_to_buy_minor: int


class VelocityAnswer(ApprovedAnswer, frozen=True, gc=False):
    """The velocity limits now in force."""

    account_id: str
    velocity: Velocity
    categories: tuple[CategoryVelocity, ...]


class AuthorizationAnswer(ApprovedAnswer, frozen=True, gc=False, omit_defaults=True):
    """A purchase is authorized: ask for it again under its id.

    Where a part was allowed, `requested_minor` is what was asked for, and
    `limited_by` what it was reduced by: "limit", a velocity limit (of
    `category`, if it is one's), "daily_cap" or "reserve" (of `lender_id`).
    """

    authorization_id: str
    account_id: str
    amount_minor: int
    captured_minor: int
    expires_at_ms: int
    open_to_buy_minor: int
    fee_minor: int = 0
    subsidy_minor: int = 0
    requested_minor: int | None = None
    limited_by: str = ""
    category: str = ""
    lender_id: str = ""


class ChangeAnswer(ApprovedAnswer, frozen=True, gc=False):
    """How much an authorization changed by."""

    authorization_id: str
    amount_minor: int
    open_to_buy_minor: int


class CaptureAnswer(ApprovedAnswer, frozen=True, gc=False, omit_defaults=True):
    """What became a debt, and what a final capture gave back.

    The merchant's fee and subsidy are there when there are any.
    """

    authorization_id: str
    capture_id: str
    amount_minor: int
    released_minor: int
    open_to_buy_minor: int
    fee_minor: int = 0
    subsidy_minor: int = 0


class TenderBack(msgspec.Struct, frozen=True, gc=False):
    """What goes back to one tender of an order: paid money, and discount."""

    tender_id: str
    amount_minor: int
    discount_minor: int


class RefundAnswer(ApprovedAnswer, frozen=True, gc=False, omit_defaults=True):
    """What went back: off the debt, and to the borrower's credit balance.

    `plan_fee_back_minor` of the plan's fees went back beside it, off the debt or, where
    they had been paid, to the credit balance.  `tenders` is what goes back to
    each tender of an order.  Of the merchant's fee and of subsidies,
    `fee_back_minor` and `subsidy_back_minor` went back.
    """

    authorization_id: str
    refund_id: str
    amount_minor: int
    principal_minor: int
    credit_minor: int
    purchase_day: str
    open_to_buy_minor: int
    fee_back_minor: int = 0
    subsidy_back_minor: int = 0
    plan_fee_back_minor: int = 0
    tenders: tuple[TenderBack, ...] = ()


class RepaymentAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What came in, and what it paid; what is left is the borrower's credit.

    Where his credit balance was below zero that fills it first.
    """

    repayment_id: str
    account_id: str
    amount_minor: int
    principal_minor: int
    interest_minor: int
    fee_minor: int
    penalty_minor: int
    credit_minor: int
    open_to_buy_minor: int
    provisional: bool = False


class RepaymentStatusAnswer(ApprovedAnswer, frozen=True, gc=False):
    """A provisional repayment is final now."""

    repayment_id: str
    account_id: str


class UndoneAnswer(ApprovedAnswer, frozen=True, gc=False):
    """A payment was undone: what is owed again, and what came off the credit.

    `over_limit_minor` is by how much the account is over its limit now.
    """

    payment_id: str
    account_id: str
    amount_minor: int
    principal_minor: int
    charges_minor: int
    credit_minor: int
    open_to_buy_minor: int
    over_limit_minor: int


class CreditAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What was paid out; `credit_minor` is what is left."""

    account_id: str
    amount_minor: int
    credit_minor: int
    open_to_buy_minor: int


class WaiverAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What is not owed any more."""

    account_id: str
    charge: str
    amount_minor: int


class ExtensionAnswer(ApprovedAnswer, frozen=True, gc=False):
    """The periods that are left now; the fee is in the first of them."""

    authorization_id: str
    periods: int
    fee_minor: int


class WriteOffAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What was given up: principal, overdrawn credit, and the rest are charges."""

    write_off_id: str
    account_id: str
    amount_minor: int
    principal_minor: int
    overdrawn_minor: int


class RecoveryAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What came in on what was written off."""

    recovery_id: str
    account_id: str
    amount_minor: int


class ClaimAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What the guarantor paid."""

    claim_id: str
    account_id: str
    guarantor_id: str
    amount_minor: int
    principal_minor: int


class AdjustmentAnswer(ApprovedAnswer, frozen=True, gc=False):
    """About an adjustment; once approved, what may still be bought."""

    adjustment_id: str
    account_id: str
    open_to_buy_minor: int | None = None


class HoldAnswer(ApprovedAnswer, frozen=True, gc=False):
    """How much a hold changed by; at its start, when it expires."""

    hold_id: str
    amount_minor: int
    open_to_buy_minor: int
    expires_at_ms: int | None = None


class LenderAnswer(ApprovedAnswer, frozen=True, gc=False):
    """About a lender; `deposit_minor` is what it has deposited in all."""

    lender_id: str
    deposit_minor: int


class ProgramAnswer(ApprovedAnswer, frozen=True, gc=False):
    """The version of the program that is now in force."""

    program_id: str
    version: int


class MerchantAnswer(ApprovedAnswer, frozen=True, gc=False):
    """About a merchant."""

    merchant_id: str


class WithholdingAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What was taken off a merchant's payout of what was asked for."""

    withholding_id: str
    merchant_id: str
    withheld_minor: int


class ReleaseAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What a merchant has back of what was withheld."""

    withholding_id: str
    released_minor: int


class DayCutAnswer(ApprovedAnswer, frozen=True, gc=False):
    """The day is cut; it is closed when every shard has reported."""

    day: str
    next_day: str


# Lenders.


class ForcedAnswer(ApprovedAnswer, frozen=True, gc=False, omit_defaults=True):
    """A purchase that was booked whatever stood against it.

    `over_limit_minor` is how far the account is beyond its limit now,
    `lender_advance_minor` what was paid for the lenders beyond their lines.
    The merchant's fee and subsidy are there when there are any.
    """

    authorization_id: str
    capture_id: str
    account_id: str
    amount_minor: int
    forced: bool
    over_limit_minor: int
    lender_advance_minor: int
    open_to_buy_minor: int
    fee_minor: int = 0
    subsidy_minor: int = 0


class AdvanceLineAnswer(ApprovedAnswer, frozen=True, gc=False):
    """The new advance line."""

    lender_id: str
    advance_line_minor: int


class SuspensionAnswer(ApprovedAnswer, frozen=True, gc=False):
    """Whether the lender lends."""

    lender_id: str
    suspended: bool


class DailyCapAnswer(ApprovedAnswer, frozen=True, gc=False):
    """The new daily cap; null: none."""

    lender_id: str
    daily_cap_minor: int | None


class ProgramCapAnswer(ApprovedAnswer, frozen=True, gc=False):
    """The new cap of a lender for a program; null: none."""

    program_id: str
    lender_id: str
    program_cap_minor: int | None


class FundsAnswer(ApprovedAnswer, frozen=True, gc=False):
    """Where a funds movement is, and what an approved one made the deposit."""

    movement_id: str
    funds_status: str
    deposit_minor: int | None = None


def answer_to(command: c.Command, event: e.Event) -> bytes:
    """The JSON answer to a command that ended in an event."""
    return ENCODER.encode(_ANSWERS[type(event)](command, event))


def _declined(command: c.Command, event: e.Declined) -> DeclinedAnswer:
    is_quote = event.reason is DeclineReason.AMOUNT_IS_NOT_THE_QUOTE
    is_excess = event.reason.is_excess
    is_headroom = not is_quote and not is_excess
    return DeclinedAnswer(
        DECLINED,
        event.reason.value,
        event.reason.is_transient,
        (event.missing_minor or None) if is_headroom else None,
        (event.missing_minor or None) if is_excess else None,
        command.amount_minor + event.missing_minor
        if isinstance(command, c.SettleEarly) and is_quote
        else None,
        event.lender_id,
        event.category,
        event.authorization_id,
    )


def _charge(charge: e.MerchantCharge | None) -> tuple[int, int]:
    """Fee and subsidy; a zero is left out of the answer."""
    return (0, 0) if charge is None else (charge.fee_minor, charge.subsidy_minor)


def _authorized(
    command: c.Authorize | c.ConvertHold, event: e.Authorized
) -> AuthorizationAnswer:
    if type(command) is c.Authorize and command.partial:
        return _portion(command, event)
    return AuthorizationAnswer(
        APPROVED,
        event.authorization_id,
        event.account_id,
        event.amount_minor,
        event.amount_minor if event.captured else 0,
        event.expires_at_ms,
        event.open_to_buy_minor,
        *_charge(event.charge),
    )


def _portion(command: c.Authorize, event: e.Authorized) -> AuthorizationAnswer:
    reduced = event.reduced
    return AuthorizationAnswer(
        APPROVED,
        event.authorization_id,
        event.account_id,
        event.amount_minor,
        event.amount_minor if event.captured else 0,
        event.expires_at_ms,
        event.open_to_buy_minor,
        *_charge(event.charge),
        command.amount_minor,
        "" if reduced is None else reduced.limited_by,
        "" if reduced is None else reduced.category,
        "" if reduced is None else reduced.lender_id,
    )


def _changed(
    command: c.Command, event: e.AuthorizationIncremented | e.AuthorizationReversed
) -> ChangeAnswer:
    return ChangeAnswer(
        APPROVED, event.authorization_id, event.amount_minor, event.open_to_buy_minor
    )


def _captured(command: c.Command, event: e.Captured) -> CaptureAnswer:
    return CaptureAnswer(
        APPROVED,
        event.authorization_id,
        event.capture_id,
        event.amount_minor,
        event.released_minor,
        event.open_to_buy_minor,
        *_charge(event.charge),
    )


def _refunded(command: c.Command, event: e.Refunded) -> RefundAnswer:
    return RefundAnswer(
        APPROVED,
        event.authorization_id,
        event.refund_id,
        event.amount_minor,
        event.principal_minor,
        event.credit_minor + sum(event.fee_credits),
        event.purchase_day,
        event.open_to_buy_minor,
        *_charge(event.charge_back),
        sum(event.fee_parts),
        tuple(
            TenderBack(back.tender_id, back.amount_minor, back.discount_minor)
            for back in event.tenders
        ),
    )


def _repaid(command: c.Command, event: e.Repaid | e.SettledEarly) -> RepaymentAnswer:
    paid = event.allocations
    principal_minor = sum(p.amount_minor for p in paid)
    charges_minor = sum(p.charges_minor for p in paid)
    return RepaymentAnswer(
        APPROVED,
        event.repayment_id,
        event.account_id,
        event.amount_minor,
        principal_minor,
        sum(p.interest_minor for p in paid),
        sum(p.fee_minor for p in paid),
        sum(p.penalty_minor for p in paid),
        event.amount_minor - principal_minor - charges_minor,
        event.open_to_buy_minor,
        event.provisional,
    )


def _final(command: c.Command, event: e.RepaymentFinal) -> RepaymentStatusAnswer:
    return RepaymentStatusAnswer(APPROVED, event.repayment_id, event.account_id)


def _returned(command: c.Command, event: e.RepaymentReturned) -> UndoneAnswer:
    return _undone(event.repayment_id, event)


def _write_off_reversed(command: c.Command, event: e.WriteOffReversed) -> UndoneAnswer:
    return _undone(event.write_off_id, event)


def _claim_reversed(command: c.Command, event: e.ClaimReversed) -> UndoneAnswer:
    return _undone(event.claim_id, event)


def _undone(
    payment_id: str,
    event: e.RepaymentReturned | e.WriteOffReversed | e.ClaimReversed,
) -> UndoneAnswer:
    principal_minor = sum(back.amount_minor for back in event.undone)
    return UndoneAnswer(
        APPROVED,
        payment_id,
        event.account_id,
        event.amount_minor,
        principal_minor,
        _charges_again(event, principal_minor),
        event.credit_minor,
        event.open_to_buy_minor,
        max(0, -event.open_to_buy_minor),
    )


def _charges_again(
    event: e.RepaymentReturned | e.WriteOffReversed | e.ClaimReversed,
    principal_minor: int,
) -> int:
    """Charges that are owed again; of a plan that is restored, only what is billed."""
    charges_minor = event.amount_minor - principal_minor - event.credit_minor
    if isinstance(event, e.RepaymentReturned):
        charges_minor += sum(plan.charges_minor for plan in event.plans)
    return charges_minor


def _paid_out(command: c.Command, event: e.CreditPaidOut) -> CreditAnswer:
    return CreditAnswer(
        APPROVED,
        event.account_id,
        event.amount_minor,
        event.credit_minor,
        event.open_to_buy_minor,
    )


def _waived(command: c.Command, event: e.ChargesWaived) -> WaiverAnswer:
    return WaiverAnswer(
        APPROVED, event.account_id, event.charge.value, event.amount_minor
    )


def _extended(command: c.Command, event: e.PlanExtended) -> ExtensionAnswer:
    return ExtensionAnswer(
        APPROVED, event.authorization_id, len(event.recut.lines), event.fee_minor
    )


def _written_off(command: c.Command, event: e.WrittenOff) -> WriteOffAnswer:
    return WriteOffAnswer(
        APPROVED,
        event.write_off_id,
        event.account_id,
        event.amount_minor,
        sum(paid.amount_minor for paid in event.allocations),
        event.credit_minor,
    )


def _recovered(
    command: c.Command, event: e.RecoveryRecorded | e.RecoveryReversed
) -> RecoveryAnswer:
    return RecoveryAnswer(
        APPROVED, event.recovery_id, event.account_id, event.amount_minor
    )


def _claimed(command: c.Command, event: e.ClaimPaid) -> ClaimAnswer:
    return ClaimAnswer(
        APPROVED,
        event.claim_id,
        event.account_id,
        event.guarantor_id,
        event.amount_minor,
        sum(paid.amount_minor for paid in event.allocations),
    )


def _adjusted(
    command: c.Command,
    event: e.AdjustmentProposed | e.AdjustmentApproved | e.AdjustmentRejected,
) -> AdjustmentAnswer:
    open_to_buy_minor = None
    if isinstance(event, e.AdjustmentApproved):
        open_to_buy_minor = event.open_to_buy_minor
    return AdjustmentAnswer(
        APPROVED, event.adjustment_id, event.account_id, open_to_buy_minor
    )


def _hold_placed(command: c.Command, event: e.HoldPlaced) -> HoldAnswer:
    return HoldAnswer(
        APPROVED,
        event.hold_id,
        event.amount_minor,
        event.open_to_buy_minor,
        event.expires_at_ms,
    )


def _hold_changed(
    command: c.Command, event: e.HoldIncreased | e.HoldReleased
) -> HoldAnswer:
    return HoldAnswer(
        APPROVED, event.hold_id, event.amount_minor, event.open_to_buy_minor
    )


def _account(
    command: c.Command,
    event: e.AccountOpened | e.AccountFrozen | e.AccountUnfrozen | e.AccountClosed,
) -> AccountAnswer:
    return AccountAnswer(APPROVED, event.account_id)


def _limit(command: c.Command, event: e.LimitChanged) -> LimitAnswer:
    is_later = bool(event.until_day)
    return LimitAnswer(
        APPROVED,
        event.account_id,
        event.limit_minor,
        event.open_to_buy_minor,
        event.temporary_limit_minor if is_later else None,
        event.until_day if is_later else None,
    )


def _temporary_limit(
    command: c.Command, event: e.TemporaryLimitSet
) -> TemporaryLimitAnswer:
    return TemporaryLimitAnswer(
        APPROVED,
        event.account_id,
        event.limit_minor,
        event.until_day,
        event.ordinary_limit_minor,
        event.open_to_buy_minor,
    )


def _velocity(command: c.Command, event: e.VelocitySet) -> VelocityAnswer:
    return VelocityAnswer(APPROVED, event.account_id, event.velocity, event.categories)


def _lender(command: c.Command, event: e.LenderRegistered) -> LenderAnswer:
    return LenderAnswer(APPROVED, event.lender_id, 0)


def _reserve(
    command: c.Command, event: e.ReserveDeposited | e.ReserveWithdrawn
) -> LenderAnswer:
    return LenderAnswer(APPROVED, event.lender_id, event.deposit_minor)


def _program(command: c.Command, event: e.ProgramRegistered) -> ProgramAnswer:
    return ProgramAnswer(APPROVED, event.program_id, event.version)


def _merchant(
    command: c.Command, event: e.MerchantRegistered | e.MerchantChanged
) -> MerchantAnswer:
    return MerchantAnswer(APPROVED, event.merchant_id)


def _withheld(command: c.Command, event: e.MerchantWithheld) -> WithholdingAnswer:
    return WithholdingAnswer(
        APPROVED, event.withholding_id, event.merchant_id, event.withheld_minor
    )


def _released(command: c.Command, event: e.WithholdingReleased) -> ReleaseAnswer:
    return ReleaseAnswer(APPROVED, event.withholding_id, event.released_minor)


def _day_cut(command: c.Command, event: e.DayCut) -> DayCutAnswer:
    return DayCutAnswer(APPROVED, event.day, event.next_day)


# Lenders.


def _forced(command: c.Command, event: e.ForceCaptured) -> ForcedAnswer:
    return ForcedAnswer(
        APPROVED,
        event.authorization_id,
        event.capture_id,
        event.account_id,
        event.amount_minor,
        True,
        event.over_limit_minor,
        event.lender_advance_minor,
        event.open_to_buy_minor,
        *_charge(event.charge),
    )


def _advance_line(command: c.Command, event: e.AdvanceLineChanged) -> AdvanceLineAnswer:
    return AdvanceLineAnswer(APPROVED, event.lender_id, event.advance_line_minor)


def _suspension(
    command: c.Command, event: e.LenderSuspended | e.LenderResumed
) -> SuspensionAnswer:
    is_suspended = isinstance(event, e.LenderSuspended)
    return SuspensionAnswer(APPROVED, event.lender_id, is_suspended)


def _daily_cap(command: c.Command, event: e.DailyCapSet) -> DailyCapAnswer:
    return DailyCapAnswer(APPROVED, event.lender_id, event.daily_cap_minor)


def _program_cap(command: c.Command, event: e.ProgramCapSet) -> ProgramCapAnswer:
    return ProgramCapAnswer(
        APPROVED, event.program_id, event.lender_id, event.program_cap_minor
    )


def _funds_proposed(command: c.Command, event: e.FundsProposed) -> FundsAnswer:
    return FundsAnswer(APPROVED, event.movement_id, "proposed")


def _funds_approved(command: c.Command, event: e.FundsApproved) -> FundsAnswer:
    return FundsAnswer(APPROVED, event.movement_id, "approved", event.deposit_minor)


def _funds_rejected(command: c.Command, event: e.FundsRejected) -> FundsAnswer:
    return FundsAnswer(APPROVED, event.movement_id, "rejected")


_ANSWERS: dict[type[e.Event], Callable[[Any, Any], msgspec.Struct]] = {
    e.Declined: _declined,
    e.Authorized: _authorized,
    e.AuthorizationIncremented: _changed,
    e.AuthorizationReversed: _changed,
    e.Captured: _captured,
    e.Refunded: _refunded,
    e.Repaid: _repaid,
    e.RepaymentFinal: _final,
    e.RepaymentReturned: _returned,
    e.CreditPaidOut: _paid_out,
    e.ChargesWaived: _waived,
    e.PlanExtended: _extended,
    e.SettledEarly: _repaid,
    e.WrittenOff: _written_off,
    e.WriteOffReversed: _write_off_reversed,
    e.RecoveryRecorded: _recovered,
    e.RecoveryReversed: _recovered,
    e.ClaimPaid: _claimed,
    e.ClaimReversed: _claim_reversed,
    e.AdjustmentProposed: _adjusted,
    e.AdjustmentApproved: _adjusted,
    e.AdjustmentRejected: _adjusted,
    e.HoldPlaced: _hold_placed,
    e.HoldIncreased: _hold_changed,
    e.HoldReleased: _hold_changed,
    e.AccountOpened: _account,
    e.AccountFrozen: _account,
    e.AccountUnfrozen: _account,
    e.AccountClosed: _account,
    e.LimitChanged: _limit,
    e.TemporaryLimitSet: _temporary_limit,
    e.VelocitySet: _velocity,
    e.LenderRegistered: _lender,
    e.ReserveDeposited: _reserve,
    e.ReserveWithdrawn: _reserve,
    e.ProgramRegistered: _program,
    e.MerchantRegistered: _merchant,
    e.MerchantChanged: _merchant,
    e.MerchantWithheld: _withheld,
    e.WithholdingReleased: _released,
    e.DayCut: _day_cut,
    # Lenders.
    e.ForceCaptured: _forced,
    e.AdvanceLineChanged: _advance_line,
    e.LenderSuspended: _suspension,
    e.LenderResumed: _suspension,
    e.DailyCapSet: _daily_cap,
    e.ProgramCapSet: _program_cap,
    e.FundsProposed: _funds_proposed,
    e.FundsApproved: _funds_approved,
    e.FundsRejected: _funds_rejected,
}
