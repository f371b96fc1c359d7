"""Settlement's questions to all shards at once: recalls and positions.

A round asks every shard about one pool and is complete when every shard has
answered from its journal.  A recall also takes back what is free.  A shard
that is away answers when it is back; until then the round stays open, because
headroom that nobody has looked at is neither free nor used.
"""

from collections.abc import Iterable

import msgspec

from processor.commands import SettlementCommand
from processor.events import CutPoint
from processor.messages import Lease, Need, RecallSlice
from processor.settlement_state import Pool

SETTLEMENT_ITSELF = -1  # As the asker: for a withdrawal, or another own wish.


class Ask(msgspec.Struct):
    """Headroom wanted, all of it or none: for a parked purchase or a withdrawal.

    `rounds_before` counts the rounds that had begun when it came: only a later
    one is evidence against it.  A forced one keeps its evidence by pool: it
    needs that of all its lenders at once.
    """

    shard: int
    ask: int
    connection: int
    needs: tuple[Need, ...]
    gives_up_at_ms: int
    rounds_before: int
    sequence: int = 0  # How far the shard's journal had come.
    correlation: int = 0
    command: SettlementCommand | None = None  # Settlement's own wish.
    deadline_ms: int = 0  # Its own, on the steady clock.
    is_forced: bool = False
    evidence: dict[str, "Round"] = {}


class Caps(msgspec.Struct):
    """A reader's question about a program's caps, one after the other."""

    program_id: str
    pool_ids: list[str]  # Still to be asked about.
    used_minor: dict[str, int] = {}  # By pool.


class Round(msgspec.Struct):
    """One question to all shards about one pool, begun on business day `day`.

    With `keep` nothing is returned: a position for the reader at
    `connection`, `correlation`, or with `caps` one of the caps of a program.
    Otherwise `asks` wait for it, in order.
    """

    number: int
    pool_id: str
    keep: bool
    gives_up_at_ms: int
    day: str
    connection: int = 0
    correlation: int = 0
    asks: list[Ask] = []
    caps: "Caps | None" = None
    points: dict[int, CutPoint] = {}
    leases: dict[int, Lease] = {}

    def question(self) -> RecallSlice:
        """What each shard is sent."""
        return RecallSlice(self.number, self.pool_id, self.keep)

    def answered(self, shard: int, lease: Lease, epoch: int, sequence: int) -> None:
        """Keep a shard's answer; its last one counts."""
        self.leases[shard] = lease
        self.points[shard] = CutPoint(
            shard,
            epoch,
            sequence,
            lease.received_minor,
            lease.returned_minor,
            lease.free_minor,
        )

    def is_evidence(self, ask: Ask, pool_id: str, pool: Pool) -> bool:
        """Whether it shows all the headroom there is now, for this ask.

        It must have begun after the ask came, and nothing may have been
        granted or credited since: a grant that is under way is not known to be
        used, and what a shard gave back it may have taken again.
        """
        return (
            self.pool_id == pool_id
            and self.number > ask.rounds_before
            and all(
                lease.granted_minor == self.points[shard].received_minor
                and lease.credited_minor == self.points[shard].returned_minor
                for shard, lease in pool.leases.items()
            )
        )

    def is_missing(self, shards: Iterable[int]) -> bool:
        """Whether any of the shards has not answered."""
        return any(shard not in self.points for shard in shards)

    def cut(self) -> tuple[CutPoint, ...]:
        """The answers, by shard."""
        return tuple(self.points[shard] for shard in sorted(self.points))
