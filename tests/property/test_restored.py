"""A bounced early settlement is the exact inverse: the plan goes on."""

import json
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from processor import commands as c
from processor.debts import lines_of
from processor.state import Account, ShardState
from processor.views import view
from tests.property.profiles import trying
from tests.unit.debt_lives import PLANS, DebtLives

seeds = st.integers(0, 2**32 - 1)


def state_of(lives: DebtLives, account_id: str) -> tuple[ShardState, Account]:
    for shard in lives.house.shards:
        if account_id in shard.state.accounts:
            return shard.state, shard.state.accounts[account_id]
    raise AssertionError(account_id)


def owed(lives: DebtLives, account_id: str) -> Any:
    """All that is owed, line by line, and the sums beside it.

    But not how far a late line is paid for: a bounce is not late in hindsight.
    """
    state, account = state_of(lives, account_id)
    lines = {}
    for name in account.unpaid or ():
        purchase = state.authorizations[name]
        shown = [asdict(line) for line in lines_of(account, purchase)]
        for line in shown:
            del line["penalty_through_on"]
        lines[name] = (shown, purchase.outstanding_parts)
    debt = account.debt
    return (
        lines,
        account.outstanding_minor,
        account.charges_minor,
        account.credit_minor,
        account.open_to_buy_minor,
        None if debt is None else (debt.minimum_left_minor, debt.overdrawn),
    )


def settled(lives: DebtLives, account_id: str, purchase: str = "") -> str:
    """Settle early by a debit that may bounce; "" if nothing is owed."""
    state, _ = state_of(lives, account_id)
    found = view(state, "early_settlement", account_id)
    assert found is not None
    quote = json.loads(found)
    of_each = {x["authorization_id"]: x["amount_minor"] for x in quote["purchases"]}
    in_all = quote["amount_minor"]
    assert in_all == quote["overdrawn_minor"] + sum(of_each.values())
    amount = of_each.get(purchase, 0) if purchase else in_all
    if not amount:
        return ""
    wish = (account_id, amount, "GBP", purchase, "", True)
    answer = lives.ask(c.SettleEarly, *wish)
    if answer.get("reason") == "account_closed":
        return ""
    assert answer["status"] == "approved", answer
    return str(answer["repayment_id"])


@given(seed=seeds)
@trying(examples=40, is_seeded=True)
def test_what_bounces_at_once_leaves_everything_as_it_was(seed: int) -> None:
    lives, dice = DebtLives(seed), Random(seed)
    done = 0
    for _ in range(5):
        lives.live(days=7, acts=9)
        for account_id in lives.accounts:
            plan = dice.choice(PLANS).plan_id
            lives.ask(c.UnfreezeAccount, account_id)
            lives.ask(c.Authorize, account_id, "shop", 4_321, "GBP", True, "", plan)
            _, account = state_of(lives, account_id)
            for purchase in ["", *(account.unpaid or [])][:3]:
                before = owed(lives, account_id)
                key = settled(lives, account_id, purchase)
                if key:
                    lives.ask(c.ReturnRepayment, key)
                    assert owed(lives, account_id) == before
                    done += 1
    assert done
    assert lives.audit().differences == []


@given(seed=seeds)
@trying(examples=40, is_seeded=True)
def test_a_refund_in_between_takes_as_much_as_it_would_have(seed: int) -> None:
    """And once the whole is refunded, nothing of the purchase is owed."""
    lives, dice = DebtLives(seed), Random(seed)
    lives.live(days=20, acts=9)
    for account_id in lives.accounts:
        state, account = state_of(lives, account_id)
        for purchase in list(account.unpaid or []):
            bought = state.authorizations[purchase]
            left = bought.captured_minor - bought.refunded_minor
            if not bought.plan_id or not left:
                continue
            before = account.outstanding_minor - account.credit_minor
            fees_paid = sum(line.fee_paid_minor for line in bought.lines or ())
            key = settled(lives, account_id, purchase)
            amount = dice.choice([left, dice.randint(1, left)])
            lives.ask(c.Refund, purchase, amount)
            a_day_later = dice.random() < 0.5
            if a_day_later:
                lives.next_day()
            if not key:
                continue
            assert lives.ask(c.ReturnRepayment, key)["status"] == "approved"
            if amount == left:
                assert not bought.outstanding_minor
                assert all(x.fee_minor == 0 for x in bought.lines or ())
            for line in bought.lines or ():
                assert line.principal_minor >= 0
                assert 0 <= line.refunded_minor <= line.cut_minor
            after = account.outstanding_minor - account.credit_minor
            # Fees that had been paid before it may be back as well.
            least = before - amount - fees_paid
            assert a_day_later or least <= after <= before - amount
    assert lives.audit().differences == []
