"""A crowd of seeded customers that goes on through every crash, and its verdict.

The customers, their books and what each answer must be are those of the load
test.  Whatever is refused, unknown or broken off is asked again under the same
key until there is an answer; each request and answer is written down first.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from benchmarks.client import Client, Refused, Reply
from loadtest.expected import Expected
from loadtest.plan import Plan, make_plan
from loadtest.reconcile import Reconciliation, Report
from loadtest.record import Answered, RecordWriter, Sent
from loadtest.stage import set_stage
from loadtest.wire import request_of
from loadtest.wishes import Answer, Kind, Wish
from loadtest.workload import Workload
from tests.crash.history import check_record
from tests.processes import RunningServer, check_verified

_AGAIN_SECONDS = 0.05
_ANSWER_SECONDS_MAX = 120.0
_EXCHANGE_SECONDS_MAX = 15.0  # The server gives up waiting after ten.
_LENGTH_UNUSED = 1.0  # Of a plan: this crowd is told when to stop.


class PatientClient(Client):
    """Asks again, under the same key, until there is an answer."""

    def send(self, method: str, path: str, body: Any = None, key: str = "") -> Reply:
        deadline = time.monotonic() + _ANSWER_SECONDS_MAX
        while True:
            try:
                reply = super().send(method, path, body, key)
                answer = Answer(reply.status)
            except OSError:
                answer = Answer(0)
            if not (answer.is_unknown or answer.is_not_done):
                return reply
            assert time.monotonic() < deadline, f"{path} was never answered"
            time.sleep(_AGAIN_SECONDS)

    def commands(self, items: Sequence[Mapping[str, Any]]) -> None:
        """The same for many: again, all of them, until all are approved."""
        deadline = time.monotonic() + _ANSWER_SECONDS_MAX
        while True:
            try:
                return super().commands(items)
            except Refused:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_AGAIN_SECONDS)


class Crowd:
    """Customers of one server, through one or several of its gateways."""

    def __init__(
        self, server: RunningServer, directory: Path, seed: int, users: int
    ) -> None:
        self.server = server
        self.urls = [server.url]
        self.answers = 0
        self.complaints: list[str] = []
        self.plan: Plan = make_plan(
            server.url,
            server.key,
            seed,
            f"s{seed}",
            users,
            _LENGTH_UNUSED,
            _LENGTH_UNUSED,
            directory / "record.jsonl",
        )
        self._stop = asyncio.Event()
        self._record: RecordWriter
        self._session: aiohttp.ClientSession

    def set_stage(self) -> None:
        """Lenders, programs, merchants and accounts."""
        with PatientClient(self.server.url, self.server.key) as client:
            set_stage(client, self.plan)

    async def live(self) -> None:
        """Buy and repay until told to stop; then let everyone have his answer."""
        timeout = aiohttp.ClientTimeout(total=_EXCHANGE_SECONDS_MAX)
        headers = {"Authorization": f"Bearer {self.server.key}"}
        with RecordWriter(Path(self.plan.record)) as self._record:
            async with aiohttp.ClientSession(
                timeout=timeout, headers=headers
            ) as self._session:
                await asyncio.gather(*map(self._customer, range(self.plan.users)))

    def stop(self) -> None:
        """Let nobody begin anything new."""
        self._stop.set()

    async def until(self, answers: int) -> None:
        """Wait for so many answers more."""
        target = self.answers + answers
        deadline = time.monotonic() + _ANSWER_SECONDS_MAX
        while self.answers < target:
            assert time.monotonic() < deadline, f"no progress; {self.server.log}"
            await asyncio.sleep(0.01)

    async def _customer(self, number: int) -> None:
        expected = Expected(self.plan.lots[number])
        name = self.plan.user_names[number]
        workload = Workload(self.plan.seed, name, expected, self.plan.merchants)
        while not self._stop.is_set():
            wish = workload.next_wish()
            self._record.write(Sent(wish))
            answered = await self._until_answered(wish)
            self._record.write(answered)
            self.answers += 1
            self.complaints += [
                f"{wish.number} {wish.kind}: {text}"
                for text in _judged(expected, wish, answered)
            ]

    async def _until_answered(self, wish: Wish) -> Answered:
        began = time.monotonic()
        uncertain = False
        sendings = 0
        while True:
            sendings += 1
            answer, beside = await self._send(wish)
            now = time.monotonic()
            if not (answer.is_unknown or answer.is_not_done):
                uncertain |= wish.kind is Kind.BESIDE and beside is None
                return Answered(
                    *(wish.number, answer, beside, uncertain, sendings),
                    *(began, began, now),
                )
            uncertain |= answer.is_unknown
            if now - began > _ANSWER_SECONDS_MAX:
                raise AssertionError(
                    f"{wish} was never answered, at last {answer}; {self.server.log}"
                )
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _send(self, wish: Wish) -> tuple[Answer, Answer | None]:
        """The answer, and the other when it was sent twice and both came."""
        if wish.kind is not Kind.BESIDE:
            return await self._exchange(wish, self.urls[0]), None
        one, two = await asyncio.gather(
            self._exchange(wish, self.urls[0]), self._exchange(wish, self.urls[-1])
        )
        if one.is_decided and two.is_decided:
            return one, two
        return (one, None) if one.is_decided else (two, None)

    async def _exchange(self, wish: Wish, url: str) -> Answer:
        method, path, body = request_of(wish)
        headers = {"Content-Type": "application/json"}
        if wish.request_id:
            headers["Idempotency-Key"] = wish.request_id
        try:
            async with self._session.request(
                method,
                url + path,
                data=None if body is None else msgspec.json.encode(body),
                headers=headers,
            ) as response:
                is_replay = response.headers.get("Idempotency-Replayed") == "true"
                return Answer(response.status, is_replay, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Answer(0)

    # Afterwards.

    def reconcile(self) -> Report:
        """Judge the record anew, resolve, and compare every account and lender."""
        with PatientClient(self.server.url, self.server.key) as client:
            report = Reconciliation(self.plan, client).run()
        complaints = self.complaints + report.mismatches
        assert complaints == [], "\n".join(complaints[:20])
        assert report.unknown == 0
        return report

    def verify(self) -> int:
        """The stopped server's journals: the audit, and every answer ever given."""
        check_verified(self.server.data_dir)
        record = Path(self.plan.record)
        return check_record(self.server.data_dir, record, self.plan.prefix)


def _judged(expected: Expected, wish: Wish, answered: Answered) -> list[str]:
    if answered.beside is not None and not answered.uncertain:
        return expected.judge_pair(wish, answered.answer, answered.beside)
    return expected.judge(wish, answered.answer, uncertain=answered.uncertain)
