"""One shard's journal audited alone, as it is or with a record tampered with."""

from typing import Any
from unittest.mock import patch

import msgspec

from processor import events as e
from processor import limits
from processor.audit.compare import compare_with_state
from processor.audit.shard import ShardAudit
from processor.records import RECORDS_ENCODER, SHARD_RECORDS, ShardRecord
from processor.scratch import MemoryScratch
from tests.unit.journals_by_hand import rechained
from tests.unit.one_shard import IDENTITY, OneShard


def audit_of(shard: OneShard) -> ShardAudit:
    """The audit of all that the shard has journaled.

    It says the same when what is done leaves its memory.
    """
    model = ShardAudit(IDENTITY)
    with patch.object(limits, "AUDIT_OBJECTS_IN_MEMORY_MIN", 0):
        small = ShardAudit(IDENTITY, scratch=MemoryScratch())
    for batch in rechained(IDENTITY, shard.batches):
        model.batch(batch)
        small.batch(batch)
    model.finish()
    small.finish()
    assert model.differences == small.differences
    return small


def check_clean(shard: OneShard) -> None:
    """The audit finds nothing, and ends where the shard is."""
    model = audit_of(shard)
    assert [] == model.differences
    assert [] == compare_with_state(model, shard.state)


def put(shard: OneShard, sequence: int, command: Any, event: e.Event) -> list[str]:
    """What the audit says when one record were another."""
    batches = []
    for batch in shard.batches:
        records: list[Any] = SHARD_RECORDS.decode(batch.records)
        if batch.first_sequence <= sequence <= batch.last_sequence:
            records[sequence - batch.first_sequence] = ShardRecord(command, event)  # type: ignore[arg-type]
        body = RECORDS_ENCODER.encode(records)
        batches.append(msgspec.structs.replace(batch, records=body))
    other = OneShard()
    other.batches = batches
    return audit_of(other).differences


def change(shard: OneShard, sequence: int, **fields: Any) -> list[str]:
    """What the audit says when fields of one record's event were others."""
    record = shard.records[sequence - 1]
    event = msgspec.structs.replace(record.event, **fields)
    return put(shard, sequence, record.command, event)
