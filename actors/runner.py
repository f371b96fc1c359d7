"""Drive one node: batches through the journal, bytes to and from connections.

Everything happens in one callback: step, append, deliver.  The append holds the
event loop for as long as the sync takes, and what arrives meanwhile waits in
the sockets: it is the next batch.  So there is no timer: a lone command waits
for nobody, a crowd shares one sync, and nothing is delivered before its batch
is durable.  Entries are read from the journal after a step, for a moment.

When a segment of the journal is full, the next one is made beside the work; the
change from one to the other comes between two steps and costs two syncs.

Whatever goes wrong in it ends the process at once: memory may be ahead of the
journal, and only a fresh recovery knows what is true.
"""

import asyncio
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.clock import WALL_CLOCK, Clock
from actors.collector import Collector
from actors.readings import Readings
from actors.stream import NodeConnection
from processor import messages as m
from processor.framing import frame
from processor.journal import Batch, Journal, Point
from processor.node import Node
from processor.records import RECORDS_ENCODER

_TIMER_MS_MAX = 10_000  # Then look again: the clock may have been put right.

Die = Callable[[str], None]


class Statistics(msgspec.Struct):
    """One node's figures, since its process started unless said otherwise.

    Of one that does not answer only its name and the last three are known.
    """

    name: str
    pid: int = 0  # 0: it does not answer.
    epoch: int = 0
    sequence: int = 0  # Since the journal began.
    day: str = ""
    inbox: int = 0
    remembered: int = 0
    batches: int = 0
    records: int = 0
    batch_records_max: int = 0
    append_seconds: float = 0.0
    append_seconds_max: float = 0.0
    parked: int = 0
    accounts: int = 0
    readings: int = 0  # Pages of entries.
    reading_seconds: float = 0.0
    reading_seconds_max: float = 0.0  # At once.
    rotations: int = 0  # Segments sealed.
    rotation_seconds_max: float = 0.0
    sealed_sequence: int = 0  # The last record in a sealed segment.
    deaths: int = 0  # Since the server started, as its supervisor counts them.
    silences: int = 0  # Of these, because it was silent.
    refused: str = ""  # Why it cannot start, if it cannot.


def die(why: str) -> None:
    """End this process without another word to anyone."""
    sys.stderr.write(f"forebay: this node stops: {why}\n")
    sys.stderr.flush()
    os._exit(70)


