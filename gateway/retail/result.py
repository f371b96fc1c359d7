"""What the replay of a web shop's invoices adds to the figures of a replay."""

from typing import ClassVar

from gateway.replays.result import ReplayResult, Row


class RetailResult(ReplayResult, frozen=True, kw_only=True):
    """A replay of invoice lines; `refunds_unmatched` counts cancelled lines."""

    SYMBOL: ClassVar[str] = "£"
    UNMATCHED: ClassVar[str] = "cancelled lines, no purchase left"

    day_count: int
    empty_invoice_count: int

    def rows_of_lines(self) -> list[Row]:
        """Invoices of which no line was left."""
        if not self.empty_invoice_count:
            return []
        return [("  invoices", self.empty_invoice_count, "skipped with nothing left")]
