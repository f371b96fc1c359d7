"""Double entry: what each event books, as signed legs that sum to zero.

Minor units; a debit is positive, a credit negative.  A is the account, L each
lender with its part, M the merchant, P the program, G a guarantor, F each party
to a merchant's fee, Q each payer of its subsidy.  "Paid" stands for every
allocation of a payment, "opened again" for what its return undoes of them.

| event                  | debit                         | credit                     |
| ---------------------- | ----------------------------- | -------------------------- |
| authorized, increment, | account_authorized:A  amount  | lender_authorized:L  parts |
|   extra of a capture   |                               |                            |
| reversed, expired,     | lender_authorized:L  parts    | account_authorized:A  am.  |
|   captured, released   |                               |                            |
| captured               | loan:A  amount                | lender_claim:L  parts      |
|                        | lender_reserve:L  parts       | merchant_payable:M  amount |
| its merchant's fee     | merchant_payable:M  fee       | party_income:F  parts      |
| its subsidy            | subsidy_receivable:Q  parts   | merchant_payable:M  sub.   |
| borne by the merchant  | merchant_payable:M  borne     | lender_remittance:L  parts |
| credit used by it      | borrower_credit:A  used       | loan:A  used               |
|                        | lender_claim:L  its parts     | lender_remittance:L  same  |
| statement: interest    | charges:A  interest, fees     | charge_income:P  same      |
|   and fees; penalty    |                               |                            |
| waived                 | charge_income:P  amount       | charges:A  each line       |
| paid                   | lender_claim:L  parts         | loan:A  principal          |
|                        | charge_income:P  charges      | charges:A  charges         |
|                        |                               | lender_remittance:L  parts |
|                        |                               |   and charge parts         |
| repaid                 | cash  amount; paid            | borrower_credit:A  credit  |
|   out of a payout      | merchant_withheld:M, not cash |                            |
| settled early          | cash  amount; paid            | borrower_credit:A  filled  |
|   charges billed by it | charges:A  charges            | charge_income:P  same      |
| credit used            | borrower_credit:A  am.; paid  |                            |
| credit paid out        | borrower_credit:A  amount     | cash  amount               |
| claim paid             | guarantor:G  amount; paid     |                            |
| opened again           | loan:A  principal             | lender_claim:L  its parts  |
|                        | charges:A  charges            | charge_income:P  same      |
|   and by a refund made | borrower_credit:A  credit     | lender_due:L  principal    |
|   to credit meanwhile  |                               |   parts not opened again   |
| repayment returned,    | lender_remittance:L  parts;   | cash or guarantor:G  am.   |
|   claim reversed       |   charge parts opened again   |                            |
|   and plans restored:  | charge_income:P  charges that | charges:A  same            |
|   not owed (or owed)   |   are not billed any more     |                            |
| refunded               | merchant_payable:M  amount    | lender_reserve:L  parts    |
|                        | lender_claim:L  principal p.  | loan:A  principal          |
|                        | lender_due:L  p. - principal  | borrower_credit:A  credit  |
|   fees billed, unpaid  | charge_income:P  fees         | charges:A  fees            |
|   fees that were paid  | lender_remittance:L  parts    | borrower_credit:A  fees    |
|   borne by the merchant| lender_remittance:L  parts    | merchant_payable:M  borne  |
|   its merchant's fee   | party_income:F  parts         | merchant_payable:M  fee    |
|   its subsidy          | merchant_payable:M  subsidy   | subsidy_receivable:Q  p.   |
| written off            | lender_claim:L  parts         | loan:A  principal          |
|                        | charge_income:P  charges      | charges:A  charges         |
|   overdrawn credit     | platform_expense  overdrawn   | borrower_credit:A  same    |
|   to be recovered      | written_off:A  amount         | written_off_part:L  parts  |
|                        |                               | written_off_own  overdrawn |
| write-off reversed     | opened again, and             | lender_remittance:L  charge|
|                        |                               |   parts not opened again   |
|   overdrawn credit     | borrower_credit:A  overdrawn  | platform_expense  same     |
|   not to be recovered  | written_off_part:L  parts     | written_off:A  amount      |
|                        | written_off_own  overdrawn    |                            |
| recovered (reversed:   | cash  amount                  | lender_remittance:L  parts |
|   the other way round) | written_off_part:L  parts     | written_off:A  amount      |
|   the platform's part  | written_off_own  part         | platform_expense  part     |
| adjustment approved    | platform_expense  credit      | borrower_credit:A  credit  |
| hold placed, increased | account_held:A  amount        | holds_open  amount         |
| hold released, expired | holds_open  amount            | account_held:A  amount     |
| deposited, or approved | cash  amount                  | lender_reserve:L  change   |
| withdrawn, or approved | lender_reserve:L  change      | cash  amount               |
| withheld               | merchant_payable:M  withheld  | merchant_withheld:M  same  |
| released               | merchant_withheld:M  released | merchant_payable:M  same   |
| forced capture         | as authorized (its extra) and captured, together           |

Advance lines, daily caps and what is forced beyond a line are promises: they
move no money and are not posted.

`charges:A` is what is billed and unpaid, `charge_income:P` the same from the
other side: nobody's yet.  Once it is paid it is the lenders'.
`borrower_credit:A` is a debit where it is overdrawn: the platform has paid what
was spent of it, and has it to claim.
`lender_due` may have either sign: what a refund took back to the reserve
beyond the claim it ended.  The two sides come from different fields of the
event wherever there are two (the amount, its parts, the balance after it), so
that a wrong event really fails to balance.  The names of what several
currencies share end with the currency.

The two modules of postings (`debt_postings` has what happens to debts) know the
chart and nothing else: they must never look at a rule or repair an event.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from processor import events as e
from processor.audit.debt_postings import DEBTS, borne, charged, claims_paid
from processor.audit.parties import Hold, Leg, Names, Purchase, Reserve


def legs(event: e.Event, names: Names) -> list[Leg]:
    """The postings of a shard's event; none when it moves no money."""
    post = _SHARD.get(type(event))
    return [] if post is None else post(event, names)


