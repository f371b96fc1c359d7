"""What a reading must show, foreseen from the client's books."""

from typing import Any

import msgspec

from loadtest.books import AccountBook, HoldBook, Purchase
from loadtest.foresight import TIME_MS, Between, Day, Fields

# Within a load test no statement day ends; the days are those of a new account.
_NEVER_BILLED: Fields = {
    "charges_minor": 0,
    "written_off_minor": 0,
    "past_due_minor": 0,
    "days_past_due": 0,
    "delinquency": "current",
    "statement_day": 1,
    "due_day": 21,
}
_PARTS = ("authorized_minor", "captured_minor", "refunded_minor", "outstanding_minor")


class Lenders(msgspec.Struct, frozen=True):
    """The lenders' parts of a purchase: nobody below zero, together the whole."""

    purchase: Purchase

    def fits(self, value: object) -> bool:
        """Whether the parts add up."""
        whole = (
            self.purchase.total_minor,
            self.purchase.captured_minor,
            self.purchase.refunded_minor,
            self.purchase.outstanding_minor,
        )
        try:
            parts = msgspec.convert(value, list[dict[str, int | str]])
            rows = [[int(part[name]) for name in _PARTS] for part in parts]
        except (msgspec.ValidationError, KeyError, ValueError):
            return False
        sums = tuple(sum(column) for column in zip(*rows, strict=True))
        return sums == whole and min(min(row) for row in rows) >= 0


def account_reading(account: AccountBook, currency: str) -> Fields:
    """What GET of an account must show."""
    low_minor = account.open_to_buy_minor
    return {
        "account_id": account.account_id,
        "program_id": account.program_id,
        "currency": currency,
        "status": "open",
        "limit_minor": account.limit_minor,
        "held_minor": _maybe(account, account.held_minor),
        "authorized_minor": _maybe(account, account.authorized_minor),
        "outstanding_minor": account.outstanding_minor,
        "credit_minor": account.credit_minor,
        "open_to_buy_minor": Between(low_minor, low_minor + account.doubt_minor),
        "open_holds": _maybe(account, account.hold_count),
        "open_authorizations": _maybe(account, account.open_count),
        "unpaid_purchases": len(account.unpaid),
        **_NEVER_BILLED,
    }


def _maybe(account: AccountBook, value: int) -> Any:
    """As it is, or less if it may have run out unseen."""
    return Between(0, value) if account.lapses else value


def purchase_reading(account: AccountBook, purchase: Purchase) -> Fields:
    """What GET of an authorization must show."""
    return {
        "authorization_id": purchase.authorization_id,
        "account_id": account.account_id,
        "merchant_id": purchase.merchant_id,
        "program_id": account.program_id,
        "program_version": 1,
        "status": purchase.status,
        "reference": "",
        "purchase_day": Day(),
        "expires_at_ms": TIME_MS,
        "authorized_minor": purchase.total_minor,
        "open_minor": purchase.open_minor,
        "captured_minor": purchase.captured_minor,
        "given_back_minor": purchase.given_back_minor,
        "refunded_minor": purchase.refunded_minor,
        "outstanding_minor": purchase.outstanding_minor,
        "lenders": Lenders(purchase),
    }


def hold_reading(account: AccountBook, hold: HoldBook) -> Fields:
    """What GET of a hold must show."""
    return {
        "hold_id": hold.hold_id,
        "account_id": account.account_id,
        "status": hold.status,
        "reference": "",
        "expires_at_ms": TIME_MS,
        "held_minor": hold.held_minor,
    }
