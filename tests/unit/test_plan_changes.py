"""Extensions follow the plan; what is past due is told apart from what is lost."""

from typing import Any

import pytest

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.schedules import Method, Plan, schedule
from processor.terms import Side, Terms
from tests.unit.one_audit import check_clean
from tests.unit.one_shard import PPM, OneShard

PLANS = (
    Plan("annuity", 4, Method.EQUAL_PAYMENT, 30_000),
    Plan("even", 3, Method.EQUAL_PRINCIPAL, 30_000),
)
TERMS = Terms(3, 1_000, 100_000, (), 10_000, 0)


@pytest.fixture
def shard() -> OneShard:
    """One lender, and account `a`: statement on the 5th, due on the 20th."""
    shard = OneShard().welcomed()
    shares = (c.Share("L1", PPM),)
    facts: list[e.ReferenceFact] = [
        e.LenderRegistered("L1", "EUR", "", 0),
        e.MerchantRegistered("m", ""),
        e.ProgramRegistered("p", 1, "EUR", shares, 10**7, 10**6, 0, PLANS, TERMS),
    ]
    shard.told(m.ReferenceSent(len(facts), tuple(facts)))
    shard.told(m.GrantSlice("L1", 10**9))
    shard.ask(c.OpenAccount, "a", "p", "EUR", 10**6, 5, 20)
    return shard


def buy(shard: OneShard, amount: int, plan: str = "") -> str:
    wish = ("a", "m", amount, "EUR", True, "", plan)
    made: str = shard.ask(c.Authorize, *wish)["authorization_id"]
    return made


def adjust(shard: OneShard, amount: int) -> None:
    """So much is taken off the credit balance."""
    wish = ("a", Side.DEBIT, amount, "EUR", "x")
    key = shard.ask(c.ProposeAdjustment, *wish)["adjustment_id"]
    shard.submit(c.ApproveAdjustment("chief", key, key))


def move(shard: OneShard, day: str) -> None:
    shard.told(m.MoveDay(shard.state.day, day))
    while shard.node.has_work:
        shard.step()


def delinquency(shard: OneShard) -> tuple[Any, ...]:
    shown = shard.read("account", "a")
    return shown["past_due_minor"], shown["days_past_due"], shown["delinquency"]


@pytest.mark.parametrize("plan", PLANS)
def test_an_extension_cuts_as_the_plans_method_does(
    shard: OneShard, plan: Plan
) -> None:
    key = buy(shard, 10_000, plan.plan_id)
    shard.ask(c.ExtendPlan, key, 6)
    shown = shard.read("schedule", "a")["instalments"]
    own = schedule(plan.method, 6, plan.rate_ppm, 10_000)
    assert [x["principal_minor"] for x in shown] == [p.principal_minor for p in own]
    # Of a period only one line bears interest: the one that is left of it.
    assert all(x["principal_minor"] and x["interest_minor"] for x in shown)
    move(shard, "2026-02-06")
    (billed,) = shard.state.accounts["a"].debt.statements[-1:]
    assert billed.new_interest_minor == own[1].interest_minor
    check_clean(shard)


def test_days_of_grace_are_no_delinquency_yet(shard: OneShard) -> None:
    buy(shard, 1_000)
    adjust(shard, 50)
    move(shard, "2026-01-06")
    assert (0, 0, "current") == delinquency(shard)
    move(shard, "2026-01-23")
    assert (1_050, 3, "grace") == delinquency(shard)
    move(shard, "2026-01-24")
    assert (1_050, 4, "1-30") == delinquency(shard)
    shard.ask(c.WriteOff, "a")
    assert (0, 0, "written_off") == delinquency(shard)
    shard.ask(c.RecordRecovery, "a", 1_050, "EUR")
    assert (0, 0, "current") == delinquency(shard)
    check_clean(shard)


def test_who_has_paid_the_minimum_is_not_past_due_in_the_days_of_grace(
    shard: OneShard,
) -> None:
    buy(shard, 1_000)
    move(shard, "2026-01-06")
    shard.ask(c.Repay, "a", 100, "EUR")
    move(shard, "2026-01-21")
    assert (0, 0, "current") == delinquency(shard)
    assert "2026-02-20" == shard.read("schedule", "a")["instalments"][0]["due_on"]
    check_clean(shard)


def test_the_minimum_that_is_left_is_never_more_than_what_is_due(
    shard: OneShard,
) -> None:
    key = buy(shard, 1_000)
    move(shard, "2026-01-06")
    assert 100 == shard.read("statements", "a")["minimum_left_minor"]
    shard.ask(c.Refund, key, 950)
    shown = shard.read("statements", "a")
    assert (50, 0) == (shown["due_minor"], shown["minimum_left_minor"])
    check_clean(shard)
