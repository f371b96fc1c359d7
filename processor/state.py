"""What a shard knows: accounts, what they have open, and the slices it leases.

Changed by `apply` alone.  Everything here is rebuilt from the journal, so
nothing here may come from anywhere else.
"""

from enum import StrEnum
from typing import Any, Final, TypeVar

import msgspec

from processor import limits
from processor.calendar import number_of
from processor.declines import DeclineReason
from processor.events import (
    Allocation,
    DayTotals,
    Declined,
    LenderAmount,
    LenderTotals,
    MerchantTotals,
    Parts,
    PartyTotals,
    PayerTotals,
)
from processor.paged import Paged, Shelf
from processor.schedules import Plan
from processor.tenders import Tender, TenderRefund
from processor.terms import MerchantTerms, Side, Terms, Velocity

NEVER = 1 << 40  # A day that does not come.


class AccountStatus(StrEnum):
    """Whether an account may take on new purchases."""

    OPEN = "open"
    FROZEN = "frozen"
    CLOSED = "closed"


class AuthorizationStatus(StrEnum):
    """Where an authorization is in its life; what is captured stays refundable."""

    OPEN = "open"
    CAPTURED = "captured"
    REVERSED = "reversed"
    EXPIRED = "expired"


class HoldStatus(StrEnum):
    """Where a limit hold is in its life."""

    OPEN = "open"
    CONVERTED = "converted"
    RELEASED = "released"
    EXPIRED = "expired"


class Statement(msgspec.Struct, array_like=True, gc=False):
    """What an account was billed; days as numbers."""

    statement_on: int
    due_on: int
    new_principal_minor: int
    new_interest_minor: int
    new_fee_minor: int
    past_due_minor: int
    due_minor: int
    minimum_due_minor: int
    credit_minor: int
    outstanding_minor: int
    carried_minor: int
    overdrawn_minor: int


class Overdrawn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What of an overdrawn credit balance one statement billed, and until when."""

    due_on: int
    amount_minor: int


class Debt(msgspec.Struct, array_like=True, gc=False):
    """What an account that owes, or has owed, is billed.

    `minimum_left_minor` is what is to be paid of the last statement for the rest
    not to be late.  `overdrawn` is what was billed of an overdrawn credit
    balance and is not paid, the earliest due first.
    """

    next_statement_on: int
    minimum_left_minor: int = 0
    statements: list[Statement] = []
    overdrawn: list[Overdrawn] = []


class Lost(msgspec.Struct, array_like=True, gc=False):
    """What an account's write-offs cost, less what was recovered, by whose it was."""

    lenders: dict[str, int]
    platform_minor: int = 0


class Meter(msgspec.Struct, array_like=True, gc=False):
    """Velocity limits, and what was approved under them, in minor units.

    `day` is the business day of the last count, so both counts are zero in a
    later day or month.  Purchases made before record `since` do not count.
    """

    bounds: Velocity
    since: int
    day: str = ""
    day_minor: int = 0
    month_minor: int = 0


