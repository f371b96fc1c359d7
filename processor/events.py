"""What has happened: past tense, one struct a fact.

An event carries everything `apply` and the answer need, so that replaying it
asks no rule.  Parts are tuples in the order of the program's lenders; each
tuple sums to the amount it splits.
"""

import msgspec

from processor.commands import Share
from processor.declines import DeclineReason
from processor.terms import CategoryVelocity, Velocity


def _wire_name(class_name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in class_name)[1:]


Parts = tuple[int, ...]


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=_wire_name):
    """One fact of a journal."""


class Refusal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Settlement's word that a lender has only `headroom_minor` beside the slice.

    The shard held `leased_minor` of it (received less returned) when it was
    told: what it received since is of that headroom.
    """

    lender_id: str
    headroom_minor: int
    refusal: int
    leased_minor: int


class Declined(Event, frozen=True):
    """The command was refused, durably: the same id keeps this answer.

    `missing_minor` is the headroom that was missing, where the reason is
    money.  For the reserve, `lender_id` is the lender that was short and
    `refusal` the number under which settlement refused.  For a velocity limit
    of one category of merchants, `category` names it.  An authorization that
    was declined for money or for its account's status has an id, and the time
    of the decision, so that it can be explained.  `refusals` are all that stood
    against a partial approval, in the order they came.
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

    `limited_by` is "limit", a velocity limit (of `category`, if it is one's) or
    "reserve": then `lender_id` was short, and `refusals` say so.
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


# Authorizations.


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
    reduced: Reduced | None = None


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


class Allocation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a repayment paid of one purchase, and of each lender's claim."""

    authorization_id: str
    amount_minor: int
    parts: Parts


class Repaid(Event, frozen=True):
    """Money came in: the oldest purchases first, the rest is credit."""

    account_id: str
    repayment_id: str
    amount_minor: int
    allocations: tuple[Allocation, ...]
    credit_minor: int
    open_to_buy_minor: int


# Settlement and its shards.


class LenderRegistered(Event, frozen=True):
    lender_id: str
    currency: str
    name: str
    advance_line_minor: int


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


class MerchantRegistered(Event, frozen=True):
    merchant_id: str
    name: str
    category: str = ""


class ShardJoined(Event, frozen=True):
    """A shard's journal was seen for the first time; it may never be missing."""

    shard: int
    journal_id: str


class SliceGranted(Event, frozen=True):
    """Headroom leased: `granted_minor` is the total ever granted to the shard."""

    shard: int
    lender_id: str
    granted_minor: int
    # How far the shard's journal had come when it asked.
    shard_epoch: int
    shard_sequence: int


class SliceCredited(Event, frozen=True):
    """Headroom back: `returned_minor` is the total the shard ever returned."""

    shard: int
    lender_id: str
    returned_minor: int


class CutPoint(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one shard had free of one lender, right after one of its records."""

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
    `ask`, or by settlement itself for a withdrawal (shard -1).
    """

    refusal: int
    shard: int
    ask: int
    lender_id: str
    needed_minor: int
    unleased_minor: int
    cut: tuple[CutPoint, ...]


class SliceReceived(Event, frozen=True):
    """A shard's receipt, durable before use: the total ever received."""

    lender_id: str
    received_minor: int


class SliceReturned(Event, frozen=True):
    """A shard gave headroom back, durable before it tells: the total returned."""

    lender_id: str
    returned_minor: int


class LenderTotals(msgspec.Struct, gc=False):
    """One lender's business day on one shard, or on all of them, in minor units.

    `refunded_minor` went back to the reserve; `claim_repaid_minor` lowered
    what borrowers owe the lender by repayment or credit, `claim_refunded_minor`
    by refund.
    """

    captured_minor: int = 0
    refunded_minor: int = 0
    claim_repaid_minor: int = 0
    claim_refunded_minor: int = 0


class MerchantTotals(msgspec.Struct, gc=False):
    """One merchant's business day: what it is owed is captured less refunded."""

    captured_minor: int = 0
    captured_count: int = 0
    refunded_minor: int = 0
    refunded_count: int = 0


class DayTotals(msgspec.Struct, gc=False):
    """A business day in totals; amounts by lender and by merchant id."""

    lenders: dict[str, LenderTotals] = {}
    merchants: dict[str, MerchantTotals] = {}
    authorized_count: int = 0
    declined_count: int = 0
    repaid_minor: int = 0
    repaid_count: int = 0


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


ReferenceFact = LenderRegistered | ProgramRegistered | MerchantRegistered


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
    | SliceReceived
    | SliceReturned
    | DayMoved
    | ReferenceReceived
)
SettlementEvent = (
    Declined
    | LenderRegistered
    | ReserveDeposited
    | ReserveWithdrawn
    | ProgramRegistered
    | MerchantRegistered
    | ShardJoined
    | SliceGranted
    | SliceCredited
    | ReserveRefused
    | DayCut
    | ShardDayReported
    | DayClosed
)
