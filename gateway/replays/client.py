"""Ask a running server over HTTP, and ask again until there is an answer.

A lost connection, a timeout, a 429 or a 5xx says nothing about the outcome, or
says that nothing was done.  Either way the same request goes out again under
the same Idempotency-Key, and the server does it once.  The rule: an unknown
outcome is never taken for a decline or an approval; when patience runs out
the caller gets NoAnswer, and the outcome is still unknown.
"""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

import aiohttp
import msgspec
import stamina

from gateway.routes import BULK_PATH
from processor import limits

IN_FLIGHT: Final = 64
# The server gives up waiting on its own side first and says so with a 504.
_ATTEMPT_SECONDS: Final = limits.ANSWER_WAIT_MS_MAX / 1000 + 5
_USED_BEFORE: Final = (
    "this file's request ids were used for something else on this server"
)
_T = TypeVar("_T")


class Patience(msgspec.Struct, frozen=True):
    """How long to go on asking, and how long to wait in between.

    Waits double from `first_wait_seconds` to `longest_wait_seconds`, each with
    up to `jitter_seconds` on top; a Retry-After of the server is honoured.
    """

    total_seconds: float = 120.0
    first_wait_seconds: float = 0.05
    longest_wait_seconds: float = 5.0
    jitter_seconds: float = 0.1


class ReplayFailed(Exception):
    """The replay cannot go on; the message says what a person can do."""


class NoAnswer(ReplayFailed):
    """No answer in all the time there was: the outcome is unknown."""


class Refused(ReplayFailed):
    """The server says that the request itself is wrong."""


class Conflict(ReplayFailed):
    """The request id was used before, for other content."""


class Answer(msgspec.Struct, frozen=True):
    """What the server decided; fields that do not apply are empty."""

    status: Literal["approved", "declined"]
    reason: str = ""
    authorization_id: str = ""
    headroom_missing_minor: int = 0
    principal_minor: int = 0
    penalty_minor: int = 0
    credit_minor: int = 0

    @property
    def is_approved(self) -> bool:
        """Whether the command was carried out."""
        return self.status == "approved"


class Decided(msgspec.Struct, frozen=True):
    """An answer, and whether the server had given it before."""

    answer: Answer
    replayed: bool


class Wish(msgspec.Struct, frozen=True):
    """A command for a bulk request, by its name and under its request id."""

    command: str
    request_id: str
    fields: dict[str, object]


class _Problem(msgspec.Struct, frozen=True):
    title: str = ""
    detail: str = ""


class _Result(msgspec.Struct):
    outcome: str
    answer: Answer | None = None
    problem: _Problem = _Problem()


class _AskAgain(Exception):
    """The server asked for another try."""

    def __init__(self, why: str, after_seconds: float) -> None:
        super().__init__(why)
        self.after_seconds = after_seconds


class _Response(msgspec.Struct):
    status: int
    body: bytes
    replayed: bool


