"""What settlement leases, as the audit reckons it: reserves and caps."""

from collections.abc import Sequence

import msgspec

from processor import events as e


class Pool(msgspec.Struct, gc=False, kw_only=True):
    """What each shard was granted and gave back, in all, in minor units."""

    granted: dict[int, int] = {}
    credited: dict[int, int] = {}
    overcommitted_minor: int = 0  # The largest ever.

    @property
    def whole_minor(self) -> int:
        """What there is in all, leased or not."""
        raise NotImplementedError

    @property
    def leased_minor(self) -> int:
        """What is with the shards or on the way, used or free."""
        return sum(self.granted.values()) - sum(self.credited.values())

    @property
    def unleased_minor(self) -> int:
        """The whole less what is leased."""
        return self.whole_minor - self.leased_minor


class Lender(Pool, gc=False):
    """One lender's reserve; `spent_minor` is of days that are closed."""

    currency: str
    advance_line_minor: int
    requires_checker: bool
    deposit_minor: int = 0
    forced_minor: int = 0
    spent_minor: int = 0
    daily_cap_minor: int | None = None
    is_suspended: bool = False

    @property
    def whole_minor(self) -> int:
        """Deposit, line, and what forced captures took beyond them."""
        return self.deposit_minor + self.advance_line_minor + self.forced_minor


class DailyCap(Pool, gc=False):
    """What may be authorized for a lender in a day."""

    cap_minor: int

    @property
    def whole_minor(self) -> int:
        """The last cap there was."""
        return self.cap_minor


class ProgramCap(Pool, gc=False):
    """What a lender may have lent out through a program."""

    cap_minor: int
    is_covered: bool = False

    @property
    def whole_minor(self) -> int:
        """The cap."""
        return self.cap_minor


class Movement(msgspec.Struct, gc=False):
    """A funds movement: what was proposed, and whether it is decided."""

    proposed: e.FundsProposed
    status: str = "proposed"


class Certificate(msgspec.Struct, frozen=True):
    """A refusal, with what settlement had leased of the pool at that moment."""

    sequence: int
    day: str
    refused: e.ReserveRefused
    granted: dict[int, int]
    credited: dict[int, int]


def asked_all(cut: Sequence[e.CutPoint], shard_count: int) -> bool:
    """Whether a cut has one point of every shard."""
    return [point.shard for point in cut] == list(range(shard_count))
