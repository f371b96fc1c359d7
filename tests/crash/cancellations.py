"""Clients that hang up, before, while and after they ask.  (Fault 8.)

Each of them later asks what came of it, under its key; meanwhile a crowd that
hangs up on nobody is served as if nothing were.
"""

import asyncio
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import msgspec

from tests.crash.asking import Asker, purchase, told
from tests.crash.crowd import Crowd
from tests.crash.history import differences, journaled_answers
from tests.processes import RunningServer, furnish, running_server

_PATH = "/v1/authorizations"
_AT_ONCE = 64
_USERS = 4
_WAIT_SECONDS_MAX = 0.03


async def hang_up(directory: Path, seed: int, cancels: int) -> dict[str, int]:
    """So many cancelled requests; how many of them were done all the same."""
    random = Random(seed)
    with running_server(directory / "data", "--shards", "2") as server:
        names = furnish(server, 20)
        crowd = Crowd(server, directory, seed, _USERS)
        await asyncio.to_thread(crowd.set_stage)
        living = asyncio.create_task(crowd.live())
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int) -> None:
            async with slots:
                await _ask_and_leave(server, number, _body(names, number), random)

        await asyncio.gather(*map(one, range(cancels)))
        crowd.stop()
        await living
        await asyncio.to_thread(server.wait_until, "rest", lambda: _is_at_rest(server))
        answers: dict[str, bytes] = {}
        done = 0
        async with Asker(server) as asker:
            for number in range(cancels):
                key = f"x-{number}"
                answer = await asker.until_answered(_PATH, key, _body(names, number))
                assert told(answer)["status"] == "approved"
                answers[key] = answer.body
                done += answer.is_replay
        await asyncio.to_thread(crowd.reconcile)
        assert server.terminate() == 0
    crowd.verify()
    assert [] == differences(journaled_answers(directory / "data"), answers)
    return {"cancelled": cancels, "done all the same": done}


def _body(names: list[str], number: int) -> dict[str, object]:
    return purchase(names[number % len(names)], 100, capture=True)


async def _ask_and_leave(
    server: RunningServer, number: int, body: dict[str, object], random: Random
) -> None:
    """Send a request, or a part of it; wait a random while, or not; hang up."""
    parts = urlsplit(server.url)
    content = msgspec.json.encode(body)
    head = (
        f"POST {_PATH} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {server.key}\r\nIdempotency-Key: x-{number}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    request = head.encode() + content
    is_whole = random.random() < 0.8
    length = len(request) if is_whole else random.randrange(1, len(request))
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(request[:length])
    if random.random() < 0.7:
        await asyncio.sleep(random.random() ** 3 * _WAIT_SECONDS_MAX)
    writer.transport.abort()


def _is_at_rest(server: RunningServer) -> bool:
    """Nobody is waited for any more, at the gateway or at a node."""
    status = server.get("/v1/status")
    return all(node["in_flight"] == 0 for node in status["nodes"])
