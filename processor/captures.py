"""The rules of captures: an authorization becomes a debt, in one part or several.

Above what is open, within the program's tolerance, a capture is an increment
too: it needs room in the limit and in every lender's reserve.
"""

from processor import commands as c
from processor import events as e
from processor import limits, velocity
from processor.bookings import (
    book_capture,
    book_credit,
    count_increment,
    draw,
    give_back,
    increment,
    settle_status,
    use_credit,
)
from processor.debts import borne_by, cut_capture, program_of
from processor.declines import DeclineReason
from processor.events import Parts
from processor.ids import IdKind, make_id
from processor.merchants import charge_of
from processor.rules import (
    Decision,
    Moment,
    add,
    declined,
    reserve_for,
    split,
    subtract,
    zeros,
)
from processor.state import (
    Account,
    Authorization,
    AuthorizationStatus,
    ShardState,
)


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
    if extra_minor:
        refused = velocity.decline_growth(state, account, authorization, extra_minor)
        if refused is not None:
            return refused
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
    credit_used_minor, credit_parts = use_credit(account, amount_minor, parts)
    program = program_of(state, authorization)
    cut = cut_capture(state, account, program, authorization.plan_id, amount_minor)
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
        charge_of(state, authorization.merchant_id, amount_minor),
        *cut,
        borne_parts=borne_by(program, cut[2]),
    )


def apply_captured(state: ShardState, event: e.Captured) -> None:
    authorization = state.authorizations[event.authorization_id]
    account = state.accounts[authorization.account_id]
    if event.extra_minor:
        increment(state, account, authorization, event.extra_minor, event.extra_parts)
        count_increment(
            state, account, authorization, event.extra_minor, event.extra_parts
        )
    book_capture(state, account, authorization, event)
    if event.released_minor:
        give_back(
            state, account, authorization, event.released_minor, event.released_parts
        )
    if event.credit_used_minor:
        book_credit(
            state, account, authorization, event.credit_used_minor, event.credit_parts
        )
    settle_status(account, authorization)
    assert account.open_to_buy_minor == event.open_to_buy_minor
