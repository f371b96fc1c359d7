"""What is worked out for a caller and kept nowhere: no journal, no key, no state.

`CALCULATIONS` is the one table of them: path, body, answer, and words for each.
A calculation may read what every key may read; it never sends a command, so it
can be asked as often as anybody likes.  What cannot be worked out is a problem
that names the field.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import msgspec

from gateway.problems import NOT_COMPUTABLE, NOT_FOUND, FieldError, Refusal
from processor import limits
from processor.answers import TenderBack
from processor.calendar import number_of
from processor.commands import OpenAccount
from processor.schedules import Trial, trial
from processor.settlement_views import DayView, ProgramView
from processor.tenders import (
    AllocationRefusal,
    AllocationRefused,
    RefundPolicy,
    Tender,
    TenderKind,
    TenderRefund,
    allocate,
    refundable_minor,
    wrong_order_field,
    wrong_policy_field,
)

Read = Callable[[str, str], Awaitable[bytes]]  # The JSON of a kind and an id.


class Calculation(msgspec.Struct, frozen=True):
    """POST `path` with a `body`; `work_out` makes the `answer` of it."""

    path: str
    body: type[msgspec.Struct]
    answer: type[msgspec.Struct]
    work_out: Callable[[Any, Read], Awaitable[msgspec.Struct]]
    summary: str
    example: dict[str, Any]


# Refunds of an order that was paid with several tenders.


class RefundAllocation(msgspec.Struct, frozen=True):
    """What of a refund goes back to which tender of an order.

    `tenders` are all that paid the order, `refunded` is what went back already
    (all earlier answers, or their totals), `refund_order` is the program's.
    """

    tenders: tuple[Tender, ...]
    amount_minor: int
    refund_order: tuple[TenderKind, ...] = RefundPolicy().order
    refunded: tuple[TenderRefund, ...] = ()


class RefundAllocated(msgspec.Struct, frozen=True):
    """What goes back to each tender, in their order.

    `refundable_minor` is the most that can go back of the whole order.
    """

    refundable_minor: int
    refunds: tuple[TenderBack, ...]


async def allocate_refund(wish: RefundAllocation, read: Read) -> RefundAllocated:
    """Spread a refund by the rule that refunds of orders follow."""
    _refuse_unsound(wish)
    policy = RefundPolicy(wish.refund_order)
    parts = allocate(wish.tenders, policy, wish.refunded, wish.amount_minor)
    most_minor = refundable_minor(wish.tenders)
    if isinstance(parts, AllocationRefused):
        _refuse_allocation(parts, most_minor)
    return RefundAllocated(
        most_minor,
        tuple(TenderBack(p.tender_id, p.amount_minor, p.discount_minor) for p in parts),
    )


def _refuse_unsound(wish: RefundAllocation) -> None:
    order_minor = sum(t.amount_minor + t.discount_minor for t in wish.tenders)
    field = wrong_order_field(order_minor, wish.tenders)
    if field is not None:
        field = "tenders" if field == "amount_minor" else field
        raise not_computable(field, _WRONG_TENDER[field.rpartition(".")[2]])
    if wrong_policy_field(RefundPolicy(wish.refund_order)) is not None:
        raise not_computable(
            "refund_order", "must name external, card and credit_line, each once"
        )
    known = {tender.tender_id for tender in wish.tenders}
    for i, back in enumerate(wish.refunded):
        if back.tender_id not in known:
            raise not_computable(
                f"refunded[{i}].tender_id", "is no tender of this order"
            )


_WRONG_TENDER = {
    "tenders": "must be at least one tender, and together an order of 1 to"
    f" {limits.AMOUNT_MINOR_MAX} minor units",
    "tender_id": "is another tender's already; each has an id of its own",
    "discount_minor": "only a card gives a discount; of others it must be 0",
}


def _refuse_allocation(refused: AllocationRefused, most_minor: int) -> NoReturn:
    if refused.reason is AllocationRefusal.REFUNDED_OTHERWISE:
        raise not_computable(
            "refunded",
            "is not what this order and this refund_order give back: send what was"
            " answered before, or its totals by tender",
        )
    raise not_computable(
        "amount_minor",
        f"is {refused.missing_minor} more than what is left of the {most_minor}"
        " that can go back",
    )


# Instalments, before anything is bought.


_OF_ACCOUNTS = {f.name: f.default for f in msgspec.structs.fields(OpenAccount)}


class InstalmentTrial(msgspec.Struct, frozen=True):
    """What a purchase would cost by a plan of the program in force.

    The days are those of an account; it would be captured today, unless said.
    """

    program_id: str
    plan_id: str
    amount_minor: int
    statement_day: int = _OF_ACCOUNTS["statement_day"]
    due_day: int = _OF_ACCOUNTS["due_day"]
    captured_on: str | None = None


async def try_instalments(wish: InstalmentTrial, read: Read) -> Trial:
    """The schedule by the very rule that captures follow."""
    try:
        told = await read("program", wish.program_id)
    except Refusal as refusal:
        if refusal.kind is not NOT_FOUND:
            raise
        raise not_computable("program_id", "there is no such program") from None
    plans = {p.plan_id: p for p in msgspec.json.decode(told, type=ProgramView).plans}
    plan = plans.get(wish.plan_id)
    if plan is None:
        have = f"has {', '.join(plans)}" if plans else "has no plans"
        raise not_computable("plan_id", f"is no plan of the program, which {have}")
    captured_on = wish.captured_on
    if captured_on is None:
        today = await read("day", "current")
        captured_on = msgspec.json.decode(today, type=DayView).day
    return trial(
        plan,
        wish.amount_minor,
        number_of(captured_on),
        wish.statement_day,
        wish.due_day,
    )


def not_computable(field: str, message: str) -> Refusal:
    """The refusal of one field that has no result, alone or with the others."""
    return Refusal(NOT_COMPUTABLE, f"{field}: {message}", (FieldError(field, message),))


CALCULATIONS: tuple[Calculation, ...] = (
    Calculation(
        "/v1/refund-allocations",
        RefundAllocation,
        RefundAllocated,
        allocate_refund,
        "Work out what of a refund goes back to which tender of an order",
        {
            "tenders": [
                {"kind": "coupon", "tender_id": "spring", "amount_minor": 10_000},
                {
                    "kind": "card",
                    "tender_id": "gift-card",
                    "amount_minor": 12_000,
                    "discount_minor": 8_000,
                },
                {"kind": "external", "tender_id": "wallet", "amount_minor": 20_000},
            ],
            "amount_minor": 30_000,
        },
    ),
    Calculation(
        "/v1/instalment-trials",
        InstalmentTrial,
        Trial,
        try_instalments,
        "Work out the instalments of a purchase before it is made",
        {
            "program_id": "pay-in-three",
            "plan_id": "three-months",
            "amount_minor": 12_500,
            "captured_on": "2011-01-31",
        },
    ),
)
