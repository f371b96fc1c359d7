"""The borrower's credit balance where it goes below zero, and comes back.

It does when credit that was spent has to be taken back: the platform has paid
it, so it is owed to the platform, at once and without charge.  A statement bills
it in full, as a part of the minimum, and from then on it has a due day.  What
comes in pays it before all else, what was billed first before the rest.

Touched by `apply` alone.  What only uses credit, and never overdraws it, is not
here.
"""

from collections.abc import Sequence

from processor.debts import bills_on, wake
from processor.state import Account, Overdrawn, ShardState


def billed_minor(account: Account) -> int:
    """What of an overdrawn balance statements have billed."""
    billed = () if account.debt is None else account.debt.overdrawn
    return sum(part.amount_minor for part in billed)


def past_due(account: Account, today: int) -> list[Overdrawn]:
    """What of it was due before today."""
    billed = () if account.debt is None else account.debt.overdrawn
    return [part for part in billed if part.due_on < today]


def add_credit(
    state: ShardState, account: Account, amount_minor: int
) -> tuple[Overdrawn, ...]:
    """Raise the balance; what that pays of what was billed."""
    left_minor = min(amount_minor, account.overdrawn_minor)
    account.credit_minor += amount_minor
    if account.credit_minor > 0 and account.unpaid is not None:
        # Beside a debt it pays what is billed of it at the end of the day.
        wake(state, account, state.today + 1)
    return _paid(account, left_minor)


def _paid(account: Account, left_minor: int) -> tuple[Overdrawn, ...]:
    debt = account.debt
    paid: list[Overdrawn] = []
    while left_minor and debt is not None and debt.overdrawn:
        first = debt.overdrawn[0]
        paid_minor = min(left_minor, first.amount_minor)
        paid.append(Overdrawn(first.due_on, paid_minor))
        debt.overdrawn[:1] = _less(first, paid_minor)
        debt.minimum_left_minor -= paid_minor
        left_minor -= paid_minor
    return tuple(paid)


def _less(part: Overdrawn, amount_minor: int) -> list[Overdrawn]:
    if part.amount_minor == amount_minor:
        return []
    return [Overdrawn(part.due_on, part.amount_minor - amount_minor)]


def take_credit(
    state: ShardState,
    account: Account,
    amount_minor: int,
    paid: Sequence[Overdrawn] = (),
) -> None:
    """Lower the balance, below zero where it must be.

    What a payment had `paid` of billed parts is due again as it was, as far as
    the balance is overdrawn at all.
    """
    account.credit_minor -= amount_minor
    if account.credit_minor < 0:
        wake(state, account, bills_on(state, account) + 1)
    left_minor = account.overdrawn_minor - billed_minor(account)
    for part in paid:
        again_minor = min(left_minor, part.amount_minor)
        if again_minor:
            assert account.debt is not None
            account.debt.overdrawn.append(Overdrawn(part.due_on, again_minor))
            account.debt.overdrawn.sort(key=_due_on)
            account.debt.minimum_left_minor += again_minor
            left_minor -= again_minor


def _due_on(part: Overdrawn) -> int:
    return part.due_on
