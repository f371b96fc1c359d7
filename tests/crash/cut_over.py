"""Days are closed at full load while shards and settlement restart.  (Fault 12.)

Jumps of the clock are the simulator's: here the clock is the machine's.
"""

import asyncio
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.crash.crowd import Crowd
from tests.processes import (
    RunningServer,
    check_verified,
    running_server,
    until_answered,
)

_FIRST_DAY = date(2026, 1, 5)  # A Monday, far from any statement.
_USERS = 8
# Each day ends in another accident: before and after what ends it is durable.
_FAULTS = (
    "settlement@1:after_append:DayCut:1",
    "shard-000@1:before_append:DayMoved:1",
    "shard-001@1:after_append:DayMoved:2",
    "settlement@2:before_append:ShardDayReported:2",
    "settlement@3:after_append:DayClosed:1",
)


async def close_days(directory: Path, seed: int, days: int) -> None:
    """Close so many days; the faults happen on the first two of them."""
    random = Random(seed)
    options = [word for fault in _FAULTS for word in ("--fault", fault)]
    options += ["--shards", "2", "--first-day", _FIRST_DAY.isoformat()]
    with running_server(directory / "data", *options) as server:
        crowd = Crowd(server, directory, seed, _USERS)
        await asyncio.to_thread(crowd.set_stage)
        living = asyncio.create_task(crowd.live())
        closed = []
        for number in range(days):
            await crowd.until(random.randrange(100, 300))
            day = (_FIRST_DAY + timedelta(days=number)).isoformat()
            closed.append(await asyncio.to_thread(_close, server, day))
        crowd.stop()
        await living
        await asyncio.to_thread(crowd.reconcile)
        again = [_read(server, view["day"]) for view in closed]
        nodes = server.nodes()
        assert server.terminate() == 0
    crowd.verify()
    verified = check_verified(directory / "data")

    assert closed == again
    assert [view["day"] for view in closed] == list(verified["days"])[:days]
    # Every fault came: a life more for each.
    assert nodes["settlement"]["epoch"] >= 4
    assert nodes["shard-000"]["epoch"] >= 2
    assert nodes["shard-001"]["epoch"] >= 2


def _close(server: RunningServer, day: str) -> dict[str, Any]:
    """Close a day, three times; what it is when it is closed."""
    path = f"/v1/business-days/{day}/close"
    answers = [
        until_answered(partial(server.post, path, key, {}))
        for key in (f"close-{day}", f"close-{day}", f"once-more-{day}")
    ]
    assert answers[0]["status"] == "approved"
    assert answers == [answers[0]] * 3
    server.wait_until(
        f"the end of {day}", lambda: _read(server, day)["status"] == "closed"
    )
    return _read(server, day)


def _read(server: RunningServer, day: str) -> dict[str, Any]:
    view: dict[str, Any] = until_answered(
        partial(server.get, f"/v1/business-days/{day}")
    )
    return view
