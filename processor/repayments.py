"""The rules of money in: repaid by the program's order, final or provisional.

A repayment restores the limit at once.  What the credit balance is overdrawn it
pays before all else.  While it is provisional it may be returned, which undoes
exactly the allocation it made, wherever that leads: the account may be over its
limit then, and says so.
"""

from processor import commands as c
from processor import events as e
from processor.allocation import allocate, owed_lines, undo
from processor.debts import pay, unpay
from processor.declines import DeclineReason
from processor.ids import IdKind, make_id
from processor.overdrawn import add_credit, take_credit
from processor.restored import apply_restored, restored_plans
from processor.rules import Decision, Moment, declined
from processor.state import (
    Account,
    Payment,
    PaymentKind,
    PaymentStatus,
    ShardState,
)


def decline_money(account: Account | None, currency: str) -> e.Declined | None:
    """What stops any money from reaching an account."""
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if account.currency != currency:
        return declined(DeclineReason.CURRENCY_MISMATCH)
    if account.is_done_for:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    return None


def decline_payment(
    state: ShardState, command: c.Repay | c.SettleEarly
) -> e.Declined | None:
    """The same of a payment that may name the purchase it is for."""
    account = state.accounts.get(command.account_id)
    if account is not None and command.authorization_id:
        purchase = state.authorizations.get(command.authorization_id)
        if purchase is None or purchase.account_id != command.account_id:
            return declined(DeclineReason.PURCHASE_NOT_FOUND)
    return decline_money(account, command.currency)


def decide_repay(state: ShardState, command: c.Repay, moment: Moment) -> Decision:
    refused = decline_payment(state, command)
    if refused is not None:
        return refused
    if command.withholding_id in state.withholdings:
        return declined(DeclineReason.WITHHOLDING_SPENT)
    account = state.accounts[command.account_id]
    overdrawn_minor = min(command.amount_minor, account.overdrawn_minor)
    owed = owed_lines(state, account, command.authorization_id)
    allocations, left_minor = allocate(
        state, account, owed, command.amount_minor - overdrawn_minor
    )
    principal_minor = sum(paid.amount_minor for paid in allocations)
    credit_minor = left_minor + overdrawn_minor
    return e.Repaid(
        command.account_id,
        make_id(IdKind.REPAYMENT, account.slot, state.shard, state.sequence + 1),
        command.amount_minor,
        allocations,
        credit_minor,
        account.open_to_buy_minor + principal_minor + credit_minor,
        command.withheld_from,
        command.withholding_id,
        # What was withheld is here already: it cannot bounce.
        command.provisional and not command.withholding_id,
    )


def apply_repaid(state: ShardState, event: e.Repaid) -> None:
    book_repayment(
        state,
        state.accounts[event.account_id],
        event.repayment_id,
        event.amount_minor,
        event.allocations,
        event.credit_minor,
        event.provisional,
    )
    if event.withholding_id:
        state.withholdings[event.withholding_id] = event.repayment_id
    account = state.accounts[event.account_id]
    assert account.open_to_buy_minor == event.open_to_buy_minor


def book_repayment(
    state: ShardState,
    account: Account,
    repayment_id: str,
    amount_minor: int,
    allocations: tuple[e.Allocation, ...],
    credit_minor: int,
    provisional: bool,
) -> None:
    """Count a payment of the borrower; a provisional one can be undone."""
    count_claims(state, allocations, 1)
    pay(state, account, allocations)
    overdrawn = add_credit(state, account, credit_minor)
    status = PaymentStatus.PROVISIONAL if provisional else PaymentStatus.FINAL
    state.payments[repayment_id] = Payment(
        account.account_id,
        PaymentKind.REPAYMENT,
        status,
        amount_minor,
        credit_minor,
        allocations if provisional else (),
        overdrawn=overdrawn if provisional else (),
    )
    state.totals.repaid_minor += amount_minor
    state.totals.repaid_count += 1


