"""What a reader is shown of a shard: one object by kind and id, as JSON."""

import msgspec

from processor.answers import ENCODER
from processor.explain import explanation
from processor.state import (
    Account,
    AccountVelocity,
    Authorization,
    Hold,
    Meter,
    ShardState,
)
from processor.velocity import used


class LenderPart(msgspec.Struct, frozen=True, gc=False):
    """One lender's part of a purchase, in minor units."""

    lender_id: str
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    outstanding_minor: int


class VelocityView(msgspec.Struct, frozen=True, gc=False):
    """Velocity limits and what is used of them, for all merchants or a category.

    Null where there is no such limit; what is left is negative when a limit
    was set below what was used already.
    """

    category: str | None
    purchase_minor: int | None
    daily_minor: int | None
    daily_used_minor: int
    daily_left_minor: int | None
    monthly_minor: int | None
    monthly_used_minor: int
    monthly_left_minor: int | None


class AccountView(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A credit account; amounts in minor units.

    `velocity` is left out where there are no such limits.  While a temporary
    limit is in force `limit_minor` is that, `ordinary_limit_minor` comes back
    after the business day `temporary_until_day`; both are left out otherwise.
    """

    account_id: str
    program_id: str
    currency: str
    status: str
    limit_minor: int
    held_minor: int
    authorized_minor: int
    outstanding_minor: int
    credit_minor: int
    open_to_buy_minor: int
    open_holds: int
    open_authorizations: int
    unpaid_purchases: int
    velocity: tuple[VelocityView, ...] = ()
    ordinary_limit_minor: int | None = None
    temporary_until_day: str | None = None


class AuthorizationView(msgspec.Struct, frozen=True, gc=False):
    """A purchase; `open_minor` can still be captured or reversed."""

    authorization_id: str
    account_id: str
    merchant_id: str
    program_id: str
    program_version: int
    status: str
    reference: str
    purchase_day: str
    expires_at_ms: int
    authorized_minor: int
    open_minor: int
    captured_minor: int
    given_back_minor: int
    refunded_minor: int
    outstanding_minor: int
    lenders: tuple[LenderPart, ...]


class HoldView(msgspec.Struct, frozen=True, gc=False):
    """A limit hold; `held_minor` is what it still occupies."""

    hold_id: str
    account_id: str
    status: str
    reference: str
    expires_at_ms: int
    held_minor: int


def view(state: ShardState, kind: str, object_id: str) -> bytes | None:
    """The JSON of what there is of a kind under an id; None if unknown.

    Kinds: "account", "authorization", "hold", "explanation" (of an authorization).
    """
    shown: msgspec.Struct | None = None
    if kind == "account" and object_id in state.accounts:
        shown = _account(state, state.accounts[object_id])
    elif kind == "authorization" and object_id in state.authorizations:
        shown = _authorization(state, state.authorizations[object_id])
    elif kind == "hold" and object_id in state.holds:
        shown = _hold(state.holds[object_id])
    elif kind == "explanation":
        shown = explanation(state, object_id)
    return None if shown is None else ENCODER.encode(shown)


def _account(state: ShardState, account: Account) -> AccountView:
    return AccountView(
        account.account_id,
        account.program_id,
        account.currency,
        account.status.value,
        account.limit_minor,
        account.held_minor,
        account.authorized_minor,
        account.outstanding_minor,
        account.credit_minor,
        account.open_to_buy_minor,
        account.hold_count,
        account.authorization_count,
        len(account.unpaid or ()),
        _velocity(account.velocity, state.day),
        account.ordinary_limit_minor,
        state.temporary_limits.get(account.account_id),
    )


def _velocity(velocity: AccountVelocity | None, day: str) -> tuple[VelocityView, ...]:
    if velocity is None:
        return ()
    overall = _meter(None, velocity.overall, day)
    return (
        overall,
        *(_meter(name, meter, day) for name, meter in velocity.categories.items()),
    )


def _meter(category: str | None, meter: Meter, day: str) -> VelocityView:
    bounds = meter.bounds
    daily, monthly = bounds.daily_minor, bounds.monthly_minor
    used_day, used_month = used(meter, day)
    return VelocityView(
        category,
        bounds.purchase_minor,
        daily,
        used_day,
        None if daily is None else daily - used_day,
        monthly,
        used_month,
        None if monthly is None else monthly - used_month,
    )


def _authorization(state: ShardState, shown: Authorization) -> AuthorizationView:
    program = state.program_versions[shown.program_id, shown.program_version]
    return AuthorizationView(
        shown.authorization_id,
        shown.account_id,
        shown.merchant_id,
        shown.program_id,
        shown.program_version,
        shown.status.value,
        shown.reference,
        shown.purchase_day,
        shown.expires_at_ms,
        shown.total_minor,
        shown.open_minor,
        shown.captured_minor,
        shown.given_back_minor,
        shown.refunded_minor,
        shown.outstanding_minor,
        tuple(
            LenderPart(*part)
            for part in zip(
                program.lenders,
                shown.total_parts,
                shown.captured_parts,
                shown.refunded_parts,
                shown.outstanding_parts,
                strict=True,
            )
        ),
    )


def _hold(hold: Hold) -> HoldView:
    return HoldView(
        hold.hold_id,
        hold.account_id,
        hold.status.value,
        hold.reference,
        hold.expires_at_ms,
        hold.held_minor,
    )
