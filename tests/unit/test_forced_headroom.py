"""Headroom that was raised by force goes back as soon as it is free again."""

import json

from processor import commands as c
from processor import events as e
from processor import messages as m
from tests.unit.one_audit import check_clean
from tests.unit.one_settlement import a_settlement, lease
from tests.unit.one_shard import OneShard, a_shard
from tests.unit.test_lenders import asked as ask_of
from tests.unit.test_lenders import reported
from tests.unit.test_watched import asked


def forced_shard() -> tuple[OneShard, str]:
    """A forced capture of 150, of which 50 was raised beyond what L1 had."""
    shard = a_shard(L1=100).connected()
    (number,) = shard.submit(c.ForceCapture("caller", "f", "a", "m", 150, "EUR"))
    shard.told(m.GrantSlice("L1", 150, 50), m.AskGranted(1, 50))
    return shard, json.loads(shard.answers[number].body)["authorization_id"]


def slice_of(shard: OneShard) -> tuple[int, int]:
    found = shard.state.slices["L1"]
    return found.returned_minor, found.free_minor


def test_what_a_refund_frees_of_it_goes_back_before_anybody_can_spend_it() -> None:
    shard, forced = forced_shard()
    shard.submit(
        c.Refund("caller", "back", forced, 20),
        c.Authorize("caller", "x", "a", "m", 1, "EUR"),
    )
    kinds = [type(record.event) for record in shard.records[-2:]]
    assert [e.Refunded, e.SliceReturned] == kinds
    report = shard.heard[-2]
    assert isinstance(report, m.SliceReported)
    assert (0, 20) == (report.round, report.lease.returned_minor)
    assert (m.Need("L1", 1),) == asked(shard).needs  # Nothing is free here.
    check_clean(shard)


def test_what_is_freed_beyond_it_stays_and_can_be_spent() -> None:
    shard, forced = forced_shard()
    shard.ask(c.Refund, forced, 60)
    assert (50, 10) == slice_of(shard)
    assert {} == shard.state.forced_held
    shard.ask(c.Refund, forced, 5)
    assert (50, 15) == slice_of(shard)
    assert "approved" == shard.ask(c.Authorize, "a", "m", 15, "EUR")["status"]
    check_clean(shard)


def test_what_nobody_waits_for_any_more_goes_back_at_once() -> None:
    shard = a_shard(L1=100).connected()
    shard.submit(c.ForceCapture("caller", "f", "a", "m", 150, "EUR"))
    shard.now_ms += 3_000
    shard.step()
    shard.told(m.GrantSlice("L1", 150, 50), m.AskGranted(1, 50))
    assert (50, 100) == slice_of(shard)
    check_clean(shard)


def test_what_comes_without_the_word_that_it_is_granted_goes_back_too() -> None:
    """As after a broken connection: the capture will ask again."""
    shard = a_shard(L1=100)
    shard.told(m.GrantSlice("L1", 150, 50))
    assert (50, 100) == slice_of(shard)
    again = OneShard(shard.batches)
    assert {} == again.state.forced_held


def test_a_recall_ends_it_too() -> None:
    shard, forced = forced_shard()
    shard.ask(c.Refund, forced, 20)
    shard.told(m.GrantSlice("L1", 200, 50))
    shard.told(m.RecallSlice(1, "L1", False))
    assert (70, 0) == slice_of(shard)
    assert {} == shard.state.forced_held


def test_settlement_says_how_much_was_forced_and_ends_it_with_the_credit() -> None:
    settlement = a_settlement(L1=100)
    settlement.told(10, ask_of(0, 1, is_forced=True, L1=150))
    settlement.told(11, reported(1, lease("L1", 0)))
    heard = settlement.told(10, reported(1, lease("L1", 0)))
    assert [m.GrantSlice("L1", 150, 50), m.AskGranted(1, 50)] == heard
    of_refund = m.Lease("L1", 150, 20, 0, 0, 150, 20)
    settlement.told(10, reported(0, of_refund))
    kinds = [type(record.event) for record in settlement.records[-2:]]
    assert [e.SliceCredited, e.ForcedAdvanceRepaid] == kinds
    lender = settlement.state.lenders["L1"]
    assert (30, 0, 130) == (
        lender.forced_minor,
        lender.unleased_minor,
        lender.whole_minor,
    )
