"""What settlement knows: lenders and their reserve, leases, days, registers."""

from enum import StrEnum

import msgspec

from processor.commands import Direction
from processor.events import (
    DayTotals,
    LenderTotals,
    MerchantTotals,
    PartyTotals,
    PayerTotals,
    ProgramRegistered,
    ReferenceFact,
)
from processor.terms import MerchantTerms


class ShardLease(msgspec.Struct, gc=False):
    """What one shard leases of one pool: totals since ever, minor units.

    `forced_minor` of what was granted was raised for its forced captures.
    """

    granted_minor: int = 0
    credited_minor: int = 0
    forced_minor: int = 0


class Pool(msgspec.Struct, gc=False, kw_only=True):
    """What is leased in slices; what is not with a shard is `unleased_minor`."""

    unleased_minor: int = 0
    leases: dict[int, ShardLease] = {}

    @property
    def leased_minor(self) -> int:
        """Headroom that is with the shards, used or free."""
        return sum(
            lease.granted_minor - lease.credited_minor for lease in self.leases.values()
        )

    @property
    def whole_minor(self) -> int:
        """What unleased and leased make up together, always."""
        raise NotImplementedError

    @property
    def grantable_minor(self) -> int:
        """What may be leased now, for purchases to come."""
        return self.unleased_minor


class Lender(Pool, gc=False):
    """A lender, and its reserve as a pool.

    `forced_minor` is what forced captures made the platform pay beyond deposit
    and line.  `spent_minor` was captured less refunded on days that are closed.
    """

    lender_id: str
    currency: str
    name: str
    registered_on: str
    advance_line_minor: int
    deposit_minor: int = 0
    forced_minor: int = 0
    spent_minor: int = 0
    daily_cap_minor: int | None = None
    is_suspended: bool = False
    requires_checker: bool = False

    @property
    def whole_minor(self) -> int:
        """Deposit, advance line, and what was forced beyond them."""
        return self.deposit_minor + self.advance_line_minor + self.forced_minor


class DailyCap(Pool, gc=False):
    """What may be authorized for a lender in a day, as a pool.

    It outlives the cap: what is leased of it when the cap is lifted comes back
    when there is one again.
    """

    cap_minor: int = 0

    @property
    def whole_minor(self) -> int:
        """The last cap there was."""
        return self.cap_minor


class ProgramCap(Pool, gc=False):
    """What a lender may have lent out through a program, as a pool.

    Until it is covered, shards may have lent out more than they lease of it:
    what was lent before.  Nothing is granted for new purchases until all of
    that fits, and is leased.
    """

    program_id: str
    lender_id: str
    cap_minor: int
    is_covered: bool = False

    @property
    def whole_minor(self) -> int:
        """The cap."""
        return self.cap_minor

    @property
    def grantable_minor(self) -> int:
        """Nothing, before all that is lent out is known to fit."""
        return self.unleased_minor if self.is_covered else 0


class MovementStatus(StrEnum):
    """Where a funds movement is in its life."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"


class Movement(msgspec.Struct, gc=False):
    """Money of a lender that one caller wants moved and another approves."""

    movement_id: str
    lender_id: str
    direction: Direction
    amount_minor: int
    reference: str
    proposed_by: str
    proposed_on: str
    status: MovementStatus = MovementStatus.PROPOSED
    decided_by: str = ""
    decided_on: str = ""


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


class Merchant(msgspec.Struct, gc=False):
    """A merchant and the terms in force."""

    name: str
    terms: MerchantTerms | None = None
    version: int = 1


class Payable(msgspec.Struct, gc=False):
    """What a merchant is owed in one currency, in minor units, since ever.

    `closed_minor` is the payout of all closed days; of it `withheld_minor` has
    repaid its customers' accounts, or is about to.
    """

    closed_minor: int = 0
    withheld_minor: int = 0

    @property
    def payable_minor(self) -> int:
        """What is still to be paid out; negative when refunds outweigh."""
        return self.closed_minor - self.withheld_minor


class Withholding(msgspec.Struct, gc=False):
    """What was withheld from a merchant for one repayment, in minor units."""

    merchant_id: str
    currency: str
    withheld_minor: int
    is_released: bool = False


class SettlementState(msgspec.Struct, gc=False):
    """All that settlement's journal says."""

    shard_count: int
    day: str
    sequence: int = 0
    refusals: int = 0
    lenders: dict[str, Lender] = {}
    programs: dict[str, ProgramRegistered] = {}
    merchants: dict[str, Merchant] = {}
    registered_on: dict[str, str] = {}  # "program:<id>" or "merchant:<id>" → day.
    reference: list[ReferenceFact] = []  # In order; its length is the version.
    days: dict[str, BusinessDay] = {}
    shards: dict[int, ShardSeen] = {}
    daily_caps: dict[str, DailyCap] = {}  # By pool id.
    program_pools: dict[str, ProgramCap] = {}  # By pool id, those in force.
    movements: dict[str, Movement] = {}
    proposed_count: int = 0

    def find_pool(self, pool_id: str) -> Pool | None:
        """A lender's reserve or a cap; None if there is none, or no more."""
        return (
            self.lenders.get(pool_id)
            or self.daily_caps.get(pool_id)
            or self.program_pools.get(pool_id)
        )

    def pool_ids(self) -> tuple[str, ...]:
        """Every pool there is."""
        return (*self.lenders, *self.daily_caps, *self.program_pools)

    def program_caps_of(self, program_id: str) -> dict[str, ProgramCap]:
        """The caps of a program's lenders, by pool."""
        return {
            pool_id: cap
            for pool_id, cap in self.program_pools.items()
            if cap.program_id == program_id
        }

    def pool(self, pool_id: str) -> Pool:
        """A lender's reserve or a cap, which must exist."""
        found = self.find_pool(pool_id)
        assert found is not None
        return found

    payables: dict[str, dict[str, Payable]] = {}  # Merchant → currency.
    withholdings: dict[str, Withholding] = {}

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
    for party_id, of_party in part.parties.items():
        for currency, party in of_party.items():
            parties = total.parties.setdefault(party_id, {})
            _add(parties.setdefault(currency, PartyTotals()), party)
    for payer_id, of_payer in part.payers.items():
        for currency, payer in of_payer.items():
            payers = total.payers.setdefault(payer_id, {})
            _add(payers.setdefault(currency, PayerTotals()), payer)
    total.authorized_count += part.authorized_count
    total.declined_count += part.declined_count
    total.repaid_minor += part.repaid_minor
    total.repaid_count += part.repaid_count
    total.returned_minor += part.returned_minor
    total.returned_count += part.returned_count


def _add(total: msgspec.Struct, part: msgspec.Struct) -> None:
    for name in part.__struct_fields__:
        more = getattr(part, name)
        if isinstance(more, dict):  # By currency.
            sums = getattr(total, name)
            for currency, amount_minor in more.items():
                sums[currency] = sums.get(currency, 0) + amount_minor
        else:
            setattr(total, name, getattr(total, name) + more)
