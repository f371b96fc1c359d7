"""Whom a wish is about, and how much: seeded, and as uneven as in life.

A few accounts and merchants get most of the purchases (Pareto: about four
fifths go to a fifth), and amounts have a long tail.  Disputed accounts are
never chosen.
"""

from collections.abc import Callable, Sequence
from random import Random

from loadtest.books import AccountBook, HoldBook, Purchase
from loadtest.expected import Expected

_PARETO = 1.16  # Four fifths to one fifth.
_TRIES = 6  # Accounts looked at for one that fits.
_AMOUNT_MAX = 200_000


class Chooser:
    """Chooses among the accounts and merchants of one client."""

    def __init__(
        self, seed: int, name: str, expected: Expected, merchants: Sequence[str]
    ) -> None:
        self._expected = expected
        self._random = Random(f"{seed}:{name}")
        self._lasting = self._shuffled(expected, lapses=False)
        self._lapsing = self._shuffled(expected, lapses=True)
        self._merchants = list(merchants)
        assert self._lasting
        assert self._merchants

    def _shuffled(self, expected: Expected, *, lapses: bool) -> list[AccountBook]:
        accounts = [a for a in expected.accounts.values() if a.lapses is lapses]
        self._random.shuffle(accounts)
        return accounts

    def _rank(self, count: int) -> int:
        """0 is the most popular of `count`."""
        while True:
            rank = int((self._random.paretovariate(_PARETO) - 1) * max(count, 20) / 20)
            if rank < count:
                return rank

    def _account(self, accounts: Sequence[AccountBook]) -> AccountBook | None:
        for _ in range(_TRIES):
            if not accounts:
                return None
            account = accounts[self._rank(len(accounts))]
            if account.account_id not in self._expected.disputed:
                return account
        return None

    def _purchase(
        self, fits: Callable[[AccountBook, Purchase], bool]
    ) -> tuple[AccountBook, Purchase] | None:
        for _ in range(_TRIES):
            account = self._account(self._lasting)
            if account is None:
                return None
            found = [
                purchase
                for purchase in map(account.purchases.get, account.recent_purchases)
                if purchase is not None and fits(account, purchase)
            ]
            if found:
                return account, self._random.choice(found)
        return None

    def _hold(self) -> tuple[AccountBook, HoldBook] | None:
        for _ in range(_TRIES):
            account = self._account(self._lasting)
            if account is None:
                return None
            holds = [account.holds[hold_id] for hold_id in account.recent_holds]
            found = [hold for hold in holds if hold.held_minor]
            if found:
                return account, self._random.choice(found)
        return None

    def _merchant(self) -> str:
        return self._merchants[self._rank(len(self._merchants))]

    def _amount(self) -> int:
        drawn = int(self._random.lognormvariate(7.8, 0.9))  # Median about 24.40.
        return min(max(drawn, 1), _AMOUNT_MAX)

    def _part(self, minor: int) -> int:
        """At least one minor unit, and less than all if that is possible."""
        return self._random.randint(1, max(1, minor - 1))
