"""The rules of refunds: the inverse of a captured purchase, exactly.

What goes back to the lenders' reserve follows the captured parts by
`apportion`: after any number and order of partial refunds, once the whole is
refunded each lender has back what was taken from it.  The same holds for the
purchase's lines: each gives back in proportion to the principal it was cut
with, and its fee by the running total of `fee_back`.  Of a line, what is unpaid
falls first; what had been paid of it becomes the borrower's credit, and a paid
fee is given back by the lenders who have it.  Interest of periods that are
billed is the price of time that has passed, and stays.
"""

from collections.abc import Sequence

from processor import commands as c
from processor import events as e
from processor.allocation import draw_claim
from processor.apportion import apportion
from processor.bookings import lower_outstanding
from processor.debts import (
    billed_before,
    drop_if_paid,
    give_borne_back,
    give_fees_back,
    lower_minimum,
    pay_charges,
    program_of,
)
from processor.declines import DeclineReason
from processor.exposure import bring_back, refund_of
from processor.ids import IdKind, make_id
from processor.merchants import book_charge_back, charge_back_of
from processor.orders import allocate_refund, credit_line_of, totals_back
from processor.overdrawn import add_credit
from processor.rules import Decision, Moment, add, declined
from processor.schedules import fee_back
from processor.state import Account, Authorization, Line, ShardState
from processor.tenders import TenderRefund


def decide_refund(state: ShardState, command: c.Refund, moment: Moment) -> Decision:
    purchase = state.authorizations.get(command.authorization_id)
    if purchase is None:
        return declined(DeclineReason.AUTHORIZATION_NOT_FOUND)
    if not purchase.captured_minor:
        return declined(DeclineReason.AUTHORIZATION_NOT_CAPTURED)
    left_minor = purchase.captured_minor - purchase.refunded_minor
    tenders: tuple[TenderRefund, ...] = ()
    if command.of_order:
        allocated = allocate_refund(state, purchase, command.amount_minor)
        if isinstance(allocated, e.Declined):
            return allocated
        tenders, mine = allocated, credit_line_of(purchase)
        amount_minor = sum(t.amount_minor for t in tenders if t.tender_id == mine)
    else:
        amount_minor = command.amount_minor or left_minor
        if purchase.tenders:
            tenders = (TenderRefund(credit_line_of(purchase), amount_minor),)
    if amount_minor > left_minor or (not left_minor and not command.of_order):
        return declined(
            DeclineReason.REFUND_EXCEEDS_CAPTURED, amount_minor - left_minor
        )
    return _refunded(state, purchase, amount_minor, tenders)


def _refunded(
    state: ShardState,
    purchase: Authorization,
    amount_minor: int,
    tenders: tuple[TenderRefund, ...],
) -> e.Refunded:
    """The event of a refund that nothing stops any more."""
    account = state.accounts[purchase.account_id]
    line_parts: e.Parts = ()
    line_credits: e.Parts = ()
    fee_parts: e.Parts = ()
    fee_credits: e.Parts = ()
    if purchase.lines is None:
        principal_minor = min(amount_minor, purchase.outstanding_minor)
    else:
        lines = purchase.lines
        line_parts = _by_line(purchase, lines, amount_minor)
        line_credits = tuple(
            max(0, part - line.principal_minor)
            for line, part in zip(lines, line_parts, strict=True)
        )
        principal_minor = amount_minor - sum(line_credits)
        fee_parts = _fees_back(purchase, lines, amount_minor)
        fee_credits = tuple(
            max(0, part - line.fee_minor)
            for line, part in zip(lines, fee_parts, strict=True)
        )
    fee_credit_minor = sum(fee_credits)
    borne_minor, borne_parts = _borne_back(purchase, amount_minor)
    return e.Refunded(
        purchase.authorization_id,
        make_id(IdKind.REFUND, account.slot, state.shard, state.sequence + 1),
        amount_minor,
        apportion(
            purchase.captured_parts,
            purchase.captured_minor,
            purchase.refunded_parts,
            amount_minor,
        ),
        principal_minor,
        draw_claim(purchase.outstanding_parts, principal_minor),
        amount_minor - principal_minor,
        purchase.purchase_day,
        account.open_to_buy_minor + amount_minor + fee_credit_minor,
        charge_back_of(purchase, amount_minor),
        line_parts,
        line_credits,
        fee_parts,
        fee_credits,
        draw_claim(purchase.fee_parts, fee_credit_minor) if fee_credit_minor else (),
        borne_minor,
        tenders,
        borne_parts,
    )


