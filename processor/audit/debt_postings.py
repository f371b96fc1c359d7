"""Double entry for what happens to debts; the chart of accounts is in `postings`."""

from collections.abc import Callable, Sequence
from typing import Any

from processor import events as e
from processor.audit.parties import Leg, Names, Purchase


def claims_paid(purchase: Purchase, parts: Sequence[int]) -> list[Leg]:
    """The lenders' claims, paid: what is to be sent to them."""
    booked: list[Leg] = []
    for lender_id, part in zip(purchase.lenders, parts, strict=True):
        booked += (
            (f"lender_claim:{lender_id}", part),
            (f"lender_remittance:{lender_id}", -part),
        )
    return booked


def borne(
    purchase: Purchase, borne_minor: int, parts: Sequence[int], sign: int
) -> list[Leg]:
    """What the merchant bears of a plan's charges is the lenders'; -1: back again."""
    if not borne_minor:
        return []
    payable = f"merchant_payable:{purchase.merchant_id}:{purchase.currency}"
    booked = [(payable, sign * borne_minor)]
    return booked + _remitted(purchase, parts, -sign, "lender_remittance")


def charged(
    purchase: Purchase, charge: e.MerchantCharge | None, sign: int
) -> list[Leg]:
    """The fee goes off the payout and the subsidy onto it; -1: back again."""
    if charge is None:
        return []
    currency = purchase.currency
    payable = f"merchant_payable:{purchase.merchant_id}:{currency}"
    booked = [
        (payable, sign * charge.fee_minor),
        (payable, -sign * charge.subsidy_minor),
    ]
    for party_id, part in zip(charge.parties, charge.fee_parts, strict=True):
        booked.append((f"party_income:{party_id}:{currency}", -sign * part))
    for payer_id, part in zip(charge.payers, charge.subsidy_parts, strict=True):
        booked.append((f"subsidy_receivable:{payer_id}:{currency}", sign * part))
    return booked


def _cash(account_id: str, amount: int, names: Names) -> Leg:
    return f"cash:{names.accounts[account_id].currency}", amount


def _billed(account_id: str, charges: int, names: Names) -> list[Leg]:
    """Charges are owed from now on; negative: not any more."""
    if not charges:
        return []
    income = f"charge_income:{names.accounts[account_id].program_id}"
    return [(f"charges:{account_id}", charges), (income, -charges)]


def _remitted(
    purchase: Purchase, parts: Sequence[int], sign: int, account: str
) -> list[Leg]:
    """Each lender's part on an account of his; nothing if there are no parts."""
    if not parts:
        return []
    return [
        (f"{account}:{lender_id}", sign * part)
        for lender_id, part in zip(purchase.lenders, parts, strict=True)
    ]


def _paid(
    account_id: str, allocations: Sequence[e.Allocation], names: Names
) -> list[Leg]:
    booked: list[Leg] = []
    for paid in allocations:
        purchase = names.purchases[paid.authorization_id]
        booked.append((f"loan:{account_id}", -paid.amount_minor))
        booked += claims_paid(purchase, paid.parts)
        booked += _billed(account_id, -paid.charges_minor, names)
        booked += _remitted(purchase, paid.charge_parts, -1, "lender_remittance")
    return booked


def _opened_again(
    account_id: str, payment_id: str, undone: Sequence[e.Undone], names: Names
) -> list[Leg]:
    """Principal and charges that are owed again, and what was due meanwhile."""
    booked: list[Leg] = []
    allocations = names.payments[payment_id].allocations
    for paid, back in zip(allocations, undone, strict=True):
        purchase = names.purchases[paid.authorization_id]
        charges = paid.interest_minor + back.fee_minor + paid.penalty_minor
        booked.append((f"loan:{account_id}", back.amount_minor))
        booked += _billed(account_id, charges, names)
        booked += _remitted(purchase, back.parts, -1, "lender_claim")
        not_again = [p - b for p, b in zip(paid.parts, back.parts, strict=True)]
        booked += _remitted(purchase, not_again, -1, "lender_due")
    return booked


def _not_remitted(
    payment_id: str, undone: Sequence[e.Undone], names: Names
) -> list[Leg]:
    """What the lenders were to be sent for a payment, and are not any more."""
    booked: list[Leg] = []
    allocations = names.payments[payment_id].allocations
    for paid, back in zip(allocations, undone, strict=True):
        purchase = names.purchases[paid.authorization_id]
        booked += _remitted(purchase, paid.parts, 1, "lender_remittance")
        booked += _remitted(purchase, back.charge_parts, 1, "lender_remittance")
    return booked


