"""A plan asks for what the file says, in order, and counts what it leaves out."""

from collections import defaultdict
from datetime import date, datetime

import pytest

from gateway.replays.tables import UnreadableFile
from gateway.retail import WEEK, lending
from gateway.retail.bookkeeping import AccountBook, ItemAmount
from gateway.retail.plan import (
    Cancellation,
    Plan,
    Purchase,
    RepaymentDue,
    SkipCause,
    build_plan,
)
from gateway.retail.reader import InvoiceLine, read_lines
from processor import limits


def line(
    invoice_no: str = "1",
    stock_code: str = "A",
    quantity: int = 1,
    price: int = 100,
    at: str = "2011-04-11 10:00",
    customer_id: str = "17850",
    country: str = "United Kingdom",
) -> InvoiceLine:
    when = datetime.fromisoformat(at)
    return InvoiceLine(
        invoice_no, stock_code, quantity, price, when, customer_id, country
    )


def plan_of(*lines: InvoiceLine) -> Plan:
    return build_plan(lines, "d16e5700")


def test_an_invoice_is_one_purchase_of_all_its_lines() -> None:
    plan = plan_of(line(stock_code="A", quantity=2), line(stock_code="B", price=7))
    items = (ItemAmount("A", 200), ItemAmount("B", 7))
    assert [Purchase("retail-17850-uk", "1", items)] == plan.days[0].operations[:1]
    assert 207 == Purchase("retail-17850-uk", "1", items).amount_minor
    assert 1 == plan.purchase_count


def test_a_cancellation_keeps_its_lines_with_positive_amounts() -> None:
    plan = plan_of(line("C2", quantity=-3), line("C2", quantity=-1))
    items = (ItemAmount("A", 300), ItemAmount("A", 100))
    expected = [Cancellation("retail-17850-uk", "C2", items)]
    assert expected == plan.days[0].operations
    assert [] == plan.days[0].openings
    assert 0 == plan.purchase_count


def test_every_calendar_day_is_a_day_also_without_lines() -> None:
    plan = plan_of(line("1", at="2011-02-27 10:00"), line("2", at="2011-03-02 09:00"))
    expected = [date(2011, 2, 27), date(2011, 2, 28), date(2011, 3, 1)]
    assert [*expected, date(2011, 3, 2)] == [day.date for day in plan.days]


def test_a_day_with_nothing_but_skipped_lines_is_still_a_day() -> None:
    plan = plan_of(line("1"), line("2", price=0, at="2011-04-13 10:00"))
    assert 3 == len(plan.days)


def test_operations_stand_in_order_of_time_and_then_of_the_file() -> None:
    plan = plan_of(
        line("3", at="2011-04-11 12:00"),
        line("1", at="2011-04-11 09:00"),
        line("4", at="2011-04-11 12:00"),
        line("C2", quantity=-1, at="2011-04-11 10:00"),
    )
    numbers = [
        operation.invoice_no
        for operation in plan.days[0].operations
        if not isinstance(operation, RepaymentDue)
    ]
    assert ["1", "C2", "3", "4"] == numbers


def test_lines_of_an_invoice_need_not_stand_together() -> None:
    plan = plan_of(line("1"), line("2"), line("1", at="2011-04-11 10:01"))
    amounts = [
        operation.amount_minor
        for operation in plan.days[0].operations
        if isinstance(operation, Purchase)
    ]
    assert [200, 100] == amounts


def test_lines_that_cannot_be_used_are_counted_by_cause() -> None:
    plan = plan_of(
        line("1"),
        line("1", price=0),
        line("1", quantity=0),
        line("1", price=-5),
        line("1", quantity=-1),
        line("C2", quantity=4),
        line("3", customer_id=""),
        line("4", quantity=10, price=limits.AMOUNT_MINOR_MAX),
    )
    assert {
        SkipCause.ZERO_AMOUNT: 2,
        SkipCause.NEGATIVE_PRICE: 1,
        SkipCause.NEGATIVE_QUANTITY: 1,
        SkipCause.POSITIVE_QUANTITY: 1,
        SkipCause.NO_CUSTOMER: 1,
        SkipCause.TOO_LARGE: 1,
    } == plan.skipped
    assert 8 == plan.line_count
    assert 1 == plan.purchase_count
    assert 3 == plan.empty_invoice_count  # C2, 3 and 4.


def test_an_account_is_opened_on_the_day_of_its_first_purchase() -> None:
    plan = plan_of(
        line("C9", quantity=-1),
        line("1", at="2011-04-12 10:00"),
        line("2", at="2011-04-13 10:00"),
        line("3", at="2011-04-13 10:00", country="Japan"),
    )
    opened = [[o.account_id for o in day.openings] for day in plan.days]
    assert [[], ["retail-17850-uk"], ["retail-17850-world"]] == opened


def test_an_account_repays_at_the_end_of_its_due_day_once_it_exists() -> None:
    assert 9 == lending.due_day_of_month("retail-17850-uk")
    plan = plan_of(
        line("C1", quantity=-1, at="2011-04-09 10:00"),
        line("1", at="2011-05-09 10:00"),
        line("2", at="2011-05-09 23:59"),
        line("3", at="2011-06-09 10:00"),
    )
    on = [
        (day.date, number, len(day.operations))
        for day in plan.days
        for number, operation in enumerate(day.operations)
        if isinstance(operation, RepaymentDue)
    ]
    assert [(date(2011, 5, 9), 2, 3), (date(2011, 6, 9), 1, 2)] == on


def test_a_file_without_lines_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="no invoice lines"):
        plan_of()


def test_a_file_over_a_century_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="2011-04-11 to 2111-04-11"):
        plan_of(line("1"), line("2", at="2111-04-11 10:00"))


def test_the_plan_of_the_week_depends_on_its_lines_alone() -> None:
    first = build_plan(read_lines(WEEK), "x")
    second = build_plan(read_lines(WEEK), "x")
    assert first.days == second.days
    assert 7 == len(first.days)
    assert [] == [o for o in first.days[5].operations if isinstance(o, Purchase)]


def test_three_to_eight_in_a_hundred_purchases_of_the_week_exceed_the_limit() -> None:
    plan = build_plan(read_lines(WEEK), "x")
    books: defaultdict[str, AccountBook] = defaultdict(AccountBook)
    limit_minor = {o.account_id: o.limit_minor for d in plan.days for o in d.openings}
    declined = 0
    for day in plan.days:
        for operation in day.operations:
            if isinstance(operation, Purchase):
                book = books[operation.account_id]
                open_to_buy = limit_minor[operation.account_id] - book.owed_minor
                if operation.amount_minor > open_to_buy:
                    declined += 1
                else:
                    book.book_purchase(operation.invoice_no, "au", operation.items)
    assert 344 == plan.purchase_count
    assert 0.03 * 344 < declined < 0.08 * 344
