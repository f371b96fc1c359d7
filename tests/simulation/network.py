"""The network between processes: connections that delay, stall and break.

As TCP and Unix sockets are: within a connection bytes arrive in order or not at
all, in pieces of any size; between connections there is no order.  What can go
wrong is that a connection breaks, on one end before the other (the other is
half open and notices late), and that two hosts cannot hear each other for a
while: what is sent meanwhile comes late, or never if the connection breaks.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from tests.simulation.virtual import MS, Process, Timeline

_NOTICE_US = 3 * 1_000_000  # At most, until a half-open end notices.


class End(asyncio.Transport):
    """One end of a connection, as a protocol sees it."""

    def __init__(self, network: "Network", process: Process, random: Random) -> None:
        super().__init__()
        self.network = network
        self.process = process
        self.random = random
        self.other: End
        self.protocol: Any = None
        self.is_open = True
        self._is_lost = False  # Whether the protocol has been told.
        self.last_at_us = 0  # When the last of what was sent here arrives.
        self.stalled: list[tuple[int, bytes | None]] = []

    # What protocols call.

    def write(self, data: Any) -> None:
        if self.is_open:
            self._send(bytes(data))

    def is_closing(self) -> bool:
        return not self.is_open

    def get_write_buffer_size(self) -> int:
        return 1  # Nobody writes past this transport.

    def close(self) -> None:
        if self.is_open:
            self._send(None)
            self.abort()

    def abort(self) -> None:
        """Gone here at once; the other end is told unless it was cut off."""
        if not self.is_open:
            return
        self.is_open = False
        self.process.soon(self._lose)
        self._send(None)

    # What happens.

    def _send(self, data: bytes | None) -> None:
        """On its way; None is the end of it."""
        now_us = self.network.timeline.now_us
        self._dispatch(max(now_us, self.process.busy_until_us), data)

    def _dispatch(self, sent_at_us: int, data: bytes | None) -> None:
        if self.network.is_parted(self.process, self.other.process):
            self.stalled.append((sent_at_us, data))
            return
        if data is not None and len(data) > 8 and self.random.random() < 0.05:
            cut = self.random.randrange(1, len(data))
            self._arrive_later(sent_at_us, data[:cut])
            data = data[cut:]
        self._arrive_later(sent_at_us, data)

    def _arrive_later(self, sent_at_us: int, data: bytes | None) -> None:
        timeline = self.network.timeline
        at_us = sent_at_us + self.network.delay_us(self.random)
        self.last_at_us = max(at_us, self.last_at_us)
        timeline.after(
            self.last_at_us - timeline.now_us,
            self._arrive,
            sent_at_us,
            data,
            process=self.other.process,
        )

    def _arrive(self, sent_at_us: int, data: bytes | None) -> None:
        """In the other process."""
        other = self.other
        if sent_at_us > self.process.ended_at_us or not other.is_open:
            return  # It died before it came to write this, or nobody listens.
        if data is None:
            other.is_open = False
            other._lose()
        else:
            self.network.note(other.process.name, data)
            other.protocol.data_received(data)

    def _lose(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            self.network.forget(self)
            self.protocol.connection_lost(None)

    def flush(self) -> None:
        """The hosts hear each other again."""
        stalled, self.stalled = self.stalled, []
        for sent_at_us, data in stalled:
            self._arrive_later(max(sent_at_us, self.network.timeline.now_us), data)

    def notice(self) -> None:
        """Find out that the other end is gone."""
        if self.is_open:
            self.is_open = False
            self._lose()


class Server:
    """A listening socket."""

    def __init__(self, network: "Network", path: str) -> None:
        self._network = network
        self._path = path

    def close(self) -> None:
        """No one connects here any more."""
        self._network.listeners.pop(self._path, None)


class Network:
    """Every connection, and who can hear whom."""

    def __init__(
        self, timeline: Timeline, random: Random, note: Callable[[str, bytes], None]
    ) -> None:
        self.timeline = timeline
        self.note = note
        self.slow_factor = 1
        self.listeners: dict[str, tuple[Process, Callable[[], Any]]] = {}
        self.ends: list[End] = []  # Every other one is a caller's.
        self._random = random
        self._parted: dict[frozenset[str], int] = {}

    def join(self, process: Process) -> None:
        """A new process can listen and connect."""

        async def connect(factory: Callable[[], Any], path: str) -> tuple[Any, Any]:
            return await self._connect(process, factory, path)

        def listen(factory: Callable[[], Any], path: str) -> Server:
            self.listeners[path] = (process, factory)
            return Server(self, path)

        process.loop.connect = connect
        process.loop.listen = listen

    def delay_us(self, random: Random) -> int:
        """Mostly short, sometimes long."""
        delay_us = int(60 + random.expovariate(1 / 400))
        if random.random() < 0.02:
            delay_us += random.randrange(30 * MS)
        return delay_us * self.slow_factor

    async def _connect(
        self, process: Process, factory: Callable[[], Any], path: str
    ) -> tuple[Any, Any]:
        await asyncio.sleep(self.delay_us(self._random) / 1_000_000)
        found = self.listeners.get(path)
        if found is None or not found[0].is_alive:
            raise ConnectionRefusedError(path)
        server, accept = found
        if self.is_parted(process, server):
            raise TimeoutError(path)
        near = End(self, process, Random(self._random.random()))
        far = End(self, server, Random(self._random.random()))
        near.other, far.other = far, near
        self.ends += [near, far]
        near.protocol = factory()
        server.soon(self._accept, far, accept)
        near.protocol.connection_made(near)
        return near, near.protocol

    def _accept(self, end: End, accept: Callable[[], Any]) -> None:
        end.protocol = accept()
        end.protocol.connection_made(end)

    def forget(self, end: End) -> None:
        """An end has been told that it is one no more."""
        if not end.is_open and not end.other.is_open:
            self.ends = [e for e in self.ends if e not in (end, end.other)]

    # What goes wrong.

    def ended(self, process: Process, *, is_dark: bool) -> None:
        """A process is gone: its peers are told, or find out late if it is dark."""
        for path in [p for p, (owner, _) in self.listeners.items() if owner is process]:
            del self.listeners[path]
        for end in self.ends_of(process):
            end.is_open = False
            if is_dark:
                self._cut_off(end)
            else:
                end._dispatch(self.timeline.now_us, None)
            self.forget(end)

    def ends_of(self, process: Process) -> list[End]:
        """The process's own ends that are open."""
        return [e for e in self.ends if e.process is process and e.is_open]

    def break_end(self, end: End) -> None:
        """One end breaks and knows; the other is half open for a while."""
        end.is_open = False
        end.process.soon(end._lose)
        self._cut_off(end)

    def _cut_off(self, end: End) -> None:
        end.stalled.clear()
        delay_us = self._random.randrange(_NOTICE_US)
        self.timeline.after(delay_us, end.other.notice, process=end.other.process)

    def part(self, one: str, other: str) -> None:
        """Two hosts hear each other no more."""
        pair = frozenset((one, other))
        self._parted[pair] = self._parted.get(pair, 0) + 1

    def join_again(self, one: str, other: str) -> None:
        """They do again; what was held back arrives, late."""
        pair = frozenset((one, other))
        self._parted[pair] -= 1
        if self._parted[pair]:
            return
        del self._parted[pair]
        for end in list(self.ends):
            if {end.process.host, end.other.process.host} == pair:
                end.flush()

    def is_parted(self, one: Process, other: Process) -> bool:
        """Whether they cannot hear each other."""
        return bool(self._parted) and (
            frozenset((one.host, other.host)) in self._parted
        )
