"""The figures of a replay: counted while it runs, and as they are handed on."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import ClassVar, Self

import msgspec

from gateway.replays.registration import Position


class Tally(msgspec.Struct):
    """Counted as answers come in, earlier runs over the same file included.

    `declined` is by reason, `refunds_unmatched` counts what found no purchase to
    be taken from.  `replayed` answers came from the server's memory.  `busy_us` is
    the time in which operations ran.
    """

    purchases: int = 0
    approved: int = 0
    approved_minor: int = 0
    declined: Counter[str] = msgspec.field(default_factory=Counter)
    refunds: int = 0
    refunded_minor: int = 0
    refunds_declined: int = 0
    refunds_unmatched: int = 0
    repayments: int = 0
    repaid_minor: int = 0
    days_closed: int = 0
    replayed: int = 0
    busy_us: int = 0
    latencies_us: list[int] = []


class Latency(msgspec.Struct, frozen=True):
    """How long requests took, from the first sending to the answer."""

    p50_us: int
    p95_us: int
    p99_us: int

    @classmethod
    def of(cls, latencies_us: Sequence[int]) -> Self:
        """By nearest rank; zeros when there are none."""
        ordered = sorted(latencies_us) or [0]

        def percentile(percent: int) -> int:
            return ordered[max(-(-len(ordered) * percent // 100) - 1, 0)]

        return cls(percentile(50), percentile(95), percentile(99))


Row = tuple[str, int, str]  # What, how many, and a note.


class ReplayResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay did, and how the lenders stand after it.

    `skipped` counts lines of the file by cause, `asked_again` the requests
    that had to be sent more than once.  Each form of file has its own kind.
    """

    SYMBOL: ClassVar[str]  # Of its money, which has two decimals.
    UNMATCHED: ClassVar[str]  # What a refund without a purchase was.
    LATENCY_OF: ClassVar[str] = ""  # Of what, where it is not of a purchase.

    file_name: str
    first_file_day: date
    first_business_day: date
    line_count: int
    skipped: dict[str, int]
    tally: Tally
    latency: Latency
    positions: tuple[Position, ...]
    asked_again: int
    elapsed_us: int

    @property
    def declined(self) -> int:
        """Purchases declined for any reason."""
        return self.tally.declined.total()

    def further_figures(self) -> dict[str, int]:
        """What this form adds to the last line."""
        return {}

    def rows_of_lines(self) -> list[Row]:
        """What this form adds below the lines read."""
        return []

    def further_rows(self) -> list[Row]:
        """What this form adds below the repayments."""
        return []
