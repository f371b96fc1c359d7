"""Starts, names, watches and replaces the actors; tells who needs to know.

One life after another: an actor is started, its place is announced, it is
watched until its process ends, and then the next is started.  The next takes
a new epoch in the journal, so what is left of the one before can write no
more.  A node whose journal is refused stays down, loudly, until it is mended.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from actors.node_actors import NodeConfig, SettlementActor, ShardActor, Started
from processor.journal import JournalInUse, JournalRefused

_RETRY_SECONDS_FIRST = 0.1
_RETRY_SECONDS_MAX = 5.0
_CONTROL_CALLS_MAX = 100
_STOP_SECONDS_MAX = 10.0
_LEFTOVER_SECONDS_MAX = 10.0

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
        self._announce = announce
        self._lives = 0
        self._stopping = False
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> Started:
        """The first life.  Raises JournalRefused.

        A journal in use is waited for: the owner of the data directory is this
        process, so what holds it is an actor of a killed one, about to end.
        """
        deadline = asyncio.get_running_loop().time() + _LEFTOVER_SECONDS_MAX
        while True:
            try:
                started = await self._begin_life()
                break
            except JournalInUse:
                if asyncio.get_running_loop().time() > deadline:
                    raise
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
        try:
            self.started = await self.actor.start.remote()
        except RayTaskError as error:
            ray.kill(self.actor)
            if isinstance(error.cause, JournalRefused):
                raise error.cause from None
            raise
        assert self.started is not None
        self.refused = ""
        self._announce(self.name, self.started.address)
        return self.started

    async def _keep_alive(self) -> None:
        while not self._stopping:
            try:
                await self.actor.watch.remote()
            except RayActorError as error:
                log.warning("%s has died: %s", self.name, _first_line(error))
            self.started = None
            self._announce(self.name, "")
            await self._replace()

    async def _replace(self) -> None:
        wait_seconds = _RETRY_SECONDS_FIRST
        while not self._stopping:
            try:
                started = await self._begin_life()
            except (RayActorError, RayTaskError, JournalRefused) as error:
                self.refused = _first_line(error)
                log.error("%s cannot start: %s", self.name, self.refused)
                await asyncio.sleep(wait_seconds)
                wait_seconds = min(2 * wait_seconds, _RETRY_SECONDS_MAX)
            else:
                log.warning("%s is back in epoch %d", self.name, started.epoch)
                return


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
