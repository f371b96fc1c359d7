"""A node whose journal is full goes on in the next segment, and nobody notices."""

import asyncio
from pathlib import Path

import pytest

from processor import limits
from processor import messages as m
from processor.journal import read_journal
from processor.recovery import ShardReplay, digest_of
from tests.unit.one_shard import IDENTITY
from tests.unit.test_readings import ROWS, a_node, calling, limit

COMMANDS_MAX = 4_000


async def test_commands_and_readers_pass_many_rotations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENT_RECORDS", 10)
    failed: list[str] = []
    async with a_node(tmp_path, failed) as runner, calling(tmp_path) as caller:
        number = 1
        while runner.rotations < 4 and number < COMMANDS_MAX:
            caller.say(limit(number), m.QueryEntries(number + 1, "a", 0, ROWS))
            await caller.answered(number + 1)
            number += 2
        figures = runner.statistics("shard")
        digest = digest_of(runner.node.state)  # type: ignore[attr-defined]
        row = runner.journal.row_of(1)
    assert [] == failed
    outcomes = [answer.outcome for answer in caller.answers]
    assert [m.Outcome.DECIDED, m.Outcome.READ] * (number // 2) == outcomes
    assert 4 == figures.rotations
    assert 0 < figures.sealed_sequence <= figures.sequence
    assert 0 < figures.rotation_seconds_max < 1
    replay = ShardReplay(IDENTITY)
    with read_journal(tmp_path / "j") as (_, rows):
        for found in rows:
            replay.replay(found)
    assert digest == digest_of(replay.state)
    assert 1 == row.first_sequence


async def test_a_rotation_on_demand_ends_where_the_node_is(tmp_path: Path) -> None:
    failed: list[str] = []
    async with a_node(tmp_path, failed) as runner, calling(tmp_path) as caller:
        caller.say(limit(1))
        await caller.answered(1)
        point = await runner.rotate()
        again = await runner.rotate()
        caller.say(limit(2))
        await caller.answered(2)
        later = await runner.rotate()
        sequence = runner.node.sequence
    assert [] == failed
    assert (sequence - 1, sequence) == (point.sequence, later.sequence)
    assert again == point
    assert 2 == runner.rotations


async def test_a_rotation_that_fails_ends_the_node(tmp_path: Path) -> None:
    failed: list[str] = []
    async with a_node(tmp_path, failed) as runner:
        (tmp_path / "j.000002").write_bytes(b"in the way")
        with pytest.raises(Exception, match=r"j\.000002 is damaged or foreign"):
            await runner.rotate()
    assert "j.000002 is damaged or foreign" in failed[0]


async def test_who_stands_still_answers_nobody_until_told_to_go_on(
    tmp_path: Path,
) -> None:
    failed: list[str] = []
    async with a_node(tmp_path, failed) as runner, calling(tmp_path) as caller:
        caller.say(limit(1))
        await caller.answered(1)
        point = await runner.rotate(stand_still_seconds=60)
        caller.say(limit(2))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await caller.answered(2)
        assert point.sequence == runner.node.sequence
        stood_still_ms = runner.go_on()
        answers = await caller.answered(2)
        assert runner.go_on() is None
    assert [] == failed
    assert stood_still_ms is not None
    assert stood_still_ms >= 100
    assert [1, 2] == [answer.correlation for answer in answers]


async def test_who_stands_still_goes_on_by_itself_in_the_end(tmp_path: Path) -> None:
    failed: list[str] = []
    async with a_node(tmp_path, failed) as runner, calling(tmp_path) as caller:
        await runner.rotate(stand_still_seconds=0.05)
        caller.say(limit(1))
        await caller.answered(1)
        assert runner.go_on() is None
    assert [] == failed
