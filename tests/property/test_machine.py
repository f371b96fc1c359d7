"""Every command in every order on one shard, judged by the naive model.

Hypothesis plays the callers, the clock, settlement's wire and the power supply.
"""

from collections.abc import Callable
from datetime import date, timedelta
from random import Random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.terms import (
    CategoryVelocity,
    MerchantTerms,
    PartyShare,
    Subsidy,
    Velocity,
)
from tests.property.naive_model import Bounds
from tests.property.profiles import trying
from tests.property.shard_bench import ShardBench, reference_facts

SHARES = {
    "solo": {"L1": 1_000_000},
    "pair": {"L1": 300_000, "L2": 700_000},
    "trio": {"L1": 300_000, "L2": 330_000, "L3": 370_000},
}
NEW_SHARES = {
    "pair": {"L2": 999_999, "L3": 1},
    "trio": {"L3": 333_333, "L1": 333_333, "L2": 333_334},
}
HALVES = (PartyShare("platform", 500_000), PartyShare("bank", 500_000))
THIRDS = (
    PartyShare("agent", 333_333),
    PartyShare("platform", 333_334),
    PartyShare("acquirer", 333_333),
)
TERMS = (
    MerchantTerms("food", 29_000, 1, 20, THIRDS, (Subsidy("brand", 15_000),)),
    MerchantTerms("food", 500_000, 3, None, HALVES),
    MerchantTerms("toys", 0, 2, 2),
    MerchantTerms("toys"),
    MerchantTerms(subsidies=(Subsidy("mall", 333_333), Subsidy("brand", 1_000_000))),
)
LENDERS = ("L1", "L2", "L3")
MISSING = "missing"

accounts = st.sampled_from([*"abcabcabcabcabcd", MISSING])
merchants = st.sampled_from([*["m1", "m2"] * 6, MISSING])
currencies = st.sampled_from(["EUR"] * 15 + ["USD"])
picks = st.integers(0, 40)
# A number, or relative to what there is: all of it, one more, all by default.
amounts = st.one_of(
    st.integers(1, 60), st.integers(1, 400), st.sampled_from(["left", "over"])
)
parts = st.one_of(st.none(), amounts)
bounds = st.none() | st.integers(0, 300)
velocities = st.builds(Velocity, bounds, bounds, st.none() | st.integers(100, 900))
categories = st.sampled_from(["food", "food", "toys"])
# How far things go before the next command: not at all, one step (settlement
# hears it, but its answer stays on the wire), to rest.
ways = st.sampled_from(["queue", "step", "rest", "rest", "rest"])


