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
from gateway.connections import Connections
from gateway.deadlines import Deadlines, Patience
from gateway.exchange import BodyReader
from gateway.fields import FIELDS
from gateway.keys import KeyRing
from gateway.metrics import Counters
from gateway.ports import (
    SINGLE,
    Awaited,
    NodesPort,
    NothingDone,
    OutcomeUnknown,
    Overloaded,
    Sender,
    TooLate,
    Waiting,
)
from gateway.problems import (
    KEY_REUSED,
    NOT_FOUND,
    OUTCOME_UNKNOWN,
    OVERLOADED,
    TOO_LATE,
    UNAVAILABLE,
    FieldError,
    Refusal,
    invalid_field,
)
from gateway.turns import Turns
from processor import messages as m
from processor.commands import Command
from processor.messages import Answer, Outcome

SWEEP_SECONDS = 0.02
CONNECTIONS_SWEEP_SECONDS = 1.0
Told = TypeVar("Told")
_KEY_IS_FULL = (
    "This API key has as many commands in flight as it may. Nothing was done."
)
# Never raised: the same object for all.
_DOOR_IS_BUSY = Refusal(
    OVERLOADED, "The gateway has more to read than it can do. Nothing was done."
)
_NODES_ARE_BUSY = "Nothing was done: more than its share waits for every shard already."
_TOO_LATE_BODY = m.TOO_LATE.encode()
_KIND_OF_NOT_DONE = {"overloaded": OVERLOADED, m.TOO_LATE: TOO_LATE}


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
        self.connections = Connections(bounds.connections_max)
        self.is_draining = False
        self._recent = RecentKeys(bounds.recent_keys)
        self._deadlines: Deadlines[Waiting] = Deadlines(bounds.answer_wait_ms_max)
        self._longest = self._deadlines.longest
        self._in_flight: dict[Waiting, tuple[Sender | None, Patience[Waiting]]] = {}
        self._in_flight_max = bounds.commands_in_flight_max
        self.turns = Turns()
        self._refused_in_turn = -1  # The last one in which a node had no room.
        self.held = 0  # Commands of bulk requests that were not sent yet.
        self._wait_seconds_max = bounds.answer_wait_ms_max / 1_000

    @property
    def in_flight(self) -> int:
        """Commands that wait for their answer."""
        return len(self._in_flight)

    @property
    def is_ready(self) -> bool:
        """Whether new work should be sent here."""
        return self.nodes.ready and not self.is_draining

    def decide_seconds(self, timeout_ms: int) -> float:
        """How long after it came a command with this timeout may be decided."""
        return self._deadlines.of(timeout_ms).decide_ms / 1_000

    def admit(self, count: int, sender: Sender) -> None:
        """Refuse now if so many commands more would be too many for the house."""
        if len(self._in_flight) + self.held + count > self._in_flight_max:
            sender.was_refused("door_full")
            raise Refusal(
                OVERLOADED,
                f"No more than {self._in_flight_max} commands may be in flight here."
                " Nothing was done.",
            )

    def admit_one(self, sender: Sender, *, is_for_shard: bool) -> None:
        """The same for one command, before it is looked into.

        When a node had no room for another one just now, that saves the time.
        """
        if (
            self._refused_in_turn == self.turns.number
            and is_for_shard
            and not self.nodes.has_room(sender)
        ):
            sender.was_refused("node_busy")
            raise Refusal(OVERLOADED, _NODES_ARE_BUSY)
        if len(self._in_flight) + self.held >= self._in_flight_max:
            self.admit(1, sender)

    def why_not_read(self, sender: Sender) -> Refusal | None:
        """Why a command that came late in a turn is sent away; None if it is read."""
        if sender.may_be_late(self.turns.number):
            return None
        sender.was_refused("door_busy")
        return _DOOR_IS_BUSY

    def submit(
        self,
        command: Command,
        waiting: Waiting,
        now_seconds: float,
        sender: Sender | None,
        timeout_ms: int = 0,
        part: int = SINGLE,
    ) -> None:
        """Send a command on, once it is admitted; `settle` must follow.

        It came at `now_seconds`.  What has no sender is the rest of something
        that was begun: it is never sent away for having come too much.
        """
        if sender is not None and 0 < sender.in_flight_max <= sender.in_flight:
            if part == SINGLE:
                sender.was_refused("key_full")
            raise Refusal(OVERLOADED, _KEY_IS_FULL)
        if self._recent.is_reused(command):
            raise key_reused(command.ROUTED_BY or "command")
        patience = self._longest
        if timeout_ms:
            patience = self._deadlines.of(timeout_ms)
        deadline_ms = int(now_seconds * 1_000) + patience.decide_ms
        try:
            self.nodes.submit(command, waiting, sender, deadline_ms, part)
        except NothingDone as error:
            self._recent.forget(command)
            if sender is not None and part == SINGLE:
                if isinstance(error, Overloaded):
                    self._refused_in_turn = self.turns.number
                sender.was_refused(_reason_of(error))
            raise _nothing_done(error) from None
        if sender is not None:
            sender.in_flight += 1
            sender.admitted += 1
        self._in_flight[waiting] = (sender, patience)
        patience.waiting[waiting] = now_seconds

    def settle(
        self, command: Command, waiting: Waiting, told: Answer | Exception
    ) -> Answer:
        """A decision that was waited for; everything else is a Refusal."""
        sender, patience = self._in_flight.pop(waiting)
        del patience.waiting[waiting]
        if sender is not None:
            sender.in_flight -= 1
        if isinstance(told, Answer):
            if told.outcome <= Outcome.REPLAYED:
                return told
            if told.outcome is Outcome.NOT_DONE:
                self._recent.forget(command)
                if sender is not None and told.body == _TOO_LATE_BODY:
                    sender.was_refused("too_late")
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
        look_again_seconds = 0.0
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            now_seconds = perf_counter()
            if now_seconds >= look_again_seconds:
                self.connections.sweep(now_seconds)
                look_again_seconds = now_seconds + CONNECTIONS_SWEEP_SECONDS
            self.end_overdue(now_seconds)
            self.bodies.sweep(now_seconds)
            self.keys.follow()

    def end_all(self) -> None:
        """Answer "unknown" to every caller still waiting: the door closes."""
        self.end_overdue(float("inf"))

    def end_overdue(self, now_seconds: float) -> None:
        """Answer "unknown" to who has waited too long by now."""
        # Some leave the table when they are told.
        for waiting in self._deadlines.overdue(now_seconds):
            waiting.failed(OutcomeUnknown("no answer came in time"))


def _routed(command: Command) -> str:
    field = command.ROUTED_BY
    return getattr(command, field) if field else ""


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
        kind = _KIND_OF_NOT_DONE.get(text, UNAVAILABLE)
        return Refusal(kind, f"Nothing was done: {text}.")
    assert answer.outcome is Outcome.NOT_FOUND, "a query's answer to a command"
    if text:
        return invalid_field(text, f"must be {FIELDS[text].must_be}")
    return Refusal(NOT_FOUND, "There is no such thing.")


def _nothing_done(error: NothingDone) -> Refusal:
    kind = UNAVAILABLE
    if isinstance(error, Overloaded):
        kind = OVERLOADED
    elif isinstance(error, TooLate):
        kind = TOO_LATE
    return Refusal(kind, f"Nothing was done: {error}.")


def _reason_of(error: NothingDone) -> str:
    """What a key is counted to have been refused for."""
    if isinstance(error, Overloaded):
        return "node_busy"
    return "too_late" if isinstance(error, TooLate) else "unreachable"


def unknown(why: str) -> Refusal:
    """The refusal to say whether something was done."""
    return Refusal(
        OUTCOME_UNKNOWN,
        f"The outcome is not known ({why}). Send it again with the same"
        " Idempotency-Key.",
    )
