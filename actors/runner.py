"""Drive one node: batches through the journal, bytes to and from connections.

The loop is: step, append, deliver.  While a batch is being synced the next one
collects in the inbox; there is no timer, so a lone command waits for nobody
and a crowd shares one sync.  Nothing is delivered before its step is durable.

The loop runs in one task that is never cancelled.  Whatever goes wrong in it
ends the process at once: memory may be ahead of the journal, and only a fresh
recovery knows what is true.
"""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.stream import NodeConnection
from processor import messages as m
from processor.framing import frame
from processor.journal import Journal
from processor.node import Node
from processor.records import RECORDS_ENCODER

Die = Callable[[str], None]


class Statistics(msgspec.Struct):
    """One node's figures, since its process started unless said otherwise."""

    name: str
    pid: int
    epoch: int
    sequence: int  # Since the journal began.
    day: str
    inbox: int
    remembered: int
    batches: int = 0
    records: int = 0
    batch_records_max: int = 0
    append_seconds: float = 0.0
    append_seconds_max: float = 0.0
    parked: int = 0
    accounts: int = 0


def die(why: str) -> None:
    """End this process without another word to anyone."""
    sys.stderr.write(f"forebay: this node stops: {why}\n")
    sys.stderr.flush()
    os._exit(70)


class Runner:
    """A node, its journal and its connections; see the module."""

    def __init__(self, node: Node, journal: Journal, on_failure: Die = die) -> None:
        self.node = node
        self.journal = journal
        self.connections: dict[int, NodeConnection] = {}
        self.batches = 0
        self.records = 0
        self.batch_records_max = 0
        self.append_seconds = 0.0
        self.append_seconds_max = 0.0
        self._on_failure = on_failure
        self._connection_count = 0
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._server: asyncio.Server | None = None

    async def start(self, address: Path) -> None:
        """Listen on a Unix socket and begin to work."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._accept, str(address))
        self._task = asyncio.create_task(self._run(), name="runner")

    async def stop(self) -> None:
        """Finish what is in the inbox, then close everything."""
        self._stopping = True
        self.wake()
        if self._task is not None:
            await self._task
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections.values()):
            connection.close()
        await self.journal.close()

    # Connections call these, always between two steps or during an append.

    def _accept(self) -> NodeConnection:
        self._connection_count += 1
        return NodeConnection(self, self._connection_count)

    def receive(self, connection: int, messages: list[m.Message]) -> None:
        """Messages have come in."""
        self.node.receive(connection, messages)
        self.wake()

    def lost(self, connection: int) -> None:
        """A connection is gone; answers to it are dropped."""
        self.connections.pop(connection, None)
        self.node.disconnected(connection)

    def wake(self) -> None:
        """Have the loop look for work."""
        self._wake.set()

    # The loop.

    async def _run(self) -> None:
        try:
            while not (self._stopping and not self.node.has_work):
                await self._wait_for_work()
                await self._work()
                if self.node.stopped_because:
                    self._on_failure(self.node.stopped_because)
                    return
        except BaseException:
            self._on_failure(traceback.format_exc())
            raise

    async def _wait_for_work(self) -> None:
        node = self.node
        self._wake.clear()
        if node.has_work or self._stopping:
            # Let the sockets be read once, so that a batch can grow.
            await asyncio.sleep(0)
            return
        due_ms = node.wakes_at_ms()
        if due_ms is not None:
            delay_s = max(0.0, due_ms / 1_000 - time.time())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(delay_s, 3_600.0) + 0.001, self.wake)
        await self._wake.wait()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _work(self) -> None:
        step = self.node.step(time.time_ns() // 1_000_000)
        if step.records:
            began = time.perf_counter()
            await self.journal.append(
                len(step.records),
                step.day,
                step.at_ms,
                RECORDS_ENCODER.encode(step.records),
            )
            self._count(len(step.records), time.perf_counter() - began)
        self._deliver(step.deliveries)

    def _deliver(self, deliveries: list[tuple[int, m.Message]]) -> None:
        by_connection: dict[int, list[m.Message]] = {}
        for number, message in deliveries:
            by_connection.setdefault(number, []).append(message)
        for number, messages in by_connection.items():
            connection = self.connections.get(number)
            if connection is not None:
                connection.write(frame(messages))

    def _count(self, records: int, seconds: float) -> None:
        self.batches += 1
        self.records += records
        self.batch_records_max = max(self.batch_records_max, records)
        self.append_seconds += seconds
        self.append_seconds_max = max(self.append_seconds_max, seconds)

    def statistics(self, name: str) -> Statistics:
        """The figures of this moment."""
        return Statistics(
            name,
            os.getpid(),
            self.journal.epoch,
            self.node.sequence,
            self.node.day,
            self.node.inbox_length,
            len(self.node.remembered),
            self.batches,
            self.records,
            self.batch_records_max,
            self.append_seconds,
            self.append_seconds_max,
        )
