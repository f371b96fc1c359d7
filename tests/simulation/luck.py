"""Bad luck: one function a fault, each with how it ends.

A fault says how it is mended; it is mended after its time, or when all faults
end.  Everything here is survivable by design: a rotten or old journal comes
back as it was, a full disk is emptied, a frozen process is thawed or ended.
"""

from collections.abc import Callable
from random import Random

from processor.chain import Batch
from processor.events import SliceGranted
from processor.records import SETTLEMENT_RECORDS
from tests.simulation.disk import WRITE_US, Disk, Fault, slow
from tests.simulation.house import Host, House
from tests.simulation.naive_house import NaiveHouse
from tests.simulation.virtual import MS, SECOND

HOUR_MS = 3_600_000
Mend = Callable[[], None]


class Luck:
    """What goes wrong in a house, and what is still to be mended."""

    def __init__(self, house: House, expected: NaiveHouse) -> None:
        self.house = house
        self.expected = expected
        self.random = Random(0)  # Each deed brings its own.
        self.old_copies = 0  # In place now; one at a time.
        self.had_old_copy = False
        self.had_takeover = False
        self.had_rot = False
        self.had_rotten_snapshot = False
        self.happened: list[str] = []
        self._open: dict[int, Mend] = {}
        self._count = 0

    def mend_all(self) -> None:
        """No more bad luck."""
        for number in list(self._open):
            self._mend(number)
        for host in self.house.hosts.values():
            host.disk.armed.clear()
            host.clock_ms = 0

    def _for(self, least_us: int, most_us: int, mend: Mend) -> None:
        self._count += 1
        self._open[self._count] = mend
        delay_us = self.random.randrange(least_us, most_us)
        self.house.timeline.after(delay_us, self._mend, self._count)

    def _mend(self, number: int) -> None:
        mend = self._open.pop(number, None)
        if mend is not None:
            mend()

    def _tell(self, what: str) -> None:
        self.happened.append(what)
        self.house.note("fault", what, b"")

    def _host(self) -> Host:
        return self.random.choice(list(self.house.hosts.values()))

    # Processes.

    def kill(self) -> None:
        host, is_dark = self._host(), self.random.random() < 0.3
        self._tell(f"{host.name} is killed{', dark' if is_dark else ''}")
        self.house.kill(host, is_dark=is_dark)

    def kill_at_append(self) -> None:
        fault = self.random.choice(
            [Fault.KILLED_BEFORE, Fault.KILLED_AFTER, Fault.TORN]
        )
        self._arm(fault)

    def fail_append(self) -> None:
        self._arm(self.random.choice([Fault.EIO, Fault.EIO_DURABLE]))

    def _arm(self, fault: Fault) -> None:
        host = self._host()
        self._tell(f"{host.name}: {fault} to come")
        host.disk.armed.append(fault)

    def kill_gateway(self) -> None:
        gateway = self.random.choice(self.house.gateways)
        self._tell(f"{gateway.name} is killed")
        if gateway.process is not None:
            gateway.process.end()

    def freeze(self) -> None:
        host = self._host()
        process = host.process
        if process is None or process.is_frozen:
            return
        self._tell(f"{process.name} is frozen")
        process.freeze()
        self._for(10 * MS, 4 * SECOND, process.thaw)

    def take_over(self) -> None:
        """It hangs, with work before it, is replaced, and goes on one day."""
        host = self._host()
        process = host.process
        if process is None or process.is_frozen or not host.is_up:
            return
        self.had_takeover = True
        self._tell(f"{process.name} is frozen, and will be replaced")
        process.freeze()

        def replace() -> None:
            if host.process is process:
                self.house.take_over(host)

        def thaw() -> None:
            replace()
            process.thaw()
            self.house.timeline.after(SECOND, process.end)

        self.house.timeline.after(self.random.randrange(500 * MS), replace)
        self._for(100 * MS, 4 * SECOND, thaw)

    def jump(self) -> None:
        host = self._host()
        jump_ms = self.random.choice([50, 2_000, HOUR_MS])
        host.clock_ms += self.random.choice([-1, 1]) * jump_ms
        host.clock_ms = max(-HOUR_MS, min(HOUR_MS, host.clock_ms))
        self._tell(f"the clock of {host.name} is off by {host.clock_ms} ms")

    # The network.

    def part(self) -> None:
        names = [*self.house.hosts, *(g.name for g in self.house.gateways)]
        one, other = self.random.sample(names, 2)
        self._part(one, [other])

    def isolate(self) -> None:
        names = [*self.house.hosts, *(g.name for g in self.house.gateways)]
        one = self.random.choice(names)
        self._part(one, [name for name in names if name != one])

    def _part(self, one: str, others: list[str]) -> None:
        self._tell(f"{one} cannot hear {', '.join(others)}")
        for other in others:
            self.house.network.part(one, other)

        def join() -> None:
            for other in others:
                self.house.network.join_again(one, other)

        self._for(20 * MS, 5 * SECOND, join)

    def break_connection(self) -> None:
        network = self.house.network
        ends = [
            end
            for end in network.ends
            if end.is_open and end.protocol is not None and end.process.is_alive
        ]
        if ends:
            end = self.random.choice(ends)
            self._tell(f"{end.process.name} loses {end.other.process.name}")
            network.break_end(end)

    def slow_network(self) -> None:
        network = self.house.network
        self._tell("the network is slow")
        network.slow_factor = 30

        def mend() -> None:
            network.slow_factor = 1

        self._for(100 * MS, 2 * SECOND, mend)

    # Disks.

    def fill(self) -> None:
        host = self._host()
        self._tell(f"the disk of {host.name} is full")
        host.disk.is_full = True

        def mend() -> None:
            host.disk.is_full = False

        self._for(50 * MS, 3 * SECOND, mend)

    def slow_disk(self) -> None:
        disk = self._host().disk
        disk.write_us = slow(self.random)
        self._tell(f"a sync of {disk.name} takes {disk.write_us} us")

        def mend() -> None:
            disk.write_us = WRITE_US  # Also when two bad days overlap.

        self._for(100 * MS, 3 * SECOND, mend)

    def rot(self) -> None:
        """A bit flips in an old row: found when somebody reads it, or at a start."""
        host = self._host()
        disk = host.disk
        if not disk.rows or disk.is_rotten or not disk.is_good:
            return
        self._tell(f"{disk.name} rots: {disk.rot(self.random)}")
        self.had_rot = True
        if self.random.random() < 0.6:
            self.house.kill(host)
        self._for(200 * MS, 2 * SECOND, lambda: self._restore(host))

    def rot_snapshot(self) -> None:
        """A bit flips in the newest snapshot; the node starts from another."""
        host = self._host()
        if host.disk.snapshots:
            self.had_rotten_snapshot = True
            self._tell(f"{host.disk.rot_snapshot(self.random)} rots")
            self.house.kill(host)

    def put_old_copy(self) -> None:
        """An old copy comes in place of the journal, one that can be known."""
        host = self._host()
        disk = host.disk
        if self.old_copies or disk.is_rotten or not disk.rows:
            return
        written = disk.rows
        rows = self.random.randrange(len(written))
        if not self._is_known_better(disk, rows):
            return
        self._tell(f"{disk.name} is as it was {len(written) - rows} rows ago")
        self.house.kill(host)
        disk.go_back(rows)
        if host.name == "settlement" and self.random.random() < 0.6:
            # Those who know better are not heard at first.
            self._part("settlement", self._better(disk.rows))
        self.old_copies += 1
        self.had_old_copy = True

        def mend() -> None:
            self.old_copies -= 1
            self._restore(host)

        self._for(200 * MS, 3 * SECOND, mend)

    def _restore(self, host: Host) -> None:
        host.segments_kept = 0
        self.house.note("restores", host.name, b"")
        self.house.kill(host)
        host.disk.restore()

    def _is_known_better(self, disk: Disk, rows: int) -> bool:
        """Whether another journal proves that so many rows are not all."""
        copied = disk.rows[:rows]
        if disk.identity.kind == "settlement":
            return bool(self._better(copied))
        sequence = copied[-1].last_sequence if copied else 0
        return sequence < self.expected.acknowledged[disk.identity.number]

    def _better(self, rows: list[Batch]) -> list[str]:
        """The shards that know of grants of which these rows say nothing."""
        granted: dict[tuple[int, str], int] = {}
        for row in rows:
            for record in SETTLEMENT_RECORDS.decode(row.records):
                if isinstance(record.event, SliceGranted):
                    event = record.event
                    granted[event.shard, event.pool_id] = event.granted_minor
        return [
            f"shard-{number}"
            for number, shard in self.expected.shards.items()
            if any(
                received > granted.get((number, pool_id), 0)
                for pool_id, received in shard.received.items()
            )
        ]


LUCK_DEEDS: dict[str, Callable[[Luck], None]] = {
    "kill": Luck.kill,
    "kill at append": Luck.kill_at_append,
    "fail append": Luck.fail_append,
    "kill gateway": Luck.kill_gateway,
    "freeze": Luck.freeze,
    "take over": Luck.take_over,
    "jump": Luck.jump,
    "part": Luck.part,
    "isolate": Luck.isolate,
    "break": Luck.break_connection,
    "slow network": Luck.slow_network,
    "fill": Luck.fill,
    "slow disk": Luck.slow_disk,
    "rot": Luck.rot,
    "rot snapshot": Luck.rot_snapshot,
    "old copy": Luck.put_old_copy,
}
