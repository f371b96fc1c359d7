"""What every endpoint shares: admission, deadlines, and keys used before.

Its rule: what it refuses was never submitted, and what was submitted is never
taken back.  A command that outlives its deadline ends as "unknown", never as
declined.
"""

import asyncio
from array import array
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, TypeVar

from gateway.config import Bounds
from gateway.exchange import BodyReader
from gateway.fields import FIELDS
from gateway.keys import KeyRing
from gateway.metrics import Counters
from gateway.ports import (
    Awaited,
    NodesPort,
    NothingDone,
    OutcomeUnknown,
    Overloaded,
    Waiting,
)
from gateway.problems import (
    KEY_REUSED,
    NOT_FOUND,
    OUTCOME_UNKNOWN,
    OVERLOADED,
    UNAVAILABLE,
    FieldError,
    Refusal,
    invalid_field,
)
from processor.commands import Command
from processor.messages import Answer, Outcome

SWEEP_SECONDS = 0.1
Told = TypeVar("Told")


class RecentKeys:
    """Which (caller, key) was last seen for what: catches a key used on two shards.

    A shard knows exactly which keys it has seen; no shard knows another's.
    This is the best effort across them: a table of fixed size, of hashes only,
    in which a new command takes the place of the one there.  Nothing grows,
    nothing is kept alive, nothing has to be cleared away.
    """

    def __init__(self, places: int) -> None:
        assert places & (places - 1) == 0, "a power of two"
        self._mask = places - 1
        self._keys = array("q", bytes(8 * places))
        self._routes = array("q", bytes(8 * places))

    def is_reused(self, command: Command) -> bool:
        """Whether the key was seen for a command that goes elsewhere."""
        key = hash((command.caller, command.request_id))
        route = hash(_routed(command))
        place = key & self._mask
        if self._keys[place] == key:
            return self._routes[place] != route
        self._keys[place] = key
        self._routes[place] = route
        return False

    def forget(self, command: Command) -> None:
        """A command that was not done leaves its key free."""
        key = hash((command.caller, command.request_id))
        place = key & self._mask
        if self._keys[place] == key:
            self._keys[place] = 0