class ShardMachine(RuleBasedStateMachine):
    """The rules are what can happen; the bench checks after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = ShardBench(Bounds(holds_max=3, authorizations_max=5))
        self.expected = self.bench.expected
        self.requests = 0

    def teardown(self) -> None:
        try:
            self.bench.finish()
        finally:
            self.bench.close()

    @initialize(
        limit=st.integers(100, 5_000),
        headroom=st.lists(st.integers(0, 3_000), min_size=3, max_size=3),
        tolerance_ppm=st.sampled_from([0, 50_000, 333_333]),
    )
    def begin(self, limit: int, headroom: list[int], tolerance_ppm: int) -> None:
        settlement = self.bench.settlement
        settlement.unleased = dict(zip(LENDERS, headroom, strict=True))
        settlement.reference = [
            *(e.LenderRegistered(name, "EUR", "", 0) for name in LENDERS),
            e.MerchantRegistered("m1", "", TERMS[0]),
            e.MerchantRegistered("m2", "", MerchantTerms("food")),
            *reference_facts(SHARES, tolerance_ppm),
        ]
        self.bench.connect()
        self.bench.settle()
        for account_id, program_id in (("a", "solo"), ("b", "pair"), ("c", "trio")):
            self.ask(c.OpenAccount, account_id, program_id, "EUR", limit)

    def ask(self, kind: type[c.Command], *fields: Any, way: str = "rest") -> None:
        self.requests += 1
        self.go(kind("caller", f"r{self.requests}", *fields), way)

    def go(self, command: c.Command, way: str) -> None:
        self.bench.submit(command)
        if way == "step":
            self.bench.step()
            self.bench.hear()
        elif way == "rest":
            self.bench.settle()

    def purchase(self, pick: int) -> str:
        known = list(self.expected.purchases)
        return known[-1 - pick % len(known)] if known and pick < 40 else "au_missing"

    def hold(self, pick: int) -> str:
        known = list(self.expected.holds)
        return known[-1 - pick % len(known)] if known and pick < 40 else "ho_missing"

    # Accounts.

    @rule(
        account=st.sampled_from(["a", "b", "c", "d"]),
        program=st.sampled_from(["solo", "pair", "trio", MISSING]),
        currency=currencies,
        limit=st.integers(0, 500),
        way=ways,
    )
    def open_account(
        self, account: str, program: str, currency: str, limit: int, way: str
    ) -> None:
        self.ask(c.OpenAccount, account, program, currency, limit, way=way)

    @rule(account=accounts, limit=st.integers(0, 3_000), way=ways)
    def change_limit(self, account: str, limit: int, way: str) -> None:
        self.ask(c.ChangeLimit, account, limit, way=way)

    @rule(
        account=accounts,
        limit=st.integers(0, 3_000),
        days=st.sampled_from([-1, 0, 0, 1, 2]),
        way=ways,
    )
    def set_temporary_limit(
        self, account: str, limit: int, days: int, way: str
    ) -> None:
        until_day = day_plus(self.expected.day, days)
        self.ask(c.SetTemporaryLimit, account, limit, until_day, way=way)

    @rule(
        account=accounts,
        velocity=velocities,
        categories=st.lists(st.tuples(categories, velocities), max_size=2),
        way=ways,
    )
    def set_velocity(
        self,
        account: str,
        velocity: Velocity,
        categories: list[tuple[str, Velocity]],
        way: str,
    ) -> None:
        of_categories = tuple(
            CategoryVelocity(
                name, bounds.purchase_minor, bounds.daily_minor, bounds.monthly_minor
            )
            for name, bounds in categories
        )
        self.ask(c.SetVelocity, account, velocity, of_categories, way=way)

    @rule(
        account=st.sampled_from(["a", "b", "c", "d", MISSING]),
        kind=st.sampled_from([c.FreezeAccount, *[c.UnfreezeAccount] * 3]),
        way=ways,
    )
    def change_status(self, account: str, kind: type[c.Command], way: str) -> None:
        self.ask(kind, account, way=way)

    @rule(account=st.sampled_from(["a", "d", "d", "d", MISSING]), way=ways)
    def close(self, account: str, way: str) -> None:
        if account != "a" or self.expected.purchases:
            self.ask(c.CloseAccount, account, way=way)

    # Purchases.

    @rule(
        account=accounts,
        merchant=merchants,
        amount=amounts,
        currency=currencies,
        capture=st.booleans(),
        partial=st.booleans(),
        way=ways,
    )
    def authorize(
        self,
        account: str,
        merchant: str,
        amount: int | str,
        currency: str,
        capture: bool,
        partial: bool,
        way: str,
    ) -> None:
        amount_minor = exact(amount, self.expected.open_to_buy(account))
        fields = (account, merchant, amount_minor, currency, capture, "ref")
        more = ("", (), partial)
        self.ask(c.Authorize, *fields, *more, way=way)

    @rule(account=accounts, merchant=merchants, count=st.integers(2, 6), amount=amounts)
    def authorize_many(
        self, account: str, merchant: str, count: int, amount: int | str
    ) -> None:
        """Several in one batch."""
        for _ in range(count):
            left = self.expected.open_to_buy(account) // count
            fields = (account, merchant, exact(amount, left), "EUR")
            self.ask(c.Authorize, *fields, way="queue")
        self.bench.settle()

    @precondition(lambda self: self.expected.purchases)
    @rule(pick=picks, amount=amounts, way=ways)
    def increment(self, pick: int, amount: int | str, way: str) -> None:
        key = self.purchase(pick)
        left = 0
        if key in self.expected.purchases:
            left = self.expected.open_to_buy(self.expected.purchases[key].account)
        self.ask(c.IncrementAuthorization, key, exact(amount, left), way=way)

    @precondition(lambda self: self.expected.purchases)
    @rule(pick=picks, amount=parts, final=st.booleans(), way=ways)
    def capture(
        self, pick: int, amount: int | str | None, final: bool, way: str
    ) -> None:
        key = self.purchase(pick)
        left = self.expected.open_of(key) if key in self.expected.purchases else 0
        self.ask(c.CaptureAuthorization, key, some(amount, left), final, way=way)

    @precondition(lambda self: self.expected.purchases)
    @rule(pick=picks, amount=parts, way=ways)
    def reverse(self, pick: int, amount: int | str | None, way: str) -> None:
        key = self.purchase(pick)
        left = self.expected.open_of(key) if key in self.expected.purchases else 0
        self.ask(c.ReverseAuthorization, key, some(amount, left), way=way)

    @precondition(lambda self: self.expected.purchases)
    @rule(pick=picks, amount=parts, way=ways)
    def refund(self, pick: int, amount: int | str | None, way: str) -> None:
        key = self.purchase(pick)
        left = self.expected.total("capture", key) - self.expected.total("refund", key)
        self.ask(c.Refund, key, some(amount, left), way=way)

    @rule(account=accounts, amount=amounts, currency=currencies, way=ways)
    def repay(self, account: str, amount: int | str, currency: str, way: str) -> None:
        left = self.expected.outstanding(account)
        self.ask(c.Repay, account, exact(amount, left, 7), currency, way=way)

    @rule(
        account=accounts,
        merchant=merchants,
        amount=amounts,
        currency=currencies,
        pick=picks,
        way=ways,
    )
    def force(
        self,
        account: str,
        merchant: str,
        amount: int | str,
        currency: str,
        pick: int,
        way: str,
    ) -> None:
        key = self.purchase(pick)
        named = self.expected.purchases.get(key)
        if named is not None and pick % 4:
            account, merchant = named.account, named.merchant
        left = self.expected.open_of(key) if named is not None else 50
        fields = (account, merchant, exact(amount, left), currency, "ref", key)
        self.ask(c.ForceCapture, *fields, way=way)

    # Holds.

    @rule(account=accounts, amount=amounts, currency=currencies, way=ways)
    def place_hold(
        self, account: str, amount: int | str, currency: str, way: str
    ) -> None:
        left = self.expected.open_to_buy(account)
        self.ask(c.PlaceHold, account, exact(amount, left), currency, "ref", way=way)

    @precondition(lambda self: self.expected.holds)
    @rule(pick=picks, amount=amounts, way=ways)
    def increase_hold(self, pick: int, amount: int | str, way: str) -> None:
        key = self.hold(pick)
        left = 0
        if key in self.expected.holds:
            left = self.expected.open_to_buy(self.expected.holds[key].account)
        self.ask(c.IncreaseHold, key, exact(amount, left), way=way)

    @precondition(lambda self: self.expected.holds)
    @rule(pick=picks, amount=parts, way=ways)
    def release_hold(self, pick: int, amount: int | str | None, way: str) -> None:
        key = self.hold(pick)
        left = self.expected.total("hold", key)
        self.ask(c.ReleaseHold, key, some(amount, left), way=way)

    @precondition(lambda self: self.expected.holds)
    @rule(
        pick=picks,
        merchant=merchants,
        amount=parts,
        capture=st.booleans(),
        final=st.booleans(),
        way=ways,
    )
    def convert_hold(
        self,
        pick: int,
        merchant: str,
        amount: int | str | None,
        capture: bool,
        final: bool,
        way: str,
    ) -> None:
        key = self.hold(pick)
        left = self.expected.total("hold", key)
        fields = (key, merchant, some(amount, left), capture, final, "ref")
        self.ask(c.ConvertHold, *fields, way=way)

    # The same id again.

    @precondition(lambda self: self.bench.used)
    @rule(pick=st.integers(0, 200), way=ways)
    def repeat(self, pick: int, way: str) -> None:
        self.go(self.bench.used[pick % len(self.bench.used)], way)

    @precondition(lambda self: self.bench.used)
    @rule(pick=st.integers(0, 200), way=ways)
    def say_something_else_under_the_same_id(self, pick: int, way: str) -> None:
        first = self.bench.used[pick % len(self.bench.used)]
        other: c.Command = c.FreezeAccount(first.caller, first.request_id, "a")
        for name, value in (
            ("capture", True),
            ("amount_minor", 17),
            ("limit_minor", 3),
        ):
            if pick % 3 and hasattr(first, name):
                other = msgspec.structs.replace(first, **{name: value})
        self.go(other, way)

    # The rest of the world.

    @rule(lender=st.sampled_from(LENDERS), amount=st.integers(1, 500))
    def deposit(self, lender: str, amount: int) -> None:
        self.bench.settlement.unleased[lender] += amount

    @precondition(lambda self: self.bench.connected)
    @rule(lender=st.sampled_from(LENDERS), keep=st.booleans())
    def recall(self, lender: str, keep: bool) -> None:
        self.bench.settlement.recall(lender, keep)

    @rule(rest=st.booleans())
    def disconnect(self, rest: bool) -> None:
        self.bench.disconnect()
        if rest:
            self.bench.settle()

    @rule()
    def connect(self) -> None:
        self.bench.connect()
        self.bench.settle()

    @rule()
    def rest(self) -> None:
        self.bench.settle()

    @rule(ms=st.sampled_from([1, 250, 600, 3_000, 29_000, 30_000, 60_000]))
    def wait(self, ms: int) -> None:
        self.bench.now_ms += ms
        self.bench.step()

    @precondition(lambda self: self.bench.connected)
    @rule(weeks=st.sampled_from([0, 0, 2]))
    def move_day(self, weeks: int) -> None:
        settlement = self.bench.settlement
        if len(settlement.day_moves) == len(settlement.days_ended):
            day = self.expected.day
            next_day = day_plus(day, max(1, 7 * weeks))
            settlement.day_moves.append((day, next_day))
            settlement.to_shard.append(m.MoveDay(day, next_day))

    @precondition(lambda self: self.bench.connected)
    @rule(name=st.sampled_from(sorted(NEW_SHARES)), old=st.booleans())
    def new_version(self, name: str, old: bool) -> None:
        settlement = self.bench.settlement
        versions = [
            fact
            for fact in settlement.reference
            if isinstance(fact, e.ProgramRegistered) and fact.program_id == name
        ]
        shares = SHARES if old else NEW_SHARES
        ppm = versions[-1].capture_tolerance_ppm
        first = len(settlement.reference)
        settlement.reference += reference_facts(
            {name: shares[name]}, ppm, len(versions) + 1
        )
        settlement.tell_reference(first)

    def tell(self, fact: e.ReferenceFact) -> None:
        settlement = self.bench.settlement
        first = len(settlement.reference)
        settlement.reference.append(fact)
        settlement.tell_reference(first)

    @precondition(lambda self: self.bench.connected)
    @rule(lender=st.sampled_from(LENDERS))
    def suspend_or_resume(self, lender: str) -> None:
        told = [
            fact
            for fact in self.bench.settlement.reference
            if isinstance(fact, e.LenderSuspended | e.LenderResumed)
            and fact.lender_id == lender
        ]
        is_suspended = bool(told) and isinstance(told[-1], e.LenderSuspended)
        self.tell((e.LenderResumed if is_suspended else e.LenderSuspended)(lender))

    @precondition(lambda self: self.bench.connected)
    @rule(
        lender=st.sampled_from(LENDERS),
        cap=st.one_of(st.none(), st.integers(0, 300)),
    )
    def cap_the_day(self, lender: str, cap: int | None) -> None:
        """What it is set to is settlement's; here there is always a bit more."""
        settlement = self.bench.settlement
        pool_id = f"daily/{lender}"
        settlement.unleased.setdefault(pool_id, 0)
        settlement.unleased[pool_id] += cap or 0
        self.tell(e.DailyCapSet(lender, cap))

    @precondition(lambda self: self.bench.connected)
    @rule(name=st.sampled_from(["m1", "m2"]), terms=st.sampled_from(TERMS))
    def new_terms(self, name: str, terms: MerchantTerms) -> None:
        settlement = self.bench.settlement
        known = (e.MerchantRegistered, e.MerchantChanged)
        versions = [
            fact
            for fact in settlement.reference
            if isinstance(fact, known) and fact.merchant_id == name
        ]
        first = len(settlement.reference)
        changed = e.MerchantChanged(name, "", terms, len(versions) + 1)
        settlement.reference.append(changed)
        settlement.tell_reference(first)

    @rule(lose_a_step=st.booleans())
    def crash(self, lose_a_step: bool) -> None:
        if lose_a_step:
            self.bench.shard.step(self.bench.now_ms)
        self.bench.crash()


