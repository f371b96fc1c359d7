"""What may be asked of the processor: imperative, one struct a wish.

A command is addressed by one of its fields (`ROUTED_BY`): an account id or an
id the processor made goes to the shard of its slot, the rest to settlement.
The gateway has checked forms and bounds before a command exists, so here the
types are plain.  Amounts are positive integers of minor units.
"""

from enum import StrEnum
from typing import ClassVar

import msgspec

from processor.schedules import Plan
from processor.tenders import Tender
from processor.terms import (
    CategoryVelocity,
    MerchantTerms,
    Side,
    Terms,
    Velocity,
    Waivable,
)


def _wire_name(class_name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in class_name)[1:]


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=_wire_name):
    """Who asks, and under which id; the same id is the same wish for ever.

    `caller` names the owner of the API key, `request_id` is the caller's
    Idempotency-Key.
    """

    ROUTED_BY: ClassVar[str] = ""  # Settlement, unless said otherwise.
    INTERNAL: ClassVar[tuple[str, ...]] = ()  # Fields no caller may fill in.

    caller: str
    request_id: str

    @classmethod
    def wire_name(cls) -> str:
        """The name in bulk requests, journals and documents."""
        return _wire_name(cls.__name__)


# To a shard, by account.


class OpenAccount(Command, frozen=True):
    """Open one borrower's line with one program.

    On `statement_day` of each month (1 to 28) the account is billed, on the
    `due_day` that follows the bill is due.
    """

    ROUTED_BY = "account_id"

    account_id: str
    program_id: str
    currency: str
    limit_minor: int
    statement_day: int = 1
    due_day: int = 21


class ChangeLimit(Command, frozen=True):
    """Set the limit.  Below what is occupied is allowed: over limit, no new yes.

    While a temporary limit is in force this is the limit that comes back after
    it.
    """

    ROUTED_BY = "account_id"

    account_id: str
    limit_minor: int


class SetTemporaryLimit(Command, frozen=True):
    """Another limit from now up to and with a business day (ISO date).

    Then the ordinary limit is back.  A second one replaces the first.
    """

    ROUTED_BY = "account_id"

    account_id: str
    limit_minor: int
    until_day: str


class SetVelocity(Command, frozen=True):
    """Limit how much may be bought: in a purchase, a business day, a month.

    For all merchants together, and for those of a category.  Replaces what was
    set before; with no limit at all there are none.  What was approved before
    an account or a category had limits does not count; refunds give nothing
    back.
    """

    ROUTED_BY = "account_id"

    account_id: str
    velocity: Velocity
    categories: tuple[CategoryVelocity, ...] = ()


class FreezeAccount(Command, frozen=True):
    """Stop new holds and authorizations; what exists goes on."""

    ROUTED_BY = "account_id"

    account_id: str


class UnfreezeAccount(Command, frozen=True):
    """Allow new holds and authorizations again; not while debt is written off."""

    ROUTED_BY = "account_id"

    account_id: str


class CloseAccount(Command, frozen=True):
    """Close for ever; only when nothing is occupied, owed or in credit."""

    ROUTED_BY = "account_id"

    account_id: str


class Authorize(Command, frozen=True):
    """Occupy the limit and every lender's reserve for a purchase.

    With `capture` the purchase becomes a debt at once.  With `plan_id` it is
    repaid by that plan of the program, otherwise with the next statement.
    `tenders` are all that paid the order, if this purchase is one of several:
    exactly one of them is the credit line, with this amount.
    With `partial` the most that fits is approved when not all of it does; not of
    an order.
    """

    ROUTED_BY = "account_id"

    account_id: str
    merchant_id: str
    amount_minor: int
    currency: str
    capture: bool = False
    reference: str = ""
    plan_id: str = ""
    tenders: tuple[Tender, ...] = ()
    partial: bool = False


class PlaceHold(Command, frozen=True):
    """Occupy the limit only; no lender money yet."""

    ROUTED_BY = "account_id"

    account_id: str
    amount_minor: int
    currency: str
    reference: str = ""


