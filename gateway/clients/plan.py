"""From card accounts to a plan: what to ask of the server on each business day.

Pure: rows in, plan out; no server, no clock, no randomness.  Nothing in the
plan depends on the server's answers, only which purchases a refund is taken
from does, and that is left to the replay.

What the months say:

- What a month's bill rose by, beside what was paid in the month, was bought:
  `bill - (bill before - paid)`.  April's bill is bought whole: the file does not
  say what was owed before.  For the same reason April's payment is left out.
- Where that is negative, the bill fell by more than was paid: a refund.
- What was paid in a month pays the bill of the month before: in time if the
  month's status is 0 or less, else after the due date and the days of grace.

The amounts are the file's whatever the server declined, so that every request
is known before the first is sent.  A purchase of a month may be declined (the
bill was above the limit, or penalties have been added that the file's bank did
not charge); then the account is that much below the file's bill from there on,
and later payments may become credit.

The reserve suffices: on a purchase day each lender's headroom is brought to its
part of all that is bought that day, and `_MARGIN_MINOR` for what rounding moves
between lenders.  So every purchase can be foreseen: none is declined for reserve.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from typing import Final

import msgspec

from gateway.clients import lending
from gateway.clients.reader import MONTHS, CardRow, Malformed
from gateway.replays.tables import UnreadableFile
from processor import limits

FIRST_DAY: Final = date(2005, 4, lending.FIRST_DAY_OF_MONTH)
NAMED_MAX: Final = 20  # Malformed rows that are named; all are counted.
_MARGIN_MINOR: Final = 1_000 * lending.MINOR_PER_UNIT


class Kind(StrEnum):
    """What is asked for an account; the value opens its request ids."""

    REPAYMENT = "y"
    PURCHASE = "p"
    REFUND = "r"


class Card(msgspec.Struct, frozen=True, gc=False):
    """An account to open."""

    client_id: str
    account_id: str
    program_id: str
    limit_minor: int
    cycle: lending.Cycle


class Operation(msgspec.Struct, frozen=True, gc=False):
    """One of them in a month, which is the first that `months_later` is 0 of."""

    kind: Kind
    card: Card
    months_later: int
    amount_minor: int


class Day(msgspec.Struct):
    """One business day; headroom targets by lender id, none if none is needed."""

    months_later: int
    day_of_month: int
    targets_minor: dict[str, int]
    operations: list[Operation]


class Plan(msgspec.Struct):
    """All that a file asks for; on the last of the days, to be read."""

    digest: str
    cards: list[Card]
    days: list[Day]
    line_count: int
    malformed: Counter[str]
    named: list[str]
    before_count: int  # Payments of bills that are not in the file.

    @property
    def operation_count(self) -> int:
        """Accounts to open, and all that is asked of them."""
        return len(self.cards) + sum(len(day.operations) for day in self.days)


def build_plan(rows: Iterable[CardRow | Malformed], digest: str) -> Plan:
    """The plan of a file; `digest` of its content goes into every id.

    Raises UnreadableFile when no row has the form.
    """
    plan = Plan(digest, [], _days(), 0, Counter(), [], 0)
    by_date = {(day.months_later, day.day_of_month): day for day in plan.days}
    for row in rows:
        plan.line_count += 1
        if isinstance(row, Malformed):
            plan.malformed[row.cause] += 1
            if len(plan.named) < NAMED_MAX:
                plan.named.append(row.where)
            continue
        plan.before_count += row.paid_units[0] > 0
        card = _card(row, digest)
        plan.cards.append(card)
        for operation, day_of_month in _operations(row, card):
            by_date[operation.months_later, day_of_month].operations.append(operation)
    if not plan.cards:
        first = f"; {plan.named[0]}" if plan.named else ""
        raise UnreadableFile(f"the file has no row of the form{first}")
    for day in plan.days:
        day.targets_minor = _targets(day.operations)
    return plan


def business_date(months_later: int, day_of_month: int, first_day: date) -> date:
    """The date of a day of the plan when its first day is `first_day`."""
    month = first_day.year * 12 + first_day.month - 1 + months_later
    return date(month // 12, month % 12 + 1, day_of_month)


def begins_on(current: date) -> date:
    """The first day a replay may begin with on a server that has reached a day.

    The months keep their shape: it is a day like April's first.
    """
    earliest = max(current, FIRST_DAY)
    is_over = earliest.day > lending.FIRST_DAY_OF_MONTH
    return business_date(int(is_over), lending.FIRST_DAY_OF_MONTH, earliest)


def _days() -> list[Day]:
    days = [
        Day(months_later, day, {}, [])
        for months_later in range(len(MONTHS))
        for day in lending.BUSINESS_DAYS
        if months_later or day >= lending.FIRST_DAY_OF_MONTH
    ]
    return [*days, Day(len(MONTHS) - 1, lending.READING_DAY, {}, [])]


def _card(row: CardRow, digest: str) -> Card:
    return Card(
        row.client_id,
        f"card-{digest}-{row.client_id}",
        lending.program_of(row).program_id,
        row.limit_units * lending.MINOR_PER_UNIT,
        lending.cycle_of(row),
    )


def _operations(row: CardRow, card: Card) -> Iterable[tuple[Operation, int]]:
    """What a row asks for, each with its day of the month."""
    for months_later in range(len(MONTHS)):
        bought_units = row.bills_units[months_later]
        if months_later:
            paid_units = row.paid_units[months_later]
            bought_units -= row.bills_units[months_later - 1] - paid_units
            if paid_units:
                is_late = row.statuses[months_later] >= 1
                cycle = card.cycle
                on = cycle.late_day if is_late else cycle.in_time_day
                yield _operation(Kind.REPAYMENT, card, months_later, paid_units), on
        kind = Kind.PURCHASE if bought_units > 0 else Kind.REFUND
        if bought_units:
            operation = _operation(kind, card, months_later, abs(bought_units))
            yield operation, card.cycle.purchase_day


def _operation(kind: Kind, card: Card, months_later: int, units: int) -> Operation:
    amount_minor = units * lending.MINOR_PER_UNIT
    assert amount_minor <= limits.AMOUNT_MINOR_MAX  # Three cells of nine digits.
    return Operation(kind, card, months_later, amount_minor)


def _targets(operations: list[Operation]) -> dict[str, int]:
    shares = {program.program_id: program.shares_ppm for program in lending.PROGRAMS}
    targets: defaultdict[str, int] = defaultdict(int)
    for operation in operations:
        if operation.kind is Kind.PURCHASE:
            for lender_id, ppm in shares[operation.card.program_id].items():
                targets[lender_id] += -(-operation.amount_minor * ppm // limits.PPM)
    return {name: minor + _MARGIN_MINOR for name, minor in sorted(targets.items())}
