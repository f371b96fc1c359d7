"""The rules of merchants' payouts, at settlement: owed, withheld, given back.

A merchant is owed the payout of every closed day.  A repayment of a customer's
account may be taken from it first: settlement withholds what there is, at most
what was asked, and the account's shard then books the repayment.  When the
shard declines, the withholding is released.  Nothing here knows whether the
second step has been done: that is what the same request asks again, and what
the audit counts.
"""

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.ids import IdKind, make_id, slot_of_account
from processor.rules import declined
from processor.settlement_state import Payable, SettlementState, Withholding


def decide_withhold(state: SettlementState, command: c.WithholdFromMerchant) -> e.Event:
    if command.merchant_id not in state.merchants:
        return declined(DeclineReason.MERCHANT_NOT_FOUND)
    by_currency = state.payables.get(command.merchant_id, {})
    payable = by_currency.get(command.currency) or Payable()
    withheld_minor = min(command.amount_minor, max(0, payable.payable_minor))
    withholding_id = ""
    if withheld_minor:
        slot = slot_of_account(command.account_id)
        withholding_id = make_id(IdKind.WITHHOLDING, slot, 0, state.sequence + 1)
    return e.MerchantWithheld(
        withholding_id,
        command.account_id,
        command.merchant_id,
        command.amount_minor,
        command.currency,
        withheld_minor,
    )


def apply_withheld(state: SettlementState, event: e.MerchantWithheld) -> None:
    if not event.withheld_minor:
        return
    payable = state.payables[event.merchant_id][event.currency]
    payable.withheld_minor += event.withheld_minor
    assert payable.payable_minor >= 0
    assert event.withholding_id not in state.withholdings
    state.withholdings[event.withholding_id] = Withholding(
        event.merchant_id, event.currency, event.withheld_minor
    )


def decide_release(state: SettlementState, command: c.ReleaseWithholding) -> e.Event:
    withholding = state.withholdings.get(command.withholding_id)
    if withholding is None:
        return declined(DeclineReason.WITHHOLDING_NOT_FOUND)
    if withholding.is_released:
        return declined(DeclineReason.WITHHOLDING_NOT_OPEN)
    return e.WithholdingReleased(
        command.withholding_id,
        withholding.merchant_id,
        withholding.currency,
        withholding.withheld_minor,
    )


def apply_released(state: SettlementState, event: e.WithholdingReleased) -> None:
    withholding = state.withholdings[event.withholding_id]
    assert not withholding.is_released
    assert withholding.withheld_minor == event.released_minor
    withholding.is_released = True
    payable = state.payables[event.merchant_id][event.currency]
    payable.withheld_minor -= event.released_minor
    assert payable.withheld_minor >= 0


def count_day(state: SettlementState, totals: e.DayTotals) -> None:
    """A day is closed: its payouts are owed."""
    for merchant_id, merchant in totals.merchants.items():
        payables = state.payables.setdefault(merchant_id, {})
        for currency, payout_minor in merchant.payout_minor.items():
            payable = payables.setdefault(currency, Payable())
            payable.closed_minor += payout_minor
