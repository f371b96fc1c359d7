"""What the months of a card ask for, and what a row must look like for that."""

import gzip
from datetime import date
from pathlib import Path

import pytest

from gateway import forms
from gateway.clients import COLUMNS, EXTRACT, lending
from gateway.clients.plan import (
    FIRST_DAY,
    NAMED_MAX,
    Kind,
    Plan,
    begins_on,
    build_plan,
    business_date,
)
from gateway.clients.reader import CardRow, Malformed, read_cards
from gateway.replays.tables import UnreadableFile, content_digest
from gateway.retail import WEEK
from processor import limits

HEADER = ",".join(COLUMNS)
#          id, limit, status        , bill           , paid
LINE = "c1,50000,-1,-1,0,2,0,0,100,300,250,-40,60,60,5,100,0,250,10,60"
ROW = CardRow(
    "c1",
    50_000,
    (-1, -1, 0, 2, 0, 0),
    (100, 300, 250, -40, 60, 60),
    (5, 100, 0, 250, 10, 60),
)


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "some.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def planned(*rows: CardRow | Malformed) -> list[tuple[int, int, Kind, int]]:
    plan = build_plan(rows, "digest")
    return [
        (day.months_later, day.day_of_month, operation.kind, operation.amount_minor)
        for day in plan.days
        for operation in day.operations
    ]


def test_a_row_is_read_as_it_stands(tmp_path: Path) -> None:
    assert [ROW] == list(read_cards(written(tmp_path, HEADER, LINE)))


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    header = ",".join(["note", *reversed(COLUMNS)])
    line = ",".join(["x", *reversed(LINE.split(","))])
    assert [ROW] == list(read_cards(written(tmp_path, header, line)))


def test_months_are_bought_repaid_and_refunded_on_the_days_of_the_cycle() -> None:
    cycle = lending.cycle_of(ROW)
    in_time, late = cycle.in_time_day, cycle.late_day
    buys = cycle.purchase_day
    assert [
        (0, buys, Kind.PURCHASE, 100_00),  # April's payment is of an older bill.
        (1, in_time, Kind.REPAYMENT, 100_00),
        (1, buys, Kind.PURCHASE, 300_00),
        (2, buys, Kind.REFUND, 50_00),
        (3, late, Kind.REPAYMENT, 250_00),  # Two months of delay.
        (3, buys, Kind.REFUND, 40_00),
        (4, in_time, Kind.REPAYMENT, 10_00),
        (4, buys, Kind.PURCHASE, 110_00),  # The bill was 40 of credit before.
        (5, in_time, Kind.REPAYMENT, 60_00),
        (5, buys, Kind.PURCHASE, 60_00),
    ] == planned(ROW)


def test_a_bill_that_did_not_change_asks_for_nothing() -> None:
    row = CardRow("c2", 1, (0,) * 6, (7,) * 6, (0,) * 6)
    assert [Kind.PURCHASE] == [kind for _, _, kind, _ in planned(row)]


def test_both_cycles_and_both_programs_are_used() -> None:
    plan = build_plan(read_cards(EXTRACT), content_digest(EXTRACT))
    assert set(lending.CYCLES) == {card.cycle for card in plan.cards}
    assert {"cards-classic", "cards-gold"} == {card.program_id for card in plan.cards}


def test_each_lender_gets_its_part_of_the_days_purchases_and_little_more() -> None:
    plan = build_plan(read_cards(EXTRACT), content_digest(EXTRACT))
    shares = {program.program_id: program.shares_ppm for program in lending.PROGRAMS}
    for day in plan.days:
        bought = [o for o in day.operations if o.kind is Kind.PURCHASE]
        for lender_id, target_minor in day.targets_minor.items():
            exact = sum(
                o.amount_minor * shares[o.card.program_id].get(lender_id, 0)
                for o in bought
            )
            spare_minor = target_minor - exact // limits.PPM
            assert 100_000 <= spare_minor <= 100_000 + len(bought)
        assert bool(bought) == bool(day.targets_minor)


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ("2005-01-01", "2005-04-18"),
        ("2005-04-18", "2005-04-18"),
        ("2005-04-19", "2005-05-18"),
        ("2025-12-19", "2026-01-18"),
    ],
)
def test_a_replay_begins_on_an_18th_that_has_not_passed(
    current: str, expected: str
) -> None:
    assert expected == str(begins_on(date.fromisoformat(current)))


