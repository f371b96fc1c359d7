"""What shard and settlement have in common: an inbox, steps, and a journal.

A node is a state machine without I/O.  Messages come in by `receive`; `step`
works through a batch of them and hands out records to journal and messages to
deliver.  Whoever drives it must make the records durable before it delivers a
single message of the same step, must not step again before, and must end the
node when that fails: its memory is ahead of its journal then.

A node starts closed.  What its journal says may be old (a copy put back), and
only the other end of the slice protocol can tell; until it has, the node
decides nothing and tells nothing.  What comes in is held, for a bounded time,
and worked off when it opens.

Two drivers exist for every node: the actor, with a real journal and real
connections, and the simulator, with neither.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec

from processor import limits
from processor.answers import answer_to
from processor.commands import Command
from processor.entries import Reading
from processor.events import Event
from processor.messages import Answer, Asked, Message, Outcome, Submit
from processor.remembered import Remembered, differing_field


class Step(msgspec.Struct, gc=False):
    """The outcome of a step: journal `records` first, then deliver.

    All records belong to the business day `day` and the time `at_ms`.  Then,
    and as slowly as the driver likes, `readings` are given the rows they want.
    """

    day: str
    at_ms: int
    records: list[Any]
    deliveries: list[tuple[int, Message]]
    readings: list[Reading]


class Node:
    """An inbox worked off in steps; see the module for the contract."""

    def __init__(self, remembered: Remembered) -> None:
        self.remembered = remembered
        self.stopped_because = ""  # Not empty: serve no more.
        self.is_open = False  # Whether the journal is confirmed in this epoch.
        self._held: deque[tuple[int, int, Message]] = deque()
        self._inbox: deque[tuple[int, Message]] = deque()
        self._records: list[Any] = []
        self._deliveries: list[tuple[int, Message]] = []
        self._readings: list[Reading] = []
        self._now_ms = 0
        self._steady_ms = 0
        self._read_ms = 0  # The clock's last reading.
        self._watch_ms = 0  # For waits: runs on while `_now_ms` stands still.
        self._batch_is_over = False

    @property
    def day(self) -> str:
        """The business day stamped on the next record."""
        raise NotImplementedError

    @property
    def sequence(self) -> int:
        """The last record that was applied."""
        raise NotImplementedError

    def not_before(self, at_ms: int) -> None:
        """Time goes on from the last record of the journal, or later."""
        self._now_ms = max(at_ms, self._now_ms)

    @property
    def has_work(self) -> bool:
        """Whether a step would do something that waits in the inbox."""
        return bool(self._inbox) or bool(self._deliveries)

    @property
    def inbox_length(self) -> int:
        """Messages waiting."""
        return len(self._inbox)

    def wakes_at_ms(self) -> int | None:
        """When a step is due though nothing comes in; None for never."""
        waits = self._waits_ms()
        if self._held:
            waits.append(self._held[0][0])
        behind_ms = self._watch_ms - self._read_ms
        due = [until_ms - behind_ms for until_ms in waits]
        return min(due + self._due_ms(), default=None)

    def _due_ms(self) -> list[int]:
        """When something is due by the time that is stamped."""
        return []

    def _waits_ms(self) -> list[int]:
        """Until when somebody waits, by the stopwatch."""
        raise NotImplementedError

    def receive(self, connection: int, messages: Sequence[Message]) -> None:
        """Take messages from a connection, in order; over the bound, refuse."""
        # Protocol messages may have filled it beyond the bound already.
        room = max(0, limits.INBOX_COMMANDS_MAX - len(self._inbox))
        taken = messages if len(messages) <= room else messages[:room]
        self._inbox.extend([(connection, message) for message in taken])
        for message in messages[room:]:
            if isinstance(message, Asked):
                self._not_done(connection, message.correlation, "overloaded")
            else:  # Protocol messages are few and bounded by themselves.
                self._inbox.append((connection, message))

    def disconnected(self, connection: int) -> None:
        """A connection is gone; what is addressed to it will be dropped."""

    def step(self, now_ms: int, steady_ms: int = 0) -> Step:
        """Work off one batch.  `now_ms` is the one reading of the clock.

        Time never falls: a clock that was put back stands still here.  Who waits
        waits no longer for that.  Deadlines are on a clock that nobody sets,
        `steady_ms`; nothing else is.
        """
        self._watch_ms += max(0, now_ms - self._read_ms)
        self._read_ms = now_ms
        self._now_ms = max(now_ms, self._now_ms)
        self._steady_ms = steady_ms
        self._records = []
        self._readings = []
        self._batch_is_over = False
        day = self.day
        inbox = self._inbox
        reads_max = self.remembered.reads + limits.REMEMBERED_READS_PER_STEP_MAX
        if self._held:
            self._give_up_held()
        self._begin_step()
        for _ in range(min(len(inbox), limits.BATCH_COMMANDS_MAX)):
            if self._batch_is_over or self.stopped_because:
                break
            if self.remembered.reads > reads_max:
                break  # What was read from the journal has taken its time.
            connection, message = inbox.popleft()
            if self.is_open or self._is_heard_while_closed(message):
                self._handle(connection, message)
            else:
                self._hold(connection, message)
        if not self._batch_is_over:
            self._end_step()
        if self.stopped_because:
            self._give_up_held()
        step = Step(day, self._now_ms, self._records, self._deliveries, self._readings)
        self._deliveries = []
        return step

    def tidy(self, step: Step) -> None:
        """Once a step is durable: let what is done leave memory, a little of it."""
        self.remembered.move_out()

    # Until the journal is confirmed.

    def _is_heard_while_closed(self, message: Message) -> bool:
        """Whether a message is part of the confirmation itself."""
        raise NotImplementedError

    def _why_closed(self) -> str:
        """What is missing, for who has waited for it in vain."""
        raise NotImplementedError

    def _open(self) -> None:
        """The journal is confirmed: work off what was held, in its order."""
        self.is_open = True
        held = ((connection, message) for _, connection, message in self._held)
        self._inbox.extendleft(reversed(list(held)))
        self._held.clear()

    def _hold(self, connection: int, message: Message) -> None:
        is_full = len(self._held) >= limits.INBOX_COMMANDS_MAX
        if is_full and isinstance(message, Asked):
            self._not_done(connection, message.correlation, "overloaded")
        else:
            due_ms = self._watch_ms + limits.PARKED_MS_MAX
            self._held.append((due_ms, connection, message))

    def _give_up_held(self) -> None:
        held = self._held
        while held and (held[0][0] <= self._watch_ms or self.stopped_because):
            _, connection, message = held.popleft()
            if isinstance(message, Submit) and self._answer_again(
                connection, message.correlation, message.command
            ):
                continue  # What was decided once stays true, in an old copy too.
            if isinstance(message, Asked):
                self._not_done(connection, message.correlation, self._why_closed())

    # What each kind of node does.

    def _begin_step(self) -> None:
        """What is due by time."""

    def _end_step(self) -> None:
        """What follows from the batch as a whole."""

    def _handle(self, connection: int, message: Message) -> None:
        raise NotImplementedError

    def _record(self, command: Any, event: Any) -> None:
        """Apply an event and put it among the records of this step."""
        raise NotImplementedError

    def _deliver(self, connection: int, message: Message) -> None:
        self._deliveries.append((connection, message))

    def _not_done(self, connection: int, correlation: int, why: str) -> None:
        self._deliver(connection, Answer(correlation, Outcome.NOT_DONE, why.encode()))

    def _is_late(self, deadline_ms: int) -> bool:
        """Whether a command may not be decided any more."""
        return 0 < deadline_ms <= self._steady_ms

    def _answer_again(
        self, connection: int, correlation: int, command: Command
    ) -> bool:
        """Answer a request id that was used before; False if it is new."""
        found = self.remembered.find(command, self._now_ms)
        if found is None:
            return False
        field = differing_field(found[0], command)
        if field is None:
            answer = Answer(correlation, Outcome.REPLAYED, answer_to(*found))
        else:
            answer = Answer(correlation, Outcome.CONFLICT, field.encode())
        self._deliver(connection, answer)
        return True

    def _answer(
        self, connection: int, correlation: int, command: Command, event: Event
    ) -> None:
        """Record what a command ended in, remember it, and answer."""
        self._record(command, event)
        self.remembered.remember(command, event, self.sequence, self._now_ms)
        self._deliver(
            connection,
            Answer(correlation, Outcome.DECIDED, answer_to(command, event)),
        )
