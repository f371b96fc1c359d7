"""Double entry: what each event books, as signed legs that sum to zero.

Minor units; a debit is positive, a credit negative.  A is the account, L each
lender with its part, M the merchant, P each party to its fee, Q each payer of its
subsidy.

| event                  | debit                         | credit                     |
| ---------------------- | ----------------------------- | -------------------------- |
| authorized, increment, | account_authorized:A  amount  | lender_authorized:L  parts |
|   extra of a capture   |                               |                            |
| reversed, expired,     | lender_authorized:L  parts    | account_authorized:A  am.  |
|   captured, released   |                               |                            |
| captured               | loan:A  amount                | lender_claim:L  parts      |
|                        | lender_reserve:L  parts       | merchant_payable:M  amount |
| its merchant's fee     | merchant_payable:M  fee       | party_income:P  parts      |
| its subsidy            | subsidy_receivable:Q  parts   | merchant_payable:M  sub.   |
| credit used by it      | borrower_credit:A  used       | loan:A  used               |
|                        | lender_claim:L  its parts     | lender_remittance:L  same  |
| refunded               | merchant_payable:M  amount    | lender_reserve:L  parts    |
|                        | lender_claim:L  principal p.  | loan:A  principal          |
|                        | lender_due:L  p. - principal  | borrower_credit:A  credit  |
| its fee back           | party_income:P  parts         | merchant_payable:M  fee    |
| its subsidy back       | merchant_payable:M  subsidy   | subsidy_receivable:Q  p.   |
| repaid                 | cash  amount                  | loan:A  each allocation    |
|                        |                               | borrower_credit:A  credit  |
|                        | lender_claim:L  parts         | lender_remittance:L  same  |
|   out of a payout      | merchant_withheld:M, not cash |                            |
| hold placed, increased | account_held:A  amount        | holds_open  amount         |
| hold released, expired | holds_open  amount            | account_held:A  amount     |
| deposited, or approved | cash  amount                  | lender_reserve:L  change   |
| withdrawn, or approved | lender_reserve:L  change      | cash  amount               |
| forced capture         | as authorized (its extra) and captured, together           |

Advance lines, daily caps and what is forced beyond a line are promises: they
move no money and are not posted.
| deposited              | cash  amount                  | lender_reserve:L  change   |
| withdrawn              | lender_reserve:L  change      | cash  amount               |
| withheld               | merchant_payable:M  withheld  | merchant_withheld:M  same  |
| released               | merchant_withheld:M  released | merchant_payable:M  same   |

`lender_due` may have either sign: what a refund took back to the reserve
beyond the claim it ended.  The two sides come from different fields of the
event wherever there are two (the amount, its parts, the balance after it), so
that a wrong event really fails to balance.  The names of what several
currencies share end with the currency.

This module knows the chart and nothing else: it must never look at a rule or
repair an event.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from processor import events as e

Leg = tuple[str, int]


class Purchase(Protocol):
    """What the books must know of a purchase beyond its events."""

    @property
    def account_id(self) -> str: ...
    @property
    def merchant_id(self) -> str: ...
    @property
    def currency(self) -> str: ...
    @property
    def lenders(self) -> tuple[str, ...]: ...


class Hold(Protocol):
    """What the books must know of a limit hold beyond its events."""

    @property
    def account_id(self) -> str: ...
    @property
    def currency(self) -> str: ...


class Reserve(Protocol):
    """A lender's reserve as it was before the event."""

    @property
    def currency(self) -> str: ...
    @property
    def deposit_minor(self) -> int: ...


class Names(Protocol):
    """Whose money it is; a purchase is there before its authorization posts."""

    @property
    def purchases(self) -> Mapping[str, Purchase]: ...
    @property
    def holds(self) -> Mapping[str, Hold]: ...
    @property
    def currencies(self) -> Mapping[str, str]: ...  # By account.


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


def _claims_paid(purchase: Purchase, parts: Sequence[int]) -> list[Leg]:
    booked: list[Leg] = []
    for lender_id, part in zip(purchase.lenders, parts, strict=True):
        booked += (
            (f"lender_claim:{lender_id}", part),
            (f"lender_remittance:{lender_id}", -part),
        )
    return booked


def _credit_used(purchase: Purchase, used: int, parts: Sequence[int]) -> list[Leg]:
    if not used:
        return []
    return [
        (f"borrower_credit:{purchase.account_id}", used),
        (f"loan:{purchase.account_id}", -used),
        *_claims_paid(purchase, parts),
    ]


def _charged(
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
        booked += _credit_used(purchase, event.credit_used_minor, event.credit_parts)
        booked += _charged(purchase, event.charge, 1)
    return booked


def _incremented(event: e.AuthorizationIncremented, names: Names) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    return _occupied(purchase, event.amount_minor, event.parts)


def _captured(event: e.Captured, names: Names) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    booked = _debt(purchase, event.amount_minor, event.parts)
    booked += _charged(purchase, event.charge, 1)
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


def _refunded(event: e.Refunded, names: Names) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    booked = [
        (
            f"merchant_payable:{purchase.merchant_id}:{purchase.currency}",
            event.amount_minor,
        ),
        (f"loan:{purchase.account_id}", -event.principal_minor),
        (f"borrower_credit:{purchase.account_id}", -event.credit_minor),
    ]
    for lender_id, part, claim in zip(
        purchase.lenders, event.parts, event.principal_parts, strict=True
    ):
        booked += (
            (f"lender_reserve:{lender_id}", -part),
            (f"lender_claim:{lender_id}", claim),
            (f"lender_due:{lender_id}", part - claim),
        )
    return booked + _charged(purchase, event.charge_back, -1)


def _repaid(event: e.Repaid, names: Names) -> list[Leg]:
    currency = names.currencies[event.account_id]
    source = f"cash:{currency}"
    if event.withheld_from:
        source = f"merchant_withheld:{event.withheld_from}:{currency}"
    booked = [
        (source, event.amount_minor),
        (f"borrower_credit:{event.account_id}", -event.credit_minor),
    ]
    for paid in event.allocations:
        booked.append((f"loan:{event.account_id}", -paid.amount_minor))
        booked += _claims_paid(names.purchases[paid.authorization_id], paid.parts)
    return booked


def _hold_placed(event: e.HoldPlaced, names: Names) -> list[Leg]:
    return _held(names.holds[event.hold_id], event.amount_minor)


def _hold_lowered(event: e.HoldReleased | e.HoldExpired, names: Names) -> list[Leg]:
    return _held(names.holds[event.hold_id], -event.amount_minor)


def _forced(event: e.ForceCaptured, names: Names) -> list[Leg]:
    purchase = names.purchases[event.authorization_id]
    booked = _debt(purchase, event.amount_minor, event.parts)
    booked += _charged(purchase, event.charge, 1)
    if event.extra_minor:
        booked += _occupied(purchase, event.extra_minor, event.extra_parts)
    return booked + _credit_used(purchase, event.credit_used_minor, event.credit_parts)


_SHARD: dict[type[e.Event], Callable[[Any, Names], list[Leg]]] = {
    e.Authorized: _authorized,
    e.AuthorizationIncremented: _incremented,
    e.Captured: _captured,
    e.AuthorizationReversed: _ended,
    e.AuthorizationExpired: _ended,
    e.Refunded: _refunded,
    e.Repaid: _repaid,
    e.HoldPlaced: _hold_placed,
    e.HoldIncreased: _hold_placed,
    e.HoldReleased: _hold_lowered,
    e.HoldExpired: _hold_lowered,
    # Lenders.
    e.ForceCaptured: _forced,
}
