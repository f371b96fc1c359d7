"""From invoice lines to a plan: what to ask of the server on each day.

Pure: lines in, plan out; no server, no clock, no randomness.  The plan holds
everything that does not depend on the server's answers.  What does (which
purchase a cancellation gives back, how much is owed on a due day) it names
and leaves to the replay.

Every calendar day from the first to the last date in the file is a day of the
plan, also those without a line.  Operations stand in order of time, the
repayments that are due at the end of their day.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from gateway.replays.tables import UnreadableFile
from gateway.retail import lending
from gateway.retail.bookkeeping import ItemAmount
from gateway.retail.funding import Demand, demand_of
from gateway.retail.lending import RetailProgram
from gateway.retail.reader import InvoiceLine
from processor import limits

DAYS_MAX: Final = 3_660  # A typing error in one date must not become a century.


class SkipCause(StrEnum):
    """Why a line of the file asks for nothing; the first that applies counts."""

    NO_CUSTOMER = "no customer"
    ZERO_AMOUNT = "zero amount"
    NEGATIVE_PRICE = "negative price"
    NEGATIVE_QUANTITY = "negative quantity on a purchase"
    POSITIVE_QUANTITY = "positive quantity on a cancellation"
    TOO_LARGE = "invoice above the largest amount"


class Opening(msgspec.Struct, frozen=True):
    """An account to open, on the day of its first purchase."""

    account_id: str
    program_id: str
    limit_minor: int


class Purchase(msgspec.Struct, frozen=True):
    """An invoice: authorize its sum and capture it at once."""

    account_id: str
    invoice_no: str
    items: tuple[ItemAmount, ...]

    @property
    def amount_minor(self) -> int:
        """The sum of the invoice's lines."""
        return sum(item.amount_minor for item in self.items)


class Cancellation(msgspec.Struct, frozen=True):
    """A cancellation invoice: give back what it names, as far as it was bought."""

    account_id: str
    invoice_no: str
    items: tuple[ItemAmount, ...]


class RepaymentDue(msgspec.Struct, frozen=True):
    """The account's day of the month: repay, if anything is owed."""

    account_id: str


Operation = Purchase | Cancellation | RepaymentDue


class Day(msgspec.Struct):
    """One calendar day of the file; headroom targets by lender id."""

    date: date
    targets_minor: dict[str, int]
    openings: list[Opening]
    operations: list[Operation]


class Plan(msgspec.Struct):
    """All that a file asks for; demand by lender id."""

    digest: str
    days: list[Day]
    demand: dict[str, Demand]
    purchase_count: int
    line_count: int
    skipped: dict[SkipCause, int]
    empty_invoice_count: int


class _Invoice(msgspec.Struct):
    at: datetime
    account_id: str
    program: RetailProgram
    invoice_no: str
    is_cancellation: bool
    items: list[ItemAmount]

    @property
    def amount_minor(self) -> int:
        return sum(item.amount_minor for item in self.items)


def build_plan(lines: Iterable[InvoiceLine], digest: str) -> Plan:
    """The plan of a file; `digest` of its content goes into every request id.

    Raises UnreadableFile when there is no line or too wide a span of dates.
    """
    invoices, skipped, dates, line_count = _gather(lines)
    calendar = _calendar(dates)
    for invoice in invoices:
        if invoice.amount_minor > limits.AMOUNT_MINOR_MAX:
            skipped[SkipCause.TOO_LARGE] += len(invoice.items)
            invoice.items.clear()
    usable = [invoice for invoice in invoices if invoice.items]
    usable.sort(key=lambda invoice: invoice.at)  # Stable: then as in the file.

    purchases = [invoice for invoice in usable if not invoice.is_cancellation]
    demand = demand_of(
        (
            (
                (invoice.at.date() - calendar[0]).days,
                invoice.program,
                invoice.amount_minor,
            )
            for invoice in purchases
        ),
        len(calendar),
    )
    days = _days(calendar, demand)
    _place_invoices(usable, days)
    _place_repayments(days)
    return Plan(
        digest=digest,
        days=days,
        demand=demand,
        purchase_count=len(purchases),
        line_count=line_count,
        skipped=dict(skipped),
        empty_invoice_count=len(invoices) - len(usable),
    )


