"""Ray's head is killed under load; a new one starts on the same journals.  (15.)

The head here is the control store (GCS) and the raylet of the embedded Ray.
Without the first the nodes go on, but none can be replaced, and after a minute
Ray ends the server; without the second they end, and the server when it cannot
replace them.  Whoever watches it starts it anew, here at once or when it has
ended.  No journal ever has two owners.
"""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

from tests.crash.crowd import Crowd
from tests.processes import RunningServer

_USERS = 8
_WITHOUT_HEAD_SECONDS = 3.0
_END_SECONDS_MAX = 120.0
_HEAD = {"gcs": "gcs_server", "raylet": "raylet/raylet"}


async def behead(
    directory: Path, seed: int, what: str, *, is_patient: bool = True
) -> None:
    """Kill "gcs" or "raylet" of a server, then start it again.

    Patient is who waits until the server has ended by itself.
    """
    server = RunningServer(directory / "data")
    server.start("--shards", "2")
    port = server.url.rpartition(":")[2]
    try:
        crowd = Crowd(server, directory, seed, _USERS)
        await asyncio.to_thread(crowd.set_stage)
        living = asyncio.create_task(crowd.live())
        await crowd.until(200)
        os.kill(_child(server.process.pid, _HEAD[what]), signal.SIGKILL)
        if is_patient:
            code = await asyncio.to_thread(server.process.wait, _END_SECONDS_MAX)
            assert code != 0
        else:
            await asyncio.sleep(_WITHOUT_HEAD_SECONDS)
            server.kill()
        await asyncio.to_thread(server.start, "--port", port)
        await crowd.until(200)
        crowd.stop()
        await living
        await asyncio.to_thread(crowd.reconcile)
    finally:
        if server.process.poll() is None:
            server.terminate()
    crowd.verify()


def _child(pid: int, title: str) -> int:
    """The child process of a server that runs a program."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    (found,) = [line for line in listed.stdout.splitlines() if title in line]
    return int(found.split()[0])
