"""Reasons to decline: their order is the precedence, and it never changes."""

import pytest

from processor.declines import DeclineReason

# From the first that is reported to the last.  New ones may be put in between;
# what stands here keeps its order, because callers rely on it.
ORDER = [
    "lender_not_found",
    "lender_exists",
    "program_not_found",
    "program_exists",
    "program_version_mismatch",
    "account_not_found",
    "account_exists",
    "authorization_not_found",
    "hold_not_found",
    "merchant_not_found",
    "merchant_exists",
    "plan_not_found",
    "purchase_not_found",
    "repayment_not_found",
    "write_off_not_found",
    "recovery_not_found",
    "claim_not_found",
    "adjustment_not_found",
    "movement_not_found",
    "movement_exists",
    "withholding_not_found",
    "currency_mismatch",
    "shares_not_whole",
    "plans_not_unique",
    "order_not_sound",
    "fee_cap_below_minimum",
    "subsidy_payer_repeated",
    "share_below_floor",
    "share_above_cap",
    "category_repeated",
    "account_closed",
    "account_frozen",
    "account_not_frozen",
    "account_in_use",
    "account_written_off",
    "authorization_not_open",
    "authorization_not_captured",
    "hold_not_open",
    "repayment_is_final",
    "already_reversed",
    "adjustment_not_proposed",
    "not_an_order",
    "refunded_otherwise",
    "not_by_plan",
    "nothing_owed",
    "nothing_written_off",
    "day_not_open",
    "next_day_not_later",
    "lender_not_suspended",
    "movement_not_proposed",
    "withholding_not_open",
    "withholding_spent",
    "until_day_past",
    "same_caller",
    "checker_required",
    "capture_exceeds_authorized",
    "reversal_exceeds_open",
    "release_exceeds_held",
    "conversion_exceeds_held",
    "refund_exceeds_captured",
    "refund_exceeds_refundable",
    "amount_is_not_the_quote",
    "payout_exceeds_credit",
    "waiver_exceeds_charges",
    "recovery_exceeds_written_off",
    "claim_exceeds_owed",
    "withdrawal_exceeds_deposit",
    "too_many_holds",
    "too_many_authorizations",
    "too_many_registered",
    "amount_too_large",
    "velocity_purchase",
    "velocity_daily",
    "velocity_monthly",
    "credit_limit_exceeded",
    "lender_suspended",
    "program_cap_exceeded",
    "daily_cap_exceeded",
    "reserve_exhausted",
]
PERMANENT = {
    "lender_exists",
    "program_exists",
    "account_exists",
    "authorization_not_found",
    "hold_not_found",
    "merchant_exists",
    "purchase_not_found",
    "repayment_not_found",
    "write_off_not_found",
    "recovery_not_found",
    "claim_not_found",
    "adjustment_not_found",
    "movement_exists",
    "withholding_not_found",
    "currency_mismatch",
    "shares_not_whole",
    "plans_not_unique",
    "order_not_sound",
    "fee_cap_below_minimum",
    "subsidy_payer_repeated",
    "share_below_floor",
    "share_above_cap",
    "category_repeated",
    "account_closed",
    "authorization_not_open",
    "hold_not_open",
    "repayment_is_final",
    "already_reversed",
    "adjustment_not_proposed",
    "not_an_order",
    "next_day_not_later",
    "movement_not_proposed",
    "withholding_not_open",
    "withholding_spent",
    "until_day_past",
    "same_caller",
    "checker_required",
}


def test_the_order_of_the_reasons_is_what_it_always_was() -> None:
    assert ORDER == [reason.value for reason in DeclineReason]


def test_names_and_values_are_one_word() -> None:
    assert [reason.name.lower() for reason in DeclineReason] == ORDER


@pytest.mark.parametrize("reason", DeclineReason)
def test_transient_says_whether_a_new_request_could_turn_out_otherwise(
    reason: DeclineReason,
) -> None:
    assert reason.is_transient == (reason.value not in PERMANENT)


def test_the_borrowers_money_comes_before_the_lenders() -> None:
    assert [
        "credit_limit_exceeded",
        "lender_suspended",
        "program_cap_exceeded",
        "daily_cap_exceeded",
        "reserve_exhausted",
    ] == ORDER[-5:]
