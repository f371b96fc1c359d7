"""Stories from seeds: nothing wrong is done or said, and all come to rest.

More of them: `make simulate SEEDS=100000`; one again: `make simulate SEED=n`.
"""

import os
import subprocess
import sys
from collections.abc import Iterable

import pytest

from tests.simulation.luck import LUCK_DEEDS
from tests.simulation.outcome import outcome_of, shrunk
from tests.simulation.planted import PLANTED
from tests.simulation.story import story_of
from tests.simulation.world import World

SEEDS = 500
CHUNK = 25
WITHIN = 200  # Seeds that a planted bug is given.

pytestmark = pytest.mark.simulation


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_nothing_is_lost_or_done_twice_and_everybody_is_answered(first: int) -> None:
    outcomes = [outcome_of(story_of(seed)) for seed in range(first, first + CHUNK)]
    assert [] == [(o.seed, o.where, o.what) for o in outcomes if not o.is_good]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_bug_is_caught(name: str) -> None:
    parts, around = PLANTED[name]
    outcomes = (outcome_of(story_of(seed), parts, around) for seed in range(WITHIN))
    assert any(not outcome.is_good for outcome in outcomes)


# The simulator itself.


def digests(seeds: Iterable[int]) -> str:
    return " ".join(outcome_of(story_of(seed)).digest for seed in seeds)


def test_the_same_seed_tells_the_same_story() -> None:
    assert digests(range(8)) == digests(range(8))
    assert digests([1]) != digests([2])


def test_the_same_seed_tells_the_same_story_in_any_process() -> None:
    program = (
        "from tests.simulation.test_simulation import digests; print(digests(range(8)))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": number},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for number in ("1", "2")
    ]
    assert told[0] == told[1] == digests(range(8)) + "\n"


def test_a_trace_that_is_told_is_the_same_story() -> None:
    assert (
        outcome_of(story_of(3)).digest == outcome_of(story_of(3), is_told=True).digest
    )


def test_the_shortest_story_fails_in_the_same_way_with_less() -> None:
    parts, around = PLANTED["credit a return twice"]
    story = story_of(0)
    failed = outcome_of(story, parts, around)
    assert failed.where
    shorter = shrunk(story, failed, parts, around)
    assert len(shorter.deeds) < len(story.deeds) / 5
    assert failed.where == outcome_of(shorter, parts, around).where


def test_everything_that_can_happen_does_happen() -> None:
    """The stories are about something: each of these happens in some."""
    deeds: set[str] = set()
    refusals = ""
    deaths = ""
    events: set[str] = set()
    reasons: set[bytes] = set()
    for seed in range(60):
        world = World(story_of(seed))
        world.live()
        world.timeline.close()
        deeds |= {deed.name for deed in world.story.deeds}
        for host in world.house.hosts.values():
            refusals += " ".join(host.refused)
            deaths += " ".join(host.deaths)
        events |= {type(event).__name__ for event in world.expected.seen}
        reasons |= {errand.body or b"" for errand in world.town.errands}
    assert set(LUCK_DEEDS) <= deeds
    assert "is damaged" in refusals
    assert "disk is full" in refusals
    for why in ("old copy", "Fenced", "disk I/O error", "disk is full"):
        assert why in deaths
    assert WANTED_EVENTS <= events
    told = b"".join(reasons)
    for reason in WANTED_REASONS:
        assert reason in told


WANTED_EVENTS = {
    "AdvanceForced",
    "ForcedAdvanceRepaid",
    "ForceCaptured",
    "AdvanceLineChanged",
    "DailyCapSet",
    "LenderResumed",
    "FundsApproved",
    "FundsRejected",
}
WANTED_REASONS = (
    b"daily_cap_exceeded",
    b"reserve_exhausted",
    b"lender_suspended",
    b"same_caller",
    b'"limited_by":"reserve"',
    b'"limited_by":"daily_cap"',
)
