"""The rules of forced captures: the goods are gone, so the purchase is booked.

Neither limit, frozen account, expiry, suspension, cap nor reserve stops it.
What is open of the authorization it names is used up first; the rest, or all of
it, is authorized and captured at once.  Where the slices do not cover it,
settlement is asked and may not refuse: it raises the lender's headroom by what
is missing.  If settlement cannot be reached, nothing is done.
"""

from processor import commands as c
from processor import events as e
from processor.bookings import (
    book_capture,
    book_credit,
    draw,
    increment,
    settle_status,
    use_credit,
)
from processor.debts import borne_by, cut_capture, program_of
from processor.declines import DeclineReason
from processor.exposure import lend_by_force
from processor.ids import IdKind, make_id
from processor.merchants import charge_of
from processor.messages import Need
from processor.rules import (
    Decision,
    Moment,
    NeedsReserve,
    add,
    declined,
    is_covered,
    split,
    zeros,
)
from processor.state import (
    Account,
    AccountStatus,
    Authorization,
    AuthorizationStatus,
    Forced,
    Program,
    ShardState,
)


def decide_force_capture(
    state: ShardState, command: c.ForceCapture, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    if command.merchant_id not in state.merchants:
        return declined(DeclineReason.MERCHANT_NOT_FOUND)
    if account.currency != command.currency:
        return declined(DeclineReason.CURRENCY_MISMATCH)
    if account.status is AccountStatus.CLOSED:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    found = _open_one(state, command)
    program = program_of(state, found) if found else state.programs[account.program_id]
    taken_minor = min(command.amount_minor, found.open_minor) if found else 0
    extra_parts = zeros(program)
    if taken_minor < command.amount_minor:
        extra_parts = split(program, command.amount_minor - taken_minor)
        if not is_covered(state, program.lenders, extra_parts):
            needs = zip(program.lenders, extra_parts, strict=True)
            wanted = tuple(Need(name, part) for name, part in needs if part)
            return NeedsReserve(wanted, is_forced=True)
    # Nothing may decline from here on.
    parts = extra_parts
    if found is not None and taken_minor:
        parts = add(draw(found, taken_minor), extra_parts)
    return _forced(state, account, program, command, moment, found, extra_parts, parts)


def _open_one(state: ShardState, command: c.ForceCapture) -> Authorization | None:
    """The authorization it names, if it is one for this purchase and open."""
    found = state.authorizations.get(command.authorization_id)
    if (
        found is None
        or found.status is not AuthorizationStatus.OPEN
        or found.account_id != command.account_id
        or found.merchant_id != command.merchant_id
    ):
        return None
    return found


def _forced(
    state: ShardState,
    account: Account,
    program: Program,
    command: c.ForceCapture,
    moment: Moment,
    found: Authorization | None,
    extra_parts: e.Parts,
    parts: e.Parts,
) -> e.ForceCaptured:
    sequence = state.sequence + 1
    slot, shard = account.slot, state.shard
    extra_minor = sum(extra_parts)
    open_to_buy_minor = account.open_to_buy_minor - extra_minor
    credit_used_minor, credit_parts = use_credit(account, command.amount_minor, parts)
    plan_id = found.plan_id if found is not None else ""
    cut = cut_capture(state, account, program, plan_id, command.amount_minor)
    return e.ForceCaptured(
        found.authorization_id
        if found
        else make_id(IdKind.AUTHORIZATION, slot, shard, sequence),
        make_id(IdKind.CAPTURE, slot, shard, sequence),
        account.account_id,
        command.merchant_id,
        program.program_id,
        program.version,
        command.amount_minor,
        parts,
        extra_minor,
        extra_parts,
        credit_used_minor,
        credit_parts,
        open_to_buy_minor,
        max(0, -open_to_buy_minor),
        moment.forced_minor,
        found is None,
        moment.now_ms if found is None else found.expires_at_ms,
        charge_of(state, command.merchant_id, command.amount_minor),
        *cut,
        borne_parts=borne_by(program, cut[2]),
    )


def apply_force_captured(
    state: ShardState, event: e.ForceCaptured, command: c.ForceCapture
) -> None:
    account = state.accounts[event.account_id]
    if event.is_new:
        _begin(state, account, event, command.reference)
    authorization = state.authorizations[event.authorization_id]
    if event.extra_minor:
        increment(state, account, authorization, event.extra_minor, event.extra_parts)
    book_capture(state, account, authorization, event)
    if event.credit_used_minor:
        book_credit(
            state, account, authorization, event.credit_used_minor, event.credit_parts
        )
    settle_status(account, authorization)
    forced = state.forced.setdefault(event.authorization_id, Forced())
    forced.over_limit_minor = event.over_limit_minor
    forced.lender_advance_minor += event.lender_advance_minor
    if event.extra_minor:
        forced.extra_parts = event.extra_parts
        lend_by_force(program_of(state, authorization), event.extra_parts)
    assert account.open_to_buy_minor == event.open_to_buy_minor


def _begin(
    state: ShardState, account: Account, event: e.ForceCaptured, reference: str
) -> None:
    """A purchase of its own, of which nothing is authorized yet."""
    none = (0,) * len(event.parts)
    state.authorizations[event.authorization_id] = Authorization(
        event.authorization_id,
        event.account_id,
        event.merchant_id,
        event.program_id,
        event.program_version,
        event.expires_at_ms,
        state.day,
        reference,
        AuthorizationStatus.OPEN,
        0,
        none,
        0,
        none,
        0,
        none,
        0,
        none,
        0,
        none,
    )
    account.authorization_count += 1
