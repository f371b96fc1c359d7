"""Why a command is declined.

The order of the members is the precedence: the first that applies is the one
reported.  A member is never renamed and never removed, because journals hold
its value.
"""

from enum import StrEnum


class DeclineReason(StrEnum):
    """One reason, as it stands in journals and answers."""

    # The thing named does not exist, or exists already.
    LENDER_NOT_FOUND = "lender_not_found"
    LENDER_EXISTS = "lender_exists"
    PROGRAM_NOT_FOUND = "program_not_found"
    PROGRAM_EXISTS = "program_exists"
    PROGRAM_VERSION_MISMATCH = "program_version_mismatch"
    ACCOUNT_NOT_FOUND = "account_not_found"
    ACCOUNT_EXISTS = "account_exists"
    AUTHORIZATION_NOT_FOUND = "authorization_not_found"
    HOLD_NOT_FOUND = "hold_not_found"
    MERCHANT_NOT_FOUND = "merchant_not_found"
    MERCHANT_EXISTS = "merchant_exists"
    PLAN_NOT_FOUND = "plan_not_found"
    PURCHASE_NOT_FOUND = "purchase_not_found"
    REPAYMENT_NOT_FOUND = "repayment_not_found"
    WRITE_OFF_NOT_FOUND = "write_off_not_found"
    RECOVERY_NOT_FOUND = "recovery_not_found"
    CLAIM_NOT_FOUND = "claim_not_found"
    ADJUSTMENT_NOT_FOUND = "adjustment_not_found"
    MOVEMENT_NOT_FOUND = "movement_not_found"
    MOVEMENT_EXISTS = "movement_exists"
    WITHHOLDING_NOT_FOUND = "withholding_not_found"
    CURRENCY_MISMATCH = "currency_mismatch"
    SHARES_NOT_WHOLE = "shares_not_whole"
    PLANS_NOT_UNIQUE = "plans_not_unique"
    ORDER_NOT_SOUND = "order_not_sound"
    FEE_CAP_BELOW_MINIMUM = "fee_cap_below_minimum"
    SUBSIDY_PAYER_REPEATED = "subsidy_payer_repeated"
    SHARE_BELOW_FLOOR = "share_below_floor"
    SHARE_ABOVE_CAP = "share_above_cap"
    CATEGORY_REPEATED = "category_repeated"
    # Its state does not allow it.
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    ACCOUNT_NOT_FROZEN = "account_not_frozen"
    ACCOUNT_IN_USE = "account_in_use"
    ACCOUNT_WRITTEN_OFF = "account_written_off"
    AUTHORIZATION_NOT_OPEN = "authorization_not_open"
    AUTHORIZATION_NOT_CAPTURED = "authorization_not_captured"
    HOLD_NOT_OPEN = "hold_not_open"
    REPAYMENT_IS_FINAL = "repayment_is_final"
    ALREADY_REVERSED = "already_reversed"
    ADJUSTMENT_NOT_PROPOSED = "adjustment_not_proposed"
    NOT_AN_ORDER = "not_an_order"
    REFUNDED_OTHERWISE = "refunded_otherwise"
    NOT_BY_PLAN = "not_by_plan"
    NOTHING_OWED = "nothing_owed"
    NOTHING_WRITTEN_OFF = "nothing_written_off"
    DAY_NOT_OPEN = "day_not_open"
    NEXT_DAY_NOT_LATER = "next_day_not_later"
    LENDER_NOT_SUSPENDED = "lender_not_suspended"
    MOVEMENT_NOT_PROPOSED = "movement_not_proposed"
    WITHHOLDING_NOT_OPEN = "withholding_not_open"
    WITHHOLDING_SPENT = "withholding_spent"
    UNTIL_DAY_PAST = "until_day_past"
    # Who asks may not do it alone.
    SAME_CALLER = "same_caller"
    CHECKER_REQUIRED = "checker_required"
    # The amount is more than there is.
    CAPTURE_EXCEEDS_AUTHORIZED = "capture_exceeds_authorized"
    REVERSAL_EXCEEDS_OPEN = "reversal_exceeds_open"
    RELEASE_EXCEEDS_HELD = "release_exceeds_held"
    CONVERSION_EXCEEDS_HELD = "conversion_exceeds_held"
    REFUND_EXCEEDS_CAPTURED = "refund_exceeds_captured"
    REFUND_EXCEEDS_REFUNDABLE = "refund_exceeds_refundable"
    AMOUNT_IS_NOT_THE_QUOTE = "amount_is_not_the_quote"
    PAYOUT_EXCEEDS_CREDIT = "payout_exceeds_credit"
    WAIVER_EXCEEDS_CHARGES = "waiver_exceeds_charges"
    RECOVERY_EXCEEDS_WRITTEN_OFF = "recovery_exceeds_written_off"
    CLAIM_EXCEEDS_OWED = "claim_exceeds_owed"
    WITHDRAWAL_EXCEEDS_DEPOSIT = "withdrawal_exceeds_deposit"
    # A bound of the processor.
    TOO_MANY_HOLDS = "too_many_holds"
    TOO_MANY_AUTHORIZATIONS = "too_many_authorizations"
    TOO_MANY_REGISTERED = "too_many_registered"
    AMOUNT_TOO_LARGE = "amount_too_large"
    # Money: the borrower's first, the lender's last: whether it lends at all,
    # how much through the program, how much in a day, and how much it has.
    VELOCITY_PURCHASE = "velocity_purchase"
    VELOCITY_DAILY = "velocity_daily"
    VELOCITY_MONTHLY = "velocity_monthly"
    CREDIT_LIMIT_EXCEEDED = "credit_limit_exceeded"
    LENDER_SUSPENDED = "lender_suspended"
    PROGRAM_CAP_EXCEEDED = "program_cap_exceeded"
    DAILY_CAP_EXCEEDED = "daily_cap_exceeded"
    RESERVE_EXHAUSTED = "reserve_exhausted"

    @property
    def is_transient(self) -> bool:
        """Whether a new request, with a new id, could turn out otherwise."""
        return self not in _PERMANENT

    @property
    def is_excess(self) -> bool:
        """Whether the amount is more than there is of what it is to come from."""
        return self in _EXCESS


