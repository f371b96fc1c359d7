"""Lenders at settlement: lines, caps, suspension, forced headroom, funds."""

from typing import Any

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import limits
from processor import messages as m
from processor.recovery import digest_of
from tests.unit.one_settlement import (
    FIRST_DAY,
    GATEWAY,
    OneSettlement,
    a_settlement,
    lease,
    of_kind,
)

NEXT_DAY = "2026-01-02"


def asked(shard: int, ask: int, is_forced: bool = False, **needs: int) -> m.SliceAsked:
    parts = tuple(
        m.Need(name.replace("__", "/"), amount) for name, amount in needs.items()
    )
    return m.SliceAsked(ask, parts, 20, is_forced)


def reported(round_: int, what: m.Lease, sequence: int = 30) -> m.SliceReported:
    return m.SliceReported(round_, what, 1, sequence)


def registered(settlement: OneSettlement, kind: type[c.Command], *fields: Any) -> Any:
    """A fact for the shards, and its answer once they hold it."""
    number = settlement.count + 1
    settlement.submit(kind("caller", f"fact {number}", *fields))
    version = len(settlement.state.reference)
    for connection in (10, 11):
        settlement.told(connection, m.ReferenceHeld(version))
    answer = settlement.answer(number)
    assert answer is not None
    return msgspec.json.decode(answer.body)


def position(settlement: OneSettlement, *leases: m.Lease) -> dict[str, Any]:
    """What a reader is shown when the shards report these leases."""
    settlement.told(GATEWAY, m.Query(900, "position", "L1"))
    round_ = of_kind(settlement.said[10], m.RecallSlice)[-1].round
    for shard, what in enumerate(leases):
        settlement.told(10 + shard, reported(round_, what))
    answers = [
        x
        for x in settlement.said[GATEWAY]
        if isinstance(x, m.Answer) and x.correlation == 900
    ]
    shown: dict[str, Any] = msgspec.json.decode(answers[-1].body)
    return shown


# The advance line.


def used_up(line: int = 0, deposit: int = 100, used: int = 60) -> OneSettlement:
    """L1's reserve is all with shard 0, which has used some of it."""
    settlement = a_settlement(L1=deposit)
    if line:
        settlement.ask(c.ChangeAdvanceLine, "L1", line)
    settlement.told(10, asked(0, 1, L1=deposit + line))
    assert used <= deposit + line
    return settlement


def test_a_raised_advance_line_is_headroom_at_once() -> None:
    settlement = a_settlement(L1=100)
    answer = settlement.ask(c.ChangeAdvanceLine, "L1", 50)
    assert {
        "status": "approved",
        "lender_id": "L1",
        "advance_line_minor": 50,
    } == answer
    assert 150 == settlement.state.lenders["L1"].unleased_minor


def test_a_lowered_advance_line_takes_back_what_the_shards_do_not_use() -> None:
    settlement = used_up(line=50, used=110)
    number = settlement.count + 1
    settlement.submit(c.ChangeAdvanceLine("caller", "down", "L1", 10))
    settlement.told(11, reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 150, returned=40, used=110)))
    answer = settlement.answer(number)
    assert answer is not None
    assert b'"advance_line_minor":10' in answer.body
    assert 0 == settlement.state.lenders["L1"].unleased_minor


def test_an_advance_line_in_use_is_not_lowered_and_a_certificate_says_why() -> None:
    settlement = used_up(line=50, used=120)
    number = settlement.count + 1
    settlement.submit(c.ChangeAdvanceLine("caller", "down", "L1", 10))
    settlement.told(11, reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 150, returned=30, used=120)))
    answer = settlement.answer(number)
    assert answer is not None
    assert b'"reserve_exhausted","transient":true,"headroom_missing_minor":10' in (
        answer.body
    )
    refused = settlement.records[-2].event
    assert isinstance(refused, e.ReserveRefused)
    assert (-1, "L1", 40, 30) == (
        refused.shard,
        refused.pool_id,
        refused.needed_minor,
        refused.unleased_minor,
    )
    assert 50 == settlement.state.lenders["L1"].advance_line_minor


