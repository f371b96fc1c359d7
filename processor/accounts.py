"""The rules of credit accounts: open, limit, freeze, close."""

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.ids import SLOT_NUMBERS, slot_of_account
from processor.rules import Decision, Moment, declined
from processor.state import Account, AccountStatus, ShardState
from processor.temporary_limits import forget_temporary_limit


def decide_open_account(
    state: ShardState, command: c.OpenAccount, moment: Moment
) -> Decision:
    program = state.programs.get(command.program_id)
    if program is None:
        return declined(DeclineReason.PROGRAM_NOT_FOUND)
    if command.account_id in state.accounts:
        return declined(DeclineReason.ACCOUNT_EXISTS)
    if command.currency != program.currency:
        return declined(DeclineReason.CURRENCY_MISMATCH)
    return e.AccountOpened(
        command.account_id,
        command.program_id,
        command.currency,
        command.limit_minor,
        command.statement_day,
        command.due_day,
    )


def apply_account_opened(state: ShardState, event: e.AccountOpened) -> None:
    assert event.account_id not in state.accounts
    # A million accounts name the same few programs: one string each is enough.
    program = state.programs[event.program_id]
    state.accounts[event.account_id] = Account(
        event.account_id,
        program.program_id,
        program.currency,
        event.limit_minor,
        SLOT_NUMBERS[slot_of_account(event.account_id)],
        event.statement_day,
        event.due_day,
        number=len(state.accounts) + 1,
    )


def decide_change_limit(
    state: ShardState, command: c.ChangeLimit, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if account.status is AccountStatus.CLOSED:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    if account.ordinary_limit_minor is not None:
        return e.LimitChanged(
            command.account_id,
            command.limit_minor,
            account.open_to_buy_minor,
            account.limit_minor,
            state.temporary_limits[command.account_id],
        )
    return e.LimitChanged(
        command.account_id,
        command.limit_minor,
        account.open_to_buy_minor - account.limit_minor + command.limit_minor,
    )


def apply_limit_changed(state: ShardState, event: e.LimitChanged) -> None:
    account = state.accounts[event.account_id]
    if event.until_day:
        account.ordinary_limit_minor = event.limit_minor
    else:
        account.limit_minor = event.limit_minor
    assert account.open_to_buy_minor == event.open_to_buy_minor


def decide_freeze_account(
    state: ShardState, command: c.FreezeAccount, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if account.status is AccountStatus.CLOSED:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    if account.status is AccountStatus.FROZEN:
        return declined(DeclineReason.ACCOUNT_FROZEN)
    return e.AccountFrozen(command.account_id)


def apply_account_frozen(state: ShardState, event: e.AccountFrozen) -> None:
    state.accounts[event.account_id].status = AccountStatus.FROZEN


def decide_unfreeze_account(
    state: ShardState, command: c.UnfreezeAccount, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if account.status is AccountStatus.CLOSED:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    if account.status is not AccountStatus.FROZEN:
        return declined(DeclineReason.ACCOUNT_NOT_FROZEN)
    if account.written_off_minor:
        return declined(DeclineReason.ACCOUNT_WRITTEN_OFF)
    return e.AccountUnfrozen(command.account_id)


def apply_account_unfrozen(state: ShardState, event: e.AccountUnfrozen) -> None:
    state.accounts[event.account_id].status = AccountStatus.OPEN


def decide_close_account(
    state: ShardState, command: c.CloseAccount, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if account.status is AccountStatus.CLOSED:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    if (
        account.held_minor
        or account.authorized_minor
        or account.unpaid
        or account.credit_minor
    ):
        return declined(DeclineReason.ACCOUNT_IN_USE)
    return e.AccountClosed(command.account_id)


def apply_account_closed(state: ShardState, event: e.AccountClosed) -> None:
    account = state.accounts[event.account_id]
    assert account.open_to_buy_minor == account.limit_minor
    forget_temporary_limit(state, account)
    account.status = AccountStatus.CLOSED
