"""Rebuild a node from its journal: apply, remember, index, and nothing else.

What has been rebuilt can be saved and restored (`snapshot.py` has the form of
it); a restored node goes on as the one that was saved would have.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Self

import msgspec

from processor import limits, machine, settlement_rules
from processor.history import History
from processor.journal import Batch, Identity
from processor.records import RECORDS_ENCODER, SETTLEMENT_RECORDS, SHARD_RECORDS
from processor.remembered import Remembered
from processor.settlement_state import SettlementState
from processor.state import ShardState

_ENCODER = msgspec.msgpack.Encoder()
_SHARD_STATE = msgspec.msgpack.Decoder(ShardState)
_SETTLEMENT_STATE = msgspec.msgpack.Decoder(SettlementState)

# What is saved of a node, by name.
Parts = Mapping[str, bytes | memoryview]


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

    def saved(self) -> Parts:
        """All that a shard needs to go on from here."""
        return {
            "state": _ENCODER.encode(self.state),
            "remembered": RECORDS_ENCODER.encode(list(self.remembered)),
            "history": self.history.saved(),
        }

    @classmethod
    def restored(cls, identity: Identity, parts: Parts, at_ms: int) -> Self:
        """What `saved` was made of; `at_ms` is the time of the last row."""
        replay = cls(identity)
        replay.state = _SHARD_STATE.decode(parts["state"])
        _reunite(replay.state)
        for record in SHARD_RECORDS.decode(parts["remembered"]):
            assert record.command is not None
            replay.remembered.remember(record.command, record.event)
        replay.history = History.restored(parts["history"])
        replay.at_ms = at_ms
        return replay


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

    def saved(self) -> Parts:
        """All that settlement needs to go on from here."""
        return {
            "state": _ENCODER.encode(self.state),
            "remembered": RECORDS_ENCODER.encode(list(self.remembered)),
        }

    @classmethod
    def restored(cls, identity: Identity, parts: Parts, at_ms: int) -> Self:
        """What `saved` was made of; `at_ms` is the time of the last row."""
        replay = cls(identity)
        replay.state = _SETTLEMENT_STATE.decode(parts["state"])
        for record in SETTLEMENT_RECORDS.decode(parts["remembered"]):
            assert record.command is not None
            replay.remembered.remember(record.command, record.event)
        replay.at_ms = at_ms
        return replay


Replay = ShardReplay | SettlementReplay


def replay_of(identity: Identity) -> type[Replay]:
    """How a journal is replayed."""
    return SettlementReplay if identity.kind == "settlement" else ShardReplay


def _reunite(state: ShardState) -> None:
    """What is one object under two names is saved twice, and must be one again."""
    for program_id, program in state.programs.items():
        state.programs[program_id] = state.program_versions[program_id, program.version]


def digest_of(state: ShardState | SettlementState) -> str:
    """A fingerprint of a whole state.

    Equal histories give equal states, down to the order of their tables.
    """
    return blake2b(_ENCODER.encode(state), digest_size=16).hexdigest()
