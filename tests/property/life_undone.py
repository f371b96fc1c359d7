"""The end of a life: all that can be undone is undone, in any order.

What is open is reversed or runs out, what was captured is refunded, what is
provisional is returned, what was given up is owed again, what was adjusted is
adjusted back.  Then each borrower settles what is left, and leaves.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from processor import commands as c
from processor.state import Authorization, Hold
from processor.tenders import TenderKind
from tests.property.life_deeds import REVERSAL, Deeds

Step = Callable[[], Any]


def undo_everything(deeds: Deeds) -> None:
    """One step of undoing after the other, until nothing is left to undo."""
    while steps := steps_left(deeds):
        deeds.dice.choice(steps)()
        if deeds.dice.random() < 0.08:
            deeds.life.pass_day()
        if deeds.dice.random() < 0.01:
            deeds.life.pass_time()


def steps_left(deeds: Deeds) -> list[Step]:
    return [
        *(partial(_release, deeds, hold) for hold in deeds.held()),
        *(partial(_reverse, deeds, found) for found in deeds.opened()),
        *(partial(_refund, deeds, found) for found in deeds.refundable()),
        *(
            partial(_approved, deeds, REVERSAL[payment.kind], key)
            for key, payment in deeds.undoable()
        ),
        *(partial(deeds.counter, key) for key in deeds.uncountered()),
    ]


def _approved(deeds: Deeds, kind: type[c.Command], *fields: Any) -> None:
    """What undoes a thing is never declined."""
    answer = deeds.ask(kind, *fields)
    assert "approved" == answer["status"], (kind, answer)


def _release(deeds: Deeds, hold: Hold) -> None:
    part = deeds.part_of(hold.held_minor)
    _approved(deeds, c.ReleaseHold, hold.hold_id, part)


def _reverse(deeds: Deeds, found: Authorization) -> None:
    part = deeds.part_of(found.open_minor)
    _approved(deeds, c.ReverseAuthorization, found.authorization_id, part)


def _refund(deeds: Deeds, found: Authorization) -> None:
    """A part; of an order, its share of a part of the whole order."""
    key = found.authorization_id
    if key in deeds.ordered_only:
        answer = deeds.ask(c.Refund, key, _part_of_order(deeds, found), "", True)
        if answer["status"] == "approved":
            return
        # More or less was captured than the order has of the credit line.
        assert _of_credit_line(found) != found.captured_minor
        deeds.ordered_only.discard(key)
    part = deeds.part_of(found.captured_minor - found.refunded_minor)
    _approved(deeds, c.Refund, key, part)


def _part_of_order(deeds: Deeds, found: Authorization) -> int | None:
    left = sum(
        tender.amount_minor + tender.discount_minor
        for tender in found.tenders
        if tender.kind is not TenderKind.COUPON
    ) - sum(back.amount_minor + back.discount_minor for back in found.tenders_back)
    return deeds.dice.choice([None, deeds.part_of(left)]) if left else None


def _of_credit_line(found: Authorization) -> int:
    ours = [t for t in found.tenders if t.kind is TenderKind.CREDIT_LINE]
    return ours[0].amount_minor


def finish_orders(deeds: Deeds) -> None:
    """The other tenders of an order may have something to come yet."""
    for key in sorted(deeds.ordered_only):
        purchase = deeds.life.state.authorizations[key]
        if _of_credit_line(purchase) != purchase.captured_minor:
            deeds.ordered_only.discard(key)
            continue
        back = sum(b.amount_minor + b.discount_minor for b in purchase.tenders_back)
        due = sum(
            tender.amount_minor + tender.discount_minor
            for tender in purchase.tenders
            if tender.kind is not TenderKind.COUPON
        )
        if back < due:
            _approved(deeds, c.Refund, key, None, "", True)


def settle_up(deeds: Deeds) -> None:
    """Who owes pays, who is owed is paid; then every account can be closed."""
    for account in deeds.life.accounts:
        owed = account.charges_minor + max(0, -account.credit_minor)
        if owed:
            _approved(deeds, c.Repay, account.account_id, owed, "EUR")
        if account.credit_minor:
            _approved(deeds, c.PayOutCredit, account.account_id)
        _approved(deeds, c.CloseAccount, account.account_id)
