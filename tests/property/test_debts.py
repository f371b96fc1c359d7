"""Debt lives: months of buying, paying, bouncing and refunding, beside a clerk.

A real shard and the clerk of `naive_debts` live the same random life; after
every step they must agree on every line, every sum and every statement.
"""

from datetime import date, timedelta
from random import Random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.schedules import Method, Payer, Plan, instalments
from processor.terms import Bucket, Component, Due, Side, Terms, Waivable
from tests.property.naive_debts import MATRIX, Clerk
from tests.property.naive_debts import Terms as ClerkTerms
from tests.property.profiles import trying
from tests.unit.one_audit import check_clean
from tests.unit.one_shard import OneShard

PPM = 1_000_000
FIRST = date(2026, 1, 1)
PLANS = (
    Plan("fee3", 3, Method.FLAT_FEE, 6_500),
    Plan("even4", 4, Method.EQUAL_PRINCIPAL, 12_000),
    Plan("annuity6", 6, Method.EQUAL_PAYMENT, 15_000),
    Plan("free3", 3, Method.EQUAL_PRINCIPAL, 20_000, Payer.MERCHANT),
)
seeds = st.integers(0, 2**32 - 1)


class Life:
    """One account's life on a shard and in the clerk's ledger."""

    def __init__(self, random: Random) -> None:
        self.random = random
        order = random.sample(MATRIX, len(MATRIX)) if random.random() < 0.5 else MATRIX
        named = order[: random.choice([0, 3, 12])]
        self.terms = Terms(
            random.choice([0, 3]),
            random.choice([0, 500, 20_000]),
            random.choice([PPM, 100_000, 0]),
            tuple(Bucket(Due(due), Component(what)) for due, what in named),
            random.choice([0, 10_000]),
            random.choice([0, 5_000]),
        )
        self.clerk = Clerk(
            random.randint(1, 28),
            random.randint(1, 28),
            ClerkTerms(
                self.terms.grace_days,
                self.terms.penalty_ppm_per_day,
                self.terms.minimum_due_ppm,
                named + [cell for cell in MATRIX if cell not in named],
                self.terms.early_settlement_fee_ppm,
                self.terms.extension_fee_ppm,
            ),
            FIRST,
        )
        self.shard = self.open_shard()
        self.purchases: list[str] = []
        self.open: list[tuple[str, str, int]] = []  # Not captured whole yet.
        self.pending: dict[str, tuple[Any, int, Any]] = {}  # What provisional ones did.
        self.bought: dict[str, int] = {}

    def open_shard(self) -> OneShard:
        shard = OneShard().welcomed()
        shares = (c.Share("L1", 300_000), c.Share("L2", 700_000))
        facts: list[e.ReferenceFact] = [
            e.LenderRegistered(name, "EUR", "", 0) for name in ("L1", "L2")
        ]
        facts += [
            e.MerchantRegistered("m", ""),
            e.ProgramRegistered(
                "p", 1, "EUR", shares, 10**7, 10**6, PPM, PLANS, self.terms
            ),
        ]
        shard.told(m.ReferenceSent(len(facts), tuple(facts)))
        shard.told(*(m.GrantSlice(name, 10**12) for name in ("L1", "L2")))
        days = (self.clerk.statement_day, self.clerk.due_day)
        shard.ask(c.OpenAccount, "a", "p", "EUR", 10**9, *days)
        return shard

    # What people do.

    def ask(self, kind: type[c.Command], *fields: Any) -> dict[str, Any]:
        before = len(self.shard.records)
        answer = self.shard.ask(kind, *fields)
        # Nothing of past days is left to be recorded by then.
        assert [r.command is None for r in self.shard.records[before:]] == [False]
        return answer

    def buy(self) -> None:
        plan_id = self.random.choice(["", "", *(plan.plan_id for plan in PLANS)])
        amount = self.random.choice([self.random.randint(1, 9), 1_000, 98_765])
        capture = self.random.random() < 0.7
        answer = self.ask(c.Authorize, "a", "m", amount, "EUR", capture, "", plan_id)
        key = answer["authorization_id"]
        self.clerk.made.append(key)
        if capture:
            self.captured(key, plan_id, amount)
        else:
            self.open.append((key, plan_id, amount))

    def capture(self) -> None:
        if not self.open:
            return self.buy()
        key, plan_id, left = self.open.pop(self.random.randrange(len(self.open)))
        amount = self.random.randint(1, left)
        self.ask(c.CaptureAuthorization, key, amount)
        self.captured(key, plan_id, amount)
        if left > amount:
            self.open.append((key, plan_id, left - amount))
        return None

    def captured(self, key: str, plan_id: str, amount: int) -> None:
        if key not in self.purchases:
            self.purchases.append(key)
        plan = next((plan for plan in PLANS if plan.plan_id == plan_id), None)
        if plan is None:
            self.clerk.capture(key, [(amount, 0)], 0)
            return
        cut = instalments(plan, amount)  # Its own properties are tested elsewhere.
        by_balance = plan.method is not Method.FLAT_FEE and plan.payer is Payer.BORROWER
        rate = plan.rate_ppm if by_balance else 0
        lines = [(p.principal_minor, p.fee_minor) for p in cut.periods]
        self.clerk.capture(key, lines, rate)

    def repay(self) -> None:
        owed = self.clerk.principal() + self.clerk.charges()
        amount = self.random.choice(
            [1, 300, max(1, owed), self.random.randint(1, 50_000)]
        )
        target = ""
        if self.purchases and self.random.random() < 0.2:
            target = self.random.choice(self.purchases)
        provisional = self.random.random() < 0.6
        answer = self.ask(c.Repay, "a", amount, "EUR", "", target, provisional)
        overdrawn = min(amount, max(0, -self.clerk.credit))
        taken, left = self.clerk.repay(amount - overdrawn, target)
        filled = self.clerk.lend(left + overdrawn)
        self.clerk.tidy()
        for component in ("principal", "interest", "fee", "penalty"):
            paid = sum(v for k, v in taken.items() if k[2] == component)
            assert paid == answer[f"{component}_minor"]
        assert answer["credit_minor"] == left + overdrawn
        self.same_allocations(taken)
        if provisional:
            done = (taken, left + overdrawn, filled)
            self.pending[answer["repayment_id"]] = done

    def same_allocations(self, taken: dict[tuple[str, int, str], int]) -> None:
        """Line by line, what the shard paid is what the clerk paid."""
        event = self.shard.records[-1].event
        assert isinstance(event, e.Repaid | e.SettledEarly)
        found: dict[tuple[str, int, str], int] = {}
        for paid in event.allocations:
            for component, minor in (
                ("principal", paid.amount_minor),
                ("interest", paid.interest_minor),
                ("fee", paid.fee_minor),
                ("penalty", paid.penalty_minor),
            ):
                if minor:
                    found[paid.authorization_id, max(1, paid.line), component] = minor
            assert sum(paid.parts) == paid.amount_minor
            assert sum(paid.charge_parts) == paid.charges_minor
        assert taken == found

    def bounce(self) -> None:
        if not self.pending:
            return self.repay()
        key = self.random.choice(list(self.pending))
        taken, credit, filled = self.pending.pop(key)
        if self.random.random() < 0.3:
            assert self.ask(c.FinalizeRepayment, key)["status"] == "approved"
            assert self.ask(c.ReturnRepayment, key)["reason"] == "repayment_is_final"
            return None
        answer = self.ask(c.ReturnRepayment, key)
        assert answer["credit_minor"] == self.clerk.give_back(taken, credit, filled)
        assert answer["over_limit_minor"] == max(0, -answer["open_to_buy_minor"])
        assert self.ask(c.ReturnRepayment, key)["reason"] == "already_reversed"
        return None

    def refund(self) -> None:
        if not self.purchases:
            return self.buy()
        key = self.random.choice(self.purchases)
        left = self.clerk.captured[key] - self.clerk.refunded.get(key, 0)
        if not left:
            assert self.ask(c.Refund, key)["reason"] == "refund_exceeds_captured"
            return None
        amount = self.random.choice([left, self.random.randint(1, left)])
        answer = self.ask(c.Refund, key, amount)
        event = self.shard.records[-1].event
        assert isinstance(event, e.Refunded)
        parts = list(event.line_parts) or [amount]
        credits, fee_credits = self.clerk.refund(key, amount, parts)
        assert answer["credit_minor"] == credits + fee_credits
        assert answer["principal_minor"] == amount - credits
        return None

    def pay_out(self) -> None:
        credit = self.clerk.credit
        answer = self.ask(c.PayOutCredit, "a")
        if credit <= 0:
            assert answer["reason"] == "payout_exceeds_credit"
        else:
            assert answer["amount_minor"] == credit
            self.clerk.credit = 0

    def waive(self) -> None:
        charge = self.random.choice(list(Waivable))
        owed = sum(
            line.left(charge.value)
            for line in self.clerk.lines
            if self.clerk.is_billed(line)
        )
        answer = self.ask(c.WaiveCharges, "a", charge)
        if not owed:
            assert answer["reason"] == "waiver_exceeds_charges"
            return
        assert answer["amount_minor"] == owed
        for line in self.clerk.lines:
            if self.clerk.is_billed(line):
                forgiven = line.left(charge.value)
                self.clerk.minimum_left -= forgiven
                setattr(line, charge.value, getattr(line, charge.value) - forgiven)
        self.clerk.tidy()

    def adjust(self) -> None:
        """Somebody was wrong: credit is given or taken, also what is not there."""
        side, amount = self.random.choice(list(Side)), self.random.randint(1, 900)
        proposed = self.ask(c.ProposeAdjustment, "a", side, amount, "EUR", "x")
        key = proposed["adjustment_id"]
        self.shard.submit(c.ApproveAdjustment("checker", key, key))
        if side is Side.CREDIT:
            self.clerk.lend(amount)
            self.clerk.tidy()
        else:
            self.clerk.take(amount, [])

    def pass_days(self) -> None:
        """The next business day begins: tomorrow, after a weekend, or much later."""
        step = self.random.choice([1, 1, 3, 9, 40])
        today = self.clerk.today
        before = len(self.shard.records)
        next_day = today + timedelta(days=step)
        self.shard.told(m.MoveDay(today.isoformat(), next_day.isoformat()))
        while self.shard.node.has_work:
            self.shard.step()
        assert isinstance(self.shard.records[before].event, e.DayMoved)
        told = self.clerk.begin(next_day)
        found = []
        penalty = 0
        for record in self.shard.records[before + 1 :]:
            event = record.event
            assert record.command is None
            if isinstance(event, e.PenaltyCharged):
                penalty += sum(charge.amount_minor for charge in event.charges)
            elif isinstance(event, e.StatementIssued):
                found.append(("statement", event.due_minor))
            elif isinstance(event, e.CreditUsed):
                found.append(("credit", event.amount_minor))
        assert penalty == sum(t["amount"] for t in told if t["kind"] == "penalty")
        assert found == [
            (t["kind"], t["amount"] if t["kind"] == "credit" else t["due_minor"])
            for t in told
            if t["kind"] != "penalty"
        ]

    # What must hold.

    def check(self) -> None:
        clerk, shard = self.clerk, self.shard
        account = shard.state.accounts["a"]
        assert account.outstanding_minor == clerk.principal()
        assert account.credit_minor == clerk.credit
        assert account.charges_minor == clerk.charges()
        assert (account.unpaid or []) == clerk.order
        for key in self.purchases:
            self.check_purchase(shard.state.authorizations[key])
        shown = shard.read("account", "a")
        assert shown["open_to_buy_minor"] == (
            10**9 - account.authorized_minor - clerk.principal() + clerk.credit
        )
        statements = shard.read("statements", "a")
        assert statements["statements"] == clerk.statements[::-1][:36]
        late = [line for line in clerk.unpaid() if clerk.where(line) == "past_due"]
        components = ("principal", "interest", "fee", "penalty")
        past = sum(line.left(x) for line in late for x in components)
        due_days = [x.due for x in late if any(x.left(y) for y in components)]
        overdrawn = [due for due in clerk.pits if due and due < clerk.today]
        past += len(overdrawn)
        days = [(clerk.today - due).days for due in due_days + overdrawn]
        assert shown["days_past_due"] == max(days, default=0)
        assert statements["overdrawn_minor"] == len(clerk.pits) == -min(0, clerk.credit)
        assert statements["due_minor"] == clerk.billed() + len(clerk.pits)
        least = max(0, clerk.minimum_left)
        assert statements["minimum_left_minor"] == least <= statements["due_minor"]
        assert shown["past_due_minor"] == statements["past_due_minor"] == past

    def check_purchase(self, purchase: Any) -> None:
        lines = [
            line
            for line in self.clerk.lines
            if line.purchase == purchase.authorization_id
        ]
        assert purchase.outstanding_minor == sum(x.left("principal") for x in lines)
        assert sum(purchase.outstanding_parts) == purchase.outstanding_minor
        assert min(purchase.outstanding_parts) >= 0
        if purchase.lines is None:
            assert len({line.bills for line in lines}) == 1
            return
        if len(lines) != len(purchase.lines):
            # The clerk writes a line for each capture, also of one statement.
            assert not purchase.plan_id
            return
        for mine, line in zip(lines, purchase.lines, strict=True):
            assert line.bills_on == mine.bills.toordinal()
            assert line.due_on == mine.due.toordinal()
            assert line.principal_minor == mine.left("principal") >= 0
            assert line.fee_minor == mine.left("fee") >= 0
            left = mine.left("interest") + mine.left("penalty") + mine.left("fee")
            assert line.charges_minor == left >= 0


