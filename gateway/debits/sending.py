"""Sends a file's lines as commands, in bulk and in order, until each is answered.

What was not done, and what is not known, goes out again under the same keys:
the server does it once.  An outcome that stays unknown is never counted; the
run ends with SendingFailed, and running the same file again asks for it.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

import aiohttp
import msgspec
import stamina

from gateway.debits.outcome import Outcome
from gateway.debits.reader import Debit, Malformed, Result
from gateway.routes import BULK_PATH
from processor import limits
from processor.commands import FinalizeRepayment, ReturnRepayment
from processor.declines import DeclineReason

BATCH_LINES: Final = 1_000
PATIENCE_SECONDS: Final = 120.0
_ATTEMPT_SECONDS: Final = limits.ANSWER_WAIT_MS_MAX / 1_000 + 5
_TRY_AGAIN = frozenset({"not_done", "unknown"})
# Declines that say: it is so already.
_DONE_BEFORE = {
    Result.SETTLED: DeclineReason.REPAYMENT_IS_FINAL,
    Result.RETURNED: DeclineReason.ALREADY_REVERSED,
}
_WORDS: dict[str, str] = {
    DeclineReason.REPAYMENT_NOT_FOUND: "no repayment has this id",
    DeclineReason.REPAYMENT_IS_FINAL: "it settled before, so it cannot be returned",
    DeclineReason.ALREADY_REVERSED: "it was returned before, so it cannot settle",
}

assert BATCH_LINES <= limits.BULK_COMMANDS_MAX


class SendingFailed(Exception):
    """The file cannot be sent to its end; the message says what to do."""


class _NotYet(Exception):
    """The server asks for another try, or cannot be reached."""


class _Answer(msgspec.Struct):
    status: str
    reason: str = ""
    account_id: str = ""
    over_limit_minor: int = 0


class _Problem(msgspec.Struct):
    type: str = ""
    title: str = ""
    detail: str = ""

    @property
    def slug(self) -> str:
        return self.type.rpartition("/")[2]


class _Told(msgspec.Struct):
    """The result of one command."""

    outcome: str
    answer: _Answer | None = None
    problem: _Problem | None = None


Complain = Callable[[int, str], None]  # The line, and what is wrong with it.


class Sender:
    """One file on its way to one server; `outcome` is what came of it so far."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        complain: Complain,
        advance: Callable[[int], None] = lambda lines: None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.outcome = Outcome()
        self._session = session
        self._url = url.rstrip("/") + BULK_PATH
        self._complain = complain
        self._advance = advance
        self._patience_seconds = patience_seconds
        self._was_answered = False

    async def send(self, lines: Iterable[Debit | Malformed]) -> Outcome:
        """Everything, in the order of the file; SendingFailed if it must stop."""
        rest = iter(lines)
        while batch := list(islice(rest, BATCH_LINES)):
            debits = [line for line in batch if isinstance(line, Debit)]
            told = await self._answers(debits) if debits else []
            answered = iter(zip(debits, told, strict=True))
            for line in batch:
                self.outcome.lines += 1
                if isinstance(line, Malformed):
                    self.outcome.malformed += 1
                    self._complain(line.line, line.why)
                else:
                    self._count(*next(answered))
            self._advance(len(batch))
        return self.outcome

    async def _answers(self, debits: list[Debit]) -> list[_Told]:
        """The answer to each, in order, however often it takes to ask."""
        told: dict[int, _Told] = {}
        try:
            async for attempt in stamina.retry_context(
                on=self._is_passing,
                attempts=None,
                timeout=self._patience_seconds,
            ):
                with attempt:
                    waiting = [line for line in debits if line.line not in told]
                    for line, one in zip(
                        waiting, await self._ask(waiting), strict=True
                    ):
                        if one.outcome not in _TRY_AGAIN:
                            told[line.line] = one
                    if len(told) < len(debits):
                        raise _NotYet("some were not done")
        except aiohttp.InvalidURL:
            raise SendingFailed(f"{self._url} is not an address") from None
        except (_NotYet, aiohttp.ClientError, TimeoutError) as error:
            left = [line.line for line in debits if line.line not in told]
            raise SendingFailed(
                f"no answer from {self._url} to lines {left[0]} to {left[-1]}"
                f" ({error or 'timeout'}); run the same file again: what is done"
                " already stays done"
            ) from error
        return [told[line.line] for line in debits]

    def _is_passing(self, error: Exception) -> bool:
        """Whether asking again may help: not if nobody was ever there."""
        if isinstance(error, aiohttp.InvalidURL):
            return False
        if isinstance(error, aiohttp.ClientConnectorError):
            return self._was_answered
        return isinstance(error, _NotYet | aiohttp.ClientError | TimeoutError)

    async def _ask(self, debits: list[Debit]) -> list[_Told]:
        payload = msgspec.json.encode([_item(line) for line in debits])
        timeout = aiohttp.ClientTimeout(total=_ATTEMPT_SECONDS)
        async with self._session.post(
            self._url, data=payload, timeout=timeout
        ) as response:
            body = await response.read()
            self._was_answered = True
            if response.status in (408, 429) or response.status >= 500:
                raise _NotYet(f"status {response.status}")
        try:
            if response.status == 200:
                return msgspec.json.decode(body, type=list[_Told])
            problem = msgspec.json.decode(body, type=_Problem)
        except msgspec.DecodeError:
            raise SendingFailed(
                f"{self._url} is no Forebay (status {response.status})"
            ) from None
        raise SendingFailed(f"{problem.title}: {problem.detail}")

    def _count(self, line: Debit, told: _Told) -> None:
        answer = told.answer
        if answer is None:
            self._refuse(line, told.problem or _Problem())
            return
        if answer.status == "approved":
            self._count_done(line, answer, told.outcome == "replayed")
        elif answer.reason == _DONE_BEFORE[line.result]:
            self.outcome.already_done += 1
        else:
            self.outcome.refused[answer.reason] += 1
            words = _WORDS.get(answer.reason, "declined")
            self._complain(line.line, f"{line.repayment_id}: {answer.reason} ({words})")

    def _count_done(self, line: Debit, answer: _Answer, is_replay: bool) -> None:
        if is_replay:
            self.outcome.already_done += 1
        elif line.result is Result.SETTLED:
            self.outcome.settled += 1
        else:
            self.outcome.returned += 1
        if answer.over_limit_minor:
            self.outcome.over_limit[answer.account_id] = answer.over_limit_minor

    def _refuse(self, line: Debit, problem: _Problem) -> None:
        if problem.slug == "forbidden":  # So it would be for every line.
            raise SendingFailed(f"{problem.title}: {problem.detail}")
        self.outcome.refused[problem.slug] += 1
        self._complain(line.line, f"{line.repayment_id}: {problem.detail}")


def _item(line: Debit) -> dict[str, Any]:
    """The command that a line asks for."""
    item = {"request_id": line.request_id, "repayment_id": line.repayment_id}
    if line.result is Result.SETTLED:
        return item | {"command": FinalizeRepayment.wire_name()}
    return item | {
        "command": ReturnRepayment.wire_name(),
        "reference": line.reference,
    }


def session_for(key: str) -> aiohttp.ClientSession:
    """A connection pool that carries the API key."""
    return aiohttp.ClientSession(
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    )
