"""How a plan cuts a purchase, reckoned once more, in fractions.

Nothing is rounded before the rule says so: the principals of a purchase sum to
it, a fee is rounded once for the whole purchase, interest once a period.
"""

from fractions import Fraction
from math import floor

import msgspec

from processor import limits

FLAT_FEE, EQUAL_PAYMENT = "flat_fee", "equal_payment"


class Plan(msgspec.Struct, frozen=True, gc=False):
    """What the audit must know of a plan."""

    periods: int
    method: str
    rate_ppm: int
    is_merchants: bool  # He bears what it charges.

    @property
    def bears_interest(self) -> bool:
        """Whether the borrower is billed interest on the balance."""
        return self.method != FLAT_FEE and not self.is_merchants

    @property
    def rate(self) -> Fraction:
        return Fraction(self.rate_ppm, limits.PPM)


class Cut(msgspec.Struct, frozen=True, gc=False):
    """Each period's principal and fee, and what the merchant bears."""

    principals: list[int]
    fees: list[int]
    borne_minor: int


def nearest(amount: Fraction) -> int:
    """The nearest integer; a half goes up."""
    return floor(amount + Fraction(1, 2))


def evenly(total_minor: int, periods: int) -> list[int]:
    """Parts whose running sum is the total's proportion, rounded down."""
    running = [floor(Fraction(total_minor * k, periods)) for k in range(periods + 1)]
    return [running[k + 1] - running[k] for k in range(periods)]


def cut_of(plan: Plan, amount_minor: int) -> Cut:
    """How a purchase of this amount is to be cut."""
    n = plan.periods
    if n < 1:
        return Cut([], [], 0)
    none = [0] * n
    if plan.method == FLAT_FEE:
        principals, interests = evenly(amount_minor, n), none
        fees = evenly(nearest(amount_minor * plan.rate * n), n)
    else:
        is_annuity = plan.method == EQUAL_PAYMENT and plan.rate_ppm > 0
        principals = (
            _annuity(plan, amount_minor) if is_annuity else evenly(amount_minor, n)
        )
        interests, fees = _interests(plan, principals), none
    if plan.is_merchants:
        return Cut(principals, none, sum(fees) + sum(interests))
    return Cut(principals, fees, 0)


def _annuity(plan: Plan, amount_minor: int) -> list[int]:
    """What a payment that is always the same leaves after the interest."""
    n, i = plan.periods, plan.rate
    grown = (1 + i) ** n
    payment_minor = nearest(Fraction(amount_minor * i * grown, grown - 1))
    left, principals = amount_minor, []
    for _ in range(n - 1):
        principals.append(min(left, payment_minor - nearest(left * i)))
        left -= principals[-1]
    return [*principals, left]


def _interests(plan: Plan, principals: list[int]) -> list[int]:
    """Interest on what is open before each period, if all is paid in time."""
    left, interests = sum(principals), []
    for principal in principals:
        interests.append(nearest(left * plan.rate))
        left -= principal
    return interests
