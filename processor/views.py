"""What a reader is shown of a shard: one object by kind and id, as JSON."""

import msgspec

from processor.allocation import owed_lines
from processor.answers import ENCODER
from processor.billing import interest_due
from processor.calendar import iso_of
from processor.debts import lines_of
from processor.delinquency import delinquency, late_of
from processor.explain import explanation
from processor.plan_changes import quote_minor
from processor.state import (
    Account,
    AccountVelocity,
    Authorization,
    Charge,
    Hold,
    Line,
    Meter,
    ShardState,
    Statement,
)
from processor.terms import Due
from processor.velocity import used

ACCOUNT_KINDS = frozenset({"account", "statements", "schedule", "early_settlement"})


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
    Past due is what was not paid by its due day, and so are the days counted;
    `delinquency` also minds the days of grace: current, grace, 1-30 ... 180+,
    or written_off.  Credit below zero is owed at once.
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
    charges_minor: int
    written_off_minor: int
    past_due_minor: int
    days_past_due: int
    delinquency: str
    statement_day: int
    due_day: int
    velocity: tuple[VelocityView, ...] = ()
    ordinary_limit_minor: int | None = None
    temporary_until_day: str | None = None


class StatementView(msgspec.Struct, frozen=True, gc=False):
    """What an account was billed: due is new, past due and carried, less credit.

    Carried is what was billed before and falls due anew with this statement,
    because the minimum of the last one was paid.  Overdrawn is new: credit that
    was spent and had to be taken back, all of it in the minimum.
    """

    statement_on: str
    due_on: str
    principal_minor: int
    interest_minor: int
    fee_minor: int
    past_due_minor: int
    carried_minor: int
    overdrawn_minor: int
    credit_minor: int
    due_minor: int
    minimum_due_minor: int
    outstanding_minor: int


class StatementsView(msgspec.Struct, frozen=True, gc=False):
    """The account's statements, the newest first; what of the last is unpaid.

    Due now is with all that the credit balance is overdrawn, billed or not.
    """

    account_id: str
    next_statement_on: str | None
    due_minor: int
    past_due_minor: int
    overdrawn_minor: int
    minimum_left_minor: int
    statements: tuple[StatementView, ...]


class InstalmentView(msgspec.Struct, frozen=True, gc=False):
    """One unpaid instalment.

    Interest of what is not billed yet is what it would be if all that is due
    before is paid.
    """

    authorization_id: str
    number: int
    statement_on: str
    due_on: str
    status: str
    principal_minor: int
    interest_minor: int
    fee_minor: int
    penalty_minor: int


class ScheduleView(msgspec.Struct, frozen=True, gc=False):
    """What is still to be paid, the earliest due first; overdrawn credit at once."""

    account_id: str
    principal_minor: int
    charges_minor: int
    overdrawn_minor: int
    instalments: tuple[InstalmentView, ...]


class EarlyPurchaseView(msgspec.Struct, frozen=True, gc=False):
    """What settles one purchase."""

    authorization_id: str
    amount_minor: int


class EarlySettlementView(msgspec.Struct, frozen=True, gc=False):
    """What settles all that an account owes, and each purchase, on this day.

    The whole is with what the credit balance is overdrawn, which is of no
    purchase.
    """

    account_id: str
    day: str
    amount_minor: int
    overdrawn_minor: int
    purchases: tuple[EarlyPurchaseView, ...]


class TenderView(msgspec.Struct, frozen=True, gc=False):
    """One tender of an order, and what went back to it."""

    tender_id: str
    kind: str
    amount_minor: int
    discount_minor: int
    refunded_minor: int
    discount_refunded_minor: int


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
    """A purchase; `open_minor` can still be captured or reversed.

    `forced`: captured because the goods were gone, at least once;
    `over_limit_minor` is how far the last time left the account beyond its
    limit, `lender_advance_minor` what was paid for lenders beyond their lines.
    All three are left out when there is nothing to say.
    """

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
    plan_id: str = ""
    tenders: tuple[TenderView, ...] = ()
    forced: bool = False
    over_limit_minor: int = 0
    lender_advance_minor: int = 0
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
    """The JSON of one object by kind and id; None if unknown.

    The kinds are those of an account, "authorization", "hold", and "explanation"
    (of an authorization).
    """
    shown: msgspec.Struct | None = None
    if kind in ACCOUNT_KINDS and object_id in state.accounts:
        shown = _OF_ACCOUNT[kind](state, state.accounts[object_id])
    elif kind == "authorization" and object_id in state.authorizations:
        shown = _authorization(state, state.authorizations[object_id])
    elif kind == "hold" and object_id in state.holds:
        shown = _hold(state.holds[object_id])
    elif kind == "explanation":
        shown = explanation(state, object_id)
    return None if shown is None else ENCODER.encode(shown)


