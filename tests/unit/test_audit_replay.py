"""The audit beside the real machines: it agrees with them, days on end.

Purchases of random size and fate on two shards, reserves that run out and are
topped up; then the audit of the journals, and the audit's model beside what
the shards have in memory.
"""

import json
import random
from typing import Any

import pytest

from processor import commands as c
from processor.audit.compare import compare_with_state
from processor.audit.report import AuditReport, audit
from processor.audit.shard import ShardAudit
from processor.terms import CategoryVelocity, MerchantTerms, Velocity
from tests.unit.house_in_memory import House

FIRST_DAY = "2026-03-02"
JOINT = (
    c.Share("north", 300_000),
    c.Share("south", 333_333),
    c.Share("west", 366_667),
)


class Crowd:
    """Borrowers, a merchant and operators, driven by one seed."""

    def __init__(self, seed: int, deposit_minor: int) -> None:
        self.dice = random.Random(seed)
        self.house = House(2, FIRST_DAY)
        self.count = 0
        self.movements = 0
        self.purchases: list[str] = []
        self.holds: list[str] = []
        self.outcomes: dict[str, int] = {}
        for lender_id in ("north", "south", "west"):
            self.ask(c.RegisterLender, lender_id, "GBP", "", deposit_minor // 10)
            self.ask(c.DepositReserve, lender_id, deposit_minor)
        self.ask(c.RegisterProgram, "joint", "GBP", JOINT, 60, 30, 100_000)
        self.ask(
            c.RegisterProgram, "solo", "GBP", (c.Share("west", 1_000_000),), 60, 30
        )
        self.ask(c.RegisterMerchant, "shop", "", MerchantTerms("clothes"))
        self.accounts = [f"account-{n}" for n in range(12)]
        for n, account_id in enumerate(self.accounts):
            program_id = "solo" if n % 4 == 0 else "joint"
            self.ask(c.OpenAccount, account_id, program_id, "GBP", 40_000)

    def command(self, kind: Any, *fields: Any) -> c.Command:
        self.count += 1
        caller = "checker" if kind is c.ApproveFunds and self.count % 4 else "crowd"
        made: c.Command = kind(caller, f"r-{self.count}", *fields)
        return made

    def ask(self, kind: Any, *fields: Any) -> dict[str, Any]:
        return self.ask_all([self.command(kind, *fields)])[0]

    def ask_all(self, commands: list[c.Command]) -> list[dict[str, Any]]:
        answers = [json.loads(a.body) for a in self.house.ask(*commands)]
        for answer in answers:
            outcome = answer.get("reason", answer["status"])
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
            partly = f"partly: {answer.get('limited_by')}"
            self.outcomes[partly] = self.outcomes.get(partly, 0) + 1
            self.purchases += [answer.get("authorization_id")] * (
                answer["status"] == "approved" and "expires_at_ms" in answer
            )
            if answer["status"] == "approved" and answer.get("expires_at_ms"):
                self.holds += [answer["hold_id"]] if "hold_id" in answer else []
        self.purchases = [made for made in self.purchases if made]
        return answers

    def wish(self) -> c.Command:
        """A random command, not always a sensible one."""
        dice = self.dice
        account_id = dice.choice(self.accounts)
        purchase = dice.choice(self.purchases[-40:] or ["au_0000001"])
        hold = dice.choice(self.holds[-10:] or ["ho_0000001"])
        amount = dice.randint(1, 3_000)
        maybe = dice.choice([None, None, dice.randint(1, 1_500)])
        flag = dice.random() < 0.5
        until_day = dice.choice([FIRST_DAY, "2026-03-03", "2026-03-04"])
        clothes = CategoryVelocity("clothes", amount, monthly_minor=20 * amount)
        wishes: list[tuple[Any, ...]] = [
            *[(c.Authorize, account_id, "shop", amount, "GBP", flag)] * 6,
            *[(c.Authorize, account_id, "shop", amount, "GBP", flag, "", "", (), True)]
            * 3,
            *[(c.CaptureAuthorization, purchase, maybe, flag)] * 3,
            *[(c.Refund, purchase, maybe)] * 2,
            *[(c.Repay, account_id, amount, "GBP")] * 2,
            (c.IncrementAuthorization, purchase, amount),
            (c.ReverseAuthorization, purchase, maybe),
            (c.PlaceHold, account_id, amount, "GBP"),
            (c.IncreaseHold, hold, amount),
            (c.ReleaseHold, hold, maybe),
            (c.ConvertHold, hold, "shop", maybe, flag, not flag),
            (c.ChangeLimit, account_id, dice.randint(20_000, 60_000)),
            (c.SetTemporaryLimit, account_id, dice.randint(10_000, 90_000), until_day),
            (c.SetVelocity, account_id, Velocity(None, dice.randint(2_000, 20_000))),
            (c.SetVelocity, account_id, Velocity(), (clothes,)),
            (c.FreezeAccount if amount < 100 else c.UnfreezeAccount, account_id),
            (c.WithdrawReserve, dice.choice(["north", "south", "west"]), amount),
            (c.DepositReserve, dice.choice(["north", "west"]), amount),
            (c.ForceCapture, account_id, "shop", amount, "GBP", "", purchase),
            self.wish_for_lenders(amount),
        ]
        kind, *fields = dice.choice(wishes)
        return self.command(kind, *fields)

    def wish_for_lenders(self, amount: int) -> tuple[Any, ...]:
        dice = self.dice
        lender_id = dice.choice(["north", "south", "west"])
        self.movements += 1
        some = f"f{self.movements - dice.randint(0, 4)}"
        wishes: list[tuple[Any, ...]] = [
            (c.ChangeAdvanceLine, lender_id, 4 * amount),
            (c.SetDailyCap, lender_id, dice.choice([None, 10 * amount, 20_000])),
            (c.SetDailyCap, lender_id, None),
            (c.SetProgramCap, "joint", lender_id, dice.choice([None, 30 * amount])),
            (c.SuspendLender, "south"),
            *[(c.ResumeLender, "south")] * 3,
            (c.ProposeFunds, some, lender_id, dice.choice(list(c.Direction)), amount),
            (c.ApproveFunds, some),
            (c.RejectFunds, some),
        ]
        return dice.choice(wishes)

    def live(self, days: int, rounds: int, at_once: int) -> None:
        for _ in range(days):
            for _ in range(rounds):
                self.ask_all([self.wish() for _ in range(at_once)])
                self.house.pass_time(self.dice.randint(0, 3_000))
            self.ask(c.CloseDay, self.house.settlement.state.day)

    def audit(self) -> AuditReport:
        house = self.house
        return audit(
            (house.settlement_rows.identity, house.settlement_rows.batches),
            [(rows.identity, rows.batches) for rows in house.shard_rows],
        )


@pytest.mark.parametrize("seed", range(6))
def test_what_the_machines_wrote_stands_the_audit(seed: int) -> None:
    crowd = Crowd(seed, deposit_minor=40_000)
    crowd.live(days=3, rounds=60, at_once=8)

    report = crowd.audit()

    assert report.differences == [], f"seed {seed}"
    assert report.is_clean, f"seed {seed}"
    assert len(report.days) == 3
    assert crowd.outcomes["approved"] > 300, f"seed {seed}"
    assert crowd.outcomes["reserve_exhausted"] > 0, f"seed {seed}"
    assert crowd.outcomes["velocity_daily"] > 0, f"seed {seed}"
    by_lenders = ("partly: reserve", "partly: daily_cap")
    assert sum(crowd.outcomes.get(x, 0) for x in by_lenders) > 0, f"seed {seed}"


@pytest.mark.parametrize("seed", range(3))
def test_the_audit_and_the_living_shards_agree_object_by_object(seed: int) -> None:
    crowd = Crowd(seed, deposit_minor=400_000)
    crowd.live(days=2, rounds=60, at_once=8)

    for shard, rows in zip(crowd.house.shards, crowd.house.shard_rows, strict=True):
        model = ShardAudit(rows.identity)
        for batch in rows.batches:
            model.batch(batch)

        assert compare_with_state(model, shard.state) == [], f"seed {seed}"
