"""Judges every answer against the client's own books, and keeps them.

The rule: an answer is either exactly one of those foreseen, or it is a
complaint.  Approvals change the books; declines, replays and conflicts change
nothing.  An account with a complaint is disputed: its books prove nothing any
more, and the workload leaves it alone.

Accounts are independent of each other here, but what happens to one account
must be judged in the order in which it happened.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from loadtest.books import AccountBook
from loadtest.foresight import FORESEE, Fields, Foreseen
from loadtest.readings import account_reading, hold_reading, purchase_reading
from loadtest.wishes import Answer, Kind, Lot, Wish

CURRENCY = "EUR"
_CONFLICT = "/problems/idempotency-key-reused"
_KEPT_MAX = 100_000  # Answers kept word for word.
_RECENT_MAX = 64  # Wishes that the workload may repeat.
# Of a lender, not of the borrower: whether one is right, only the journals show.
OF_A_LENDER = frozenset({"reserve_exhausted", "daily_cap_exceeded", "lender_suspended"})
_TAKES_RESERVE = frozenset(
    {
        "authorize",
        "increment_authorization",
        "capture_authorization",
        "convert_hold",
    }
)
_IDS = ("authorization_id", "hold_id", "capture_id", "refund_id", "repayment_id")


class Expected:
    """What must be true of some accounts, as far as their client knows.

    `is_scarce`: the lenders' money may run out, so what could be approved may be
    declined for theirs.
    """

    def __init__(self, lots: Iterable[Lot], *, is_scarce: bool = False) -> None:
        self._is_scarce = is_scarce
        self.accounts = {
            lot.account_id: AccountBook(
                lot.account_id,
                lot.program_id,
                lot.limit_minor,
                lot.capture_tolerance_ppm,
                lot.lapses,
            )
            for lot in lots
        }
        self.disputed: set[str] = set()
        self.recent: deque[Wish] = deque(maxlen=_RECENT_MAX)
        self._kept: dict[str, bytes] = {}
        self._made_ids: set[str] = set()

    def judge(
        self, wish: Wish, answer: Answer, *, uncertain: bool = False
    ) -> list[str]:
        """What is wrong with an answer that says what came of a wish.

        `uncertain`: it was sent before, and nobody knows what came of that.
        """
        if wish.kind is Kind.CONFLICT:
            return _judge_conflict(wish, answer)
        complaints = self._judge(wish, answer, uncertain)
        if complaints and wish.request_id:
            self.disputed.add(wish.account_id)
        return complaints

    def judge_pair(self, wish: Wish, one: Answer, other: Answer) -> list[str]:
        """The same for a request that was sent twice at the same moment."""
        first, second = (other, one) if one.is_replay else (one, other)
        complaints = self.judge(wish, first)
        if first.body != second.body:
            complaints.append(f"two answers to one key: {first.body!r} {second.body!r}")
        if not second.is_replay:
            complaints.append("one key was carried out twice")
        if complaints:
            self.disputed.add(wish.account_id)
        return complaints

    def _judge(self, wish: Wish, answer: Answer, uncertain: bool) -> list[str]:
        if answer.status != 200:
            return [f"status {answer.status}: {answer.body.decode(errors='replace')}"]
        try:
            body = msgspec.json.decode(answer.body, type=dict[str, Any])
        except msgspec.DecodeError as error:
            return [f"not a JSON object: {error}"]
        if not wish.request_id:
            return self._judge_reading(wish, body)
        if wish.kind is Kind.AGAIN:
            return self._judge_again(wish, answer)
        complaints = self._judge_command(wish, body)
        if answer.is_replay and not uncertain:
            complaints.append("a new key was answered as a replay")
        if not complaints:
            self._keep(wish, answer)
        return complaints

    def _judge_again(self, wish: Wish, answer: Answer) -> list[str]:
        complaints = []
        first = self._kept[wish.request_id]
        if not answer.is_replay:
            complaints.append("a replay without Idempotency-Replayed: true")
        if answer.body != first:
            complaints.append(
                f"a replay says {answer.body!r}, at first it was {first!r}"
            )
        return complaints

    def _judge_command(self, wish: Wish, body: Fields) -> list[str]:
        account = self.accounts[wish.account_id]
        foreseen = FORESEE[wish.command](account, wish.fields)
        if self._is_of_a_lender(wish, body) and foreseen.approval is not None:
            return []
        complaints = compare(foreseen, body)
        if complaints or body["status"] != "approved":
            return complaints
        complaints = self._new_ids(wish, body)
        _BOOK[wish.command](account, wish.fields, body)
        return complaints

    def _is_of_a_lender(self, wish: Wish, body: Fields) -> bool:
        return (
            self._is_scarce
            and body.get("status") == "declined"
            and body.get("reason") in OF_A_LENDER
            and wish.command in _TAKES_RESERVE
        )

    def _new_ids(self, wish: Wish, body: Fields) -> list[str]:
        """Ids that the answer makes must never have been seen."""
        made = [body[name] for name in _IDS if name in body and name not in wish.fields]
        seen = [made_id for made_id in made if made_id in self._made_ids]
        self._made_ids.update(made)
        return [f"the id {made_id} was given twice" for made_id in seen]

    def _keep(self, wish: Wish, answer: Answer) -> None:
        self._kept[wish.request_id] = answer.body
        if len(self._kept) > _KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        self.recent.append(wish)

    def _judge_reading(self, wish: Wish, body: Fields) -> list[str]:
        account = self.accounts[wish.account_id]
        if wish.command == "read_account":
            return differences(account_reading(account, CURRENCY), body)
        has_expired = account.lapses and body.get("status") == "expired"
        if wish.command == "read_hold":
            hold = account.holds[wish.fields["hold_id"]]
            if has_expired and hold.held_minor:
                account.change_hold(hold, -hold.held_minor, "expired")
            return differences(hold_reading(account, hold), body)
        purchase = account.purchases[wish.fields["authorization_id"]]
        if has_expired and purchase.open_minor:
            account.expire(purchase)
        return differences(purchase_reading(account, purchase), body)


def compare(foreseen: Foreseen, body: Fields) -> list[str]:
    """How an answer differs from what was foreseen."""
    if body.get("status") == "approved":
        if foreseen.approval is None:
            return [f"approved, where only {foreseen.decline} is right: {body}"]
        return differences(foreseen.approval, body)
    if foreseen.decline is None:
        return [f"not approved, and nothing speaks against it: {body}"]
    return differences(foreseen.decline, body)


def differences(expected: Fields, actual: Fields) -> list[str]:
    """Field by field: what is missing, what is too much, what is not right."""
    complaints = [f"{name} is missing" for name in expected.keys() - actual.keys()]
    for name, value in actual.items():
        if name not in expected:
            complaints.append(f"{name} should not be there: {value!r}")
        elif not _fits(expected[name], value):
            complaints.append(f"{name} is {value!r}, expected {expected[name]!r}")
    return complaints


def _fits(expected: Any, value: object) -> bool:
    if hasattr(expected, "fits"):
        return bool(expected.fits(value))
    return type(expected) is type(value) and bool(expected == value)


def _judge_conflict(wish: Wish, answer: Answer) -> list[str]:
    """Another content under a used key: refused, and the field is named."""
    if answer.status != 422:
        return [f"a used key with other content got status {answer.status}"]
    try:
        problem = msgspec.json.decode(answer.body, type=dict[str, Any])
        named = problem["errors"][0]["field"]
    except (msgspec.DecodeError, LookupError, TypeError):
        return [f"the refusal names no field: {answer.body!r}"]
    if problem.get("type") != _CONFLICT or named != wish.differs:
        return [f"the refusal should name {wish.differs}: {answer.body!r}"]
    return []


# What an approval does to the books.


def _book_authorize(account: AccountBook, wish: Fields, body: Fields) -> None:
    minor = wish["amount_minor"]
    account.authorize(body["authorization_id"], wish["merchant_id"], minor)
    if wish.get("capture"):
        account.capture(account.purchases[body["authorization_id"]], minor)


def _book_convert(account: AccountBook, wish: Fields, body: Fields) -> None:
    hold, minor = account.holds[wish["hold_id"]], body["amount_minor"]
    released_minor = hold.held_minor - minor if wish.get("final") else 0
    account.change_hold(hold, -(minor + released_minor), "converted")
    _book_authorize(account, wish | {"amount_minor": minor}, body)


def _book_capture(account: AccountBook, wish: Fields, body: Fields) -> None:
    purchase = account.purchases[wish["authorization_id"]]
    extra_minor = max(0, body["amount_minor"] - purchase.open_minor)
    account.increment(purchase, extra_minor)
    account.capture(purchase, body["amount_minor"])
    account.give_back(purchase, body["released_minor"])


def _book_increment(account: AccountBook, wish: Fields, body: Fields) -> None:
    account.increment(account.purchases[wish["authorization_id"]], body["amount_minor"])


def _book_reverse(account: AccountBook, wish: Fields, body: Fields) -> None:
    account.give_back(account.purchases[wish["authorization_id"]], body["amount_minor"])


def _book_refund(account: AccountBook, wish: Fields, body: Fields) -> None:
    account.refund(account.purchases[wish["authorization_id"]], body["amount_minor"])


def _book_repay(account: AccountBook, wish: Fields, body: Fields) -> None:
    account.repay(body["amount_minor"])


def _book_hold(account: AccountBook, wish: Fields, body: Fields) -> None:
    account.hold(body["hold_id"], body["amount_minor"])


def _book_increase(account: AccountBook, wish: Fields, body: Fields) -> None:
    account.change_hold(account.holds[wish["hold_id"]], body["amount_minor"], "open")


def _book_release(account: AccountBook, wish: Fields, body: Fields) -> None:
    hold = account.holds[wish["hold_id"]]
    account.change_hold(hold, -body["amount_minor"], "released")


_BOOK: dict[str, Callable[[AccountBook, Fields, Fields], None]] = {
    "authorize": _book_authorize,
    "place_hold": _book_hold,
    "repay": _book_repay,
    "increment_authorization": _book_increment,
    "capture_authorization": _book_capture,
    "reverse_authorization": _book_reverse,
    "refund": _book_refund,
    "increase_hold": _book_increase,
    "release_hold": _book_release,
    "convert_hold": _book_convert,
}
