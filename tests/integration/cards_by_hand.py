"""What six months of real credit cards must come to, calculated a second time.

Reads the file, lays out the months and keeps every account's books by itself:
nothing here comes from the processor or from the replay.  The terms and the
calendar stand here once more, as figures.  One account after the other, one
calendar day after the other, one unpaid purchase after the other.

The file's months: the bill of a month is what is owed on its statement day, the
payment of a month pays the bill of the month before, and what was bought in a
month is what the bill rose by beside that payment.
"""

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from zlib import crc32

PPM = 1_000_000
MONTHS = ("apr", "may", "jun", "jul", "aug", "sep")
FIRST_MONTH = 4
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Card:
    """The terms of a program, as they were agreed."""

    program_id: str
    grace_days: int
    penalty_ppm: int
    minimum_ppm: int
    order: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Cycle:
    """The days of the month on which things happen to an account."""

    statement: int
    due: int
    in_time: int
    late: int
    buys: int


_DEFAULT = tuple(
    (due, what)
    for due in ("past_due", "due", "in_advance")
    for what in ("penalty", "principal")
)
CLASSIC = Card("cards-classic", 3, 500, 30_000, _DEFAULT)
GOLD = Card(
    "cards-gold",
    5,
    400,
    20_000,
    (
        ("past_due", "principal"),
        ("due", "principal"),
        ("past_due", "penalty"),
        ("due", "penalty"),
        ("in_advance", "principal"),
    ),
)
GOLD_FROM = 150_000  # Dollars of limit.
CYCLES = (Cycle(20, 8, 7, 16, 18), Cycle(25, 13, 12, 21, 23))
DAYS_OF_MONTH = (7, 12, 16, 18, 21, 23, 26)
READ_ON = 27  # In the last month, after all its statements.


