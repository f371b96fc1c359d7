"""What one journal says of another, held against that other.

Leases, days, identities, reference data; and for every lender invariant 1 of
the domain, with what is in flight accounted for.  Each function returns its
sentences and changes nothing.
"""

from collections import Counter
from collections.abc import Sequence

import msgspec

from processor.audit.reserve import differing_totals
from processor.audit.settlement import SettlementAudit
from processor.audit.shard import ShardAudit
from processor.audit.withholdings import open_withholdings, repaid_differences


class LenderFigures(msgspec.Struct):
    """Where a lender's money is, by the journals, in minor units.

    `in_flight_minor` was granted and not received, or returned and not
    credited; deposit + advance line + forced = unleased + in flight + free
    + authorized + captured - refunded.
    """

    currency: str
    deposit_minor: int
    advance_line_minor: int
    forced_minor: int
    unleased_minor: int
    in_flight_minor: int = 0
    free_minor: int = 0
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0

    @property
    def headroom_minor(self) -> int:
        """What is not committed, wherever it is."""
        return self.unleased_minor + self.in_flight_minor + self.free_minor


def identity_differences(
    settlement: SettlementAudit, shards: Sequence[ShardAudit]
) -> list[str]:
    """One cluster, every shard once, and the journals that once joined."""
    own = settlement.identity
    differences = []
    numbers = sorted(shard.identity.number for shard in shards)
    if numbers != list(range(own.shard_count)):
        differences.append(
            f"there are journals of shards {numbers}, {own.shard_count} make it up."
        )
    for shard in shards:
        identity = shard.identity
        name = f"shard {identity.number}"
        if (identity.cluster_id, identity.shard_count, identity.first_day) != (
            own.cluster_id,
            own.shard_count,
            own.first_day,
        ):
            differences.append(f"{name}: its journal is of another cluster.")
        joined = settlement.joined.get(identity.number)
        if joined not in (None, identity.journal_id):
            differences.append(f"{name}: its journal is not the one that joined.")
    return differences


def lease_differences(settlement: SettlementAudit, shard: ShardAudit) -> list[str]:
    """Nothing is received that was not granted, or credited that was not returned."""
    number = shard.identity.number
    differences = []
    if shard.books.forced_minor > settlement.forced_by[number]:
        differences.append(
            f"shard {number} captured {shard.books.forced_minor} by force beyond what "
            f"lenders had, settlement raised {settlement.forced_by[number]} for it."
        )
    received = sum(lease.forced_minor for lease in shard.books.slices.values())
    if received > settlement.forced_by[number]:
        differences.append(
            f"shard {number} received {received} raised by force, settlement raised "
            f"{settlement.forced_by[number]} for it."
        )
    known = settlement.lenders.keys() | settlement.caps.keys()
    for lender_id in sorted(known | shard.books.slices.keys()):
        lender = settlement.pool(lender_id)
        lease = shard.books.slices.get(lender_id)
        granted = lender.granted.get(number, 0) if lender else 0
        credited = lender.credited.get(number, 0) if lender else 0
        received = lease.received_minor if lease else 0
        returned = lease.returned_minor if lease else 0
        if received > granted:
            differences.append(
                f"shard {number} received {received} of lender {lender_id}, "
                f"settlement granted {granted}."
            )
        if credited > returned:
            differences.append(
                f"settlement credited {credited} of lender {lender_id} to shard "
                f"{number}, which returned {returned}."
            )
    return differences


def grant_differences(settlement: SettlementAudit, shard: ShardAudit) -> list[str]:
    """What settlement has seen of a shard's journal is in it: no old copy."""
    number = shard.identity.number
    seen = [
        (grant.shard_sequence, grant.shard_epoch)
        for grant in settlement.grants
        if grant.shard == number
    ]
    if number in settlement.progress:
        progress = settlement.progress[number]
        seen.append((progress.sequence, progress.epoch))
    return [
        f"settlement has seen record {sequence} of shard {number} in "
        f"epoch {epoch}; the shard's journal has not."
        for sequence, epoch in seen
        if sequence > shard.rows.sequence or shard.rows.epoch_at(sequence) > epoch
    ]


