"""The client's own books: what each account must be, from the answers alone.

Written from the rules of the domain and not from the processor's code, so that
the two can disagree.  A purchase left open on an account that lapses may have
run out at any moment: until somebody looks, its amount is in doubt, and the
books know an open-to-buy between two values.
"""

import msgspec

RECENT_MAX = 40  # Purchases and holds of an account that the workload may touch.


class Purchase(msgspec.Struct):
    """An authorization; total = open + captured + given back."""

    authorization_id: str
    merchant_id: str
    number: int  # Of the account's purchases: older ones are repaid first.
    total_minor: int
    captured_minor: int = 0
    given_back_minor: int = 0
    refunded_minor: int = 0
    outstanding_minor: int = 0
    is_expired: bool = False

    @property
    def open_minor(self) -> int:
        """What can still be captured or reversed."""
        return self.total_minor - self.captured_minor - self.given_back_minor

    @property
    def refundable_minor(self) -> int:
        """What can still be refunded."""
        return self.captured_minor - self.refunded_minor

    @property
    def status(self) -> str:
        """As the server words it."""
        if self.open_minor:
            return "open"
        if self.captured_minor:
            return "captured"
        return "expired" if self.is_expired else "reversed"


class HoldBook(msgspec.Struct):
    """A limit hold; `status` is what it became when nothing was left."""

    hold_id: str
    held_minor: int
    status: str = "open"


class AccountBook(msgspec.Struct):
    """One account; amounts in minor units."""

    account_id: str
    program_id: str
    limit_minor: int
    capture_tolerance_ppm: int
    lapses: bool
    held_minor: int = 0
    authorized_minor: int = 0
    outstanding_minor: int = 0
    credit_minor: int = 0
    purchases: dict[str, Purchase] = {}
    holds: dict[str, HoldBook] = {}
    unpaid: list[str] = []
    recent_purchases: list[str] = []
    recent_holds: list[str] = []
    captured_minor: int = 0  # In all, for the lenders' books.
    refunded_minor: int = 0

    @property
    def open_to_buy_minor(self) -> int:
        """What may still be bought if nothing has run out unseen."""
        return (
            self.limit_minor
            - self.held_minor
            - self.authorized_minor
            - self.outstanding_minor
            + self.credit_minor
        )

    @property
    def doubt_minor(self) -> int:
        """What may have run out unseen."""
        return self.held_minor + self.authorized_minor if self.lapses else 0

    @property
    def open_count(self) -> int:
        """Authorizations with something open, as far as anybody has seen."""
        return sum(1 for purchase in self.purchases.values() if purchase.open_minor)

    @property
    def hold_count(self) -> int:
        """Holds that hold something, as far as anybody has seen."""
        return sum(1 for hold in self.holds.values() if hold.held_minor)

    def authorize(self, authorization_id: str, merchant_id: str, minor: int) -> None:
        """A purchase occupies the limit."""
        self.purchases[authorization_id] = Purchase(
            authorization_id, merchant_id, len(self.purchases), minor
        )
        _remember(self.recent_purchases, authorization_id)
        self.authorized_minor += minor

    def increment(self, purchase: Purchase, minor: int) -> None:
        """A purchase occupies more."""
        purchase.total_minor += minor
        self.authorized_minor += minor

    def capture(self, purchase: Purchase, minor: int) -> None:
        """A part becomes a debt, which the credit balance pays first."""
        self.authorized_minor -= minor
        self.captured_minor += minor
        purchase.captured_minor += minor
        self.outstanding_minor += minor
        if not purchase.outstanding_minor:
            self.unpaid.append(purchase.authorization_id)
            self.unpaid.sort(key=lambda name: self.purchases[name].number)
        purchase.outstanding_minor += minor
        credit_minor = min(self.credit_minor, minor)
        self.credit_minor -= credit_minor
        self._pay(purchase, credit_minor)

    def give_back(self, purchase: Purchase, minor: int) -> None:
        """A part occupies the limit no more."""
        purchase.given_back_minor += minor
        self.authorized_minor -= minor

    def expire(self, purchase: Purchase) -> None:
        """Somebody has seen that it ran out."""
        purchase.is_expired = True
        self.give_back(purchase, purchase.open_minor)

    def refund(self, purchase: Purchase, minor: int) -> None:
        """Off the debt first; what was paid already becomes credit."""
        principal_minor = min(minor, purchase.outstanding_minor)
        purchase.refunded_minor += minor
        self.refunded_minor += minor
        self._pay(purchase, principal_minor)
        self.credit_minor += minor - principal_minor

    def repay(self, minor: int) -> None:
        """The oldest debt first; what is over becomes credit."""
        left_minor = minor
        for authorization_id in list(self.unpaid):
            purchase = self.purchases[authorization_id]
            paid_minor = min(left_minor, purchase.outstanding_minor)
            self._pay(purchase, paid_minor)
            left_minor -= paid_minor
        self.credit_minor += left_minor

    def _pay(self, purchase: Purchase, minor: int) -> None:
        if not minor:
            return
        purchase.outstanding_minor -= minor
        self.outstanding_minor -= minor
        if not purchase.outstanding_minor:
            self.unpaid.remove(purchase.authorization_id)

    def hold(self, hold_id: str, minor: int) -> None:
        """A hold occupies the limit."""
        self.holds[hold_id] = HoldBook(hold_id, minor)
        _remember(self.recent_holds, hold_id)
        self.held_minor += minor

    def change_hold(self, hold: HoldBook, minor: int, status_if_empty: str) -> None:
        """A hold holds more, or (negative) less."""
        hold.held_minor += minor
        self.held_minor += minor
        if not hold.held_minor:
            hold.status = status_if_empty


def _remember(recent: list[str], object_id: str) -> None:
    recent.append(object_id)
    if len(recent) > RECENT_MAX:
        del recent[0]
