"""Orders: purchases that are one tender of several, and their refunds.

The order's other tenders are somebody else's money; what is kept of them is
enough to say, at each refund, how much goes back where.  The policy is that of
the program version the purchase was made under.
"""

from processor import commands as c
from processor.debts import program_of
from processor.declines import DeclineReason
from processor.events import Declined
from processor.rules import declined
from processor.state import Authorization, ShardState
from processor.tenders import (
    AllocationRefusal,
    AllocationRefused,
    RefundPolicy,
    TenderKind,
    TenderRefund,
    allocate,
    refundable_minor,
    wrong_order_field,
)


def is_sound(command: c.Authorize) -> bool:
    """Whether the tenders are an order of which this purchase is one, and whole."""
    tenders = command.tenders
    order_minor = sum(t.amount_minor + t.discount_minor for t in tenders)
    lines = [t for t in tenders if t.kind is TenderKind.CREDIT_LINE]
    return (
        wrong_order_field(order_minor, tenders) is None
        and len(lines) == 1
        and lines[0].amount_minor == command.amount_minor
        and not command.partial
    )


def allocate_refund(
    state: ShardState, purchase: Authorization, amount_minor: int | None
) -> tuple[TenderRefund, ...] | Declined:
    """What of an order's refund goes to each tender; None: all that is left."""
    if not purchase.tenders:
        return declined(DeclineReason.NOT_AN_ORDER)
    back = purchase.tenders_back
    if amount_minor is None:
        so_far_minor = sum(b.amount_minor + b.discount_minor for b in back)
        amount_minor = refundable_minor(purchase.tenders) - so_far_minor
    policy = RefundPolicy(program_of(state, purchase).terms.refund_order)
    parts = allocate(purchase.tenders, policy, back, amount_minor)
    if not isinstance(parts, AllocationRefused):
        if not amount_minor:
            return declined(DeclineReason.REFUND_EXCEEDS_REFUNDABLE)
        return parts
    if parts.reason is AllocationRefusal.REFUNDED_OTHERWISE:
        return declined(DeclineReason.REFUNDED_OTHERWISE)
    return declined(DeclineReason.REFUND_EXCEEDS_REFUNDABLE, parts.missing_minor)


def credit_line_of(purchase: Authorization) -> str:
    """The tender that the purchase itself is."""
    for tender in purchase.tenders:
        if tender.kind is TenderKind.CREDIT_LINE:
            return tender.tender_id
    raise AssertionError("an order without a credit line was authorized")


def totals_back(
    so_far: tuple[TenderRefund, ...], more: tuple[TenderRefund, ...]
) -> tuple[TenderRefund, ...]:
    """All that went back, one entry a tender."""
    totals: dict[str, tuple[int, int]] = {}
    for back in (*so_far, *more):
        amount_minor, discount_minor = totals.get(back.tender_id, (0, 0))
        totals[back.tender_id] = (
            amount_minor + back.amount_minor,
            discount_minor + back.discount_minor,
        )
    return tuple(TenderRefund(name, *minor) for name, minor in totals.items())
