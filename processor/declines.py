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
    CURRENCY_MISMATCH = "currency_mismatch"
    SHARES_NOT_WHOLE = "shares_not_whole"
    CATEGORY_REPEATED = "category_repeated"
    # Its state does not allow it.
    ACCOUNT_CLOSED = "account_closed"
    ACCOUNT_FROZEN = "account_frozen"
    ACCOUNT_NOT_FROZEN = "account_not_frozen"
    ACCOUNT_IN_USE = "account_in_use"
    AUTHORIZATION_NOT_OPEN = "authorization_not_open"
    AUTHORIZATION_NOT_CAPTURED = "authorization_not_captured"
    HOLD_NOT_OPEN = "hold_not_open"
    DAY_NOT_OPEN = "day_not_open"
    NEXT_DAY_NOT_LATER = "next_day_not_later"
    UNTIL_DAY_PAST = "until_day_past"
    # The amount is more than there is.
    CAPTURE_EXCEEDS_AUTHORIZED = "capture_exceeds_authorized"
    REVERSAL_EXCEEDS_OPEN = "reversal_exceeds_open"
    RELEASE_EXCEEDS_HELD = "release_exceeds_held"
    CONVERSION_EXCEEDS_HELD = "conversion_exceeds_held"
    REFUND_EXCEEDS_CAPTURED = "refund_exceeds_captured"
    WITHDRAWAL_EXCEEDS_DEPOSIT = "withdrawal_exceeds_deposit"
    # A bound of the processor.
    TOO_MANY_HOLDS = "too_many_holds"
    TOO_MANY_AUTHORIZATIONS = "too_many_authorizations"
    TOO_MANY_REGISTERED = "too_many_registered"
    AMOUNT_TOO_LARGE = "amount_too_large"
    # Money: the borrower's first, the lender's last.
    VELOCITY_PURCHASE = "velocity_purchase"
    VELOCITY_DAILY = "velocity_daily"
    VELOCITY_MONTHLY = "velocity_monthly"
    CREDIT_LIMIT_EXCEEDED = "credit_limit_exceeded"
    RESERVE_EXHAUSTED = "reserve_exhausted"

    @property
    def is_transient(self) -> bool:
        """Whether a new request, with a new id, could turn out otherwise."""
        return self not in _PERMANENT


_PERMANENT = frozenset(
    {
        DeclineReason.LENDER_EXISTS,
        DeclineReason.PROGRAM_EXISTS,
        DeclineReason.ACCOUNT_EXISTS,
        DeclineReason.MERCHANT_EXISTS,
        DeclineReason.AUTHORIZATION_NOT_FOUND,
        DeclineReason.HOLD_NOT_FOUND,
        DeclineReason.CURRENCY_MISMATCH,
        DeclineReason.SHARES_NOT_WHOLE,
        DeclineReason.CATEGORY_REPEATED,
        DeclineReason.ACCOUNT_CLOSED,
        DeclineReason.AUTHORIZATION_NOT_OPEN,
        DeclineReason.HOLD_NOT_OPEN,
        DeclineReason.NEXT_DAY_NOT_LATER,
        DeclineReason.UNTIL_DAY_PAST,
    }
)
