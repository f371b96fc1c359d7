"""What one account has bought and owes, as the server's answers tell it.

The client keeps these books to know which purchase a cancellation gives back
and what there is to repay.  The rule: only what the server approved is booked.
So the books come out the same whenever the same answers are heard again,
which is what lets an interrupted replay continue.

What is left of a purchase is kept by item; the sum over its items is what is
left of the purchase, so no item can take more than either.
"""

from collections.abc import Sequence

import msgspec


class ItemAmount(msgspec.Struct, frozen=True, gc=False):
    """One item of an invoice and the money on it, always positive."""

    stock_code: str
    amount_minor: int


class BoughtPurchase(msgspec.Struct):
    """An approved purchase, and what was not given back of each item."""

    invoice_no: str
    authorization_id: str
    left_minor: dict[str, int]


class WantedRefund(msgspec.Struct):
    """What one cancellation takes of one purchase; `lines` are its line numbers."""

    purchase: BoughtPurchase
    items: list[ItemAmount]
    lines: set[int]

    @property
    def amount_minor(self) -> int:
        """The amount of the one refund command."""
        return sum(item.amount_minor for item in self.items)


class AccountBook(msgspec.Struct):
    """The books of one account; purchases oldest first."""

    purchases: list[BoughtPurchase] = []
    owed_minor: int = 0  # Negative: the account has credit.

    def book_purchase(
        self, invoice_no: str, authorization_id: str, items: Sequence[ItemAmount]
    ) -> None:
        """A purchase was approved."""
        left_minor: dict[str, int] = {}
        for item in items:
            left_minor[item.stock_code] = (
                left_minor.get(item.stock_code, 0) + item.amount_minor
            )
        self.purchases.append(BoughtPurchase(invoice_no, authorization_id, left_minor))
        self.owed_minor += sum(left_minor.values())

    def take_back(
        self, lines: Sequence[ItemAmount]
    ) -> tuple[list[WantedRefund], set[int]]:
        """Match a cancellation's lines with purchases, the most recent first.

        Takes what it matches out of the books.  Returns the refunds to ask
        for, one a purchase, and the numbers of the lines that were not
        matched in full.
        """
        refunds: dict[str, WantedRefund] = {}
        unmatched = set()
        for number, line in enumerate(lines):
            missing_minor = line.amount_minor
            for purchase in reversed(self.purchases):
                if not missing_minor:
                    break
                taken = _take(purchase, line.stock_code, missing_minor)
                if taken:
                    missing_minor -= taken
                    refund = refunds.setdefault(
                        purchase.authorization_id, WantedRefund(purchase, [], set())
                    )
                    refund.items.append(ItemAmount(line.stock_code, taken))
                    refund.lines.add(number)
            if missing_minor:
                unmatched.add(number)
        return list(refunds.values()), unmatched

    def book_refund(self, refund: WantedRefund) -> None:
        """A refund was approved."""
        self.owed_minor -= refund.amount_minor

    def put_back(self, refund: WantedRefund) -> None:
        """A refund was declined: what it took is there again."""
        for item in refund.items:
            refund.purchase.left_minor[item.stock_code] += item.amount_minor

    def book_repayment(self, amount_minor: int) -> None:
        """A repayment was approved."""
        self.owed_minor -= amount_minor


def _take(purchase: BoughtPurchase, stock_code: str, wanted_minor: int) -> int:
    left = purchase.left_minor.get(stock_code, 0)
    taken = min(left, wanted_minor)
    if taken:
        purchase.left_minor[stock_code] = left - taken
    return taken
