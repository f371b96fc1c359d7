"""What travels on the stream: between gateway and shard, shard and settlement.

A frame is a list of messages, in order.  `framing.py` puts frames into bytes.
"""

from enum import IntEnum

import msgspec

from processor.commands import AccountCommand, SettlementCommand
from processor.events import DayTotals, ReferenceFact


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True):
    """One thing said on a connection."""


class Outcome(IntEnum):
    """What an answer is."""

    DECIDED = 0  # Durable; the body is the JSON answer.
    REPLAYED = 1  # Decided before, under the same id; the same body.
    READ = 2  # A query's JSON.
    NOT_FOUND = 3  # A query for what is not there, or the body names what is wrong.
    CONFLICT = 4  # The id was used for other content; the body names the field.
    NOT_DONE = 5  # Nothing was done and nothing will be; the body says why.


# Why a command was not done whose deadline had passed: what `Outcome.NOT_DONE` says.
TOO_LATE = "its time was over before its turn came"

# Gateway to shard or settlement.


class Submit(Message, frozen=True):
    """Carry out a command; the answer carries the same correlation.

    Not after `deadline_ms`, on the steady clock that gateway and node share (0: no
    deadline); what was decided by then is answered whenever it is asked again.
    """

    correlation: int
    command: AccountCommand | SettlementCommand
    deadline_ms: int = 0


class Query(Message, frozen=True):
    """Read one object by kind and id, after everything submitted before it."""

    correlation: int
    kind: str
    object_id: str


class QueryEntries(Message, frozen=True):
    """Read up to `limit` entries of an account, newest first.

    Those older than its entry `before`, a sequence, or all if that is 0.
    """

    correlation: int
    account_id: str
    before: int
    limit: int


class Answer(Message, frozen=True):
    """To whatever was asked."""

    correlation: int
    outcome: Outcome
    body: bytes


# Shard to settlement.


class Lease(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One slice of a pool as a shard's journal has it, in totals since ever.

    received - returned = free + authorized + captured - refunded.
    """

    pool_id: str
    received_minor: int
    returned_minor: int
    free_minor: int
    authorized_minor: int
    captured_minor: int
    refunded_minor: int


class ShardHello(Message, frozen=True):
    """The first word of a shard on a connection to settlement."""

    shard: int
    epoch: int
    sequence: int
    journal_id: str
    reference_version: int
    day: str
    leases: tuple[Lease, ...]
    hello: int = 1  # Which of this epoch: an older one may arrive later.


class SliceWanted(Message, frozen=True):
    """A shard runs low: more headroom, if there is any to spare."""

    pool_id: str
    wanted_minor: int
    received_minor: int
    sequence: int


class Need(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one purchase needs of one pool."""

    pool_id: str
    amount_minor: int


class SliceAsked(Message, frozen=True):
    """A parked purchase needs all of this, at once; `ask` counts up per epoch."""

    ask: int
    needs: tuple[Need, ...]
    sequence: int
    is_forced: bool = False  # It may not be refused.


class SliceReported(Message, frozen=True):
    """The answer to a recall: what was free is returned (or only told)."""

    round: int
    lease: Lease
    epoch: int
    sequence: int


class ShardProgress(Message, frozen=True):
    """The shard's journal is durable up to this record, in this epoch."""

    epoch: int
    sequence: int


class ReferenceHeld(Message, frozen=True):
    """The shard's copy of the reference data is durable up to `version`."""

    version: int


class DayEnded(Message, frozen=True):
    """The shard's last record of `day` is durable: its sequence and totals."""

    day: str
    sequence: int
    totals: DayTotals


# Settlement to shard.


class ShardRefused(Message, frozen=True):
    """Settlement will not work with this shard's journal; the shard must stop."""

    reason: str


class ShardWelcome(Message, frozen=True):
    """The hello was accepted: the day in force."""

    day: str


class GrantSlice(Message, frozen=True):
    """Headroom is leased: the total ever granted.  Durable before it is sent.

    `forced_minor` of it, in all, was raised for the shard's forced captures.
    """

    pool_id: str
    granted_minor: int
    forced_minor: int = 0


class AskGranted(Message, frozen=True):
    """Grants sent before this cover what the ask needs.

    `forced_minor` of it was beyond what the lenders had (forced asks only).
    """

    ask: int
    forced_minor: int = 0


class AskRefused(Message, frozen=True):
    """No headroom anywhere: what settlement had of the pool, and the certificate."""

    ask: int
    pool_id: str
    headroom_minor: int
    refusal: int


class RecallSlice(Message, frozen=True):
    """Return what is free (or with `keep` only tell) and report once durable."""

    round: int
    pool_id: str
    keep: bool


class ReferenceSent(Message, frozen=True):
    """Reference data up to `version`, in the order of its registration."""

    version: int
    facts: tuple[ReferenceFact, ...]


class MoveDay(Message, frozen=True):
    """End `day` with the next record; go on with `next_day`."""

    day: str
    next_day: str


# What a gateway asks; each has one answer.
Asked = Submit | Query | QueryEntries

ToNode = (
    Submit
    | Query
    | QueryEntries
    | ShardHello
    | SliceWanted
    | SliceAsked
    | SliceReported
    | ReferenceHeld
    | DayEnded
    | ShardProgress
)
FromNode = (
    Answer
    | ShardRefused
    | ShardWelcome
    | GrantSlice
    | AskGranted
    | AskRefused
    | RecallSlice
    | ReferenceSent
    | MoveDay
)
