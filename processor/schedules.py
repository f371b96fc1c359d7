"""Instalments: how a purchase is cut into periods, and what each one costs.

Integers of minor units only.  Whatever the method, the principals sum exactly
to what was captured and nothing is negative.  What is rounded, and how:

FLAT_FEE          Each period costs `rate_ppm` of the *original* principal.  The
                  whole fee F = P·rate·n is rounded half up once, then spread as
                  evenly as the principal is.
EQUAL_PRINCIPAL   Period k repays floor(P·k/n) - floor(P·(k-1)/n), so after each
                  period less than one unit is missing from P·k/n.  Its interest
                  is `rate_ppm` of the balance before it, rounded half up.
EQUAL_PAYMENT     The annuity.  The payment A = P·i / (1 - (1+i)^-n) is exact up
                  to one rounding, half up.  Interest as above; the principal is
                  what A leaves, and the last period takes all that is left.
                  Without a rate it is EQUAL_PRINCIPAL.

The last payment of an annuity makes up for what rounding did to the others.
Before it, the balance is at most ((1+i)^k - 1) / i units from the exact one (half
a unit from A and half from interest in each period, growing with the rate): a
few dozen units for an ordinary loan.  Far from ordinary loans the same rule
gives:

- Fewer units than periods.  A is below one unit: if it rounds to 0, the last
  period takes all; if it rounds to 1, the purchase is repaid before the end and
  the periods after that are empty.  One unit over 24 periods is due in the 24th.
- A rate so high that A rounds to the first interest (at 100 % a period: 10^12
  units over 41 periods).  Each period pays interest alone, and the last one the
  whole principal too.

Nothing bounds the principal here: authorizations can be incremented beyond the
largest single amount, and a failed assertion would end the shard.  The integers
are exact at any size; at LIMIT_MINOR_MAX with every other bound reached, a total
still fits a JSON number.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from processor import limits
from processor.apportion import apportion
from processor.calendar import due_after, iso_of, months_later, statement_on_or_after

# All charges of one purchase: at most 100 % of it in every period.
assert limits.LIMIT_MINOR_MAX * (limits.PERIODS_MAX + 1) < limits.JSON_INTEGER_MAX


class Method(StrEnum):
    """What the rate of a plan is applied to, and what is equal in each period."""

    FLAT_FEE = "flat_fee"
    EQUAL_PRINCIPAL = "equal_principal"
    EQUAL_PAYMENT = "equal_payment"


class Payer(StrEnum):
    """Who bears what a plan charges; the principal is always the borrower's."""

    BORROWER = "borrower"
    MERCHANT = "merchant"


class Plan(msgspec.Struct, frozen=True, gc=False):
    """How purchases of one program may be cut; the rate is per period."""

    plan_id: str
    periods: int
    method: Method
    rate_ppm: int
    payer: Payer = Payer.BORROWER


