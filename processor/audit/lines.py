"""What a debt consists of, as the audit keeps it: lines, payments, adjustments.

Of each line four sums are kept, always in the order of `COMPONENTS`: what was
charged, what of that went back or was forgiven, and what was paid.
"""

from typing import Final

import msgspec

from processor.events import Allocation, CutLine
from processor.terms import Component

COMPONENTS: Final = (
    Component.PENALTY,
    Component.INTEREST,
    Component.FEE,
    Component.PRINCIPAL,
)
PENALTY, INTEREST, FEE, PRINCIPAL = range(4)


class Line(msgspec.Struct, gc=False):
    """One instalment, by the audit's own reckoning.  Days are numbers."""

    bills_on: int
    due_on: int
    charged: list[int]
    back: list[int]
    paid: list[int]
    penalty_through_on: int = 0

    def left(self, component: int) -> int:
        """What is not paid of one component."""
        return self.charged[component] - self.back[component] - self.paid[component]

    @property
    def principal_minor(self) -> int:
        """Principal that is not paid."""
        return self.left(PRINCIPAL)

    @property
    def charges_minor(self) -> int:
        """All else that is not paid."""
        return self.left(PENALTY) + self.left(INTEREST) + self.left(FEE)


def line_of(cut: CutLine) -> Line:
    """A line as an event cuts it."""
    charged = [0, cut.interest_minor, cut.fee_minor, cut.principal_minor]
    return Line(cut.bills_on, cut.due_on, charged, [0] * 4, [0] * 4)


def paid_of(allocation: Allocation) -> list[int]:
    """An allocation by component."""
    return [
        allocation.penalty_minor,
        allocation.interest_minor,
        allocation.fee_minor,
        allocation.amount_minor,
    ]


class Carry(msgspec.Struct, gc=False):
    """All that was ever split in one way, and each party's part of it."""

    total_minor: int
    parts: list[int]


class Moved(msgspec.Struct, frozen=True, gc=False):
    """What an early settlement took off a purchase's lines; all by index."""

    early: int  # The line it made of that.
    principal: dict[int, int]
    fee: dict[int, int]
    running: int  # Whose interest was charged with it.


class Payment(msgspec.Struct, gc=False):
    """What lowered a debt and may be undone.

    `kind` is repayment, write_off, recovery or claim; `status` is provisional,
    final or reversed.
    """

    kind: str
    account_id: str
    amount_minor: int
    credit_minor: int
    allocations: tuple[Allocation, ...]
    lenders: dict[str, int]  # A recovery's parts.
    guarantor_id: str = ""
    status: str = "provisional"
    overdrawn: dict[int, int] = {}  # What it paid of that, by due day.
    moved: dict[str, Moved] = {}  # By purchase, if it settled early.
    platform_minor: int = 0  # What of a loss or a recovery is the platform's.


class Adjustment(msgspec.Struct, gc=False):
    """A correction, from its proposal on; a debit is negative."""

    account_id: str
    credit_minor: int
    proposed_by: str
    status: str = "proposed"
