"""The clocks a node is driven by: what time it is, and how long something took.

A node reads neither by itself.  A simulation puts its own in their place.
"""

import time
from collections.abc import Callable

import msgspec


class Clock(msgspec.Struct, frozen=True):
    """Milliseconds since 1970, which may jump, and seconds that only grow."""

    now_ms: Callable[[], int]
    seconds: Callable[[], float]


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


WALL_CLOCK = Clock(_now_ms, time.perf_counter)
