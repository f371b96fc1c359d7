"""Where an id lives: account id → slot → shard, and ids that carry their slot.

An account id is the caller's.  The ids the processor makes (authorizations,
holds, refunds, repayments and the like) are `kk_sssnnq…`: two letters of kind,
three hexadecimal digits of slot, two of the shard that made it, then the
sequence of the record that made it, in hexadecimal.  A follow-up is routed by
reading the slot; the shard and its sequence make the id unique for ever, also
after a slot has moved.
"""

from enum import StrEnum
from zlib import crc32

from processor import limits


class IdKind(StrEnum):
    """The two letters an id of the processor opens with."""

    AUTHORIZATION = "au"
    HOLD = "ho"
    CAPTURE = "ca"
    REFUND = "re"
    REPAYMENT = "rp"
    WRITE_OFF = "wo"
    RECOVERY = "rc"
    CLAIM = "cl"
    ADJUSTMENT = "aj"
    WITHHOLDING = "wh"  # Made by settlement, under number 0.


# The same object for the same slot, for who keeps many of them.
SLOT_NUMBERS = tuple(range(limits.SLOTS))


def slot_of_account(account_id: str) -> int:
    """The slot, 0 to 4 095, of an account id; the same on every machine."""
    # The multiplication spreads ids that differ in one character over all slots.
    return (crc32(account_id.encode()) * 0x9E3779B1 >> 20) % limits.SLOTS


def slot_of_made_id(made_id: str) -> int | None:
    """The slot a processor-made id carries; None if it is not such an id."""
    if len(made_id) < 9 or made_id[2] != "_":
        return None
    try:
        slot = int(made_id[3:6], 16)
    except ValueError:
        return None
    return slot if slot >= 0 else None


def sequence_of_made_id(made_id: str) -> int:
    """The sequence, in its maker's journal, of the record that made an id."""
    return int(made_id[8:], 16)


def shard_of_slot(slot: int, shard_count: int) -> int:
    """The shard that owns a slot: equal contiguous ranges."""
    return slot * shard_count // limits.SLOTS


def make_id(kind: IdKind, slot: int, shard: int, sequence: int) -> str:
    """A new id, made from the record that creates the object."""
    # Every purchase makes one: this takes a third of the time of an f-string.
    return "%s_%03x%02x%x" % (kind, slot, shard, sequence)  # noqa: UP031
