"""The figures are said shortly, and the last line has its keys in order."""

import io
import json
from collections import Counter
from datetime import date

import pytest
from rich.console import Console

from gateway.replays.registration import Position
from gateway.replays.result import Latency, Tally
from gateway.replays.summary import json_line, money, print_summary
from gateway.replays.verdict import Audit
from gateway.retail import RetailResult

CLEAN = Audit(0, 0, 0, True)
RESULT = RetailResult(
    file_name="week.csv.gz",
    first_file_day=date(2011, 4, 11),
    first_business_day=date(2025, 1, 6),
    day_count=7,
    line_count=6_624,
    skipped={"zero amount": 2},
    empty_invoice_count=1,
    tally=Tally(
        purchases=10,
        approved=7,
        approved_minor=123_456,
        declined=Counter({"reserve_exhausted": 2, "credit_limit_exceeded": 1}),
        refunds=4,
        refunds_unmatched=5,
        repayments=6,
        days_closed=7,
        busy_us=2_000_000,
    ),
    latency=Latency(1_500, 2_500, 9_900),
    positions=(Position("harbour", 100, 250_000, 249_905, 5),),
    asked_again=0,
    elapsed_us=3_000_000,
)


def printed(audit: Audit) -> str:
    console = Console(file=io.StringIO(), width=80)
    print_summary(RESULT, audit, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_last_line_has_exactly_its_keys_in_order() -> None:
    assert [
        ("purchases", 10),
        ("approved", 7),
        ("declined", 3),
        ("refunds", 4),
        ("refunds_unmatched", 5),
        ("repayments", 6),
        ("days_closed", 7),
        ("overspend_minor", 0),
        ("false_reserve_declines", 0),
        ("trial_balance_minor", 0),
        ("replay_equal", True),
    ] == list(json.loads(json_line(RESULT, CLEAN)).items())
    assert "\n" not in json_line(RESULT, CLEAN)


def test_the_summary_says_what_a_person_asks_first() -> None:
    text = printed(CLEAN)
    for wanted in (
        "£1,234.56",
        "reserve_exhausted",
        "credit_limit_exceeded",
        "zero amount",
        "2011-04-11 was business day 2025-01-06",
        "5/s",
        "p50 1.5 ms, p95 2.5 ms, p99 9.9 ms",
        "harbour",
        "Audit passed",
    ):
        assert wanted in text
    assert max(len(line) for line in text.splitlines()) <= 80 + 5


def test_a_failed_audit_is_not_overlooked() -> None:
    text = printed(Audit(1, 0, 0, True, ("harbour: 1 more than its deposit",)))
    assert "Audit FAILED: overspend 1" in text
    assert "harbour: 1 more than its deposit" in text


@pytest.mark.parametrize(
    "audit",
    [
        Audit(1, 0, 0, True),
        Audit(0, 1, 0, True),
        Audit(0, 0, -1, True),
        Audit(0, 0, 0, False),
        Audit(0, 0, 0, True, ("something",)),
    ],
)
def test_an_audit_with_any_finding_is_not_clean(audit: Audit) -> None:
    assert CLEAN.is_clean
    assert not audit.is_clean


def test_money_is_pounds_and_pence() -> None:
    assert ["£0.00", "£0.07", "-£12.30", "£1,234,567.89"] == [
        money(minor, "£") for minor in (0, 7, -1_230, 123_456_789)
    ]


def test_percentiles_are_by_nearest_rank() -> None:
    assert Latency(50, 95, 99) == Latency.of(list(range(100, 0, -1)))
    assert Latency(7, 7, 7) == Latency.of([7])
    assert Latency(0, 0, 0) == Latency.of([])
