"""The house in one thread: hosts with their disks, nodes, gateways, supervision.

All that decides, speaks or writes is the house's own code: recovery, `Runner`,
the ends of the stream, links, the door.  What stands in for it here is what it
stands on: loop, sockets, SQLite, the process, and Ray, which only starts what
has ended and tells where it is.
"""

import asyncio
import sqlite3
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

from actors.births import recover_settlement, recover_shard
from actors.clock import Clock
from actors.nodes import Nodes
from actors.runner import Runner
from actors.stream import SettlementLink
from gateway.config import BOUNDS
from gateway.door import Door
from processor import messages as m
from processor.journal import Batch, Identity, Journal, JournalRefused
from processor.node import Node
from processor.recovery import digest_of, replay_of
from tests.simulation.disk import Disk, DiskStorage, Segment, SmallJournal
from tests.simulation.network import Network
from tests.simulation.virtual import MS, SECOND, Killed, Process, Timeline, Violation

if TYPE_CHECKING:
    from gateway.keys import KeyRing

FIRST_DAY = "2026-01-05"
BEGAN_MS = 1_767_600_000_000
_RETRY_US_FIRST = 100 * MS
_RETRY_US_MAX = 5 * SECOND
_SWEEP_SECONDS = 2.0


@dataclass(frozen=True)
class Parts:
    """The house's own code, as the simulator puts it together.

    A planted bug is a house with another part.
    """

    journal: type[SmallJournal] = SmallJournal
    segment: type[Segment] = Segment
    runner: type[Runner] = Runner
    settlement_runner: type[Runner] = Runner
    recover_shard: Callable[[Journal], Awaitable[Any]] = recover_shard
    recover_settlement: Callable[[Journal], Awaitable[Any]] = recover_settlement
    nodes: type[Nodes] = Nodes
    door: type[Door] = Door


@dataclass
class Host:
    """A machine for one node: its disk survives, its processes do not."""

    name: str
    disk: Disk
    process: Process | None = None
    node: Any = None  # Of the process, once it has recovered.
    runner: Runner | None = None
    link: SettlementLink | None = None
    address: str = ""
    is_created: bool = False
    segments_kept: int = 0  # Folded into snapshots.
    clock_ms: int = 0  # How far its clock is off.
    lives: int = 0
    wait_us: int = _RETRY_US_FIRST
    is_dark: bool = False  # How its next end is felt by its peers.
    refused: list[str] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)  # Why, if it ended itself.

    @property
    def is_up(self) -> bool:
        """Whether a node serves here."""
        return self.node is not None


@dataclass
class Gateway:
    """One gateway process after the other."""

    name: str
    process: Process | None = None
    door: Door | None = None
    hangs_up: list[Callable[[], None]] = field(default_factory=list)