def test_a_line_that_changed_while_the_shards_were_asked_is_decided_anew() -> None:
    settlement = used_up(line=50, used=120)
    number = settlement.count + 1
    settlement.submit(c.ChangeAdvanceLine("caller", "down", "L1", 10))
    settlement.ask(c.ChangeAdvanceLine, "L1", 200)
    settlement.told(11, reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 150, returned=30, used=120)))
    answer = settlement.answer(number)
    assert answer is not None
    assert b'"headroom_missing_minor":10' in answer.body  # 190 less, 180 there.


def test_a_position_shows_what_is_advanced_and_what_is_due() -> None:
    settlement = a_settlement(L1=100)
    settlement.ask(c.ChangeAdvanceLine, "L1", 500)
    settlement.ask(c.CloseDay, FIRST_DAY)
    for shard, captured in ((0, 120), (1, 50)):
        totals = e.DayTotals({"L1": e.LenderTotals(captured, 10)})
        settlement.told(10 + shard, m.DayEnded(FIRST_DAY, 30, totals))
    settlement.told(10, asked(0, 1, L1=300))
    shown = position(settlement, lease("L1", 300, used=300), lease("L1", 0))
    assert (200, 50, NEXT_DAY) == (
        shown["advance_used_minor"],
        shown["advance_due_minor"],
        shown["advance_due_on"],
    )
    settlement.ask(c.DepositReserve, "L1", 30)
    assert 20 == settlement.state.lenders["L1"].spent_minor - 130
    shown = position(settlement, lease("L1", 300, used=300), lease("L1", 0))
    assert (170, 20) == (shown["advance_used_minor"], shown["advance_due_minor"])


# Suspension.


def test_a_suspension_is_a_fact_that_the_shards_hold_before_it_is_answered() -> None:
    settlement = a_settlement(L1=100)
    number = settlement.count + 1
    assert settlement.submit(c.SuspendLender("caller", "s", "L1")) is None
    sent = of_kind(settlement.said[11], m.ReferenceSent)[-1]
    assert (e.LenderSuspended("L1"),) == sent.facts
    for connection in (10, 11):
        settlement.told(connection, m.ReferenceHeld(sent.version))
    answer = settlement.answer(number)
    assert answer is not None
    assert b'"lender_id":"L1","suspended":true' in answer.body
    assert position(settlement, lease("L1", 0), lease("L1", 0))["suspended"]


def test_a_lender_is_suspended_and_resumed_in_turn() -> None:
    settlement = a_settlement(L1=100)
    assert "lender_not_suspended" == settlement.ask(c.ResumeLender, "L1")["reason"]
    assert "lender_not_found" == settlement.ask(c.SuspendLender, "L9")["reason"]
    registered(settlement, c.SuspendLender, "L1")
    assert "lender_suspended" == settlement.ask(c.SuspendLender, "L1")["reason"]
    assert not registered(settlement, c.ResumeLender, "L1")["suspended"]


# The daily cap.


def capped(cap: int = 100) -> OneSettlement:
    """L1 has plenty, but a cap; all of that is with shard 0."""
    settlement = a_settlement(L1=10_000)
    registered(settlement, c.SetDailyCap, "L1", cap)
    settlement.told(10, asked(0, 1, daily__L1=cap))
    return settlement


def test_a_daily_cap_is_leased_like_a_reserve_and_refused_with_a_certificate() -> None:
    settlement = capped()
    heard = settlement.told(11, asked(1, 1, daily__L1=30, L1=30))
    assert [m.RecallSlice(1, "daily/L1", False)] == heard
    settlement.told(11, reported(1, lease("daily/L1", 0)))
    settlement.told(10, reported(1, lease("daily/L1", 100, returned=20, used=80)))
    assert m.AskRefused(1, "daily/L1", 20, 1) == settlement.said[11][-1]