def day_plus(day: str, days: int) -> str:
    """So many days later, or before."""
    return (date.fromisoformat(day) + timedelta(days)).isoformat()


def exact(amount: int | str, left: int, over: int = 1) -> int:
    """An amount in minor units from a number or a relation to what is left."""
    if isinstance(amount, int):
        return amount
    return max(1, left + (over if amount == "over" else 0))


def some(amount: int | str | None, left: int) -> int | None:
    """As `exact`; None asks for all that is left."""
    return None if amount is None else exact(amount, left)


TestShardMachine = ShardMachine.TestCase
TestShardMachine.settings = trying(examples=200, steps=50)


# A long life: Hypothesis prefers short ones, and some faults need a history.

Rule = Callable[[ShardMachine, Random], None]


def _way(random: Random) -> str:
    return random.choice(["queue", "step", *["rest"] * 5])


def _amount(random: Random) -> int | str:
    if random.random() < 0.5:
        return random.randint(1, 90)
    return random.choice(["left", "over"])


def _part(random: Random) -> int | str | None:
    return random.choice([None, "left", "over", *[random.randint(1, 30)] * 3])


def _account(random: Random) -> str:
    return random.choice("abcabcabcabcd")


def _authorize(machine: ShardMachine, random: Random) -> None:
    merchant = random.choice(("m1", "m2"))
    amount = random.choice([_amount(random), random.randint(1, 90)])
    capture = random.random() < 0.5
    fields = (_account(random), merchant, amount, "EUR", capture)
    machine.authorize(*fields, random.random() < 0.4, _way(random))


