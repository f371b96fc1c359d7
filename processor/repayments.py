"""The rules of repayments: the oldest purchase first, the rest is credit."""

from processor import commands as c
from processor import events as e
from processor.bookings import lower_outstanding, pay_claims
from processor.declines import DeclineReason
from processor.ids import IdKind, make_id
from processor.refunds import draw_outstanding
from processor.rules import Decision, Moment, declined
from processor.state import AccountStatus, ShardState


def decide_repay(state: ShardState, command: c.Repay, moment: Moment) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if account.currency != command.currency:
        return declined(DeclineReason.CURRENCY_MISMATCH)
    if account.status is AccountStatus.CLOSED:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    if command.withholding_id in state.withholdings:
        return declined(DeclineReason.WITHHOLDING_SPENT)
    left_minor = command.amount_minor
    allocations = []
    for authorization_id in account.unpaid or ():
        if not left_minor:
            break
        purchase = state.authorizations[authorization_id]
        paid_minor = min(left_minor, purchase.outstanding_minor)
        parts = draw_outstanding(purchase.outstanding_parts, paid_minor)
        allocations.append(e.Allocation(authorization_id, paid_minor, parts))
        left_minor -= paid_minor
    return e.Repaid(
        command.account_id,
        make_id(
            IdKind.REPAYMENT,
            account.slot,
            state.shard,
            state.sequence + 1,
        ),
        command.amount_minor,
        tuple(allocations),
        left_minor,
        account.open_to_buy_minor + command.amount_minor,
        command.withheld_from,
        command.withholding_id,
    )


def apply_repaid(state: ShardState, event: e.Repaid) -> None:
    account = state.accounts[event.account_id]
    for allocation in event.allocations:
        purchase = state.authorizations[allocation.authorization_id]
        pay_claims(state, purchase, allocation.parts)
        lower_outstanding(account, purchase, allocation.amount_minor, allocation.parts)
    account.credit_minor += event.credit_minor
    if event.withholding_id:
        state.withholdings[event.withholding_id] = event.repayment_id
    state.totals.repaid_minor += event.amount_minor
    state.totals.repaid_count += 1
    assert account.open_to_buy_minor == event.open_to_buy_minor
