"""Settlement and its shards in one process, with journals in memory.

Drives the real state machines as an actor would: a step's records become a
row before its messages are delivered.  No clock, no disk, no network.
"""

from collections.abc import Sequence
from typing import Any

from processor import limits
from processor import messages as m
from processor.commands import Command
from processor.ids import shard_of_slot, slot_of_account, slot_of_made_id
from processor.journal import Batch, Identity, chain_of, chain_start
from processor.node import Node
from processor.records import RECORDS_ENCODER
from processor.recovery import SettlementReplay, ShardReplay
from processor.settlement import Settlement
from processor.shard import SETTLEMENT, Shard

GATEWAY = 1_000


class Rows:
    """A node's journal: the rows of its steps, chained."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.batches: list[Batch] = []
        self._chain = chain_start(identity)
        self._sequence = 0

    def append(self, day: str, at_ms: int, records: Sequence[Any]) -> None:
        first, last = self._sequence + 1, self._sequence + len(records)
        body = RECORDS_ENCODER.encode(records)
        self._chain = chain_of(self._chain, first, last, 1, day, at_ms, body)
        self.batches.append(Batch(first, last, 1, day, at_ms, body, self._chain))
        self._sequence = last


class House:
    """A cluster that answers commands at once, as far as it can."""

    def __init__(self, shard_count: int, first_day: str) -> None:
        self.now_ms = 1_000_000
        self.answers: dict[int, m.Answer] = {}
        self._correlation = 0
        identity = Identity("house", "settlement", 0, shard_count, "s", first_day)
        of_settlement = SettlementReplay(identity)
        self.settlement = Settlement(of_settlement.state, of_settlement.remembered, 1)
        self.settlement_rows = Rows(identity)
        self.shards: list[Shard] = []
        self.shard_rows: list[Rows] = []
        for number in range(shard_count):
            identity = Identity(
                "house", "shard", number, shard_count, str(number), first_day
            )
            replay = ShardReplay(identity)
            self.shards.append(
                Shard(
                    replay.state,
                    replay.remembered,
                    replay.history,
                    1,
                    identity.journal_id,
                )
            )
            self.shard_rows.append(Rows(identity))
        for shard in self.shards:
            shard.settlement_connected()
        self.run()

    def ask(self, *commands: Command) -> list[m.Answer]:
        """Submit commands together and run until nothing is to be done."""
        first = self._correlation + 1
        for command in commands:
            self._correlation += 1
            wish: Any = command
            submit = m.Submit(self._correlation, wish)
            self._node_of(command).receive(GATEWAY, [submit])
        self.run()
        return [self.answers.pop(n) for n in range(first, self._correlation + 1)]

    def pass_time(self, elapsed_ms: int) -> None:
        """Let the clock go on and do what falls due."""
        self.now_ms += elapsed_ms
        self.run()

    def run(self) -> None:
        """Step every node until none has anything to do."""
        busy = True
        while busy:
            busy = self._step(self.settlement, self.settlement_rows)
            for shard, rows in zip(self.shards, self.shard_rows, strict=True):
                busy |= self._step(shard, rows)

    def _node_of(self, command: Command) -> Node:
        if not command.ROUTED_BY:
            return self.settlement
        name: str = getattr(command, command.ROUTED_BY)
        slot = slot_of_account(name)
        if command.ROUTED_BY != "account_id":
            slot = slot_of_made_id(name) or 0
        return self.shards[shard_of_slot(slot, len(self.shards))]

    def _step(self, node: Node, rows: Rows) -> bool:
        wakes_at_ms = node.wakes_at_ms()
        if not node.has_work and (wakes_at_ms is None or wakes_at_ms > self.now_ms):
            return False
        step = node.step(self.now_ms)
        assert len(step.records) <= limits.INBOX_COMMANDS_MAX
        if step.records:
            rows.append(step.day, self.now_ms, step.records)
        for connection, message in step.deliveries:
            self._deliver(node, connection, message)
        return True

    def _deliver(self, node: Node, connection: int, message: m.Message) -> None:
        if connection == GATEWAY:
            assert isinstance(message, m.Answer)
            self.answers[message.correlation] = message
        elif isinstance(node, Shard):
            assert connection == SETTLEMENT
            self.settlement.receive(node.state.shard + 1, [message])
        else:
            self.shards[connection - 1].receive(SETTLEMENT, [message])
