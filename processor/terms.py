"""What a product, a merchant or an account has agreed to, as callers send it.

Values without a rule: commands carry them, facts repeat them, rules read them.
Rates are in parts per million, amounts in minor units, times in days.  None
means that there is no such bound.
"""

from enum import StrEnum

import msgspec

from processor.tenders import RefundPolicy, TenderKind

PLATFORM = "platform"  # The party that has what nobody else was promised.


class Component(StrEnum):
    """What a debt consists of."""

    PENALTY = "penalty"
    INTEREST = "interest"
    FEE = "fee"
    PRINCIPAL = "principal"


class Waivable(StrEnum):
    """What of a debt may be forgiven."""

    INTEREST = "interest"
    PENALTY = "penalty"


class Side(StrEnum):
    """Which side of the borrower's account an adjustment is on."""

    CREDIT = "credit"
    DEBIT = "debit"


class Due(StrEnum):
    """Where a debt is in its life."""

    PAST_DUE = "past_due"
    DUE = "due"
    IN_ADVANCE = "in_advance"


class Bucket(msgspec.Struct, frozen=True, gc=False):
    """One cell of the allocation matrix: which component, due when."""

    due: Due
    component: Component


DEFAULT_ALLOCATION = tuple(
    Bucket(due, component)
    for due in (Due.PAST_DUE, Due.DUE, Due.IN_ADVANCE)
    for component in (
        Component.PENALTY,
        Component.INTEREST,
        Component.FEE,
        Component.PRINCIPAL,
    )
)


class Terms(msgspec.Struct, frozen=True, gc=False):
    """What a program says of debts: when they are late, and what that costs.

    A line is late after its due date and `grace_days`; from then on each day
    costs `penalty_ppm_per_day` of its unpaid principal, rounded down a day.
    Who has paid `minimum_due_ppm` of a statement's principal (and all that is
    not principal) by then is not late: the rest falls due with the next one.
    `allocation` is the order in which a repayment pays; what it does not name
    comes last, in the default order.
    """

    grace_days: int = 0
    penalty_ppm_per_day: int = 0
    minimum_due_ppm: int = 1_000_000
    allocation: tuple[Bucket, ...] = ()
    early_settlement_fee_ppm: int = 0  # Of the principal not yet billed.
    extension_fee_ppm: int = 0  # Of the principal not yet billed.
    refund_order: tuple[TenderKind, ...] = RefundPolicy().order  # Of orders.


class PartyShare(msgspec.Struct, frozen=True, gc=False):
    """One party's part of a merchant fee, in parts per million."""

    party_id: str
    share_ppm: int


class Subsidy(msgspec.Struct, frozen=True, gc=False):
    """What `payer_id` adds to a merchant's payout, of each capture."""

    payer_id: str
    share_ppm: int


class MerchantTerms(msgspec.Struct, frozen=True, gc=False):
    """What a merchant pays and is paid on top, per capture.

    The fee (MDR) is `fee_ppm` of the capture, rounded half up, at least
    `fee_minimum_minor` and at most `fee_cap_minor`, and never more than the
    capture.  `fee_shares` says who has it; they sum to 1 000 000, or are empty
    and all of it is the platform's.
    """

    category: str = ""
    fee_ppm: int = 0
    fee_minimum_minor: int = 0
    fee_cap_minor: int | None = None
    fee_shares: tuple[PartyShare, ...] = ()
    subsidies: tuple[Subsidy, ...] = ()


class Velocity(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """How much may be bought: in one purchase, a business day, a month of them."""

    purchase_minor: int | None = None
    daily_minor: int | None = None
    monthly_minor: int | None = None


class CategoryVelocity(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The same at merchants of one category."""

    category: str
    purchase_minor: int | None = None
    daily_minor: int | None = None
    monthly_minor: int | None = None
