"""Of all reasons that apply to a command about debts, the earliest is reported.

As `test_precedence`, for all that came with debts: every command meets every
mix of what is missing, closed, over, paid, lost and too much.  Why it cannot be
is read off what readers are shown, and off what this test has done itself.
`decide` looks and never touches, so what would be done is tried as well.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest

from processor import commands as c
from processor.declines import DeclineReason as Reason
from processor.events import Declined
from processor.machine import decide
from processor.rules import Moment, NeedsReserve
from processor.schedules import Method, Plan
from processor.tenders import Tender, TenderKind
from processor.terms import Side, Terms, Waivable
from processor.views import view
from tests.property.naive_model import Reasons, first_of
from tests.unit.house_in_memory import House

MISSING = "missing"
PLANS = (
    Plan("fees", 3, Method.FLAT_FEE, 10_000),
    Plan("even", 3, Method.EQUAL_PRINCIPAL, 20_000),
)
TERMS = Terms(0, 1_000, 1_000_000, (), 20_000)
ORDER = (
    Tender(TenderKind.COUPON, "coupon", 100),
    Tender(TenderKind.CARD, "card", 120, 80),
    Tender(TenderKind.CREDIT_LINE, "line", 200),
)
TWICE = (*ORDER, ORDER[0])
ACCOUNTS = ("owing", "late", "credit", "clean", "lost", "covered", "closed", "returned")
CURRENCIES = ("EUR", "USD")
AMOUNTS = (1, 250, 10**9)
MAYBE = (None, *AMOUNTS)


@dataclass
class World:
    """A house with everything in it, and what was done to make it so."""

    house: House = field(default_factory=lambda: House(1, "2026-01-01"))
    count: int = 0
    purchases: dict[str, str] = field(default_factory=dict)  # By account.
    orders: dict[str, str] = field(default_factory=dict)
    refunded: dict[str, int] = field(default_factory=dict)  # Of the credit line.
    payments: dict[str, tuple[str, str]] = field(default_factory=dict)
    adjustments: dict[str, tuple[str, str, str]] = field(default_factory=dict)

    def ask(self, kind: type[c.Command], *fields: Any, caller: str = "maker") -> Any:
        self.count += 1
        (answer,) = self.house.ask(kind(caller, f"r{self.count}", *fields))
        told = json.loads(answer.body)
        assert told["status"] == "approved", (kind, fields, told)
        return told

    def buy(self, account: str, amount: int, plan: str = "") -> str:
        wish = (account, "m", amount, "EUR", True, "", plan)
        key: str = self.ask(c.Authorize, *wish)["authorization_id"]
        self.purchases[account] = key
        return key

    def pay(self, account: str, amount: int, status: str) -> None:
        wish = (account, amount, "EUR", "", "", status != "final")
        key = self.ask(c.Repay, *wish)["repayment_id"]
        if status == "reversed":
            self.ask(c.ReturnRepayment, key)
        self.payments[key] = ("repayment", status)

    def close_day(self, day: str, next_day: str) -> None:
        self.ask(c.CloseDay, day, next_day)

    def read(self, kind: str, name: str) -> Any:
        found = view(self.house.shards[0].state, kind, name)
        return None if found is None else json.loads(found)

    def owed_minor(self, account: str) -> int:
        shown = self.read("account", account)
        return int(shown["outstanding_minor"] + shown["charges_minor"])


@pytest.fixture(scope="module")
def world() -> World:
    world = World()
    ask = world.ask
    ask(c.RegisterLender, "L", "EUR")
    ask(c.DepositReserve, "L", 10**9)
    shares = (c.Share("L", 1_000_000),)
    ask(c.RegisterProgram, "p", "EUR", shares, 60, 60, 0, 0, PLANS, TERMS)
    ask(c.RegisterMerchant, "m")
    for name in ACCOUNTS:
        ask(c.OpenAccount, name, "p", "EUR", 100_000, 5, 20)
    lose(world)
    world.close_day("2026-01-01", "2026-01-30")
    owe(world)
    adjust(world)
    ask(c.CloseAccount, "closed")
    return world


def lose(world: World) -> None:
    """What was written off or claimed, and undone again or not."""
    ask = world.ask
    world.buy("late", 30_000, "even")
    for name in ("lost", "returned", "covered"):
        world.buy(name, 9_000)
        made = ask(c.WriteOff, name)["write_off_id"]
        if name != "lost":
            ask(c.ReverseWriteOff, made)
        world.payments[made] = ("write_off", "reversed" if name != "lost" else "over")
        recovered = name == "lost"
        if recovered:
            for status in ("open", "reversed"):
                key = ask(c.RecordRecovery, name, 400, "EUR")["recovery_id"]
                if status == "reversed":
                    ask(c.ReverseRecovery, key)
                world.payments[key] = ("recovery", status)
    for status in ("reversed", "open"):
        key = ask(c.PayClaim, "covered", "cover", 9_000, "EUR")["claim_id"]
        if status == "reversed":
            ask(c.ReverseClaim, key)
        world.payments[key] = ("claim", status)
    world.buy("closed", 500)
    world.pay("closed", 500, "final")
    world.pay("credit", 600, "final")
    world.pay("returned", 700, "reversed")


def owe(world: World) -> None:
    ask = world.ask
    world.buy("owing", 6_000, "fees")
    world.pay("owing", 300, "provisional")
    for account in ("owing", "credit"):
        wish = (account, "m", 200, "EUR", True, "", "", ORDER)
        world.orders[account] = ask(c.Authorize, *wish)["authorization_id"]
    for of_order in (True, False):
        # The second by itself: the allocator cannot follow that.
        key = world.orders["owing" if of_order else "credit"]
        told = ask(c.Refund, key, 90, "", of_order)
        world.refunded[key] = told["amount_minor"]
    opened = ask(c.Authorize, "owing", "m", 50, "EUR")["authorization_id"]
    world.purchases["owing, not captured"] = opened


def adjust(world: World) -> None:
    for account, status in product(("clean", "closed"), ("proposed", "rejected")):
        wish = (account, Side.CREDIT, 5, "EUR", "x")
        key = world.ask(c.ProposeAdjustment, *wish)["adjustment_id"]
        if status == "rejected":
            world.ask(c.RejectAdjustment, key)
        world.adjustments[key] = (account, status, "maker")


# Every reason that applies.


def money_in(world: World, account: str, currency: str) -> Reasons:
    shown = world.read("account", account)
    if shown is None:
        return {Reason.ACCOUNT_NOT_FOUND: 0}
    found: Reasons = {}
    if currency != shown["currency"]:
        found[Reason.CURRENCY_MISMATCH] = 0
    if shown["status"] == "closed":
        found[Reason.ACCOUNT_CLOSED] = 0
    return found


def of_purchase(world: World, account: str, purchase: str) -> Reasons:
    shown = world.read("authorization", purchase) if purchase else None
    if purchase and (shown is None or shown["account_id"] != account):
        return {Reason.PURCHASE_NOT_FOUND: 0}
    return {}


def why_not_repay(world: World, wish: c.Repay) -> Reasons:
    return money_in(world, wish.account_id, wish.currency) | of_purchase(
        world, wish.account_id, wish.authorization_id
    )


def why_not_settle_early(world: World, wish: c.SettleEarly) -> Reasons:
    account, purchase = wish.account_id, wish.authorization_id
    found = money_in(world, account, wish.currency)
    found |= of_purchase(world, account, purchase)
    quotes = world.read("early_settlement", account)
    if quotes is None:
        return found
    quote = quotes["amount_minor"]
    if purchase:
        of_each = {x["authorization_id"]: x for x in quotes["purchases"]}
        quote = of_each.get(purchase, {"amount_minor": 0})["amount_minor"]
    if not quote:
        found[Reason.NOTHING_OWED] = 0
    if wish.amount_minor != quote:
        found[Reason.AMOUNT_IS_NOT_THE_QUOTE] = quote - wish.amount_minor
    return found


def why_not_pay_out_credit(world: World, wish: c.PayOutCredit) -> Reasons:
    shown = world.read("account", wish.account_id)
    if shown is None:
        return {Reason.ACCOUNT_NOT_FOUND: 0}
    found: Reasons = {}
    if shown["written_off_minor"]:
        found[Reason.ACCOUNT_WRITTEN_OFF] = 0
    amount = wish.amount_minor or shown["credit_minor"]
    if amount > shown["credit_minor"] or not amount:
        found[Reason.PAYOUT_EXCEEDS_CREDIT] = amount - shown["credit_minor"]
    return found


def why_not_waive_charges(world: World, wish: c.WaiveCharges) -> Reasons:
    account = wish.account_id
    if world.read("account", account) is None:
        return {Reason.ACCOUNT_NOT_FOUND: 0}
    found = of_purchase(world, account, wish.authorization_id)
    charged = sum(
        line[f"{wish.charge.value}_minor"]
        for line in world.read("schedule", account)["instalments"]
        if line["status"] != "open"
        and wish.authorization_id in ("", line["authorization_id"])
    )
    amount = wish.amount_minor or charged
    if amount > charged or not amount:
        found[Reason.WAIVER_EXCEEDS_CHARGES] = amount - charged
    return found


def why_not_write_off(world: World, wish: c.WriteOff) -> Reasons:
    if world.read("account", wish.account_id) is None:
        return {Reason.ACCOUNT_NOT_FOUND: 0}
    owed = world.owed_minor(wish.account_id)
    return {} if owed else {Reason.NOTHING_OWED: 0}


def why_not_record_recovery(world: World, wish: c.RecordRecovery) -> Reasons:
    found = money_in(world, wish.account_id, wish.currency)
    if Reason.ACCOUNT_NOT_FOUND not in found:
        lost = world.read("account", wish.account_id)["written_off_minor"]
        if not lost:
            found[Reason.NOTHING_WRITTEN_OFF] = 0
        if wish.amount_minor > lost:
            found[Reason.RECOVERY_EXCEEDS_WRITTEN_OFF] = wish.amount_minor - lost
    return found


def why_not_pay_claim(world: World, wish: c.PayClaim) -> Reasons:
    found = money_in(world, wish.account_id, wish.currency)
    if Reason.ACCOUNT_NOT_FOUND not in found:
        owed = world.owed_minor(wish.account_id)
        if not owed:
            found[Reason.NOTHING_OWED] = 0
        if wish.amount_minor > owed:
            found[Reason.CLAIM_EXCEEDS_OWED] = wish.amount_minor - owed
    return found


def why_not_propose_adjustment(world: World, wish: c.ProposeAdjustment) -> Reasons:
    return money_in(world, wish.account_id, wish.currency)


def why_not_approve_adjustment(world: World, wish: c.ApproveAdjustment) -> Reasons:
    known = world.adjustments.get(wish.adjustment_id)
    if known is None:
        return {Reason.ADJUSTMENT_NOT_FOUND: 0}
    account, status, maker = known
    found = money_in(world, account, "EUR")
    if status != "proposed":
        found[Reason.ADJUSTMENT_NOT_PROPOSED] = 0
    if wish.caller == maker:
        found[Reason.SAME_CALLER] = 0
    return found


def why_not_reject_adjustment(world: World, wish: c.RejectAdjustment) -> Reasons:
    known = world.adjustments.get(wish.adjustment_id)
    if known is None:
        return {Reason.ADJUSTMENT_NOT_FOUND: 0}
    return {} if known[1] == "proposed" else {Reason.ADJUSTMENT_NOT_PROPOSED: 0}


def why_not_undo(world: World, kind: str, key: str, missing: Reason) -> Reasons:
    known, status = world.payments.get(key, ("", ""))
    if known != kind:
        return {missing: 0}
    if status == "final":
        return {Reason.REPAYMENT_IS_FINAL: 0}
    if status == "reversed":
        return {Reason.ALREADY_REVERSED: 0}
    return {Reason.RECOVERY_EXCEEDS_WRITTEN_OFF: 400} if status == "over" else {}


def why_not_extend_plan(world: World, wish: c.ExtendPlan) -> Reasons:
    shown = world.read("authorization", wish.authorization_id)
    if shown is None:
        return {Reason.AUTHORIZATION_NOT_FOUND: 0}
    found: Reasons = {}
    if not shown["captured_minor"]:
        found[Reason.AUTHORIZATION_NOT_CAPTURED] = 0
    if "plan_id" not in shown:
        found[Reason.NOT_BY_PLAN] = 0
    schedule = world.read("schedule", shown["account_id"])["instalments"]
    mine = [x for x in schedule if x["authorization_id"] == wish.authorization_id]
    if not any(x["principal_minor"] for x in mine if x["status"] == "open"):
        found[Reason.NOTHING_OWED] = 0
    return found


def why_not_refund(world: World, wish: c.Refund) -> Reasons:
    shown = world.read("authorization", wish.authorization_id)
    if shown is None:
        return {Reason.AUTHORIZATION_NOT_FOUND: 0}
    captured = shown["captured_minor"]
    found: Reasons = {} if captured else {Reason.AUTHORIZATION_NOT_CAPTURED: 0}
    left = captured - shown["refunded_minor"]
    if not wish.of_order:
        amount = wish.amount_minor or left
        if amount > left or not left:
            found[Reason.REFUND_EXCEEDS_CAPTURED] = amount - left
    elif "tenders" not in shown:
        found[Reason.NOT_AN_ORDER] = 0
    elif wish.authorization_id == world.orders["credit"]:
        found[Reason.REFUNDED_OTHERWISE] = 0
    elif (wish.amount_minor or 0) > 400 - 90:
        found[Reason.REFUND_EXCEEDS_REFUNDABLE] = (wish.amount_minor or 0) - 310
    return found


def why_not_authorize(world: World, wish: c.Authorize) -> Reasons:
    found: Reasons = {}
    if wish.merchant_id == MISSING:
        found[Reason.MERCHANT_NOT_FOUND] = 0
    if wish.tenders == TWICE or (wish.tenders and wish.amount_minor != 200):
        found[Reason.ORDER_NOT_SOUND] = 0
    shown = world.read("account", wish.account_id)
    if shown is None:
        return found | {Reason.ACCOUNT_NOT_FOUND: 0}
    found |= money_in(world, wish.account_id, wish.currency)
    if wish.plan_id == MISSING:
        found[Reason.PLAN_NOT_FOUND] = 0
    if shown["status"] == "frozen":
        found[Reason.ACCOUNT_FROZEN] = 0
    missing = wish.amount_minor - shown["open_to_buy_minor"]
    if missing > 0:
        found[Reason.CREDIT_LIMIT_EXCEEDED] = missing
    return found


def reasons(world: World, wish: Any) -> Reasons:
    """Every reason that applies to a wish."""
    undone: dict[Any, tuple[str, Reason]] = {
        c.FinalizeRepayment: ("repayment", Reason.REPAYMENT_NOT_FOUND),
        c.ReturnRepayment: ("repayment", Reason.REPAYMENT_NOT_FOUND),
        c.ReverseWriteOff: ("write_off", Reason.WRITE_OFF_NOT_FOUND),
        c.ReverseRecovery: ("recovery", Reason.RECOVERY_NOT_FOUND),
        c.ReverseClaim: ("claim", Reason.CLAIM_NOT_FOUND),
    }
    if type(wish) in undone:
        kind, missing = undone[type(wish)]
        return why_not_undo(world, kind, getattr(wish, wish.ROUTED_BY), missing)
    found: Reasons = globals()[f"why_not_{wish.wire_name()}"](world, wish)
    return found


def all_wishes(world: World) -> Iterator[tuple[Any, ...]]:
    """Every command about debts with every mix of fields."""
    accounts = (*ACCOUNTS, MISSING)
    bought = [*world.purchases.values(), *world.orders.values()]
    some = ("", world.purchases["owing"], world.purchases["late"], MISSING)
    quotes = {
        world.read("early_settlement", name)["amount_minor"] for name in ACCOUNTS
    } - {0}
    money = list(product(accounts, AMOUNTS, CURRENCIES))
    yield from product([c.SettleEarly], accounts, {*quotes, 1}, CURRENCIES, some)
    for wish, purchase in product(money, some):
        yield c.Repay, *wish, "", purchase
    yield from product([c.PayOutCredit], accounts, MAYBE)
    yield from product([c.WaiveCharges], accounts, Waivable, MAYBE, some)
    yield from product([c.WriteOff], accounts)
    for account, amount, currency in money:
        yield c.RecordRecovery, account, amount, currency
        yield c.PayClaim, account, "cover", amount, currency
        yield c.ProposeAdjustment, account, Side.DEBIT, amount, currency, "x"
    yield from product([c.ExtendPlan], [*bought, MISSING], [3])
    reversals = (c.ReverseWriteOff, c.ReverseRecovery, c.ReverseClaim)
    undone = (c.FinalizeRepayment, c.ReturnRepayment, *reversals)
    yield from product(undone, [*world.payments, MISSING])
    judged = (c.ApproveAdjustment, c.RejectAdjustment)
    yield from product(judged, [*world.adjustments, MISSING])
    yield from product([c.Refund], [*bought, MISSING], MAYBE, [""], [True, False])
    yield from product(
        *([c.Authorize], accounts, ("m", MISSING), (1, 200, 10**6), CURRENCIES),
        *([True], [""], ("", "fees", MISSING), ((), ORDER, TWICE)),
    )


def test_the_earliest_of_several_reasons_is_reported(world: World) -> None:
    met: set[Reason] = set()
    with_several = approved = 0
    state = world.house.shards[0].state
    for (kind, *fields), caller in product(all_wishes(world), ("maker", "checker")):
        wish = kind(caller, "?", *fields)
        why_not = reasons(world, wish)
        decided = decide(state, wish, Moment(world.house.now_ms))
        if not why_not:
            assert not isinstance(decided, Declined), (wish, decided)
            approved += not isinstance(decided, NeedsReserve)
            continue
        assert isinstance(decided, Declined), (wish, why_not)
        first = first_of(why_not)
        assert (first, why_not[first]) == (decided.reason, decided.missing_minor), wish
        with_several += len(why_not) > 1
        met |= set(why_not)
    assert approved > 100
    assert with_several > 1_000
    assert OF_DEBTS == met


OF_DEBTS = {
    Reason.ACCOUNT_NOT_FOUND,
    Reason.AUTHORIZATION_NOT_FOUND,
    Reason.MERCHANT_NOT_FOUND,
    Reason.PLAN_NOT_FOUND,
    Reason.PURCHASE_NOT_FOUND,
    Reason.REPAYMENT_NOT_FOUND,
    Reason.WRITE_OFF_NOT_FOUND,
    Reason.RECOVERY_NOT_FOUND,
    Reason.CLAIM_NOT_FOUND,
    Reason.ADJUSTMENT_NOT_FOUND,
    Reason.CURRENCY_MISMATCH,
    Reason.ORDER_NOT_SOUND,
    Reason.ACCOUNT_CLOSED,
    Reason.ACCOUNT_FROZEN,
    Reason.ACCOUNT_WRITTEN_OFF,
    Reason.AUTHORIZATION_NOT_CAPTURED,
    Reason.REPAYMENT_IS_FINAL,
    Reason.ALREADY_REVERSED,
    Reason.ADJUSTMENT_NOT_PROPOSED,
    Reason.SAME_CALLER,
    Reason.NOT_AN_ORDER,
    Reason.REFUNDED_OTHERWISE,
    Reason.NOT_BY_PLAN,
    Reason.NOTHING_OWED,
    Reason.NOTHING_WRITTEN_OFF,
    Reason.REFUND_EXCEEDS_CAPTURED,
    Reason.REFUND_EXCEEDS_REFUNDABLE,
    Reason.AMOUNT_IS_NOT_THE_QUOTE,
    Reason.PAYOUT_EXCEEDS_CREDIT,
    Reason.WAIVER_EXCEEDS_CHARGES,
    Reason.RECOVERY_EXCEEDS_WRITTEN_OFF,
    Reason.CLAIM_EXCEEDS_OWED,
    Reason.CREDIT_LIMIT_EXCEEDED,
}
