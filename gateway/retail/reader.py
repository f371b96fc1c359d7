"""Read invoice lines from a file of the Online Retail form, one at a time.

The rule: what has the form of a line is yielded as it stands, also when its
figures make no sense for a purchase (the plan counts those); what has not
stops the reading with the file, the line and the column by name.  Nothing
here may guess a value, or hold more than one line in memory.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from gateway.replays.tables import UnreadableFile, column_order, opened, shortened

COLUMNS: Final = (
    "invoice_no",
    "stock_code",
    "quantity",
    "unit_price_pence",
    "invoiced_at",
    "customer_id",
    "country",
)
# Invoice and customer numbers become parts of ids and of request ids.
_NUMBER: Final = re.compile(r"[A-Za-z0-9.]{1,12}")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,12}")


class InvoiceLine(msgspec.Struct, frozen=True, gc=False):
    """One line of an invoice; a cancellation's quantity is negative.

    `customer_id` is empty when the shop did not know the customer.
    """

    invoice_no: str
    stock_code: str
    quantity: int
    unit_price_minor: int
    invoiced_at: datetime
    customer_id: str
    country: str

    @property
    def is_cancellation(self) -> bool:
        """An invoice number that starts with C takes a purchase back."""
        return self.invoice_no.startswith("C")

    @property
    def amount_minor(self) -> int:
        """The line's money: negative where it goes back."""
        return self.quantity * self.unit_price_minor


def read_lines(path: Path) -> Iterator[InvoiceLine]:
    """The lines of a CSV file, plain or gzip, in the order of the file.

    Raises UnreadableFile at the first line that is not of the form.
    """
    with opened(path) as stream:
        yield from _parse(path.name, stream)


def _parse(name: str, stream: Iterable[bytes]) -> Iterator[InvoiceLine]:
    rows = csv.reader((line.decode("utf-8-sig") for line in stream), strict=True)
    try:
        order = column_order(name, next(rows, []), COLUMNS)
        for row in rows:
            if row:
                yield _line(name, rows.line_num, [row[i] for i in order])
    except IndexError:
        wanted = f"fewer than the {len(COLUMNS)} columns of the form"
        raise UnreadableFile(f"{name}, line {rows.line_num}: {wanted}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        # The reader has not counted the line that it could not take.
        at = rows.line_num + isinstance(error, UnicodeDecodeError)
        raise UnreadableFile(f"{name}, line {at}: {error}") from error


def _line(name: str, number: int, cells: list[str]) -> InvoiceLine:
    invoice_no, stock_code, quantity, price, invoiced_at, customer_id, country = (
        cell.strip() for cell in cells
    )

    def refused(column: str, value: str, wanted: str) -> UnreadableFile:
        where = f"{name}, line {number}, column {column}"
        return UnreadableFile(f"{where}: {shortened(value)} is not {wanted}")

    if not _NUMBER.fullmatch(invoice_no):
        raise refused("invoice_no", invoice_no, "1 to 12 letters and digits")
    if not stock_code:
        raise refused("stock_code", stock_code, "the code of an item")
    if not _INTEGER.fullmatch(quantity):
        raise refused("quantity", quantity, "a whole number")
    if not _INTEGER.fullmatch(price):
        raise refused("unit_price_pence", price, "a whole number of pence")
    at = _local_time(invoiced_at)
    if at is None:
        raise refused(
            "invoiced_at", invoiced_at, "a local time like 2011-08-22 08:26:00"
        )
    if customer_id and not _NUMBER.fullmatch(customer_id):
        raise refused("customer_id", customer_id, "1 to 12 letters and digits")
    return InvoiceLine(
        invoice_no, stock_code, int(quantity), int(price), at, customer_id, country
    )


def _local_time(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is None else None
