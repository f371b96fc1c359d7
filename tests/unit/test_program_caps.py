"""What a lender may have lent out through a program: on a shard, at settlement."""

from typing import Any

import msgspec

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.recovery import digest_of
from tests.unit.one_audit import check_clean
from tests.unit.one_settlement import (
    GATEWAY,
    OneSettlement,
    a_settlement,
    lease,
    of_kind,
)
from tests.unit.one_shard import PPM, OneShard, a_shard, program
from tests.unit.test_lenders import registered, reported
from tests.unit.test_watched import asked, authorize, told

POOL = "program/pair/L1/6"


def capped(shard: OneShard, cap: int | None = 100, pool_id: str = POOL) -> OneShard:
    """L1 may have lent out so much through `pair`, of which it has 30 %."""
    pool_id = "" if cap is None else pool_id
    return told(shard, e.ProgramCapSet("pair", "L1", cap, pool_id))


def lent(shard: OneShard, pool_id: str = POOL) -> tuple[int, int]:
    slice_ = shard.state.slices[pool_id]
    return slice_.authorized_minor, slice_.free_minor


def wealthy() -> OneShard:
    return a_shard(limit=10_000, L1=10_000, L2=10_000)


# On a shard.


def test_what_was_lent_before_counts_and_nothing_new_passes_before_it_is_covered() -> (
    None
):
    shard = wealthy()
    bought = authorize(shard, 100, "b")["authorization_id"]
    shard.ask(c.ReverseAuthorization, bought, 20)
    shard.ask(c.CaptureAuthorization, bought, 50, False)
    shard.ask(c.Refund, bought, 10)
    capped(shard)
    assert (21, -21) == lent(shard)  # 30 % of 100 - 20 - 10.
    shard.connected()
    shard.submit(c.Authorize("caller", "x", "b", "m", 10, "EUR"))
    assert (m.Need(POOL, 3), m.Need("L1", 3), m.Need("L2", 7)) == asked(shard).needs
    check_clean(shard)


def test_who_lends_nothing_of_a_purchase_does_not_stop_it() -> None:
    shard = wealthy()
    authorize(shard, 10, "b")
    capped(shard, 0)
    parts = shard.state.programs["pair"].split_parts
    assert (3, 7) == parts
    assert "approved" == authorize(shard, 1, "b")["status"]  # It is L2's.
    assert (3, 8) == shard.state.programs["pair"].split_parts


def test_what_comes_back_can_be_lent_again_on_whatever_day() -> None:
    shard = capped(wealthy())
    shard.told(m.GrantSlice(POOL, 60))
    bought = authorize(shard, 100, "b")["authorization_id"]
    kept = authorize(shard, 100, "b")["authorization_id"]
    assert (60, 0) == lent(shard)
    shard.ask(c.CaptureAuthorization, bought)
    shard.told(m.MoveDay("2026-01-01", "2026-01-02"))
    assert (60, 0) == lent(shard)  # A day ends, a debt does not.
    shard.ask(c.Refund, bought, 40)
    assert (48, 12) == lent(shard)
    shard.ask(c.ReverseAuthorization, kept, 10)
    assert (45, 15) == lent(shard)
    shard.now_ms += 60_000
    shard.step()  # What is left of it expires.
    assert (18, 42) == lent(shard)
    shard.ask(c.Repay, "b", 60, "EUR")
    assert (18, 42) == lent(shard)  # That is the lender's, and not lent again.
    check_clean(shard)


def test_a_cap_is_for_one_program_and_all_its_versions() -> None:
    shard = wealthy()
    authorize(shard, 100, "b")
    told(shard, program("pair", 2, L1=500_000, L2=500_000))
    authorize(shard, 100, "b")
    capped(shard)
    assert (80, -80) == lent(shard)
    assert "approved" == authorize(shard, 100, "a")["status"]  # Of `solo`.
    assert (80, -80) == lent(shard)
    told(shard, program("pair", 3, L1=PPM))
    assert shard.state.programs["pair"].is_watched
    assert not shard.state.programs["solo"].is_watched


def test_a_cap_that_is_set_again_or_lifted_leaves_nothing_of_the_one_before() -> None:
    shard = capped(wealthy())
    shard.told(m.GrantSlice(POOL, 100))
    authorize(shard, 100, "b")
    capped(shard, 50, "program/pair/L1/7")
    assert POOL not in shard.state.slices
    assert (30, -30) == lent(shard, "program/pair/L1/7")
    capped(shard, None)
    assert ["L1", "L2"] == list(shard.state.slices)
    assert "approved" == authorize(shard, 1_000, "b")["status"]
    assert not any(p.is_watched for p in shard.state.program_versions.values())
    check_clean(shard)