def live(seed: int, steps: int) -> Life:
    life = Life(Random(seed))
    deeds = [
        (6, life.buy),
        (3, life.capture),
        (5, life.repay),
        (3, life.bounce),
        (4, life.refund),
        (1, life.pay_out),
        (1, life.waive),
        (1, life.adjust),
        (8, life.pass_days),
    ]
    weights = [weight for weight, _ in deeds]
    for _, deed in life.random.choices(deeds, weights, k=steps):
        deed()
        life.check()
    return life


@given(seed=seeds)
@trying(examples=150, is_seeded=True)
def test_a_debt_life_is_as_the_clerk_has_it(seed: int) -> None:
    life = live(seed, steps=60)
    again = OneShard(life.shard.batches)
    assert msgspec.to_builtins(again.state) == msgspec.to_builtins(life.shard.state)


@given(seed=seeds)
@trying(examples=60, is_seeded=True)
def test_when_all_is_returned_and_refunded_nothing_is_left(seed: int) -> None:
    """Any order of captures, refunds and returns ends in the exact inverse."""
    life = live(seed, steps=30)
    for key in life.pending:
        life.ask(c.ReturnRepayment, key)
    for key in life.purchases:
        purchase = life.shard.state.authorizations[key]
        while purchase.refunded_minor < purchase.captured_minor:
            left = purchase.captured_minor - purchase.refunded_minor
            amount = life.random.choice([left, life.random.randint(1, left)])
            life.ask(c.Refund, key, amount)
        assert purchase.refunded_parts == purchase.captured_parts
        assert purchase.outstanding_parts == (0, 0)
        assert purchase.borne_back_minor == purchase.borne_minor
        assert purchase.borne_back_parts == purchase.borne_parts
        for line in purchase.lines or ():
            assert line.refunded_minor == line.cut_minor
            assert line.fee_back_minor == line.fee_cut_minor
            assert (line.paid_minor, line.fee_paid_minor) == (0, 0)
    assert 0 == life.shard.state.accounts["a"].outstanding_minor
    check_clean(life.shard)