def _refunded(event: e.Refunded, names: Names) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    account_id = purchase.account_id
    payable = f"merchant_payable:{purchase.merchant_id}:{purchase.currency}"
    booked = [
        (payable, event.amount_minor),
        (f"loan:{account_id}", -event.principal_minor),
        (f"borrower_credit:{account_id}", -event.credit_minor),
        (f"borrower_credit:{account_id}", -sum(event.fee_credits)),
        *_remitted(purchase, event.fee_credit_parts, 1, "lender_remittance"),
        *_billed(account_id, -_unpaid_fees_back(event, purchase, names), names),
        *borne(purchase, event.borne_minor, event.borne_parts, -1),
        *charged(purchase, event.charge_back, -1),
    ]
    for lender_id, part, claim in zip(
        purchase.lenders, event.parts, event.principal_parts, strict=True
    ):
        booked += (
            (f"lender_reserve:{lender_id}", -part),
            (f"lender_claim:{lender_id}", claim),
            (f"lender_due:{lender_id}", part - claim),
        )
    return booked


def _unpaid_fees_back(event: e.Refunded, purchase: Purchase, names: Names) -> int:
    """Fees that were billed, are not paid, and are not owed any more."""
    before = names.billed_before(purchase.account_id)
    return sum(
        fee - credit
        for line, fee, credit in zip(
            purchase.lines, event.fee_parts, event.fee_credits, strict=False
        )
        if line.bills_on < before
    )


def _repaid(event: e.Repaid, names: Names) -> list[Leg]:
    source = _cash(event.account_id, event.amount_minor, names)
    if event.withheld_from:
        currency = names.accounts[event.account_id].currency
        source = (
            f"merchant_withheld:{event.withheld_from}:{currency}",
            event.amount_minor,
        )
    return [
        source,
        (f"borrower_credit:{event.account_id}", -event.credit_minor),
        *_paid(event.account_id, event.allocations, names),
    ]


def _returned(event: e.RepaymentReturned, names: Names) -> list[Leg]:
    account_id, payment_id = event.account_id, event.repayment_id
    return [
        _cash(account_id, -event.amount_minor, names),
        (f"borrower_credit:{account_id}", event.credit_minor),
        *_opened_again(account_id, payment_id, event.undone, names),
        *_not_remitted(payment_id, event.undone, names),
        *_billed(account_id, sum(plan.charges_minor for plan in event.plans), names),
    ]


def _credit_used(event: e.CreditUsed, names: Names) -> list[Leg]:
    return [
        (f"borrower_credit:{event.account_id}", event.amount_minor),
        *_paid(event.account_id, event.allocations, names),
    ]


def _paid_out(event: e.CreditPaidOut, names: Names) -> list[Leg]:
    return [
        (f"borrower_credit:{event.account_id}", event.amount_minor),
        _cash(event.account_id, -event.amount_minor, names),
    ]


def _statement(event: e.StatementIssued, names: Names) -> list[Leg]:
    charges = sum(line.interest_minor + line.fee_minor for line in event.lines)
    return _billed(event.account_id, charges, names)


def _penalty(event: e.PenaltyCharged, names: Names) -> list[Leg]:
    charges = sum(charge.amount_minor for charge in event.charges)
    return _billed(event.account_id, charges, names)


def _waived(event: e.ChargesWaived, names: Names) -> list[Leg]:
    income = f"charge_income:{names.accounts[event.account_id].program_id}"
    charges = f"charges:{event.account_id}"
    return [
        (income, event.amount_minor),
        *((charges, -charge.amount_minor) for charge in event.charges),
    ]


def _settled_early(event: e.SettledEarly, names: Names) -> list[Leg]:
    charges = sum(
        line.fee_minor + line.interest_minor
        for recut in event.recuts
        for line in recut.lines
    )
    return [
        _cash(event.account_id, event.amount_minor, names),
        *_filled(event.account_id, event.credit_minor),
        *_billed(event.account_id, charges, names),
        *_paid(event.account_id, event.allocations, names),
    ]


def _filled(account_id: str, credit: int) -> list[Leg]:
    return [(f"borrower_credit:{account_id}", -credit)] if credit else []


def _given_up(
    account_id: str,
    amount: int,
    allocations: Sequence[e.Allocation],
    names: Names,
) -> list[Leg]:
    """What may be recovered: of the account, and for whom; the inverse if negative."""
    sign = -1 if amount < 0 else 1
    booked = [(f"written_off:{account_id}", amount)]
    for paid in allocations:
        purchase = names.purchases[paid.authorization_id]
        booked += _remitted(purchase, paid.parts, -sign, "written_off_part")
        booked += _remitted(purchase, paid.charge_parts, -sign, "written_off_part")
    return booked


def _own_loss(account_id: str, amount: int, names: Names) -> list[Leg]:
    """Overdrawn credit that the platform gives up, and may recover."""
    if not amount:
        return []
    currency = names.accounts[account_id].currency
    return [
        (f"platform_expense:{currency}", amount),
        (f"borrower_credit:{account_id}", -amount),
        (f"written_off_own:{currency}", -amount),
    ]


