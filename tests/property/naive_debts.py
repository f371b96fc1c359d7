"""What one account owes, day by day, worked out the slow and obvious way.

A borrower's ledger as a clerk would keep it: every instalment is a small record
with dates from `datetime`, every question is answered by walking over all of
them, and every day is lived through one after the other.  It shares no code with
the processor: no calendar, schedules, debts, allocation or billing.

Interest by balance, late days and statements are the clerk's own work.  How an
amount is split over lines of a refund is believed from the event after it was
checked against exact fractions.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

PPM = 1_000_000
MATRIX = [
    (due, component)
    for due in ("past_due", "due", "in_advance")
    for component in ("penalty", "interest", "fee", "principal")
]


@dataclass
class Terms:
    """What the program says."""

    grace_days: int = 0
    penalty_ppm: int = 0
    minimum_ppm: int = PPM
    order: list[tuple[str, str]] = field(default_factory=lambda: list(MATRIX))
    early_ppm: int = 0
    extension_ppm: int = 0


@dataclass
class Instalment:
    """One line: what it brought, what went back, what was paid of it."""

    purchase: str
    number: int
    bills: date
    due: date
    principal: int
    fee: int = 0
    rate_ppm: int = 0  # Interest on the balance, when billed.
    by_plan: bool = False
    interest: int = 0
    penalty: int = 0
    refunded: int = 0
    fee_back: int = 0
    paid: dict[str, int] = field(default_factory=dict)
    late_through: date = date.min

    def left(self, component: str) -> int:
        total = {
            "principal": self.principal - self.refunded,
            "fee": self.fee - self.fee_back,
            "interest": self.interest,
            "penalty": self.penalty,
        }[component]
        return total - self.paid.get(component, 0)


@dataclass
class Clerk:
    """One account's ledger."""

    statement_day: int
    due_day: int
    terms: Terms
    today: date
    lines: list[Instalment] = field(default_factory=list)
    made: list[str] = field(default_factory=list)  # Purchases, as they came.
    order: list[str] = field(default_factory=list)  # Those that owe.
    captured: dict[str, int] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)
    credit: int = 0
    # Of a credit below zero, every unit: the due day, once a statement shows it.
    pits: list[date | None] = field(default_factory=list)
    next_statement: date | None = None
    minimum_left: int = 0
    last_due: date | None = None
    statements: list[dict[str, Any]] = field(default_factory=list)
    lived: date = field(init=False)  # Days whose end has been seen to.

    def __post_init__(self) -> None:
        self.lived = self.today - timedelta(days=1)

    # Dates.

    def statement_from(self, day: date) -> date:
        while day.day != self.statement_day:
            day += timedelta(days=1)
        return day

    def due_of(self, statement: date) -> date:
        day = statement + timedelta(days=1)
        while day.day != self.due_day:
            day += timedelta(days=1)
        return day

    def next_month(self, statement: date) -> date:
        return self.statement_from(statement + timedelta(days=1))

    # Sums.

    def principal(self) -> int:
        return sum(line.left("principal") for line in self.lines)

    def charges(self) -> int:
        return sum(
            line.left(component)
            for line in self.lines
            if self.is_billed(line)
            for component in ("fee", "interest", "penalty")
        )

    def billed(self) -> int:
        """All that statements have shown of the lines and nobody has paid."""
        return self.charges() + sum(
            line.left("principal") for line in self.lines if self.is_billed(line)
        )

    def owes(self, purchase: str) -> bool:
        return any(
            line.left(component)
            for line in self.lines
            if line.purchase == purchase
            for component in ("principal", "fee", "interest", "penalty")
        )

    def tidy(self) -> None:
        """Who owes nothing leaves the list; who owes joins by when it was made."""
        names = {line.purchase for line in self.lines}
        for name in sorted(names):
            if self.owes(name) and name not in self.order:
                self.order.append(name)
        self.order = [name for name in self.order if self.owes(name)]
        self.order.sort(key=self.made.index)
        if (self.order or self.pits) and self.next_statement is None:
            self.next_statement = self.statement_from(self.today)

    # What happens.

    def capture(self, purchase: str, amounts: list[tuple[int, int]], rate: int) -> None:
        """Lines of (principal, fee), billed one month after the other."""
        bills = self.statement_from(self.today)
        mine = [line for line in self.lines if line.purchase == purchase]
        total = sum(principal for principal, _ in amounts)
        self.captured[purchase] = self.captured.get(purchase, 0) + total
        by_plan = len(amounts) > 1
        if not by_plan and [line.bills for line in mine] == [bills]:
            mine[0].principal += total  # Billed together: one line.
            self._pay_by_credit(mine, total)
            return
        already = len(mine)
        for number, (principal, fee) in enumerate(amounts, already + 1):
            line = Instalment(
                purchase, number, bills, self.due_of(bills), principal, fee, rate
            )
            line.by_plan = by_plan
            self.lines.append(line)
            bills = self.next_month(bills)
        self._pay_by_credit([x for x in self.lines if x.purchase == purchase], total)

    def _pay_by_credit(self, lines: list[Instalment], total: int) -> None:
        used = min(max(0, self.credit), total)
        self.credit -= used
        self.tidy()
        before = self.billed()
        for line in lines:
            paid = min(used, line.left("principal"))
            self._pay(line, "principal", paid)
            used -= paid
        self.minimum_left -= before - self.billed()
        self.tidy()

    def lend(self, amount: int) -> list[date | None]:
        """Credit goes up; the units of a pit that fills, the oldest first."""
        self.credit += amount
        self.pits.sort(key=lambda due: due or date.max)
        filled, self.pits = self.pits[:amount], self.pits[amount:]
        self.minimum_left -= sum(due is not None for due in filled)
        return filled

    def take(self, amount: int, filled: list[date | None]) -> None:
        """Credit goes down; below zero every unit is owed, what is back as it was."""
        self.credit -= amount
        deeper = max(0, -self.credit) - len(self.pits)
        again = [due for due in filled if due is not None][:deeper]
        self.minimum_left += len(again)
        self.pits += again + [None] * (deeper - len(again))
        self.tidy()

    @staticmethod
    def _pay(line: Instalment, component: str, amount: int) -> None:
        line.paid[component] = line.paid.get(component, 0) + amount

    def is_billed(self, line: Instalment) -> bool:
        """Once its statement is out; while days end, the later ones are not."""
        return line.bills < min(self.today, self.next_statement or self.today)

    def where(self, line: Instalment) -> str:
        if not self.is_billed(line):
            return "in_advance"
        return "past_due" if line.due < self.today else "due"

    def unpaid(self, purchase: str = "") -> list[Instalment]:
        """The lines in the order in which they are paid within one cell."""
        names = [n for n in self.order if purchase in ("", n)]
        found = [line for name in names for line in self.lines if line.purchase == name]
        return sorted(found, key=lambda line: line.due)

    def repay(self, amount: int, purchase: str = "", billed_only: bool = False) -> Any:
        """Pay by the matrix; what was taken of (purchase, number, component)."""
        taken: dict[tuple[str, int, str], int] = {}
        place = {(x.purchase, x.number): i for i, x in enumerate(self.unpaid(purchase))}
        for due, component in self.terms.order:
            if billed_only and due == "in_advance":
                continue
            for line in self.unpaid(purchase):
                if self.where(line) != due:
                    continue
                if due == "in_advance" and component != "principal":
                    continue
                paid = min(amount, line.left(component))
                if paid:
                    self._pay(line, component, paid)
                    key = (line.purchase, line.number, component)
                    taken[key] = taken.get(key, 0) + paid
                    amount -= paid
                    if self.is_billed(line):
                        self.minimum_left -= paid
        self.tidy()
        in_order = sorted(taken.items(), key=lambda item: place[item[0][:2]])
        return dict(in_order), amount

    def line(self, purchase: str, number: int) -> Instalment:
        for line in self.lines:
            if (line.purchase, line.number) == (purchase, number):
                return line
        raise AssertionError(f"no line {number} of {purchase}")

    def give_back(
        self,
        taken: dict[tuple[str, int, str], int],
        credit: int,
        filled: list[date | None],
    ) -> int:
        """A payment bounced; what came off the credit in all."""
        for (purchase, number, component), amount in taken.items():
            line = self.line(purchase, number)
            again = min(amount, line.paid.get(component, 0))
            self._pay(line, component, -again)
            credit += amount - again
            if self.is_billed(line):
                self.minimum_left += again
            self.tidy()  # One after the other joins the list.
        self.take(credit, filled)
        return credit

    def refund(self, purchase: str, amount: int, parts: list[int]) -> tuple[int, int]:
        """Spread over the lines as `parts` says; credit of principal, and of fees."""
        lines = [line for line in self.lines if line.purchase == purchase]
        captured = self.captured[purchase]
        after = self.refunded.get(purchase, 0) + amount
        credits = fee_credits = 0
        assert sum(parts) == amount
        before = self.billed()
        for line, part in zip(lines, parts, strict=True):
            line.refunded += part
            assert line.refunded <= line.principal
            if after == captured:
                assert line.refunded == line.principal
            over = max(0, -line.left("principal"))
            self._pay(line, "principal", -over)
            credits += over
            back = max(line.fee_back, line.fee * after // captured)
            line.fee_back = back
            over = max(0, -line.left("fee"))
            self._pay(line, "fee", -over)
            fee_credits += over
        self.refunded[purchase] = after
        self.minimum_left -= before - self.billed()
        self.lend(credits + fee_credits)
        self.tidy()
        return credits, fee_credits

    def is_proportional(self, purchase: str) -> bool:
        """Whether each line gave back what is its part, within a unit."""
        lines = [line for line in self.lines if line.purchase == purchase]
        share = Fraction(self.refunded.get(purchase, 0), self.captured[purchase])
        return all(abs(line.refunded - line.principal * share) < 1 for line in lines)

    # The end of days.

    def begin(self, day: date) -> list[dict[str, Any]]:
        """Live through all days before `day`; what was recorded, in order."""
        self.today = day
        told: list[dict[str, Any]] = []
        while self.lived < day - timedelta(days=1):
            self._use_credit(told)
            self.lived += timedelta(days=1)
            self._end(self.lived, told)
        self._use_credit(told)
        return told

    def _use_credit(self, told: list[dict[str, Any]]) -> None:
        if self.credit <= 0 or self.next_statement is None:
            return
        before = self.credit
        _, self.credit = self.repay(self.credit, billed_only=True)
        if before != self.credit:
            told.append({"kind": "credit", "amount": before - self.credit})

    def _end(self, day: date, told: list[dict[str, Any]]) -> None:
        self._move_due(day)
        self._penalties(day, told)
        if self.next_statement == day:
            self._statement(day, told)
            self._use_credit(told)

    def _late(self, day: date) -> list[Instalment]:
        grace = timedelta(days=self.terms.grace_days)
        return [
            line
            for line in self.lines
            if line.left("principal") and line.due + grace <= day
        ]

    def _move_due(self, day: date) -> None:
        if self.minimum_left > 0 or self.terms.minimum_ppm == PPM:
            return
        if self.last_due is None or self.next_statement is None:
            return
        for line in self.lines:
            if line.left("principal") and line.due == self.last_due <= day:
                line.due = self.due_of(self.next_statement)

    def _penalties(self, day: date, told: list[dict[str, Any]]) -> None:
        grace = timedelta(days=self.terms.grace_days)
        for line in self._late(day):
            if line.due + grace < day and line.late_through < day:
                cost = line.left("principal") * self.terms.penalty_ppm // PPM
                line.penalty += cost
                line.late_through = day
                if cost:
                    told.append({"kind": "penalty", "amount": cost})

    def _statement(self, day: date, told: list[dict[str, Any]]) -> None:
        new = dict.fromkeys(("principal", "interest", "fee"), 0)
        past = carried = revolving = 0
        for line in self.lines:
            if line.bills == day and line.purchase in self.order:
                if line.rate_ppm and line is self._bearer(line.purchase, day):
                    line.interest += self._interest(line)
                for component in new:
                    new[component] += line.left(component)
            elif line.bills < day and line.due > day:
                carried += sum(line.left(c) for _, c in MATRIX[:4])
                revolving += line.left("principal")
            elif line.bills < day:
                past += sum(line.left(c) for _, c in MATRIX[:4])
        fresh = self.pits.count(None)
        past += len(self.pits) - fresh
        owed = past + carried + sum(new.values()) + fresh
        credit = max(0, self.credit)
        part = new["principal"] + revolving
        least = Fraction(part * self.terms.minimum_ppm, PPM)
        minimum = past + carried - revolving + new["interest"] + new["fee"] + fresh
        minimum -= -least.numerator // least.denominator
        asked = max(0, minimum - credit)
        self.minimum_left = asked + min(credit, owed)  # Credit still pays its part.
        self.last_due = self.due_of(day)
        self.pits = [due or self.last_due for due in self.pits]
        shown = {
            "statement_on": day.isoformat(),
            "due_on": self.last_due.isoformat(),
            "principal_minor": new["principal"],
            "interest_minor": new["interest"],
            "fee_minor": new["fee"],
            "past_due_minor": past,
            "carried_minor": carried,
            "overdrawn_minor": fresh,
            "credit_minor": credit,
            "due_minor": max(0, owed - credit),
            "minimum_due_minor": asked,
            "outstanding_minor": self.principal(),
        }
        self.statements.append(shown)
        told.append({"kind": "statement"} | shown)
        is_over = not self.order and not self.pits
        self.next_statement = None if is_over else self.next_month(day)

    def _bearer(self, purchase: str, day: date) -> Instalment:
        """Of a purchase's lines of one bill, the first that is not paid ahead."""
        mine = [x for x in self.lines if x.purchase == purchase and x.bills == day]
        return next((line for line in mine if line.left("principal")), mine[0])

    def _interest(self, billed: Instalment) -> int:
        balance = sum(
            line.left("principal")
            for line in self.lines
            if line.purchase == billed.purchase and line.bills >= billed.bills
        )
        exact = Fraction(balance * billed.rate_ppm, PPM)
        return int(exact + Fraction(1, 2))
