"""After the crowd has gone: does everything add up?

The record is judged once more from its first line, in a process that has never
seen a socket of the test.  Every key sent is approved, declined or unknown; the
unknown are asked for again under the same key until none is left.  What was
left to run out is looked at.  Then every account, and every lender's position,
must be what the client's books say, to the minor unit.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from benchmarks.client import Reply
from loadtest.books import AccountBook
from loadtest.expected import CURRENCY, Expected, differences
from loadtest.plan import EXPIRY_SECONDS, Plan, Program
from loadtest.readings import account_reading
from loadtest.record import Answered, Dropped, Sent, read_record
from loadtest.wire import request_of
from loadtest.wishes import Answer, Kind, Wish
from loadtest.workload import left_open

_RESOLVE_SECONDS_MAX = 30.0
_AGAIN_SECONDS = 0.2
_NO_NEW_KEY = (Kind.AGAIN, Kind.CONFLICT)
_POSITION = ("authorized_minor", "captured_minor", "refunded_minor")


class Server(Protocol):
    """What is asked of `benchmarks.client.Client`."""

    def send(self, method: str, path: str, body: Any = None, key: str = "") -> Reply:
        """One request; `key` is its Idempotency-Key."""

    def read(self, path: str) -> dict[str, Any]:
        """The JSON at a path."""


class Report(msgspec.Struct):
    """What was found; nothing is wrong when `mismatches` is empty."""

    requests: int = 0
    keys: int = 0
    approved: int = 0
    declined: int = 0
    unknown: int = 0
    resolved: int = 0
    dropped: int = 0
    sent_again: int = 0
    accounts_compared: int = 0
    lenders_compared: int = 0
    kinds: dict[str, int] = {}
    reasons: dict[str, int] = {}
    exchange_ms: list[float] = []
    from_intended_ms: list[float] = []
    mismatches: list[str] = []


class Reconciliation:
    """One record against one server."""

    def __init__(
        self,
        plan: Plan,
        client: Server,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.report = Report()
        self._sleep = sleep
        self._plan = plan
        self._client = client
        self._expected = Expected(lot for lots in plan.lots for lot in lots)
        self._outcomes: dict[str, str] = {}
        self._looks = 0

    def run(self) -> Report:
        """Everything, in order.  Raises OSError when the server is not there."""
        unanswered = self._judge_record()
        self._resolve(unanswered)
        self._look_at_what_was_left()
        self._compare_accounts()
        self._compare_lenders()
        self._count_outcomes()
        return self.report

    # The record.

    def _judge_record(self) -> dict[str, Wish]:
        waiting: dict[str, Wish] = {}
        for entry in read_record(Path(self._plan.record)):
            if isinstance(entry, Dropped):
                self.report.dropped += entry.count
            elif isinstance(entry, Sent):
                waiting[entry.wish.number] = entry.wish
                self._count_sent(entry.wish)
            else:
                self._judge_answered(waiting.pop(entry.number), entry)
        return waiting

    def _count_sent(self, wish: Wish) -> None:
        report = self.report
        report.requests += 1
        report.kinds[wish.kind.value] = report.kinds.get(wish.kind.value, 0) + 1
        if wish.request_id and wish.kind not in _NO_NEW_KEY:
            assert wish.request_id not in self._outcomes, "a key of a new wish is new"
            self._outcomes[wish.request_id] = "unknown"

    def _judge_answered(self, wish: Wish, entry: Answered) -> None:
        self.report.sent_again += entry.sendings - 1
        self.report.exchange_ms.append(1_000 * (entry.ended_s - entry.started_s))
        self.report.from_intended_ms.append(1_000 * (entry.ended_s - entry.intended_s))
        if wish.account_id in self._expected.disputed:
            return
        if entry.beside is not None and not entry.uncertain:
            complaints = self._expected.judge_pair(wish, entry.answer, entry.beside)
        else:
            complaints = self._expected.judge(
                wish, entry.answer, uncertain=entry.uncertain
            )
        self._note(wish, entry.answer, complaints)

    def _note(self, wish: Wish, answer: Answer, complaints: list[str]) -> None:
        self.report.mismatches += [
            f"{wish.number} {wish.kind} {wish.fields}: {text}" for text in complaints
        ]
        if not answer.is_decided or self._outcomes.get(wish.request_id) != "unknown":
            return
        told = msgspec.json.decode(answer.body, type=dict[str, Any])
        self._outcomes[wish.request_id] = str(told.get("status"))
        reason = told.get("reason")
        if reason is not None:
            self.report.reasons[reason] = self.report.reasons.get(reason, 0) + 1

    # What nobody answered.

    def _resolve(self, unanswered: dict[str, Wish]) -> None:
        deadline = time.monotonic() + _RESOLVE_SECONDS_MAX
        for wish in unanswered.values():
            if wish.kind is Kind.CONFLICT or not wish.request_id:
                continue  # It changes nothing, whatever came of it.
            answer = self._asked(wish)
            while not answer.is_decided and time.monotonic() < deadline:
                self._sleep(_AGAIN_SECONDS)
                answer = self._asked(wish)
            if not answer.is_decided:
                self.report.mismatches.append(f"{wish.number} is still unknown")
                continue
            self.report.resolved += 1
            self._note(wish, answer, self._expected.judge(wish, answer, uncertain=True))

    def _asked(self, wish: Wish) -> Answer:
        method, path, body = request_of(wish)
        try:
            reply = self._client.send(method, path, body, wish.request_id)
        except OSError:
            return Answer(0)
        return _answer_of(reply)

    # What was left to run out.

    def _look_at_what_was_left(self) -> None:
        accounts = [a for a in self._agreed() if a.lapses and list(left_open(a))]
        if not accounts:
            return
        self._sleep(EXPIRY_SECONDS + 0.5)
        for account in accounts:
            for command, fields in list(left_open(account)):
                self._look(account, command, fields)
            if list(left_open(account)):
                self.report.mismatches.append(
                    f"{account.account_id}: what was left has not run out"
                )

    def _look(self, account: AccountBook, command: str, fields: dict[str, Any]) -> None:
        self._looks += 1
        number = f"{self._plan.prefix}-look-{self._looks}"
        wish = Wish(number, Kind.READ_LEFT, command, "", account.account_id, fields)
        answer = self._asked(wish)
        self._note(wish, answer, self._expected.judge(wish, answer))

    # The books.

    def _agreed(self) -> Iterator[AccountBook]:
        for account in self._expected.accounts.values():
            if account.account_id not in self._expected.disputed:
                yield account

    def _compare_accounts(self) -> None:
        for account in self._agreed():
            told = self._client.read(f"/v1/accounts/{account.account_id}")
            account.lapses = False  # Nothing is in doubt any more.
            complaints = differences(account_reading(account, CURRENCY), told)
            self.report.accounts_compared += 1
            self.report.mismatches += [
                f"account {account.account_id}: {text}" for text in complaints
            ]

    def _compare_lenders(self) -> None:
        if self._expected.disputed:
            return  # What the lenders should have is in dispute, too.
        for program in self._plan.programs:
            expected = self._of_program(program)
            actual = dict.fromkeys(_POSITION, 0)
            for lender_id in program.shares_ppm:
                told = self._client.read(f"/v1/lenders/{lender_id}/position")
                self.report.lenders_compared += 1
                for name in _POSITION:
                    actual[name] += told[name]
            if actual != expected:
                self.report.mismatches.append(
                    f"the lenders of {program.program_id} have {actual}, "
                    f"the accounts say {expected}"
                )

    def _of_program(self, program: Program) -> dict[str, int]:
        sums = dict.fromkeys(_POSITION, 0)
        for account in self._expected.accounts.values():
            if account.program_id == program.program_id:
                sums["authorized_minor"] += account.authorized_minor
                sums["captured_minor"] += account.captured_minor
                sums["refunded_minor"] += account.refunded_minor
        return sums

    def _count_outcomes(self) -> None:
        report = self.report
        outcomes = list(self._outcomes.values())
        report.keys = len(outcomes)
        report.approved = outcomes.count("approved")
        report.declined = outcomes.count("declined")
        report.unknown = report.keys - report.approved - report.declined


def _answer_of(reply: Reply) -> Answer:
    return Answer(reply.status, reply.is_replay, reply.body)