@dataclass
class Bought:
    """An approved purchase; `left` is the principal not paid."""

    amount: int
    bills_on: date
    due_on: date
    left: int
    refundable: int
    penalty: int = 0
    penalty_days: dict[date, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Bill:
    """A statement as it must be."""

    statement_on: date
    due_on: date
    principal: int
    past_due: int
    credit: int
    due: int
    minimum: int
    outstanding: int
    carried: int


@dataclass(frozen=True)
class Foreseen:
    """An answer as it must be: `missing` of a decline, `paid` of a repayment."""

    on: date
    command: str
    amount: int
    approved: bool = True
    missing: int = 0
    paid: tuple[int, int, int] = (0, 0, 0)  # Principal, penalty, credit.


@dataclass
class Books:
    """One account, day by day."""

    account: str
    card: Card
    cycle: Cycle
    limit: int
    purchases: list[Bought] = field(default_factory=list)
    credit: int = 0
    next_statement: date | None = None
    minimum_left: int = 0
    bills: list[Bill] = field(default_factory=list)
    answers: list[Foreseen] = field(default_factory=list)
    unmatched: int = 0

    @property
    def outstanding(self) -> int:
        """Principal not paid."""
        return sum(bought.left for bought in self.purchases)

    @property
    def charges(self) -> int:
        """Penalties not paid."""
        return sum(bought.penalty for bought in self.purchases)

    def unpaid(self) -> list[Bought]:
        """Purchases on which anything is owed, in the order they were made."""
        return [b for b in self.purchases if b.left or b.penalty]

    # What is asked.

    def buy(self, today: date, amount: int) -> None:
        """Approved if the limit has room; credit pays at once."""
        missing = amount - (self.limit - self.outstanding + self.credit)
        if missing > 0:
            self.answers.append(Foreseen(today, "authorize", amount, False, missing))
            return
        self.answers.append(Foreseen(today, "authorize", amount))
        bills_on = _next(today, self.cycle.statement)
        due_on = _next(bills_on + DAY, self.cycle.due)
        by_credit = min(amount, max(0, self.credit))
        self.credit -= by_credit
        self.purchases.append(
            Bought(amount, bills_on, due_on, amount - by_credit, amount)
        )
        if self.next_statement is None:
            self.next_statement = bills_on

    def give_back(self, today: date, amount: int) -> None:
        """The latest purchases first, each as far as it was not given back yet."""
        for bought in reversed(self.purchases):
            part = min(amount, bought.refundable)
            if not part:
                continue
            self.answers.append(Foreseen(today, "refund", part))
            bought.refundable -= part
            off_debt = min(part, bought.left)
            bought.left -= off_debt
            if bought.bills_on < today:
                self.minimum_left -= off_debt  # What is not owed is not asked for.
            self.credit += part - off_debt
            amount -= part
        self.unmatched += amount

    def pay(self, today: date, amount: int) -> None:
        """By the card's order; what is over is credit."""
        principal, penalty = self._spread(today, amount, billed_only=False)
        credit = amount - principal - penalty
        self.credit += credit
        paid = (principal, penalty, credit)
        self.answers.append(Foreseen(today, "repay", amount, paid=paid))

    def _spread(
        self, today: date, amount: int, *, billed_only: bool
    ) -> tuple[int, int]:
        principal = penalty = 0
        owed = sorted(self.unpaid(), key=lambda bought: bought.due_on)
        for due, what in self.card.order:
            for bought in owed:
                if _due(bought, today) != due or (billed_only and due == "in_advance"):
                    continue
                if what == "principal":
                    part = min(amount, bought.left)
                    bought.left -= part
                    principal += part
                else:
                    part = min(amount, bought.penalty)
                    bought.penalty -= part
                    penalty += part
                amount -= part
                if due != "in_advance":
                    self.minimum_left -= part
        return principal, penalty

    # What days bring.

    def begin(self, before: date, today: date) -> None:
        """All that the days from `before` on, which have ended, bring."""
        if self.next_statement is None:
            return
        if self.credit > 0:
            self.credit -= sum(self._spread(today, self.credit, billed_only=True))
        day = before
        while day < today:
            self._end(day)
            day += DAY

    def _end(self, day: date) -> None:
        grace = timedelta(days=self.card.grace_days)
        if self.minimum_left <= 0 and self.bills:
            last = self.bills[-1]
            for bought in self.unpaid():
                if bought.left and bought.due_on == last.due_on <= day:
                    following = _next(last.statement_on + DAY, self.cycle.statement)
                    bought.due_on = _next(following + DAY, self.cycle.due)
        late = [b for b in self.unpaid() if b.left and b.due_on + grace <= day]
        for bought in late:
            cost = bought.left * self.card.penalty_ppm // PPM
            if cost and bought.due_on + grace < day:
                bought.penalty += cost
                bought.penalty_days[day] = cost
        if day == self.next_statement:
            self._bill(day)

    def _bill(self, day: date) -> None:
        new = sum(b.left for b in self.purchases if b.bills_on == day)
        before = [b for b in self.purchases if b.bills_on < day]
        # With the minimum paid, what is left is due once more, and not late.
        carried = [b for b in before if b.due_on > day]
        old = sum(b.left + b.penalty for b in before if b.due_on <= day)
        again = sum(b.left for b in carried)
        penalties = sum(b.penalty for b in carried)
        credit = max(0, self.credit)
        part = -(-(new + again) * self.card.minimum_ppm // PPM)
        minimum = max(0, old + penalties + part - credit)
        due_on = _next(day + DAY, self.cycle.due)
        carry = again + penalties
        due = max(0, old + carry + new - credit)
        self.bills.append(
            Bill(day, due_on, new, old, credit, due, minimum, self.outstanding, carry)
        )
        # Credit is still to pay its part.
        self.minimum_left = minimum + min(credit, old + carry + new)
        is_owed = bool(self.unpaid())
        self.next_statement = (
            _next(day + DAY, self.cycle.statement) if is_owed else None
        )

    def past_due(self, today: date) -> tuple[int, int]:
        """What is past due, and for how many days."""
        late = [b for b in self.unpaid() if _due(b, today) == "past_due"]
        days = max(((today - b.due_on).days for b in late), default=0)
        return sum(b.left + b.penalty for b in late), days


def _due(bought: Bought, today: date) -> str:
    if bought.bills_on >= today:
        return "in_advance"
    return "past_due" if bought.due_on < today else "due"


def _next(day: date, day_of_month: int) -> date:
    """The first date from `day` on with that day of the month."""
    while day.day != day_of_month:
        day += DAY
    return day


def business_days(first_month: date) -> list[date]:
    """The days on which anything is asked; on the last, accounts are read."""
    days = []
    for later in range(len(MONTHS)):
        month = first_month.month - 1 + later
        start = date(first_month.year + month // 12, month % 12 + 1, 1)
        days += [start.replace(day=d) for d in DAYS_OF_MONTH]
    opened = next(i for i, day in enumerate(days) if day.day == CYCLES[0].buys)
    return [*days[opened:], days[-1].replace(day=READ_ON)]


def rows_of(file: Path) -> Iterator[dict[str, str]]:
    """The rows of the file; plain or packed."""
    packed = file.read_bytes()[:2] == b"\x1f\x8b"
    with gzip.open(file, "rt") if packed else file.open() as stream:
        yield from csv.DictReader(stream)


def books_of(row: dict[str, str], days: list[date]) -> Books:
    """One row of the file, through all its months."""
    limit = int(row["limit_bal"])
    cycle = CYCLES[crc32(row["id"].encode()) % 2]
    card = GOLD if limit >= GOLD_FROM else CLASSIC
    books = Books(row["id"], card, cycle, 100 * limit)
    bills = [100 * int(row[f"bill_amt_{month}"]) for month in MONTHS]
    paid = [100 * int(row[f"pay_amt_{month}"]) for month in MONTHS]
    first = (days[0].year * 12 + days[0].month) - 1
    for before, today in zip([days[0], *days], days, strict=False):
        books.begin(before, today)
        number = today.year * 12 + today.month - 1 - first
        if number:
            is_late = int(row[f"pay_{MONTHS[number]}"]) >= 1
            if today.day == (cycle.late if is_late else cycle.in_time) and paid[number]:
                books.pay(today, paid[number])
        if today.day == cycle.buys:
            bought = bills[number]
            if number:
                bought -= bills[number - 1] - paid[number]
            if bought > 0:
                books.buy(today, bought)
            elif bought < 0:
                books.give_back(today, -bought)
    return books
