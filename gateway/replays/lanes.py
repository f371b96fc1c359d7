"""Many operations at once, but one account's in order.

Operations are given in order of time.  Each waits for the one before it on
the same account and for nothing else; no more than a fixed number are under
way.  A slot is taken in the order given, so the operation that another waits
for always has one already, and waiting cannot lock up.

The first failure cancels everything that is under way: what was asked and not
answered is asked again when the replay is run again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from gateway.replays.client import ReplayFailed

Work = tuple[str, Callable[[], Awaitable[None]]]  # Its lane, and what to do.


class Lanes:
    """A lane for each name (an account, a lender) over a shared number of slots."""

    def __init__(self, group: asyncio.TaskGroup, in_flight: int) -> None:
        self._group = group
        self._slots = asyncio.Semaphore(in_flight)
        self._last: dict[str, asyncio.Task[None]] = {}

    async def put(self, lane: str, work: Callable[[], Awaitable[None]]) -> None:
        """Start the work behind the lane's last, as soon as there is a slot."""
        await self._slots.acquire()
        before = self._last.get(lane)
        task = self._group.create_task(self._run(before, work))
        self._last[lane] = task
        task.add_done_callback(lambda done: self._ended(lane, done))

    async def _run(
        self, before: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]
    ) -> None:
        if before is not None and not before.done():
            await asyncio.wait([before])
        if before is None or (not before.cancelled() and before.exception() is None):
            await work()

    def _ended(self, lane: str, task: asyncio.Task[None]) -> None:
        self._slots.release()
        if self._last.get(lane) is task:
            del self._last[lane]


async def run_together(work: Iterable[Work], in_flight: int) -> None:
    """Do it all; raises the first ReplayFailed, and everything else as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            lanes = Lanes(group, in_flight)
            for lane, job in work:
                await lanes.put(lane, job)
    except ExceptionGroup as failures:
        expected, bugs = failures.split(ReplayFailed)
        if expected is None or bugs is not None:
            raise
        raise expected.exceptions[0] from None
