"""Notices a node that lives and says nothing.

A process that stands still (stopped, stuck in a call, waiting for a dead disk)
keeps its connections and its locks, and to Ray it is alive.  So every node is
asked for a sign of life, again and again, on a connection of its own through
the very steps that money goes through.

Silence is counted in beats, not in seconds: if it was this process that stood
still, one beat passes when it goes on, and not as many as the clock says.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from ray.exceptions import RayError

from actors.nodes import Awaited, Link, NothingDone, OutcomeUnknown
from processor import limits

_BEAT_SECONDS = limits.BEAT_MS / 1_000
_BEAT = "beat"  # A query for what there is not; that there is none is the sign.
_NODE_TITLES = (b"ray::ShardActor", b"ray::SettlementActor")

Sign = Callable[[], Awaitable[object]]


async def until_silent(sign: Sign, beats_max: int) -> None:
    """Returns when no sign has come for so many beats in a row."""
    missed = 0
    asked = asyncio.ensure_future(_is_heard(sign))
    try:
        while missed < beats_max:
            await asyncio.sleep(_BEAT_SECONDS)
            if not asked.done():
                missed += 1
                continue
            missed = 0 if asked.result() else missed + 1
            asked = asyncio.ensure_future(_is_heard(sign))
    finally:
        asked.cancel()


async def _is_heard(sign: Sign) -> bool:
    try:
        await sign()
    except (NothingDone, OutcomeUnknown, RayError):
        return False
    return True


class Pulse:
    """Signs of life over the stream, from the node at an address."""

    def __init__(self, name: str, address: str) -> None:
        self._link = Link(name)
        self._link.connect_to(address)

    async def beat(self) -> None:
        """One sign; any answer is.  Raises NothingDone or OutcomeUnknown."""
        awaited = Awaited()
        self._link.query(_BEAT, "", awaited)
        told = await awaited.told()
        if isinstance(told, Exception):
            raise told

    def close(self) -> None:
        """Hang up."""
        self._link.connect_to("")


def kill(pid: int) -> None:
    """SIGKILL: frees the journal's lock, also of a process that is stopped."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def kill_leftover(journal: Path) -> int:
    """End the node of a killed server that holds a journal; its process, or 0.

    Only for the owner of the data directory: whoever holds a journal in it is
    then nobody's actor any more.  A process that is no node is left alone.
    """
    try:
        pid = int(Path(f"{journal}.lock").read_text())
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return 0
    if not title.startswith(_NODE_TITLES):
        return 0
    kill(pid)
    return pid
