"""Shards and settlement together, over bad wires and through crashes.

The town makes wishes and bad luck from a seed; after every row that becomes
durable the naive house adds all journals up.  When a test fails, Hypothesis
prints the seed, and the same seed does the same again.
"""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import commands as c
from processor import limits
from processor import messages as m
from tests.property.house import Host, House
from tests.property.profiles import trying
from tests.property.town import LENDERS, Town

seeds = st.integers(0, 2**32 - 1)


def a_town(seed: int, shard_count: int, deposit: int) -> Town:
    town = Town(shard_count, Random(seed))
    town.found(accounts=9)
    for lender_id in LENDERS:
        town.wish(c.DepositReserve, lender_id, deposit)
    town.rest()
    return town


@given(
    seed=seeds, shard_count=st.integers(1, 4), deposit=st.sampled_from([40, 400, 4_000])
)
@trying(examples=40)
def test_no_money_is_lost_or_used_twice_whatever_goes_wrong(
    seed: int, shard_count: int, deposit: int
) -> None:
    town = a_town(seed, shard_count, deposit)
    town.live(turns=1_500, trouble=town.random.choice([0, 1, 4]))
    town.finish()
    town.check_positions()
    town.check_days()
    assert town.house.expected.headroom("L1") >= 0
