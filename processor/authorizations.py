"""The rules of purchases: authorize, increment, capture, reverse, expire.

An authorization occupies the account's limit and every lender's slice.  What
leaves it (captured or given back) leaves by the refund algebra of
`apportion`, so whatever the order, the parts of all that left are exact when
nothing is open any more.  A capture turns limit and slice from authorized to
outstanding and captured; the amounts occupied do not change.
"""

from processor import commands as c
from processor import events as e
from processor import limits
from processor.apportion import apportion
from processor.declines import DeclineReason
from processor.events import Parts
from processor.holds import take_from_hold
from processor.ids import IdKind, make_id
from processor.rules import (
    Decision,
    Moment,
    add,
    decline_new_debt,
    decline_status,
    declined,
    occupy_reserve,
    release_reserve,
    reserve_for,
    split,
    subtract,
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


def decide_authorize(
    state: ShardState, command: c.Authorize, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if command.merchant_id not in state.merchants:
        return declined(DeclineReason.MERCHANT_NOT_FOUND)
    refused = decline_new_debt(account, command.currency)
    if refused is not None:
        return refused
    return _decide_purchase(
        state,
        account,
        command.merchant_id,
        command.amount_minor,
        command.capture,
        moment,
    )


def decide_convert_hold(
    state: ShardState, command: c.ConvertHold, moment: Moment
) -> Decision:
    hold = state.holds.get(command.hold_id)
    if hold is None:
        return declined(DeclineReason.HOLD_NOT_FOUND)
    if command.merchant_id not in state.merchants:
        return declined(DeclineReason.MERCHANT_NOT_FOUND)
    account = state.accounts[hold.account_id]
    refused = decline_status(account)
    if refused is not None:
        return refused
    if hold.status is not HoldStatus.OPEN:
        return declined(DeclineReason.HOLD_NOT_OPEN)
    amount_minor = command.amount_minor or hold.held_minor
    if amount_minor > hold.held_minor:
        return declined(
            DeclineReason.CONVERSION_EXCEEDS_HELD, amount_minor - hold.held_minor
        )
    rest_minor = hold.held_minor - amount_minor if command.final else 0
    return _decide_purchase(
        state,
        account,
        command.merchant_id,
        amount_minor,
        command.capture,
        moment,
        hold.hold_id,
        rest_minor,
    )


def _decide_purchase(
    state: ShardState,
    account: Account,
    merchant_id: str,
    amount_minor: int,
    capture: bool,
    moment: Moment,
    hold_id: str = "",
    hold_released_minor: int = 0,
) -> Decision:
    if account.authorization_count >= limits.AUTHORIZATIONS_PER_ACCOUNT_MAX:
        return declined(DeclineReason.TOO_MANY_AUTHORIZATIONS)
    open_to_buy_minor = account.open_to_buy_minor - amount_minor
    if hold_id:
        # What a hold occupies already needs no room in the limit again.
        open_to_buy_minor += amount_minor + hold_released_minor
    elif open_to_buy_minor < 0:
        return declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, -open_to_buy_minor)
    program = state.programs[account.program_id]
    parts = split(program, amount_minor)
    undecided = reserve_for(state, program, parts, moment)
    if undecided is not None:
        return undecided
    # Nothing may decline from here on.
    credit_used_minor = 0
    credit_parts: Parts = ()
    if capture:
        credit_used_minor, credit_parts = _use_credit(account, amount_minor, parts)
    return e.Authorized(
        make_id(
            IdKind.AUTHORIZATION,
            account.slot,
            state.shard,
            state.sequence + 1,
        ),
        account.account_id,
        merchant_id,
        program.program_id,
        program.version,
        amount_minor,
        parts,
        moment.now_ms + program.authorization_expiry_ms,
        open_to_buy_minor,
        capture,
        credit_used_minor,
        credit_parts,
        hold_id,
        amount_minor if hold_id else 0,
        hold_released_minor,
    )


def _use_credit(account: Account, amount_minor: int, parts: Parts) -> tuple[int, Parts]:
    """How much of a new debt the borrower's credit balance pays at once."""
    used_minor = min(account.credit_minor, amount_minor)
    if not used_minor:
        return 0, ()
    return used_minor, apportion(parts, amount_minor, (0,) * len(parts), used_minor)


def apply_authorized(
    state: ShardState, event: e.Authorized, command: c.Authorize | c.ConvertHold
) -> None:
    account = state.accounts[event.account_id]
    program = state.program_versions[event.program_id, event.program_version]
    if event.hold_id:
        _take_hold(state, event)
    none = zeros(program)
    amount_minor, parts = event.amount_minor, event.parts
    took_minor, took_parts = (amount_minor, parts) if event.captured else (0, none)
    authorization = Authorization(
        event.authorization_id,
        event.account_id,
        event.merchant_id,
        event.program_id,
        event.program_version,
        event.expires_at_ms,
        state.day,
        command.reference,
        AuthorizationStatus.CAPTURED if event.captured else AuthorizationStatus.OPEN,
        amount_minor,
        parts,
        took_minor,
        took_parts,
        0,
        none,
        0,
        none,
        took_minor,
        took_parts,
    )
    state.authorizations[event.authorization_id] = authorization
    state.totals.authorized_count += 1
    occupy_reserve(state, program, parts)
    if event.captured:
        _capture_reserve(state, program, parts)
        _owe(state, account, authorization, amount_minor)
        if event.credit_used_minor:
            _book_credit(
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
    _increment(state, account, authorization, event.amount_minor, event.parts)
    assert account.open_to_buy_minor == event.open_to_buy_minor


def decide_capture(
    state: ShardState, command: c.CaptureAuthorization, moment: Moment
) -> Decision:
    authorization = state.authorizations.get(command.authorization_id)
    if authorization is None:
        return declined(DeclineReason.AUTHORIZATION_NOT_FOUND)
    if authorization.status is not AuthorizationStatus.OPEN:
        return declined(DeclineReason.AUTHORIZATION_NOT_OPEN)
    account = state.accounts[authorization.account_id]
    program = program_of(state, authorization)
    open_minor = authorization.open_minor
    amount_minor = command.amount_minor or open_minor
    extra_minor = max(0, amount_minor - open_minor)
    # What was given back is not authorized any more.
    standing_minor = authorization.total_minor - authorization.given_back_minor
    tolerance_minor = standing_minor * program.capture_tolerance_ppm // limits.PPM
    if extra_minor > tolerance_minor:
        return declined(DeclineReason.CAPTURE_EXCEEDS_AUTHORIZED, extra_minor)
    if extra_minor and extra_minor > account.open_to_buy_minor:
        return declined(
            DeclineReason.CREDIT_LIMIT_EXCEEDED,
            extra_minor - account.open_to_buy_minor,
        )
    extra_parts = zeros(program)
    if extra_minor:
        extra_parts = split(program, extra_minor)
        undecided = reserve_for(state, program, extra_parts, moment)
        if undecided is not None:
            return undecided
    return _captured(state, account, authorization, command, extra_minor, extra_parts)


def _captured(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    command: c.CaptureAuthorization,
    extra_minor: int,
    extra_parts: Parts,
) -> e.Captured:
    """The event of a capture that nothing stops any more."""
    open_minor = authorization.open_minor
    amount_minor = command.amount_minor or open_minor
    taken_parts = draw(authorization, amount_minor - extra_minor)
    released_minor = 0
    released_parts: Parts = (0,) * len(extra_parts)
    if command.final:
        released_minor = open_minor - (amount_minor - extra_minor)
        still_open = subtract(authorization.total_parts, authorization.gone_parts)
        released_parts = subtract(still_open, taken_parts)
    parts = add(taken_parts, extra_parts)
    credit_used_minor, credit_parts = _use_credit(account, amount_minor, parts)
    return e.Captured(
        authorization.authorization_id,
        make_id(
            IdKind.CAPTURE,
            account.slot,
            state.shard,
            state.sequence + 1,
        ),
        amount_minor,
        parts,
        extra_minor,
        extra_parts,
        released_minor,
        released_parts,
        credit_used_minor,
        credit_parts,
        account.open_to_buy_minor - extra_minor + released_minor,
    )


def apply_captured(state: ShardState, event: e.Captured) -> None:
    authorization = state.authorizations[event.authorization_id]
    account = state.accounts[authorization.account_id]
    if event.extra_minor:
        _increment(state, account, authorization, event.extra_minor, event.extra_parts)
    _book_capture(state, account, authorization, event.amount_minor, event.parts)
    if event.released_minor:
        _give_back(
            state, account, authorization, event.released_minor, event.released_parts
        )
    if event.credit_used_minor:
        _book_credit(
            state, account, authorization, event.credit_used_minor, event.credit_parts
        )
    _settle_status(account, authorization)
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
    _give_back(state, account, authorization, event.amount_minor, event.parts)
    _settle_status(account, authorization)
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
    _give_back(state, account, authorization, event.amount_minor, event.parts)
    _settle_status(account, authorization, AuthorizationStatus.EXPIRED)


def program_of(state: ShardState, authorization: Authorization) -> Program:
    """The version of the program an authorization was split under."""
    return state.program_versions[
        authorization.program_id, authorization.program_version
    ]


def draw(authorization: Authorization, amount_minor: int) -> Parts:
    """The next parts to leave an authorization: exact once all has left."""
    return apportion(
        authorization.total_parts,
        authorization.total_minor,
        authorization.gone_parts,
        amount_minor,
    )


def _increment(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    amount_minor: int,
    parts: Parts,
) -> None:
    occupy_reserve(state, program_of(state, authorization), parts)
    authorization.total_minor += amount_minor
    authorization.total_parts = add(authorization.total_parts, parts)
    account.authorized_minor += amount_minor


def _book_capture(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    amount_minor: int,
    parts: Parts,
) -> None:
    """Authorized becomes outstanding, for the account and for every lender."""
    _capture_reserve(state, program_of(state, authorization), parts)
    account.authorized_minor -= amount_minor
    if authorization.outstanding_minor:
        account.outstanding_minor += amount_minor
        _count_for_merchant(state, authorization, amount_minor)
    else:
        _owe(state, account, authorization, amount_minor)
    authorization.captured_minor += amount_minor
    authorization.captured_parts = add(authorization.captured_parts, parts)
    authorization.outstanding_minor += amount_minor
    authorization.outstanding_parts = add(authorization.outstanding_parts, parts)


def _capture_reserve(state: ShardState, program: Program, parts: Parts) -> None:
    """Turn authorized parts of the slices to captured, in the day's totals too."""
    slices, totals = state.slices, state.totals.lenders
    for lender_id, part in zip(program.lenders, parts, strict=True):
        lease = slices[lender_id]
        lease.authorized_minor -= part
        lease.captured_minor += part
        assert lease.authorized_minor >= 0
        lender = totals.get(lender_id) or state.lender_totals(lender_id)
        lender.captured_minor += part


def _owe(
    state: ShardState, account: Account, authorization: Authorization, amount_minor: int
) -> None:
    """A purchase on which nothing was owed is owed for, by the borrower."""
    account.outstanding_minor += amount_minor
    if account.unpaid is None:
        account.unpaid = []
    account.unpaid.append(authorization.authorization_id)
    _count_for_merchant(state, authorization, amount_minor)


def _count_for_merchant(
    state: ShardState, authorization: Authorization, amount_minor: int
) -> None:
    merchant = state.merchant_totals(authorization.merchant_id)
    merchant.captured_minor += amount_minor
    merchant.captured_count += 1


def _book_credit(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    used_minor: int,
    parts: Parts,
) -> None:
    """The borrower's credit balance pays a part of a new debt."""
    account.credit_minor -= used_minor
    assert account.credit_minor >= 0
    pay_claims(state, authorization, parts)
    lower_outstanding(account, authorization, used_minor, parts)


def pay_claims(state: ShardState, authorization: Authorization, parts: Parts) -> None:
    """Count towards each lender what borrowers have paid of its claims."""
    lenders = program_of(state, authorization).lenders
    for lender_id, part in zip(lenders, parts, strict=True):
        state.lender_totals(lender_id).claim_repaid_minor += part


def lower_outstanding(
    account: Account, authorization: Authorization, amount_minor: int, parts: Parts
) -> None:
    """A purchase is owed less; when nothing is owed it leaves the unpaid."""
    authorization.outstanding_minor -= amount_minor
    authorization.outstanding_parts = subtract(authorization.outstanding_parts, parts)
    account.outstanding_minor -= amount_minor
    assert authorization.outstanding_minor >= 0
    if not authorization.outstanding_minor:
        assert account.unpaid is not None
        account.unpaid.remove(authorization.authorization_id)
        if not account.unpaid:
            account.unpaid = None


def _give_back(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    amount_minor: int,
    parts: Parts,
) -> None:
    release_reserve(state, program_of(state, authorization), parts)
    authorization.given_back_minor += amount_minor
    authorization.given_back_parts = add(authorization.given_back_parts, parts)
    account.authorized_minor -= amount_minor
    assert account.authorized_minor >= 0


def _settle_status(
    account: Account,
    authorization: Authorization,
    status_if_given_back: AuthorizationStatus = AuthorizationStatus.REVERSED,
) -> None:
    """An authorization with nothing open is over."""
    assert authorization.open_minor >= 0
    if authorization.open_minor:
        return
    account.authorization_count -= 1
    authorization.status = (
        AuthorizationStatus.CAPTURED
        if authorization.captured_minor
        else status_if_given_back
    )
