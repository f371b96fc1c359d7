"""What a reader is shown of a shard: one object by kind and id, as JSON."""

import msgspec

from processor.answers import ENCODER
from processor.state import Account, Authorization, Charge, Hold, ShardState


class LenderPart(msgspec.Struct, frozen=True, gc=False):
    """One lender's part of a purchase, in minor units."""

    lender_id: str
    authorized_minor: int
    captured_minor: int
    refunded_minor: int
    outstanding_minor: int


class AccountView(msgspec.Struct, frozen=True, gc=False):
    """A credit account; amounts in minor units."""

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


class PartyPart(msgspec.Struct, frozen=True, gc=False):
    """One party's part of what a purchase cost its merchant, in minor units."""

    party_id: str
    fee_minor: int
    fee_back_minor: int


class PayerPart(msgspec.Struct, frozen=True, gc=False):
    """One payer's part of what was added to the merchant's payout, minor units."""

    payer_id: str
    subsidy_minor: int
    subsidy_back_minor: int


class ChargeView(msgspec.Struct, frozen=True, gc=False):
    """A purchase's fee and subsidy over all captures, and what went back."""

    parties: tuple[PartyPart, ...]
    payers: tuple[PayerPart, ...]


class AuthorizationView(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
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
    charge: ChargeView | None = None


class HoldView(msgspec.Struct, frozen=True, gc=False):
    """A limit hold; `held_minor` is what it still occupies."""

    hold_id: str
    account_id: str
    status: str
    reference: str
    expires_at_ms: int
    held_minor: int


def view(state: ShardState, kind: str, object_id: str) -> bytes | None:
    """The JSON of an "account", "authorization" or "hold"; None if unknown."""
    shown: msgspec.Struct | None = None
    if kind == "account" and object_id in state.accounts:
        shown = _account(state.accounts[object_id])
    elif kind == "authorization" and object_id in state.authorizations:
        shown = _authorization(state, state.authorizations[object_id])
    elif kind == "hold" and object_id in state.holds:
        shown = _hold(state.holds[object_id])
    return None if shown is None else ENCODER.encode(shown)


def _account(account: Account) -> AccountView:
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
        None if shown.charge is None else _charge(shown.charge),
    )


def _charge(charge: Charge) -> ChargeView:
    fees = zip(charge.parties, charge.fee_parts, charge.fee_back_parts, strict=True)
    subsidies = zip(
        charge.payers, charge.subsidy_parts, charge.subsidy_back_parts, strict=True
    )
    return ChargeView(
        tuple(PartyPart(*part) for part in fees),
        tuple(PayerPart(*part) for part in subsidies),
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
