"""What of a refund goes back to which tender of an order.

An order is paid with tenders.  A coupon is never refundable.  A card is a
discount or stored-value card: `amount_minor` was paid with it, and on top it
gave `discount_minor`.  The rest is an external wallet or the credit line, which
is a purchase of ours.  Source: "Mixed tender" in the domain document; its known
good case is an order of 500 = coupon 100 + card discount 80 + card paid 120 +
wallet 200.  Refundable are 400, and a refund of 300 is discount 60, wallet 200,
card paid 40.

A discount's rate is its part of what is refundable: 80 of 400, 20 %, because
the coupon took its 100 off the price before the card took its share.  A refund
counts in the same money, so of R minor units back in total the discount's part
is R * 80 / 400, rounded down.  What is left is paid money.  It fills the
tenders in the policy's order of kinds, and in their place in the order within
one kind.

Everything follows from R, the total after this refund, and not from how R came
about.  One refund is what is due at the new total less what is due at the old
one, so any parts in any order end where one refund of their sum ends.  That
works only if no tender's total ever falls while R grows.  Rounding each card
alone does not do: two cards that gave 1 each in an order of 4 would have nothing
back at R = 3, but only 2 were paid, and at R = 4 both fall due at one unit.  So
the cards take turns, the largest discount first, and each takes its rate of
what the ones before it have left:

    back = discount * rest // weight, then rest -= back, weight -= discount

with rest = R and weight = refundable at first.  Because discount <= weight, one
unit more of rest makes `back` one more or rest - back one more, never both, and
so on down the turns and the waterfall: each unit of R goes to exactly one place,
hence no total falls.  And rest <= weight stays true at every turn, so the paid
money that is left never exceeds what was paid; at R = refundable each discount
is back whole.

No discount is ever a whole unit below its exact R * discount / refundable, and
a single one is never above.  The k-th in turn is above by less than its discount
times the sum of 1 / weight over the turns 2 to k.  That is at most one unit with
two cards, and with any number whose discounts are at most 70 % of what is
refundable; seven cards beyond that stay below 1 + 1/2 + ... + 1/6 = 2.45.

Pure integers: no state, no journal, and nothing here knows a currency.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from processor import limits


class TenderKind(StrEnum):
    """How a part of an order was paid."""

    COUPON = "coupon"
    CARD = "card"
    EXTERNAL = "external"
    CREDIT_LINE = "credit_line"


class Tender(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One tender of an order; only a card has a discount."""

    kind: TenderKind
    tender_id: str
    amount_minor: int
    discount_minor: int = 0