def _authorize_many(machine: ShardMachine, random: Random) -> None:
    count = random.randint(2, 6)
    machine.authorize_many(_account(random), "m1", count, random.randint(1, 40))


def _repay(machine: ShardMachine, random: Random) -> None:
    amount = random.choice([_amount(random), "over", random.randint(1, 30)])
    machine.repay(_account(random), amount, "EUR", _way(random))


def _on_purchase(machine: ShardMachine, random: Random) -> None:
    if not machine.expected.purchases:
        return
    pick = min(39, int(random.expovariate(0.3)))
    kind = random.choice(["increment", "capture", "capture", "reverse", "refund"] * 2)
    if kind == "increment":
        machine.increment(pick, _amount(random), _way(random))
    elif kind == "capture":
        machine.capture(pick, _part(random), random.random() < 0.2, _way(random))
    elif kind == "reverse":
        machine.reverse(pick, _part(random), _way(random))
    else:
        machine.refund(random.randint(0, 39), _part(random), _way(random))


def _on_hold(machine: ShardMachine, random: Random) -> None:
    pick, way = min(39, int(random.expovariate(0.4))), _way(random)
    kind = random.choice(["place", "increase", "release", "convert", "convert"])
    if kind == "place" or not machine.expected.holds:
        machine.place_hold(_account(random), _amount(random), "EUR", way)
    elif kind == "increase":
        machine.increase_hold(pick, random.randint(1, 30), way)
    elif kind == "release":
        machine.release_hold(pick, _part(random), way)
    else:
        capture, final = random.random() < 0.5, random.random() < 0.5
        machine.convert_hold(pick, "m2", _part(random), capture, final, way)