def _account(state: ShardState, account: Account) -> AccountView:
    late = late_of(state, account)
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
        account.charges_minor,
        account.written_off_minor,
        sum(part.amount_minor for part in late),
        max([state.today - part.due_on for part in late], default=0),
        delinquency(account, late, state.today),
        account.statement_day,
        account.due_day,
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


def _statements(state: ShardState, account: Account) -> StatementsView:
    debt = account.debt
    owed = [
        line for line in owed_lines(state, account) if line.due is not Due.IN_ADVANCE
    ]
    late = late_of(state, account)
    is_billed = debt is not None and account.account_id in state.in_debt
    return StatementsView(
        account.account_id,
        iso_of(debt.next_statement_on) if debt is not None and is_billed else None,
        account.overdrawn_minor + sum(sum(line.left.values()) for line in owed),
        sum(part.amount_minor for part in late),
        account.overdrawn_minor,
        max(0, debt.minimum_left_minor) if debt is not None else 0,
        tuple(_statement(s) for s in reversed(debt.statements if debt else [])),
    )


def _statement(shown: Statement) -> StatementView:
    return StatementView(
        iso_of(shown.statement_on),
        iso_of(shown.due_on),
        shown.new_principal_minor,
        shown.new_interest_minor,
        shown.new_fee_minor,
        shown.past_due_minor,
        shown.carried_minor,
        shown.overdrawn_minor,
        shown.credit_minor,
        shown.due_minor,
        shown.minimum_due_minor,
        shown.outstanding_minor,
    )


def _schedule(state: ShardState, account: Account) -> ScheduleView:
    shown = []
    for name in account.unpaid or ():
        purchase = state.authorizations[name]
        for number, line in enumerate(lines_of(account, purchase), 1):
            instalment = _instalment(state, account, purchase, number, line)
            if line.principal_minor or line.charges_minor or instalment.interest_minor:
                shown.append(instalment)
    shown.sort(key=lambda instalment: instalment.due_on)
    return ScheduleView(
        account.account_id,
        sum(i.principal_minor for i in shown),
        sum(i.interest_minor + i.fee_minor + i.penalty_minor for i in shown),
        account.overdrawn_minor,
        tuple(shown),
    )


def _instalment(
    state: ShardState,
    account: Account,
    purchase: Authorization,
    number: int,
    line: Line,
) -> InstalmentView:
    today = state.today
    is_billed = line.bills_on < today
    status = "past_due" if line.due_on < today else "due"
    interest_minor = line.interest_minor - line.interest_paid_minor
    if not is_billed:
        interest_minor += interest_due(state, account, purchase, line)
    return InstalmentView(
        purchase.authorization_id,
        number,
        iso_of(line.bills_on),
        iso_of(line.due_on),
        status if is_billed else "open",
        line.principal_minor,
        interest_minor,
        line.fee_minor,
        line.penalty_minor - line.penalty_paid_minor,
    )


def _early(state: ShardState, account: Account) -> EarlySettlementView:
    return EarlySettlementView(
        account.account_id,
        state.day,
        quote_minor(state, account, ""),
        account.overdrawn_minor,
        tuple(
            EarlyPurchaseView(name, quote_minor(state, account, name))
            for name in account.unpaid or ()
        ),
    )


_OF_ACCOUNT = {
    "account": _account,
    "statements": _statements,
    "schedule": _schedule,
    "early_settlement": _early,
}


def _authorization(state: ShardState, shown: Authorization) -> AuthorizationView:
    program = state.program_versions[shown.program_id, shown.program_version]
    forced = state.forced.get(shown.authorization_id)
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
        shown.plan_id,
        _tenders(shown),
        forced is not None,
        forced.over_limit_minor if forced else 0,
        forced.lender_advance_minor if forced else 0,
        None if shown.charge is None else _charge(shown.charge),
    )


def _tenders(shown: Authorization) -> tuple[TenderView, ...]:
    back = {b.tender_id: (b.amount_minor, b.discount_minor) for b in shown.tenders_back}
    return tuple(
        TenderView(
            tender.tender_id,
            tender.kind.value,
            tender.amount_minor,
            tender.discount_minor,
            *back.get(tender.tender_id, (0, 0)),
        )
        for tender in shown.tenders
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
