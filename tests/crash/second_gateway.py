"""A second gateway, in a process of its own, on the nodes of a running server.

    python -m tests.crash.second_gateway DATA_DIR SETTLEMENT_PID SHARDS

`forebay serve` runs one gateway.  This is another with the real door, links and
keys; what it lacks is a supervisor to tell it where the nodes are, so it looks
for their sockets itself, the newest epoch of each.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

from actors.nodes import Nodes
from actors.runner import Statistics
from gateway.config import GatewayConfig
from gateway.http_server import bound_socket, open_door
from gateway.keys import KeyFile
from tests.processes import RunningServer

_LOOK_SECONDS = 0.05


@contextmanager
def second_gateway(server: RunningServer, shards: int) -> Iterator[str]:
    """The URL of another gateway for as long as it is needed."""
    pid = server.nodes()["settlement"]["pid"]
    command = [sys.executable, "-m", "tests.crash.second_gateway"]
    process = subprocess.Popen(
        [*command, str(server.data_dir), str(pid), str(shards)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def sockets_of(pid: int) -> Path:
    """The directory in which a node's process listens."""
    mine = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    for line in Path("/proc/net/unix").read_text().splitlines():
        words = line.split()
        if f"socket:[{words[6]}]" in mine and "/settlement." in words[-1]:
            return Path(words[-1]).parent
    raise AssertionError(f"process {pid} listens nowhere")


async def _follow(nodes: Nodes, sockets: Path) -> None:
    at: dict[str, str] = {}
    while True:
        for link in nodes.links:
            address = _newest(sockets, link.name)
            if address and at.get(link.name) != address:
                at[link.name] = address
                link.connect_to(address)
        await asyncio.sleep(_LOOK_SECONDS)


def _newest(sockets: Path, name: str) -> str:
    """Where a node listens in its latest epoch; "" if it never did."""
    found = sockets.glob(f"{name}.*")
    newest = max(found, key=lambda path: int(path.suffix[1:]), default="")
    return str(newest)


async def _no_figures() -> list[Statistics]:
    return []


async def _serve(data_dir: Path, settlement_pid: int, shards: int) -> None:
    config = GatewayConfig(
        data_dir=data_dir,
        host="127.0.0.1",
        port=0,
        shard_count=shards,
        first_day=date(2026, 1, 1),
    )
    nodes = Nodes(shards, _no_figures)
    following = asyncio.create_task(_follow(nodes, sockets_of(settlement_pid)))
    while not nodes.ready:  # noqa: ASYNC110 (once, at start)
        await asyncio.sleep(_LOOK_SECONDS)
    with bound_socket(config) as listener:
        async with open_door(config, nodes, KeyFile(data_dir), listener, None) as url:
            print(url, flush=True)
            await following


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
