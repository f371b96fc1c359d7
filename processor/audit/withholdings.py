"""What was withheld from merchants, and what became of it, as the audit reckons.

A withholding ends as one repayment, whole, or is released; until then it is
open, which is no difference: whoever asked for it can still finish it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from processor import events as e
from processor.audit.books import Books, Withheld

MerchantCurrency = tuple[str, str]


class HasBooks(Protocol):
    """A shard's audit, as far as it matters here."""

    @property
    def books(self) -> Books: ...


class Payouts:
    """What settlement's journal says of merchants' payouts, summed up again."""

    def __init__(self, differ: Callable[[str], None]) -> None:
        self.withholdings: dict[str, Withheld] = {}
        self.released_ids: set[str] = set()
        self._closed: Counter[MerchantCurrency] = Counter()
        self._withheld: Counter[MerchantCurrency] = Counter()
        self._differ = differ

    def payables(self) -> dict[MerchantCurrency, tuple[int, int]]:
        """By merchant and currency: the payout of closed days, and what is withheld."""
        names = self._closed.keys() | self._withheld.keys()
        sums = {name: (self._closed[name], self._withheld[name]) for name in names}
        return {name: both for name, both in sums.items() if any(both)}

    def day_closed(self, totals: e.DayTotals) -> None:
        """The day's payout is owed, by the figures that make it up."""
        for merchant_id, merchant in totals.merchants.items():
            by_figures = (
                merchant.captured_minor
                - merchant.refunded_minor
                - merchant.fee_minor
                + merchant.fee_back_minor
                + merchant.subsidy_minor
                - merchant.subsidy_back_minor
                - merchant.borne_minor
            )
            if by_figures != sum(merchant.payout_minor.values()):
                self._differ(f"the payout of {merchant_id} is not {by_figures}.")
            for currency, minor in merchant.payout_minor.items():
                self._closed[merchant_id, currency] += minor

    def withheld(self, event: e.MerchantWithheld) -> None:
        """Never more than was asked, or than the merchant is owed; but that much."""
        name = (event.merchant_id, event.currency)
        owed = max(0, self._closed[name] - self._withheld[name])
        due = owed if owed < event.amount_minor else event.amount_minor
        if event.withheld_minor != due:
            self._differ(f"it withholds {event.withheld_minor} where {due} was due.")
        self._withheld[name] += event.withheld_minor
        if bool(event.withholding_id) != bool(event.withheld_minor):
            self._differ("it names a withholding of nothing, or does not name one.")
        if event.withholding_id in self.withholdings:
            self._differ(f"withholding {event.withholding_id} is there already.")
        if event.withholding_id:
            self.withholdings[event.withholding_id] = Withheld(
                event.account_id,
                event.merchant_id,
                event.currency,
                event.withheld_minor,
            )

    def released(self, event: e.WithholdingReleased) -> None:
        """A withholding goes back whole, once, to whom it was taken from."""
        withheld = self.withholdings.get(event.withholding_id)
        said = (event.merchant_id, event.currency, event.released_minor)
        if withheld is None or event.withholding_id in self.released_ids:
            self._differ(f"withholding {event.withholding_id} is not open.")
        elif said != (withheld.merchant_id, withheld.currency, withheld.amount_minor):
            self._differ(f"withholding {event.withholding_id} is released otherwise.")
        self.released_ids.add(event.withholding_id)
        self._withheld[event.merchant_id, event.currency] -= event.released_minor


def repaid_by_merchant(books: Books, currency: str, event: e.Repaid) -> None:
    """A repayment out of a payout names the merchant and the withholding, once."""
    if event.withheld_from not in books.merchants or not event.withholding_id:
        books.differ(f"it is withheld from {event.withheld_from!r} as nothing.")
    if event.withholding_id in books.withheld:
        books.differ(f"withholding {event.withholding_id} is repaid a second time.")
    books.withheld[event.withholding_id] = Withheld(
        event.account_id, event.withheld_from, currency, event.amount_minor
    )


def open_withholdings(payouts: Payouts, shards: Sequence[HasBooks]) -> dict[str, int]:
    """By id what is withheld, in minor units, and still to be finished."""
    repaid = {key for shard in shards for key in shard.books.withheld}
    return {
        key: withheld.amount_minor
        for key, withheld in payouts.withholdings.items()
        if key not in repaid and key not in payouts.released_ids
    }


def repaid_differences(payouts: Payouts, shards: Sequence[HasBooks]) -> list[str]:
    """Repayments that are no withholding, another one, or one too many."""
    differences = []
    seen: set[str] = set()
    for shard in shards:
        for key, repaid in shard.books.withheld.items():
            who = f"{shard.books.journal}: withholding {key}"
            if payouts.withholdings.get(key) != repaid:
                differences.append(f"{who} is not what settlement withheld.")
            if key in payouts.released_ids:
                differences.append(f"{who} is repaid although it was released.")
            if key in seen:
                differences.append(f"{who} is repaid on another shard, too.")
            seen.add(key)
    return differences
