"""The rules of refunds: the inverse of a captured purchase, exactly.

What goes back to the lenders' reserve follows the captured parts by
`apportion`: after any number and order of partial refunds, once the whole is
refunded each lender has back what was taken from it.  What the borrower owes
falls by the same amount, as long as he owes it; what he has repaid already
becomes his credit balance.
"""

from processor import commands as c
from processor import events as e
from processor.apportion import apportion
from processor.bookings import lower_outstanding, program_of
from processor.declines import DeclineReason
from processor.ids import IdKind, make_id
from processor.merchants import book_charge_back, charge_back_of
from processor.rules import Decision, Moment, add, declined
from processor.state import ShardState


def decide_refund(state: ShardState, command: c.Refund, moment: Moment) -> Decision:
    authorization = state.authorizations.get(command.authorization_id)
    if authorization is None:
        return declined(DeclineReason.AUTHORIZATION_NOT_FOUND)
    if not authorization.captured_minor:
        return declined(DeclineReason.AUTHORIZATION_NOT_CAPTURED)
    left_minor = authorization.captured_minor - authorization.refunded_minor
    amount_minor = command.amount_minor or left_minor
    if amount_minor > left_minor or not left_minor:
        return declined(
            DeclineReason.REFUND_EXCEEDS_CAPTURED, amount_minor - left_minor
        )
    account = state.accounts[authorization.account_id]
    principal_minor = min(amount_minor, authorization.outstanding_minor)
    return e.Refunded(
        authorization.authorization_id,
        make_id(
            IdKind.REFUND,
            account.slot,
            state.shard,
            state.sequence + 1,
        ),
        amount_minor,
        apportion(
            authorization.captured_parts,
            authorization.captured_minor,
            authorization.refunded_parts,
            amount_minor,
        ),
        principal_minor,
        draw_outstanding(authorization.outstanding_parts, principal_minor),
        amount_minor - principal_minor,
        authorization.purchase_day,
        account.open_to_buy_minor + amount_minor,
        charge_back_of(authorization, amount_minor),
    )


def draw_outstanding(outstanding: e.Parts, amount_minor: int) -> e.Parts:
    """Split what is paid of a purchase by what each lender is still owed."""
    return apportion(
        outstanding, sum(outstanding), (0,) * len(outstanding), amount_minor
    )


def apply_refunded(state: ShardState, event: e.Refunded) -> None:
    authorization = state.authorizations[event.authorization_id]
    account = state.accounts[authorization.account_id]
    lenders = program_of(state, authorization).lenders
    for lender_id, part, claim in zip(
        lenders, event.parts, event.principal_parts, strict=True
    ):
        lease = state.slices[lender_id]
        lease.refunded_minor += part
        lease.free_minor += part
        totals = state.lender_totals(lender_id)
        totals.refunded_minor += part
        totals.claim_refunded_minor += claim
    merchant = state.merchant_totals(authorization.merchant_id)
    merchant.refunded_minor += event.amount_minor
    merchant.refunded_count += 1
    merchant.pay_out(account.currency, -event.amount_minor)
    if event.charge_back is not None:
        book_charge_back(state, account, authorization, event.charge_back)
    authorization.refunded_minor += event.amount_minor
    authorization.refunded_parts = add(authorization.refunded_parts, event.parts)
    assert authorization.refunded_minor <= authorization.captured_minor
    if event.principal_minor:
        lower_outstanding(
            account, authorization, event.principal_minor, event.principal_parts
        )
    account.credit_minor += event.credit_minor
    assert account.open_to_buy_minor == event.open_to_buy_minor