class Runner:
    """A node, its journal and its connections; see the module."""

    def __init__(
        self,
        node: Node,
        journal: Journal,
        on_failure: Die = die,
        clock: Clock = WALL_CLOCK,
    ) -> None:
        self.node = node
        self.journal = journal
        self.connections: dict[int, NodeConnection] = {}
        self.readings = Readings(journal, clock.seconds)
        self.batches = 0
        self.records = 0
        self.batch_records_max = 0
        self.append_seconds = 0.0
        self.append_seconds_max = 0.0
        self._now_ms = clock.now_ms
        self._seconds = clock.seconds
        self._on_failure = on_failure
        self._collector = Collector()
        self._connection_count = 0
        self._step_is_due = False
        self._reading = asyncio.Lock()
        self._rotating = asyncio.Lock()
        self._standing_still: asyncio.TimerHandle | None = None
        self._stands_still_since = 0.0
        self._settling: asyncio.Task[None] | None = None
        self._rotation: asyncio.Task[None] | None = None  # Of a full segment.
        self.rotations = 0
        self.rotation_seconds_max = 0.0  # A step had to wait for so long.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due_ms: int | None = None
        self._server: asyncio.Server | None = None

    async def start(self, address: Path) -> None:
        """Listen on a Unix socket and begin to work."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(self._accept, str(address))

    async def stop(self) -> None:
        """Finish what is in the inbox, then close everything."""
        self.go_on()
        while (  # noqa: ASYNC110
            self.node.has_work or self.readings or self._reading.locked()
        ):
            await asyncio.sleep(0)
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections.values()):
            connection.close()
        if self._timer is not None:
            self._timer.cancel()
        try:
            if self._rotation is not None:
                await self._rotation
        finally:
            async with self._rotating:
                await self.journal.close()

    async def prepare_segment(self) -> None:
        """Make the next segment of the journal, beside the work."""
        async with self._rotating:
            await self.journal.prepare()

    async def rotate(self) -> Point:
        """Seal what the journal has by now; where it ends, once anybody may read it."""
        point = await self.seal()
        await self.settled()
        return point

    async def seal(self, stand_still_seconds: float = 0.0) -> Point:
        """The same, but what was sealed settles while the node goes on.

        If it is to, it stands still from that very point on, until it is told to go
        on or so much time has passed.
        """
        await self._rotating.acquire()
        try:
            await self.journal.prepare()
            async with self._reading:
                if stand_still_seconds:
                    self._stand_still(stand_still_seconds)
                if not self.journal.is_at_sealed_end:
                    self._switch()
            self.step_soon()
        except BaseException:
            self._rotating.release()
            self._on_failure(traceback.format_exc())
            raise
        self._settling = asyncio.create_task(self._settle())
        sealed = self.journal.sealed_point
        assert sealed is not None
        return sealed

    async def _settle(self) -> None:
        try:
            await self.journal.settle()
        except BaseException:
            self._on_failure(traceback.format_exc())
            raise
        finally:
            self._rotating.release()

    async def settled(self) -> None:
        """Wait until anybody may read what was sealed last."""
        if self._settling is not None:
            await asyncio.shield(self._settling)

    def _stand_still(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._stands_still_since = self._seconds()
        self._standing_still = loop.call_later(seconds, self.go_on)

    def go_on(self) -> int | None:
        """Work again; how long it stood still in milliseconds, None if it did not."""
        if self._standing_still is None:
            return None
        self._standing_still.cancel()
        self._standing_still = None
        self.step_soon()
        return int((self._seconds() - self._stands_still_since) * 1_000)

    async def _rotate_full(self) -> None:
        await self.rotate()
        self._rotation = None

    def _switch(self) -> None:
        began = self._seconds()
        self.journal.switch()
        self.rotations += 1
        self.rotation_seconds_max = max(
            self.rotation_seconds_max, self._seconds() - began
        )

    async def read_rows(self, after_sequence: int, rows: int) -> list[Batch]:
        """Journal rows; the node stands still meanwhile."""
        async with self._reading:
            found = await self.journal.read(after_sequence, rows)
        self.step_soon()
        return found

    # Connections call these.

    def _accept(self) -> NodeConnection:
        self._connection_count += 1
        return NodeConnection(self, self._connection_count)

    def receive(self, connection: int, messages: list[m.Message]) -> None:
        """Messages have come in."""
        self.node.receive(connection, messages)
        self.step_soon()

    def lost(self, connection: int) -> None:
        """A connection is gone; answers to it are dropped."""
        self.connections.pop(connection, None)
        self.readings.forget(connection)
        self.node.disconnected(connection)

    def step_soon(self) -> None:
        """Step once all that this turn of the event loop brings is in."""
        if not self._step_is_due:
            self._step_is_due = True
            asyncio.get_running_loop().call_soon(self._step)

    # The work.

    def _step(self) -> None:
        self._step_is_due = False
        if self._reading.locked() or self._standing_still is not None:
            return  # Who ends that will step when it is done.
        try:
            self._step_and_append()
            if self.readings:
                self._deliver(self.readings.work())
        except BaseException:
            self._on_failure(traceback.format_exc())
            raise
        if self.node.has_work or self.readings:
            self.step_soon()
        self._set_timer()

    def _step_and_append(self) -> None:
        # The second is system-wide: what the gateway's deadlines are on.
        step = self.node.step(self._now_ms(), int(self._seconds() * 1_000))
        if step.records:
            began = self._seconds()
            body = RECORDS_ENCODER.encode(step.records)
            self.journal.append(len(step.records), step.day, step.at_ms, body)
            self._count(len(step.records), self._seconds() - began)
            if self.journal.is_full and self._rotation is None:
                self._rotation = asyncio.create_task(self._rotate_full())
        self._deliver(step.deliveries)
        self.node.tidy(step)
        self._collector.after(len(step.records))
        for reading in step.readings:
            refusal = self.readings.take(reading)
            if refusal is not None:
                self._deliver([(reading.connection, refusal)])
        if self.node.stopped_because:
            self._on_failure(self.node.stopped_because)

    def _set_timer(self) -> None:
        """Step again when something is due by time."""
        due_ms = self.node.wakes_at_ms()
        if due_ms == self._timer_due_ms:
            return
        self._timer_due_ms = due_ms
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_ms is not None:
            delay_ms = max(0, due_ms - self._now_ms())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(
                min(delay_ms, _TIMER_MS_MAX) / 1_000 + 0.001, self._timer_fired
            )

    def _timer_fired(self) -> None:
        self._timer_due_ms = None
        self.step_soon()

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
        sealed = self.journal.sealed_point
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
            readings=self.readings.count,
            reading_seconds=self.readings.seconds,
            reading_seconds_max=self.readings.seconds_max,
            rotations=self.rotations,
            rotation_seconds_max=self.rotation_seconds_max,
            sealed_sequence=sealed.sequence if sealed is not None else 0,
        )
