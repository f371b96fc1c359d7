"""Read card accounts from a file of the Default of Credit Card Clients form.

The rule: a row that has the form is yielded as it stands, one that has not is
yielded as malformed, with its line, its column and what is wrong, and the
reading goes on.  Nothing here may guess a value.

A row is a line: cells hold numbers, so none has a line break in it.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from gateway.replays.tables import column_order, header_of, opened, shortened

MONTHS: Final = ("apr", "may", "jun", "jul", "aug", "sep")  # Of 2005.
_STATUS: Final = tuple(f"pay_{month}" for month in MONTHS)
_BILL: Final = tuple(f"bill_amt_{month}" for month in MONTHS)
_PAID: Final = tuple(f"pay_amt_{month}" for month in MONTHS)
COLUMNS: Final = ("id", "limit_bal", *_STATUS, *_BILL, *_PAID)

_ID: Final = re.compile(r"[A-Za-z0-9]{1,12}")  # Becomes a part of request ids.
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,9}")
_DELAY_MONTHS_MAX: Final = 9


class CardRow(msgspec.Struct, frozen=True, gc=False):
    """One account; amounts in whole dollars, tuples from April to September.

    A bill is what is owed on the month's statement day (negative: credit); what
    was paid in a month pays the bill of the month before.  A status is -2 (no
    use), -1 (paid in full), 0 (revolving), or so many months of delay.
    """

    client_id: str
    limit_units: int
    statuses: tuple[int, ...]
    bills_units: tuple[int, ...]
    paid_units: tuple[int, ...]


class Malformed(msgspec.Struct, frozen=True, gc=False):
    """A row that is not of the form: `where` names the place, `cause` counts."""

    where: str
    cause: str


class _Wrong(Exception):
    def __init__(self, column: str, shown: str, wanted: str) -> None:
        super().__init__(column, shown, wanted)
        self.column, self.shown, self.wanted = column, shown, wanted


def read_cards(path: Path) -> Iterator[CardRow | Malformed]:
    """The rows of a CSV file, plain or gzip; an id is taken once.

    Raises UnreadableFile when the header or the packing is not of the form.
    """
    order = column_order(path.name, header_of(path), COLUMNS)
    seen = set()
    with opened(path) as content:
        content.readline()
        for number, line in enumerate(content, 2):
            if not line.strip():
                continue
            try:
                row = _row(_cells(line, order))
                if row.client_id in seen:
                    raise _Wrong("id", shortened(row.client_id), "new: it came before")
            except _Wrong as wrong:
                where = f"{path.name}, line {number}, column {wrong.column}"
                yield Malformed(
                    f"{where}: {wrong.shown} is not {wrong.wanted}",
                    f"{wrong.column} is not {wrong.wanted}",
                )
                continue
            seen.add(row.client_id)
            yield row


def _cells(line: bytes, order: list[int]) -> dict[str, str]:
    text = line.decode("utf-8", errors="replace")
    try:
        cells = next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise _Wrong(COLUMNS[0], shortened(text.strip()), f"a row: {error}") from None
    if len(cells) <= max(order):
        missing = COLUMNS[next(i for i, at in enumerate(order) if at >= len(cells))]
        raise _Wrong(missing, "a row that ends before it", "complete")
    return {name: cells[at].strip() for name, at in zip(COLUMNS, order, strict=True)}


def _row(cells: dict[str, str]) -> CardRow:
    client_id = cells["id"]
    if not _ID.fullmatch(client_id):
        raise _Wrong("id", shortened(client_id), "1 to 12 letters and digits")
    return CardRow(
        client_id,
        _whole(cells, "limit_bal", least=0),
        tuple(_whole(cells, name, -2, _DELAY_MONTHS_MAX) for name in _STATUS),
        tuple(_whole(cells, name) for name in _BILL),
        tuple(_whole(cells, name, least=0) for name in _PAID),
    )


def _whole(
    cells: dict[str, str],
    column: str,
    least: int | None = None,
    most: int | None = None,
) -> int:
    text = cells[column]
    if not _WHOLE.fullmatch(text):
        raise _Wrong(column, shortened(text), "a whole number of at most 9 digits")
    value = int(text)
    if least is not None and value < least:
        raise _Wrong(column, text, f"{least} or more")
    if most is not None and value > most:
        raise _Wrong(column, text, f"{most} or less")
    return value
