"""What has happened: past tense, one struct a fact.

An event carries everything `apply` and the answer need, so that replaying it
asks no rule.  Parts are tuples in the order of the program's lenders; each
tuple sums to the amount it splits.
"""

import msgspec

from processor.commands import Direction, Share
from processor.declines import DeclineReason
from processor.schedules import Plan
from processor.tenders import TenderRefund
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


Parts = tuple[int, ...]


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=_wire_name):
    """One fact of a journal."""


class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Settlement's word that a pool has only `headroom_minor` beside the slice.

    The shard held `leased_minor` of it (received less returned, but for what was
    raised by force) when it was told: what it received since is of that headroom.
    """

    pool_id: str
    headroom_minor: int
    refusal: int
    leased_minor: int


class Declined(Event, frozen=True):
    """The command was refused, durably: the same id keeps this answer.

    `missing_minor` is the headroom that was missing, where the reason is
    money; what the amount is too much by, where the reason is that; or what it
    lacks to the quote (less than nothing: it is too much).  For the reserve and
    the caps, `lender_id` is the lender that was short and `refusal` the
    number under which settlement refused; a suspended lender is named too.  For
    a velocity limit of one category of merchants, `category` names it.  An
    authorization that was declined for money or for its account's status has an
    id, and the time of the decision, so that it can be explained.  `refusals` are
    all that stood against a partial approval, in the order they came.
    """

    reason: DeclineReason
    missing_minor: int = 0
    lender_id: str = ""
    refusal: int = 0
    category: str = ""
    authorization_id: str = ""
    at_ms: int = 0
    refusals: tuple[Refusal, ...] = ()


class Reduced(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why an authorization was approved for less than `requested_minor`.

    `limited_by` is "limit", a velocity limit (of `category`, if it is one's),
    "program_cap", "daily_cap" or "reserve": then `lender_id` was short, and
    `refusals` say so.
    """

    requested_minor: int
    limited_by: str
    category: str = ""
    lender_id: str = ""
    refusals: tuple[Refusal, ...] = ()


# Accounts.


class AccountOpened(Event, frozen=True):
    account_id: str
    program_id: str
    currency: str
    limit_minor: int
    statement_day: int = 1
    due_day: int = 21


class LimitChanged(Event, frozen=True):
    """The ordinary limit changed.

    While a temporary limit is in force, `until_day` is its last business day
    and `temporary_limit_minor` what still counts until then.
    """

    account_id: str
    limit_minor: int
    open_to_buy_minor: int
    temporary_limit_minor: int = 0
    until_day: str = ""


class TemporaryLimitSet(Event, frozen=True):
    """Another limit counts up to and with the business day `until_day`."""

    account_id: str
    limit_minor: int
    until_day: str
    ordinary_limit_minor: int
    open_to_buy_minor: int


class TemporaryLimitEnded(Event, frozen=True):
    """The ordinary limit, `limit_minor`, is back."""

    account_id: str
    limit_minor: int
    open_to_buy_minor: int


class VelocitySet(Event, frozen=True):
    """What is counted goes on from what was counted under the limits before."""

    account_id: str
    velocity: Velocity
    categories: tuple[CategoryVelocity, ...]


class AccountFrozen(Event, frozen=True):
    account_id: str


class AccountUnfrozen(Event, frozen=True):
    account_id: str


class AccountClosed(Event, frozen=True):
    account_id: str


class MerchantCharge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a capture costs its merchant and brings it; or what goes back of that.

    The fee comes off the payout and is split over `parties`; the subsidy is
    added to it and is what `payers` owe, both in minor units.
    """

    fee_minor: int
    parties: tuple[str, ...]
    fee_parts: Parts
    subsidy_minor: int
    payers: tuple[str, ...]
    subsidy_parts: Parts


# Authorizations.


class CutLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One instalment as it is cut: its days (as numbers) and what it brings.

    Interest by balance is charged when the line is billed; `interest_minor` is
    what a cut has fixed already.
    """

    bills_on: int
    due_on: int
    principal_minor: int
    fee_minor: int = 0
    interest_minor: int = 0