def reserve_legs(event: e.Event, reserves: Mapping[str, Reserve]) -> list[Leg]:
    """The postings of settlement's event, against the reserve before it."""
    if isinstance(event, e.MerchantWithheld):
        return _set_aside(event.merchant_id, event.currency, event.withheld_minor)
    if isinstance(event, e.WithholdingReleased):
        return _set_aside(event.merchant_id, event.currency, -event.released_minor)
    if isinstance(event, e.ReserveDeposited):
        sign = 1
    elif isinstance(event, e.ReserveWithdrawn):
        sign = -1
    elif isinstance(event, e.FundsApproved):
        sign = 1 if event.direction == "deposit" else -1
    else:
        return []
    reserve = reserves[event.lender_id]
    return [
        (f"cash:{reserve.currency}", sign * event.amount_minor),
        (
            f"lender_reserve:{event.lender_id}",
            reserve.deposit_minor - event.deposit_minor,
        ),
    ]


def _set_aside(merchant_id: str, currency: str, amount: int) -> list[Leg]:
    return [
        (f"merchant_payable:{merchant_id}:{currency}", amount),
        (f"merchant_withheld:{merchant_id}:{currency}", -amount),
    ]


def _occupied(purchase: Purchase, amount: int, parts: Sequence[int]) -> list[Leg]:
    booked = [(f"account_authorized:{purchase.account_id}", amount)]
    for lender_id, part in zip(purchase.lenders, parts, strict=True):
        booked.append((f"lender_authorized:{lender_id}", -part))
    return booked


def _given_back(purchase: Purchase, amount: int, parts: Sequence[int]) -> list[Leg]:
    return _occupied(purchase, -amount, [-part for part in parts])


