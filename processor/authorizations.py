"""The rules of purchases: authorize, increment, reverse, expire.

An authorization occupies the account's limit and every lender's slice.  What
leaves it (captured or given back) leaves by the refund algebra of
`apportion`, so whatever the order, the parts of all that left are exact when
nothing is open any more.  A capture turns limit and slice from authorized to
outstanding and captured; the amounts occupied do not change.
"""

import msgspec

from processor import commands as c
from processor import events as e
from processor import limits, velocity
from processor.bookings import (
    book_credit,
    capture_reserve,
    count_increment,
    draw,
    give_back,
    increment,
    owe,
    settle_status,
    use_credit,
)
from processor.debts import Cut, borne_by, cut_capture, new_lines, program_of
from processor.declines import DeclineReason
from processor.explain import named, seen_by
from processor.holds import take_from_hold
from processor.ids import IdKind, make_id
from processor.merchants import book_charge, charge_of
from processor.orders import is_sound
from processor.partial import portion_of
from processor.rules import (
    Decision,
    Moment,
    decline_status,
    declined,
    occupy_reserve,
    reserve_for,
    split,
    zeros,
)
from processor.state import (
    Account,
    Authorization,
    AuthorizationStatus,
    HoldStatus,
    Program,
    ShardState,
)
from processor.watched import count


def decide_authorize(
    state: ShardState, command: c.Authorize, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if command.merchant_id not in state.merchants:
        return declined(DeclineReason.MERCHANT_NOT_FOUND)
    if command.plan_id and not _has_plan(state, account, command.plan_id):
        return declined(DeclineReason.PLAN_NOT_FOUND)
    if account.currency != command.currency:
        return declined(DeclineReason.CURRENCY_MISMATCH)
    if command.tenders and not is_sound(command):
        return declined(DeclineReason.ORDER_NOT_SOUND)
    refused = decline_status(account)
    if refused is not None:
        return named(state, account, refused, moment)
    if command.partial:
        return _decide_portion(state, account, command, moment)
    return _decide_purchase(state, account, command, command.amount_minor, moment)


def _decide_portion(
    state: ShardState, account: Account, command: c.Authorize, moment: Moment
) -> Decision:
    """As for a whole purchase, of the most that fits."""
    portion = portion_of(state, account, command, moment)
    is_full = account.authorization_count >= limits.AUTHORIZATIONS_PER_ACCOUNT_MAX
    if isinstance(portion, e.Declined):
        if is_full:
            portion = declined(DeclineReason.TOO_MANY_AUTHORIZATIONS)
        return named(state, account, portion, moment)
    decision = _decide_purchase(state, account, command, portion.amount_minor, moment)
    if portion.reduced is not None and isinstance(decision, e.Authorized):
        return msgspec.structs.replace(decision, reduced=portion.reduced)
    return decision


def decide_convert_hold(
    state: ShardState, command: c.ConvertHold, moment: Moment
) -> Decision:
    hold = state.holds.get(command.hold_id)
    if hold is None:
        return declined(DeclineReason.HOLD_NOT_FOUND)
    if command.merchant_id not in state.merchants:
        return declined(DeclineReason.MERCHANT_NOT_FOUND)
    account = state.accounts[hold.account_id]
    if command.plan_id and not _has_plan(state, account, command.plan_id):
        return declined(DeclineReason.PLAN_NOT_FOUND)
    refused = decline_status(account)
    if refused is not None:
        return named(state, account, refused, moment)
    if hold.status is not HoldStatus.OPEN:
        return declined(DeclineReason.HOLD_NOT_OPEN)
    amount_minor = command.amount_minor or hold.held_minor
    if amount_minor > hold.held_minor:
        return declined(
            DeclineReason.CONVERSION_EXCEEDS_HELD, amount_minor - hold.held_minor
        )
    rest_minor = hold.held_minor - amount_minor if command.final else 0
    return _decide_purchase(
        state, account, command, amount_minor, moment, hold.hold_id, rest_minor
    )


def _has_plan(state: ShardState, account: Account, plan_id: str) -> bool:
    return plan_id in state.programs[account.program_id].plans


def _decide_purchase(
    state: ShardState,
    account: Account,
    command: c.Authorize | c.ConvertHold,
    amount_minor: int,
    moment: Moment,
    hold_id: str = "",
    hold_released_minor: int = 0,
) -> Decision:
    if account.authorization_count >= limits.AUTHORIZATIONS_PER_ACCOUNT_MAX:
        too_many = declined(DeclineReason.TOO_MANY_AUTHORIZATIONS)
        return named(state, account, too_many, moment)
    if account.velocity is not None:
        category = velocity.category_of(state, command.merchant_id)
        refused = velocity.decline_velocity(state, account, category, amount_minor)
        if refused is not None:
            return named(state, account, refused, moment)
    open_to_buy_minor = account.open_to_buy_minor - amount_minor
    if hold_id:
        # What a hold occupies already needs no room in the limit again.
        open_to_buy_minor += amount_minor + hold_released_minor
    elif open_to_buy_minor < 0:
        over = declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, -open_to_buy_minor)
        return named(state, account, over, moment)
    program = state.programs[account.program_id]
    parts = split(program, amount_minor)
    undecided = reserve_for(state, program, parts, moment)
    if undecided is not None:
        return named(state, account, undecided, moment)
    # Nothing may decline from here on.
    credit_used_minor = 0
    credit_parts: e.Parts = ()
    cut: Cut = (0, (), 0)
    charge: e.MerchantCharge | None = None
    if command.capture:
        if account.credit_minor > 0:
            credit_used_minor, credit_parts = use_credit(account, amount_minor, parts)
        charge = charge_of(state, command.merchant_id, amount_minor)
        cut = cut_capture(state, account, program, command.plan_id, amount_minor)
    slot, sequence = account.slot, state.sequence + 1
    return e.Authorized(
        make_id(IdKind.AUTHORIZATION, slot, state.shard, sequence),
        account.account_id,
        command.merchant_id,
        program.program_id,
        program.version,
        amount_minor,
        parts,
        moment.now_ms + program.authorization_expiry_ms,
        open_to_buy_minor,
        command.capture,
        credit_used_minor,
        credit_parts,
        hold_id,
        amount_minor if hold_id else 0,
        hold_released_minor,
        charge,
        *cut,
        borne_parts=borne_by(program, cut[2]),
    )


