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
from processor.terms import CategoryVelocity, Velocity

ENCODER = msgspec.json.Encoder()

APPROVED = "approved"
DECLINED = "declined"


class DeclinedAnswer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A refusal.  `transient`: a new request could turn out otherwise.

    With an `authorization_id` the decision can be explained; there is nothing
    to capture under it.
    """

    status: str
    reason: str
    transient: bool
    headroom_missing_minor: int | None = None
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
    `category`, if it is one's), or "reserve" (of `lender_id`).
    """

    authorization_id: str
    account_id: str
    amount_minor: int
    captured_minor: int
    expires_at_ms: int
    open_to_buy_minor: int
    requested_minor: int | None = None
    limited_by: str = ""
    category: str = ""
    lender_id: str = ""


class ChangeAnswer(ApprovedAnswer, frozen=True, gc=False):
    """How much an authorization changed by."""

    authorization_id: str
    amount_minor: int
    open_to_buy_minor: int


class CaptureAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What became a debt, and what a final capture gave back."""

    authorization_id: str
    capture_id: str
    amount_minor: int
    released_minor: int
    open_to_buy_minor: int


class RefundAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What went back: off the debt, and to the borrower's credit balance."""

    authorization_id: str
    refund_id: str
    amount_minor: int
    principal_minor: int
    credit_minor: int
    purchase_day: str
    open_to_buy_minor: int


class RepaymentAnswer(ApprovedAnswer, frozen=True, gc=False):
    """What came in: off the debt, and to the borrower's credit balance."""

    repayment_id: str
    account_id: str
    amount_minor: int
    principal_minor: int
    credit_minor: int
    open_to_buy_minor: int


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


class DayCutAnswer(ApprovedAnswer, frozen=True, gc=False):
    """The day is cut; it is closed when every shard has reported."""

    day: str
    next_day: str


def answer_to(command: c.Command, event: e.Event) -> bytes:
    """The JSON answer to a command that ended in an event."""
    return ENCODER.encode(_ANSWERS[type(event)](command, event))


def _declined(command: c.Command, event: e.Declined) -> DeclinedAnswer:
    return DeclinedAnswer(
        DECLINED,
        event.reason.value,
        event.reason.is_transient,
        event.missing_minor or None,
        event.lender_id,
        event.category,
        event.authorization_id,
    )


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
    )


def _refunded(command: c.Command, event: e.Refunded) -> RefundAnswer:
    return RefundAnswer(
        APPROVED,
        event.authorization_id,
        event.refund_id,
        event.amount_minor,
        event.principal_minor,
        event.credit_minor,
        event.purchase_day,
        event.open_to_buy_minor,
    )


def _repaid(command: c.Command, event: e.Repaid) -> RepaymentAnswer:
    return RepaymentAnswer(
        APPROVED,
        event.repayment_id,
        event.account_id,
        event.amount_minor,
        event.amount_minor - event.credit_minor,
        event.credit_minor,
        event.open_to_buy_minor,
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


def _merchant(command: c.Command, event: e.MerchantRegistered) -> MerchantAnswer:
    return MerchantAnswer(APPROVED, event.merchant_id)


def _day_cut(command: c.Command, event: e.DayCut) -> DayCutAnswer:
    return DayCutAnswer(APPROVED, event.day, event.next_day)


_ANSWERS: dict[type[e.Event], Callable[[Any, Any], msgspec.Struct]] = {
    e.Declined: _declined,
    e.Authorized: _authorized,
    e.AuthorizationIncremented: _changed,
    e.AuthorizationReversed: _changed,
    e.Captured: _captured,
    e.Refunded: _refunded,
    e.Repaid: _repaid,
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
    e.DayCut: _day_cut,
}
