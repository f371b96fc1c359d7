"""Lives in debt, in a house in memory: plans, statements, lateness and all else.

Driven by one seed.  Everything that can be asked of debts is asked, sensible or
not, over months of business days, weekends left out; the journals are there to
be audited afterwards.
"""

import json
import random
from datetime import date, timedelta
from typing import Any

from processor import commands as c
from processor.audit.report import AuditReport, audit
from processor.schedules import Method, Payer, Plan
from processor.terms import (
    Bucket,
    Component,
    Due,
    MerchantTerms,
    PartyShare,
    Side,
    Subsidy,
    Terms,
    Waivable,
)
from tests.unit.house_in_memory import House

FIRST_DAY = "2026-01-02"
PLANS = (
    Plan("fees", 3, Method.FLAT_FEE, 9_500),
    Plan("even", 4, Method.EQUAL_PRINCIPAL, 15_000),
    Plan("annuity", 5, Method.EQUAL_PAYMENT, 12_345),
    Plan("shop-pays", 3, Method.EQUAL_PRINCIPAL, 20_000, Payer.MERCHANT),
    Plan("one", 1, Method.FLAT_FEE, 1_000),
)
STRICT = Terms(3, 5_000, 100_000, (), 20_000, 10_000)
PRINCIPAL_FIRST = Terms(
    0,
    700,
    1_000_000,
    (
        Bucket(Due.IN_ADVANCE, Component.PRINCIPAL),
        Bucket(Due.PAST_DUE, Component.PRINCIPAL),
        Bucket(Due.DUE, Component.FEE),
    ),
)
LENIENT = Terms(10, 0, 0)
PPM = 1_000_000
PRICINGS = (
    MerchantTerms(),
    MerchantTerms("food", 21_500, 3, 700),
    MerchantTerms(
        "",
        9_990,
        1,
        None,
        (PartyShare("bank", 333_333), PartyShare("platform", 666_667)),
        (Subsidy("brand", 12_345), Subsidy("mall", 1)),
    ),
)