def apply_authorized(
    state: ShardState, event: e.Authorized, command: c.Authorize | c.ConvertHold
) -> None:
    account = state.accounts[event.account_id]
    program = state.program_versions[event.program_id, event.program_version]
    authorization = _begun(state, account, program, event, command)
    amount_minor, parts = event.amount_minor, event.parts
    state.authorizations[event.authorization_id] = authorization
    state.totals.authorized_count += 1
    if program.is_watched:
        count(state, program, event.authorization_id, parts)
    if account.velocity is not None:
        velocity.count(state, account, authorization, amount_minor)
    if event.captured:
        capture_reserve(state, program, parts)
        new_lines(
            state, account, authorization, amount_minor, event.bills_on, event.lines
        )
        authorization.captured_minor = authorization.outstanding_minor = amount_minor
        authorization.captured_parts = authorization.outstanding_parts = parts
        owe(state, account, authorization, event, False)
        if event.charge is not None:
            book_charge(state, account, authorization, amount_minor, event.charge)
        if event.credit_used_minor:
            book_credit(
                state,
                account,
                authorization,
                event.credit_used_minor,
                event.credit_parts,
            )
    else:
        account.authorized_minor += amount_minor
        account.authorization_count += 1
    assert account.open_to_buy_minor == event.open_to_buy_minor


def _begun(
    state: ShardState,
    account: Account,
    program: Program,
    event: e.Authorized,
    command: c.Authorize | c.ConvertHold,
) -> Authorization:
    """Occupy the reserve, and the purchase with what its decision met."""
    more = None
    if (
        event.hold_id
        or account.velocity is not None
        or event.reduced is not None
        or program.is_watched
    ):
        more = seen_by(state, account, program, event)
    if event.hold_id:
        _take_hold(state, event)
    split_parts = program.split_parts
    free_parts = occupy_reserve(state, program, event.parts)
    none = zeros(program)
    amount_minor, left_minor = event.amount_minor, event.open_to_buy_minor
    return Authorization(
        event.authorization_id,
        account.account_id,  # Not the event's: a string less for each purchase.
        event.merchant_id,
        program.program_id,
        program.version,
        event.expires_at_ms,
        state.day,
        command.reference,
        AuthorizationStatus.CAPTURED if event.captured else AuthorizationStatus.OPEN,
        amount_minor,
        event.parts,
        0,
        none,
        0,
        none,
        0,
        none,
        0,
        none,
        plan_id=command.plan_id,
        tenders=command.tenders if isinstance(command, c.Authorize) else (),
        explained=(amount_minor, left_minor, free_parts, split_parts, more),
        category=velocity.category_of(state, event.merchant_id),
    )