class Authorized(Event, frozen=True):
    """Limit and reserve are occupied; with `captured`, it is a debt already.

    From a hold, `hold_taken_minor` came out of it and `hold_released_minor`
    went back to the limit.  `credit_used_minor` of the borrower's credit
    balance paid for a captured purchase at once; `credit_parts` is how much
    of each lender's claim that paid.
    """

    authorization_id: str
    account_id: str
    merchant_id: str
    program_id: str
    program_version: int
    amount_minor: int
    parts: Parts
    expires_at_ms: int
    open_to_buy_minor: int
    captured: bool = False
    credit_used_minor: int = 0
    credit_parts: Parts = ()
    hold_id: str = ""
    hold_taken_minor: int = 0
    hold_released_minor: int = 0
    charge: MerchantCharge | None = None
    # Of a captured one: when it is billed; by a plan, its lines and what of the
    # plan's charges the merchant bears.
    bills_on: int = 0
    lines: tuple[CutLine, ...] = ()
    borne_minor: int = 0
    reduced: Reduced | None = None
    borne_parts: Parts = ()  # What the lenders earn by that.


class AuthorizationIncremented(Event, frozen=True):
    authorization_id: str
    amount_minor: int
    parts: Parts
    open_to_buy_minor: int


class Captured(Event, frozen=True):
    """A part of an authorization became a debt.

    `extra_minor` was above what was open (within tolerance) and is split like
    an increment; `released_minor` was given back because the capture was
    final.  `parts` splits the whole amount, `extra_parts` the extra alone.
    """

    authorization_id: str
    capture_id: str
    amount_minor: int
    parts: Parts
    extra_minor: int
    extra_parts: Parts
    released_minor: int
    released_parts: Parts
    credit_used_minor: int
    credit_parts: Parts
    open_to_buy_minor: int
    charge: MerchantCharge | None = None
    bills_on: int = 0
    lines: tuple[CutLine, ...] = ()
    borne_minor: int = 0
    borne_parts: Parts = ()


class AuthorizationReversed(Event, frozen=True):
    authorization_id: str
    amount_minor: int
    parts: Parts
    open_to_buy_minor: int


class AuthorizationExpired(Event, frozen=True):
    authorization_id: str
    amount_minor: int
    parts: Parts


# Holds.


class HoldPlaced(Event, frozen=True):
    hold_id: str
    account_id: str
    amount_minor: int
    expires_at_ms: int
    open_to_buy_minor: int


class HoldIncreased(Event, frozen=True):
    hold_id: str
    amount_minor: int
    open_to_buy_minor: int


class HoldReleased(Event, frozen=True):
    hold_id: str
    amount_minor: int
    open_to_buy_minor: int


class HoldExpired(Event, frozen=True):
    hold_id: str
    amount_minor: int


# Money back and money in.


class Refunded(Event, frozen=True):
    """A captured purchase went back, in part or whole.

    `parts` go back to the lenders' reserve.  `principal_minor` of it lowered
    the debt (`principal_parts`: each lender's claim), the rest,
    `credit_minor`, had been repaid already and is the borrower's credit.
    `purchase_day` is the business day of the purchase.

    By lines, if the purchase has any: what came off each principal, how much of
    that had been paid, and the same of each fee.  `fee_credit_parts` is what the
    lenders give back of paid fees, `borne_minor` what the merchant gets back of
    the charges it bore, out of each lender's `borne_parts`.  `tenders` is what
    goes back to each tender of an order; the credit line's is `amount_minor`,
    which may be 0 then.
    """

    authorization_id: str
    refund_id: str
    amount_minor: int
    parts: Parts
    principal_minor: int
    principal_parts: Parts
    credit_minor: int
    purchase_day: str
    open_to_buy_minor: int
    charge_back: MerchantCharge | None = None
    line_parts: Parts = ()
    line_credits: Parts = ()
    fee_parts: Parts = ()
    fee_credits: Parts = ()
    fee_credit_parts: Parts = ()
    borne_minor: int = 0
    tenders: tuple[TenderRefund, ...] = ()
    borne_parts: Parts = ()