_EXCESS = frozenset(
    {
        DeclineReason.CAPTURE_EXCEEDS_AUTHORIZED,
        DeclineReason.REVERSAL_EXCEEDS_OPEN,
        DeclineReason.RELEASE_EXCEEDS_HELD,
        DeclineReason.CONVERSION_EXCEEDS_HELD,
        DeclineReason.REFUND_EXCEEDS_CAPTURED,
        DeclineReason.REFUND_EXCEEDS_REFUNDABLE,
        DeclineReason.PAYOUT_EXCEEDS_CREDIT,
        DeclineReason.WAIVER_EXCEEDS_CHARGES,
        DeclineReason.RECOVERY_EXCEEDS_WRITTEN_OFF,
        DeclineReason.CLAIM_EXCEEDS_OWED,
        DeclineReason.WITHDRAWAL_EXCEEDS_DEPOSIT,
    }
)
_PERMANENT = frozenset(
    {
        DeclineReason.LENDER_EXISTS,
        DeclineReason.PROGRAM_EXISTS,
        DeclineReason.ACCOUNT_EXISTS,
        DeclineReason.MERCHANT_EXISTS,
        DeclineReason.AUTHORIZATION_NOT_FOUND,
        DeclineReason.HOLD_NOT_FOUND,
        DeclineReason.PURCHASE_NOT_FOUND,
        DeclineReason.REPAYMENT_NOT_FOUND,
        DeclineReason.WRITE_OFF_NOT_FOUND,
        DeclineReason.RECOVERY_NOT_FOUND,
        DeclineReason.CLAIM_NOT_FOUND,
        DeclineReason.ADJUSTMENT_NOT_FOUND,
        DeclineReason.REPAYMENT_IS_FINAL,
        DeclineReason.ALREADY_REVERSED,
        DeclineReason.ADJUSTMENT_NOT_PROPOSED,
        DeclineReason.CURRENCY_MISMATCH,
        DeclineReason.PLANS_NOT_UNIQUE,
        DeclineReason.ORDER_NOT_SOUND,
        DeclineReason.NOT_AN_ORDER,
        DeclineReason.SHARES_NOT_WHOLE,
        DeclineReason.FEE_CAP_BELOW_MINIMUM,
        DeclineReason.SUBSIDY_PAYER_REPEATED,
        DeclineReason.SHARE_BELOW_FLOOR,
        DeclineReason.SHARE_ABOVE_CAP,
        DeclineReason.CATEGORY_REPEATED,
        DeclineReason.ACCOUNT_CLOSED,
        DeclineReason.AUTHORIZATION_NOT_OPEN,
        DeclineReason.HOLD_NOT_OPEN,
        DeclineReason.NEXT_DAY_NOT_LATER,
        DeclineReason.MOVEMENT_EXISTS,
        DeclineReason.MOVEMENT_NOT_PROPOSED,
        DeclineReason.SAME_CALLER,
        DeclineReason.CHECKER_REQUIRED,
        DeclineReason.WITHHOLDING_NOT_FOUND,
        DeclineReason.WITHHOLDING_NOT_OPEN,
        DeclineReason.WITHHOLDING_SPENT,
        DeclineReason.UNTIL_DAY_PAST,
    }
)