class Repay(Command, frozen=True):
    """Money in from the borrower; restores the limit at once.

    Paid by the program's order, or, with `authorization_id`, that purchase
    alone; what is left is the borrower's credit.  A `provisional` one (a direct
    debit that may bounce) can be returned until it is final.

    The gateway alone fills in the last two: money that was withheld from a
    merchant's payout, and as what.  It is here already, so that is never
    provisional.
    """

    ROUTED_BY = "account_id"
    INTERNAL = ("withheld_from", "withholding_id")

    account_id: str
    amount_minor: int
    currency: str
    reference: str = ""
    authorization_id: str = ""
    provisional: bool = False
    withheld_from: str = ""
    withholding_id: str = ""


class SettleEarly(Command, frozen=True):
    """Pay off one purchase, or all, before it is due.

    The amount must be exactly what the quote says: all principal, all that is
    billed, the running period's interest, all fees, and the early fee.
    """

    ROUTED_BY = "account_id"

    account_id: str
    amount_minor: int
    currency: str
    authorization_id: str = ""
    reference: str = ""
    provisional: bool = False


class PayOutCredit(Command, frozen=True):
    """Pay the borrower's credit balance out: all of it, or a part."""

    ROUTED_BY = "account_id"

    account_id: str
    amount_minor: int | None = None
    reference: str = ""


class WaiveCharges(Command, frozen=True):
    """Forgive interest or penalty that is billed and unpaid: all, or a part."""

    ROUTED_BY = "account_id"

    account_id: str
    charge: Waivable
    amount_minor: int | None = None
    authorization_id: str = ""
    reference: str = ""


class WriteOff(Command, frozen=True):
    """Give up what an account owes, all of it; the account is frozen."""

    ROUTED_BY = "account_id"

    account_id: str
    reference: str = ""


class RecordRecovery(Command, frozen=True):
    """Money in on what was written off."""

    ROUTED_BY = "account_id"

    account_id: str
    amount_minor: int
    currency: str
    reference: str = ""


class PayClaim(Command, frozen=True):
    """A guarantor pays the lenders what an account owes; he is owed it now."""

    ROUTED_BY = "account_id"

    account_id: str
    guarantor_id: str
    amount_minor: int
    currency: str
    reference: str = ""


class ProposeAdjustment(Command, frozen=True):
    """Propose to correct what the borrower has or owes, beside every rule.

    A credit raises his credit balance, a debit lowers it (below zero: he owes
    it).  `corrects` names what it corrects.  Nothing happens before another
    caller approves it.
    """

    ROUTED_BY = "account_id"

    account_id: str
    side: Side
    amount_minor: int
    currency: str
    corrects: str
    reference: str = ""


# To a shard, by an id the processor made.


class IncrementAuthorization(Command, frozen=True):
    """Authorize more on an open authorization."""

    ROUTED_BY = "authorization_id"

    authorization_id: str
    amount_minor: int


class CaptureAuthorization(Command, frozen=True):
    """Turn an authorization into a debt: all that is open, or a part.

    `final` gives back what remains.  Up to the program's tolerance above what
    was authorized is allowed.
    """

    ROUTED_BY = "authorization_id"

    authorization_id: str
    amount_minor: int | None = None
    final: bool = False


class ReverseAuthorization(Command, frozen=True):
    """Give back what is open and not captured: all of it, or a part."""

    ROUTED_BY = "authorization_id"

    authorization_id: str
    amount_minor: int | None = None


class Refund(Command, frozen=True):
    """Give back a captured purchase: all that is left of it, or a part.

    With `of_order` the amount is of the whole order, and the allocator says how
    much of it goes back to which tender, this purchase among them.
    """

    ROUTED_BY = "authorization_id"

    authorization_id: str
    amount_minor: int | None = None
    reference: str = ""
    of_order: bool = False


class ExtendPlan(Command, frozen=True):
    """Spread what is not billed of a purchase over other periods, for a fee."""

    ROUTED_BY = "authorization_id"

    authorization_id: str
    periods: int


