"""Idempotency: the same request id gets the same answer, for as long as kept.

Remembered is the command and its event, not the answer: the answer is made
from the two again.  The oldest are forgotten when the bound is reached, in
the order of the journal, so that a replay forgets the same ones.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

from processor import limits
from processor.commands import Command
from processor.events import Event


class Remembered:
    """(caller, request id) → the command and what it ended in."""

    def __init__(self, requests_max: int) -> None:
        assert 0 < requests_max <= limits.REMEMBERED_REQUESTS_MAX
        self._requests_max = requests_max
        self._requests: dict[tuple[str, str], tuple[Command, Event]] = {}
        # Beside the table: finding its oldest key would walk over every deleted one.
        self._oldest_first: deque[tuple[str, str]] = deque()

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[tuple[Command, Event]]:
        """Every command and what it ended in, oldest first."""
        return (self._requests[key] for key in self._oldest_first)

    def find(self, command: Command) -> tuple[Command, Event] | None:
        """What the same caller asked under the same id before."""
        return self._requests.get((command.caller, command.request_id))

    def remember(self, command: Command, event: Event) -> None:
        """Keep one more, and forget the oldest when there are too many."""
        key = (command.caller, command.request_id)
        assert key not in self._requests
        self._requests[key] = (command, event)
        self._oldest_first.append(key)
        if len(self._requests) > self._requests_max:
            del self._requests[self._oldest_first.popleft()]


def differing_field(first: Command, second: Command) -> str | None:
    """The first field in which two commands differ; None if they are the same.

    "command" when they are not even of one kind.
    """
    if first == second:
        return None
    if type(first) is not type(second):
        return "command"
    for field in msgspec.structs.fields(first):
        if getattr(first, field.name) != getattr(second, field.name):
            return field.name
    raise AssertionError("two commands differ in no field")