class RefundPolicy(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which kind gets paid money back first: every kind but COUPON, once.

    It is the program's, but an order keeps the one it was bought under: with
    another order of kinds, what went back already is no longer what was due.
    """

    order: tuple[TenderKind, ...] = (
        TenderKind.EXTERNAL,
        TenderKind.CARD,
        TenderKind.CREDIT_LINE,
    )


class TenderRefund(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What goes, or went, back to one tender: paid money and discount apart."""

    tender_id: str
    amount_minor: int
    discount_minor: int = 0


class AllocationRefusal(StrEnum):
    """Why a refund cannot be allocated, in order of precedence."""

    REFUNDED_OTHERWISE = "refunded_otherwise"  # Not by this rule, or this policy.
    REFUND_EXCEEDS_REFUNDABLE = "refund_exceeds_refundable"


class AllocationRefused(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """No tender gets anything; `missing_minor` is what the refund is too large by."""

    reason: AllocationRefusal
    missing_minor: int = 0


def allocate(
    tenders: Sequence[Tender],
    policy: RefundPolicy,
    refunded_so_far: Sequence[TenderRefund],
    amount_minor: int,
) -> tuple[TenderRefund, ...] | AllocationRefused:
    """What of a refund goes to each tender: one entry a tender, in their order.

    `refunded_so_far` is everything that went back already: all earlier entries,
    or their totals by tender; what it does not name got nothing.
    """
    assert amount_minor >= 0
    so_far_minor = sum(_minor(back) for back in refunded_so_far)
    left_minor = refundable_minor(tenders) - so_far_minor
    if so_far_minor < 0 or left_minor < 0:
        return AllocationRefused(AllocationRefusal.REFUNDED_OTHERWISE)
    before = due_after(tenders, policy, so_far_minor)
    if _totals(refunded_so_far) != _totals(before):
        return AllocationRefused(AllocationRefusal.REFUNDED_OTHERWISE)
    if amount_minor > left_minor:
        return AllocationRefused(
            AllocationRefusal.REFUND_EXCEEDS_REFUNDABLE, amount_minor - left_minor
        )
    after = due_after(tenders, policy, so_far_minor + amount_minor)
    parts = tuple(
        TenderRefund(
            new.tender_id,
            new.amount_minor - old.amount_minor,
            new.discount_minor - old.discount_minor,
        )
        for new, old in zip(after, before, strict=True)
    )
    assert all(part.amount_minor >= 0 <= part.discount_minor for part in parts)
    assert amount_minor == sum(_minor(part) for part in parts)
    return parts


def due_after(
    tenders: Sequence[Tender], policy: RefundPolicy, refunded_minor: int
) -> tuple[TenderRefund, ...]:
    """What each tender has back once `refunded_minor` of the order went back."""
    assert 0 <= refunded_minor <= refundable_minor(tenders)
    discounts = _discounts_due(tenders, refunded_minor)
    paid = _paid_due(tenders, policy, refunded_minor - sum(discounts))
    return tuple(
        TenderRefund(tender.tender_id, amount_minor, discount_minor)
        for tender, amount_minor, discount_minor in zip(
            tenders, paid, discounts, strict=True
        )
    )


def refundable_minor(tenders: Sequence[Tender]) -> int:
    """The most that can go back: all but the coupons, discounts included."""
    return sum(_minor(tender) for tender in tenders if _is_refundable(tender))


def wrong_order_field(amount_minor: int, tenders: Sequence[Tender]) -> str | None:
    """The first wrong field of an order of `amount_minor`, None if it is right.

    Tenders may be zero, an order may not; together with the discounts they are
    the order's amount.
    """
    if not 0 < amount_minor <= limits.AMOUNT_MINOR_MAX:
        return "amount_minor"
    if not 0 < len(tenders) <= limits.TENDERS_PER_ORDER_MAX:
        return "tenders"
    seen = set()
    for i, tender in enumerate(tenders):
        wrong = _wrong_tender_field(tender)
        if wrong is None and tender.tender_id in seen:
            wrong = "tender_id"
        if wrong is not None:
            return f"tenders[{i}].{wrong}"
        seen.add(tender.tender_id)
    if amount_minor != sum(_minor(tender) for tender in tenders):
        return "amount_minor"
    return None


def wrong_policy_field(policy: RefundPolicy) -> str | None:
    """None if the policy names every refundable kind exactly once."""
    if sorted(policy.order) != sorted(RefundPolicy().order):
        return "order"
    return None


def _discounts_due(tenders: Sequence[Tender], refunded_minor: int) -> list[int]:
    """Each card's discount in its turn, the largest first, then the earlier."""
    due = [0] * len(tenders)
    rest, weight = refunded_minor, refundable_minor(tenders)
    turns = [
        (-tender.discount_minor, i)
        for i, tender in enumerate(tenders)
        if _is_refundable(tender) and tender.discount_minor
    ]
    for _, i in sorted(turns):
        assert rest <= weight
        discount = tenders[i].discount_minor
        due[i] = discount * rest // weight
        rest -= due[i]
        weight -= discount
    return due


def _paid_due(
    tenders: Sequence[Tender], policy: RefundPolicy, paid_minor: int
) -> list[int]:
    """Paid money fills one tender after the other, in the policy's order."""
    due = [0] * len(tenders)
    turns = [
        (policy.order.index(tender.kind), i)
        for i, tender in enumerate(tenders)
        if _is_refundable(tender)
    ]
    for _, i in sorted(turns):
        due[i] = min(paid_minor, tenders[i].amount_minor)
        paid_minor -= due[i]
    assert paid_minor == 0
    return due


def _totals(refunds: Sequence[TenderRefund]) -> dict[str, tuple[int, int]]:
    """Paid money and discount by tender, without those that got nothing."""
    totals: dict[str, tuple[int, int]] = {}
    for back in refunds:
        amount_minor, discount_minor = totals.get(back.tender_id, (0, 0))
        totals[back.tender_id] = (
            amount_minor + back.amount_minor,
            discount_minor + back.discount_minor,
        )
    return {key: total for key, total in totals.items() if any(total)}


def _wrong_tender_field(tender: Tender) -> str | None:
    if not 0 < len(tender.tender_id) <= limits.ID_LENGTH_MAX:
        return "tender_id"
    if not 0 <= tender.amount_minor <= limits.AMOUNT_MINOR_MAX:
        return "amount_minor"
    most_minor = limits.AMOUNT_MINOR_MAX if tender.kind is TenderKind.CARD else 0
    if not 0 <= tender.discount_minor <= most_minor:
        return "discount_minor"
    return None


def _is_refundable(tender: Tender) -> bool:
    return tender.kind is not TenderKind.COUPON


def _minor(part: Tender | TenderRefund) -> int:
    return part.amount_minor + part.discount_minor