class House:
    """Hosts, gateways and the network between them."""

    def __init__(
        self,
        shard_count: int,
        gateway_count: int,
        random: Random,
        parts: Parts,
        segment_records: int,
        wrote: Callable[[Disk, Batch], None],
        heard_by_settlement: Callable[[int, int, m.Message], None],
        note: Callable[[str, str, bytes], None],
    ) -> None:
        self.timeline = Timeline()
        self.shard_count = shard_count
        self.random = random
        self.parts = parts
        self.note = note
        self._heard_by_settlement = heard_by_settlement
        self.network = Network(
            self.timeline,
            Random(random.random()),
            lambda name, octets: note("hears", name, octets),
        )
        names = ["settlement", *(f"shard-{i}" for i in range(shard_count))]
        self.hosts = {
            name: Host(name, Disk(self._identity(name), segment_records, wrote))
            for name in names
        }
        self.gateways = [Gateway(f"gateway-{i}") for i in range(gateway_count)]
        for host in self.hosts.values():
            self._begin_life(host)
        for gateway in self.gateways:
            self._begin_gateway(gateway)

    def _identity(self, name: str) -> Identity:
        kind, _, number = name.partition("-")
        return Identity(
            "simulation",
            kind,
            int(number or 0),
            self.shard_count,
            f"journal of {name}",
            FIRST_DAY,
        )

    @property
    def settlement(self) -> Host:
        return self.hosts["settlement"]

    def now_ms(self) -> int:
        """The true time."""
        return BEGAN_MS + self.timeline.now_us // MS

    def is_at_rest(self) -> bool:
        """Whether every node serves and all are connected."""
        return all(
            host.is_up and host.node.is_open for host in self.hosts.values()
        ) and all(g.door is not None and g.door.is_ready for g in self.gateways)

    # Nodes.

    def _begin_life(self, host: Host) -> None:
        if host.process is not None:
            return
        host.lives += 1
        process = Process(self.timeline, host.name, f"{host.name}.{host.lives}")
        host.process = process
        self.network.join(process)
        process.on_end.append(lambda: self._node_ended(host, process))
        process.soon(self._start, host, process)

    def _start(self, host: Host, process: Process) -> None:
        process.loop.create_task(self._recover(host, process))

    async def _recover(self, host: Host, process: Process) -> None:
        try:
            journal = await self._open(host, process)
            if host.name == "settlement":
                node = await self.parts.recover_settlement(journal)
            else:
                node = await self.parts.recover_shard(journal)
            self._check_true(host, node)
        except (JournalRefused, sqlite3.OperationalError) as error:
            host.refused.append(str(error))
            self.note("refuses", process.name, str(error).encode())
            raise Killed from None
        except Exception:
            told = f"{process.name} cannot recover: {traceback.format_exc()}"
            self.timeline.complaints.append(told)
            raise Killed from None
        process.is_busy_for(20 * len(host.disk.rows))
        await self._serve(host, process, node, journal)

    async def _open(self, host: Host, process: Process) -> Journal:
        disk = host.disk
        storage = DiskStorage(disk, process, self.parts.segment)
        create = None if host.is_created else disk.identity
        journal = await self.parts.journal.on(storage, create)
        assert isinstance(journal, SmallJournal)
        journal.segment_records = disk.segment_records
        host.is_created = True
        return journal

    def _check_true(self, host: Host, node: Any) -> None:
        """What was recovered from a rotten journal is what was written, or refused."""
        if host.disk.is_rotten and digest_of(node.state) != digest_of(
            replayed(host.disk).state
        ):
            raise Violation(f"{host.disk.name} is rotten, and is served")

    async def _serve(
        self, host: Host, process: Process, node: Node, journal: Journal
    ) -> None:
        def die(why: str) -> None:
            if process.is_alive and not why.rstrip().endswith("Killed"):
                host.deaths.append(why)
                last = why.strip().splitlines()[-1]
                self.note("dies", process.name, last.encode())
            process.end()
            raise Killed

        clock = Clock(
            lambda: self.now_ms() + host.clock_ms,
            lambda: self.timeline.now_us / SECOND,
        )
        if host.name == "settlement":
            self._listen_in(process, node)
            runner = self.parts.settlement_runner(node, journal, die, clock)
        else:
            runner = self.parts.runner(node, journal, die, clock)
        address = f"{host.name}.{host.lives}"
        await runner.start(Path(address))
        host.node, host.runner, host.address = node, runner, address
        host.wait_us = _RETRY_US_FIRST
        if host.name != "settlement":
            host.link = SettlementLink(runner, cast("Any", node).settlement_connected)
        self.timeline.after(self._delay_us(), self._announce, host, process)

    def _listen_in(self, process: Process, node: Node) -> None:
        """Hear what settlement is told, when it is told."""
        receive = node.receive

        def received(connection: int, messages: Any) -> None:
            for end in self.network.ends:
                number = getattr(end.protocol, "_number", None)
                if end.process is process and number == connection:
                    for message in messages:
                        self._tell_asked(end.other.process, message)
            receive(connection, messages)

        node.receive = received  # type: ignore[method-assign]

    def _tell_asked(self, caller: Process, message: m.Message) -> None:
        if caller.host in self.hosts:
            number = self.hosts[caller.host].disk.identity.number
            life = int(caller.name.rpartition(".")[2])
            self._heard_by_settlement(number, life, message)

    def _node_ended(self, host: Host, process: Process) -> None:
        self.note("ends", process.name, b"dark" if host.is_dark else b"")
        self.network.ended(process, is_dark=host.is_dark)
        if host.process is not process:
            return  # It had been replaced.
        host.is_dark = False
        self._leave(host)
        self.timeline.after(self._delay_us(), self._announce, host, None)
        self.timeline.after(host.wait_us, self._begin_life, host)
        host.wait_us = min(2 * host.wait_us, _RETRY_US_MAX)

    def _leave(self, host: Host) -> None:
        host.process = host.node = host.runner = host.link = None
        host.address = ""

    def _delay_us(self) -> int:
        return self.random.randrange(100, 20 * MS)

    # Who is where.

    def _announce(self, host: Host, process: Process | None) -> None:
        """As the cluster does when a node has a new place, or none."""
        if host.process is not process:
            return
        for gateway in self.gateways:
            self._tell_gateway(gateway, host)
        for other in self.hosts.values():
            if host.name in ("settlement", other.name):
                self._tell_shard(other)

    def _tell_gateway(self, gateway: Gateway, host: Host) -> None:
        if gateway.door is None or gateway.process is None:
            return
        for link in cast("Nodes", gateway.door.nodes).links:
            if _host_of(link.name) == host.name:
                gateway.process.soon(link.connect_to, host.address)

    def _tell_shard(self, shard: Host) -> None:
        if shard.link is not None and shard.process is not None:
            shard.process.soon(shard.link.connect_to, self.settlement.address)

    # Gateways.

    def _begin_gateway(self, gateway: Gateway) -> None:
        process = Process(self.timeline, gateway.name, gateway.name)
        gateway.process = process
        self.network.join(process)
        process.on_end.append(lambda: self._gateway_ended(gateway, process))
        process.soon(self._open_door, gateway, process)

    def _open_door(self, gateway: Gateway, process: Process) -> None:
        async def nobody() -> list[Any]:
            return []

        nodes = self.parts.nodes(self.shard_count, nobody, process.loop.time)
        gateway.door = self.parts.door(nodes, cast("KeyRing", None), BOUNDS)
        process.loop.create_task(_sweep(gateway.door))
        for host in self.hosts.values():
            self._tell_gateway(gateway, host)

    def _gateway_ended(self, gateway: Gateway, process: Process) -> None:
        self.note("ends", process.name, b"")
        self.network.ended(process, is_dark=False)
        gateway.process = gateway.door = None
        callers, gateway.hangs_up = gateway.hangs_up, []
        for hang_up in callers:
            hang_up()
        self.timeline.after(200 * MS, self._begin_gateway, gateway)

    # The keeper: it makes snapshots of what has settled, beside the nodes.

    def keep(self, host: Host) -> None:
        """Look at one journal."""
        settled = sum(file.is_settled for file in host.disk.files.values())
        if settled <= host.segments_kept or not host.disk.is_good:
            return
        host.segments_kept = settled
        try:
            host.disk.fold()
        except JournalRefused as refused:  # Told, and left until there is more.
            self.note("refuses", "keeper", str(refused).encode())
        else:
            self.note("folds", host.name, b"")

    # What befalls a node.

    def kill(self, host: Host, *, is_dark: bool = False) -> None:
        """SIGKILL; dark: its machine is gone too, and its peers find out late."""
        if host.process is not None:
            host.is_dark = is_dark
            host.process.end()

    def take_over(self, host: Host) -> None:
        """Start another on the same journal, as if the lock were lost."""
        self._leave(host)
        self._announce(host, None)
        host.disk.owner = None
        self._begin_life(host)


def replayed(disk: Disk) -> Any:
    """What the rows say that were written."""
    replay = replay_of(disk.identity)(disk.identity)
    for row in disk.rows:
        replay.replay(row)
    return replay


def _host_of(link_name: str) -> str:
    kind, _, number = link_name.partition("-")
    return f"{kind}-{int(number)}" if number else kind


async def _sweep(door: Door) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        door.end_overdue(asyncio.get_running_loop().time())
