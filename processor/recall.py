"""Settlement's questions to all shards at once: recalls and positions.

A round asks every shard about one lender and is complete when every shard has
answered from its journal.  A recall also takes back what is free.  A shard
that is away answers when it is back; until then the round stays open, because
headroom that nobody has looked at is neither free nor used.
"""

from collections.abc import Iterable

import msgspec

from processor.commands import WithdrawReserve
from processor.events import CutPoint
from processor.messages import Lease, Need, RecallSlice
from processor.settlement_state import Lender

SETTLEMENT_ITSELF = -1  # As the asker: for a withdrawal.


class Ask(msgspec.Struct):
    """Headroom wanted, all of it or none: for a parked purchase or a withdrawal.

    `rounds_before` counts the rounds that had begun when it came: only a later
    one is evidence against it.
    """

    shard: int
    ask: int
    connection: int
    needs: tuple[Need, ...]
    gives_up_at_ms: int
    rounds_before: int
    sequence: int = 0  # How far the shard's journal had come.
    correlation: int = 0
    withdrawal: WithdrawReserve | None = None


class Round(msgspec.Struct):
    """One question to all shards about one lender.

    With `keep` nothing is returned: a position for the reader at
    `connection`, `correlation`.  Otherwise `asks` wait for it, in order.
    """

    number: int
    lender_id: str
    keep: bool
    gives_up_at_ms: int
    connection: int = 0
    correlation: int = 0
    asks: list[Ask] = []
    points: dict[int, CutPoint] = {}
    leases: dict[int, Lease] = {}

    def question(self) -> RecallSlice:
        """What each shard is sent."""
        return RecallSlice(self.number, self.lender_id, self.keep)

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

    def is_evidence(self, ask: Ask, lender: Lender) -> bool:
        """Whether it shows all the headroom there is now, for this ask.

        It must have begun after the ask came, and nothing may have been
        granted since: a grant that is under way is not known to be used.
        """
        return (
            self.lender_id == lender.lender_id
            and self.number > ask.rounds_before
            and all(
                lease.granted_minor == self.points[shard].received_minor
                for shard, lease in lender.leases.items()
            )
        )

    def is_missing(self, shards: Iterable[int]) -> bool:
        """Whether any of the shards has not answered."""
        return any(shard not in self.points for shard in shards)

    def cut(self) -> tuple[CutPoint, ...]:
        """The answers, by shard."""
        return tuple(self.points[shard] for shard in sorted(self.points))
