"""The bank test: a crowd, and whatever can happen to those who serve it.  (2, 3.)

Kills, pauses, lost connections, closed days, restarts and power failures in an
order that follows from the seed.  Then there is quiet, everyone gets his answer,
and everything must add up: each answer, account and lender by the crowd's books,
each record by the audit, and each answer by the bytes in the journals.
"""

import asyncio
import os
import signal
import time
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from random import Random

from tests.crash.crowd import Crowd
from tests.crash.disk import BadDisk
from tests.processes import RunningServer, until_answered

_FIRST_DAY = date(2026, 1, 5)
_DAYS_MAX = 20  # Before statements begin.
_PAUSES_SECONDS = (0.2, 1.0, 4.9, 5.2, 10.0)
_LONG_PAUSE_SECONDS = 70.0
_SHARDS_MAX = 3


class Bank:
    """One server in trouble."""

    def __init__(self, directory: Path, seed: int, users: int) -> None:
        self.random = Random(seed)
        self.happened: list[str] = []
        self._disk = BadDisk(directory)
        self._server = RunningServer(directory / "data")
        self._server.environment = self._disk.environment(is_forgetful=True)
        self._shards = self.random.randint(1, _SHARDS_MAX)
        self._server.start(
            *("--shards", str(self._shards), "--first-day", _FIRST_DAY.isoformat())
        )
        self._port = self._server.url.rpartition(":")[2]
        self._days = 0
        self._crowd = Crowd(self._server, directory, seed, users)

    async def live(self, seconds: float) -> int:
        """Trouble for so long, then the verdict; how many answers were given."""
        crowd = self._crowd
        try:
            await asyncio.to_thread(crowd.set_stage)
            living = asyncio.create_task(crowd.live())
            ends = time.monotonic() + seconds
            while time.monotonic() < ends and not living.done():
                await crowd.until(self.random.randrange(1, 400))
                await self._trouble()
            await crowd.until(100)
            crowd.stop()
            await living
            await asyncio.to_thread(crowd.reconcile)
            assert self._server.terminate() == 0
        finally:
            if self._server.process.poll() is None:
                self._server.kill()
        return crowd.verify()

    async def _trouble(self) -> None:
        troubles = {
            self._kill_node: 8,
            self._pause_node: 4,
            self._kill_two: 2,
            self._close_day: 2,
            self._restart: 1,
            self._fail_power: 1,
        }
        (trouble,) = self.random.choices(list(troubles), list(troubles.values()))
        self.happened.append(trouble.__name__.strip("_"))
        await trouble()

    def _node(self) -> str:
        shards = [f"shard-{n:03d}" for n in range(self._shards)]
        return self.random.choice([*shards, "settlement"])

    async def _kill_node(self) -> None:
        name = self._node()
        await asyncio.to_thread(until_answered, partial(self._server.kill_node, name))

    async def _kill_two(self) -> None:
        await asyncio.gather(self._kill_node(), self._kill_node())

    async def _pause_node(self) -> None:
        """Freeze; it may thaw before, while or after it is given up."""
        name = self._node()
        seconds = self.random.choice(_PAUSES_SECONDS)
        if self.random.random() < 0.03:
            seconds = _LONG_PAUSE_SECONDS
        nodes = await asyncio.to_thread(until_answered, self._server.nodes)
        if name in nodes:
            pid = nodes[name]["pid"]
            _signal(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
            _signal(pid, signal.SIGCONT)

    async def _close_day(self) -> None:
        if self._days == _DAYS_MAX:
            return
        day = (_FIRST_DAY + timedelta(days=self._days)).isoformat()
        post = partial(
            self._server.post, f"/v1/business-days/{day}/close", f"close-{day}", {}
        )
        answer = await asyncio.to_thread(until_answered, post)
        assert answer["status"] == "approved", answer
        self._days += 1

    async def _restart(self) -> None:
        """The process that owns everything is killed, and started again."""
        self._server.kill()
        await asyncio.to_thread(self._server.start, "--port", self._port)

    async def _fail_power(self) -> None:
        """Every process ends at one moment; what was not synced is lost in part."""
        nodes = await asyncio.to_thread(until_answered, self._server.nodes)
        pids = [node["pid"] for node in nodes.values()]
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        for pid in pids:
            _signal(pid, signal.SIGKILL)
        self._server.kill()
        await asyncio.to_thread(_wait_until_gone, pids)
        self._disk.lose_power(self.random)
        await asyncio.to_thread(self._server.start, "--port", self._port)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # Killed meanwhile: that is no less trouble.


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}/exe").exists() for pid in pids):
        assert time.monotonic() < deadline, "a killed process does not end"
        time.sleep(0.01)


async def live_in_trouble(directory: Path, seed: int, seconds: float) -> str:
    """The bank test for so long; what happened, in a line."""
    bank = await asyncio.to_thread(Bank, directory, seed, 8)
    answers = await bank.live(seconds)
    counts = {name: bank.happened.count(name) for name in sorted(set(bank.happened))}
    return f"{answers} answers, {counts}"
