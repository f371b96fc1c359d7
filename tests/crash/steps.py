"""A crowd on a server whose nodes are killed step by step."""

import asyncio
from pathlib import Path

from actors.fault_points import parse_fault
from tests.crash.crowd import Crowd
from tests.processes import RunningServer, running_server, until_answered

USERS = 8
_STEPS = (
    "frame_read",
    "decided",
    "applied",
    "before_append",
    "after_append",
    "before_reply",
    "after_reply",
)


def _lives(node: str, nth: int, of_recovery: str) -> list[str]:
    """A kill at each step, one a life, and then two lives that end in recovery."""
    faults = [
        f"{node}@{epoch}:{step}:*:{nth}" for epoch, step in enumerate(_STEPS, start=1)
    ]
    last = len(_STEPS)
    faults += [f"{node}@{last + n}:recovery:*:{of_recovery}" for n in (1, 2)]
    return faults


# Settlement hears and says little; a shard much.
KILLS = _lives("shard-000", 60, "5") + _lives("settlement", 2, "5")

# Later lives end around a grant: durable, sent, received, and durable there.
GRANT_KILLS = [
    "settlement@10:decided:SliceGranted:2",
    "settlement@11:before_append:SliceGranted:2",
    "settlement@12:after_append:SliceGranted:2",
    "settlement@13:after_reply:GrantSlice:2",
    "shard-001@1:frame_read:GrantSlice:2",
    "shard-001@2:before_append:SliceReceived:2",
    "shard-001@3:after_append:SliceReceived:2",
]


def has_lived(server: RunningServer, faults: list[str]) -> bool:
    """Whether every node is past the last life that a fault was to end."""
    last: dict[str, int] = {}
    for fault in map(parse_fault, faults):
        last[fault.node] = max(fault.epoch, last.get(fault.node, 0))
    nodes = until_answered(server.nodes)
    return all(
        name in nodes and nodes[name]["epoch"] > epoch for name, epoch in last.items()
    )


async def live_through(directory: Path, seed: int, faults: list[str]) -> int:
    """A crowd until every fault has happened; how many of its answers are right."""
    options = [word for fault in faults for word in ("--fault", fault)]
    with running_server(directory / "data", "--shards", "2", *options) as server:
        crowd = Crowd(server, directory, seed, USERS)
        await asyncio.to_thread(crowd.set_stage)
        living = asyncio.create_task(crowd.live())
        await asyncio.to_thread(
            server.wait_until, "every fault", lambda: has_lived(server, faults)
        )
        await crowd.until(200)
        crowd.stop()
        await living
        report = await asyncio.to_thread(crowd.reconcile)
        assert report.approved > 0
        assert server.terminate() == 0
    return crowd.verify()