def _written_off(event: e.WrittenOff, names: Names) -> list[Leg]:
    account_id = event.account_id
    booked = _given_up(account_id, event.amount_minor, event.allocations, names)
    booked += _own_loss(account_id, event.credit_minor, names)
    for paid in event.allocations:
        purchase = names.purchases[paid.authorization_id]
        booked.append((f"loan:{account_id}", -paid.amount_minor))
        booked += _remitted(purchase, paid.parts, 1, "lender_claim")
        booked += _billed(account_id, -paid.charges_minor, names)
    return booked


def _write_off_reversed(event: e.WriteOffReversed, names: Names) -> list[Leg]:
    account_id, payment_id = event.account_id, event.write_off_id
    allocations = names.payments[payment_id].allocations
    own = names.payments[payment_id].platform_minor
    booked = [
        (f"borrower_credit:{account_id}", event.credit_minor - own),
        *_opened_again(account_id, payment_id, event.undone, names),
        *_given_up(account_id, -event.amount_minor, allocations, names),
        *_own_loss(account_id, -own, names),
    ]
    for paid, back in zip(allocations, event.undone, strict=True):
        purchase = names.purchases[paid.authorization_id]
        again = back.charge_parts or (0,) * len(paid.charge_parts)
        not_again = [p - b for p, b in zip(paid.charge_parts, again, strict=True)]
        booked += _remitted(purchase, not_again, -1, "lender_remittance")
    return booked


def _recovery(
    account_id: str,
    amount: int,
    parts: Sequence[tuple[str, int]],
    own: int,
    names: Names,
) -> list[Leg]:
    currency = names.accounts[account_id].currency
    booked = [
        _cash(account_id, amount, names),
        (f"written_off:{account_id}", -amount),
    ]
    if own:
        booked += (
            (f"platform_expense:{currency}", -own),
            (f"written_off_own:{currency}", own),
        )
    for lender_id, part in parts:
        booked += (
            (f"lender_remittance:{lender_id}", -part),
            (f"written_off_part:{lender_id}", part),
        )
    return booked


def _recovered(event: e.RecoveryRecorded, names: Names) -> list[Leg]:
    parts = [(part.lender_id, part.amount_minor) for part in event.parts]
    own = event.platform_minor
    return _recovery(event.account_id, event.amount_minor, parts, own, names)


def _recovery_reversed(event: e.RecoveryReversed, names: Names) -> list[Leg]:
    recovery = names.payments[event.recovery_id]
    parts = [(lender_id, -part) for lender_id, part in recovery.lenders.items()]
    own = -recovery.platform_minor
    return _recovery(event.account_id, -event.amount_minor, parts, own, names)


def _claim_paid(event: e.ClaimPaid, names: Names) -> list[Leg]:
    currency = names.accounts[event.account_id].currency
    return [
        (f"guarantor:{event.guarantor_id}:{currency}", event.amount_minor),
        *_paid(event.account_id, event.allocations, names),
    ]


def _claim_reversed(event: e.ClaimReversed, names: Names) -> list[Leg]:
    account_id, payment_id = event.account_id, event.claim_id
    currency = names.accounts[account_id].currency
    guarantor_id = names.payments[payment_id].guarantor_id
    return [
        (f"guarantor:{guarantor_id}:{currency}", -event.amount_minor),
        (f"borrower_credit:{account_id}", event.credit_minor),
        *_opened_again(account_id, payment_id, event.undone, names),
        *_not_remitted(payment_id, event.undone, names),
    ]


def _adjusted(event: e.AdjustmentApproved, names: Names) -> list[Leg]:
    currency = names.accounts[event.account_id].currency
    return [
        (f"platform_expense:{currency}", event.credit_minor),
        (f"borrower_credit:{event.account_id}", -event.credit_minor),
    ]


DEBTS: dict[type[e.Event], Callable[[Any, Names], list[Leg]]] = {
    e.Refunded: _refunded,
    e.Repaid: _repaid,
    e.RepaymentReturned: _returned,
    e.CreditUsed: _credit_used,
    e.CreditPaidOut: _paid_out,
    e.StatementIssued: _statement,
    e.PenaltyCharged: _penalty,
    e.ChargesWaived: _waived,
    e.SettledEarly: _settled_early,
    e.WrittenOff: _written_off,
    e.WriteOffReversed: _write_off_reversed,
    e.RecoveryRecorded: _recovered,
    e.RecoveryReversed: _recovery_reversed,
    e.ClaimPaid: _claim_paid,
    e.ClaimReversed: _claim_reversed,
    e.AdjustmentApproved: _adjusted,
}
