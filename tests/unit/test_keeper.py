"""The keeper's rounds: what is due, what is done again, and what is told."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.exceptions import RayActorError

from actors import keeper as keeper_module
from actors.keeper import keep_all


class FakeRay:
    """In the place of Ray: keepers that write down what they are given."""

    def __init__(self) -> None:
        self.given: list[tuple[Path, int]] = []
        self.answers: list[list[str] | Exception] = []
        self.begun = self.ended = 0

    def remote(self, kind: type) -> "FakeRay":
        return self

    def options(self, **options: Any) -> Any:
        ray = self

        class Options:
            def remote(self) -> Any:
                ray.begun += 1
                return type("Handle", (), {"keep": Call(ray.keep)})()

        return Options()

    async def keep(self, journal: Path, segments: int) -> list[str]:
        self.given.append((journal, segments))
        answer = self.answers.pop(0) if self.answers else []
        if isinstance(answer, Exception):
            raise answer
        return answer

    def kill(self, handle: object) -> None:
        self.ended += 1

    def is_initialized(self) -> bool:
        return True


class Call:
    def __init__(self, call: Callable[..., Any]) -> None:
        self.remote = call


class Node:
    def __init__(self, segments: int) -> None:
        self.segments = segments
        self.settled_segments = Call(self._settled)

    async def _settled(self) -> int:
        if self.segments < 0:
            raise RayActorError
        return self.segments


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(keeper_module, "ray", fake)
    monkeypatch.setattr(keeper_module, "_LOOK_SECONDS", 0.001)
    return fake


async def rounds(nodes: dict[str, Node], until: Callable[[], bool]) -> None:
    running = {name: (Path(name), node) for name, node in nodes.items()}
    task = asyncio.create_task(keep_all(lambda: running))
    async with asyncio.timeout(20):
        while not until():  # noqa: ASYNC110 (whatever it is)
            await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def test_each_segment_is_kept_once_and_then_there_is_no_keeper(
    ray: FakeRay,
) -> None:
    nodes = {"a": Node(2), "b": Node(0), "down": Node(-1)}
    await rounds(nodes, lambda: ray.ended == 1)
    assert [(Path("a"), 2)] == ray.given
    nodes["a"].segments, nodes["b"].segments = 3, 1
    await rounds(nodes, lambda: ray.ended == 2)
    assert [(Path("a"), 3), (Path("b"), 1)] == ray.given[-2:]
    assert ray.begun == ray.ended


async def test_what_a_killed_keeper_left_is_done_by_the_next(ray: FakeRay) -> None:
    ray.answers = [RayActorError()]
    await rounds({"a": Node(1), "b": Node(1)}, lambda: len(ray.given) == 3)
    assert [Path("a"), Path("a"), Path("b")] == [journal for journal, _ in ray.given]
    assert 2 == ray.begun


async def test_what_is_wrong_is_told_by_name(
    ray: FakeRay, caplog: pytest.LogCaptureFixture
) -> None:
    ray.answers = [["j.000002 is damaged"]]
    with caplog.at_level(logging.ERROR):
        await rounds({"shard-000": Node(2)}, lambda: ray.ended == 1)
    assert ["shard-000: j.000002 is damaged"] == caplog.messages
