"""Shards and settlement together, over bad wires and through crashes.

The town makes wishes and bad luck from a seed; after every row that becomes
durable the naive house adds all journals up.  When a test fails, Hypothesis
prints the seed, and the same seed does the same again.
"""

from collections.abc import Iterable
from random import Random

from hypothesis import assume, given
from hypothesis import strategies as st

from processor import commands as c
from processor.audit.report import audit
from processor.recovery import SettlementReplay
from tests.property.house import Host, House
from tests.property.profiles import trying
from tests.property.town import LENDERS, Town, Wish
from tests.unit.journals_by_hand import rechained

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
@trying(examples=80, is_seeded=True)
def test_no_money_is_lost_or_used_twice_whatever_goes_wrong(
    seed: int, shard_count: int, deposit: int
) -> None:
    town = a_town(seed, shard_count, deposit)
    town.live(turns=1_500, trouble=town.random.choice([0, 1, 4]))
    town.finish()
    town.check_positions()
    town.check_days()
    check_audit(town.house)
    assert town.house.expected.headroom("L1") >= 0


def check_audit(house: House) -> None:
    """The audit, too, finds nothing in all that the journals say."""
    rows = [
        (host.identity, rechained(host.identity, host.batches))
        for host in house.hosts.values()
    ]
    report = audit(rows[0], rows[1:])
    assert [] == report.differences
    assert report.is_clean


@given(seed=seeds, shard_count=st.integers(1, 4), trouble=st.sampled_from([0, 3]))
@trying(examples=15, is_seeded=True)
def test_the_last_minor_unit_can_be_spent_from_any_shard(
    seed: int, shard_count: int, trouble: int
) -> None:
    town = a_town(seed, shard_count, deposit=300)
    town.live(turns=600, trouble=trouble)
    town.finish()
    town.lift_every_bound()
    town.house.now_ms += 120_000  # Nothing is left that could still expire.
    town.finish()
    headroom = town.house.expected.headroom("L1")
    approved = spend_all(town, town.accounts[::3], trouble)
    town.finish()
    assert headroom == approved
    assert 0 == town.house.expected.headroom("L1")
    town.check_positions()


def spend_all(
    town: Town, accounts: list[str], trouble: int, until: str = "reserve_exhausted"
) -> int:
    """Buy one minor unit after the other until every account is declined."""
    first = len(town.wishes)
    buying = {account: buy_one(town, account) for account in accounts}
    while buying:
        town.live_quietly(turns=40, trouble=trouble)
        for account, wish in list(buying.items()):
            if wish.body is None:
                town.submit(wish)
            elif wish.answer["status"] == "approved":
                buying[account] = buy_one(town, account)
            else:
                assert wish.answer["reason"] == until
                assert wish.answer["headroom_missing_minor"] == 1
                del buying[account]
    wishes = town.wishes[first:]
    return sum(wish.answer["status"] == "approved" for wish in wishes)


def buy_one(town: Town, account: str) -> Wish:
    return town.wish(c.Authorize, account, "m0", 1, "EUR", True)


@given(seed=seeds)
@trying(examples=15, is_seeded=True)
def test_a_shard_from_an_old_copy_is_refused_and_stops(seed: int) -> None:
    town = a_town(seed, shard_count=2, deposit=400)
    town.live(turns=800, trouble=0)
    town.finish()
    host = town.house.hosts[f"shard-{town.random.randrange(2)}"]
    acknowledged = town.house.expected.acknowledged[host.identity.number]
    old = [i for i, b in enumerate(host.batches) if b.last_sequence < acknowledged]
    assert old
    restart_from_old_copy(town.house, host, 1 + town.random.choice(old))
    town.house.connect(host.name, "settlement")
    run_until_quiet(town.house)
    assert "old copy" in host.node.stopped_because
    assert "" == town.house.hosts["settlement"].node.stopped_because


@given(seed=seeds, seconds=st.sampled_from([6, 60]))
@trying(examples=15, is_seeded=True)
def test_an_old_copy_is_recognized_though_nothing_was_granted_since(
    seed: int, seconds: int
) -> None:
    town = a_town(seed, shard_count=2, deposit=400)
    town.live(turns=800, trouble=0)
    town.finish()
    copied = {name: len(host.batches) for name, host in town.house.hosts.items()}
    settled = town.house.hosts["settlement"].sequence
    for account in town.accounts:
        town.wish(c.FreezeAccount, account)
    town.rest()
    assert settled == town.house.hosts["settlement"].sequence
    town.house.now_ms += 1_000 * seconds
    town.rest()
    host = town.house.hosts[f"shard-{town.random.randrange(2)}"]
    restart_from_old_copy(town.house, host, copied[host.name])
    town.house.connect(host.name, "settlement")
    run_until_quiet(town.house)
    assert "old copy" in host.node.stopped_because


