"""What journals hold: each command beside the event it ended in.

The command is kept because it is what the caller may ask again under the same
id, and because an entry that cannot say who wanted it explains nothing.  What
the processor does by itself (expiry, slices, the day) has no command.
"""

import msgspec

from processor.commands import AccountCommand, SettlementCommand
from processor.events import SettlementEvent, ShardEvent


class ShardRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact of a shard's journal, and the wish behind it."""

    command: AccountCommand | None
    event: ShardEvent


class SettlementRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One fact of settlement's journal, and the wish behind it."""

    command: SettlementCommand | None
    event: SettlementEvent


SHARD_RECORDS = msgspec.msgpack.Decoder(list[ShardRecord])
SETTLEMENT_RECORDS = msgspec.msgpack.Decoder(list[SettlementRecord])
RECORDS_ENCODER = msgspec.msgpack.Encoder()
