"""A story: everything that is going to happen, made from one seed.

It is a list, so that a story can be told again with parts left out: each deed
brings its own randomness, and dropping one leaves the others what they are.
"""

from dataclasses import dataclass, replace
from random import Random

from tests.simulation.luck import LUCK_DEEDS
from tests.simulation.town import TOWN_DEEDS
from tests.simulation.virtual import MS, SECOND

CUSTOMERS = 2
CUSTOMER_DEED = "lives"
KEEPER_DEED = "keeps"
_TOWN_DEEDS = list(TOWN_DEEDS)
_TOWN_WEIGHTS = [weight for weight, _ in TOWN_DEEDS.values()]


@dataclass(frozen=True)
class Deed:
    """One thing that somebody does, or that happens to somebody."""

    at_us: int  # From the beginning of the story.
    name: str
    seed: int

    @property
    def is_luck(self) -> bool:
        return self.name in LUCK_DEEDS


@dataclass(frozen=True)
class Story:
    """One seed's house and what happens in it."""

    seed: int
    shard_count: int
    deposit_minor: int
    scale: int  # How many minor units are a lot to the town.
    limit_minor: int  # Of the crowd's accounts.
    segment_records: int  # Until a segment of a journal is full.
    loss: float
    deeds: tuple[Deed, ...]

    def with_deeds(self, deeds: tuple[Deed, ...]) -> "Story":
        """The same house, where other things happen."""
        return replace(self, deeds=deeds)


def story_of(seed: int) -> Story:
    """The story of a seed."""
    random = Random(f"story {seed}")
    span_us = random.randrange(2 * SECOND, 8 * SECOND)
    names = random.choices(_TOWN_DEEDS, _TOWN_WEIGHTS, k=random.randrange(30, 90))
    names += [CUSTOMER_DEED] * random.randrange(15, 70)
    names += [KEEPER_DEED] * random.choice([0, 6, 20])
    names += _bad_luck(random)
    deeds = [
        Deed(_moment(random, span_us), name, random.getrandbits(48)) for name in names
    ]
    deposit_minor, scale = random.choice([(40, 1), (400, 1), (60_000, 60), (10**7, 60)])
    return Story(
        seed,
        random.choice([1, 2, 2, 3, 3, 4]),
        deposit_minor,
        scale,
        random.choice([20_000, 300_000]),
        random.choice([12, 40, 10_000]),
        random.choice([0.0, 0.0, 0.05]),
        tuple(sorted(deeds, key=lambda deed: deed.at_us)),
    )


def _moment(random: Random, span_us: int) -> int:
    """Whenever; sometimes many at once."""
    if random.random() < 0.3:
        return random.randrange(8) * span_us // 8 + random.randrange(5 * MS)
    return random.randrange(span_us)


def _bad_luck(random: Random) -> list[str]:
    """A few kinds of it, several times: what is rare together is found so."""
    if random.random() < 0.1:
        return []
    kinds = [name for name in LUCK_DEEDS if random.random() < 0.35]
    return random.choices(kinds, k=random.randrange(1, 14)) if kinds else []