def test_what_was_said_of_a_cap_before_the_cut_refuses_nothing_after_it() -> None:
    settlement = capped()
    settlement.told(11, asked(1, 1, daily__L1=30))
    settlement.told(10, reported(1, lease("daily/L1", 100, used=100)))
    settlement.ask(c.CloseDay, FIRST_DAY)
    heard = settlement.told(11, reported(1, lease("daily/L1", 0)))
    assert m.RecallSlice(2, "daily/L1", False) == heard[-1]
    settlement.told(11, reported(2, lease("daily/L1", 0)))
    settlement.told(10, reported(2, lease("daily/L1", 100, returned=100)))
    assert [m.GrantSlice("daily/L1", 30), m.AskGranted(1)] == settlement.said[11][-2:]


def test_a_shard_hears_of_the_cut_before_it_hears_of_any_grant() -> None:
    settlement = capped()
    settlement.node.disconnected(10)
    settlement.ask(c.CloseDay, FIRST_DAY)
    heard = settlement.hello(0, 12, lease("daily/L1", 0), sequence=40)
    kinds = [type(message) for message in heard]
    assert kinds.index(m.MoveDay) < kinds.index(m.GrantSlice)


def test_a_cap_is_lowered_only_as_far_as_it_is_not_used() -> None:
    settlement = capped()
    number = settlement.count + 1
    settlement.submit(c.SetDailyCap("caller", "low", "L1", 70))
    settlement.told(11, reported(1, lease("daily/L1", 0)))
    settlement.told(10, reported(1, lease("daily/L1", 100, returned=20, used=80)))
    answer = settlement.answer(number)
    assert answer is not None
    assert {
        "status": "declined",
        "reason": "daily_cap_exceeded",
        "transient": True,
        "headroom_missing_minor": 10,
        "lender_id": "L1",
    } == msgspec.json.decode(answer.body)
    assert 80 == registered(settlement, c.SetDailyCap, "L1", 80)["daily_cap_minor"]
    assert 0 == settlement.state.daily_caps["daily/L1"].unleased_minor


def test_a_cap_that_was_lifted_comes_back_with_what_the_shards_still_have() -> None:
    settlement = capped()
    lifted = registered(settlement, c.SetDailyCap, "L1", None)
    assert lifted["daily_cap_minor"] is None
    number = settlement.count + 1
    settlement.submit(c.SetDailyCap("caller", "again", "L1", 60))
    settlement.told(11, reported(1, lease("daily/L1", 0)))
    settlement.told(10, reported(1, lease("daily/L1", 100, returned=100)))
    version = len(settlement.state.reference)
    for connection in (10, 11):
        settlement.told(connection, m.ReferenceHeld(version))
    answer = settlement.answer(number)
    assert answer is not None
    assert b'"daily_cap_minor":60' in answer.body
    assert 60 == settlement.state.daily_caps["daily/L1"].unleased_minor


# Forced captures.


def test_what_no_shard_has_is_forced_after_all_were_looked_at() -> None:
    settlement = used_up()
    settlement.told(11, asked(1, 1, is_forced=True, L1=70))
    settlement.told(11, reported(1, lease("L1", 0)))
    assert 0 == settlement.state.lenders["L1"].forced_minor
    settlement.told(10, reported(1, lease("L1", 100, returned=40, used=60)))
    assert [m.GrantSlice("L1", 70, 30), m.AskGranted(1, 30)] == settlement.said[11][-2:]
    forced = settlement.records[-2].event
    assert isinstance(forced, e.AdvanceForced)
    assert (70, 40, 30) == (
        forced.needed_minor,
        forced.unleased_minor,
        forced.forced_minor,
    )
    assert [0, 1] == [point.shard for point in forced.cut]
    shown = position(
        settlement, lease("L1", 100, returned=40, used=60), lease("L1", 70, used=70)
    )
    assert (30, 0, 30) == (
        shown["forced_minor"],
        shown["headroom_minor"],
        shown["advance_used_minor"],
    )


