"""The rules of limit holds: they occupy the limit only, no lender's money."""

from processor import commands as c
from processor import events as e
from processor import limits
from processor.declines import DeclineReason
from processor.ids import IdKind, make_id
from processor.rules import (
    Decision,
    Moment,
    decline_new_debt,
    decline_status,
    declined,
)
from processor.state import Account, Hold, HoldStatus, ShardState


def decide_place_hold(
    state: ShardState, command: c.PlaceHold, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    refused = decline_new_debt(account, command.currency)
    if refused is not None:
        return refused
    assert account is not None
    if account.hold_count >= limits.HOLDS_PER_ACCOUNT_MAX:
        return declined(DeclineReason.TOO_MANY_HOLDS)
    missing_minor = command.amount_minor - account.open_to_buy_minor
    if missing_minor > 0:
        return declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, missing_minor)
    program = state.programs[account.program_id]
    return e.HoldPlaced(
        make_id(
            IdKind.HOLD,
            account.slot,
            state.shard,
            state.sequence + 1,
        ),
        command.account_id,
        command.amount_minor,
        moment.now_ms + program.hold_expiry_ms,
        -missing_minor,
    )


def apply_hold_placed(
    state: ShardState, event: e.HoldPlaced, command: c.PlaceHold
) -> None:
    account = state.accounts[event.account_id]
    state.holds[event.hold_id] = Hold(
        event.hold_id,
        account.account_id,
        event.expires_at_ms,
        command.reference,
        event.amount_minor,
    )
    account.held_minor += event.amount_minor
    account.hold_count += 1
    assert account.open_to_buy_minor == event.open_to_buy_minor >= 0


def decide_increase_hold(
    state: ShardState, command: c.IncreaseHold, moment: Moment
) -> Decision:
    hold = state.holds.get(command.hold_id)
    if hold is None:
        return declined(DeclineReason.HOLD_NOT_FOUND)
    account = state.accounts[hold.account_id]
    refused = decline_status(account)
    if refused is not None:
        return refused
    if hold.status is not HoldStatus.OPEN:
        return declined(DeclineReason.HOLD_NOT_OPEN)
    missing_minor = command.amount_minor - account.open_to_buy_minor
    if missing_minor > 0:
        return declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, missing_minor)
    return e.HoldIncreased(hold.hold_id, command.amount_minor, -missing_minor)


def apply_hold_increased(state: ShardState, event: e.HoldIncreased) -> None:
    hold = state.holds[event.hold_id]
    hold.held_minor += event.amount_minor
    state.accounts[hold.account_id].held_minor += event.amount_minor


def decide_release_hold(
    state: ShardState, command: c.ReleaseHold, moment: Moment
) -> Decision:
    hold = state.holds.get(command.hold_id)
    if hold is None:
        return declined(DeclineReason.HOLD_NOT_FOUND)
    if hold.status is not HoldStatus.OPEN:
        return declined(DeclineReason.HOLD_NOT_OPEN)
    amount_minor = command.amount_minor or hold.held_minor
    if amount_minor > hold.held_minor:
        return declined(
            DeclineReason.RELEASE_EXCEEDS_HELD, amount_minor - hold.held_minor
        )
    account = state.accounts[hold.account_id]
    return e.HoldReleased(
        hold.hold_id, amount_minor, account.open_to_buy_minor + amount_minor
    )


def apply_hold_released(state: ShardState, event: e.HoldReleased) -> None:
    take_from_hold(
        state, state.holds[event.hold_id], event.amount_minor, HoldStatus.RELEASED
    )


def decide_expire_hold(state: ShardState, hold_id: str, now_ms: int) -> Decision | None:
    """None when there is nothing to expire, now or any more."""
    hold = state.holds.get(hold_id)
    if hold is None or hold.status is not HoldStatus.OPEN:
        return None
    if now_ms < hold.expires_at_ms:
        return None
    return e.HoldExpired(hold_id, hold.held_minor)


def apply_hold_expired(state: ShardState, event: e.HoldExpired) -> None:
    take_from_hold(
        state, state.holds[event.hold_id], event.amount_minor, HoldStatus.EXPIRED
    )


def take_from_hold(
    state: ShardState, hold: Hold, amount_minor: int, status_if_empty: HoldStatus
) -> Account:
    """Lower a hold; when nothing is left it is over.  Returns its account."""
    assert hold.status is HoldStatus.OPEN
    account = state.accounts[hold.account_id]
    hold.held_minor -= amount_minor
    account.held_minor -= amount_minor
    assert hold.held_minor >= 0
    assert account.held_minor >= 0
    if hold.held_minor == 0:
        hold.status = status_if_empty
        account.hold_count -= 1
    return account
