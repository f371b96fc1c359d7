"""The collector looks at what is young, seldom, and never at what a node knows."""

import gc
from collections.abc import Iterator

import pytest

from actors.collector import Collector, leave_alone_what_is_known
from processor import limits


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()
    gc.collect()


@pytest.fixture
def collected() -> Iterator[list[int]]:
    """The generations that were collected, one after the other."""
    found: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            found.append(info["generation"])

    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


def test_what_is_known_is_never_looked_at_again() -> None:
    known: list[object] = []
    known.append(known)
    leave_alone_what_is_known()
    assert not any(found is known for found in gc.get_objects())
    assert gc.get_threshold()[2] > 10**9


def test_young_ones_are_looked_at_between_steps_and_old_ones_never(
    collected: list[int],
) -> None:
    leave_alone_what_is_known()
    collected.clear()
    collector = Collector()
    for _ in range(limits.COLLECTED_TIMES):
        for _ in range(2):
            collector.after(limits.COLLECTED_RECORDS // 2)
    assert [0] * (limits.COLLECTED_TIMES - 1) + [1] == collected
    assert gc.get_count()[:2] < (1_000, 2)


def test_a_cycle_that_a_step_left_is_freed() -> None:
    leave_alone_what_is_known()
    cycle: list[object] = []
    cycle.append(cycle)
    name = id(cycle)
    del cycle
    Collector().after(limits.COLLECTED_RECORDS)
    assert not any(id(found) == name for found in gc.get_objects())