def test_months_go_on_over_the_turn_of_a_year() -> None:
    first = date(2025, 10, 18)
    assert date(2026, 3, 7) == business_date(5, 7, first)
    assert first == business_date(0, 18, first)


# What is not of the form.


@pytest.mark.parametrize(
    ("column", "cell", "wanted"),
    [
        ("id", "", "1 to 12 letters and digits"),
        ("id", "a-b", "1 to 12 letters and digits"),
        ("limit_bal", "many", "a whole number of at most 9 digits"),
        ("limit_bal", "-1", "0 or more"),
        ("bill_amt_jul", "1.5", "a whole number of at most 9 digits"),
        ("bill_amt_jul", "٣", "a whole number of at most 9 digits"),
        ("pay_amt_may", "-3", "0 or more"),
        ("pay_sep", "-3", "-2 or more"),
        ("pay_apr", "10", "9 or less"),
    ],
)
def test_a_malformed_row_is_named_and_the_rest_is_read(
    tmp_path: Path, column: str, cell: str, wanted: str
) -> None:
    cells = LINE.split(",")
    cells[COLUMNS.index(column)] = cell
    file = written(tmp_path, HEADER, ",".join(cells), LINE.replace("c1", "c2"))
    wrong, good = read_cards(file)
    assert isinstance(wrong, Malformed)
    assert wrong.where.startswith(f"some.csv, line 2, column {column}: ")
    assert f"{column} is not {wanted}" == wrong.cause
    assert isinstance(good, CardRow)


@pytest.mark.parametrize(
    "line", ["c3,5", '"', '"c1,1', "\x00,", ",,,,", "\udce9" * 3, LINE]
)
def test_a_row_that_is_none_spoils_no_other(tmp_path: Path, line: str) -> None:
    file = tmp_path / "some.csv"
    text = "\n".join([HEADER, LINE, line, LINE.replace("c1", "c2")])
    file.write_bytes(text.encode(errors="surrogateescape"))
    rows = list(read_cards(file))
    assert [CardRow, Malformed, CardRow] == [type(row) for row in rows]


def test_malformed_rows_are_all_counted_and_the_first_of_them_named() -> None:
    wrong = [Malformed(f"line {i}", f"cause {i % 2}") for i in range(50)]
    plan: Plan = build_plan([*wrong, ROW], "digest")
    assert {"cause 0": 25, "cause 1": 25} == plan.malformed
    assert [f"line {i}" for i in range(NAMED_MAX)] == plan.named
    assert (51, 1) == (plan.line_count, len(plan.cards))


def test_a_file_without_one_good_row_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, HEADER, "x")
    with pytest.raises(UnreadableFile, match=r"no row of the form; some.csv, line 2"):
        build_plan(read_cards(file), "digest")


# Which form a file has.


def test_the_header_says_which_form_a_file_has(tmp_path: Path) -> None:
    assert ["retail", "clients"] == [forms.form_of(f).name for f in (WEEK, EXTRACT)]
    plain = tmp_path / "plain"
    plain.write_bytes(gzip.decompress(EXTRACT.read_bytes()))
    form = forms.form_of(plain)
    assert ("clients", FIRST_DAY) == (form.name, form.first_day_of(plain))


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", HEADER.replace("id,", "ident,", 1)])
def test_a_file_of_no_form_is_refused_with_the_columns_of_each(
    tmp_path: Path, text: str
) -> None:
    file = tmp_path / "some.csv"
    file.write_text(text)
    with pytest.raises(UnreadableFile) as refused:
        forms.form_of(file)
    said = str(refused.value)
    assert "some.csv, line 1: of no form" in said
    assert "retail: invoice_no, stock_code," in said
    assert "clients: id, limit_bal, pay_apr," in said
