"""A whole house in memory: shards, settlement, wires, and things that go wrong.

No Ray, no sockets, no disk, no clock.  A node is stepped, also several times,
and its steps are committed later, alone or joined, so that a crash may come
between.  A wire carries frames in
order; when one end is lost the other end goes on reading what is still on the
wire until it notices, so a shard that came back may be known to settlement on
two wires for a while.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from processor import messages as m
from processor import snapshot
from processor.framing import FrameReader, caller_reader, frame, node_reader
from processor.journal import Batch, Identity, Point
from processor.node import Node, Step
from processor.records import RECORDS_ENCODER, SETTLEMENT_RECORDS, SHARD_RECORDS
from processor.recovery import SettlementReplay, ShardReplay, digest_of
from processor.settlement import Settlement
from processor.shard import SETTLEMENT, Shard
from tests.property.naive_house import NaiveHouse

FIRST_DAY = "2026-01-01"
STEPS_PENDING_MAX = 3
MOVES_TO_REST_MAX = 5_000


@dataclass
class Wire:
    """A connection from a client (a shard or the gateway) to a node."""

    client: str
    server: str
    number: int  # At the server.
    epoch: int  # The client's, if it is a shard.
    server_reader: FrameReader[Any] = field(default_factory=node_reader)
    client_reader: FrameReader[Any] = field(default_factory=caller_reader)
    to_server: deque[bytes] = field(default_factory=deque)
    to_client: deque[bytes] = field(default_factory=deque)
    client_is_up: bool = True
    server_is_up: bool = True

    def lose_client(self) -> None:
        """The client is gone; what it had sent is still on the wire."""
        self.client_is_up = False
        self.to_client.clear()

    def lose_server(self) -> None:
        self.server_is_up = False
        self.to_server.clear()


@dataclass
class Host:
    """A machine for one node: its journal survives, its memory does not."""

    name: str
    identity: Identity
    batches: list[Batch] = field(default_factory=list)
    epoch: int = 0
    node: Any = None
    pending: deque[Step] = field(default_factory=deque)  # Not durable yet.
    connections: int = 0

    @property
    def sequence(self) -> int:
        return self.batches[-1].last_sequence if self.batches else 0

    def start(self) -> Node:
        """Recover from the journal, in the next epoch."""
        assert self.node is None
        self.epoch += 1
        self.pending.clear()
        if self.identity.kind == "settlement":
            settlement = SettlementReplay(self.identity)
            for batch in self.batches:
                settlement.replay(batch)
            self.node = Settlement(settlement.state, settlement.remembered, self.epoch)
        else:
            shard = ShardReplay(self.identity)
            for batch in self.batches:
                shard.replay(batch)
            self.node = Shard(
                shard.state,
                shard.remembered,
                shard.history,
                self.epoch,
                self.identity.journal_id,
            )
        node: Node = self.node
        node.not_before(self.batches[-1].at_ms if self.batches else 0)
        return node


class House:
    """Hosts and wires; every method is one thing that can happen."""

    def __init__(self, shard_count: int) -> None:
        self.shard_count = shard_count
        self.now_ms = 1_000_000
        self.is_judged = True  # Until a past is lost that the model remembers.
        self.expected = NaiveHouse(shard_count, FIRST_DAY)
        names = ["settlement", *(f"shard-{i}" for i in range(shard_count))]
        self.hosts = {
            name: Host(
                name,
                Identity(
                    "test",
                    name.partition("-")[0],
                    max(0, i - 1),
                    shard_count,
                    f"journal of {name}",
                    FIRST_DAY,
                ),
            )
            for i, name in enumerate(names)
        }
        self.wires: list[Wire] = []
        self.said: list[tuple[Wire, m.Message | None]] = []  # None: it broke.
        for host in self.hosts.values():
            host.start()

    # Wires.

    def connect(self, client: str, server: str) -> Wire | None:
        """A new wire, unless the client has one or an end is down."""
        host = self.hosts[server]
        if host.node is None or self.wire_of(client, server) is not None:
            return None
        if client in self.hosts and self.hosts[client].node is None:
            return None
        host.connections += 1
        epoch = self.hosts[client].epoch if client in self.hosts else 0
        wire = Wire(client, server, host.connections, epoch)
        self.wires.append(wire)
        if client in self.hosts:
            self.hosts[client].node.settlement_connected()
        return wire

    def wire_of(self, client: str, server: str) -> Wire | None:
        for wire in self.wires:
            if (wire.client, wire.server) == (client, server) and wire.client_is_up:
                return wire
        return None

    def cut_client(self, wire: Wire) -> None:
        """The client's end breaks; it notices, the server does not yet."""
        if wire.client_is_up:
            wire.lose_client()
            self.client_lost(wire)

    def cut_server(self, wire: Wire) -> None:
        if wire.server_is_up:
            wire.lose_server()
            self.server_lost(wire)

    def notice(self, wire: Wire) -> None:
        """The end that is still up notices that the other is gone."""
        if wire.client_is_up and not wire.server_is_up:
            self.cut_client(wire)
        elif wire.server_is_up and not wire.client_is_up:
            self.cut_server(wire)

    def client_lost(self, wire: Wire) -> None:
        self.forget(wire)
        if wire.client in self.hosts:
            node = self.hosts[wire.client].node
            if node is not None:
                node.disconnected(SETTLEMENT)
        else:
            self.said.append((wire, None))

    def server_lost(self, wire: Wire) -> None:
        self.forget(wire)
        node = self.hosts[wire.server].node
        if node is not None:
            node.disconnected(wire.number)

    def forget(self, wire: Wire) -> None:
        if not wire.client_is_up and not wire.server_is_up and wire in self.wires:
            self.wires.remove(wire)

    def deliver_to_server(self, wire: Wire) -> None:
        if not wire.server_is_up or not wire.to_server:
            return
        messages = wire.server_reader.feed(wire.to_server.popleft())
        host = self.hosts[wire.server]
        for message in messages:
            if isinstance(message, m.SliceAsked) and self.is_judged:
                number = self.hosts[wire.client].identity.number
                self.expected.was_asked(number, wire.epoch, message.ask)
        host.node.receive(wire.number, messages)

    def deliver_to_client(self, wire: Wire) -> None:
        if not wire.client_is_up or not wire.to_client:
            return
        messages = wire.client_reader.feed(wire.to_client.popleft())
        if wire.client in self.hosts:
            self.hosts[wire.client].node.receive(SETTLEMENT, messages)
        else:
            self.said += [(wire, message) for message in messages]

    # Nodes.

    def step(self, host: Host) -> None:
        """Decide a batch; nothing is durable or delivered before `commit`."""
        if host.node is not None and len(host.pending) < STEPS_PENDING_MAX:
            step = host.node.step(self.now_ms)
            if step.records or step.deliveries:
                host.pending.append(step)

    def append(self, host: Host, is_joined: bool) -> list[tuple[int, m.Message]]:
        """Make a row of the next step and show it to the model.

        Joined with those that follow, if they have its time and its day.
        Returns what may be delivered now.
        """
        step = host.pending.popleft()
        records, deliveries = step.records, step.deliveries
        while is_joined and host.pending:
            other = host.pending[0]
            if (other.day, other.at_ms) != (step.day, step.at_ms):
                break
            host.pending.popleft()
            records, deliveries = records + other.records, deliveries + other.deliveries
        if records:
            self.write(host, step, records)
        return deliveries

    def write(self, host: Host, step: Step, records: list[Any]) -> None:
        first = host.sequence + 1
        last = host.sequence + len(records)
        # Whatever the clock says, time never falls in a journal.
        assert not host.batches or host.batches[-1].at_ms <= step.at_ms
        body = RECORDS_ENCODER.encode(records)
        host.batches.append(
            Batch(first, last, host.epoch, step.day, step.at_ms, body, b"")
        )
        if not self.is_judged:
            return
        if host.identity.kind == "settlement":
            self.expected.settlement_wrote(step.day, SETTLEMENT_RECORDS.decode(body))
        else:
            number = host.identity.number
            self.expected.shard_wrote(number, step.day, SHARD_RECORDS.decode(body))
        self.expected.check()

    def commit(self, host: Host, is_joined: bool = True) -> None:
        """Append, then deliver: the only order there is."""
        if not host.pending:
            return
        by_connection: dict[int, list[m.Message]] = {}
        for number, message in self.append(host, is_joined):
            by_connection.setdefault(number, []).append(message)
        for number, messages in by_connection.items():
            self.send(host, number, messages)

    def send(self, host: Host, number: int, messages: list[m.Message]) -> None:
        for wire in self.wires:
            if not (wire.server_is_up and wire.client_is_up):
                continue  # One end is gone: what is written is lost.
            if wire.server == host.name and wire.number == number:
                wire.to_client.append(frame(messages))
            elif wire.client == host.name and number == SETTLEMENT:
                wire.to_server.append(frame(messages))

    def crash(self, host: Host, is_appended: bool = False) -> None:
        """Memory is gone, and with it all steps that were not appended."""
        if host.node is None:
            return
        if is_appended and host.pending:
            self.append(host, is_joined=False)
        host.node = None
        host.pending.clear()
        for wire in list(self.wires):
            if wire.client == host.name:
                self.cut_client(wire)
            elif wire.server == host.name:
                self.cut_server(wire)

    # Rest.

    def rest(self) -> None:
        """Repair everything and let all that is said be heard, at this time."""
        for host in self.hosts.values():
            if host.node is None:
                host.start()
        for wire in list(self.wires):
            self.notice(wire)
        for number in range(self.shard_count):
            self.connect(f"shard-{number}", "settlement")
        moves = 0
        while self.move():
            moves += 1
            assert moves < MOVES_TO_REST_MAX  # They talk and talk.

    def move(self) -> bool:
        """Everything that can happen without time passing, once."""
        moved = False
        for wire in list(self.wires):
            while wire.to_server and wire.server_is_up:
                self.deliver_to_server(wire)
                moved = True
            while wire.to_client and wire.client_is_up:
                self.deliver_to_client(wire)
                moved = True
        for host in self.hosts.values():
            due = host.node.wakes_at_ms()
            if host.pending or host.node.has_work or (due and due <= self.now_ms):
                self.step(host)
                self.commit(host)
                moved = True
            assert "" == host.node.stopped_because
        return moved

    def check_replays(self) -> None:
        """Each journal gives the state that its node has, bit for bit."""
        for host in self.hosts.values():
            assert not host.pending
            replay: Any = (
                SettlementReplay(host.identity)
                if host.identity.kind == "settlement"
                else ShardReplay(host.identity)
            )
            for number, batch in enumerate(host.batches):
                if number == len(host.batches) // 2:
                    replay = through_a_snapshot(host.identity, replay, batch)
                replay.replay(batch)
            assert digest_of(replay.state) == digest_of(host.node.state)


def through_a_snapshot(identity: Identity, replay: Any, row: Batch) -> Any:
    """What is saved before a row, and restored."""
    point = Point(row.first_sequence - 1, b"", row.epoch)
    saved = snapshot.encode(identity, point, replay)
    return snapshot.decode("a snapshot", saved, identity)[1]
