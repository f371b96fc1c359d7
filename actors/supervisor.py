"""Starts, names, watches and replaces the actors; tells who needs to know.

One life after another: an actor is started, its place is announced, it is
watched until its process ends, and then the next is started.  The next takes
a new epoch in the journal, so what is left of the one before can write no
more.  A node whose journal is refused stays down, loudly, until it is mended.

A node that is silent for too long (`watchdog.py`) is cut off first: nobody is
connected to it any more, so none of its answers reaches a client.  Then its
process is killed.  The next life begins when it is gone and not before: only
the kernel can take the lock on the journal away from it, and does so then.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import msgspec
import ray
from ray.exceptions import RayActorError, RayTaskError

from actors.node_actors import NodeConfig, SettlementActor, ShardActor, Started
from actors.watchdog import Pulse, Sign, kill, kill_leftover, until_silent
from processor import limits
from processor.journal import JournalInUse, JournalRefused

_RETRY_SECONDS_FIRST = 0.1
_RETRY_SECONDS_MAX = 5.0
_CONTROL_CALLS_MAX = 100
_STOP_SECONDS_MAX = 10.0
_PLACED_SECONDS_MAX = 30.0
_LEFTOVER_SECONDS_MAX = 10.0
_LEFTOVER_KILLED_AFTER_SECONDS = 3.0  # One that is not frozen ends by itself.

T = TypeVar("T")

log = logging.getLogger("forebay.supervisor")

Announce = Callable[[str, str], None]  # A node's name, its address or "".


class Supervised:
    """One node: the actor that is it now, and the task that keeps it alive."""

    def __init__(self, config: NodeConfig, announce: Announce) -> None:
        self.config = config
        self.name = config.name
        self.actor: Any = None
        self.started: Started | None = None
        self.refused = ""  # Why the journal is not usable, if it is not.
        self.deaths = 0  # Lives that ended, those of silent nodes included.
        self.silences = 0
        self._was_silent = False  # In the life that is about to end.
        self._pid = 0
        self._announce = announce
        self._lives = 0
        self._stopping = False
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> Started:
        """The first life.  Raises JournalRefused.

        A journal in use is waited for: the owner of the data directory is this
        process, so what holds it is an actor of a killed one, about to end.  If
        it does not, it is frozen, and killed.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while True:
            try:
                started = await self._begin_life()
                break
            except JournalInUse:
                waited_seconds = loop.time() - begun
                if waited_seconds > _LEFTOVER_SECONDS_MAX:
                    raise
                if waited_seconds > _LEFTOVER_KILLED_AFTER_SECONDS:
                    pid = kill_leftover(self.config.journal)
                    log.warning("%s was held by process %d; killed", self.name, pid)
                await asyncio.sleep(_RETRY_SECONDS_FIRST)
        self._watching = asyncio.create_task(self._keep_alive(), name=self.name)
        return started

    async def stop(self) -> None:
        """Let the node finish what has come in, then end it."""
        self._stopping = True
        if self.started is not None:
            try:
                async with asyncio.timeout(_STOP_SECONDS_MAX):
                    await self.actor.stop.remote()
            except (RayActorError, TimeoutError) as error:
                log.warning("%s did not stop by itself: %s", self.name, error)
                kill(self._pid)
        if self._watching is not None:
            self._watching.cancel()
        if self.actor is not None:
            ray.kill(self.actor)

    async def _begin_life(self) -> Started:
        self._lives += 1
        kind = SettlementActor if self.name == "settlement" else ShardActor
        self.actor = (
            ray.remote(kind)
            .options(
                name=f"{self.name}.{self._lives}",
                num_cpus=0,
                max_restarts=0,
                max_task_retries=0,
                max_concurrency=_CONTROL_CALLS_MAX,
            )
            .remote(self.config)
        )
        await self._placed()
        try:
            # While it recovers, Ray's calls are all that it can answer.
            self.started = await self._unless_silent(
                self._start(), self.actor.pid.remote, limits.START_SILENT_BEATS_MAX
            )
        except RayTaskError as error:
            ray.kill(self.actor)
            if isinstance(error.cause, JournalRefused):
                raise error.cause from None
            raise
        assert self.started is not None
        # From now on a journal that is missing was lost.
        self.config = msgspec.structs.replace(self.config, may_create=False)
        self.refused = ""
        self._announce(self.name, self.started.address)
        return self.started

    async def _placed(self) -> None:
        """Wait for the process; without one for long, Ray's head is gone.

        Then nothing can be started any more, and only a new server has a new head.
        """
        try:
            async with asyncio.timeout(_PLACED_SECONDS_MAX):
                self._pid = await self.actor.pid.remote()
        except TimeoutError:
            end_server(f"Ray starts no process for {self.name}: its head is gone")

    async def _start(self) -> Started:
        started: Started = await self.actor.start.remote()
        return started

    async def _unless_silent(self, call: Awaitable[T], sign: Sign, beats_max: int) -> T:
        """What a call to the actor returns; it fails if the actor falls silent."""
        task = asyncio.ensure_future(call)
        silence = asyncio.create_task(until_silent(sign, beats_max))
        try:
            await asyncio.wait({task, silence}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and not self._stopping:
                self._end_silence(beats_max)
            return await task  # Ray fails it when the process is gone.
        finally:
            silence.cancel()
            task.cancel()

    def _end_silence(self, beats_max: int) -> None:
        self._was_silent = True
        seconds = beats_max * limits.BEAT_MS / 1_000
        log.error("%s is silent for %.1f s: killing it", self.name, seconds)
        self.started = None
        self._announce(self.name, "")
        kill(self._pid)

    async def _keep_alive(self) -> None:
        while not self._stopping:
            assert self.started is not None
            pulse = Pulse(self.name, self.started.address)
            try:
                await self._unless_silent(
                    self._watch(), pulse.beat, limits.SILENT_BEATS_MAX
                )
            except RayActorError as error:
                log.warning("%s has died: %s", self.name, _first_line(error))
            finally:
                pulse.close()
            self._count_death()
            self.started = None
            self._announce(self.name, "")
            await self._replace()

    def _count_death(self) -> None:
        """Both at once: who looks at one less the other must never see half of it."""
        self.deaths += 1
        self.silences += self._was_silent
        self._was_silent = False

    async def _watch(self) -> None:
        await self.actor.watch.remote()

    async def _replace(self) -> None:
        wait_seconds = _RETRY_SECONDS_FIRST
        while not self._stopping:
            try:
                started = await self._begin_life()
            except (RayActorError, RayTaskError, JournalRefused) as error:
                self.refused = _first_line(error)
                if self._was_silent:
                    self._count_death()
                log.error("%s cannot start: %s", self.name, self.refused)
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(2 * wait_seconds, _RETRY_SECONDS_MAX)
            else:
                log.warning("%s is back in epoch %d", self.name, started.epoch)
                return


def end_server(why: str) -> NoReturn:
    """End this process: whoever watches it may start it on the same journals."""
    log.critical("%s; this server ends", why)
    os._exit(70)


def _first_line(error: Exception) -> str:
    if isinstance(error, RayTaskError):
        # Ray's own text begins with where it was; who reads wants to know what.
        return f"{type(error.cause).__name__}: {error.cause}".splitlines()[0]
    return (str(error) or type(error).__name__).splitlines()[0]