class Client:
    """One connection pool to one server; use it as an async context.

    `asked_again` counts the requests that had to be sent more than once.
    """

    def __init__(
        self,
        url: str,
        key: str,
        in_flight: int,
        patience: Patience | None = None,
        attempt_seconds: float = _ATTEMPT_SECONDS,
    ) -> None:
        self.url = url.rstrip("/")
        self.asked_again = 0
        self._key = key
        self._in_flight = in_flight
        self._patience = patience or Patience()
        self._attempt_seconds = attempt_seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._in_flight),
            timeout=aiohttp.ClientTimeout(total=self._attempt_seconds),
            headers={
                "Authorization": f"Bearer {self._key}",
                "Content-Type": "application/json",
            },
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def command(
        self, path: str, body: Mapping[str, object], request_id: str
    ) -> Decided:
        """POST a command until it is decided.

        Raises NoAnswer, Refused, or Conflict when the id means another command.
        """
        headers = {"Idempotency-Key": request_id} if request_id else {}
        payload = msgspec.json.encode(body)
        response = await self._ask("POST", path, payload, headers, self._patience)
        answer = _decoded(path, response, Answer)
        return Decided(answer, response.replayed)

    async def commands(self, wishes: Sequence[Wish]) -> list[Decided]:
        """POST many commands at once until each is decided; answers in their order.

        What was not done, or is not known, goes out again with what else was
        not; so two wishes of which one must come first are not for one call.
        Raises what `command` raises.
        """
        decided: dict[int, Decided] = {}
        left = list(range(len(wishes)))

        async def send() -> _Response:
            payload = msgspec.json.encode([_item(wishes[i]) for i in left])
            response = await self._ask_once("POST", BULK_PATH, payload, {})
            results = _decoded(BULK_PATH, response, list[_Result])
            for i, result in zip(left, results, strict=True):
                if result.answer is not None:
                    replayed = result.outcome == "replayed"
                    decided[i] = Decided(result.answer, replayed)
            left[:] = [i for i in left if i not in decided]
            _refuse_if_undecided(results)
            return response

        if wishes:
            await self._until_answered(f"POST {BULK_PATH}", self._patience, send)
        return [decided[i] for i in range(len(wishes))]

    async def read(
        self, path: str, kind: type[_T], patience: Patience | None = None
    ) -> _T | None:
        """GET an object; None when there is none of that name."""
        response = await self._ask("GET", path, b"", {}, patience or self._patience)
        return None if response.status == 404 else _decoded(path, response, kind)

    async def _ask(
        self,
        method: str,
        path: str,
        payload: bytes,
        headers: dict[str, str],
        patience: Patience,
    ) -> _Response:
        async def send() -> _Response:
            return await self._ask_once(method, path, payload, headers)

        return await self._until_answered(f"{method} {path}", patience, send)

    async def _until_answered(
        self, what: str, patience: Patience, send: Callable[[], Awaitable[_Response]]
    ) -> _Response:
        attempts = stamina.retry_context(
            on=lambda error: _wait_seconds(error, patience),
            attempts=None,
            timeout=patience.total_seconds,
            wait_initial=patience.first_wait_seconds,
            wait_max=patience.longest_wait_seconds,
            wait_jitter=patience.jitter_seconds,
        )
        try:
            async for attempt in attempts:
                with attempt:
                    self.asked_again += attempt.num == 2
                    return await send()
        except aiohttp.InvalidURL as error:
            raise Refused(f"{self.url} is not the address of a server") from error
        except (_AskAgain, aiohttp.ClientError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise NoAnswer(
                f"no answer from {self.url} to {what} in "
                f"{patience.total_seconds:g} s ({why}); the outcome is unknown, and "
                "running the same replay again asks for it"
            ) from error
        raise AssertionError("stamina ends with a return or an exception")

    async def _ask_once(
        self, method: str, path: str, payload: bytes, headers: dict[str, str]
    ) -> _Response:
        assert self._session is not None, "use the client as an async context"
        async with self._session.request(
            method, self.url + path, data=payload or None, headers=headers
        ) as response:
            body = await response.read()
            if response.status in (408, 429) or response.status >= 500:
                after = response.headers.get("Retry-After", "")
                raise _AskAgain(
                    _problem(response.status, body),
                    float(after) if after.isdecimal() else 0.0,
                )
            replayed = response.headers.get("Idempotency-Replayed") == "true"
            _refuse_if_wrong(method, path, response.status, body)
            return _Response(response.status, body, replayed)


def _wait_seconds(error: Exception, patience: Patience) -> bool | float:
    """Whether to ask again and, where the server named a time, after how long."""
    if isinstance(error, _AskAgain):
        if error.after_seconds > patience.first_wait_seconds:
            named = min(error.after_seconds, patience.longest_wait_seconds)
            return named + random.uniform(0, patience.jitter_seconds)
        return True
    if isinstance(error, aiohttp.InvalidURL):
        return False
    return isinstance(error, aiohttp.ClientError | TimeoutError)


def _refuse_if_wrong(method: str, path: str, status: int, body: bytes) -> None:
    if status == 422:
        raise Conflict(f"{method} {path}: {_problem(status, body)}; {_USED_BEFORE}")
    if status == 200 or (status == 404 and method == "GET"):
        return
    raise Refused(f"{method} {path}: {_problem(status, body)}")


def _item(wish: Wish) -> dict[str, object]:
    names = {"command": wish.command, "request_id": wish.request_id}
    return names | wish.fields


def _refuse_if_undecided(results: list[_Result]) -> None:
    """Raises for a wrong item; else, if any is undecided, to be asked again."""
    undecided = [result for result in results if result.answer is None]
    for result in undecided:
        said = f"POST {BULK_PATH}: {result.problem.detail or result.problem.title}"
        if result.outcome == "conflict":
            raise Conflict(f"{said}; {_USED_BEFORE}")
        if result.outcome == "invalid":
            raise Refused(said)
    if undecided:
        raise _AskAgain(undecided[0].problem.detail, 0.0)


def _problem(status: int, body: bytes) -> str:
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:
        return f"status {status}"
    return f"status {status}, {problem.detail or problem.title or 'no detail'}"


def _decoded(path: str, response: _Response, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(response.body, type=kind)
    except msgspec.DecodeError as error:
        raise Refused(f"{path}: the answer is not of the form: {error}") from error
