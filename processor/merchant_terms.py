"""The rules of merchants' terms, at settlement: what is agreed must make sense.

The shards charge by what they are told (`merchants.py`); here it is decided
what they may be told.
"""

from processor import commands as c
from processor import events as e
from processor import limits
from processor.declines import DeclineReason
from processor.rules import declined
from processor.settlement_state import Merchant, SettlementState
from processor.terms import MerchantTerms


def decide_register_merchant(
    state: SettlementState, command: c.RegisterMerchant
) -> e.Event:
    if command.merchant_id in state.merchants:
        return declined(DeclineReason.MERCHANT_EXISTS)
    refused = decline_terms(command.pricing)
    if refused is not None:
        return refused
    if len(state.merchants) >= limits.MERCHANTS_MAX:
        return declined(DeclineReason.TOO_MANY_REGISTERED)
    return e.MerchantRegistered(command.merchant_id, command.name, command.pricing)


def decide_change_merchant(
    state: SettlementState, command: c.ChangeMerchant
) -> e.Event:
    merchant = state.merchants.get(command.merchant_id)
    if merchant is None:
        return declined(DeclineReason.MERCHANT_NOT_FOUND)
    refused = decline_terms(command.pricing)
    if refused is not None:
        return refused
    name = merchant.name if command.name is None else command.name
    return e.MerchantChanged(
        command.merchant_id, name, command.pricing, merchant.version + 1
    )


def decline_terms(terms: MerchantTerms | None) -> e.Declined | None:
    """What is wrong with terms: shares not whole, a cap below the minimum, …

    No fee shares at all is whole: the fee is the platform's.
    """
    if terms is None:
        return None
    shares = terms.fee_shares
    parties = {share.party_id for share in shares}
    whole = sum(share.share_ppm for share in shares) == limits.PPM
    if shares and (not whole or len(parties) != len(shares)):
        return declined(DeclineReason.SHARES_NOT_WHOLE)
    cap_minor = terms.fee_cap_minor
    if cap_minor is not None and cap_minor < terms.fee_minimum_minor:
        return declined(DeclineReason.FEE_CAP_BELOW_MINIMUM)
    payers = {subsidy.payer_id for subsidy in terms.subsidies}
    if len(payers) != len(terms.subsidies):
        return declined(DeclineReason.SUBSIDY_PAYER_REPEATED)
    return None


def apply_merchant_registered(
    state: SettlementState, event: e.MerchantRegistered
) -> None:
    state.merchants[event.merchant_id] = Merchant(event.name, event.terms)
    state.registered_on[f"merchant:{event.merchant_id}"] = state.day
    state.reference.append(event)


def apply_merchant_changed(state: SettlementState, event: e.MerchantChanged) -> None:
    merchant = state.merchants[event.merchant_id]
    assert event.version == merchant.version + 1
    merchant.name = event.name
    merchant.terms = event.terms
    merchant.version = event.version
    state.reference.append(event)
