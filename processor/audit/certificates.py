"""Whether the lenders really had too little when purchases were declined for it.

A decline for reserve names a refusal of settlement; the refusal is a
certificate: what settlement had unleased and what every shard had free right
after one of its records.  Here each point of the cut is held against the
shards' own journals, headroom that was on its way counts as headroom, and a
decline that its certificate does not prove is a false decline.
"""

from collections.abc import Mapping, Sequence

from processor.audit.books import Reduction
from processor.audit.declines import ReserveDecline
from processor.audit.pools import Certificate
from processor.audit.settlement import SETTLEMENT_ITSELF, SettlementAudit
from processor.audit.shard import ShardAudit
from processor.events import CutPoint, ReserveRefused
from processor.pools import is_daily, is_of_program


class Certificates:
    """Judges every decline for reserve; counts the false ones."""

    def __init__(
        self, settlement: SettlementAudit, shards: Mapping[int, ShardAudit]
    ) -> None:
        self.differences: list[str] = []
        self.false_declines = 0
        self._settlement = settlement
        self._shards = shards
        self._headroom = {
            number: self._prove(certificate)
            for number, certificate in settlement.certificates.items()
        }

    def judge(self) -> None:
        """Hold every decline against its certificate, each used once."""
        used: set[int] = set()
        for shard in self._shards.values():
            for claim in shard.reserve_declines:
                where = f"shard {claim.shard}, record {claim.sequence}"
                why = self._why_false(claim)
                numbers = {x.refusal for x in claim.refusals} | {claim.refusal}
                if numbers & used:
                    why = f"refusal {claim.refusal} was used for another before"
                used |= numbers
                self._count(where, why)
            for reduction in shard.books.reductions:
                number = shard.identity.number
                why = self._why_not_reduced(number, reduction)
                numbers = {refusal.refusal for refusal in reduction.refusals}
                if numbers & used:
                    why = f"one of the refusals {numbers} was used for another before"
                used |= numbers
                self._count(f"shard {number}, record {reduction.sequence}", why)
        for sequence, pool_id, wanted_minor, event in self._settlement.own_declines:
            claim = ReserveDecline(
                SETTLEMENT_ITSELF,
                sequence,
                "",
                pool_id,
                event.refusal,
                event.missing_minor,
                0,
                wanted_minor,
                wanted_minor,
            )
            self._count(f"settlement, record {sequence}", self._why_false(claim))
        for certificate in self._settlement.forced:
            self._judge_forced(certificate)
        for certificate in self._settlement.covers:
            self._prove(certificate)

    def _judge_forced(self, certificate: Certificate) -> None:
        """Headroom is raised only when no shard has it: as for a refusal."""
        headroom_minor, _ = self._prove(certificate)
        refused = certificate.refused
        if refused.needed_minor <= headroom_minor:
            self.differences.append(
                f"settlement, record {certificate.sequence}: it forces headroom of "
                f"{refused.pool_id}, which had {headroom_minor}; "
                f"{refused.needed_minor} was needed."
            )

    def _count(self, where: str, why: str) -> None:
        if why:
            self.false_declines += 1
            self.differences.append(f"{where}: a false decline for reserve: {why}.")

    def _why_false(self, claim: ReserveDecline) -> str:
        """Why a decline is not proved; "" if it is."""
        certificate = self._settlement.certificates.get(claim.refusal)
        if certificate is None:
            return f"settlement has no refusal {claim.refusal}"
        refused = certificate.refused
        if (refused.pool_id, refused.shard) != (claim.pool_id, claim.shard):
            return f"refusal {claim.refusal} is about another lender or shard"
        own = [point for point in refused.cut if point.shard == claim.shard]
        if own and own[0].sequence >= claim.sequence:
            return f"refusal {claim.refusal} is younger than the decline"
        if is_daily(claim.pool_id) and not self._is_of_its_day(certificate, claim.day):
            return f"refusal {claim.refusal} is about another business day"
        headroom_minor, told_minor = self._headroom[claim.refusal]
        if refused.needed_minor <= headroom_minor:
            return (
                f"lender {claim.pool_id} had {headroom_minor}, "
                f"{refused.needed_minor} was needed"
            )
        if claim.is_partial and own:
            then_minor = self._leased(claim.shard, claim.pool_id, own[0])
            told_minor = _elsewhere(told_minor, then_minor, claim.leased_minor)
        # What came free on the shard since the cut counts too.
        told_minor += claim.free_minor
        if claim.is_partial and told_minor > 0:
            return f"{told_minor} of lender {claim.pool_id} was left for a part"
        part_minor = claim.missing_minor + told_minor
        if claim.missing_minor <= 0 or not (
            claim.part_min <= part_minor <= claim.part_max
        ):
            return (
                f"{claim.missing_minor} cannot have been missing of lender "
                f"{claim.pool_id}, which had {told_minor}"
            )
        return ""

    def _is_of_its_day(self, certificate: Certificate, claimed_on: str) -> bool:
        """A daily cap is new each day: all the evidence must be of the same one."""
        if claimed_on not in ("", certificate.day):
            return False
        shards = self._shards
        return all(
            shards[point.shard].books.day_after(point.sequence) == certificate.day
            for point in certificate.refused.cut
            if point.shard in shards
        )

    def _why_not_reduced(self, shard: int, claim: Reduction) -> str:
        """Why a purchase could have been approved for one unit more; "" if not."""
        of_pool = [x for x in claim.refusals if x.pool_id == claim.pool_id]
        refusal = of_pool[-1].refusal if of_pool else 0
        certificate = self._settlement.certificates.get(refusal)
        if certificate is None:
            return f"settlement has no refusal {refusal}"
        refused = certificate.refused
        if (refused.pool_id, refused.shard) != (claim.pool_id, shard):
            return f"refusal {refusal} is about another lender or shard"
        own = [point for point in refused.cut if point.shard == shard]
        if not own or own[0].sequence >= claim.sequence:
            return f"refusal {refusal} is younger than the reduction"
        if is_daily(claim.pool_id) and not self._is_of_its_day(certificate, claim.day):
            return f"refusal {refusal} is about another business day"
        headroom_minor, told_minor = self._headroom[refusal]
        if refused.needed_minor <= headroom_minor:
            return (
                f"lender {claim.pool_id} had {headroom_minor}, "
                f"{refused.needed_minor} was needed"
            )
        left_minor = claim.free_minor
        then_minor = self._leased(shard, claim.pool_id, own[0])
        left_minor += _elsewhere(told_minor, then_minor, claim.leased_minor)
        if claim.part_max <= left_minor:
            return (
                f"lender {claim.pool_id} had {left_minor}, one unit more would "
                f"have taken {claim.part_max}"
            )
        return ""

    def _leased(self, shard: int, pool_id: str, point: CutPoint) -> int:
        """What a shard leased of a pool at a point of a certificate."""
        kept = self._shards[shard].cuts.get((pool_id, point.sequence))
        return 0 if kept is None else kept[3]

    def _prove(self, certificate: Certificate) -> tuple[int, int]:
        """The headroom with and without what was on its way, as the cut has it."""
        refused = certificate.refused
        headroom_minor = told_minor = refused.unleased_minor
        for point in refused.cut:
            headroom_minor += point.free_minor
            # What the asker had then counts with what it has when it declines.
            told_minor += point.free_minor if point.shard != refused.shard else 0
            granted = certificate.granted.get(point.shard, 0)
            credited = certificate.credited.get(point.shard, 0)
            headroom_minor += granted - point.received_minor
            headroom_minor += point.returned_minor - credited
            self._check_point(refused, point)
        return headroom_minor, told_minor

    def _check_point(self, refused: ReserveRefused, point: CutPoint) -> None:
        """The shard's own journal says the same at that record."""
        of = "of force" if refused.needed_minor else "of a cap"
        name = f"certificate {refused.refusal or of}, shard {point.shard}"
        shard = self._shards.get(point.shard)
        if shard is None or point.sequence > shard.rows.sequence:
            self.differences.append(
                f"{name}: record {point.sequence} is in no journal of that shard."
            )
            return
        kept = shard.cuts.get((refused.pool_id, point.sequence))
        if kept is None and is_of_program(refused.pool_id):
            self.differences.append(
                f"{name}: at record {point.sequence} it did not know of "
                f"{refused.pool_id}."
            )
        cut = (0, 0, 0) if kept is None else kept[:3]
        said = (point.received_minor, point.returned_minor, point.free_minor)
        if cut != said:
            self.differences.append(
                f"{name}: it says received, returned and free of "
                f"{refused.pool_id} were {said} at record {point.sequence}, "
                f"the journal says {cut}."
            )
        if shard.rows.epoch_at(point.sequence) > point.epoch:
            self.differences.append(
                f"{name}: record {point.sequence} is of a later epoch than "
                f"{point.epoch}."
            )


def _elsewhere(told_minor: int, then_minor: int, leased_minor: int) -> int:
    """What a refusal found, less what the shard itself was granted of it since."""
    since_minor = leased_minor - then_minor
    return max(min(0, told_minor), told_minor - since_minor)


def want_cuts(settlement: SettlementAudit, shards: Sequence[ShardAudit]) -> None:
    """Tell the shards' audits, before they begin, which points to keep."""
    by_number = {shard.identity.number: shard for shard in shards}
    evidence = (settlement.forced, settlement.covers)
    for certificate in (*settlement.certificates.values(), *evidence[0], *evidence[1]):
        for point in certificate.refused.cut:
            if point.shard in by_number:
                by_number[point.shard].want_cut(
                    certificate.refused.pool_id, point.sequence
                )
