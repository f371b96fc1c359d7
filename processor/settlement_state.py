"""What settlement knows: lenders and their reserve, leases, days, registers."""

import msgspec

from processor.events import (
    DayTotals,
    LenderTotals,
    MerchantTotals,
    ProgramRegistered,
    ReferenceFact,
)


class ShardLease(msgspec.Struct, gc=False):
    """What one shard leases of one lender: totals since ever, minor units."""

    granted_minor: int = 0
    credited_minor: int = 0


class Lender(msgspec.Struct, gc=False):
    """A lender's reserve; what is not leased to a shard is `unleased_minor`."""

    lender_id: str
    currency: str
    name: str
    registered_on: str
    advance_line_minor: int
    deposit_minor: int = 0
    unleased_minor: int = 0
    leases: dict[int, ShardLease] = {}

    @property
    def leased_minor(self) -> int:
        """Headroom that is with the shards, used or free."""
        return sum(
            lease.granted_minor - lease.credited_minor for lease in self.leases.values()
        )


class BusinessDay(msgspec.Struct, gc=False):
    """A day that was cut; closed when every shard has reported."""

    day: str
    next_day: str
    reported: dict[int, int] = {}  # Shard → its last sequence of the day.
    totals: DayTotals = msgspec.field(default_factory=DayTotals)
    is_closed: bool = False


class ShardSeen(msgspec.Struct, gc=False):
    """How far settlement knows a shard's journal to have come."""

    journal_id: str
    epoch: int = 0
    sequence: int = 0


class SettlementState(msgspec.Struct, gc=False):
    """All that settlement's journal says."""

    shard_count: int
    day: str
    sequence: int = 0
    refusals: int = 0
    lenders: dict[str, Lender] = {}
    programs: dict[str, ProgramRegistered] = {}
    merchants: dict[str, str] = {}
    registered_on: dict[str, str] = {}  # "program:<id>" or "merchant:<id>" → day.
    reference: list[ReferenceFact] = []  # In order; its length is the version.
    days: dict[str, BusinessDay] = {}
    shards: dict[int, ShardSeen] = {}

    @property
    def closing_day(self) -> BusinessDay | None:
        """The day that is cut and not closed yet; at most one."""
        if not self.days:
            return None
        last = next(reversed(self.days.values()))
        return None if last.is_closed else last


def add_totals(total: DayTotals, part: DayTotals) -> None:
    """Add one shard's day to the totals of all."""
    for lender_id, lender in part.lenders.items():
        _add(total.lenders.setdefault(lender_id, LenderTotals()), lender)
    for merchant_id, merchant in part.merchants.items():
        _add(total.merchants.setdefault(merchant_id, MerchantTotals()), merchant)
    total.authorized_count += part.authorized_count
    total.declined_count += part.declined_count
    total.repaid_minor += part.repaid_minor
    total.repaid_count += part.repaid_count
    total.returned_minor += part.returned_minor
    total.returned_count += part.returned_count


def _add(total: msgspec.Struct, part: msgspec.Struct) -> None:
    for name in part.__struct_fields__:
        setattr(total, name, getattr(total, name) + getattr(part, name))
