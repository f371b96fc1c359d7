"""What came of a story, and the shortest story that ends the same way.

Two failures are the same if they are of the same kind at the same place in the
code.  Shrinking first leaves out what comes after the failure, then tries to
leave out every part, from halves down to single deeds: first bad luck, then
wishes.
"""

import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.house import Parts
from tests.simulation.story import Deed, Story
from tests.simulation.world import World

Around = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Outcome:
    """`where` is "" if all went well."""

    seed: int
    where: str
    what: str
    phase: str
    deeds_done: int
    digest: str
    events: int
    faults: int
    lines: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        return not self.where


def outcome_of(
    story: Story,
    parts: Parts | None = None,
    around: Around = nullcontext,
    *,
    is_told: bool = False,
) -> Outcome:
    """Live a story; the lines of its trace only if it is to be told."""
    world = World(story, parts, is_told=is_told)
    where = what = ""
    try:
        with around():
            world.live()
    except Exception as error:  # Goes on: whatever it is, it is this story's end.
        where, what = place_of(error), str(error)
    finally:
        world.timeline.close()
    return Outcome(
        story.seed,
        where,
        what,
        world.phase,
        world.deeds_done,
        world.digest,
        world.timeline.events,
        len(world.luck.happened),
        tuple(world.lines),
    )


def place_of(error: Exception) -> str:
    """Kind and place of a failure, also of one that an inner handler has told."""
    told = str(error)
    if "Traceback" in told:
        frames = [line for line in told.splitlines() if line.startswith("  File ")]
        kind = told.strip().splitlines()[-1].partition(":")[0].rpartition(".")[2]
        file, line, name = frames[-1].strip().split(", ")
        place = f"{Path(file[6:-1]).name}:{line.removeprefix('line ')} {name}"
        return f"{kind} at {place}"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}"


def shrunk(
    story: Story,
    failed: Outcome,
    parts: Parts | None = None,
    around: Around = nullcontext,
    tries_max: int = 400,
) -> Story:
    """The shortest story found in so many tries that fails in the same way."""
    tries = 0

    def fails(deeds: Sequence[Deed]) -> bool:
        nonlocal tries
        tries += 1
        shorter = story.with_deeds(tuple(deeds))
        return outcome_of(shorter, parts, around).where == failed.where

    best = list(story.deeds)
    cut = best[: failed.deeds_done]
    if len(cut) < len(best) and fails(cut):
        best = cut
    for is_luck in (True, False):
        size = max(1, len(best) // 2)
        while size and tries < tries_max:
            best = _without(best, size, is_luck, fails, lambda: tries < tries_max)
            size //= 2
    return story.with_deeds(tuple(best))


def _without(
    deeds: list[Deed],
    size: int,
    is_luck: bool,
    fails: Callable[[Sequence[Deed]], bool],
    may_try: Callable[[], bool],
) -> list[Deed]:
    """Leave out each run of `size` deeds of one kind, if it fails without, too."""
    places = [i for i, deed in enumerate(deeds) if deed.is_luck is is_luck]
    for begin in reversed(range(0, len(places), size)):
        if not may_try():
            break
        gone = set(places[begin : begin + size])
        rest = [deed for i, deed in enumerate(deeds) if i not in gone]
        if fails(rest):
            deeds = rest
            places = [i for i, deed in enumerate(deeds) if deed.is_luck is is_luck]
    return deeds
