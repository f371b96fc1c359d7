"""Pages of history on their way: rows from the journal, a moment at a time.

The journal has one connection, and it belongs to the loop that also decides
and appends.  A row is found in some 10 µs, less than handing the statement to
another thread and back, so it is read right here, between two steps: as many
rows as a moment allows, at least one, and then the commands that have come in
meanwhile.  The oldest page is finished first; reading several at once would
only make all of them late.
"""

from collections import deque
from collections.abc import Callable

from actors.clock import WALL_CLOCK
from processor import limits
from processor import messages as m
from processor.entries import Reading
from processor.journal import Journal

_MOMENT_SECONDS = limits.READING_US_PER_TURN_MAX / 1_000_000


class Readings:
    """The readings of one node, oldest first; bounded."""

    def __init__(
        self, journal: Journal, seconds: Callable[[], float] = WALL_CLOCK.seconds
    ) -> None:
        self.count = 0
        self.seconds = 0.0
        self.seconds_max = 0.0  # At once: so long the node stood still.
        self._journal = journal
        self._clock_seconds = seconds
        self._waiting: deque[Reading] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, reading: Reading) -> m.Answer | None:
        """Put a reading in the queue; over the bound, its refusal at once."""
        if len(self._waiting) >= limits.READINGS_MAX:
            return reading.refusal("overloaded")
        self._waiting.append(reading)
        return None

    def forget(self, connection: int) -> None:
        """Nobody is there any more to be answered."""
        self._waiting = deque(
            reading for reading in self._waiting if reading.connection != connection
        )

    def work(self) -> list[tuple[int, m.Message]]:
        """Read for a moment; the answers that are complete by then.

        Raises what the journal and a damaged row raise: the node must end.
        """
        answers: list[tuple[int, m.Message]] = []
        began = now = self._clock_seconds()
        while self._waiting and now - began < _MOMENT_SECONDS:
            reading = self._waiting[0]
            if reading.wants:
                reading.take(self._journal.row_of(reading.wants))
            if not reading.wants:
                answers.append((reading.connection, reading.answer()))
                self._waiting.popleft()
                self.count += 1
            now = self._clock_seconds()
        self.seconds += now - began
        self.seconds_max = max(self.seconds_max, now - began)
        return answers