class Door:
    """One gateway's admission to the nodes; wired once, shared by endpoints."""

    def __init__(self, nodes: NodesPort, keys: KeyRing, bounds: Bounds) -> None:
        self.nodes = nodes
        self.keys = keys
        self.bounds = bounds
        self.counters = Counters()
        self.bodies = BodyReader(bounds.answer_wait_ms_max / 1_000)
        self.is_draining = False
        self._recent = RecentKeys(bounds.recent_keys)
        self._in_flight: dict[Waiting, float] = {}
        self._in_flight_max = bounds.commands_in_flight_max
        self._wait_seconds_max = bounds.answer_wait_ms_max / 1_000

    @property
    def in_flight(self) -> int:
        """Commands that wait for their answer."""
        return len(self._in_flight)

    @property
    def is_ready(self) -> bool:
        """Whether new work should be sent here."""
        return self.nodes.ready and not self.is_draining

    def admit(self, count: int) -> None:
        """Refuse now if so many commands more would be too many."""
        if len(self._in_flight) + count > self._in_flight_max:
            raise Refusal(
                OVERLOADED,
                f"{len(self._in_flight)} commands are in flight, and"
                f" {self._in_flight_max} may be. Nothing was done.",
            )

    def submit(self, command: Command, waiting: Waiting, now_seconds: float) -> None:
        """Send a command on, once it is admitted; `settle` must follow."""
        if self._recent.is_reused(command):
            raise key_reused(command.ROUTED_BY or "command")
        try:
            self.nodes.submit(command, waiting)
        except NothingDone as error:
            self._recent.forget(command)
            raise _nothing_done(error) from None
        self._in_flight[waiting] = now_seconds

    def settle(
        self, command: Command, waiting: Waiting, told: Answer | Exception
    ) -> Answer:
        """A decision that was waited for; everything else is a Refusal."""
        del self._in_flight[waiting]
        if isinstance(told, Answer):
            if told.outcome <= Outcome.REPLAYED:
                return told
            if told.outcome is Outcome.NOT_DONE:
                self._recent.forget(command)
            raise refusal_of_answer(told)
        if isinstance(told, NothingDone):
            self._recent.forget(command)
            raise _nothing_done(told) from None
        if isinstance(told, OutcomeUnknown):
            raise unknown(str(told)) from None
        raise told

    async def answer(self, command: Command, awaited: Awaited) -> Answer:
        """Wait for a decision; everything else is a Refusal."""
        return self.settle(command, awaited, await awaited.told())

    async def query(self, kind: str, object_id: str) -> bytes:
        """The JSON of one object; Refusal if there is none or it cannot be read."""
        asked = self.nodes.query(kind, object_id)
        return await self._read(asked, f"{kind} {object_id!r}")

    async def query_entries(self, account_id: str, before: int, limit: int) -> bytes:
        """The JSON of entries of an account; Refusal as for the account itself."""
        asked = self.nodes.query_entries(account_id, before, limit)
        return await self._read(asked, f"account {account_id!r}")

    async def _read(self, asked: Coroutine[Any, Any, Answer], what: str) -> bytes:
        try:
            answer = await self.within_deadline(asked)
        except (NothingDone, OutcomeUnknown, TimeoutError):
            raise Refusal(
                UNAVAILABLE, "The node that knows cannot be reached; ask again."
            ) from None
        if answer.outcome is not Outcome.READ:
            if answer.outcome is Outcome.NOT_FOUND and not answer.body:
                raise Refusal(NOT_FOUND, f"There is no {what}.")
            raise refusal_of_answer(answer)
        return answer.body

    async def within_deadline(self, asked: Coroutine[Any, Any, Told]) -> Told:
        """Wait for a reading; TimeoutError leaves it to go on by itself."""
        task = asyncio.ensure_future(asked)
        task.add_done_callback(lambda t: t.cancelled() or t.exception())
        async with asyncio.timeout(self._wait_seconds_max):
            return await asyncio.shield(task)

    async def sweep_for_ever(self) -> None:
        """End what has waited too long, and follow the key file."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now_seconds = perf_counter()
            self.end_overdue(now_seconds)
            self.bodies.sweep(now_seconds)
            self.keys.follow()

    def end_all(self) -> None:
        """Answer "unknown" to every caller still waiting: the door closes."""
        self.end_overdue(float("inf"))

    def end_overdue(self, now_seconds: float) -> None:
        """Answer "unknown" to who has waited too long by now."""
        since_seconds = now_seconds - self._wait_seconds_max
        overdue = []
        for waiting, submitted_seconds in self._in_flight.items():
            if submitted_seconds > since_seconds:
                break  # In order of their submission.
            overdue.append(waiting)
        for waiting in overdue:  # Some leave the table when they are told.
            waiting.failed(OutcomeUnknown("no answer came in time"))


def _routed(command: Command) -> str:
    field = command.ROUTED_BY
    return str(getattr(command, field)) if field else ""


def key_reused(field: str) -> Refusal:
    """The refusal of a key that belongs to a command with other content."""
    what = "is for another kind of command" if field == "command" else "differs"
    return Refusal(
        KEY_REUSED,
        f"This Idempotency-Key was used for other content: `{field}` {what}."
        " Use a new key for a new wish.",
        (FieldError(field, "differs from the first use of this key"),),
    )


def refusal_of_answer(answer: Answer) -> Refusal:
    """What a node's answer that decides nothing means to the caller."""
    text = answer.body.decode()
    if answer.outcome is Outcome.CONFLICT:
        return key_reused(text)
    if answer.outcome is Outcome.NOT_DONE:
        kind = OVERLOADED if text == "overloaded" else UNAVAILABLE
        return Refusal(kind, f"Nothing was done: {text}.")
    assert answer.outcome is Outcome.NOT_FOUND, "a query's answer to a command"
    if text:
        return invalid_field(text, f"must be {FIELDS[text].must_be}")
    return Refusal(NOT_FOUND, "There is no such thing.")


def _nothing_done(error: NothingDone) -> Refusal:
    kind = OVERLOADED if isinstance(error, Overloaded) else UNAVAILABLE
    return Refusal(kind, f"Nothing was done: {error}.")


def unknown(why: str) -> Refusal:
    """The refusal to say whether something was done."""
    return Refusal(
        OUTCOME_UNKNOWN,
        f"The outcome is not known ({why}). Send it again with the same"
        " Idempotency-Key.",
    )
