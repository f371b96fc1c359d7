"""What an answer may be, foreseen from the client's books.

One function a command.  Each says what an approval would look like, what a
decline would, or both where something may have run out unseen.  Field by field:
nothing may be missing, and nothing may be there that is not foreseen.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from loadtest.books import AccountBook, HoldBook, Purchase

PPM = 1_000_000
# Whether a new request could turn out otherwise, by the reasons met here.
IS_TRANSIENT = {
    "account_not_found": True,
    "authorization_not_found": False,
    "authorization_not_open": False,
    "authorization_not_captured": True,
    "hold_not_open": False,
    "capture_exceeds_authorized": True,
    "reversal_exceeds_open": True,
    "release_exceeds_held": True,
    "conversion_exceeds_held": True,
    "refund_exceeds_captured": True,
    "credit_limit_exceeded": True,
}


class Between(msgspec.Struct, frozen=True):
    """A whole number in a range, both ends included."""

    least: int
    most: int

    def fits(self, value: object) -> bool:
        """Whether a value is one of these."""
        return type(value) is int and self.least <= value <= self.most


class Fresh(msgspec.Struct, frozen=True):
    """An id that the server has just made, and never before."""

    prefix: str

    def fits(self, value: object) -> bool:
        """Whether a value has the form; the caller sees to it that it is new."""
        return isinstance(value, str) and value.startswith(f"{self.prefix}_")


class Day(msgspec.Struct, frozen=True):
    """A business day; which one, only the server knows."""

    def fits(self, value: object) -> bool:
        """Whether a value reads like a date."""
        return isinstance(value, str) and len(value) == 10 and value[4] == "-"


Fields = dict[str, Any]
TIME_MS = Between(1, 2**53 - 1)


class Foreseen(msgspec.Struct):
    """What may come: None where it must not."""

    approval: Fields | None = None
    decline: Fields | None = None


Foresee = Callable[[AccountBook, Fields], Foreseen]


def declined(reason: str, missing_least: int = 0, missing_most: int = 0) -> Fields:
    """A decline; the missing headroom stands in it when there is any."""
    fields: Fields = {
        "status": "declined",
        "reason": reason,
        "transient": IS_TRANSIENT[reason],
    }
    if missing_most > 0:
        name = "excess" if "_exceeds_" in reason else "headroom_missing"
        fields[f"{name}_minor"] = Between(
            max(1, missing_least), max(missing_least, missing_most)
        )
    return fields


def only(fields: Fields) -> Foreseen:
    """It must be this decline."""
    return Foreseen(decline=fields)


def approved(account: AccountBook, change_minor: int, **fields: Any) -> Fields:
    """An approval after which open-to-buy has changed by so much."""
    left_minor = account.open_to_buy_minor + change_minor
    left = Between(left_minor, left_minor + account.doubt_minor)
    return {"status": "approved", **fields, "open_to_buy_minor": left}


def within_limit(
    account: AccountBook, minor: int, approval: Fields, **declined_as: Any
) -> Foreseen:
    """Approved if the limit has room for so much more, else declined for it."""
    low, high = account.open_to_buy_minor, account.open_to_buy_minor
    high += account.doubt_minor
    decline = declined("credit_limit_exceeded", minor - high, minor - low)
    decline |= declined_as
    return Foreseen(
        approval if minor <= high else None, decline if minor > low else None
    )


def foresee_authorize(account: AccountBook, wish: Fields) -> Foreseen:
    if wish["account_id"] != account.account_id:
        return only(declined("account_not_found"))
    minor = wish["amount_minor"]
    approval = approved(
        account,
        -minor,
        authorization_id=Fresh("au"),
        account_id=account.account_id,
        amount_minor=minor,
        captured_minor=minor if wish.get("capture") else 0,
        expires_at_ms=TIME_MS,
    )
    return within_limit(account, minor, approval, authorization_id=Fresh("au"))


def foresee_place_hold(account: AccountBook, wish: Fields) -> Foreseen:
    minor = wish["amount_minor"]
    approval = _held(account, Fresh("ho"), minor, -minor) | {"expires_at_ms": TIME_MS}
    return within_limit(account, minor, approval)


def foresee_repay(account: AccountBook, wish: Fields) -> Foreseen:
    minor = wish["amount_minor"]
    principal_minor = min(minor, account.outstanding_minor)
    return Foreseen(
        approved(
            account,
            minor,
            repayment_id=Fresh("rp"),
            account_id=account.account_id,
            amount_minor=minor,
            principal_minor=principal_minor,
            interest_minor=0,  # Nothing is billed within a load test.
            fee_minor=0,
            penalty_minor=0,
            credit_minor=minor - principal_minor,
            provisional=False,
        )
    )


def _purchase(account: AccountBook, wish: Fields) -> Purchase:
    return account.purchases[wish["authorization_id"]]


def foresee_increment(account: AccountBook, wish: Fields) -> Foreseen:
    purchase, minor = _purchase(account, wish), wish["amount_minor"]
    if not purchase.open_minor:
        return only(declined("authorization_not_open"))
    approval = approved(
        account,
        -minor,
        authorization_id=purchase.authorization_id,
        amount_minor=minor,
    )
    return within_limit(account, minor, approval)


def foresee_capture(account: AccountBook, wish: Fields) -> Foreseen:
    purchase = _purchase(account, wish)
    if not purchase.open_minor:
        return only(declined("authorization_not_open"))
    minor = wish.get("amount_minor") or purchase.open_minor
    extra_minor = max(0, minor - purchase.open_minor)
    # The tolerance is of what stands: what was given back is authorized no more.
    standing_minor = purchase.total_minor - purchase.given_back_minor
    if extra_minor > standing_minor * account.capture_tolerance_ppm // PPM:
        return only(declined("capture_exceeds_authorized", extra_minor, extra_minor))
    rest_minor = purchase.open_minor - (minor - extra_minor)
    released_minor = rest_minor if wish.get("final") else 0
    approval = approved(
        account,
        released_minor - extra_minor,
        authorization_id=purchase.authorization_id,
        capture_id=Fresh("ca"),
        amount_minor=minor,
        released_minor=released_minor,
    )
    return (
        within_limit(account, extra_minor, approval)
        if extra_minor
        else Foreseen(approval)
    )


def foresee_reverse(account: AccountBook, wish: Fields) -> Foreseen:
    purchase = _purchase(account, wish)
    if not purchase.open_minor:
        return only(declined("authorization_not_open"))
    minor = wish.get("amount_minor") or purchase.open_minor
    over_minor = minor - purchase.open_minor
    if over_minor > 0:
        return only(declined("reversal_exceeds_open", over_minor, over_minor))
    return Foreseen(
        approved(
            account,
            minor,
            authorization_id=purchase.authorization_id,
            amount_minor=minor,
        )
    )


def foresee_refund(account: AccountBook, wish: Fields) -> Foreseen:
    purchase = _purchase(account, wish)
    if not purchase.captured_minor:
        return only(declined("authorization_not_captured"))
    minor = wish.get("amount_minor") or purchase.refundable_minor
    over_minor = minor - purchase.refundable_minor
    if over_minor > 0 or not purchase.refundable_minor:
        return only(declined("refund_exceeds_captured", over_minor, over_minor))
    principal_minor = min(minor, purchase.outstanding_minor)
    return Foreseen(
        approved(
            account,
            minor,
            authorization_id=purchase.authorization_id,
            refund_id=Fresh("re"),
            amount_minor=minor,
            principal_minor=principal_minor,
            credit_minor=minor - principal_minor,
            purchase_day=Day(),
        )
    )


def _held(account: AccountBook, hold_id: Any, minor: int, change_minor: int) -> Fields:
    return approved(
        account, change_minor, hold_id=hold_id, amount_minor=minor, expires_at_ms=None
    )


def _hold(account: AccountBook, wish: Fields) -> HoldBook:
    return account.holds[wish["hold_id"]]


def foresee_increase_hold(account: AccountBook, wish: Fields) -> Foreseen:
    hold, minor = _hold(account, wish), wish["amount_minor"]
    if not hold.held_minor:
        return only(declined("hold_not_open"))
    return within_limit(account, minor, _held(account, hold.hold_id, minor, -minor))


def foresee_release_hold(account: AccountBook, wish: Fields) -> Foreseen:
    hold = _hold(account, wish)
    if not hold.held_minor:
        return only(declined("hold_not_open"))
    minor = wish.get("amount_minor") or hold.held_minor
    over_minor = minor - hold.held_minor
    if over_minor > 0:
        return only(declined("release_exceeds_held", over_minor, over_minor))
    return Foreseen(_held(account, hold.hold_id, minor, minor))


def foresee_convert_hold(account: AccountBook, wish: Fields) -> Foreseen:
    hold = _hold(account, wish)
    if not hold.held_minor:
        return only(declined("hold_not_open"))
    minor = wish.get("amount_minor") or hold.held_minor
    over_minor = minor - hold.held_minor
    if over_minor > 0:
        return only(declined("conversion_exceeds_held", over_minor, over_minor))
    return Foreseen(
        approved(
            account,
            hold.held_minor - minor if wish.get("final") else 0,
            authorization_id=Fresh("au"),
            account_id=account.account_id,
            amount_minor=minor,
            captured_minor=minor if wish.get("capture") else 0,
            expires_at_ms=TIME_MS,
        )
    )


FORESEE: dict[str, Foresee] = {
    "authorize": foresee_authorize,
    "place_hold": foresee_place_hold,
    "repay": foresee_repay,
    "increment_authorization": foresee_increment,
    "capture_authorization": foresee_capture,
    "reverse_authorization": foresee_reverse,
    "refund": foresee_refund,
    "increase_hold": foresee_increase_hold,
    "release_hold": foresee_release_hold,
    "convert_hold": foresee_convert_hold,
}
