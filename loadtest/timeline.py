"""When a user means to start each request, whatever became of the one before.

Arrivals are Poisson and planned ahead: an answer that is late does not delay
the plan, so the wait counts (a closed loop would hide it).  A user has one
request under way at a time; one so far behind that nobody would still be
waiting drops slots, and the dropped are counted, never silently caught up.
"""

from random import Random

LATE_SECONDS_MAX = 2.0


class Timeline:
    """The intended starts of one user, in seconds since the test began."""

    def __init__(self, seed: int, name: str, per_second: float) -> None:
        assert per_second > 0
        self._random = Random(f"{seed}:{name}:timeline")
        self._per_second = per_second
        self._next_s = self._random.expovariate(per_second)

    def take(self, now_s: float) -> tuple[float, int]:
        """The next intended start, and how many slots were dropped before it."""
        dropped = 0
        while self._next_s < now_s - LATE_SECONDS_MAX:
            dropped += 1
            self._advance()
        taken_s = self._next_s
        self._advance()
        return taken_s, dropped

    def _advance(self) -> None:
        self._next_s += self._random.expovariate(self._per_second)
