"""The reader takes the form as it is, and names the place where it is not."""

import gzip
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from gateway.replays.tables import UnreadableFile, content_digest
from gateway.retail import WEEK
from gateway.retail.reader import InvoiceLine, read_lines

HEADER = (
    "invoice_no,stock_code,quantity,unit_price_pence,invoiced_at,customer_id,country"
)
LINE = "536365,85123A,6,255,2010-12-01 08:26:00,17850,United Kingdom"


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "some.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_line_is_read_as_it_stands(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, LINE)
    expected = InvoiceLine(
        "536365",
        "85123A",
        6,
        255,
        datetime(2010, 12, 1, 8, 26),
        "17850",
        "United Kingdom",
    )
    assert [expected] == list(read_lines(path))


def test_a_packed_file_reads_like_the_plain_one(tmp_path: Path) -> None:
    plain = written(tmp_path, HEADER, LINE, LINE)
    packed = tmp_path / "some.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert list(read_lines(plain)) == list(read_lines(packed))
    assert content_digest(plain) == content_digest(packed)


def test_another_content_has_another_digest(tmp_path: Path) -> None:
    first = content_digest(written(tmp_path, HEADER, LINE))
    second = content_digest(written(tmp_path, HEADER, LINE, LINE))
    assert first != second
    assert 8 == len(first)


def test_columns_may_stand_in_any_order_beside_others(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "country,note,customer_id,invoiced_at,unit_price_pence,quantity,"
        "stock_code,invoice_no",
        "EIRE,x,14911,2011-04-11 10:00,120,-2,22423,C1",
    )
    (line,) = read_lines(path)
    assert line.is_cancellation
    assert -240 == line.amount_minor
    assert "EIRE" == line.country


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("invoice_no", ""),
        ("invoice_no", "536 365"),
        ("stock_code", ""),
        ("quantity", "six"),
        ("quantity", "6.5"),
        ("unit_price_pence", "2.55"),
        ("unit_price_pence", "٣"),
        ("invoiced_at", "yesterday"),
        ("invoiced_at", "2010-12-01T08:26:00+01:00"),
        ("customer_id", "a customer whose id is far too long"),
    ],
)
def test_a_malformed_cell_is_named_by_line_and_column(
    tmp_path: Path, column: str, cell: str
) -> None:
    cells = LINE.split(",")
    cells[HEADER.split(",").index(column)] = cell
    path = written(tmp_path, HEADER, LINE, ",".join(cells))
    with pytest.raises(UnreadableFile, match=f"some.csv, line 3, column {column}: "):
        list(read_lines(path))


def test_lines_before_the_malformed_one_are_read(tmp_path: Path) -> None:
    lines = read_lines(written(tmp_path, HEADER, LINE, "536366,x"))
    assert "536365" == next(lines).invoice_no
    with pytest.raises(UnreadableFile, match="line 3: fewer than the 7 columns"):
        next(lines)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER.replace("country", "land"), LINE)
    with pytest.raises(UnreadableFile, match="line 1: there is no column country"):
        list(read_lines(path))


def test_an_empty_file_lacks_its_columns(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="there is no column invoice_no"):
        list(read_lines(written(tmp_path, "")))


def test_a_customer_may_be_unknown(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, LINE.replace("17850", ""))
    assert [""] == [line.customer_id for line in read_lines(path)]


@pytest.mark.parametrize("kept", [5, 60])
def test_a_torn_packed_file_is_refused(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "torn.csv.gz"
    path.write_bytes(gzip.compress(f"{HEADER}\n{LINE}\n".encode())[:kept])
    with pytest.raises(UnreadableFile, match=r"torn\.csv\.gz: "):
        list(read_lines(path))
    with pytest.raises(UnreadableFile, match=r"torn\.csv\.gz: "):
        content_digest(path)


def test_what_is_not_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_bytes(f"{HEADER}\n".encode() + LINE.encode("utf-16") + b"\n")
    with pytest.raises(UnreadableFile, match=r"some\.csv, line 2: "):
        list(read_lines(path))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match=r"absent\.csv"):
        list(read_lines(tmp_path / "absent.csv"))


def test_the_shipped_week_is_what_its_attribution_says() -> None:
    lines = list(read_lines(WEEK))
    invoices = {line.invoice_no: line.is_cancellation for line in lines}
    dates = {line.invoiced_at.date().isoformat() for line in lines}
    text = WEEK.with_name("ATTRIBUTION.md").read_text()
    assert 6_624 == len(lines)
    assert "6 624 invoice lines" in text
    assert {False: 344, True: 63} == Counter(invoices.values())
    assert "344 invoices and 63 cancellations" in text
    assert 14 == len({line.country for line in lines})
    assert 2 == sum(line.unit_price_minor == 0 for line in lines)
    assert ("2011-04-11", "2011-04-17") == (min(dates), max(dates))
    assert "2011-04-16" not in dates
    assert WEEK.stat().st_size < 300_000
    assert b"\0\0\0\0" == WEEK.read_bytes()[4:8]  # No time in the gzip header.