@given(seed=seeds)
@trying(examples=15, is_seeded=True)
def test_settlement_from_an_old_copy_stops_when_a_shard_knows_more(seed: int) -> None:
    town = a_town(seed, shard_count=2, deposit=400)
    town.live(turns=800, trouble=0)
    town.finish()
    host = town.house.hosts["settlement"]
    old = [
        i for i in range(len(host.batches)) if is_known_better(town.house, i, [0, 1])
    ]
    assert old
    restart_from_old_copy(town.house, host, town.random.choice(old))
    for number in range(2):
        town.house.connect(f"shard-{number}", "settlement")
    run_until_quiet(town.house)
    assert "old copy" in host.node.stopped_because


@given(seed=seeds)
@trying(examples=15, is_seeded=True)
def test_a_shard_from_an_old_copy_does_nothing_before_settlement_has_seen_it(
    seed: int,
) -> None:
    town = a_town(seed, shard_count=2, deposit=400)
    town.live(turns=800, trouble=0)
    town.finish()
    host = town.house.hosts[f"shard-{town.random.randrange(2)}"]
    acknowledged = town.house.expected.acknowledged[host.identity.number]
    old = [i for i, b in enumerate(host.batches) if b.last_sequence < acknowledged]
    restart_from_old_copy(town.house, host, 1 + town.random.choice(old))
    copied = host.sequence
    wishes = [buy_one(town, account) for account in town.accounts]
    town.house.now_ms += 61_000  # Holds and authorizations run out, too.
    run_until_quiet(town.house)
    assert host.sequence == copied
    town.house.connect(host.name, "settlement")
    run_until_quiet(town.house)
    assert "old copy" in host.node.stopped_because
    assert host.sequence == copied
    assert all(wish.body is None for wish in wishes if wish.where == host.name)


@given(seed=seeds)
@trying(examples=15, is_seeded=True)
def test_settlement_from_an_old_copy_grants_nothing_before_every_shard_has_spoken(
    seed: int,
) -> None:
    town = a_town(seed, shard_count=2, deposit=400)
    town.live(turns=800, trouble=0)
    town.finish()
    host = town.house.hosts["settlement"]
    old = [
        batches
        for batches in range(len(host.batches))
        if is_known_better(town.house, batches, [0])
        and not is_known_better(town.house, batches, [1])
    ]
    assume(old)
    restart_from_old_copy(town.house, host, town.random.choice(old))
    town.house.connect("shard-1", "settlement")
    granted = granted_in_all(host)
    for account in town.accounts:
        town.wish(c.Authorize, account, "m0", 400, "EUR", True)
    town.wish(c.WithdrawReserve, "L1", 1)
    town.wish(c.DepositReserve, "L1", 1)
    run_until_quiet(town.house)
    assert granted == granted_in_all(host)
    town.house.connect("shard-0", "settlement")
    run_until_quiet(town.house)
    assert "old copy" in host.node.stopped_because
    assert granted == granted_in_all(host)


def granted_in_all(host: Host) -> tuple[int, int]:
    """What settlement has leased, and what it has of deposits."""
    lenders = host.node.state.lenders.values()
    state = host.node.state
    pools = [*lenders, *state.daily_caps.values(), *state.program_pools.values()]
    leases = [lease for pool in pools for lease in pool.leases.values()]
    granted = sum(lease.granted_minor for lease in leases)
    return granted, sum(lender.deposit_minor for lender in lenders)


def is_known_better(house: House, batches: int, shards: Iterable[int]) -> bool:
    """Whether a shard holds what settlement's first so many rows do not know."""
    replay = SettlementReplay(house.hosts["settlement"].identity)
    for batch in house.hosts["settlement"].batches[:batches]:
        replay.replay(batch)
    old = replay.state
    for number in shards:
        shard = house.hosts[f"shard-{number}"].node.state
        if shard.reference_version > len(old.reference) or shard.day > old.day:
            return True
        for pool_id, lease in shard.slices.items():
            pool = old.find_pool(pool_id)
            if pool is None and pool_id.startswith("program/"):
                continue  # It is no more.
            known = pool.leases.get(number) if pool else None
            if lease.received_minor > (known.granted_minor if known else 0):
                return True
    return False


def restart_from_old_copy(house: House, host: Host, batches: int) -> None:
    """All wires are lost, and so is all that the journal said after some rows."""
    house.is_judged = False
    house.crash(host)
    for wire in list(house.wires):
        house.notice(wire)
    del host.batches[batches:]
    host.start()


