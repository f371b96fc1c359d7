"""The rules of temporary limits: in force up to and with a business day.

Set, one takes the place of the ordinary limit, which is kept beside it; what
changes the limit meanwhile changes the ordinary one.  Its end is a fact of its
own, recorded by the shard in the next business day before anything else of the
account is decided: nothing ever ends by being read.
"""

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.rules import Decision, Moment, declined
from processor.state import Account, AccountStatus, ShardState


def decide_set_temporary_limit(
    state: ShardState, command: c.SetTemporaryLimit, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if account.status is AccountStatus.CLOSED:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    if command.until_day < state.day:
        return declined(DeclineReason.UNTIL_DAY_PAST)
    return e.TemporaryLimitSet(
        command.account_id,
        command.limit_minor,
        command.until_day,
        ordinary_limit_minor(account),
        account.open_to_buy_minor - account.limit_minor + command.limit_minor,
    )


def apply_temporary_limit_set(state: ShardState, event: e.TemporaryLimitSet) -> None:
    account = state.accounts[event.account_id]
    account.ordinary_limit_minor = event.ordinary_limit_minor
    account.limit_minor = event.limit_minor
    state.temporary_limits[event.account_id] = event.until_day
    assert account.open_to_buy_minor == event.open_to_buy_minor


def decide_end_temporary_limit(
    state: ShardState, account_id: str
) -> e.TemporaryLimitEnded | None:
    """None when the account has none that has run out."""
    until_day = state.temporary_limits.get(account_id)
    if until_day is None or until_day >= state.day:
        return None
    account = state.accounts[account_id]
    limit_minor = ordinary_limit_minor(account)
    return e.TemporaryLimitEnded(
        account_id,
        limit_minor,
        account.open_to_buy_minor - account.limit_minor + limit_minor,
    )


def apply_temporary_limit_ended(
    state: ShardState, event: e.TemporaryLimitEnded
) -> None:
    account = state.accounts[event.account_id]
    account.limit_minor = event.limit_minor
    forget_temporary_limit(state, account)
    assert account.open_to_buy_minor == event.open_to_buy_minor


def forget_temporary_limit(state: ShardState, account: Account) -> None:
    """The ordinary limit is back; `apply` alone calls this."""
    if account.ordinary_limit_minor is None:
        return
    account.limit_minor = account.ordinary_limit_minor
    account.ordinary_limit_minor = None
    del state.temporary_limits[account.account_id]


def ordinary_limit_minor(account: Account) -> int:
    """The limit that is in force when no temporary one is."""
    ordinary = account.ordinary_limit_minor
    return account.limit_minor if ordinary is None else ordinary


def run_out(state: ShardState) -> list[str]:
    """The accounts whose temporary limit ended with an earlier business day."""
    return [
        account_id
        for account_id, until_day in state.temporary_limits.items()
        if until_day < state.day
    ]
