"""What is leased to shards in slices: a lender's reserve, and its daily cap.

A pool is named by an id.  The reserve of a lender has the lender's own id; the
daily cap has one that no lender can have, because "/" is no character of an
id.  The protocol of slices (`lessor.py`) knows pools and nothing else.
"""

from processor.declines import DeclineReason

_DAILY = "daily/"


def daily_pool(lender_id: str) -> str:
    """The pool of what may be authorized for a lender in a business day."""
    return _DAILY + lender_id


def is_daily(pool_id: str) -> bool:
    """Whether what is used of the pool is free again on the next business day."""
    return pool_id.startswith(_DAILY)


def lender_of(pool_id: str) -> str:
    """The lender whose money it is about."""
    return pool_id.removeprefix(_DAILY)


def constraint_of(pool_id: str) -> str:
    """What a pool is called where a purchase had to fit into it."""
    return "daily_cap" if is_daily(pool_id) else "reserve"


def exhausted(pool_id: str) -> DeclineReason:
    """The reason when the pool has too little, anywhere."""
    if is_daily(pool_id):
        return DeclineReason.DAILY_CAP_EXCEEDED
    return DeclineReason.RESERVE_EXHAUSTED
