"""What of an account is past due, for how long, and how that is called (逾期分档).

Past due is what was not paid by its due day.  Days of grace do not move that day:
until they are over nothing is delinquent and nothing costs a penalty.
"""

import msgspec

from processor.allocation import owed_lines
from processor.debts import program_of
from processor.overdrawn import past_due
from processor.state import Account, ShardState
from processor.terms import Due


class Late(msgspec.Struct, frozen=True, gc=False):
    """What is past due, since when, and until when there is grace for it."""

    amount_minor: int
    due_on: int
    grace_on: int


def late_of(state: ShardState, account: Account) -> list[Late]:
    """All that is past due: lines, and what was overdrawn."""
    found = []
    for line in owed_lines(state, account):
        if line.due is Due.PAST_DUE:
            grace_days = program_of(state, line.purchase).terms.grace_days
            left_minor = sum(line.left.values())
            found.append(Late(left_minor, line.due_on, line.due_on + grace_days))
    grace_days = state.programs[account.program_id].terms.grace_days
    for part in past_due(account, state.today):
        grace_on = part.due_on + grace_days
        found.append(Late(part.amount_minor, part.due_on, grace_on))
    return found


def delinquency(account: Account, late: list[Late], today: int) -> str:
    """The bucket of the oldest debt whose days of grace are over.

    "grace": something is past due, but still in its days of grace.
    "written_off": something was given up and is not recovered.
    """
    if account.written_off_minor:
        return "written_off"
    days = [today - part.due_on for part in late if part.grace_on < today]
    return "grace" if late and not days else bucket_of(max(days, default=0))


def bucket_of(days_past_due: int) -> str:
    """The delinquency bucket (逾期分档): current, 1-30, 31-60 ... 180+ days."""
    if days_past_due <= 0:
        return "current"
    for most in (30, 60, 90, 120, 150, 180):
        if days_past_due <= most:
            return f"{most - 29}-{most}"
    return "180+"