class FinalizeRepayment(Command, frozen=True):
    """A provisional repayment can bounce no more."""

    ROUTED_BY = "repayment_id"

    repayment_id: str


class ReturnRepayment(Command, frozen=True):
    """A provisional repayment bounced: undo exactly what it paid."""

    ROUTED_BY = "repayment_id"

    repayment_id: str
    reference: str = ""


class ReverseWriteOff(Command, frozen=True):
    """The write-off was wrong: what it gave up is owed again."""

    ROUTED_BY = "write_off_id"

    write_off_id: str


class ReverseRecovery(Command, frozen=True):
    """The recovery was wrong or bounced."""

    ROUTED_BY = "recovery_id"

    recovery_id: str


class ReverseClaim(Command, frozen=True):
    """The guarantor takes his payment back: the borrower owes the lenders again."""

    ROUTED_BY = "claim_id"

    claim_id: str


class ApproveAdjustment(Command, frozen=True):
    """Book a proposed adjustment; never by the caller who proposed it."""

    ROUTED_BY = "adjustment_id"

    adjustment_id: str


class RejectAdjustment(Command, frozen=True):
    """Drop a proposed adjustment."""

    ROUTED_BY = "adjustment_id"

    adjustment_id: str


class IncreaseHold(Command, frozen=True):
    """Hold more of the limit."""

    ROUTED_BY = "hold_id"

    hold_id: str
    amount_minor: int


class ReleaseHold(Command, frozen=True):
    """Give held limit back: all of it, or a part."""

    ROUTED_BY = "hold_id"

    hold_id: str
    amount_minor: int | None = None


class ConvertHold(Command, frozen=True):
    """Turn held limit into an authorization: all of it, or a part.

    What is not converted stays held, unless `final` releases it.
    """

    ROUTED_BY = "hold_id"

    hold_id: str
    merchant_id: str
    amount_minor: int | None = None
    capture: bool = False
    final: bool = False
    reference: str = ""
    plan_id: str = ""


# To settlement.


class RegisterLender(Command, frozen=True):
    """Add a funder; its reserve starts empty.

    With `requires_checker` its money moves only by funds movements that one
    caller has proposed and another approved.
    """

    lender_id: str
    currency: str
    name: str = ""
    advance_line_minor: int = 0
    requires_checker: bool = False


class DepositReserve(Command, frozen=True):
    """Record a lender's deposit: headroom rises at once."""

    lender_id: str
    amount_minor: int


class WithdrawReserve(Command, frozen=True):
    """Pay deposit back to a lender; only what is neither used nor promised."""

    lender_id: str
    amount_minor: int


class Share(msgspec.Struct, frozen=True, gc=False):
    """One lender's part of each purchase, in parts per million.

    `floor_ppm` is the least that a regulator allows it to be; 0: no floor.
    """

    lender_id: str
    share_ppm: int
    floor_ppm: int = 0


class RegisterProgram(Command, frozen=True):
    """Add a product, or its next version when `replaces_version` names the last.

    Shares sum to 1 000 000; none is below its floor, or above `cap_ppm` if there
    is one.  Expiries are in seconds, the tolerance is what a capture may exceed
    its authorization by, in parts per million.  `plans` are the instalment plans
    a purchase may choose from, `terms` hold for all.
    """

    program_id: str
    currency: str
    shares: tuple[Share, ...]
    authorization_expiry_seconds: int = 7 * 24 * 3_600
    hold_expiry_seconds: int = 24 * 3_600
    capture_tolerance_ppm: int = 0
    replaces_version: int = 0
    plans: tuple[Plan, ...] = ()
    terms: Terms = Terms()
    cap_ppm: int | None = None


class RegisterMerchant(Command, frozen=True):
    """Add a merchant at which purchases may be authorized."""

    merchant_id: str
    name: str = ""
    pricing: MerchantTerms | None = None


class ChangeMerchant(Command, frozen=True):
    """Give a merchant new terms: for captures from then on, on every shard.

    What was captured before keeps the terms of its time.  Without `name` the
    merchant keeps its own.
    """

    merchant_id: str
    pricing: MerchantTerms
    name: str | None = None