def _force(machine: ShardMachine, random: Random) -> None:
    account, pick = _account(random), random.randint(0, 40)
    amount = random.choice([_amount(random), random.randint(1, 30)])
    machine.force(account, "m1", amount, "EUR", pick, _way(random))


def _again(machine: ShardMachine, random: Random) -> None:
    pick = random.randint(0, 1_000)
    if random.random() < 0.7:
        machine.repeat(pick, _way(random))
    else:
        machine.say_something_else_under_the_same_id(pick, _way(random))


def _world(machine: ShardMachine, random: Random) -> None:
    lender = random.choice(LENDERS)
    suspended = sorted(machine.expected.suspended)
    if suspended and machine.bench.connected and random.random() < 0.7:
        machine.suspend_or_resume(suspended[0])
    match random.randint(0, 18):
        case 0:
            machine.change_limit(_account(random), random.randint(200, 2_000), "rest")
        case 1:
            kind = random.choice([c.FreezeAccount, *[c.UnfreezeAccount] * 3])
            machine.change_status(_account(random), kind, "rest")
        case 2 | 3 | 4:
            machine.deposit(lender, random.randint(1, 300))
        case 5 if machine.bench.connected:
            machine.recall(lender, random.random() < 0.3)
        case 6:
            machine.disconnect(random.random() < 0.5)
        case 7:
            machine.connect()
        case 8:
            machine.wait(random.choice([300, 3_000, 31_000, 61_000]))
        case 9 if machine.bench.connected:
            machine.move_day(random.choice([0, 0, 2]))
        case 10 if machine.bench.connected:
            machine.new_version(random.choice(["pair", "trio"]), random.random() < 0.5)
        case 15 if machine.bench.connected:
            machine.new_terms(random.choice(["m1", "m2"]), random.choice(TERMS))
        case 11:
            machine.crash(random.random() < 0.5)
        case 12 if machine.bench.connected:
            machine.suspend_or_resume(lender)
        case 13 | 14 if machine.bench.connected:
            cap = random.choice([None, random.randint(0, 300), random.randint(0, 300)])
            machine.cap_the_day(lender, cap)
        case 16 | 17:
            _set_velocity(machine, random)
        case 18:
            limit, days = random.randint(0, 3_000), random.randint(-1, 2)
            machine.set_temporary_limit(_account(random), limit, days, _way(random))