def test_force_goes_past_a_cap_and_counts_towards_none() -> None:
    shard = capped(wealthy(), 15)
    shard.told(m.GrantSlice(POOL, 15))
    open_one = authorize(shard, 50, "b")["authorization_id"]
    fields = ("b", "m", 150, "EUR", "", open_one)
    assert "approved" == shard.ask(c.ForceCapture, *fields)["status"]
    assert (15, 0) == lent(shard)
    shard.ask(c.Refund, open_one, 30)
    assert (6, 9) == lent(shard)  # First what counted.
    shard.ask(c.Refund, open_one)
    assert (0, 15) == lent(shard)  # And of all of it no more than that.
    capped(shard, 20, "program/pair/L1/7")
    assert (0, 0) == lent(shard, "program/pair/L1/7")
    check_clean(shard)


def test_the_cap_is_told_before_the_day_and_the_reserve_and_explained() -> None:
    shard = capped(wealthy())
    told(shard, e.DailyCapSet("L1", 100))
    shard.connected()
    (number,) = shard.submit(c.Authorize("caller", "x", "b", "m", 100, "EUR"))
    needs = (POOL, "daily/L1", "L1", "L2")
    assert needs == tuple(need.pool_id for need in asked(shard).needs)
    shard.told(m.AskRefused(1, POOL, 12, 1))
    answer = msgspec.json.decode(shard.answers[number].body)
    assert ("program_cap_exceeded", 18, "L1", True) == (
        answer["reason"],
        answer["headroom_missing_minor"],
        answer["lender_id"],
        answer["transient"],
    )
    explained = shard.read("explanation", answer["authorization_id"])
    assert {"constraint": "program_cap", "lender_id": "L1"} == explained["binding"]
    assert 42 == explained["would_have_passed_minor"]  # 30 % of it is 12.6.
    met = {x["constraint"]: x for x in explained["constraints"] if "lender_id" in x}
    assert ["program_cap", "daily_cap", "reserve"] == list(met)
    assert (30, 12, True) == (
        met["program_cap"]["needed_minor"],
        met["program_cap"]["headroom_minor"],
        met["program_cap"]["is_final"],
    )
    check_clean(shard)


def test_what_is_missing_counts_what_others_have_lent_beyond_it() -> None:
    shard = wealthy()
    authorize(shard, 100, "b")
    capped(shard, 20).connected()
    (number,) = shard.submit(c.Authorize("caller", "x", "b", "m", 10, "EUR"))
    shard.told(m.AskRefused(1, POOL, -5, 1))  # The cap, less 25 elsewhere.
    answer = msgspec.json.decode(shard.answers[number].body)
    assert 3 + 5 + 30 == answer["headroom_missing_minor"]
    explained = shard.read("explanation", answer["authorization_id"])
    assert 2 == explained["would_have_passed_minor"]  # L1 has no part of that.
    met = [x for x in explained["constraints"] if x["constraint"] == "program_cap"]
    assert (-35, 2) == (met[0]["headroom_minor"], met[0]["most_minor"])


def test_a_part_that_fits_under_the_cap_is_approved() -> None:
    shard = capped(wealthy()).connected()
    fields = ("b", "m", 100, "EUR", False, "", "", (), True)
    (number,) = shard.submit(c.Authorize("caller", "x", *fields))
    shard.told(m.AskRefused(1, POOL, 12, 1))
    shard.told(m.GrantSlice(POOL, 12), m.AskGranted(2))
    answer = msgspec.json.decode(shard.answers[number].body)
    assert (42, 100, "program_cap", "L1") == (
        answer["amount_minor"],
        answer["requested_minor"],
        answer["limited_by"],
        answer["lender_id"],
    )
    check_clean(shard)


def test_recovery_counts_what_is_lent_out_as_the_living_shard_did() -> None:
    shard = wealthy()
    bought = authorize(shard, 100, "b")["authorization_id"]
    shard.ask(c.ForceCapture, "b", "m", 20, "EUR")
    shard.ask(c.ReverseAuthorization, bought, 20)
    capped(shard)
    shard.told(m.GrantSlice(POOL, 70))
    authorize(shard, 50, "b")
    again = OneShard(shard.batches)
    assert digest_of(again.state) == digest_of(shard.state)


# At settlement.


def settled(cap: int = 100) -> tuple[OneSettlement, str]:
    """`solo`, with L1 alone, has a cap; shard 0 has lent 60 out, shard 1 30."""
    settlement = a_settlement(L1=10_000)
    registered(settlement, c.RegisterProgram, "solo", "EUR", (c.Share("L1", PPM),))
    answer = registered(settlement, c.SetProgramCap, "solo", "L1", cap)
    assert {
        "status": "approved",
        "program_id": "solo",
        "lender_id": "L1",
        "program_cap_minor": cap,
    } == answer
    return settlement, f"program/solo/L1/{len(settlement.state.reference)}"


def of_slice(pool_id: str, received: int, used: int, returned: int = 0) -> m.Lease:
    free = received - returned - used
    return m.Lease(pool_id, received, returned, free, used, 0, 0)


def ask_for(settlement: OneSettlement, shard: int, ask: int, **needs: int) -> Any:
    wanted = tuple(m.Need(name, amount) for name, amount in needs.items())
    return settlement.told(10 + shard, m.SliceAsked(ask, wanted, 20))