class WithholdFromMerchant(Command, frozen=True):
    """Repay an account out of what a merchant is owed for closed days.

    What the merchant is not owed is left, to be debited from the borrower.
    This is the first step: the amount, or what there is of it, is taken off
    the merchant's payout; the repayment of the account must follow.
    """

    account_id: str
    merchant_id: str
    amount_minor: int
    currency: str


class ReleaseWithholding(Command, frozen=True):
    """Give a merchant back what was withheld: the repayment was declined."""

    withholding_id: str


# Lenders: lines, caps, suspension, funds, and what is captured by force.


class ForceCapture(Command, frozen=True):
    """Book a purchase whose goods are gone: no limit, status or reserve stops it.

    What is open of `authorization_id`, when that is an open authorization of
    the account at the merchant, is used up first.
    """

    ROUTED_BY = "account_id"

    account_id: str
    merchant_id: str
    amount_minor: int
    currency: str
    reference: str = ""
    authorization_id: str = ""


class ChangeAdvanceLine(Command, frozen=True):
    """Set what may be paid for a lender beyond its deposit.

    Lowered only as far as it is neither used nor promised.
    """

    lender_id: str
    advance_line_minor: int


class SuspendLender(Command, frozen=True):
    """Stop new authorizations under every program with the lender."""

    lender_id: str


class ResumeLender(Command, frozen=True):
    """Allow new authorizations for the lender again."""

    lender_id: str


class SetDailyCap(Command, frozen=True):
    """Bound what may be newly authorized for a lender in a business day.

    None: no cap.  Never below what is used of it on the day.
    """

    lender_id: str
    daily_cap_minor: int | None = None


class SetProgramCap(Command, frozen=True):
    """Bound what a lender may have lent out through a program, all at once.

    None: no cap.  Below what is lent out already nothing new is lent until
    enough of it has come back.
    """

    program_id: str
    lender_id: str
    program_cap_minor: int | None = None


class Direction(StrEnum):
    """Where the money of a funds movement goes: to the reserve, or out of it."""

    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


class ProposeFunds(Command, frozen=True):
    """Ask for money of a lender to be moved; somebody else must approve it."""

    movement_id: str
    lender_id: str
    direction: Direction
    amount_minor: int
    reference: str = ""


class ApproveFunds(Command, frozen=True):
    """Move the money that somebody else has proposed to move."""

    movement_id: str


class RejectFunds(Command, frozen=True):
    """End a proposal without moving money."""

    movement_id: str


class CloseDay(Command, frozen=True):
    """Cut the business day (ISO date) and open the next: the day after, or later."""

    day: str
    next_day: str | None = None


AccountCommand = (
    OpenAccount
    | ChangeLimit
    | SetTemporaryLimit
    | SetVelocity
    | FreezeAccount
    | UnfreezeAccount
    | CloseAccount
    | Authorize
    | PlaceHold
    | Repay
    | IncrementAuthorization
    | CaptureAuthorization
    | ReverseAuthorization
    | Refund
    | IncreaseHold
    | ReleaseHold
    | ConvertHold
    # Debts.
    | SettleEarly
    | PayOutCredit
    | WaiveCharges
    | WriteOff
    | RecordRecovery
    | PayClaim
    | ProposeAdjustment
    | ExtendPlan
    | FinalizeRepayment
    | ReturnRepayment
    | ReverseWriteOff
    | ReverseRecovery
    | ReverseClaim
    | ApproveAdjustment
    | RejectAdjustment
    # Lenders.
    | ForceCapture
)
SettlementCommand = (
    RegisterLender
    | DepositReserve
    | WithdrawReserve
    | RegisterProgram
    | RegisterMerchant
    | CloseDay
    # Lenders.
    | ChangeAdvanceLine
    | SuspendLender
    | ResumeLender
    | SetDailyCap
    | SetProgramCap
    | ProposeFunds
    | ApproveFunds
    | RejectFunds
    | ChangeMerchant
    | WithholdFromMerchant
    | ReleaseWithholding
)