def reference_differences(settlement: SettlementAudit, shard: ShardAudit) -> list[str]:
    """A shard has settlement's reference data, as far as it has come."""
    facts = shard.books.facts
    if facts == settlement.facts[: len(facts)]:
        return []
    return [f"shard {shard.identity.number}: its reference data is not settlement's."]


def day_differences(settlement: SettlementAudit, shard: ShardAudit) -> list[str]:
    """A shard's report of a day is what its own journal ends that day with."""
    number = shard.identity.number
    differences = []
    for day, cut in settlement.days.items():
        report = cut.reports.get(number)
        end = shard.books.day_ends.get(day)
        if report is None:
            continue
        if end is None or end[0] != report.sequence:
            differences.append(
                f"shard {number} reported {day} to end with record {report.sequence}, "
                f"its journal says {None if end is None else end[0]}."
            )
        if end is not None:
            differences += [
                f"shard {number}, as reported to settlement: {day} has {text}."
                for text in differing_totals(report.totals, end[1])
            ]
    unknown = shard.books.day_ends.keys() - settlement.days.keys()
    differences += [
        f"shard {number} ended {day}, which settlement has not cut."
        for day in sorted(unknown)
    ]
    return differences


def lender_figures(
    settlement: SettlementAudit, shards: Sequence[ShardAudit]
) -> dict[str, LenderFigures]:
    """Every lender's money, summed over settlement and all shards."""
    figures = {}
    for lender_id, lender in settlement.lenders.items():
        sums = figures[lender_id] = LenderFigures(
            lender.currency,
            lender.deposit_minor,
            lender.advance_line_minor,
            lender.forced_minor,
            lender.unleased_minor,
        )
        sums.in_flight_minor = lender.leased_minor
        for shard in shards:
            lease = shard.books.slices.get(lender_id)
            if lease is None:
                continue
            sums.in_flight_minor -= lease.received_minor - lease.returned_minor
            sums.free_minor += lease.free_minor
            sums.authorized_minor += lease.authorized_minor
            sums.captured_minor += lease.captured_minor
            sums.refunded_minor += lease.refunded_minor
    return figures


def invariant_differences(
    settlement: SettlementAudit,
    shards: Sequence[ShardAudit],
    lenders: dict[str, LenderFigures],
) -> list[str]:
    """Invariant 1, with what is committed taken from the ledger of all."""
    ledgers = [settlement.ledger, *(shard.books.ledger for shard in shards)]
    differences = []
    for lender_id, sums in lenders.items():
        authorized = -sum(x.get(f"lender_authorized:{lender_id}", 0) for x in ledgers)
        reserve = -sum(x.get(f"lender_reserve:{lender_id}", 0) for x in ledgers)
        spent = sums.deposit_minor - reserve
        if sums.headroom_minor + authorized + spent != (
            sums.deposit_minor + sums.advance_line_minor + sums.forced_minor
        ):
            differences.append(
                f"lender {lender_id}: unleased {sums.unleased_minor} + in flight "
                f"{sums.in_flight_minor} + free {sums.free_minor} + authorized "
                f"{authorized} + captured less refunded {spent} is not deposit "
                f"{sums.deposit_minor} + advance line {sums.advance_line_minor} + "
                f"forced {sums.forced_minor}."
            )
    return differences


def withholding_differences(
    settlement: SettlementAudit, shards: Sequence[ShardAudit]
) -> list[str]:
    """Every repayment out of a payout is a withholding, whole and only once.

    What is withheld and neither repaid nor released is still under way; the
    ledgers of all must have as much set aside.
    """
    payouts = settlement.payouts
    differences = repaid_differences(payouts, shards)
    ledgers = [settlement.ledger, *(shard.books.ledger for shard in shards)]
    open_by_ledger: Counter[str] = Counter()
    for withholding_id in open_withholdings(payouts, shards):
        withheld = payouts.withholdings[withholding_id]
        name = f"merchant_withheld:{withheld.merchant_id}:{withheld.currency}"
        open_by_ledger[name] += withheld.amount_minor
    names = {
        name for x in ledgers for name in x if name.startswith("merchant_withheld:")
    }
    for name in sorted(names):
        posted = -sum(ledger.get(name, 0) for ledger in ledgers)
        if posted != open_by_ledger[name]:
            differences.append(
                f"{name} has {posted} posted, {open_by_ledger[name]} is open."
            )
    return differences