class DebtLives:
    """Borrowers with three programs on two shards; `outcomes` counts answers."""

    def __init__(self, seed: int, accounts: int = 6) -> None:
        self.dice = random.Random(seed)
        self.house = House(2, FIRST_DAY)
        self.count = 0
        self.version = 1  # Of the program "pair".
        self.outcomes: dict[str, int] = {}
        self.made: dict[str, list[str]] = {}
        for lender_id in ("north", "south", "west"):
            self.ask(c.RegisterLender, lender_id, "GBP")
            self.ask(c.DepositReserve, lender_id, 50_000_000)
        self.register("joint", STRICT, north=333_333, south=366_667, west=300_000)
        self.register("pair", PRINCIPAL_FIRST, north=300_000, south=700_000)
        self.register("solo", LENIENT, west=PPM)
        self.ask(c.RegisterMerchant, "shop", "", PRICINGS[seed % 3])
        self.accounts = [f"account-{n}" for n in range(accounts)]
        for n, account_id in enumerate(self.accounts):
            program_id = ("joint", "pair", "joint", "solo")[n % 4]
            days = (self.dice.randint(1, 28), self.dice.randint(1, 28))
            self.ask(c.OpenAccount, account_id, program_id, "GBP", 900_000, *days)

    def register(
        self, program_id: str, terms: Terms, replaces: int = 0, **shares: int
    ) -> None:
        parts = tuple(c.Share(name, ppm) for name, ppm in shares.items())
        self.ask(
            c.RegisterProgram,
            program_id,
            "GBP",
            parts,
            10**7,
            10**7,
            100_000,
            replaces,
            PLANS,
            terms,
        )

    # Asking.

    def ask(self, kind: Any, *fields: Any, caller: str = "clerk") -> dict[str, Any]:
        self.count += 1
        (answer,) = self.house.ask(kind(caller, f"r-{self.count}", *fields))
        body: dict[str, Any] = json.loads(answer.body)
        outcome = f"{kind.__name__} {body.get('reason', body['status'])}"
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        if body["status"] == "approved":
            for name, value in body.items():
                if name.endswith("_id") and name != "account_id":
                    known = self.made.setdefault(name, [])
                    if value not in known:
                        known.append(value)
        return body

    def one(self, name: str) -> str:
        """One of the last ids that were made."""
        return self.dice.choice(self.made.get(name, ["au_0000001"])[-12:])

    def act(self) -> None:
        """One wish, at random."""
        kind, *fields = self.dice.choice(self.wishes())
        caller = self.dice.choice(["clerk", "chief"])
        if kind is c.SettleEarly:
            self.settle_early(*fields)
            return
        body = self.ask(kind, *fields, caller=caller)
        if kind is c.WithholdFromMerchant:
            self.repay_out_of(fields[0], body)
        if kind is c.WriteOff and body["status"] == "approved":
            for _ in range(self.dice.randint(0, 3)):
                self.recover(fields[0])

    def wishes(self) -> list[tuple[Any, ...]]:
        account_id = self.dice.choice(self.accounts)
        amount = self.dice.choice([1, 2, 7, 99, 1_000, 12_345, 60_000])
        return [
            *self.buying(account_id, amount),
            *self.paying(account_id, amount),
            *self.losing(account_id, amount),
            *self.at_the_shop(account_id, amount),
        ]

    def at_the_shop(self, account_id: str, amount: int) -> list[tuple[Any, ...]]:
        purchase = self.dice.choice(["", self.one("authorization_id")])
        force = (c.ForceCapture, account_id, "shop", amount, "GBP", "", purchase)
        withhold = (c.WithholdFromMerchant, account_id, "shop", amount, "GBP")
        return [self.dice.choice([force, withhold])]

    def repay_out_of(self, account_id: str, withheld: dict[str, Any]) -> None:
        """What was withheld from the shop repays the account, or is released."""
        key = withheld["withholding_id"]
        if key:
            amount = withheld["withheld_minor"]
            wish = (account_id, amount, "GBP", "", "", False, "shop", key)
            if self.ask(c.Repay, *wish)["status"] == "declined":
                self.ask(c.ReleaseWithholding, key)

    def buying(self, account_id: str, amount: int) -> list[tuple[Any, ...]]:
        dice, purchase = self.dice, self.one("authorization_id")
        maybe = dice.choice([None, amount])
        flag = dice.random() < 0.7
        plan = dice.choice(["", "", *(plan.plan_id for plan in PLANS)])
        buy = (c.Authorize, account_id, "shop", amount, "GBP", flag, "", plan)
        convert = (c.ConvertHold, self.one("hold_id"), "shop", maybe, flag, True)
        return [
            *[buy] * 5,
            *[(c.CaptureAuthorization, purchase, maybe, not flag)] * 3,
            *[(c.Refund, purchase, maybe)] * 3,
            (c.ReverseAuthorization, purchase, maybe),
            (c.PlaceHold, account_id, amount, "GBP"),
            (*convert, "", plan),
            (c.UnfreezeAccount, account_id),
            (c.CloseAccount, account_id),
        ]

    def paying(self, account_id: str, amount: int) -> list[tuple[Any, ...]]:
        dice, purchase = self.dice, self.one("authorization_id")
        target = dice.choice(["", "", "", purchase])
        repay = (c.Repay, account_id, amount, "GBP", "", target, dice.random() < 0.6)
        charge, maybe = dice.choice(list(Waivable)), dice.choice([None, amount])
        waive = (c.WaiveCharges, account_id, charge, maybe, target)
        return [
            *[repay] * 5,
            *[(c.ReturnRepayment, self.one("repayment_id"))] * 3,
            (c.FinalizeRepayment, self.one("repayment_id")),
            (c.PayOutCredit, account_id, dice.choice([None, amount])),
            *[(c.SettleEarly, account_id, target)] * 2,
            *[(c.ExtendPlan, purchase, dice.randint(1, 9))] * 2,
            *[waive] * 2,
        ]

    def losing(self, account_id: str, amount: int) -> list[tuple[Any, ...]]:
        side = self.dice.choice(list(Side))
        adjust = (c.ProposeAdjustment, account_id, side, amount, "GBP", "x")
        return [
            adjust,
            (c.ApproveAdjustment, self.one("adjustment_id")),
            (c.RejectAdjustment, self.one("adjustment_id")),
            (c.PayClaim, account_id, "insurer", amount, "GBP"),
            (c.ReverseClaim, self.one("claim_id")),
            *[(c.WriteOff, account_id)] * self.dice.choice([0, 0, 1]),
            (c.ReverseWriteOff, self.one("write_off_id")),
            (c.RecordRecovery, account_id, amount, "GBP"),
            (c.ReverseRecovery, self.one("recovery_id")),
        ]

    def settle_early(self, account_id: str, target: str) -> None:
        """Ask for a quote, then pay exactly that: a wrong amount says how much."""
        wrong = self.ask(c.SettleEarly, account_id, 1, "GBP", target)
        if wrong.get("reason") == "amount_is_not_the_quote":
            amount = wrong["quote_minor"]
            flag = self.dice.random() < 0.5
            self.ask(c.SettleEarly, account_id, amount, "GBP", target, "", flag)

    def recover(self, account_id: str) -> None:
        """What comes in later, or seems to."""
        amount = self.dice.choice([1, 17, 1_000])
        body = self.ask(c.RecordRecovery, account_id, amount, "GBP")
        if body["status"] == "approved" and self.dice.random() < 0.5:
            self.ask(c.ReverseRecovery, body["recovery_id"])

    # Days.

    def next_day(self) -> None:
        """Cut the day; a weekend has no business day, a holiday takes a week."""
        today = date.fromisoformat(self.house.settlement.state.day)
        tomorrow = today + timedelta(days=self.dice.choice([1, 1, 1, 3, 8]))
        self.ask(c.CloseDay, today.isoformat(), tomorrow.isoformat())
        if self.dice.random() < 0.03:
            self.version += 1
            terms = self.dice.choice([STRICT, PRINCIPAL_FIRST, LENIENT])
            self.register("pair", terms, self.version - 1, north=500_000, south=500_000)
        if self.dice.random() < 0.05:
            self.ask(c.ChangeMerchant, "shop", self.dice.choice(PRICINGS))
        self.house.pass_time(86_400_000)

    def live(self, days: int, acts: int) -> None:
        for _ in range(days):
            for _ in range(self.dice.randint(0, acts)):
                self.act()
            self.next_day()

    def audit(self) -> AuditReport:
        house = self.house
        return audit(
            (house.settlement_rows.identity, house.settlement_rows.batches),
            [(rows.identity, rows.batches) for rows in house.shard_rows],
        )