class Allocation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What was paid of one line of one purchase.

    `amount_minor` is principal, `parts` each lender's claim of it;
    `charge_parts` is each lender's part of interest, fee and penalty together.
    `line` counts from 1; 0 is the whole of a purchase that has no lines.
    """

    authorization_id: str
    amount_minor: int
    parts: Parts
    line: int = 0
    interest_minor: int = 0
    fee_minor: int = 0
    penalty_minor: int = 0
    charge_parts: Parts = ()

    @property
    def charges_minor(self) -> int:
        """Interest, fee and penalty together."""
        return self.interest_minor + self.fee_minor + self.penalty_minor

    @property
    def total_minor(self) -> int:
        """All that was paid."""
        return self.amount_minor + self.charges_minor


class Undone(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the reversal of one allocation opens again.

    What a refund has turned into credit meanwhile is not owed again: it is taken
    back from the credit balance.  `parts` and `charge_parts` are the lenders' of
    what is owed again.
    """

    amount_minor: int
    parts: Parts
    fee_minor: int
    charge_parts: Parts
    credit_minor: int


class Repaid(Event, frozen=True):
    """Money came in: by the program's order, the rest is credit.

    From a merchant's payout, when it names the merchant and the withholding.
    """

    account_id: str
    repayment_id: str
    amount_minor: int
    allocations: tuple[Allocation, ...]
    credit_minor: int
    open_to_buy_minor: int
    withheld_from: str = ""
    withholding_id: str = ""
    provisional: bool = False


class RepaymentFinal(Event, frozen=True):
    repayment_id: str
    account_id: str


class LineRestored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is back on one line, and what of it was refunded meanwhile."""

    line: int
    principal_minor: int
    refunded_minor: int
    fee_minor: int
    fee_back_minor: int
    interest_minor: int


class PlanRestored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A plan goes on that an early settlement had ended, without that one's `line`.

    `charges_minor` is what is billed of charges after it, less before it.
    """

    authorization_id: str
    line: int
    lines: tuple[LineRestored, ...]
    charges_minor: int


class RepaymentReturned(Event, frozen=True):
    """A repayment bounced: its allocations are undone, one by one.

    `credit_minor` came off the credit balance, below zero if it was spent.  Of an
    early settlement the `plans` are restored then.
    """

    repayment_id: str
    account_id: str
    amount_minor: int
    undone: tuple[Undone, ...]
    credit_minor: int
    open_to_buy_minor: int
    plans: tuple[PlanRestored, ...] = ()


class CreditUsed(Event, frozen=True):
    """The borrower's credit balance paid what was billed."""

    account_id: str
    amount_minor: int
    allocations: tuple[Allocation, ...]


class CreditPaidOut(Event, frozen=True):
    account_id: str
    amount_minor: int
    credit_minor: int  # After it.
    open_to_buy_minor: int


# Debts in time.


class BilledLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line on a statement: what of it is unpaid on that day."""

    authorization_id: str
    line: int
    principal_minor: int
    interest_minor: int
    fee_minor: int


class StatementIssued(Event, frozen=True):
    """An account was billed: what is new, what is past due, and until when.

    Days are numbers.  Due is all that is billed and unpaid, past due included,
    less the credit balance; the minimum is of it.  `carried_minor` is what was
    billed before and falls due anew, because the minimum was paid.
    `overdrawn_minor` is what the credit balance is below zero and no statement
    has billed before.
    """

    account_id: str
    statement_on: int
    due_on: int
    lines: tuple[BilledLine, ...]
    past_due_minor: int
    due_minor: int
    minimum_due_minor: int
    credit_minor: int
    outstanding_minor: int
    carried_minor: int = 0
    overdrawn_minor: int = 0


class LineCharge(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An amount on one line of one purchase."""

    authorization_id: str
    line: int
    amount_minor: int


