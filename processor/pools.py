"""What is leased to shards in slices: a lender's reserve, and its caps.

A pool is named by an id.  The reserve of a lender has the lender's own id.  The
daily cap and the caps by program have ids that no lender can have, because "/"
is no character of an id.  The protocol of slices (`lessor.py`) knows pools and
nothing else.
"""

from processor.declines import DeclineReason

_DAILY = "daily/"
_PROGRAM = "program/"


def daily_pool(lender_id: str) -> str:
    """The pool of what may be authorized for a lender in a business day."""
    return _DAILY + lender_id


def program_pool(program_id: str, lender_id: str, version: int) -> str:
    """The pool of what a lender may have lent out through a program.

    Each time the cap is set it is another pool: `version` is that of the
    reference data with which it came.
    """
    return f"{_PROGRAM}{program_id}/{lender_id}/{version}"


def is_daily(pool_id: str) -> bool:
    """Whether what is used of the pool is free again on the next business day."""
    return pool_id.startswith(_DAILY)


def is_of_program(pool_id: str) -> bool:
    """Whether it is a lender's cap for one program."""
    return pool_id.startswith(_PROGRAM)


def lender_of(pool_id: str) -> str:
    """The lender whose money it is about."""
    if is_of_program(pool_id):
        return pool_id.split("/")[2]
    return pool_id.removeprefix(_DAILY)


def constraint_of(pool_id: str) -> str:
    """What a pool is called where a purchase had to fit into it."""
    if is_of_program(pool_id):
        return "program_cap"
    return "daily_cap" if is_daily(pool_id) else "reserve"


def exhausted(pool_id: str) -> DeclineReason:
    """The reason when the pool has too little, anywhere."""
    if is_of_program(pool_id):
        return DeclineReason.PROGRAM_CAP_EXCEEDED
    if is_daily(pool_id):
        return DeclineReason.DAILY_CAP_EXCEEDED
    return DeclineReason.RESERVE_EXHAUSTED
