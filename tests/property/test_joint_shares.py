"""Every lender's cumulative share, purchase by purchase, through a real shard.

`test_apportion` shows the split alone.  Here purchases come as commands, grow by
increments and captures above what is open, and go back in part: what lenders
were given in all stays within one minor unit of the contract after each of them.
"""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.terms import MerchantTerms, PartyShare, Subsidy
from tests.property.profiles import FACTOR
from tests.unit.one_shard import OneShard

PPM = 1_000_000
PURCHASES = int(50_000 * FACTOR)  # A million on a thorough night.
BATCH = 500
SHARES = {"north": 300_001, "south": 333_333, "west": 366_665, "tiny": 1}
PARTIES = {"platform": 612_345, "bank": 387_655}


class Shares:
    """What each lender should have had by now, to a fraction; what it had."""

    def __init__(self, shares_ppm: Sequence[int]) -> None:
        self.shares_ppm = shares_ppm
        self.had = [0] * len(shares_ppm)
        self.total = 0
        self.worst_ppm = 0  # Of one minor unit.

    def split(self, amount: int, parts: Sequence[int]) -> None:
        """One amount more was split: nobody is a whole unit off."""
        assert sum(parts) == amount
        assert min(parts) >= 0
        self.total += amount
        for i, part in enumerate(parts):
            self.had[i] += part
            off_ppm = abs(self.had[i] * PPM - self.shares_ppm[i] * self.total)
            assert off_ppm < PPM, (i, self.had, self.total)
            self.worst_ppm = max(self.worst_ppm, off_ppm)


def a_shard() -> OneShard:
    shard = OneShard().welcomed()
    shares = tuple(c.Share(*share) for share in SHARES.items())
    terms = MerchantTerms(
        "",
        23_457,
        0,
        900,
        tuple(PartyShare(*share) for share in PARTIES.items()),
        (Subsidy("brand", 7_013),),
    )
    facts: tuple[e.ReferenceFact, ...] = (
        *(e.LenderRegistered(name, "EUR", "", 0) for name in SHARES),
        e.MerchantRegistered("m", "", terms),
        e.ProgramRegistered("p", 1, "EUR", shares, 10**6, 10**6, 500_000),
    )
    grants = (m.GrantSlice(name, 10**15) for name in SHARES)
    shard.told(m.ReferenceSent(len(facts), facts), *grants)
    for number in range(50):
        shard.ask(c.OpenAccount, f"a{number}", "p", "EUR", 10**13)
    return shard


class Crowd:
    """Callers who buy, add, capture a bit more, reverse and refund, in batches."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.asked = 0
        self.open: dict[str, int] = {}  # And for how much.
        self.grown: list[str] = []
        self.captured: list[str] = []

    def batch(self) -> list[c.Command]:
        """So many purchases, and what becomes of those before."""
        commands = [self.purchase() for _ in range(BATCH)]
        for key, minor in self.open.items():
            commands.append(self.follow_up(key, minor))
        commands += [
            c.ReverseAuthorization("crowd", self.name(), key) for key in self.grown
        ]
        for key in self.random.sample(self.captured, min(50, len(self.captured))):
            amount = self.random.randint(1, 500)
            commands.append(c.Refund("crowd", self.name(), key, amount))
        self.random.shuffle(commands)
        self.open, self.grown, self.captured = {}, [], []
        return commands

    def name(self) -> str:
        self.asked += 1
        return f"r{self.asked}"

    def purchase(self) -> c.Command:
        random = self.random
        amount = random.choice(
            [1, 2, 3, random.randint(1, 99), random.randint(1, 99_999)]
        )
        account_id = f"a{random.randrange(50)}"
        capture = random.random() < 0.8
        return c.Authorize(
            "crowd", self.name(), account_id, "m", amount, "EUR", capture
        )

    def follow_up(self, key: str, minor: int) -> c.Command:
        """More is authorized, a bit more is captured, or all is given back."""
        kind = self.random.choice(["more", "above", "back"])
        if kind == "more":
            return c.IncrementAuthorization("crowd", self.name(), key, minor)
        if kind == "back":
            return c.ReverseAuthorization("crowd", self.name(), key)
        return c.CaptureAuthorization("crowd", self.name(), key, minor + minor // 3)

    def heard(self, event: e.Event) -> None:
        if isinstance(event, e.Authorized):
            if event.captured:
                self.captured.append(event.authorization_id)
            else:
                self.open[event.authorization_id] = event.amount_minor
        elif isinstance(event, e.AuthorizationIncremented):
            self.grown.append(event.authorization_id)


@pytest.mark.timeout(3_600)
def test_cumulative_shares_stay_within_one_minor_unit_purchase_by_purchase() -> None:
    seed = 20_260_101
    shard, crowd = a_shard(), Crowd(seed)
    lenders = Shares(list(SHARES.values()))
    parties = Shares(list(PARTIES.values()))
    counts: Counter[str] = Counter()
    for _ in range(-(-PURCHASES // BATCH)):
        shard.records.clear()
        shard.batches.clear()
        shard.answers.clear()
        shard.submit(*crowd.batch())
        for record in shard.records:
            event = record.event
            counts[type(event).__name__] += 1
            crowd.heard(event)
            match event:
                case e.Authorized():
                    lenders.split(event.amount_minor, event.parts)
                    if event.captured:
                        _charged(parties, event.charge)
                case e.AuthorizationIncremented():
                    lenders.split(event.amount_minor, event.parts)
                case e.Captured():
                    lenders.split(event.extra_minor, event.extra_parts)
                    _charged(parties, event.charge)
    assert counts["Authorized"] >= PURCHASES
    assert tuple(lenders.had) == shard.state.programs["p"].split_parts
    assert lenders.worst_ppm > PPM // 2  # It is not exact by chance.
    for kind in ("AuthorizationIncremented", "Captured", "Refunded"):
        assert counts[kind] > PURCHASES // 200, (seed, counts)


def _charged(parties: Shares, charge: e.MerchantCharge | None) -> None:
    assert charge is not None
    parties.split(charge.fee_minor, charge.fee_parts)