class PenaltyCharged(Event, frozen=True):
    """What late lines cost, up to and including day `through_on`."""

    account_id: str
    through_on: int
    charges: tuple[LineCharge, ...]


class DueMoved(Event, frozen=True):
    """The minimum was paid: what is left of these lines falls due later."""

    account_id: str
    due_on: int
    lines: tuple[LineCharge, ...]


class ChargesWaived(Event, frozen=True):
    """Interest or penalty that was billed is not owed any more."""

    account_id: str
    charge: Waivable
    amount_minor: int
    charges: tuple[LineCharge, ...]


class Recut(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is not billed of a purchase, cut anew."""

    authorization_id: str
    lines: tuple[CutLine, ...]


class PlanExtended(Event, frozen=True):
    """What was not billed is spread over other periods; the fee is in the lines."""

    account_id: str
    authorization_id: str
    fee_minor: int
    recut: Recut


class SettledEarly(Event, frozen=True):
    """One purchase or all were paid off before they were due.

    `credit_minor` of it filled an overdrawn credit balance.
    """

    account_id: str
    repayment_id: str
    amount_minor: int
    fee_minor: int
    recuts: tuple[Recut, ...]
    allocations: tuple[Allocation, ...]
    open_to_buy_minor: int
    provisional: bool = False
    credit_minor: int = 0


# Debts that are not paid by the borrower, and corrections.


class LenderAmount(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One lender's part, by name."""

    lender_id: str
    amount_minor: int


class WrittenOff(Event, frozen=True):
    """What an account owed was given up; it is frozen from now on.

    `credit_minor` of it was an overdrawn credit balance: the platform's loss.
    """

    account_id: str
    write_off_id: str
    amount_minor: int
    allocations: tuple[Allocation, ...]
    open_to_buy_minor: int
    credit_minor: int = 0


class WriteOffReversed(Event, frozen=True):
    write_off_id: str
    account_id: str
    amount_minor: int
    undone: tuple[Undone, ...]
    credit_minor: int
    open_to_buy_minor: int


class RecoveryRecorded(Event, frozen=True):
    """Money came in on what was written off; who lost it has it."""

    account_id: str
    recovery_id: str
    amount_minor: int
    parts: tuple[LenderAmount, ...]
    platform_minor: int = 0


class RecoveryReversed(Event, frozen=True):
    recovery_id: str
    account_id: str
    amount_minor: int


class ClaimPaid(Event, frozen=True):
    """A guarantor paid the lenders for the borrower, who owes him now."""

    account_id: str
    claim_id: str
    guarantor_id: str
    amount_minor: int
    allocations: tuple[Allocation, ...]
    open_to_buy_minor: int


class ClaimReversed(Event, frozen=True):
    claim_id: str
    account_id: str
    amount_minor: int
    undone: tuple[Undone, ...]
    credit_minor: int
    open_to_buy_minor: int


class AdjustmentProposed(Event, frozen=True):
    adjustment_id: str
    account_id: str
    side: Side
    amount_minor: int
    corrects: str


class AdjustmentApproved(Event, frozen=True):
    adjustment_id: str
    account_id: str
    credit_minor: int  # What it adds to the credit balance; negative: a debit.
    open_to_buy_minor: int


class AdjustmentRejected(Event, frozen=True):
    adjustment_id: str
    account_id: str


# Settlement and its shards.


class LenderRegistered(Event, frozen=True):
    lender_id: str
    currency: str
    name: str
    advance_line_minor: int
    requires_checker: bool = False


class ReserveDeposited(Event, frozen=True):
    lender_id: str
    amount_minor: int
    deposit_minor: int  # After it.


class ReserveWithdrawn(Event, frozen=True):
    lender_id: str
    amount_minor: int
    deposit_minor: int  # After it.


class ProgramRegistered(Event, frozen=True):
    program_id: str
    version: int
    currency: str
    shares: tuple[Share, ...]
    authorization_expiry_seconds: int
    hold_expiry_seconds: int
    capture_tolerance_ppm: int
    plans: tuple[Plan, ...] = ()
    terms: Terms = Terms()
    cap_ppm: int | None = None


class MerchantRegistered(Event, frozen=True):
    """The first version of a merchant's terms, if it has any."""

    merchant_id: str
    name: str
    terms: MerchantTerms | None = None


class MerchantChanged(Event, frozen=True):
    """The next version of a merchant's terms."""

    merchant_id: str
    name: str
    terms: MerchantTerms
    version: int


class MerchantWithheld(Event, frozen=True):
    """Of `amount_minor` asked for, `withheld_minor` came off a merchant's payout.

    Nothing was there to be withheld when the id is empty.
    """

    withholding_id: str
    account_id: str
    merchant_id: str
    amount_minor: int
    currency: str
    withheld_minor: int


class WithholdingReleased(Event, frozen=True):
    """A merchant has back what was withheld."""

    withholding_id: str
    merchant_id: str
    currency: str
    released_minor: int


class ShardJoined(Event, frozen=True):
    """A shard's journal was seen for the first time; it may never be missing."""

    shard: int
    journal_id: str


class ShardProgressed(Event, frozen=True):
    """A shard's journal has come this far: one that ends before is an old copy."""

    shard: int
    epoch: int
    sequence: int


class SliceGranted(Event, frozen=True):
    """Headroom leased: `granted_minor` is the total ever granted to the shard.

    `pool_id` (`pools.py`) is the lender whose reserve it is, or a cap.
    """

    shard: int
    pool_id: str
    granted_minor: int
    # How far the shard's journal had come when it asked.
    shard_epoch: int
    shard_sequence: int


class SliceCredited(Event, frozen=True):
    """Headroom back: `returned_minor` is the total the shard ever returned."""

    shard: int
    pool_id: str
    returned_minor: int


class CutPoint(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one shard had free of one pool, right after one of its records."""

    shard: int
    epoch: int
    sequence: int
    received_minor: int
    returned_minor: int
    free_minor: int


class ReserveRefused(Event, frozen=True):
    """A certificate: no headroom was left for `needed_minor` anywhere.

    All shards answered one recall: the cut says what each still had free, and
    `unleased_minor` is what settlement had.  Asked by shard `shard` under
    `ask`, or by settlement itself (shard -1), as for a withdrawal.
    """

    refusal: int
    shard: int
    ask: int
    pool_id: str
    needed_minor: int
    unleased_minor: int
    cut: tuple[CutPoint, ...]


class SliceReceived(Event, frozen=True):
    """A shard's receipt, durable before use: the total ever received.

    `forced_minor` of it, in all, was raised for forced captures.
    """

    pool_id: str
    received_minor: int
    forced_minor: int = 0


class SliceReturned(Event, frozen=True):
    """A shard gave headroom back, durable before it tells: the total returned."""

    pool_id: str
    returned_minor: int


class LenderTotals(msgspec.Struct, gc=False):
    """One lender's business day on one shard, or on all of them, in minor units.

    `refunded_minor` went back to the reserve; `claim_repaid_minor` lowered
    what borrowers owe the lender by repayment or credit, `claim_refunded_minor`
    by refund.  `charges_minor` is its part of the interest, fees and penalties
    that were paid, by borrowers or by merchants, `written_off_minor` and
    `recovered_minor` what was given up of its claims and what came in on that
    later.
    """

    captured_minor: int = 0
    refunded_minor: int = 0
    claim_repaid_minor: int = 0
    claim_refunded_minor: int = 0
    charges_minor: int = 0
    written_off_minor: int = 0
    recovered_minor: int = 0


class MerchantTotals(msgspec.Struct, gc=False):
    """One merchant's business day, in minor units.

    `payout_minor` is by currency what it is owed for the day: captured -
    refunded - fee + fee back + subsidy - subsidy back - borne.
    """

    captured_minor: int = 0
    captured_count: int = 0
    refunded_minor: int = 0
    refunded_count: int = 0
    fee_minor: int = 0
    fee_back_minor: int = 0
    subsidy_minor: int = 0
    subsidy_back_minor: int = 0
    payout_minor: dict[str, int] = {}
    borne_minor: int = 0  # Of its customers' plans, less what came back.

    def pay_out(self, currency: str, amount_minor: int) -> None:
        """Owe the merchant more, or less when it is negative."""
        payout = self.payout_minor
        payout[currency] = payout.get(currency, 0) + amount_minor


class PartyTotals(msgspec.Struct, gc=False):
    """What one party had of merchants' fees, and gave back, in minor units."""

    fee_minor: int = 0
    fee_back_minor: int = 0


class PayerTotals(msgspec.Struct, gc=False):
    """What one payer owes of subsidies, and is given back, in minor units."""

    subsidy_minor: int = 0
    subsidy_back_minor: int = 0


class DayTotals(msgspec.Struct, gc=False):
    """A business day in totals; amounts by lender and by merchant id.

    Those of the parties to fees and the payers of subsidies are by id and
    then by currency.
    """

    lenders: dict[str, LenderTotals] = {}
    merchants: dict[str, MerchantTotals] = {}
    authorized_count: int = 0
    declined_count: int = 0
    repaid_minor: int = 0
    repaid_count: int = 0
    returned_minor: int = 0
    returned_count: int = 0
    parties: dict[str, dict[str, PartyTotals]] = {}
    payers: dict[str, dict[str, PayerTotals]] = {}


class DayMoved(Event, frozen=True):
    """A shard's last record of `day`; its next record belongs to `next_day`."""

    day: str
    next_day: str
    totals: DayTotals


class DayCut(Event, frozen=True):
    """Settlement ended `day`; it closes when every shard has reported."""

    day: str
    next_day: str


class ShardDayReported(Event, frozen=True):
    """One shard's day ended with record `sequence` of its journal."""

    day: str
    shard: int
    sequence: int
    totals: DayTotals


class DayClosed(Event, frozen=True):
    """All shards have reported; the totals of all of them."""

    day: str
    totals: DayTotals


# Lenders: lines, caps, suspension, funds, and what is captured by force.


class ForceCaptured(Event, frozen=True):
    """A purchase was booked because its goods are gone.

    `authorization_id` is an open one, of which `taken_minor` was captured, or
    a new purchase, expiring at once; `extra_minor` is split like an increment
    and stands in `extra_parts`.  `over_limit_minor` is how far the account is
    beyond its limit after it, `lender_advance_minor` what settlement had to
    raise the lenders' headroom by.
    """

    authorization_id: str
    capture_id: str
    account_id: str
    merchant_id: str
    program_id: str
    program_version: int
    amount_minor: int
    parts: Parts
    extra_minor: int
    extra_parts: Parts
    credit_used_minor: int
    credit_parts: Parts
    open_to_buy_minor: int
    over_limit_minor: int
    lender_advance_minor: int
    is_new: bool
    expires_at_ms: int
    charge: MerchantCharge | None = None
    bills_on: int = 0
    lines: tuple[CutLine, ...] = ()
    borne_minor: int = 0
    borne_parts: Parts = ()


class AdvanceLineChanged(Event, frozen=True):
    lender_id: str
    advance_line_minor: int


class LenderSuspended(Event, frozen=True):
    lender_id: str


class LenderResumed(Event, frozen=True):
    lender_id: str


class DailyCapSet(Event, frozen=True):
    """What may be authorized for a lender in a business day; None: no cap."""

    lender_id: str
    daily_cap_minor: int | None


class ProgramCapSet(Event, frozen=True):
    """What a lender may have lent out through a program; None: no cap.

    It is leased from a pool of its own, which takes the place of the one before.
    """

    program_id: str
    lender_id: str
    program_cap_minor: int | None
    pool_id: str  # "" without a cap.


class ProgramCapCovered(Event, frozen=True):
    """What was lent out when a cap was set fits into it, and is leased now.

    The cut says what every shard had lent out beyond its slice: free, below
    zero.  Before this nothing new is lent under the cap.
    """

    pool_id: str
    cut: tuple[CutPoint, ...]


class AdvanceForced(Event, frozen=True):
    """A forced capture needed more than there was: headroom was raised.

    The cut says what each shard had, like a refusal's; `unleased_minor` was
    with settlement.  What was missing of `needed_minor` is paid for the lender
    beyond its line; `forced_minor` is all of that, after it.
    """

    shard: int
    ask: int
    lender_id: str
    needed_minor: int
    unleased_minor: int
    forced_minor: int
    cut: tuple[CutPoint, ...]


class ForcedAdvanceRepaid(Event, frozen=True):
    """Headroom came back: it first ends what was forced beyond the line."""

    lender_id: str
    amount_minor: int
    forced_minor: int  # After it.


class FundsProposed(Event, frozen=True):
    """Somebody wants a lender's money moved; `proposed_by` is the caller."""

    movement_id: str
    lender_id: str
    direction: Direction
    amount_minor: int
    reference: str
    proposed_by: str


class FundsApproved(Event, frozen=True):
    """Another caller approved, and the money is moved."""

    movement_id: str
    lender_id: str
    direction: Direction
    amount_minor: int
    deposit_minor: int  # After it.
    approved_by: str


class FundsRejected(Event, frozen=True):
    movement_id: str
    rejected_by: str


ReferenceFact = (
    LenderRegistered
    | ProgramRegistered
    | MerchantRegistered
    | MerchantChanged
    # Lenders.
    | LenderSuspended
    | LenderResumed
    | DailyCapSet
    | ProgramCapSet
)


class ReferenceReceived(Event, frozen=True):
    """A shard's copy of settlement's reference data reached `version`."""

    version: int
    facts: tuple[ReferenceFact, ...]


ShardEvent = (
    Declined
    | AccountOpened
    | LimitChanged
    | TemporaryLimitSet
    | TemporaryLimitEnded
    | VelocitySet
    | AccountFrozen
    | AccountUnfrozen
    | AccountClosed
    | Authorized
    | AuthorizationIncremented
    | Captured
    | AuthorizationReversed
    | AuthorizationExpired
    | HoldPlaced
    | HoldIncreased
    | HoldReleased
    | HoldExpired
    | Refunded
    | Repaid
    # Debts.
    | RepaymentFinal
    | RepaymentReturned
    | CreditUsed
    | CreditPaidOut
    | StatementIssued
    | PenaltyCharged
    | DueMoved
    | ChargesWaived
    | PlanExtended
    | SettledEarly
    | WrittenOff
    | WriteOffReversed
    | RecoveryRecorded
    | RecoveryReversed
    | ClaimPaid
    | ClaimReversed
    | AdjustmentProposed
    | AdjustmentApproved
    | AdjustmentRejected
    | SliceReceived
    | SliceReturned
    | DayMoved
    | ReferenceReceived
    # Lenders.
    | ForceCaptured
)
SettlementEvent = (
    Declined
    | LenderRegistered
    | ReserveDeposited
    | ReserveWithdrawn
    | ProgramRegistered
    | MerchantRegistered
    | ShardJoined
    | ShardProgressed
    | SliceGranted
    | SliceCredited
    | ReserveRefused
    | DayCut
    | ShardDayReported
    | DayClosed
    # Lenders.
    | AdvanceLineChanged
    | LenderSuspended
    | LenderResumed
    | DailyCapSet
    | ProgramCapSet
    | ProgramCapCovered
    | AdvanceForced
    | ForcedAdvanceRepaid
    | FundsProposed
    | FundsApproved
    | FundsRejected
    | MerchantChanged
    | MerchantWithheld
    | WithholdingReleased
)