def test_all_lenders_of_a_forced_ask_are_looked_at_before_one_is_raised() -> None:
    settlement = a_settlement(L1=10, L2=10)
    settlement.told(11, asked(1, 1, is_forced=True, L1=15, L2=15))
    for shard in (0, 1):
        settlement.told(10 + shard, reported(1, lease("L1", 0)))
    assert [0, 0] == [x.forced_minor for x in settlement.state.lenders.values()]
    for shard in (0, 1):
        settlement.told(10 + shard, reported(2, lease("L2", 0)))
    assert [5, 5] == [x.forced_minor for x in settlement.state.lenders.values()]
    assert m.AskGranted(1, 10) == settlement.said[11][-1]


def test_evidence_is_stale_once_a_shard_has_given_more_back() -> None:
    settlement = a_settlement(L1=100, L2=10)
    settlement.told(10, asked(0, 1, L1=100))
    settlement.told(11, asked(1, 1, is_forced=True, L1=50, L2=15))
    settlement.told(11, reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 100, returned=20, used=80)))
    settlement.told(10, reported(99, lease("L1", 100, returned=30, used=70)))
    for shard in (0, 1):
        settlement.told(10 + shard, reported(2, lease("L2", 0)))
    assert [0, 0] == [x.forced_minor for x in settlement.state.lenders.values()]
    assert m.RecallSlice(3, "L1", False) == settlement.said[11][-1]


def forced_by_30() -> OneSettlement:
    settlement = used_up()
    settlement.told(11, asked(1, 1, is_forced=True, L1=70))
    settlement.told(11, reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 100, returned=40, used=60)))
    return settlement


def test_a_deposit_first_ends_what_was_forced() -> None:
    settlement = forced_by_30()
    settlement.ask(c.DepositReserve, "L1", 20)
    assert e.ForcedAdvanceRepaid("L1", 20, 10) == settlement.records[-1].event
    settlement.ask(c.DepositReserve, "L1", 20)
    lender = settlement.state.lenders["L1"]
    assert (140, 0, 10) == (
        lender.deposit_minor,
        lender.forced_minor,
        lender.unleased_minor,
    )


def test_a_raised_line_and_what_comes_back_end_what_was_forced_too() -> None:
    settlement = forced_by_30()
    settlement.ask(c.ChangeAdvanceLine, "L1", 10)
    assert e.ForcedAdvanceRepaid("L1", 10, 20) == settlement.records[-1].event
    settlement.told(10, reported(99, lease("L1", 100, returned=45, used=55)))
    assert e.ForcedAdvanceRepaid("L1", 5, 15) == settlement.records[-1].event
    again = OneSettlement(2, settlement.batches)
    assert digest_of(settlement.state) == digest_of(again.state)


def test_beyond_its_bound_nothing_is_forced_and_nothing_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "FORCED_MINOR_MAX", 29)
    settlement = forced_by_30()
    assert [] == of_kind(settlement.said[11], m.AskGranted)
    assert 0 == settlement.state.lenders["L1"].forced_minor


# Funds.


def proposed(
    direction: c.Direction, amount: int, requires_checker: bool = True
) -> OneSettlement:
    settlement = a_settlement()
    command = c.RegisterLender("caller", "l", "L1", "EUR", "", 0, requires_checker)
    settlement.submit(command)
    settlement.submit(
        c.ProposeFunds("ann", "p0", "f0", "L1", c.Direction.DEPOSIT, 100, "ref")
    )
    assert "approved" in by(settlement, "bob", c.ApproveFunds, "f0")["status"]
    settlement.submit(c.ProposeFunds("ann", "p1", "f1", "L1", direction, amount))
    return settlement


def by(
    settlement: OneSettlement, caller: str, kind: type[c.Command], *fields: Any
) -> dict[str, Any]:
    answer = settlement.submit(kind(caller, f"x{settlement.count}", *fields))
    assert answer is not None
    decided: dict[str, Any] = msgspec.json.decode(answer.body)
    return decided