def _take_hold(state: ShardState, event: e.Authorized) -> None:
    hold = state.holds[event.hold_id]
    if event.hold_released_minor:
        take_from_hold(state, hold, event.hold_released_minor, HoldStatus.CONVERTED)
    take_from_hold(state, hold, event.hold_taken_minor, HoldStatus.CONVERTED)


def decide_increment(
    state: ShardState, command: c.IncrementAuthorization, moment: Moment
) -> Decision:
    authorization = state.authorizations.get(command.authorization_id)
    if authorization is None:
        return declined(DeclineReason.AUTHORIZATION_NOT_FOUND)
    account = state.accounts[authorization.account_id]
    refused = decline_status(account)
    if refused is not None:
        return refused
    if authorization.status is not AuthorizationStatus.OPEN:
        return declined(DeclineReason.AUTHORIZATION_NOT_OPEN)
    refused = velocity.decline_growth(
        state, account, authorization, command.amount_minor
    )
    if refused is not None:
        return refused
    missing_minor = command.amount_minor - account.open_to_buy_minor
    if missing_minor > 0:
        return declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, missing_minor)
    program = program_of(state, authorization)
    parts = split(program, command.amount_minor)
    undecided = reserve_for(state, program, parts, moment)
    if undecided is not None:
        return undecided
    return e.AuthorizationIncremented(
        authorization.authorization_id, command.amount_minor, parts, -missing_minor
    )


def apply_incremented(state: ShardState, event: e.AuthorizationIncremented) -> None:
    authorization = state.authorizations[event.authorization_id]
    account = state.accounts[authorization.account_id]
    increment(state, account, authorization, event.amount_minor, event.parts)
    count_increment(state, account, authorization, event.amount_minor, event.parts)
    assert account.open_to_buy_minor == event.open_to_buy_minor


def decide_reverse(
    state: ShardState, command: c.ReverseAuthorization, moment: Moment
) -> Decision:
    authorization = state.authorizations.get(command.authorization_id)
    if authorization is None:
        return declined(DeclineReason.AUTHORIZATION_NOT_FOUND)
    if authorization.status is not AuthorizationStatus.OPEN:
        return declined(DeclineReason.AUTHORIZATION_NOT_OPEN)
    amount_minor = command.amount_minor or authorization.open_minor
    if amount_minor > authorization.open_minor:
        return declined(
            DeclineReason.REVERSAL_EXCEEDS_OPEN,
            amount_minor - authorization.open_minor,
        )
    account = state.accounts[authorization.account_id]
    return e.AuthorizationReversed(
        authorization.authorization_id,
        amount_minor,
        draw(authorization, amount_minor),
        account.open_to_buy_minor + amount_minor,
    )


def apply_reversed(state: ShardState, event: e.AuthorizationReversed) -> None:
    authorization = state.authorizations[event.authorization_id]
    account = state.accounts[authorization.account_id]
    give_back(state, account, authorization, event.amount_minor, event.parts)
    settle_status(account, authorization)
    assert account.open_to_buy_minor == event.open_to_buy_minor


def decide_expire_authorization(
    state: ShardState, authorization_id: str, now_ms: int
) -> Decision | None:
    """None when there is nothing to expire, now or any more."""
    authorization = state.authorizations.get(authorization_id)
    if authorization is None or authorization.status is not AuthorizationStatus.OPEN:
        return None
    if now_ms < authorization.expires_at_ms:
        return None
    open_minor = authorization.open_minor
    return e.AuthorizationExpired(
        authorization_id, open_minor, draw(authorization, open_minor)
    )


def apply_expired(state: ShardState, event: e.AuthorizationExpired) -> None:
    authorization = state.authorizations[event.authorization_id]
    account = state.accounts[authorization.account_id]
    give_back(state, account, authorization, event.amount_minor, event.parts)
    settle_status(account, authorization, AuthorizationStatus.EXPIRED)
