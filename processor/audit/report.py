"""The audit of all journals together: what one side says, the other must know.

Settlement's journal is folded first, because its certificates name the points
of the shards' journals that are evidence.  Then each shard's, then all are
held against each other.

Pure: rows come from whoever calls, and the report goes back to him.
"""

from collections.abc import Iterable, Sequence

import msgspec

from processor.audit.between import (
    LenderFigures,
    day_differences,
    grant_differences,
    identity_differences,
    invariant_differences,
    lease_differences,
    lender_figures,
    reference_differences,
    withholding_differences,
)
from processor.audit.certificates import Certificates, want_cuts
from processor.audit.settlement import SettlementAudit
from processor.audit.shard import ShardAudit
from processor.audit.withholdings import open_withholdings
from processor.events import DayTotals
from processor.journal import Batch, Identity
from processor.scratch import Scratch

Rows = tuple[Identity, Iterable[Batch]]


class AuditReport(msgspec.Struct):
    """What the journals say, and every sentence about what is wrong with them.

    `days` are the closed ones; `counts` are records by event, declines by
    reason.  `open_withholdings` are not wrong: by id what was withheld from a
    merchant in minor units and is neither a repayment nor released yet.
    """

    overspend_minor: int
    false_reserve_declines: int
    trial_balance_minor: int
    differences: list[str]
    days: dict[str, DayTotals]
    lenders: dict[str, LenderFigures]
    counts: dict[str, int]
    open_withholdings: dict[str, int]

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all is wrong."""
        return not (
            self.differences
            or self.overspend_minor
            or self.false_reserve_declines
            or self.trial_balance_minor
        )


def audit(
    settlement: Rows, shards: Sequence[Rows], scratch: Scratch | None = None
) -> AuditReport:
    """Audit whole journals: settlement's and every shard's."""
    of_settlement = SettlementAudit(settlement[0])
    for batch in settlement[1]:
        of_settlement.batch(batch)
    of_shards = [ShardAudit(identity, scratch=scratch) for identity, _ in shards]
    want_cuts(of_settlement, of_shards)
    for of_shard, (_, batches) in zip(of_shards, shards, strict=True):
        for batch in batches:
            of_shard.batch(batch)
    return conclude(of_settlement, of_shards)


def conclude(settlement: SettlementAudit, shards: Sequence[ShardAudit]) -> AuditReport:
    """Hold the audits of all journals, each at its end, against each other."""
    differences = identity_differences(settlement, shards)
    by_number = {shard.identity.number: shard for shard in shards}
    for shard in shards:
        shard.finish()
        differences += lease_differences(settlement, shard)
        differences += grant_differences(settlement, shard)
        differences += day_differences(settlement, shard)
        differences += reference_differences(settlement, shard)
    certificates = Certificates(settlement, by_number)
    certificates.judge()
    lenders = lender_figures(settlement, shards)
    differences += certificates.differences
    differences += invariant_differences(settlement, shards, lenders)
    differences += withholding_differences(settlement, shards)
    parts: list[SettlementAudit | ShardAudit] = [settlement, *shards]
    return AuditReport(
        overspend_minor=sum(part.overspend_minor for part in parts),
        false_reserve_declines=certificates.false_declines,
        trial_balance_minor=sum(part.trial_balance_minor for part in parts),
        differences=[text for part in parts for text in part.differences] + differences,
        days={day: cut.totals for day, cut in settlement.days.items() if cut.is_closed},
        lenders=lenders,
        counts=_counts(parts),
        open_withholdings=open_withholdings(settlement.payouts, shards),
    )


def _counts(parts: Sequence[SettlementAudit | ShardAudit]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in parts:
        for name, count in part.counts.items():
            counts[name] = counts.get(name, 0) + count
    return dict(sorted(counts.items()))
