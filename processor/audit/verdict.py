"""Two readings of the same journals, held against each other.

Every row is folded twice: by the audit, which has its own arithmetic, and by
the `apply` that recovery uses.  A verdict is clean when the journals agree
with themselves and with each other, and both readings end in the same place.
"""

import msgspec

from processor import limits
from processor.audit.certificates import want_cuts
from processor.audit.compare import compare_with_settlement, compare_with_state
from processor.audit.report import AuditReport, conclude
from processor.audit.settlement import SettlementAudit
from processor.audit.shard import ShardAudit
from processor.journal import Batch, Identity
from processor.recovery import Room, SettlementReplay, ShardReplay
from processor.scratch import Scratch
from processor.settlement_state import SettlementState
from processor.state import ShardState

# What `apply` can raise on a journal that no processor wrote.
_BROKEN_REPLAY = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    msgspec.MsgspecError,
)


class Verdict(msgspec.Struct):
    """What a set of journals is worth."""

    report: AuditReport
    replay_differences: list[str]

    @property
    def replay_equal(self) -> bool:
        """Whether both readings came to the same, object by object."""
        return not self.replay_differences

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all is wrong."""
        return self.replay_equal and self.report.is_clean

    @property
    def differences(self) -> list[str]:
        """Every sentence about what is wrong."""
        return self.report.differences + self.replay_differences

    def summary(self) -> dict[str, object]:
        """The same as one JSON object; days and lenders in minor units."""
        report = self.report
        return {
            "overspend_minor": report.overspend_minor,
            "false_reserve_declines": report.false_reserve_declines,
            "trial_balance_minor": report.trial_balance_minor,
            "replay_equal": self.replay_equal,
            "differences": self.differences,
            "days": report.days,
            "lenders": report.lenders,
            "counts": report.counts,
            "open_withholdings": report.open_withholdings,
        }


class Folded:
    """One journal, row by row, by both readings."""

    def __init__(
        self, identity: Identity, keep_ms: int, scratch: Scratch | None
    ) -> None:
        self.identity = identity
        self.model: ShardAudit | SettlementAudit
        self._replay: ShardReplay | SettlementReplay
        if identity.kind == "settlement":
            self.model = SettlementAudit(identity, keep_ms)
            self._replay = SettlementReplay(identity)
        else:
            self.model = ShardAudit(identity, keep_ms, scratch)
            self._replay = ShardReplay(
                identity,
                Room(scratch=scratch, in_memory_min=limits.AUDIT_OBJECTS_IN_MEMORY_MIN),
            )
        self._broken: list[str] = []

    @property
    def state(self) -> ShardState | SettlementState:
        """What `apply` has made of the rows so far."""
        return self._replay.state

    def batch(self, batch: Batch) -> None:
        """Fold one row."""
        if not self._broken:
            try:
                self._replay.replay(batch)
            except _BROKEN_REPLAY as error:
                self._broken.append(
                    f"{self.model.rows.name}: recovery would stop at the row of record "
                    f"{batch.first_sequence} ({type(error).__name__}: {error})."
                )
        self.model.batch(batch)

    def differences(self) -> list[str]:
        """Where the two readings differ at the end."""
        if self._broken:
            return self._broken
        model, state = self.model, self.state
        if isinstance(model, ShardAudit):
            assert isinstance(state, ShardState)
            return compare_with_state(model, state)
        assert isinstance(state, SettlementState)
        return compare_with_settlement(model, state)


class Verification:
    """All journals of a cluster: settlement's first, then every shard's.

    In this order, because settlement's certificates name the points of the
    shards' journals that are evidence.  `keep_ms` is the shortest time for which
    answers were ever kept; with `scratch`, what is done lies there and not in memory.
    """

    def __init__(
        self,
        settlement: Identity,
        shards: list[Identity],
        keep_ms: int = limits.KEEP_ANSWERS_MS,
        scratch: Scratch | None = None,
    ) -> None:
        self.settlement = Folded(settlement, keep_ms, scratch)
        self.shards = [Folded(shard, keep_ms, scratch) for shard in shards]

    def settlement_is_read(self) -> None:
        """Say so before the first row of a shard."""
        want_cuts(self._of_settlement, self._of_shards)

    def verdict(self) -> Verdict:
        """Once every row is folded."""
        differences = self.settlement.differences()
        for shard in self.shards:
            differences += shard.differences()
        return Verdict(conclude(self._of_settlement, self._of_shards), differences)

    @property
    def _of_settlement(self) -> SettlementAudit:
        assert isinstance(self.settlement.model, SettlementAudit)
        return self.settlement.model

    @property
    def _of_shards(self) -> list[ShardAudit]:
        models = [shard.model for shard in self.shards]
        return [model for model in models if isinstance(model, ShardAudit)]
