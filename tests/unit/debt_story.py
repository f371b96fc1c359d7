"""One story of debts, told to a house in memory: everything happens in it once.

Five borrowers of one program, two months.  `story` gives its journals record by
record, so that they can be tampered with.
"""

import json
from functools import cache
from typing import Any

import msgspec

from processor import commands as c
from processor import events as e
from processor.records import SETTLEMENT_RECORDS, SHARD_RECORDS
from processor.schedules import Method, Payer, Plan
from processor.terms import Bucket, Component, Due, Side, Terms, Waivable
from tests.unit.house_in_memory import House, Rows
from tests.unit.journals_by_hand import SETTLEMENT, SHARD_0, SHARD_1, Journals, Script

DORA, EMIL, FRED, GINA, HUGO = "dora-1", "emil-1", "fred-2", "gina", "hugo-2"
FIRST_DAY = "2026-01-02"
PLANS = (
    Plan("fees", 3, Method.FLAT_FEE, 10_000),
    Plan("even", 3, Method.EQUAL_PRINCIPAL, 20_000),
    Plan("annuity", 4, Method.EQUAL_PAYMENT, 15_000),
    Plan("shop-pays", 2, Method.EQUAL_PRINCIPAL, 20_000, Payer.MERCHANT),
)
TERMS = Terms(
    grace_days=2,
    penalty_ppm_per_day=1_000,
    minimum_due_ppm=100_000,
    allocation=(
        Bucket(Due.PAST_DUE, Component.PRINCIPAL),
        Bucket(Due.DUE, Component.FEE),
    ),
    early_settlement_fee_ppm=10_000,
    extension_fee_ppm=5_000,
)
SHARES = (c.Share("north", 300_000), c.Share("south", 700_000))


class Told:
    """The house, and what was made by name."""

    def __init__(self) -> None:
        self.house = House(2, FIRST_DAY)
        self.count = 0

    def ask(self, kind: Any, *fields: Any, caller: str = "clerk") -> dict[str, Any]:
        """One wish that is granted."""
        self.count += 1
        (answer,) = self.house.ask(kind(caller, f"r-{self.count}", *fields))
        body: dict[str, Any] = json.loads(answer.body)
        assert body["status"] == "approved", (kind, fields, body)
        return body

    def buy(
        self, account_id: str, amount: int, plan: str = "", now: bool = True
    ) -> str:
        wish = (account_id, "shop", amount, "GBP", now, "", plan)
        made: str = self.ask(c.Authorize, *wish)["authorization_id"]
        return made

    def repay(self, account_id: str, amount: int, provisional: bool = False) -> str:
        wish = (account_id, amount, "GBP", "", "", provisional)
        made: str = self.ask(c.Repay, *wish)["repayment_id"]
        return made

    def day(self, next_day: str) -> None:
        self.ask(c.CloseDay, self.house.settlement.state.day, next_day)


@cache
def _told() -> Told:
    told = Told()
    ask = told.ask
    for lender_id in ("north", "south"):
        ask(c.RegisterLender, lender_id, "GBP")
        ask(c.DepositReserve, lender_id, 1_000_000)
    ask(
        c.RegisterProgram,
        "plans",
        "GBP",
        SHARES,
        10**6,
        10**6,
        100_000,
        0,
        PLANS,
        TERMS,
    )
    ask(c.RegisterMerchant, "shop")
    for account_id in (DORA, EMIL, FRED, GINA, HUGO):
        ask(c.OpenAccount, account_id, "plans", "GBP", 50_000, 5, 20)
    _january(told)
    return told


