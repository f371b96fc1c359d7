"""Seeded wishes, as the customers of a lender have them.

Pure: the next wish follows from the seed and from the books, that is, from the
answers so far.  A load test and a simulator drive the same workload; only what
carries the wish differs.

What is borrowed is paid back, so that limits fill and empty again.  One
workload owns its accounts: it has one wish under way at a time, so every answer
can be foreseen exactly.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from loadtest.books import AccountBook, Purchase
from loadtest.choice import Chooser
from loadtest.expected import CURRENCY, Expected
from loadtest.wishes import Kind, Wish

OPEN_MAX = 20  # Authorizations, and holds, that an account keeps open.

WEIGHTS: dict[Kind, int] = {
    Kind.BUY: 200,
    Kind.AUTHORIZE: 170,
    Kind.CAPTURE_PART: 60,
    Kind.CAPTURE_REST: 90,
    Kind.CAPTURE_ABOVE: 10,
    Kind.REVERSE_PART: 15,
    Kind.REVERSE_REST: 30,
    Kind.INCREMENT: 30,
    Kind.HOLD: 40,
    Kind.HOLD_MORE: 10,
    Kind.RELEASE_PART: 8,
    Kind.RELEASE_REST: 12,
    Kind.CONVERT_PART: 8,
    Kind.CONVERT_REST: 15,
    Kind.REFUND_PART: 40,
    Kind.REFUND_REST: 25,
    Kind.REPAY: 60,
    Kind.LEAVE: 10,
    Kind.LEAVE_HOLD: 5,
    Kind.TOO_LATE: 4,
    Kind.READ_ACCOUNT: 50,
    Kind.READ_PURCHASE: 20,
    Kind.READ_HOLD: 8,
    Kind.READ_LEFT: 15,
    Kind.AGAIN: 30,
    Kind.BESIDE: 15,
    Kind.CONFLICT: 12,
    Kind.OVER_LIMIT: 15,
    Kind.OVER_CAPTURE: 6,
    Kind.OVER_REVERSE: 5,
    Kind.OVER_RELEASE: 4,
    Kind.OVER_CONVERT: 4,
    Kind.OVER_REFUND: 6,
    Kind.NOBODY: 4,
}
_KINDS = list(WEIGHTS)
_WEIGHTS = list(WEIGHTS.values())


class Workload(Chooser):
    """The wishes of one client over its own accounts."""

    def __init__(
        self, seed: int, name: str, expected: Expected, merchants: Sequence[str]
    ) -> None:
        super().__init__(seed, name, expected, merchants)
        self.name = name
        self._count = 0

    def next_wish(self) -> Wish:
        """The next one; every wish has an answer to be judged before the next."""
        self._count += 1
        kind = self._random.choices(_KINDS, _WEIGHTS)[0]
        wish = _MAKE[kind](self, kind)
        if wish is None:  # Nothing there that it could be about.
            wish = self._buy(Kind.BUY) or self._read_account(Kind.READ_ACCOUNT)
        assert wish is not None
        return wish

    # Wording.

    def _wish(
        self, kind: Kind, command: str, account: AccountBook, **fields: Any
    ) -> Wish:
        number = f"{self.name}-{self._count}"
        request_id = "" if command.startswith("read_") else number
        return Wish(number, kind, command, request_id, account.account_id, fields)

    def _authorize(
        self, kind: Kind, account: AccountBook, minor: int, **more: Any
    ) -> Wish:
        fields = {
            "account_id": account.account_id,
            "merchant_id": self._merchant(),
            "amount_minor": minor,
            "currency": CURRENCY,
        }
        return self._wish(kind, "authorize", account, **(fields | more))

    def _place_hold(self, kind: Kind, account: AccountBook) -> Wish:
        return self._wish(
            kind,
            "place_hold",
            account,
            account_id=account.account_id,
            amount_minor=self._amount(),
            currency=CURRENCY,
        )

    # One function a kind, or a few that are alike.

    def _buy(self, kind: Kind) -> Wish | None:
        account = self._account(self._lasting)
        if account is None:
            return None
        return self._authorize(kind, account, self._amount(), capture=True)

    def _keep_open(self, kind: Kind) -> Wish | None:
        accounts = self._lapsing if kind is Kind.LEAVE else self._lasting
        account = self._account(accounts)
        if account is None or account.open_count >= OPEN_MAX:
            return None
        return self._authorize(kind, account, self._amount())

    def _keep_held(self, kind: Kind) -> Wish | None:
        accounts = self._lapsing if kind is Kind.LEAVE_HOLD else self._lasting
        account = self._account(accounts)
        if account is None or account.hold_count >= OPEN_MAX:
            return None
        return self._place_hold(kind, account)

    def _beside(self, kind: Kind) -> Wish | None:
        account = self._account(self._lasting)
        if account is None or account.open_count >= OPEN_MAX:
            return None
        return self._authorize(
            kind, account, self._amount(), capture=self._random.random() < 0.5
        )

    def _over_limit(self, kind: Kind) -> Wish | None:
        account = self._account(self._lasting)
        if account is None:
            return None
        over_minor = self._random.choice((1, 2, self._amount()))
        minor = max(1, account.open_to_buy_minor + over_minor)
        return self._authorize(kind, account, minor)

    def _nobody(self, kind: Kind) -> Wish | None:
        account = self._account(self._lasting)
        if account is None:
            return None
        nobody = f"{account.account_id}-nobody"
        return self._authorize(kind, account, self._amount(), account_id=nobody)

    def _change_open(self, kind: Kind) -> Wish | None:
        found = self._purchase(lambda account, purchase: purchase.open_minor > 0)
        if found is None:
            return None
        account, purchase = found
        command, fields = self._change_of(kind, account, purchase)
        return self._wish(
            kind,
            command,
            account,
            authorization_id=purchase.authorization_id,
            **fields,
        )

    def _change_of(
        self, kind: Kind, account: AccountBook, purchase: Purchase
    ) -> tuple[str, dict[str, Any]]:
        open_minor = purchase.open_minor
        capture, reverse = "capture_authorization", "reverse_authorization"
        match kind:
            case Kind.CAPTURE_PART:
                final = self._random.random() < 0.4
                return capture, {"amount_minor": self._part(open_minor), "final": final}
            case Kind.CAPTURE_REST:
                return capture, {}
            case Kind.CAPTURE_ABOVE:
                most_minor = open_minor * account.capture_tolerance_ppm // 1_000_000
                above_minor = self._random.randint(1, max(1, most_minor))
                return capture, {"amount_minor": open_minor + above_minor}
            case Kind.OVER_CAPTURE:
                return capture, {"amount_minor": 2 * purchase.total_minor + 1}
            case Kind.REVERSE_PART:
                return reverse, {"amount_minor": self._part(open_minor)}
            case Kind.REVERSE_REST:
                return reverse, {}
            case Kind.OVER_REVERSE:
                return reverse, {"amount_minor": open_minor + self._amount()}
        assert kind is Kind.INCREMENT
        return "increment_authorization", {"amount_minor": self._amount()}

    def _refund(self, kind: Kind) -> Wish | None:
        found = self._purchase(lambda account, purchase: purchase.captured_minor > 0)
        if found is None:
            return None
        account, purchase = found
        fields: dict[str, Any] = {"authorization_id": purchase.authorization_id}
        if kind is Kind.REFUND_PART:
            fields["amount_minor"] = self._part(purchase.refundable_minor)
        elif kind is Kind.OVER_REFUND:
            fields["amount_minor"] = purchase.refundable_minor + self._amount()
        return self._wish(kind, "refund", account, **fields)

    def _change_hold(self, kind: Kind) -> Wish | None:
        found = self._hold()
        if found is None:
            return None
        account, hold = found
        fields: dict[str, Any] = {"hold_id": hold.hold_id}
        if kind in (Kind.RELEASE_PART, Kind.CONVERT_PART):
            fields["amount_minor"] = self._part(hold.held_minor)
        elif kind is Kind.HOLD_MORE:
            fields["amount_minor"] = self._amount()
        elif kind in (Kind.OVER_RELEASE, Kind.OVER_CONVERT):
            fields["amount_minor"] = hold.held_minor + self._amount()
        if kind in (Kind.CONVERT_PART, Kind.CONVERT_REST, Kind.OVER_CONVERT):
            fields["merchant_id"] = self._merchant()
            fields["capture"] = self._random.random() < 0.5
            fields["final"] = self._random.random() < 0.5
            return self._wish(kind, "convert_hold", account, **fields)
        command = "increase_hold" if kind is Kind.HOLD_MORE else "release_hold"
        return self._wish(kind, command, account, **fields)

    def _repay(self, kind: Kind) -> Wish | None:
        account = self._account(self._lasting)
        if account is None:
            return None
        owed_minor = account.outstanding_minor
        minor = self._random.choice(
            (owed_minor, self._part(owed_minor), owed_minor + self._amount())
        )
        return self._wish(
            kind,
            "repay",
            account,
            account_id=account.account_id,
            amount_minor=max(1, minor),
            currency=CURRENCY,
        )

    def _too_late(self, kind: Kind) -> Wish | None:
        account = self._account(self._lapsing)
        expired = account and [
            purchase.authorization_id
            for purchase in account.purchases.values()
            if purchase.is_expired
        ]
        if not account or not expired:
            return None
        authorization_id = self._random.choice(expired[-OPEN_MAX:])
        return self._wish(
            kind, "capture_authorization", account, authorization_id=authorization_id
        )

    def _read_account(self, kind: Kind) -> Wish | None:
        account = self._account(self._lasting + self._lapsing) or self._lasting[0]
        return self._wish(kind, "read_account", account, account_id=account.account_id)

    def _read_purchase(self, kind: Kind) -> Wish | None:
        found = self._purchase(lambda account, purchase: True)
        return found and self._wish(
            kind,
            "read_authorization",
            found[0],
            authorization_id=found[1].authorization_id,
        )

    def _read_hold(self, kind: Kind) -> Wish | None:
        found = self._hold()
        return found and self._wish(
            kind, "read_hold", found[0], hold_id=found[1].hold_id
        )

    def _read_left(self, kind: Kind) -> Wish | None:
        account = self._account(self._lapsing)
        left = list(left_open(account)) if account else []
        if account is None or not left:
            return None
        command, fields = left[0]  # The oldest runs out first.
        return self._wish(kind, command, account, **fields)

    def _repeat(self, kind: Kind) -> Wish | None:
        known = [
            wish
            for wish in self._expected.recent
            if kind is Kind.AGAIN or "amount_minor" in wish.fields
        ]
        if not known:
            return None
        first = self._random.choice(known)
        fields, differs = dict(first.fields), ""
        if kind is Kind.CONFLICT:
            differs = "amount_minor"
            fields[differs] += 1
        return Wish(
            f"{self.name}-{self._count}",
            kind,
            first.command,
            first.request_id,
            first.account_id,
            fields,
            differs,
        )


def left_open(account: AccountBook) -> Iterable[tuple[str, dict[str, Any]]]:
    """How to look at everything that may have run out unseen, oldest first."""
    for purchase in account.purchases.values():
        if purchase.open_minor:
            yield "read_authorization", {"authorization_id": purchase.authorization_id}
    for hold in account.holds.values():
        if hold.held_minor:
            yield "read_hold", {"hold_id": hold.hold_id}


_MAKE: dict[Kind, Callable[[Workload, Kind], Wish | None]] = {
    Kind.BUY: Workload._buy,
    Kind.AUTHORIZE: Workload._keep_open,
    Kind.LEAVE: Workload._keep_open,
    Kind.HOLD: Workload._keep_held,
    Kind.LEAVE_HOLD: Workload._keep_held,
    Kind.BESIDE: Workload._beside,
    Kind.OVER_LIMIT: Workload._over_limit,
    Kind.NOBODY: Workload._nobody,
    Kind.REPAY: Workload._repay,
    Kind.TOO_LATE: Workload._too_late,
    Kind.READ_ACCOUNT: Workload._read_account,
    Kind.READ_PURCHASE: Workload._read_purchase,
    Kind.READ_HOLD: Workload._read_hold,
    Kind.READ_LEFT: Workload._read_left,
    Kind.AGAIN: Workload._repeat,
    Kind.CONFLICT: Workload._repeat,
    Kind.REFUND_PART: Workload._refund,
    Kind.REFUND_REST: Workload._refund,
    Kind.OVER_REFUND: Workload._refund,
    Kind.HOLD_MORE: Workload._change_hold,
    Kind.RELEASE_PART: Workload._change_hold,
    Kind.RELEASE_REST: Workload._change_hold,
    Kind.CONVERT_PART: Workload._change_hold,
    Kind.CONVERT_REST: Workload._change_hold,
    Kind.OVER_RELEASE: Workload._change_hold,
    Kind.OVER_CONVERT: Workload._change_hold,
    Kind.CAPTURE_PART: Workload._change_open,
    Kind.CAPTURE_REST: Workload._change_open,
    Kind.CAPTURE_ABOVE: Workload._change_open,
    Kind.OVER_CAPTURE: Workload._change_open,
    Kind.REVERSE_PART: Workload._change_open,
    Kind.REVERSE_REST: Workload._change_open,
    Kind.OVER_REVERSE: Workload._change_open,
    Kind.INCREMENT: Workload._change_open,
}
assert set(_MAKE) == set(WEIGHTS) == set(Kind)
