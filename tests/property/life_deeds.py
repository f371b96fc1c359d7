"""What people do in a life: buy, pay, bounce, refund, give up and correct.

Each deed picks something there is and asks for it in a random size; being
declined is part of life.
"""

from collections.abc import Callable
from typing import Any

from processor import commands as c
from processor.plan_changes import quote_minor
from processor.state import (
    AdjustmentStatus,
    Authorization,
    AuthorizationStatus,
    Hold,
    HoldStatus,
    Payment,
    PaymentKind,
    PaymentStatus,
)
from processor.tenders import Tender, TenderKind
from processor.terms import Side, Waivable
from tests.property.life_on_a_shard import SHOPS, ShardLife

OPPOSITE = {Side.CREDIT: Side.DEBIT, Side.DEBIT: Side.CREDIT}
REVERSAL: dict[PaymentKind, type[c.Command]] = {
    PaymentKind.REPAYMENT: c.ReturnRepayment,
    PaymentKind.WRITE_OFF: c.ReverseWriteOff,
    PaymentKind.RECOVERY: c.ReverseRecovery,
    PaymentKind.CLAIM: c.ReverseClaim,
}


class Deeds:
    """One life's deeds; nothing of it is final if `all_bounces`."""

    def __init__(self, life: ShardLife, *, all_bounces: bool) -> None:
        self.life = life
        self.dice = life.dice
        self.ask = life.ask
        self.all_bounces = all_bounces
        self.ordered_only: set[str] = set()  # Orders refunded as orders alone.
        self.countered: set[str] = set()

    def live(self, steps: int) -> None:
        weights = [weight for weight, _ in self.all_deeds()]
        deeds = [deed for _, deed in self.all_deeds()]
        for deed in self.dice.choices(deeds, weights, k=steps):
            deed()

    def all_deeds(self) -> list[tuple[int, Callable[[], Any]]]:
        return [
            (9, self.buy),
            (3, self.order),
            (3, self.hold),
            (6, self.capture),
            (2, self.increment),
            (2, self.reverse),
            (2, self.force),
            (8, self.refund),
            (7, self.repay),
            (4, self.undo_payment),
            (1, self.finalize),
            (1, self.pay_out),
            (2, self.settle_early),
            (2, self.extend),
            (3, self.waive),
            (2, self.write_off),
            (4, self.recover),
            (2, self.claim),
            (2, self.adjust),
            (4, self.unfreeze),
            (1, self.life.change_prices),
            (1, lambda: self.life.tell(self.life.next_program())),
            (7, self.life.pass_day),
            (1, self.life.pass_time),
        ]

    # Picking.

    def account_id(self) -> str:
        return self.dice.choice(["ann", "ann", "bob"])

    def amount(self) -> int:
        return self.dice.choice(
            [1, 2, 7, 99, 1_000, 12_345, self.dice.randint(1, 60_000)]
        )

    def part_of(self, whole: int) -> int:
        return self.dice.choice([whole, 1, self.dice.randint(1, whole)])

    def plan_id(self) -> str:
        return self.dice.choice(["", *(plan.plan_id for plan in self.life.plans)])

    def opened(self) -> list[Authorization]:
        purchases = self.life.state.authorizations.values()
        return [p for p in purchases if p.status is AuthorizationStatus.OPEN]

    def refundable(self) -> list[Authorization]:
        purchases = self.life.state.authorizations.values()
        return [p for p in purchases if p.refunded_minor < p.captured_minor]

    def held(self) -> list[Hold]:
        holds = self.life.state.holds.values()
        return [hold for hold in holds if hold.status is HoldStatus.OPEN]

    def provisional(self) -> list[tuple[str, Payment]]:
        """Payments of all kinds that were neither undone nor are final."""
        return [
            (key, payment)
            for key, payment in self.life.state.payments.items()
            if payment.status is PaymentStatus.PROVISIONAL
        ]

    def undoable(self) -> list[tuple[str, Payment]]:
        """Those of them that can be undone now: recoveries before write-offs."""
        found = self.provisional()
        recovered = {p.account_id for _, p in found if p.kind is PaymentKind.RECOVERY}
        return [
            (key, payment)
            for key, payment in found
            if payment.kind is not PaymentKind.WRITE_OFF
            or payment.account_id not in recovered
        ]

    def uncountered(self) -> list[str]:
        return [
            key
            for key, adjustment in self.life.state.adjustments.items()
            if adjustment.status is AdjustmentStatus.APPROVED
            and key not in self.countered
        ]

    # Buying.

    def buy(self) -> None:
        wish = (self.account_id(), self.dice.choice(SHOPS), self.amount(), "EUR")
        captured, partial = self.dice.random() < 0.6, self.dice.random() < 0.2
        amount = 1_000_000 if partial and self.dice.random() < 0.3 else wish[2]
        self.ask(
            c.Authorize,
            *wish[:2],
            amount,
            "EUR",
            captured,
            "",
            self.plan_id(),
            (),
            partial,
        )

    def order(self) -> None:
        """One tender of several: coupon, cards, a wallet and the credit line."""
        amount, dice = self.amount(), self.dice
        tenders = [Tender(TenderKind.CREDIT_LINE, "ours", amount)]
        for kind in dice.sample([*TenderKind, TenderKind.CARD], dice.randint(1, 4)):
            if kind is not TenderKind.CREDIT_LINE:
                discount = self.amount() if kind is TenderKind.CARD else 0
                name = f"{kind.value}-{len(tenders)}"
                tenders.append(Tender(kind, name, self.amount(), discount))
        dice.shuffle(tenders)
        captured = dice.random() < 0.7
        wish = (self.account_id(), dice.choice(SHOPS), amount, "EUR", captured, "")
        body = self.ask(c.Authorize, *wish, self.plan_id(), tuple(tenders))
        if body["status"] == "approved":
            self.ordered_only.add(body["authorization_id"])

    def hold(self) -> None:
        if not self.held() or self.dice.random() < 0.4:
            self.ask(c.PlaceHold, self.account_id(), self.amount(), "EUR")
            return
        hold = self.dice.choice(self.held())
        part = self.dice.choice([None, self.part_of(hold.held_minor)])
        match self.dice.randint(0, 3):
            case 0:
                self.ask(c.IncreaseHold, hold.hold_id, self.amount())
            case 1:
                self.ask(c.ReleaseHold, hold.hold_id, part)
            case _:
                flags = (self.dice.random() < 0.6, self.dice.random() < 0.5)
                shop = self.dice.choice(SHOPS)
                self.ask(
                    c.ConvertHold, hold.hold_id, shop, part, *flags, "", self.plan_id()
                )

    def capture(self) -> None:
        """All, a part, or a bit more than is open."""
        if self.opened():
            found = self.dice.choice(self.opened())
            part = self.part_of(found.open_minor)
            above = found.open_minor + found.open_minor // 11
            amount = self.dice.choice([None, part, part, above])
            final = self.dice.random() < 0.3
            self.ask(c.CaptureAuthorization, found.authorization_id, amount, final)

    def increment(self) -> None:
        if self.opened():
            key = self.dice.choice(self.opened()).authorization_id
            self.ask(c.IncrementAuthorization, key, self.amount())

    def reverse(self) -> None:
        if self.opened():
            found = self.dice.choice(self.opened())
            part = self.part_of(found.open_minor)
            self.ask(c.ReverseAuthorization, found.authorization_id, part)

    def force(self) -> None:
        amount = self.amount()
        if self.opened() and self.dice.random() < 0.7:
            found = self.dice.choice(self.opened())
            wish = (found.account_id, found.merchant_id, amount, "EUR", "")
            self.ask(c.ForceCapture, *wish, found.authorization_id)
        else:
            shop = self.dice.choice(SHOPS)
            self.ask(c.ForceCapture, self.account_id(), shop, amount, "EUR")

    def refund(self) -> None:
        if not self.refundable():
            return
        found = self.dice.choice(self.refundable())
        key = found.authorization_id
        part = self.part_of(found.captured_minor - found.refunded_minor)
        of_order = key in self.ordered_only and self.dice.random() < 0.9
        if not of_order:
            self.ordered_only.discard(key)
        self.ask(c.Refund, key, part, "", of_order)

    # Paying.

    def repay(self) -> None:
        account_id = self.account_id()
        account = self.life.state.accounts[account_id]
        owed = account.outstanding_minor + account.charges_minor
        target = ""
        if account.unpaid and self.dice.random() < 0.3:
            target = self.dice.choice(account.unpaid)
        amount = self.dice.choice([self.amount(), max(1, owed), owed + 77])
        provisional = self.all_bounces or self.dice.random() < 0.6
        self.ask(c.Repay, account_id, amount, "EUR", "", target, provisional)

    def undo_payment(self) -> None:
        found = self.provisional()
        if found:
            key, payment = self.dice.choice(found)
            self.ask(REVERSAL[payment.kind], key)

    def finalize(self) -> None:
        repaid = [
            key
            for key, payment in self.undoable()
            if payment.kind is PaymentKind.REPAYMENT
        ]
        if repaid and not self.all_bounces:
            self.ask(c.FinalizeRepayment, self.dice.choice(repaid))

    def pay_out(self) -> None:
        self.ask(c.PayOutCredit, self.account_id())

    def settle_early(self) -> None:
        """Exactly what the quote says; nothing is owed if it says 0."""
        account = self.life.state.accounts[self.account_id()]
        target = self.dice.choice(["", *(account.unpaid or [])])
        quote = quote_minor(self.life.state, account, target) or 1
        wish = (account.account_id, quote, "EUR", target, "", True)
        self.ask(c.SettleEarly, *wish)

    def extend(self) -> None:
        planned = [p for p in self.refundable() if p.plan_id]
        if planned:
            key = self.dice.choice(planned).authorization_id
            self.ask(c.ExtendPlan, key, self.dice.randint(1, 9))

    def waive(self) -> None:
        part = self.dice.choice([None, 1])
        charge = self.dice.choice(list(Waivable))
        self.ask(c.WaiveCharges, self.account_id(), charge, part)

    # Giving up, and correcting.

    def write_off(self) -> None:
        self.ask(c.WriteOff, self.account_id())

    def recover(self) -> None:
        for account in self.life.accounts:
            if account.written_off_minor:
                part = self.part_of(account.written_off_minor)
                self.ask(c.RecordRecovery, account.account_id, part, "EUR")

    def claim(self) -> None:
        account_id, amount = self.account_id(), self.amount()
        self.ask(c.PayClaim, account_id, "insurer", amount, "EUR")

    def adjust(self) -> None:
        side = self.dice.choice(list(Side))
        self.correct(self.account_id(), side, self.amount())

    def correct(self, account_id: str, side: Side, amount: int) -> str:
        """Proposed by one, approved by another; the id it has."""
        wish = (account_id, side, amount, "EUR", "a mistake")
        key: str = self.ask(c.ProposeAdjustment, *wish)["adjustment_id"]
        self.ask(c.ApproveAdjustment, key, caller="chief")
        return key

    def counter(self, key: str) -> None:
        """The same on the other side."""
        wrong = self.life.state.adjustments[key]
        side = OPPOSITE[wrong.side]
        other = self.correct(wrong.account_id, side, wrong.amount_minor)
        self.countered |= {key, other}

    def unfreeze(self) -> None:
        self.ask(c.UnfreezeAccount, self.account_id())
