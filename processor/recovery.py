"""Rebuild a node from its journal: apply, remember, index, and nothing else."""

from hashlib import blake2b

import msgspec

from processor import limits, machine, settlement_rules
from processor.history import History
from processor.journal import Batch, Identity
from processor.records import SETTLEMENT_RECORDS, SHARD_RECORDS
from processor.remembered import Remembered
from processor.settlement_state import SettlementState
from processor.state import ShardState


class ShardReplay:
    """A shard's state, one journal row after the other."""

    def __init__(
        self,
        identity: Identity,
        requests_max: int = limits.REMEMBERED_REQUESTS_MAX,
    ) -> None:
        assert identity.kind == "shard"
        self.remembered = Remembered(requests_max)
        self.history = History()
        self.at_ms = 0  # Of the last row.
        self.state = ShardState(
            identity.number, identity.shard_count, identity.first_day
        )

    def replay(self, batch: Batch) -> None:
        """Apply the records of a row."""
        for record in SHARD_RECORDS.decode(batch.records):
            machine.apply(self.state, record.event, record.command)
            self.history.record(self.state, record.event, record.command)
            if record.command is not None:
                self.remembered.remember(record.command, record.event)
        assert self.state.sequence == self.history.sequence == batch.last_sequence
        self.at_ms = batch.at_ms


class SettlementReplay:
    """Settlement's state, one journal row after the other."""

    def __init__(
        self,
        identity: Identity,
        requests_max: int = limits.REMEMBERED_REQUESTS_MAX,
    ) -> None:
        assert identity.kind == "settlement"
        self.remembered = Remembered(requests_max)
        self.at_ms = 0  # Of the last row.
        self.state = SettlementState(identity.shard_count, identity.first_day)

    def replay(self, batch: Batch) -> None:
        """Apply the records of a row."""
        for record in SETTLEMENT_RECORDS.decode(batch.records):
            settlement_rules.apply(self.state, record.event)
            if record.command is not None:
                self.remembered.remember(record.command, record.event)
        assert self.state.sequence == batch.last_sequence
        self.at_ms = batch.at_ms


_ENCODER = msgspec.msgpack.Encoder()


def digest_of(state: ShardState | SettlementState) -> str:
    """A fingerprint of a whole state.

    Equal histories give equal states, down to the order of their tables.
    """
    return blake2b(_ENCODER.encode(state), digest_size=16).hexdigest()
