"""What a shard knows: accounts, what they have open, and the slices it leases.

Changed by `apply` alone.  Everything here is rebuilt from the journal, so
nothing here may come from anywhere else.
"""

from enum import StrEnum

import msgspec

from processor.declines import DeclineReason
from processor.events import (
    DayTotals,
    Declined,
    LenderTotals,
    MerchantTotals,
    Parts,
)
from processor.terms import Velocity


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


class Meter(msgspec.Struct, gc=False):
    """Velocity limits, and what was approved under them, in minor units.

    `day` is the business day of the last count, so both counts are zero in a
    later day or month.  Purchases made before record `since` do not count.
    """

    bounds: Velocity
    since: int
    day: str = ""
    day_minor: int = 0
    month_minor: int = 0


class Headroom(msgspec.Struct, frozen=True, gc=False):
    """What one velocity limit left to a purchase; negative when exceeded.

    `reason` is the decline it gives; `category` is empty for all merchants.
    """

    reason: DeclineReason
    category: str
    left_minor: int


class AccountVelocity(msgspec.Struct, gc=False):
    """An account's velocity limits: in all, and by category of merchants."""

    overall: Meter
    categories: dict[str, Meter]


class Account(msgspec.Struct, gc=False):
    """One borrower's line with one program; amounts in minor units.

    `unpaid` names the purchases with principal outstanding, oldest first; None
    when there are none.  `limit_minor` is the limit in force;
    `ordinary_limit_minor` is the one that comes back when that is temporary.
    """

    account_id: str
    program_id: str
    currency: str
    limit_minor: int
    slot: int
    status: AccountStatus = AccountStatus.OPEN
    held_minor: int = 0
    authorized_minor: int = 0
    outstanding_minor: int = 0
    credit_minor: int = 0
    hold_count: int = 0
    authorization_count: int = 0
    unpaid: list[str] | None = None
    velocity: AccountVelocity | None = None
    ordinary_limit_minor: int | None = None

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


class Refused(msgspec.Struct, frozen=True, gc=False):
    """What there was of a lender anywhere, and settlement's certificate of it."""

    lender_id: str
    headroom_minor: int
    refusal: int


class ExplainedMore(msgspec.Struct, frozen=True, gc=False):
    """What a decision saw beyond the usual: velocity limits, refusals, a hold.

    `held_minor` is what the hold had out of which it was taken.
    """

    requested_minor: int
    velocity: tuple[Headroom, ...] = ()
    refusals: tuple[Refused, ...] = ()
    held_minor: int | None = None


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


class Authorization(msgspec.Struct, gc=False):
    """A purchase from its authorization to its last refund.

    `total` is all that was ever authorized; of it `captured` became a debt,
    `given_back` was reversed, expired or released, and the rest is open.  Of
    what was captured, `refunded` went back and `outstanding` is still owed.
    Parts are in the order of the program's lenders.  `category` is the
    merchant's, kept where the account had velocity limits.
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
    explained: Explained
    category: str = ""

    @property
    def open_minor(self) -> int:
        """Authorized, and neither captured nor given back."""
        return self.total_minor - self.captured_minor - self.given_back_minor

    @property
    def gone_parts(self) -> Parts:
        """By lender: what has left the authorization, captured or given back."""
        return tuple(
            c + g
            for c, g in zip(self.captured_parts, self.given_back_parts, strict=True)
        )


class Hold(msgspec.Struct, gc=False):
    """A limit hold; `held_minor` is what it still occupies."""

    hold_id: str
    account_id: str
    expires_at_ms: int
    reference: str
    held_minor: int
    status: HoldStatus = HoldStatus.OPEN


class Merchant(msgspec.Struct, frozen=True, gc=False):
    """Where purchases are made; of no category when `category` is empty."""

    name: str
    category: str = ""


class Program(msgspec.Struct, gc=False):
    """One version of a product; `shares_ppm` in the order of `lenders`.

    `split_parts` is the carry: what each lender was given of every amount ever
    split under this version on this shard.
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


class Slice(msgspec.Struct, gc=False):
    """One lender's headroom on this shard, in minor units.

    received - returned = free + authorized + captured - refunded, always.
    """

    lender_id: str
    received_minor: int = 0
    returned_minor: int = 0
    free_minor: int = 0
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0


class ShardState(msgspec.Struct, gc=False):
    """All that one shard's journal says."""

    shard: int
    shard_count: int
    day: str
    sequence: int = 0
    reference_version: int = 0
    accounts: dict[str, Account] = {}
    authorizations: dict[str, Authorization] = {}
    holds: dict[str, Hold] = {}
    programs: dict[str, Program] = {}  # The current version of each.
    program_versions: dict[tuple[str, int], Program] = {}
    merchants: dict[str, Merchant] = {}
    slices: dict[str, Slice] = {}
    totals: DayTotals = msgspec.field(default_factory=DayTotals)
    ended_day: str = ""  # The last day that was moved from, and where it ended.
    ended_sequence: int = 0
    ended_totals: DayTotals = msgspec.field(default_factory=DayTotals)
    declined: dict[str, DeclinedAuthorization] = {}
    declined_ids: list[str] = []  # Of these, each new one in place of the oldest.
    declined_kept: int = 0  # Ever.
    temporary_limits: dict[str, str] = {}  # Account → the last day in force.

    def lender_totals(self, lender_id: str) -> LenderTotals:
        """Today's totals of a lender, begun at zero."""
        totals = self.totals.lenders.get(lender_id)
        if totals is None:
            totals = self.totals.lenders[lender_id] = LenderTotals()
        return totals

    def merchant_totals(self, merchant_id: str) -> MerchantTotals:
        """Today's totals of a merchant, begun at zero."""
        totals = self.totals.merchants.get(merchant_id)
        if totals is None:
            totals = self.totals.merchants[merchant_id] = MerchantTotals()
        return totals
