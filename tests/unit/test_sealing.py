"""A cut over all journals: who is sealed when, and who stands still meanwhile."""

from typing import Any

import pytest
from ray.exceptions import RayActorError

from actors.cuts import SealedCut, SealedJournal
from actors.nodes import NothingDone
from actors.sealing import seal_all
from processor.chain import Point


class FakeActor:
    """Writes down in one list what is asked of all of them."""

    def __init__(self, name: str, said: list[str], **answers: Any) -> None:
        self._name, self._said, self._answers = name, said, answers

    def __getattr__(self, method: str) -> Any:
        return FakeMethod(f"{self._name} {method}", self._said, self._answers[method])


class FakeMethod:
    def __init__(self, call: str, said: list[str], answer: Any) -> None:
        self._call, self._said, self._answer = call, said, answer

    async def remote(self, *arguments: object) -> Any:
        self._said.append(self._call)
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def house(said: list[str], **of_shard: Any) -> dict[str, Any]:
    """Settlement and two shards; the last one answers as told."""

    def shard(name: str, number: int, **other: Any) -> FakeActor:
        sealed = (Point(10 * number, bytes([number]), 1), number)
        answers = {"prepare_segment": None, "seal": sealed} | other
        return FakeActor(name, said, **answers)

    settlement = FakeActor(
        "settlement",
        said,
        prepare_segment=None,
        seal_and_stand_still=(Point(7, b"s", 1), 3),
        go_on=of_shard.pop("go_on", 12),
    )
    return {
        "settlement": settlement,
        "shard-000": shard("shard-000", 1),
        "shard-001": shard("shard-001", 2, **of_shard),
    }


async def test_settlement_stands_still_while_every_shard_is_sealed() -> None:
    said: list[str] = []
    cut = await seal_all("cluster", house(said))
    assert (
        SealedCut(
            "cluster",
            [
                SealedJournal("settlement", 3, 7, b"s".hex()),
                SealedJournal("shard-000", 1, 10, "01"),
                SealedJournal("shard-001", 2, 20, "02"),
            ],
            12,
        )
        == cut
    )
    assert [
        "settlement seal_and_stand_still",
        "shard-000 seal",
        "shard-001 seal",
        "settlement go_on",
    ] == [call for call in said if "prepare" not in call]
    assert 3 == len([call for call in said[:3] if "prepare" in call])


async def test_settlement_goes_on_when_a_shard_fails() -> None:
    said: list[str] = []
    with pytest.raises(NothingDone, match="a node failed"):
        await seal_all("cluster", house(said, seal=RayActorError()))
    assert "settlement go_on" == said[-1]


async def test_there_is_no_cut_when_settlement_has_gone_on_by_itself() -> None:
    with pytest.raises(NothingDone, match="took too long"):
        await seal_all("cluster", house([], go_on=None))
