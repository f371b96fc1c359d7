"""What happens to a purchase's books: authorized, owed, paid, given back.

Touched by `apply` alone.  Each function keeps the account, the purchase, the
lenders' slices and the day's totals in step; none of them decides anything,
but `use_credit` and `draw`, which say what a decision may take.
"""

from processor import velocity
from processor.apportion import apportion
from processor.events import Parts
from processor.rules import add, occupy_reserve, release_reserve, subtract
from processor.state import (
    Account,
    Authorization,
    AuthorizationStatus,
    Program,
    ShardState,
)


def use_credit(account: Account, amount_minor: int, parts: Parts) -> tuple[int, Parts]:
    """How much of a new debt the borrower's credit balance pays at once."""
    used_minor = min(account.credit_minor, amount_minor)
    if not used_minor:
        return 0, ()
    return used_minor, apportion(parts, amount_minor, (0,) * len(parts), used_minor)


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
    if account.velocity is not None:
        velocity.count(state, account, authorization, amount_minor)


def book_capture(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    amount_minor: int,
    parts: Parts,
) -> None:
    """Authorized becomes outstanding, for the account and for every lender."""
    capture_reserve(state, program_of(state, authorization), parts)
    account.authorized_minor -= amount_minor
    if authorization.outstanding_minor:
        account.outstanding_minor += amount_minor
        _count_for_merchant(state, authorization, amount_minor)
    else:
        owe(state, account, authorization, amount_minor)
    authorization.captured_minor += amount_minor
    authorization.captured_parts = add(authorization.captured_parts, parts)
    authorization.outstanding_minor += amount_minor
    authorization.outstanding_parts = add(authorization.outstanding_parts, parts)


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


def book_credit(
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


def give_back(
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
