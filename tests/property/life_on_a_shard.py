"""A world of one shard for whole lives: programs, merchants, days and reserve.

Settlement is played by the life: it grants what is asked for, now and then it
refuses, and it never refuses what is forced.  Everything follows from one seed.
"""

from datetime import date, timedelta
from random import Random
from typing import Any

import msgspec

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.schedules import Method, Payer, Plan
from processor.state import Account, ShardState
from processor.terms import (
    DEFAULT_ALLOCATION,
    MerchantTerms,
    PartyShare,
    Subsidy,
    Terms,
)
from tests.unit.one_shard import OneShard

PPM = 1_000_000
LENDERS = ("north", "south", "west")
SHARES = (
    (333_333, 366_667, 300_000),
    (1, 499_999, 500_000),
    (700_001, 299_998, 1),
    (333_334, 333_333, 333_333),
)
FREE_OF_TIME = (
    Plan("fees", 3, Method.FLAT_FEE, 6_543),
    Plan("heavy", 2, Method.FLAT_FEE, 333_333),
    Plan("even", 4, Method.EQUAL_PRINCIPAL, 0),
    Plan("shop-even", 5, Method.EQUAL_PRINCIPAL, 17_001, Payer.MERCHANT),
    Plan("shop-fees", 3, Method.FLAT_FEE, 9_999, Payer.MERCHANT),
)
WITH_INTEREST = (
    Plan("balance", 4, Method.EQUAL_PRINCIPAL, 15_001),
    Plan("annuity", 6, Method.EQUAL_PAYMENT, 12_345),
    Plan("shop-annuity", 5, Method.EQUAL_PAYMENT, 23_456, Payer.MERCHANT),
)
THREE = (
    PartyShare("agent", 333_333),
    PartyShare("platform", 333_334),
    PartyShare("bank", 333_333),
)
PRICINGS = (
    MerchantTerms("food", 29_000, 3, 700, THREE, (Subsidy("brand", 15_001),)),
    MerchantTerms("food", 500_000, 7, None, (PartyShare("bank", PPM),)),
    MerchantTerms("toys", 0, 2, 2, (), (Subsidy("mall", 333_333), Subsidy("brand", 1))),
    MerchantTerms("toys"),
    MerchantTerms("", 1, 0, None, (THREE[0], PartyShare("scheme", 666_667))),
)
SHOPS = ("grocer", "tailor")
EXPIRY_SECONDS = 600


