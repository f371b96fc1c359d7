"""The same request many times at once, over two gateways.  (Faults 4 and 9.)"""

import asyncio
from pathlib import Path
from random import Random

from loadtest.wishes import Answer
from tests.crash.asking import Asker, purchase, told
from tests.crash.history import differences, journaled_answers
from tests.crash.second_gateway import second_gateway
from tests.processes import check_verified, furnish, running_server

_PATH = "/v1/authorizations"
_AMOUNT_MINOR = 100
_DIFFERING = 50  # One sending in so many has another body.
_IN_FLIGHT_MAX = 400


async def send_many_times(directory: Path, seed: int, ids: int, sends: int) -> int:
    """So many ids, each so many times, one in fifty with another amount.

    How many purchases that made.
    """
    random = Random(seed)
    with (
        running_server(directory / "data", "--shards", "2") as server,
        second_gateway(server, 2) as other,
    ):
        names = furnish(server, 20)
        order = [number for number in range(ids) for _ in range(sends)]
        random.shuffle(order)
        async with Asker(server, other) as asker:
            answers = await _send(asker, names, order, random)
            decided = {n: _agreed(n, answers[n]) for n in range(ids)}
            server.kill_node("shard-000")
            again = {}
            for number in range(0, ids, max(1, ids // 50)):
                body = _body(names, number, is_other=decided[number][0])
                again[number] = await asker.until_answered(
                    _PATH, f"d-{number}", body, random.randrange(2)
                )
        assert server.terminate() == 0
    verified = check_verified(directory / "data")

    journaled = journaled_answers(directory / "data")
    assert verified["counts"]["Authorized"] == ids
    bodies = {f"d-{number}": body for number, (_, body) in decided.items()}
    assert [] == differences(journaled, bodies)
    for number, answer in again.items():
        assert answer.is_replay
        assert answer.body == decided[number][1]
        assert told(answer)["status"] == "approved"
    return len(decided)


def _body(names: list[str], number: int, *, is_other: bool) -> dict[str, object]:
    name = names[number % len(names)]
    return purchase(name, _AMOUNT_MINOR + is_other, capture=True)


Answers = dict[int, list[tuple[bool, Answer]]]  # By id: was it the other body?


async def _send(
    asker: Asker, names: list[str], order: list[int], random: Random
) -> Answers:
    answers: Answers = {}
    slots = asyncio.Semaphore(_IN_FLIGHT_MAX)

    async def one(number: int, is_other: bool, gateway: int) -> None:
        body = _body(names, number, is_other=is_other)
        async with slots:
            answer = await asker.until_answered(_PATH, f"d-{number}", body, gateway)
        answers.setdefault(number, []).append((is_other, answer))

    await asyncio.gather(
        *(
            one(number, random.randrange(_DIFFERING) == 0, random.randrange(2))
            for number in order
        )
    )
    return answers


def _agreed(number: int, answers: list[tuple[bool, Answer]]) -> tuple[bool, bytes]:
    """Which body came first, and its answer; the other one is a conflict."""
    decided = {(is_other, a.body) for is_other, a in answers if a.is_decided}
    assert len(decided) == 1, f"id {number} has {len(decided)} outcomes: {decided}"
    ((which, body),) = decided
    first = [a for _, a in answers if a.is_decided and not a.is_replay]
    assert len(first) <= 1, f"id {number} was carried out {len(first)} times"
    for is_other, answer in answers:
        if is_other == which:
            assert answer.is_decided, f"id {number}: {answer}"
        else:
            assert answer.status == 422, f"id {number}: {answer}"
            assert b'"amount_minor"' in answer.body
    return which, body