def count_claims(
    state: ShardState, allocations: tuple[e.Allocation, ...], sign: int
) -> None:
    """Count towards each lender what was paid of its claims."""
    for paid in allocations:
        purchase = state.authorizations[paid.authorization_id]
        program = state.program_versions[purchase.program_id, purchase.program_version]
        for lender_id, part in zip(program.lenders, paid.parts, strict=True):
            state.lender_totals(lender_id).claim_repaid_minor += sign * part


def decide_finalize(
    state: ShardState, command: c.FinalizeRepayment, moment: Moment
) -> Decision:
    payment = state.payments.get(command.repayment_id)
    if payment is None or payment.kind is not PaymentKind.REPAYMENT:
        return declined(DeclineReason.REPAYMENT_NOT_FOUND)
    if payment.status is not PaymentStatus.PROVISIONAL:
        return _decline_status(payment)
    return e.RepaymentFinal(command.repayment_id, payment.account_id)


def _decline_status(payment: Payment) -> e.Declined:
    if payment.status is PaymentStatus.FINAL:
        return declined(DeclineReason.REPAYMENT_IS_FINAL)
    return declined(DeclineReason.ALREADY_REVERSED)


def apply_final(state: ShardState, event: e.RepaymentFinal) -> None:
    payment = state.payments[event.repayment_id]
    payment.status = PaymentStatus.FINAL
    payment.moved = ()
    payment.allocations = ()
    payment.overdrawn = ()


def decide_return(
    state: ShardState, command: c.ReturnRepayment, moment: Moment
) -> Decision:
    payment = state.payments.get(command.repayment_id)
    if payment is None or payment.kind is not PaymentKind.REPAYMENT:
        return declined(DeclineReason.REPAYMENT_NOT_FOUND)
    if payment.status is not PaymentStatus.PROVISIONAL:
        return _decline_status(payment)
    account = state.accounts[payment.account_id]
    undone = undo(state, account, payment.allocations)
    credit_minor = payment.credit_minor + sum(back.credit_minor for back in undone)
    principal_minor = sum(back.amount_minor for back in undone)
    return e.RepaymentReturned(
        command.repayment_id,
        payment.account_id,
        payment.amount_minor,
        undone,
        credit_minor,
        account.open_to_buy_minor - principal_minor - credit_minor,
        restored_plans(state, account, payment),
    )


def apply_returned(state: ShardState, event: e.RepaymentReturned) -> None:
    account = state.accounts[event.account_id]
    payment = state.payments[event.repayment_id]
    count_claims(state, payment.allocations, -1)
    unpay(state, account, payment.allocations, event.undone)
    for plan in event.plans:
        apply_restored(state, account, plan)
    take_credit(state, account, event.credit_minor, payment.overdrawn)
    payment.status = PaymentStatus.REVERSED
    payment.moved = ()
    payment.allocations = ()
    payment.overdrawn = ()
    state.totals.returned_minor += event.amount_minor
    state.totals.returned_count += 1
    assert account.open_to_buy_minor == event.open_to_buy_minor


def decide_pay_out(
    state: ShardState, command: c.PayOutCredit, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if account.written_off_minor:
        return declined(DeclineReason.ACCOUNT_WRITTEN_OFF)
    amount_minor = command.amount_minor or max(0, account.credit_minor)
    if not amount_minor or amount_minor > account.credit_minor:
        return declined(
            DeclineReason.PAYOUT_EXCEEDS_CREDIT, amount_minor - account.credit_minor
        )
    return e.CreditPaidOut(
        command.account_id,
        amount_minor,
        account.credit_minor - amount_minor,
        account.open_to_buy_minor - amount_minor,
    )


def apply_paid_out(state: ShardState, event: e.CreditPaidOut) -> None:
    account = state.accounts[event.account_id]
    account.credit_minor -= event.amount_minor
    assert account.credit_minor == event.credit_minor >= 0
    assert account.open_to_buy_minor == event.open_to_buy_minor