def _set_velocity(machine: ShardMachine, random: Random) -> None:
    def bounded() -> Velocity:
        purchase = random.choice([None, 20, 60])
        daily = random.choice([None, 50, 150])
        return Velocity(purchase, daily, random.choice([None, 150, 400]))

    of_food = random.choice([[], [("food", bounded())]])
    velocity = random.choice([Velocity(), bounded(), bounded()])
    machine.set_velocity(_account(random), velocity, of_food, "rest")


LIFE: tuple[tuple[int, Rule], ...] = (
    (8, _authorize),
    (1, _authorize_many),
    (3, _repay),
    (8, _on_purchase),
    (4, _on_hold),
    (2, _again),
    (5, _world),
    (1, _force),
)


@given(seed=st.integers(0, 2**32 - 1))
@trying(examples=30, is_seeded=True)
def test_a_long_life_is_as_expected_after_every_step(seed: int) -> None:
    random = Random(seed)
    machine = ShardMachine()
    try:
        headroom = [random.randint(0, 1_500) for _ in LENDERS]
        machine.begin(2_000, headroom, random.choice([0, 50_000, 333_333]))
        weights = [weight for weight, _ in LIFE]
        for _, act in random.choices(LIFE, weights, k=250):
            act(machine, random)
            if random.random() < 0.3:
                machine.connect()
        machine.bench.finish()
        assert machine.bench.batches
    finally:
        machine.bench.close()
