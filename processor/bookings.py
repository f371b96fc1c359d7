"""What happens to a purchase's books: authorized, owed, paid, given back.

Touched by `apply` alone.  Each function keeps the account, the purchase, the
lenders' slices and the day's totals in step; none of them decides anything,
but `use_credit` and `draw`, which say what a decision may take.
"""

from processor import velocity
from processor.apportion import apportion
from processor.debts import drop_if_paid, new_lines, owes, program_of, take_up
from processor.events import Captured, ForceCaptured, Parts
from processor.merchants import book_charge
from processor.rules import add, occupy_reserve, release_reserve, subtract
from processor.state import (
    Account,
    Authorization,
    AuthorizationStatus,
    Program,
    ShardState,
)
from processor.watched import count, uncount


def use_credit(account: Account, amount_minor: int, parts: Parts) -> tuple[int, Parts]:
    """How much of a new debt the borrower's credit balance pays at once."""
    used_minor = min(account.credit_minor, amount_minor)
    if used_minor <= 0:
        return 0, ()
    return used_minor, apportion(parts, amount_minor, (0,) * len(parts), used_minor)


def draw(authorization: Authorization, amount_minor: int) -> Parts:
    """The next parts to leave an authorization: exact once all has left."""
    return apportion(
        authorization.total_parts,
        authorization.total_minor,
        authorization.gone_parts,
        amount_minor,
    )


def increment(
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


def count_increment(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    amount_minor: int,
    parts: Parts,
) -> None:
    """What was authorized on top counts under velocity limits and daily caps."""
    if account.velocity is not None:
        velocity.count(state, account, authorization, amount_minor)
    program = program_of(state, authorization)
    if program.is_watched:
        count(state, program, authorization.authorization_id, parts)


def book_capture(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    event: Captured | ForceCaptured,
) -> None:
    """Authorized becomes outstanding, for the account and for every lender."""
    amount_minor = event.amount_minor
    capture_reserve(state, program_of(state, authorization), event.parts)
    account.authorized_minor -= amount_minor
    is_unpaid = owes(authorization)
    new_lines(state, account, authorization, amount_minor, event.bills_on, event.lines)
    owe(state, account, authorization, amount_minor, event.borne_minor, is_unpaid)
    authorization.captured_minor += amount_minor
    authorization.captured_parts = add(authorization.captured_parts, event.parts)
    authorization.outstanding_minor += amount_minor
    authorization.outstanding_parts = add(authorization.outstanding_parts, event.parts)
    if event.charge is not None:
        book_charge(state, account, authorization, amount_minor, event.charge)


def capture_reserve(state: ShardState, program: Program, parts: Parts) -> None:
    """Turn authorized parts of the slices to captured, in the day's totals too."""
    slices, totals = state.slices, state.totals.lenders
    for lender_id, part in zip(program.lenders, parts, strict=True):
        lease = slices[lender_id]
        lease.authorized_minor -= part
        lease.captured_minor += part
        assert lease.authorized_minor >= 0
        lender = totals.get(lender_id) or state.lender_totals(lender_id)
        lender.captured_minor += part


def owe(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    amount_minor: int,
    borne_minor: int,
    is_unpaid: bool,
) -> None:
    """A captured amount is owed for by the borrower, and due to the merchant."""
    account.outstanding_minor += amount_minor
    if not is_unpaid:
        take_up(account, authorization)
    merchant_id = authorization.merchant_id
    merchants = state.totals.merchants
    merchant = merchants.get(merchant_id) or state.merchant_totals(merchant_id)
    merchant.captured_minor += amount_minor
    merchant.captured_count += 1
    merchant.pay_out(account.currency, amount_minor - borne_minor)
    if borne_minor:
        merchant.borne_minor += borne_minor
        authorization.borne_minor += borne_minor


def book_credit(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    used_minor: int,
    parts: Parts,
) -> None:
    """The borrower's credit balance pays a part of a new debt: the first lines."""
    account.credit_minor -= used_minor
    assert account.credit_minor >= 0
    pay_claims(state, authorization, parts)
    left_minor = used_minor
    for line in authorization.lines or ():
        paid_minor = min(left_minor, line.principal_minor)
        line.paid_minor += paid_minor
        left_minor -= paid_minor
    lower_outstanding(account, authorization, used_minor, parts)
    drop_if_paid(account, authorization)


def pay_claims(state: ShardState, authorization: Authorization, parts: Parts) -> None:
    """Count towards each lender what borrowers have paid of its claims."""
    lenders = program_of(state, authorization).lenders
    for lender_id, part in zip(lenders, parts, strict=True):
        state.lender_totals(lender_id).claim_repaid_minor += part


def lower_outstanding(
    account: Account, authorization: Authorization, amount_minor: int, parts: Parts
) -> None:
    """Less principal is owed of a purchase."""
    authorization.outstanding_minor -= amount_minor
    authorization.outstanding_parts = subtract(authorization.outstanding_parts, parts)
    account.outstanding_minor -= amount_minor
    assert authorization.outstanding_minor >= 0


def give_back(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    amount_minor: int,
    parts: Parts,
) -> None:
    program = program_of(state, authorization)
    release_reserve(state, program, parts)
    if state.counted:
        uncount(state, program, authorization.authorization_id, parts)
    authorization.given_back_minor += amount_minor
    authorization.given_back_parts = add(authorization.given_back_parts, parts)
    account.authorized_minor -= amount_minor
    assert account.authorized_minor >= 0
    if account.velocity is not None:
        velocity.uncount(state, account, authorization, amount_minor)


def settle_status(
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
