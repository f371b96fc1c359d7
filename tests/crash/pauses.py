"""A node that freezes at the worst moment, with its journal's lock in its hand.

(Fault 5.)  It is noticed, cut off, and replaced; whatever it had decided and
not told is found by asking again.
"""

import asyncio
import os
import time
from pathlib import Path

from processor import limits
from tests.crash.crowd import Crowd
from tests.processes import RunningServer, running_server, until_answered

# With writes queued; with approvals durable and unsent; with a grant unsent.
FREEZES = [
    "shard-000@1:before_append:Authorized:20:stop",
    "shard-000@2:before_reply:Answer:20:stop",
    "settlement@1:after_append:SliceGranted:12:stop",
]
_LIVES = {"shard-000": 3, "settlement": 2}
USERS = 8


async def live_through_freezes(directory: Path, seed: int) -> dict[str, float]:
    """A crowd while nodes freeze; the longest silence until each was replaced."""
    options = [word for fault in FREEZES for word in ("--fault", fault)]
    with running_server(directory / "data", "--shards", "2", *options) as server:
        crowd = Crowd(server, directory, seed, USERS)
        watching = asyncio.create_task(asyncio.to_thread(_watch_lives, server))
        await asyncio.to_thread(crowd.set_stage)
        living = asyncio.create_task(crowd.live())
        silences = await watching
        await crowd.until(200)
        crowd.stop()
        await living
        await asyncio.to_thread(crowd.reconcile)
        nodes = server.nodes()
        assert server.terminate() == 0
    crowd.verify()
    assert {"shard-000": 2, "settlement": 1} == {
        name: nodes[name]["silences"] for name in _LIVES
    }
    return silences


def _watch_lives(server: RunningServer) -> dict[str, float]:
    """Follow each node through its lives; how long nobody heard of it, in seconds.

    A life that is over has no process left when the next one is heard of.
    """
    pids: dict[str, int] = {}
    heard: dict[str, float] = {}
    silences: dict[str, float] = {}
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        nodes = until_answered(server.nodes)
        now = time.monotonic()
        for name in _LIVES.keys() & nodes.keys():
            pid = nodes[name]["pid"]
            if pids.get(name, pid) != pid:
                assert not _is_running(pids[name]), f"{name}: two incarnations"
                silences[name] = max(silences.get(name, 0.0), now - heard[name])
            pids[name], heard[name] = pid, now
        if all(
            nodes.get(name, {"epoch": 0})["epoch"] >= epoch
            for name, epoch in _LIVES.items()
        ):
            bound = limits.BEAT_MS * (limits.SILENT_BEATS_MAX + 1) / 1_000
            assert max(silences.values()) < bound + 10, silences
            return silences
        time.sleep(0.05)
    raise AssertionError(f"not all were replaced; {server.log}")


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return f"{pid} (" in Path(f"/proc/{pid}/stat").read_text() and (
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    )