def _january(told: Told) -> None:
    """What was bought, billed on the 5th, and paid or not by the 20th."""
    ask, buy, repay = told.ask, told.buy, told.repay
    by_fees = buy(DORA, 9_000, "fees")
    even = buy(DORA, 6_000, "even")
    buy(DORA, 4_000)
    buy(EMIL, 8_000)
    buy(EMIL, 2_000, "annuity")
    borne = buy(FRED, 3_000, "shop-pays")
    partly = buy(FRED, 1_000, "fees", now=False)
    ask(c.CaptureAuthorization, partly, 400)
    buy(GINA, 5_000)
    buy(HUGO, 7_000, "fees")
    told.day("2026-01-06")
    bounced = repay(DORA, 5_000, provisional=True)
    repay(EMIL, 2_000)
    ask(c.Refund, by_fees, 2_000)
    ask(c.CaptureAuthorization, partly, 500)
    ask(c.Refund, borne, 1_001)
    overpaid = repay(GINA, 6_000, provisional=True)
    buy(GINA, 300)
    credit = (HUGO, Side.CREDIT, 100, "GBP", "complaint-7")
    proposed = ask(c.ProposeAdjustment, *credit)["adjustment_id"]
    ask(c.ApproveAdjustment, proposed, caller="chief")
    debit = (HUGO, Side.DEBIT, 50, "GBP", "complaint-8")
    proposed = ask(c.ProposeAdjustment, *debit)["adjustment_id"]
    ask(c.RejectAdjustment, proposed)
    told.day("2026-01-24")
    ask(c.ReturnRepayment, bounced)
    ask(c.WaiveCharges, HUGO, Waivable.PENALTY, 1)
    ask(c.ExtendPlan, even, 5)
    _february(told, by_fees, overpaid)


def _february(told: Told, by_fees: str, overpaid: str) -> None:
    """Paid before it is due, paid by others, not paid at all."""
    ask, repay = told.ask, told.repay
    quoted = told.house.ask(c.SettleEarly("clerk", "q", DORA, 1, "GBP", by_fees))
    quote = json.loads(quoted[0].body)["quote_minor"]
    ask(c.SettleEarly, DORA, quote, "GBP", by_fees, "", True)
    ask(c.PayOutCredit, GINA, 200)
    ask(c.ReturnRepayment, overpaid)
    written_off = ask(c.WriteOff, HUGO)["write_off_id"]
    recovered = ask(c.RecordRecovery, HUGO, 1_001, "GBP")["recovery_id"]
    ask(c.ReverseRecovery, recovered)
    ask(c.ReverseWriteOff, written_off)
    claim = ask(c.PayClaim, HUGO, "insurer", 2_500, "GBP")["claim_id"]
    told.day("2026-02-06")
    ask(c.ReverseClaim, claim)
    ask(c.FinalizeRepayment, repay(EMIL, 4_321, provisional=True))
    ask(c.WriteOff, FRED)
    ask(c.RecordRecovery, FRED, 777, "GBP")
    ask(c.Refund, by_fees, 2_500)
    told.day("2026-02-24")
    repay(GINA, 9_000)
    ask(c.PayOutCredit, GINA)
    told.day("2026-02-25")
    ask(c.CloseAccount, GINA)


def _script(rows: Rows, records: msgspec.msgpack.Decoder[Any]) -> Script:
    found: list[Any] = []
    sizes = []
    for batch in rows.batches:
        found += records.decode(batch.records)
        sizes.append(batch.last_sequence - batch.first_sequence + 1)
    return Script(rows.identity, found, sizes)


def story() -> Journals:
    """A fresh copy of its journals, in the rows they were written in."""
    house = _told().house
    shards = [_script(rows, SHARD_RECORDS) for rows in house.shard_rows]
    return {
        SETTLEMENT: _script(house.settlement_rows, SETTLEMENT_RECORDS),
        SHARD_0: shards[0],
        SHARD_1: shards[1],
    }


def place(script: Script, kind: type[e.Event], nth: int = 1) -> int:
    """The sequence of the nth event of a kind; from the end, if negative."""
    found = [n for n, r in enumerate(script.records, 1) if type(r.event) is kind]
    return found[nth - 1 if nth > 0 else nth]