def _debt(purchase: Purchase, amount: int, parts: Sequence[int]) -> list[Leg]:
    account_id = purchase.account_id
    booked = [
        (f"account_authorized:{account_id}", -amount),
        (f"loan:{account_id}", amount),
        (f"merchant_payable:{purchase.merchant_id}:{purchase.currency}", -amount),
    ]
    for lender_id, part in zip(purchase.lenders, parts, strict=True):
        booked += (
            (f"lender_authorized:{lender_id}", part),
            (f"lender_claim:{lender_id}", -part),
            (f"lender_reserve:{lender_id}", part),
        )
    return booked


def _credit_used(purchase: Purchase, used: int, parts: Sequence[int]) -> list[Leg]:
    if not used:
        return []
    return [
        (f"borrower_credit:{purchase.account_id}", used),
        (f"loan:{purchase.account_id}", -used),
        *claims_paid(purchase, parts),
    ]


def _held(hold: Hold, amount: int) -> list[Leg]:
    return [
        (f"account_held:{hold.account_id}", amount),
        (f"holds_open:{hold.currency}", -amount),
    ]


def _authorized(event: e.Authorized, names: Names) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    booked = _occupied(purchase, event.amount_minor, event.parts)
    if event.hold_id:
        freed = event.hold_taken_minor + event.hold_released_minor
        booked += _held(names.holds[event.hold_id], -freed)
    if event.captured:
        booked += _debt(purchase, event.amount_minor, event.parts)
        booked += borne(purchase, event.borne_minor, event.borne_parts, 1)
        booked += _credit_used(purchase, event.credit_used_minor, event.credit_parts)
        booked += charged(purchase, event.charge, 1)
    return booked


def _incremented(event: e.AuthorizationIncremented, names: Names) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    return _occupied(purchase, event.amount_minor, event.parts)


def _captured(event: e.Captured, names: Names) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    booked = _debt(purchase, event.amount_minor, event.parts)
    booked += charged(purchase, event.charge, 1)
    booked += borne(purchase, event.borne_minor, event.borne_parts, 1)
    if event.extra_minor:
        booked += _occupied(purchase, event.extra_minor, event.extra_parts)
    if event.released_minor:
        booked += _given_back(purchase, event.released_minor, event.released_parts)
    return booked + _credit_used(purchase, event.credit_used_minor, event.credit_parts)


def _ended(
    event: e.AuthorizationReversed | e.AuthorizationExpired, names: Names
) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    return _given_back(purchase, event.amount_minor, event.parts)


def _hold_placed(event: e.HoldPlaced, names: Names) -> list[Leg]:
    return _held(names.holds[event.hold_id], event.amount_minor)


def _hold_lowered(event: e.HoldReleased | e.HoldExpired, names: Names) -> list[Leg]:
    return _held(names.holds[event.hold_id], -event.amount_minor)


def _forced(event: e.ForceCaptured, names: Names) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    booked = _debt(purchase, event.amount_minor, event.parts)
    booked += charged(purchase, event.charge, 1)
    booked += borne(purchase, event.borne_minor, event.borne_parts, 1)
    if event.extra_minor:
        booked += _occupied(purchase, event.extra_minor, event.extra_parts)
    return booked + _credit_used(purchase, event.credit_used_minor, event.credit_parts)


_SHARD: dict[type[e.Event], Callable[[Any, Names], list[Leg]]] = {
    e.Authorized: _authorized,
    e.AuthorizationIncremented: _incremented,
    e.Captured: _captured,
    e.AuthorizationReversed: _ended,
    e.AuthorizationExpired: _ended,
    e.HoldPlaced: _hold_placed,
    e.HoldIncreased: _hold_placed,
    e.HoldReleased: _hold_lowered,
    e.HoldExpired: _hold_lowered,
    # Lenders.
    e.ForceCaptured: _forced,
    **DEBTS,
}