def run_until_quiet(house: House) -> None:
    """All is said and heard; a node that stopped says and hears no more."""
    for _ in range(200):
        for wire in list(house.wires):
            house.deliver_to_server(wire)
            house.deliver_to_client(wire)
        for host in house.hosts.values():
            if not host.node.stopped_because:
                house.step(host)
            house.commit(host)


@given(seed=seeds, shard_count=st.integers(1, 4), trouble=st.sampled_from([0, 3]))
@trying(examples=15, is_seeded=True)
def test_a_daily_cap_can_be_spent_to_its_last_minor_unit_every_day(
    seed: int, shard_count: int, trouble: int
) -> None:
    town = a_town(seed, shard_count, deposit=300)
    town.live(turns=400, trouble=trouble)
    town.finish()
    town.lift_every_bound()
    town.wish(c.DepositReserve, "L1", 5_000)
    town.wish(c.SetDailyCap, "L1", 40)
    town.finish()
    assert 40 == spend_all(town, town.accounts[::3], trouble, "daily_cap_exceeded")
    for _ in range(3):
        town.close_day()  # Shards move when they hear of it, some before others.
        spent = spend_all(town, town.accounts[::3], trouble, "daily_cap_exceeded")
        assert spent <= 40
        town.finish()
        spent += spend_all(town, town.accounts[::3], trouble, "daily_cap_exceeded")
        assert 40 == spent
    town.finish()
    town.check_positions()
    town.check_days()


@given(seed=seeds, shard_count=st.integers(1, 4), trouble=st.sampled_from([0, 3]))
@trying(examples=15, is_seeded=True)
def test_a_cap_by_program_can_be_lent_out_to_its_last_minor_unit(
    seed: int, shard_count: int, trouble: int
) -> None:
    """What was lent before counts too, and what comes back can be lent again."""
    town = a_town(seed, shard_count, deposit=4_000)
    town.live(turns=400, trouble=trouble)
    town.finish()
    town.lift_every_bound()
    town.wish(c.DepositReserve, "L1", 5_000)
    town.house.now_ms += 120_000  # Nothing is left that could still expire.
    town.finish()
    expected = town.house.expected
    lent = sum(shard.lent["solo", "L1"] for shard in expected.shards.values())
    town.wish(c.SetProgramCap, "solo", "L1", lent + 40)
    town.finish()
    reason = "program_cap_exceeded"
    assert 40 == spend_all(town, town.accounts[::3], trouble, reason)
    town.finish()
    town.wish(c.SetProgramCap, "solo", "L1", lent + 20)
    town.finish()
    own = [w for w in town.wishes if isinstance(w.command, c.Authorize)][-400:]
    bought = [
        w.answer["authorization_id"] for w in own if w.answer["status"] == "approved"
    ]
    for key in bought[-40:-10]:  # Of one minor unit each, all of them captured.
        town.wish(c.Refund, key)
        town.live_quietly(turns=10, trouble=trouble)
    town.finish()
    assert 10 == spend_all(town, town.accounts[::3], trouble, reason)
    town.finish()
    town.wish(c.SetProgramCap, "solo", "L1", lent + 50)
    town.finish()
    fields = (town.accounts[0], "m0", 100, "EUR", True, "", "", (), True)
    part = town.wish(c.Authorize, *fields)
    town.finish()
    limited_by = part.answer.get("limited_by")
    assert (30, "program_cap") == (part.answer["amount_minor"], limited_by)
    check_audit(town.house)


def test_a_town_lives_to_see_every_rule_for_lenders() -> None:
    """The stories above are about something: each of these happens in some."""
    seen: set[str] = set()
    for seed in range(20):
        town = a_town(seed, 2, 40 if seed % 2 else 400)
        town.live(turns=1_500, trouble=1)
        town.finish()
        seen |= {type(event).__name__ for event in town.house.expected.seen}
        seen |= {wish.answer.get("reason", "") for wish in town.wishes}
        seen |= {wish.answer.get("limited_by", "") for wish in town.wishes}
    assert {
        "AdvanceForced",
        "ForcedAdvanceRepaid",
        "ForceCaptured",
        "AdvanceLineChanged",
        "DailyCapSet",
        "LenderResumed",
        "FundsApproved",
        "FundsRejected",
        "ProgramCapSet",
        "ProgramCapCovered",
        "daily_cap_exceeded",
        "program_cap_exceeded",
        "lender_suspended",
        "same_caller",
        "reserve",
        "daily_cap",
    } <= seen