class Headroom(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one velocity limit left to a purchase; negative when exceeded.

    `reason` is the decline it gives; `category` is empty for all merchants.
    """

    reason: DeclineReason
    category: str
    left_minor: int


class AccountVelocity(msgspec.Struct, array_like=True, gc=False):
    """An account's velocity limits: in all, and by category of merchants."""

    overall: Meter
    categories: dict[str, Meter]


class Account(msgspec.Struct, array_like=True, gc=False):
    """One borrower's line with one program; amounts in minor units.

    `unpaid` names the purchases on which something is owed, oldest first; None
    when there are none.  `charges_minor` is what is billed and unpaid of
    interest, fees and penalties: it does not occupy the limit.  The credit
    balance is below zero when credit that was spent had to be taken back.
    `wakes_on` is the first business day at whose beginning something is to be
    done: a statement, or a penalty.
    `limit_minor` is the limit in force; `ordinary_limit_minor` is the one that
    comes back when that is temporary.
    """

    account_id: str
    program_id: str
    currency: str
    limit_minor: int
    slot: int
    statement_day: int
    due_day: int
    status: AccountStatus = AccountStatus.OPEN
    held_minor: int = 0
    authorized_minor: int = 0
    outstanding_minor: int = 0
    credit_minor: int = 0
    hold_count: int = 0
    authorization_count: int = 0
    unpaid: list[str] | None = None
    charges_minor: int = 0
    written_off_minor: int = 0
    wakes_on: int = NEVER
    debt: Debt | None = None
    velocity: AccountVelocity | None = None
    ordinary_limit_minor: int | None = None
    lost: Lost | None = None
    number: int = 0  # From 1, in the order in which this shard opened them.

    @property
    def overdrawn_minor(self) -> int:
        """What the credit balance is below zero: owed at once, without charge."""
        return max(0, -self.credit_minor)

    @property
    def is_done_for(self) -> bool:
        """Closed, and nothing of it left to be paid: it takes no money either.

        A direct debit may bounce after the account was closed; then it owes
        again, and may pay.
        """
        if self.status is not AccountStatus.CLOSED:
            return False
        return not (self.unpaid or self.written_off_minor or self.credit_minor < 0)

    def freeze(self) -> None:
        """No new purchases; what is closed stays closed."""
        if self.status is not AccountStatus.CLOSED:
            self.status = AccountStatus.FROZEN

    @property
    def open_to_buy_minor(self) -> int:
        """What a purchase may still be; negative when over limit."""
        return (
            self.limit_minor
            - self.held_minor
            - self.authorized_minor
            - self.outstanding_minor
            + self.credit_minor
        )


class Line(msgspec.Struct, array_like=True, gc=False):
    """One instalment of a purchase.  Days are numbers, amounts minor units.

    `cut_minor` is the principal as it was cut, `refunded_minor` what came off it;
    the same for the fee.  A line is billed once its `bills_on` is over; only then
    are its charges owed.  `penalty_through_on` is the last day paid for.
    """

    bills_on: int
    due_on: int
    cut_minor: int
    fee_cut_minor: int = 0
    refunded_minor: int = 0
    fee_back_minor: int = 0
    interest_minor: int = 0
    penalty_minor: int = 0
    paid_minor: int = 0
    interest_paid_minor: int = 0
    fee_paid_minor: int = 0
    penalty_paid_minor: int = 0
    penalty_through_on: int = 0

    @property
    def principal_minor(self) -> int:
        """Principal that is not paid."""
        return self.cut_minor - self.refunded_minor - self.paid_minor

    @property
    def fee_minor(self) -> int:
        """Fee that is not paid; owed once billed."""
        return self.fee_cut_minor - self.fee_back_minor - self.fee_paid_minor

    @property
    def charges_minor(self) -> int:
        """Interest, fee and penalty that are not paid."""
        return (
            self.fee_minor
            + self.interest_minor
            - self.interest_paid_minor
            + self.penalty_minor
            - self.penalty_paid_minor
        )


class Charge(msgspec.Struct, array_like=True, gc=False):
    """What a purchase has cost its merchant, and brought it, over all captures.

    By party and by payer, in the order in which they first came, in minor
    units; `…_back_parts` is what refunds have given back of it.
    """

    parties: tuple[str, ...]
    fee_parts: Parts
    fee_back_parts: Parts
    payers: tuple[str, ...]
    subsidy_parts: Parts
    subsidy_back_parts: Parts


class Refused(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What there was of a pool anywhere, and settlement's certificate of it."""

    pool_id: str
    headroom_minor: int
    refusal: int


class ExplainedMore(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a decision saw beyond the usual: velocity limits, refusals, a hold.

    `held_minor` is what the hold had out of which it was taken; `caps` what was
    free here of each cap, by pool.
    """

    requested_minor: int
    velocity: tuple[Headroom, ...] = ()
    refusals: tuple[Refused, ...] = ()
    held_minor: int | None = None
    caps: tuple[tuple[str, int], ...] = ()


# What a decision about a purchase saw, in minor units, in a tuple because every
# purchase has one: what was approved (0: nothing), open to buy after that; by
# lender, what was free here and what it had of all purchases, before that.
Explained = tuple[int, int, Parts, Parts, ExplainedMore | None]


class DeclinedAuthorization(msgspec.Struct, frozen=True, gc=False):
    """An authorization that was not to be, kept to be explained."""

    account_id: str
    merchant_id: str
    program_id: str
    program_version: int
    day: str
    event: Declined
    explained: Explained


class Authorization(msgspec.Struct, array_like=True, gc=False):
    """A purchase from its authorization to its last refund.

    `total` is all that was ever authorized; of it `captured` became a debt,
    `given_back` was reversed, expired or released, and the rest is open.  Of
    what was captured, `refunded` went back and `outstanding` is still owed.
    Parts are in the order of the program's lenders.

    `bills_on` is the statement day of its first capture.  `lines` are its
    instalments; None: it is one line, billed on that day, without a charge.
    `category` is the merchant's when the purchase was made.  A purchase that was
    captured by force, and nothing else, has nothing to explain.
    """

    authorization_id: str
    account_id: str
    merchant_id: str
    program_id: str
    program_version: int
    expires_at_ms: int
    purchase_day: str
    reference: str
    status: AuthorizationStatus
    total_minor: int
    total_parts: Parts
    captured_minor: int
    captured_parts: Parts
    given_back_minor: int
    given_back_parts: Parts
    refunded_minor: int
    refunded_parts: Parts
    outstanding_minor: int
    outstanding_parts: Parts
    bills_on: int = 0
    plan_id: str = ""
    lines: list[Line] | None = None
    borne_minor: int = 0  # Of the plan's charges, by the merchant.
    borne_back_minor: int = 0
    borne_parts: Parts = ()  # The lenders' of it; all came with the captures.
    borne_back_parts: Parts = ()
    fee_parts: Parts = ()  # What each lender has of its paid fees.
    tenders: tuple[Tender, ...] = ()  # Of the order, if there are others.
    tenders_back: tuple[TenderRefund, ...] = ()
    charge: Charge | None = None
    explained: Explained | None = None
    category: str = ""

    @property
    def open_minor(self) -> int:
        """Authorized, and neither captured nor given back."""
        return self.total_minor - self.captured_minor - self.given_back_minor

    def is_done(self) -> bool:
        """Nothing of it is open or owed; it may still be refunded, or reopened."""
        if self.status is AuthorizationStatus.OPEN or self.outstanding_minor:
            return False
        return not any(line.charges_minor for line in self.lines or ())

    @property
    def gone_parts(self) -> Parts:
        """By lender: what has left the authorization, captured or given back."""
        return tuple(
            c + g
            for c, g in zip(self.captured_parts, self.given_back_parts, strict=True)
        )


class Hold(msgspec.Struct, array_like=True, gc=False):
    """A limit hold; `held_minor` is what it still occupies."""

    hold_id: str
    account_id: str
    expires_at_ms: int
    reference: str
    held_minor: int
    status: HoldStatus = HoldStatus.OPEN

    def is_done(self) -> bool:
        """Nothing can happen to it any more."""
        return self.status is not HoldStatus.OPEN


class Program(msgspec.Struct, gc=False):
    """One version of a product; `shares_ppm` in the order of `lenders`.

    `split_parts` is the carry: what each lender was given of every amount ever
    split under this version on this shard.  What of that is not lent out, by
    the rule of `program_caps.py`, is `not_lent_parts`: what came back, and what
    was captured by force.
    """

    program_id: str
    version: int
    currency: str
    lenders: tuple[str, ...]
    shares_ppm: Parts
    authorization_expiry_ms: int
    hold_expiry_ms: int
    capture_tolerance_ppm: int
    split_parts: Parts
    plans: dict[str, Plan]
    terms: Terms
    charge_parts: Parts  # The same carry, of all charges ever paid.
    not_lent_parts: Parts
    is_watched: bool = False  # A lender is suspended or capped.


class PaymentKind(StrEnum):
    """Whose money it was, or that there was none."""

    REPAYMENT = "repayment"
    WRITE_OFF = "write_off"
    RECOVERY = "recovery"
    CLAIM = "claim"


class PaymentStatus(StrEnum):
    """Whether a payment can still be undone, or was."""

    PROVISIONAL = "provisional"
    FINAL = "final"
    REVERSED = "reversed"


class MovedLine(msgspec.Struct, frozen=True, gc=False):
    """What an early settlement took off one line."""

    line: int
    principal_minor: int
    fee_minor: int


class MovedPlan(msgspec.Struct, frozen=True, gc=False):
    """What an early settlement made one `line` of; which bore the interest."""

    authorization_id: str
    line: int
    lines: tuple[MovedLine, ...]
    interest_line: int


class Payment(msgspec.Struct, array_like=True, gc=False):
    """What paid debts, and what it takes to undo it.

    `parts` and `platform_minor` say who lost what by a write-off, or was given it
    by a recovery; `overdrawn` what it paid of what statements had billed of an
    overdrawn credit balance, `moved` the plans that it ended early.
    """

    account_id: str
    kind: PaymentKind
    status: PaymentStatus
    amount_minor: int
    credit_minor: int = 0
    allocations: tuple[Allocation, ...] = ()
    parts: tuple[LenderAmount, ...] = ()
    platform_minor: int = 0
    overdrawn: tuple[Overdrawn, ...] = ()
    moved: tuple[MovedPlan, ...] = ()


class AdjustmentStatus(StrEnum):
    """Where an adjustment is in its life."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"


class Adjustment(msgspec.Struct, array_like=True, gc=False):
    """A correction that one caller proposes and another approves."""

    account_id: str
    side: Side
    amount_minor: int
    corrects: str
    reference: str
    proposed_by: str
    status: AdjustmentStatus = AdjustmentStatus.PROPOSED


class Tariff(msgspec.Struct, gc=False):
    """What one version of a merchant's terms charges, and the carry.

    `split_parts` is what each party was given of every fee ever charged under
    this version on this shard; `charged_minor` all that was captured under it.
    """

    version: int
    fee_ppm: int
    fee_minimum_minor: int
    fee_cap_minor: int | None
    parties: tuple[str, ...]
    shares_ppm: Parts
    payers: tuple[str, ...]
    subsidies_ppm: Parts
    split_parts: Parts
    charged_minor: int = 0


class Merchant(msgspec.Struct, gc=False):
    """A merchant; no `tariff` when its terms cost nothing and bring nothing."""

    name: str
    terms: MerchantTerms | None = None
    version: int = 1
    tariff: Tariff | None = None


class Slice(msgspec.Struct, gc=False):
    """What this shard has of one pool, in minor units.

    received - returned = free + authorized + captured - refunded, always.
    Only of a cap by program that is not covered yet is `free` below zero.
    `forced_minor` is what of all that was received was raised by force.
    """

    pool_id: str
    received_minor: int = 0
    returned_minor: int = 0
    free_minor: int = 0
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    forced_minor: int = 0


class Forced(msgspec.Struct, gc=False):
    """What a purchase was captured by force in spite of, in minor units.

    How far it left the account beyond its limit the last time, and what all of
    it made the platform pay for the lenders beyond their lines.  `extra_parts`
    is what was not authorized before: no cap counts it.
    """

    over_limit_minor: int = 0
    lender_advance_minor: int = 0
    extra_parts: Parts = ()


Made = TypeVar("Made", Authorization, Hold, Payment, Adjustment)


def new_table(kind: type[Made]) -> Paged[Made]:
    """An empty table of such objects.

    Payments and adjustments are asked for once or twice in their lives, so they
    may always leave memory.
    """
    return Paged(kind, getattr(kind, "is_done", _is_always_done))


def _is_always_done(made: object) -> bool:
    return True


class ShardState(msgspec.Struct, gc=False):
    """All that one shard's journal says."""

    shard: int
    shard_count: int
    day: str
    sequence: int = 0
    reference_version: int = 0
    accounts: dict[str, Account] = {}
    authorizations: Paged[Authorization] = msgspec.field(
        default_factory=lambda: new_table(Authorization)
    )
    holds: Paged[Hold] = msgspec.field(default_factory=lambda: new_table(Hold))
    payments: Paged[Payment] = msgspec.field(default_factory=lambda: new_table(Payment))
    adjustments: Paged[Adjustment] = msgspec.field(
        default_factory=lambda: new_table(Adjustment)
    )
    in_debt: dict[str, None] = {}  # The accounts that wake on some day.
    programs: dict[str, Program] = {}  # The current version of each.
    program_versions: dict[tuple[str, int], Program] = {}
    merchants: dict[str, Merchant] = {}
    slices: dict[str, Slice] = {}
    withholdings: dict[str, str] = {}  # From merchants → the repayment it became.
    totals: DayTotals = msgspec.field(default_factory=DayTotals)
    ended_day: str = ""  # The last day that was moved from, and where it ended.
    ended_sequence: int = 0
    ended_totals: DayTotals = msgspec.field(default_factory=DayTotals)
    suspended: dict[str, bool] = {}  # By lender.
    daily_caps: dict[str, int] = {}  # By lender, in minor units.
    program_caps: dict[str, dict[str, str]] = {}  # Program → lender → pool.
    counted: dict[str, dict[str, int]] = {}  # Purchase → pool → used of it today.
    forced: dict[str, Forced] = {}  # By authorization.
    forced_held: dict[str, int] = {}  # Pool → raised by force and not returned.
    declined: dict[str, DeclinedAuthorization] = {}
    declined_ids: list[str] = []  # Of these, each new one in place of the oldest.
    declined_kept: int = 0  # Ever.
    temporary_limits: dict[str, str] = {}  # Account → the last day in force.

    @property
    def paged(self) -> tuple[Paged[Any], ...]:
        """The tables whose objects may leave memory."""
        return self.authorizations, self.holds, self.payments, self.adjustments

    def shelve_in(self, shelf: Shelf, in_memory_min: int) -> None:
        """From now on what is done leaves memory by `sweep`."""
        for number, table in enumerate(self.paged):
            table.attach(shelf, number, in_memory_min)

    def sweep(self, records: int) -> list[tuple[str, object]]:
        """So many records later, between two steps: what was shelved."""
        looks = limits.OBJECTS_LOOKED_AT_MIN + 2 * records
        gone: list[tuple[str, object]] = []
        for table in self.paged:
            gone += table.sweep(min(looks, limits.OBJECTS_LOOKED_AT_MAX))
        return gone

    @property
    def today(self) -> int:
        """The business day as a number."""
        return number_of(self.day)

    def lender_totals(self, lender_id: str) -> LenderTotals:
        """Today's totals of a lender, begun at zero."""
        totals = self.totals.lenders.get(lender_id)
        if totals is None:
            totals = self.totals.lenders[lender_id] = LenderTotals()
        return totals

    def party_totals(self, party_id: str, currency: str) -> PartyTotals:
        """Today's totals of a party to fees, begun at zero."""
        totals = self.totals.parties.setdefault(party_id, {})
        return totals.setdefault(currency, PartyTotals())

    def payer_totals(self, payer_id: str, currency: str) -> PayerTotals:
        """Today's totals of a payer of subsidies, begun at zero."""
        totals = self.totals.payers.setdefault(payer_id, {})
        return totals.setdefault(currency, PayerTotals())

    def merchant_totals(self, merchant_id: str) -> MerchantTotals:
        """Today's totals of a merchant, begun at zero."""
        totals = self.totals.merchants.get(merchant_id)
        if totals is None:
            totals = self.totals.merchants[merchant_id] = MerchantTotals()
        return totals


# By the name of an id, the table of the state that leads to its account.
TABLE_OF_ID: Final = {
    "authorization_id": "authorizations",
    "hold_id": "holds",
    "repayment_id": "payments",
    "write_off_id": "payments",
    "recovery_id": "payments",
    "claim_id": "payments",
    "adjustment_id": "adjustments",
}
