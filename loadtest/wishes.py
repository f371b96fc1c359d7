"""What a client wants, as plain values: no HTTP, no clock, no processor.

A wish names a command by its wire name and carries its fields; whoever drives
the workload turns it into a request (`loadtest.wire`) or into a command for a
node, and hands the answer back in the form of `Answer`.
"""

from enum import StrEnum
from typing import Any

import msgspec


class Kind(StrEnum):
    """An element of the mix."""

    # The ordinary life of purchases and holds.
    BUY = "buy"
    AUTHORIZE = "authorize"
    CAPTURE_PART = "capture_part"
    CAPTURE_REST = "capture_rest"
    CAPTURE_ABOVE = "capture_above"
    REVERSE_PART = "reverse_part"
    REVERSE_REST = "reverse_rest"
    INCREMENT = "increment"
    HOLD = "hold"
    HOLD_MORE = "hold_more"
    RELEASE_PART = "release_part"
    RELEASE_REST = "release_rest"
    CONVERT_PART = "convert_part"
    CONVERT_REST = "convert_rest"
    REFUND_PART = "refund_part"
    REFUND_REST = "refund_rest"
    REPAY = "repay"
    # Left alone until its time is over.
    LEAVE = "leave"
    LEAVE_HOLD = "leave_hold"
    TOO_LATE = "too_late"
    # Looking.
    READ_ACCOUNT = "read_account"
    READ_PURCHASE = "read_purchase"
    READ_HOLD = "read_hold"
    READ_LEFT = "read_left"
    # The same Idempotency-Key once more.
    AGAIN = "again"
    BESIDE = "beside"
    CONFLICT = "conflict"
    # What must be declined.
    OVER_LIMIT = "over_limit"
    OVER_CAPTURE = "over_capture"
    OVER_REVERSE = "over_reverse"
    OVER_RELEASE = "over_release"
    OVER_CONVERT = "over_convert"
    OVER_REFUND = "over_refund"
    NOBODY = "nobody"


class Wish(msgspec.Struct, frozen=True):
    """One thing wanted.  `request_id` is its Idempotency-Key; "" when reading.

    `account_id` names the account whose books it may change.  Two wishes with
    the same `request_id` differ in `number`, which is unique for ever.
    """

    number: str
    kind: Kind
    command: str
    request_id: str
    account_id: str
    fields: dict[str, Any]
    differs: str = ""  # Kind.CONFLICT: the field that is not as it was.


class Answer(msgspec.Struct, frozen=True):
    """What came back; status 0 when nothing did."""

    status: int
    is_replay: bool = False
    body: bytes = b""

    @property
    def is_decided(self) -> bool:
        """Whether the server says what came of it."""
        return self.status == 200

    @property
    def is_not_done(self) -> bool:
        """Whether the server says that nothing was done; it may be sent again."""
        return self.status in (429, 503)

    @property
    def is_unknown(self) -> bool:
        """Whether nobody can say what came of it; it must be sent again."""
        return self.status in (0, 408, 500, 502, 504)


class Lot(msgspec.Struct, frozen=True):
    """One account as the stage was set: its program's terms, and its limit.

    `lapses`: what is left open here runs out within the test.
    """

    account_id: str
    program_id: str
    limit_minor: int
    capture_tolerance_ppm: int
    lapses: bool