def _by_line(
    purchase: Authorization, lines: Sequence[Line], amount_minor: int
) -> e.Parts:
    return apportion(
        [line.cut_minor for line in lines],
        purchase.captured_minor,
        [line.refunded_minor for line in lines],
        amount_minor,
    )


def _fees_back(
    purchase: Authorization, lines: Sequence[Line], amount_minor: int
) -> e.Parts:
    after_minor = purchase.refunded_minor + amount_minor
    return tuple(
        max(
            0,
            fee_back(line.fee_cut_minor, purchase.captured_minor, after_minor)
            - line.fee_back_minor,
        )
        for line in lines
    )


def _borne_back(purchase: Authorization, amount_minor: int) -> tuple[int, e.Parts]:
    """What the merchant has back of what it bore, and which lenders give it."""
    if not purchase.borne_minor:
        return 0, ()
    after_minor = purchase.refunded_minor + amount_minor
    in_all_minor = fee_back(purchase.borne_minor, purchase.captured_minor, after_minor)
    back_minor = max(0, in_all_minor - purchase.borne_back_minor)
    if not back_minor:
        return 0, ()
    taken = purchase.borne_parts
    before = purchase.borne_back_parts or (0,) * len(taken)
    return back_minor, apportion(taken, purchase.borne_minor, before, back_minor)


def apply_refunded(state: ShardState, event: e.Refunded) -> None:
    purchase = state.authorizations[event.authorization_id]
    account = state.accounts[purchase.account_id]
    _give_back_reserve(state, purchase, event)
    _count_for_merchant(state, account, purchase, event)
    if event.line_parts:
        _lower_lines(state, account, purchase, event)
    purchase.refunded_minor += event.amount_minor
    purchase.refunded_parts = add(purchase.refunded_parts, event.parts)
    if event.borne_minor:
        give_borne_back(state, purchase, event.borne_minor, event.borne_parts)
    if event.tenders:
        purchase.tenders_back = totals_back(purchase.tenders_back, event.tenders)
    assert purchase.refunded_minor <= purchase.captured_minor
    if purchase.lines is None and purchase.bills_on < billed_before(state, account):
        lower_minimum(account, event.principal_minor)
    if event.principal_minor:
        lower_outstanding(
            account, purchase, event.principal_minor, event.principal_parts
        )
    drop_if_paid(account, purchase)
    add_credit(state, account, event.credit_minor + sum(event.fee_credits))
    assert account.open_to_buy_minor == event.open_to_buy_minor


def _give_back_reserve(
    state: ShardState, purchase: Authorization, event: e.Refunded
) -> None:
    program = program_of(state, purchase)
    bring_back(state, program, refund_of(state, purchase, event.parts))
    for lender_id, part, claim in zip(
        program.lenders, event.parts, event.principal_parts, strict=True
    ):
        lease = state.slices[lender_id]
        lease.refunded_minor += part
        lease.free_minor += part
        totals = state.lender_totals(lender_id)
        totals.refunded_minor += part
        totals.claim_refunded_minor += claim


def _count_for_merchant(
    state: ShardState, account: Account, purchase: Authorization, event: e.Refunded
) -> None:
    merchant = state.merchant_totals(purchase.merchant_id)
    merchant.refunded_minor += event.amount_minor
    merchant.refunded_count += 1
    merchant.borne_minor -= event.borne_minor
    merchant.pay_out(account.currency, event.borne_minor - event.amount_minor)
    if event.charge_back is not None:
        book_charge_back(state, account, purchase, event.charge_back)


def _lower_lines(
    state: ShardState, account: Account, purchase: Authorization, event: e.Refunded
) -> None:
    assert purchase.lines is not None
    before = billed_before(state, account)
    for line, part, credit, fee, fee_credit in zip(
        purchase.lines,
        event.line_parts,
        event.line_credits,
        event.fee_parts,
        event.fee_credits,
        strict=True,
    ):
        line.refunded_minor += part
        line.paid_minor -= credit
        line.fee_back_minor += fee
        line.fee_paid_minor -= fee_credit
        if line.bills_on < before:
            account.charges_minor -= fee - fee_credit
            lower_minimum(account, part - credit + fee - fee_credit)
        assert min(line.principal_minor, line.fee_minor) >= 0
    if event.fee_credit_parts:
        pay_charges(state, purchase, event.fee_credit_parts, -1)
        give_fees_back(purchase, event.fee_credit_parts)