def test_nothing_is_leased_before_all_that_is_lent_out_is_known_and_fits() -> None:
    settlement, pool_id = settled()
    heard = ask_for(settlement, 0, 1, **{pool_id: 4})
    assert [m.RecallSlice(1, pool_id, False)] == heard
    settlement.told(11, reported(1, of_slice(pool_id, 0, 30)))
    heard = settlement.told(10, reported(1, of_slice(pool_id, 0, 60)))
    assert [m.GrantSlice(pool_id, 60), m.GrantSlice(pool_id, 64), m.AskGranted(1)] == (
        heard
    )
    assert m.GrantSlice(pool_id, 30) == settlement.said[11][-1]
    assert 6 == settlement.state.program_pools[pool_id].unleased_minor


def test_a_cap_below_what_is_lent_out_refuses_until_enough_has_come_back() -> None:
    settlement, pool_id = settled(80)
    ask_for(settlement, 0, 1, **{pool_id: 4})
    settlement.told(11, reported(1, of_slice(pool_id, 0, 30)))
    heard = settlement.told(10, reported(1, of_slice(pool_id, 0, 60)))
    assert [m.AskRefused(1, pool_id, 50, 1)] == heard  # 80, less 30 elsewhere.
    ask_for(settlement, 0, 2, **{pool_id: 4})
    settlement.told(11, reported(2, of_slice(pool_id, 0, 10)))
    heard = settlement.told(10, reported(2, of_slice(pool_id, 0, 60)))
    assert [m.GrantSlice(pool_id, 60), m.GrantSlice(pool_id, 64), m.AskGranted(2)] == (
        heard
    )


def test_who_waits_for_a_cap_that_is_no_more_asks_anew() -> None:
    settlement, pool_id = settled()
    ask_for(settlement, 0, 1, **{pool_id: 4})
    settlement.submit(c.SetProgramCap("caller", "new", "solo", "L1", 90))
    assert m.AskGranted(1) == settlement.said[10][-1]
    late = reported(1, of_slice(pool_id, 0, 30))
    assert [] == settlement.told(11, late)  # Nobody asks about it any more.
    assert [m.AskGranted(2)] == ask_for(settlement, 1, 2, **{pool_id: 4})


def test_a_shard_that_still_holds_a_cap_that_is_no_more_is_welcome() -> None:
    settlement, pool_id = settled()
    settlement.node.disconnected(10)
    settlement.submit(c.SetProgramCap("caller", "off", "solo", "L1"))
    heard = settlement.hello(0, 12, of_slice(pool_id, 40, 40), sequence=40)
    assert isinstance(heard[0], m.ShardWelcome)


def test_nobody_is_capped_who_is_not_there() -> None:
    settlement, _ = settled()
    for program_id, lender_id, reason in (
        ("solo", "L9", "lender_not_found"),
        ("duo", "L1", "program_not_found"),
        ("duo", "L9", "lender_not_found"),
    ):
        declined = settlement.ask(c.SetProgramCap, program_id, lender_id, 1)
        assert reason == declined["reason"]


def test_program_and_position_show_the_caps_in_force() -> None:
    settlement, _ = settled()
    settlement.told(GATEWAY, m.Query(900, "program", "solo"))
    caps = [{"lender_id": "L1", "program_cap_minor": 100}]
    assert caps == shown(settlement, 900)["caps"]
    settlement.told(GATEWAY, m.Query(901, "position", "L1"))
    report(settlement, lease("L1", 0), lease("L1", 0))
    of_lender = [{"program_id": "solo", "program_cap_minor": 100}]
    assert of_lender == shown(settlement, 901)["program_caps"]


def shown(settlement: OneSettlement, correlation: int) -> Any:
    answer = settlement.answer(correlation)
    assert answer is not None
    assert answer.outcome is m.Outcome.READ
    return msgspec.json.decode(answer.body)


def report(settlement: OneSettlement, *leases: m.Lease) -> None:
    """The shards answer the latest question."""
    round_ = of_kind(settlement.said[10], m.RecallSlice)[-1].round
    for shard, what in enumerate(leases):
        settlement.told(10 + shard, reported(round_, what))


def test_what_is_used_of_the_caps_of_a_program_is_read_from_all_shards() -> None:
    settlement, pool_id = settled(80)
    settlement.told(GATEWAY, m.Query(900, "caps", "solo"))
    assert m.RecallSlice(1, pool_id, True) == settlement.said[10][-1]
    report(settlement, of_slice(pool_id, 0, 60), of_slice(pool_id, 0, 30))
    assert {
        "program_id": "solo",
        "currency": "EUR",
        "caps": [
            {
                "lender_id": "L1",
                "program_cap_minor": 80,
                "used_minor": 90,
                "headroom_minor": -10,
            }
        ],
    } == shown(settlement, 900)
    settlement.told(GATEWAY, m.Query(901, "caps", "solo"))
    settlement.submit(c.SetProgramCap("caller", "off", "solo", "L1"))
    answer = settlement.answer(901)
    assert answer is not None
    assert answer.outcome is m.Outcome.NOT_DONE
    settlement.told(GATEWAY, m.Query(902, "caps", "solo"))
    assert [] == shown(settlement, 902)["caps"]