def test_funds_move_when_another_caller_approves() -> None:
    settlement = proposed(c.Direction.DEPOSIT, 50)
    assert 100 == settlement.state.lenders["L1"].deposit_minor
    assert "same_caller" == by(settlement, "ann", c.ApproveFunds, "f1")["reason"]
    assert {
        "status": "approved",
        "movement_id": "f1",
        "funds_status": "approved",
        "deposit_minor": 150,
    } == by(settlement, "bob", c.ApproveFunds, "f1")
    assert 150 == settlement.state.lenders["L1"].deposit_minor
    again = by(settlement, "bob", c.ApproveFunds, "f1")
    assert "movement_not_proposed" == again["reason"]


def test_a_rejected_movement_moves_nothing_and_is_over() -> None:
    settlement = proposed(c.Direction.WITHDRAWAL, 50)
    assert "rejected" == by(settlement, "ann", c.RejectFunds, "f1")["funds_status"]
    for kind in (c.ApproveFunds, c.RejectFunds):
        assert "movement_not_proposed" == by(settlement, "bob", kind, "f1")["reason"]
        assert "movement_not_found" == by(settlement, "bob", kind, "f9")["reason"]
    assert 100 == settlement.state.lenders["L1"].deposit_minor


def test_an_approved_withdrawal_keeps_all_rules_of_withdrawals() -> None:
    settlement = proposed(c.Direction.WITHDRAWAL, 101)
    declined = by(settlement, "bob", c.ApproveFunds, "f1")
    assert "withdrawal_exceeds_deposit" == declined["reason"]
    settlement.submit(
        c.ProposeFunds("ann", "p2", "f2", "L1", c.Direction.WITHDRAWAL, 70)
    )
    settlement.told(10, asked(0, 1, L1=100))
    number = settlement.count + 1
    assert settlement.submit(c.ApproveFunds("bob", "a2", "f2")) is None
    settlement.told(11, reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 100, returned=60, used=40)))
    answer = settlement.answer(number)
    assert answer is not None
    assert b'"reserve_exhausted"' in answer.body
    assert "proposed" == settlement.state.movements["f2"].status
    settlement.told(10, reported(99, lease("L1", 100, returned=70, used=30)))
    assert 30 == by(settlement, "bob", c.ApproveFunds, "f2")["deposit_minor"]


def test_a_lender_with_a_checker_has_no_other_way() -> None:
    settlement = proposed(c.Direction.DEPOSIT, 1)
    for kind in (c.DepositReserve, c.WithdrawReserve):
        assert "checker_required" == by(settlement, "bob", kind, "L1", 1)["reason"]
    free = proposed(c.Direction.DEPOSIT, 1, requires_checker=False)
    assert 101 == by(free, "bob", c.DepositReserve, "L1", 1)["deposit_minor"]


def test_what_can_be_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    settlement = proposed(c.Direction.DEPOSIT, 1)
    some = (c.Direction.DEPOSIT, 1)
    unknown = by(settlement, "ann", c.ProposeFunds, "f9", "L9", *some)
    assert "lender_not_found" == unknown["reason"]
    again = by(settlement, "ann", c.ProposeFunds, "f1", "L1", *some)
    assert "movement_exists" == again["reason"]
    monkeypatch.setattr(limits, "FUNDS_PROPOSED_MAX", 1)
    many = by(settlement, "ann", c.ProposeFunds, "f2", "L1", *some)
    assert "too_many_registered" == many["reason"]


def test_a_funds_movement_shows_who_did_what_and_when() -> None:
    settlement = proposed(c.Direction.DEPOSIT, 1)
    settlement.told(GATEWAY, m.Query(900, "funds", "f0"))
    answer = settlement.answer(900)
    assert answer is not None
    assert {
        "movement_id": "f0",
        "lender_id": "L1",
        "direction": "deposit",
        "amount_minor": 100,
        "reference": "ref",
        "status": "approved",
        "proposed_by": "ann",
        "proposed_on": FIRST_DAY,
        "decided_by": "bob",
        "decided_on": FIRST_DAY,
    } == msgspec.json.decode(answer.body)
