"""The timer of a node: by a clock that may be put right at any moment."""

import asyncio
from typing import TYPE_CHECKING, cast

from actors.clock import Clock
from actors.runner import Runner

if TYPE_CHECKING:
    from processor.journal import Journal
    from processor.node import Node

HOUR_MS = 3_600_000


class Sleepy:
    """Something is due in an hour, as far as the clock knows."""

    def wakes_at_ms(self) -> int:
        return 2 * HOUR_MS


async def test_a_node_looks_at_its_clock_again_within_ten_seconds() -> None:
    clock = Clock(lambda: HOUR_MS, lambda: 0.0)
    runner = Runner(cast("Node", Sleepy()), cast("Journal", None), clock=clock)
    runner._set_timer()
    assert runner._timer is not None
    waits_seconds = runner._timer.when() - asyncio.get_running_loop().time()
    runner._timer.cancel()
    assert 0 < waits_seconds < 10.1