class Period(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What falls due together; the first is number 1."""

    number: int
    principal_minor: int
    interest_minor: int
    fee_minor: int


class Instalments(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What the borrower is billed, and what the merchant bears in his place."""

    periods: tuple[Period, ...]
    subsidy_minor: int


# The schedule.


def instalments(plan: Plan, principal_minor: int) -> Instalments:
    """Cut a purchase by a plan.

    If the merchant pays (贴息), the borrower's periods keep their principals and
    carry no interest or fee; the subsidy is the sum of what they would have
    carried.  An annuity's principals rise, so a plan that should show equal
    instalments without interest is better given another method.
    """
    periods = schedule(plan.method, plan.periods, plan.rate_ppm, principal_minor)
    if plan.payer is Payer.BORROWER:
        return Instalments(periods, 0)
    return Instalments(
        tuple([Period(p.number, p.principal_minor, 0, 0) for p in periods]),
        sum([p.interest_minor + p.fee_minor for p in periods]),
    )


def schedule(
    method: Method, periods: int, rate_ppm: int, principal_minor: int
) -> tuple[Period, ...]:
    """The periods of a purchase, in order, with all that the plan charges."""
    assert 1 <= periods <= limits.PERIODS_MAX
    assert 0 <= rate_ppm <= limits.PPM
    assert principal_minor >= 0
    if method is Method.FLAT_FEE:
        return _flat_fee(periods, rate_ppm, principal_minor)
    if method is Method.EQUAL_PAYMENT and rate_ppm:
        return _equal_payment(periods, rate_ppm, principal_minor)
    return _equal_principal(periods, rate_ppm, principal_minor)


def _flat_fee(periods: int, rate_ppm: int, principal_minor: int) -> tuple[Period, ...]:
    fee_minor = _half_up(principal_minor * rate_ppm * periods, limits.PPM)
    parts = zip(
        _evenly(principal_minor, periods), _evenly(fee_minor, periods), strict=True
    )
    return tuple(
        [Period(k, principal, 0, fee) for k, (principal, fee) in enumerate(parts, 1)]
    )


def _equal_principal(
    periods: int, rate_ppm: int, principal_minor: int
) -> tuple[Period, ...]:
    left_minor = principal_minor
    cut = []
    for number, part_minor in enumerate(_evenly(principal_minor, periods), 1):
        cut.append(Period(number, part_minor, interest_on(left_minor, rate_ppm), 0))
        left_minor -= part_minor
    assert left_minor == 0
    return tuple(cut)


def _equal_payment(
    periods: int, rate_ppm: int, principal_minor: int
) -> tuple[Period, ...]:
    payment_minor = annuity_payment(periods, rate_ppm, principal_minor)
    left_minor = principal_minor
    cut = []
    for number in range(1, periods):
        interest_minor = interest_on(left_minor, rate_ppm)
        # Never negative: the exact payment is above the first interest, rounding
        # keeps that order, and interest only falls from there.
        part_minor = payment_minor - interest_minor
        assert part_minor >= 0
        if part_minor > left_minor:
            part_minor = left_minor
        cut.append(Period(number, part_minor, interest_minor, 0))
        left_minor -= part_minor
    cut.append(Period(periods, left_minor, interest_on(left_minor, rate_ppm), 0))
    return tuple(cut)


def annuity_payment(periods: int, rate_ppm: int, principal_minor: int) -> int:
    """P·i·(1+i)^n / ((1+i)^n - 1) with i in parts per million, rounded half up."""
    assert rate_ppm > 0
    grown = (limits.PPM + rate_ppm) ** periods
    return _half_up(
        principal_minor * rate_ppm * grown,
        limits.PPM * (grown - limits.PPM**periods),
    )


def interest_on(balance_minor: int, rate_ppm: int) -> int:
    """One period's interest on what is open, rounded half up.

    A period is billed on the balance that is really open then: after refunds
    and early repayments this, and not the schedule, says what is owed.
    """
    assert balance_minor >= 0
    return _half_up(balance_minor * rate_ppm, limits.PPM)


def _evenly(total_minor: int, periods: int) -> list[int]:
    """Parts that differ by one at most; their running sum is floor(total·k/n)."""
    reached = [total_minor * k // periods for k in range(periods + 1)]
    return [reached[k] - reached[k - 1] for k in range(1, periods + 1)]


def _half_up(numerator: int, denominator: int) -> int:
    """The nearest integer to a fraction that is not negative; a half goes up."""
    return (2 * numerator + denominator) // (2 * denominator)


# Refunds.


def recut(
    principals: Sequence[int],
    captured_minor: int,
    refunded_so_far: Sequence[int],
    amount_minor: int,
) -> tuple[int, ...]:
    """How much of a refund comes off each period's principal.

    `principals` are those of the schedule as it was captured, `refunded_so_far`
    is the sum of what this function gave for earlier refunds of it.  The rule is
    `apportion`'s: on the way each period is less than a unit from proportional,
    in the end each has back exactly its principal, and none ever more.  Billed
    periods take part like open ones, otherwise the inverse would depend on when
    the refund came; what falls on a repaid one is the borrower's credit.
    """
    assert sum(principals) == captured_minor
    assert 0 <= amount_minor <= captured_minor - sum(refunded_so_far)
    return apportion(principals, captured_minor, refunded_so_far, amount_minor)


def fee_back(charged_minor: int, captured_minor: int, refunded_after_minor: int) -> int:
    """How much of a fee, subsidy or merchant fee is to be back after a refund.

    A running total, not the part of one refund: book the difference to what went
    back before.  Rounded down on the way (never a whole unit less than
    proportional, never more), exact when everything is refunded.  If more was
    captured since the last refund, the total may be below what already went back;
    then book nothing, and the end is still exact.
    """
    assert charged_minor >= 0
    assert 0 <= refunded_after_minor <= captured_minor
    assert captured_minor > 0
    return charged_minor * refunded_after_minor // captured_minor


# The trial calculation: what people see before they buy.


class TrialPeriod(msgspec.Struct, frozen=True, gc=False):
    """One instalment with its dates (ISO); `total_minor` is what is due then."""

    number: int
    statement_on: str
    due_on: str
    principal_minor: int
    interest_minor: int
    fee_minor: int
    total_minor: int


class Trial(msgspec.Struct, frozen=True, gc=False):
    """What a purchase would cost the borrower; the subsidy is the merchant's."""

    periods: tuple[TrialPeriod, ...]
    principal_minor: int
    interest_minor: int
    fee_minor: int
    total_minor: int
    subsidy_minor: int


def trial(
    plan: Plan, principal_minor: int, captured_on: int, statement_day: int, due_day: int
) -> Trial:
    """The bill of a purchase captured on a day, by `instalments` itself.

    Period k is billed on the k-th statement date from the day of capture on, that
    day included, and due on the first due day after it.
    """
    cut = instalments(plan, principal_minor)
    first = statement_on_or_after(captured_on, statement_day)
    periods = tuple([_dated(period, first, due_day) for period in cut.periods])
    interest_minor = sum([p.interest_minor for p in periods])
    fee_minor = sum([p.fee_minor for p in periods])
    return Trial(
        periods=periods,
        principal_minor=principal_minor,
        interest_minor=interest_minor,
        fee_minor=fee_minor,
        total_minor=principal_minor + interest_minor + fee_minor,
        subsidy_minor=cut.subsidy_minor,
    )


def _dated(period: Period, first_statement_on: int, due_day: int) -> TrialPeriod:
    statement_on = months_later(first_statement_on, period.number - 1)
    return TrialPeriod(
        number=period.number,
        statement_on=iso_of(statement_on),
        due_on=iso_of(due_after(statement_on, due_day)),
        principal_minor=period.principal_minor,
        interest_minor=period.interest_minor,
        fee_minor=period.fee_minor,
        total_minor=period.principal_minor + period.interest_minor + period.fee_minor,
    )
