"""Virtual time: processes with event loops of their own, in one thread.

The asyncio code of the house runs here unchanged.  Each process has a loop that
schedules into one heap, ordered by virtual time and then by number, so that
nothing depends on the machine.  A process can be killed between any two
callbacks or inside one, be frozen and thawed, or be busy (a sync takes time and
holds its loop, as in life).
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from heapq import heappop, heappush
from inspect import CORO_CREATED, getcoroutinestate
from typing import Any

SECOND = 1_000_000  # Times are in microseconds.
MS = 1_000
NEVER = 2**62
EVENTS_MAX = 100_000  # Of one story; ten times what a long one needs.


class Killed(SystemExit):
    """Ends a process from inside, as `os._exit` would."""


class Violation(AssertionError):
    """Something that must never happen has happened."""


class Timer:
    """One callback that is due; what `call_later` returns."""

    __slots__ = ("args", "at_us", "callback", "is_cancelled", "number", "process")

    def __init__(
        self,
        at_us: int,
        number: int,
        process: "Process | None",
        callback: Callable[..., Any],
        args: tuple[Any, ...],
    ) -> None:
        self.at_us = at_us
        self.number = number
        self.process = process
        self.callback = callback
        self.args = args
        self.is_cancelled = False

    def cancel(self) -> None:
        """It will not be called."""
        self.is_cancelled = True


class Timeline:
    """What is due when; the only clock there is."""

    def __init__(self) -> None:
        self.now_us = 0
        self.events = 0
        self.processes: list[Process] = []  # Those that live.
        self.complaints: list[str] = []  # Faults that asyncio would only log.
        self._heap: list[tuple[int, int, Timer]] = []
        self._numbers = 0

    def after(
        self,
        delay_us: int,
        callback: Callable[..., Any],
        *args: Any,
        process: "Process | None" = None,
    ) -> Timer:
        """Call back after a delay, in a process or outside of all of them."""
        self._numbers += 1
        at_us = self.now_us + max(0, delay_us)
        timer = Timer(at_us, self._numbers, process, callback, args)
        heappush(self._heap, (at_us, self._numbers, timer))
        return timer

    def run(self, until_us: int, is_done: Callable[[], bool] = lambda: False) -> bool:
        """Let things happen up to a time, or until it is done; whether it is."""
        heap = self._heap
        while heap and heap[0][0] <= until_us:
            timer = heappop(heap)[2]
            if timer.is_cancelled or self._is_put_off(timer):
                continue
            self.now_us = timer.at_us
            self.events += 1
            if self.events > EVENTS_MAX:
                raise Violation("they talk and talk")
            self._call(timer)
            if self.complaints:
                raise Violation(self.complaints[0])
            if is_done():
                return True
        self.now_us = max(self.now_us, until_us)
        return is_done()

    def _is_put_off(self, timer: Timer) -> bool:
        process = timer.process
        if process is None:
            return False
        if not process.is_alive:
            return True
        if process.is_frozen:
            process.backlog.append(timer)
            return True
        if process.busy_until_us > timer.at_us:
            self._put(timer, process.busy_until_us)
            return True
        return False

    def _call(self, timer: Timer) -> None:
        process = timer.process
        if process is None:
            timer.callback(*timer.args)
            return
        asyncio._set_running_loop(process.loop)
        try:
            timer.callback(*timer.args)
        except Killed:
            process.end()
        finally:
            asyncio._set_running_loop(None)

    def close(self) -> None:
        """End everything; nothing happens any more."""
        for process in list(self.processes):
            process.on_end.clear()
            process.end()

    def thaw(self, timers: list[Timer]) -> None:
        """What was held back is due now, in its old order."""
        for timer in timers:
            self._put(timer, max(timer.at_us, self.now_us))

    def _put(self, timer: Timer, at_us: int) -> None:
        timer.at_us = at_us
        heappush(self._heap, (at_us, timer.number, timer))


class Process:
    """One operating-system process: it lives once."""

    def __init__(self, timeline: Timeline, host: str, name: str) -> None:
        timeline.processes.append(self)
        self.timeline = timeline
        self.host = host
        self.name = name
        self.is_alive = True
        self.ended_at_us = NEVER
        self.is_frozen = False
        self.busy_until_us = 0
        self.backlog: list[Timer] = []
        make: Any = Loop  # Of the many methods only those the house uses.
        self.loop: Loop = make(self)
        self.on_end: list[Callable[[], None]] = []

    def soon(self, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back in this process."""
        return self.timeline.after(0, callback, *args, process=self)

    def is_busy_for(self, delay_us: int) -> None:
        """Something holds the loop for so long."""
        now_us = self.timeline.now_us
        self.busy_until_us = max(self.busy_until_us, now_us) + delay_us

    def freeze(self) -> None:
        """SIGSTOP."""
        self.is_frozen = True

    def thaw(self) -> None:
        """SIGCONT: all that is due by now happens at once."""
        self.is_frozen = False
        backlog, self.backlog = self.backlog, []
        self.timeline.thaw(backlog)

    def end(self) -> None:
        """It is gone, from one instruction to the next."""
        if not self.is_alive:
            return
        self.is_alive = False
        self.timeline.processes.remove(self)
        self.ended_at_us = self.timeline.now_us
        self.backlog.clear()
        for task in self.loop.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            coroutine: Any = task.get_coro()
            if getcoroutinestate(coroutine) == CORO_CREATED:
                coroutine.close()  # Or Python warns that nobody awaited it.
        self.loop.tasks.clear()
        for callback in self.on_end:
            callback()


class Loop(asyncio.AbstractEventLoop):
    """What of an event loop the house uses, in virtual time."""

    connect: Callable[..., Any]  # The network's.
    listen: Callable[..., Any]

    def __init__(self, process: Process) -> None:
        self._process = process
        self._timeline = process.timeline
        self.tasks: set[asyncio.Task[Any]] = set()

    def time(self) -> float:
        return self._timeline.now_us / SECOND

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return not self._process.is_alive

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> Timer:
        return self._timeline.after(0, callback, *args, process=self._process)

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> Timer:
        delay_us = round(delay * SECOND)
        return self._timeline.after(delay_us, callback, *args, process=self._process)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: Context | None = None,
    ) -> Timer:
        return self.call_later(when - self.time(), callback, *args)

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def create_unix_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], path: str
    ) -> tuple[Any, Any]:
        return await self.connect(protocol_factory, path)  # type: ignore[no-any-return]

    async def create_unix_server(  # type: ignore[override]
        self, protocol_factory: Callable[[], Any], path: str
    ) -> Any:
        return self.listen(protocol_factory, path)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """asyncio would log it and go on; here it is a finding."""
        if self._process.is_alive:
            error = context.get("exception")
            told = f"{self._process.name}: {context['message']}: {error!r}"
            self._timeline.complaints.append(told)
