"""The figures of a replay: counted while it runs, and as they are handed on."""

from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Self

import msgspec

from gateway.retail.registration import Position


class Tally(msgspec.Struct):
    """Counted as answers come in, earlier runs over the same file included.

    `declined` is by reason, `refunds_unmatched` counts lines of cancellations.
    `replayed` answers came from the server's memory.  `busy_us` is the time in
    which operations ran.
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
    """How long authorizations took, from the first sending to the answer."""

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


class ReplayResult(msgspec.Struct, frozen=True):
    """What a replay did, and how the lenders stand after it.

    `skipped` counts lines of the file by cause, `asked_again` the requests
    that had to be sent more than once.
    """

    file_name: str
    first_file_day: date
    first_business_day: date
    day_count: int
    line_count: int
    skipped: dict[str, int]
    empty_invoice_count: int
    tally: Tally
    latency: Latency
    positions: tuple[Position, ...]
    asked_again: int
    elapsed_us: int

    @property
    def declined(self) -> int:
        """Purchases declined for any reason."""
        return self.tally.declined.total()