def _gather(
    lines: Iterable[InvoiceLine],
) -> tuple[list[_Invoice], Counter[SkipCause], set[date], int]:
    """Invoices in the order of the file, without the lines that are skipped."""
    invoices: dict[tuple[str, str], _Invoice] = {}
    codes: dict[str, str] = {}  # One copy of each stock code.
    skipped: Counter[SkipCause] = Counter()
    dates = set()
    line_count = 0
    for line in lines:
        line_count += 1
        dates.add(line.invoiced_at.date())
        program = lending.program_of_country(line.country)
        account_id = lending.account_id_of(line.customer_id, program)
        invoice = invoices.get((line.invoice_no, account_id))
        if invoice is None:
            invoice = invoices[line.invoice_no, account_id] = _Invoice(
                line.invoiced_at,
                account_id,
                program,
                line.invoice_no,
                line.is_cancellation,
                [],
            )
        cause = _skip_cause(line)
        if cause is None:
            code = codes.setdefault(line.stock_code, line.stock_code)
            invoice.items.append(ItemAmount(code, abs(line.amount_minor)))
        else:
            skipped[cause] += 1
    return list(invoices.values()), skipped, dates, line_count


def _skip_cause(line: InvoiceLine) -> SkipCause | None:
    if not line.customer_id:
        return SkipCause.NO_CUSTOMER
    if line.amount_minor == 0:
        return SkipCause.ZERO_AMOUNT
    if line.unit_price_minor < 0:
        return SkipCause.NEGATIVE_PRICE
    if line.is_cancellation and line.quantity > 0:
        return SkipCause.POSITIVE_QUANTITY
    if not line.is_cancellation and line.quantity < 0:
        return SkipCause.NEGATIVE_QUANTITY
    return None


def _calendar(dates: set[date]) -> list[date]:
    if not dates:
        raise UnreadableFile("the file has no invoice lines")
    first, last = min(dates), max(dates)
    span = (last - first).days + 1
    if span > DAYS_MAX:
        raise UnreadableFile(
            f"the file spans {span} days, {first} to {last}; {DAYS_MAX} is the most"
        )
    return [first + timedelta(days=i) for i in range(span)]


def _days(calendar: list[date], demand: dict[str, Demand]) -> list[Day]:
    targets = {lender_id: d.targets_minor() for lender_id, d in demand.items()}
    return [
        Day(
            day, {lender_id: by_day[i] for lender_id, by_day in targets.items()}, [], []
        )
        for i, day in enumerate(calendar)
    ]


def _place_invoices(invoices: list[_Invoice], days: list[Day]) -> None:
    by_account: dict[str, list[int]] = defaultdict(list)
    for invoice in invoices:
        if not invoice.is_cancellation:
            by_account[invoice.account_id].append(invoice.amount_minor)
    opened = set()
    for invoice in invoices:
        account_id = invoice.account_id
        day = days[(invoice.at.date() - days[0].date).days]
        if invoice.is_cancellation:
            operation: Operation = Cancellation(
                account_id, invoice.invoice_no, tuple(invoice.items)
            )
        else:
            operation = Purchase(account_id, invoice.invoice_no, tuple(invoice.items))
            if account_id not in opened:
                opened.add(account_id)
                amounts = by_account[account_id]
                limit = lending.limit_minor(account_id, max(amounts), sum(amounts))
                program_id = invoice.program.program_id
                day.openings.append(Opening(account_id, program_id, limit))
        day.operations.append(operation)


def _place_repayments(days: list[Day]) -> None:
    """At the end of its due day, for every account that exists by then."""
    by_due_day: dict[int, list[str]] = defaultdict(list)
    for day in days:
        for opening in day.openings:
            due = lending.due_day_of_month(opening.account_id)
            by_due_day[due].append(opening.account_id)
        day.operations.extend(
            RepaymentDue(account_id) for account_id in sorted(by_due_day[day.date.day])
        )