class ShardLife:
    """Two borrowers of one joint program; without `earns`, time costs nothing."""

    def __init__(self, seed: int, *, earns: bool) -> None:
        self.dice = Random(seed)
        self.earns = earns
        self.plans = FREE_OF_TIME + (WITH_INTEREST if earns else ())
        self.terms = self.some_terms()
        self.shard = OneShard().connected().welcomed()
        self.granted = dict.fromkeys(LENDERS, 0)
        self.refusals = 0
        self.heard = 0  # Of what the shard said to settlement.
        self.facts: list[e.ReferenceFact] = []
        self.versions = 0
        self.asked = 0
        self.outcomes: dict[str, int] = {}
        self.begin()

    def some_terms(self) -> Terms:
        cells = self.dice.sample(DEFAULT_ALLOCATION, len(DEFAULT_ALLOCATION))
        return Terms(
            self.dice.choice([0, 0, 3]),
            self.dice.choice([700, 20_000]) if self.earns else 0,
            self.dice.choice([PPM, 100_000, 0]),
            tuple(cells[: self.dice.choice([0, 3, 12])]),
            self.dice.choice([0, 12_345]),
            self.dice.choice([0, 7_001]),
        )

    def begin(self) -> None:
        lenders = [e.LenderRegistered(name, "EUR", "", 0) for name in LENDERS]
        shops = [
            e.MerchantRegistered(name, "", self.dice.choice(PRICINGS)) for name in SHOPS
        ]
        self.tell(*lenders, *shops, self.next_program())
        self.prices = dict.fromkeys(SHOPS, 1)
        for account_id in ("ann", "bob"):
            days = (self.dice.randint(1, 28), self.dice.randint(1, 28))
            self.ask(c.OpenAccount, account_id, "joint", "EUR", 900_000, *days)

    @property
    def state(self) -> ShardState:
        state: ShardState = self.shard.state
        return state

    @property
    def accounts(self) -> list[Account]:
        return list(self.state.accounts.values())

    def events(self) -> list[e.Event]:
        return [record.event for record in self.shard.records]

    # Talking.

    def ask(
        self, kind: type[c.Command], *fields: Any, caller: str = "clerk"
    ) -> dict[str, Any]:
        """One wish, and its answer, however long settlement is asked for it."""
        self.asked += 1
        (sent,) = self.shard.submit(kind(caller, f"r-{self.asked}", *fields))
        while sent not in self.shard.answers:
            self.play_settlement()
        answer: dict[str, Any] = msgspec.json.decode(self.shard.answers[sent].body)
        outcome = f"{kind.__name__} {answer.get('reason', answer['status'])}"
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        return answer

    def play_settlement(self) -> None:
        said = self.shard.heard[self.heard :]
        self.heard += len(said)
        asks = [message for message in said if isinstance(message, m.SliceAsked)]
        assert asks, "the shard waits for nothing"
        for ask in asks:
            if not ask.is_forced and self.dice.random() < 0.1:
                self.refuse(ask)
            else:
                self.grant(ask)

    def grant(self, ask: m.SliceAsked) -> None:
        grants = []
        for need in ask.needs:
            self.granted[need.pool_id] += need.amount_minor
            grants.append(m.GrantSlice(need.pool_id, self.granted[need.pool_id]))
        forced = sum(n.amount_minor for n in ask.needs) if ask.is_forced else 0
        self.shard.told(*grants, m.AskGranted(ask.ask, forced))

    def refuse(self, ask: m.SliceAsked) -> None:
        """A lender has nothing but what is free here."""
        slices = self.state.slices
        short = [n for n in ask.needs if n.amount_minor > slices[n.pool_id].free_minor]
        self.refusals += 1
        pool_id = short[0].pool_id
        self.shard.told(m.AskRefused(ask.ask, pool_id, 0, self.refusals))

    def tell(self, *facts: e.ReferenceFact) -> None:
        self.facts += facts
        self.shard.told(m.ReferenceSent(len(self.facts), tuple(facts)))

    # What changes around the borrowers.

    def next_program(self) -> e.ProgramRegistered:
        """The next version: other shares, the same promises."""
        shares = SHARES[self.versions % len(SHARES)]
        self.versions += 1
        return e.ProgramRegistered(
            "joint",
            self.versions,
            "EUR",
            tuple(c.Share(*share) for share in zip(LENDERS, shares, strict=True)),
            EXPIRY_SECONDS,
            EXPIRY_SECONDS,
            100_000,
            self.plans,
            self.terms,
        )

    def change_prices(self) -> None:
        shop = self.dice.choice(SHOPS)
        self.prices[shop] += 1
        terms = self.dice.choice(PRICINGS)
        self.tell(e.MerchantChanged(shop, "", terms, self.prices[shop]))

    def pass_day(self, most: int = 40) -> None:
        """The next business day: tomorrow, after a weekend, or much later."""
        today = date.fromisoformat(self.state.day)
        step = min(most, self.dice.choice([1, 1, 3, 9, 40]))
        tomorrow = today + timedelta(days=step)
        self.shard.told(m.MoveDay(today.isoformat(), tomorrow.isoformat()))
        while self.shard.node.has_work:
            self.shard.step()

    def pass_time(self) -> None:
        """All that is open expires."""
        self.shard.now_ms += 1_000 * EXPIRY_SECONDS + 1
        self.shard.step()
        while self.shard.node.has_work:
            self.shard.step()
