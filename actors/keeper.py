"""The keeper: packs sealed segments and makes snapshots, in a process of its own.

It works at the lowest priority, on files that nothing changes, and holds no
lock; so it is in nobody's way, and may be killed at any moment.  The nodes say
how many of their segments have settled, and it does what is to be done there,
one journal after the other.

A journal that it cannot fold is told of loudly and left alone until it has one
more segment: what a snapshot is made by is a recovery, and this one failed.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from processor.chain import JournalRefused
from processor.pieces import PieceDamaged
from processor.snapshot import SnapshotRefused
from processor.storage.archive import pack
from processor.storage.keeping import fold

_LOWEST_PRIORITY = 19
_LOOK_SECONDS = 5.0

log = logging.getLogger("forebay.keeper")

Nodes = Callable[[], dict[str, tuple[Path, Any]]]  # Those that run, by name.


class Keeper:
    """The actor; see the module."""

    def __init__(self) -> None:
        os.nice(_LOWEST_PRIORITY)

    @ray.method
    def keep(self, journal: Path, segments: int) -> list[str]:
        """Pack and fold that many segments of a journal; what was wrong, by name."""
        wrong: list[str] = []
        try:
            fold(journal, segments, wrong.append)
            for number in range(1, segments + 1):
                pack(journal, number)
        except (JournalRefused, SnapshotRefused, PieceDamaged, OSError) as error:
            wrong.append(str(error))
        return wrong


async def keep_all(nodes: Nodes) -> None:
    """Look after every node's journal until cancelled.

    There is a keeper only while there is something to do, and then one.
    """
    kept: dict[str, int] = {}
    keeper: Any = None
    try:
        while True:
            due = await _due(nodes(), kept)
            if due and keeper is None:
                keeper = ray.remote(Keeper).options(num_cpus=0, max_restarts=0).remote()
            elif not due and keeper is not None:
                ray.kill(keeper)
                keeper = None
            for name, (journal, segments) in due.items():
                if not await _keep(keeper, name, journal, segments):
                    keeper = None
                    break
                kept[name] = segments
            await asyncio.sleep(_LOOK_SECONDS)
    finally:
        if keeper is not None and ray.is_initialized():
            ray.kill(keeper)


async def _due(
    nodes: dict[str, tuple[Path, Any]], kept: dict[str, int]
) -> dict[str, tuple[Path, int]]:
    """The journals with settled segments that were not looked at yet."""
    due = {}
    for name, (journal, actor) in nodes.items():
        try:
            segments = await actor.settled_segments.remote()
        except RayError:
            continue  # Its next life will say.
        if segments > kept.get(name, 0):
            due[name] = journal, segments
    return due


async def _keep(keeper: Any, name: str, journal: Path, segments: int) -> bool:
    """False when the keeper has ended; then what it did not do is done later."""
    try:
        wrong = await keeper.keep.remote(journal, segments)
    except RayTaskError as error:
        wrong = [f"a snapshot cannot be made: {error}"]
    except RayActorError as error:
        log.warning("the keeper ended while it was at %s: %s", name, error)
        return False
    for text in wrong:
        log.error("%s: %s", name, text)
    return True
