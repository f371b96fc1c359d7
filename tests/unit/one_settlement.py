"""Settlement to talk to by hand: the test plays gateways and shards."""

from typing import Any

import msgspec

from processor import commands as c
from processor import messages as m
from processor.journal import Batch, Identity
from processor.records import RECORDS_ENCODER, SettlementRecord
from processor.recovery import SettlementReplay
from processor.settlement import Settlement

FIRST_DAY = "2026-01-01"
GATEWAY = 1
PPM = 1_000_000


class OneSettlement:
    """`said` is what each connection was told, in order."""

    def __init__(self, shard_count: int, batches: list[Batch] | None = None) -> None:
        self.shard_count = shard_count
        self.batches = batches or []
        identity = Identity("test", "settlement", 0, shard_count, "s", FIRST_DAY)
        replay = SettlementReplay(identity)
        for batch in self.batches:
            replay.replay(batch)
        self.node = Settlement(replay.state, replay.remembered, 1)
        self.now_ms = 1_000
        self.records: list[SettlementRecord] = []
        self.said: dict[int, list[m.Message]] = {}
        self.count = 0

    @property
    def state(self) -> Any:
        return self.node.state

    def told(self, connection: int, *messages: m.Message) -> list[m.Message]:
        """A shard or gateway speaks; what it hears back at once."""
        self.node.receive(connection, messages)
        before = len(self.said.get(connection, []))
        self.step()
        return self.said.get(connection, [])[before:]

    def step(self) -> None:
        step = self.node.step(self.now_ms)
        self.records += step.records
        if step.records:
            last = self.node.state.sequence
            first = last - len(step.records) + 1
            body = RECORDS_ENCODER.encode(step.records)
            self.batches.append(Batch(first, last, 1, step.day, step.at_ms, body, b""))
        for connection, message in step.deliveries:
            self.said.setdefault(connection, []).append(message)

    def submit(self, command: c.Command) -> m.Answer | None:
        """The answer, if it comes at once."""
        self.count += 1
        self.told(GATEWAY, m.Submit(self.count, command))  # type: ignore[arg-type]
        return self.answer(self.count)

    def answer(self, correlation: int) -> m.Answer | None:
        for message in self.said.get(GATEWAY, []):
            if isinstance(message, m.Answer) and message.correlation == correlation:
                return message
        return None

    def ask(self, kind: type[c.Command], *fields: Any) -> dict[str, Any]:
        answer = self.submit(kind("caller", f"r{self.count}", *fields))
        assert answer is not None
        assert answer.outcome is m.Outcome.DECIDED
        decided: dict[str, Any] = msgspec.json.decode(answer.body)
        return decided

    def hello(
        self,
        shard: int,
        connection: int,
        *leases: m.Lease,
        epoch: int = 1,
        sequence: int = 10,
        journal_id: str = "",
        reference: int | None = None,
        day: str = FIRST_DAY,
        number: int = 1,
    ) -> list[m.Message]:
        """A shard says hello and knows all reference data, unless said otherwise."""
        version = len(self.state.reference) if reference is None else reference
        known = (version, day, leases)
        hello = m.ShardHello(
            shard, epoch, sequence, journal_id or f"j{shard}", *known, number
        )
        return self.told(connection, hello)


def a_settlement(shard_count: int = 2, **deposits: int) -> OneSettlement:
    """Lenders with deposits; shard n is on connection 10 + n."""
    settlement = OneSettlement(shard_count)
    for shard in range(shard_count):
        settlement.hello(shard, 10 + shard)
    for number, (lender_id, amount) in enumerate(deposits.items()):
        command = c.RegisterLender("caller", f"lender {number}", lender_id, "EUR")
        settlement.submit(command)
        if amount:
            settlement.ask(c.DepositReserve, lender_id, amount)
    return settlement


def lease(lender_id: str, received: int, returned: int = 0, used: int = 0) -> m.Lease:
    """A slice of which `used` is authorized and the rest free."""
    free = received - returned - used
    return m.Lease(lender_id, received, returned, free, used, 0, 0)


def of_kind(messages: list[m.Message], kind: type[m.Message]) -> list[Any]:
    return [message for message in messages if isinstance(message, kind)]
