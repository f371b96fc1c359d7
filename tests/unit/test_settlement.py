"""Settlement: leases, recalls, refusals, the day, and whom it works with."""

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
    PPM,
    OneSettlement,
    a_settlement,
    lease,
    of_kind,
)


def asked(shard: int, ask: int, sequence: int = 20, **needs: int) -> m.SliceAsked:
    parts = tuple(m.Need(name, amount) for name, amount in needs.items())
    return m.SliceAsked(ask, parts, sequence)


def reported(round_: int, what: m.Lease, sequence: int = 30) -> m.SliceReported:
    return m.SliceReported(round_, what, 1, sequence)


# Leases.


def test_a_grant_is_recorded_and_told_before_the_ask_is_answered() -> None:
    settlement = a_settlement(L1=1_000)
    heard = settlement.told(10, asked(0, 1, L1=400))
    assert [m.GrantSlice("L1", 400), m.AskGranted(1)] == heard
    granted = settlement.records[-1].event
    assert e.SliceGranted(0, "L1", 400, 1, 20) == granted
    assert 600 == settlement.state.lenders["L1"].unleased_minor


def test_all_lenders_of_an_ask_are_granted_or_none() -> None:
    settlement = a_settlement(L1=1_000, L2=5)
    heard = settlement.told(10, asked(0, 1, L1=400, L2=6))
    assert [m.RecallSlice(1, "L2", False)] == heard
    assert 1_000 == settlement.state.lenders["L1"].unleased_minor


def test_what_is_wanted_ahead_leaves_something_for_the_others() -> None:
    settlement = a_settlement(L1=1_000)
    (grant,) = settlement.told(10, m.SliceWanted("L1", 10_000, 0, 20))
    assert m.GrantSlice("L1", 250) == grant  # Half of it, by two shards.
    assert [] == settlement.told(10, m.SliceWanted("L1", 10_000, 0, 20))  # Under way.
    assert [] != settlement.told(10, m.SliceWanted("L1", 10_000, 250, 20))


def test_what_a_shard_returned_is_credited_once() -> None:
    settlement = a_settlement(L1=1_000)
    settlement.told(10, asked(0, 1, L1=400))
    for _ in range(2):
        settlement.told(10, reported(99, lease("L1", 400, returned=150)))
    assert 750 == settlement.state.lenders["L1"].unleased_minor
    settlement.hello(0, 12, lease("L1", 400, returned=150), sequence=40)
    assert 750 == settlement.state.lenders["L1"].unleased_minor


def test_what_a_crash_left_on_the_wire_is_told_again_on_hello() -> None:
    settlement = a_settlement(L1=1_000)
    settlement.told(10, asked(0, 1, L1=400))
    heard = settlement.hello(0, 12, sequence=40)
    assert [m.GrantSlice("L1", 400)] == of_kind(heard, m.GrantSlice)
    again = OneSettlement(2, settlement.batches)
    assert digest_of(settlement.state) == digest_of(again.state)
    heard = again.hello(0, 10, sequence=40)
    assert [m.GrantSlice("L1", 400)] == of_kind(heard, m.GrantSlice)


# Refusals.


def exhausted() -> OneSettlement:
    """L1 has 100: all of it is with shard 0, which has used 60."""
    settlement = a_settlement(L1=100)
    settlement.told(10, asked(0, 1, L1=100))
    return settlement


def test_nothing_is_refused_before_every_shard_was_looked_at() -> None:
    settlement = exhausted()
    assert [m.RecallSlice(1, "L1", False)] == settlement.told(11, asked(1, 1, L1=50))
    assert [] == settlement.told(11, reported(1, lease("L1", 0)))
    assert settlement.state.refusals == 0
    settlement.told(10, reported(1, lease("L1", 100, returned=40, used=60)))
    assert m.AskRefused(1, "L1", 40, 1) == settlement.said[11][-1]
    refused = settlement.records[-1].event
    assert isinstance(refused, e.ReserveRefused)
    assert (1, 50, 40) == (refused.shard, refused.needed_minor, refused.unleased_minor)
    assert [(0, 100, 40, 0), (1, 0, 0, 0)] == [
        (p.shard, p.received_minor, p.returned_minor, p.free_minor) for p in refused.cut
    ]


def test_what_the_recall_brings_back_is_granted() -> None:
    settlement = exhausted()
    settlement.told(11, asked(1, 1, L1=40), reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 100, returned=40, used=60)))
    assert [m.GrantSlice("L1", 40), m.AskGranted(1)] == settlement.said[11][-2:]
    assert 0 == settlement.state.refusals


def test_a_report_from_before_a_grant_came_does_not_count() -> None:
    settlement = exhausted()
    settlement.told(11, asked(1, 1, L1=50), reported(1, lease("L1", 0)))
    heard = settlement.told(10, reported(1, lease("L1", 0)))
    assert [m.GrantSlice("L1", 100), m.RecallSlice(1, "L1", False)] == heard
    assert 0 == settlement.state.refusals


def test_who_asks_during_a_recall_waits_for_the_next() -> None:
    settlement = exhausted()
    settlement.told(11, asked(1, 1, L1=50), reported(1, lease("L1", 0)))
    settlement.told(11, asked(1, 2, L1=60))
    settlement.told(10, reported(1, lease("L1", 100, returned=40, used=60)))
    refused = of_kind(settlement.said[11], m.AskRefused)
    assert [1] == [message.ask for message in refused]
    assert m.RecallSlice(2, "L1", False) == settlement.said[10][-1]


def test_a_shard_that_is_away_leaves_the_recall_open() -> None:
    settlement = exhausted()
    settlement.node.disconnected(10)
    settlement.told(11, asked(1, 1, L1=50), reported(1, lease("L1", 0)))
    settlement.now_ms += limits.PARKED_MS_MAX
    settlement.step()
    assert 0 == settlement.state.refusals
    heard = settlement.hello(0, 12, lease("L1", 100), sequence=40)
    assert m.RecallSlice(1, "L1", False) == heard[-1]


def test_a_lost_shard_s_asks_are_forgotten_it_will_ask_again() -> None:
    settlement = exhausted()
    settlement.told(11, asked(1, 1, L1=50), reported(1, lease("L1", 0)))
    settlement.node.disconnected(11)
    settlement.told(10, reported(1, lease("L1", 100, returned=40, used=60)))
    assert 0 == settlement.state.refusals
    assert 40 == settlement.state.lenders["L1"].unleased_minor


# Withdrawals.


def test_a_withdrawal_takes_only_what_is_not_used() -> None:
    settlement = exhausted()
    number = settlement.count + 1
    assert settlement.submit(c.WithdrawReserve("caller", "w", "L1", 50)) is None
    settlement.told(11, reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 100, returned=40, used=60)))
    answer = settlement.answer(number)
    assert answer is not None
    assert b'"reserve_exhausted"' in answer.body
    assert b'"headroom_missing_minor":10' in answer.body
    assert 100 == settlement.state.lenders["L1"].deposit_minor
    assert "approved" == settlement.ask(c.WithdrawReserve, "L1", 40)["status"]
    assert 60 == settlement.state.lenders["L1"].deposit_minor


def test_a_withdrawal_that_no_shard_answers_is_not_done() -> None:
    settlement = exhausted()
    number = settlement.count + 1
    settlement.submit(c.WithdrawReserve("caller", "w", "L1", 50))
    settlement.now_ms += limits.PARKED_MS_MAX
    settlement.step()
    answer = settlement.answer(number)
    assert answer is not None
    assert m.Outcome.NOT_DONE is answer.outcome


def test_more_than_was_deposited_is_never_paid_out() -> None:
    settlement = a_settlement(L1=0)
    settlement.ask(c.DepositReserve, "L1", 10)
    declined = settlement.ask(c.WithdrawReserve, "L1", 11)
    assert ("withdrawal_exceeds_deposit", 1) == (
        declined["reason"],
        declined["excess_minor"],
    )


# Whom it works with.


def test_who_has_not_said_hello_is_not_listened_to() -> None:
    settlement = a_settlement(L1=100)
    assert [] == settlement.told(77, asked(0, 1, L1=50))
    assert 100 == settlement.state.lenders["L1"].unleased_minor


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"shard": 2}, "there is no shard 2"),
        ({"sequence": 19}, "an old copy"),
        ({"epoch": 0}, "later incarnation"),
        ({"journal_id": "another"}, "not the one that joined"),
    ],
)
def test_a_shard_with_the_wrong_journal_is_refused(
    changes: dict[str, Any], why: str
) -> None:
    settlement = a_settlement(L1=100)
    settlement.told(10, asked(0, 1, L1=50))  # Acknowledges record 20.
    hello: dict[str, Any] = {"shard": 0, "sequence": 20} | changes
    (refused,) = settlement.hello(connection=12, **hello)
    assert isinstance(refused, m.ShardRefused)
    assert why in refused.reason
    assert [] == settlement.told(12, asked(0, 2, L1=5))
    assert "" == settlement.node.stopped_because


def test_a_shard_that_returned_less_than_was_credited_is_an_old_copy() -> None:
    settlement = exhausted()
    settlement.told(10, reported(99, lease("L1", 100, returned=40, used=60)))
    (refused,) = settlement.hello(0, 12, lease("L1", 100, returned=30), sequence=40)
    assert isinstance(refused, m.ShardRefused)
    assert "old copy" in refused.reason


@pytest.mark.parametrize(
    "hello",
    [
        {"leases": (lease("L1", 101),)},
        {"leases": (lease("L9", 1),)},
        {"reference": 2},
        {"day": "2026-01-02"},
    ],
    ids=["grants", "lender", "reference", "day"],
)
def test_settlement_stops_when_a_shard_knows_more(hello: dict[str, Any]) -> None:
    settlement = exhausted()
    leases = hello.pop("leases", ())
    settlement.hello(0, 12, *leases, sequence=40, **hello)
    assert "old copy" in settlement.node.stopped_because


def test_what_an_earlier_life_asked_is_not_answered_to_the_next() -> None:
    """Both count their asks from 1, and the old connection may not have ended."""
    settlement = exhausted()
    settlement.told(11, asked(1, 1, L1=50))
    settlement.hello(1, 12, epoch=2, sequence=20)
    settlement.told(12, reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 100, returned=40, used=60)))
    assert [] == of_kind(settlement.said[12], m.AskRefused)
    assert settlement.state.refusals == 0


def test_a_hello_that_comes_late_does_not_displace_the_newer_connection() -> None:
    """A shard that connects twice is heard on the second, whichever comes first."""
    settlement = a_settlement(L1=100)
    settlement.hello(0, 13, sequence=20, number=3)
    assert [] == settlement.hello(0, 12, sequence=20, number=2)
    settlement.node.disconnected(12)
    heard = settlement.told(13, asked(0, 1, L1=50))
    assert [m.GrantSlice("L1", 50), m.AskGranted(1)] == heard
    settlement.hello(0, 14, epoch=2, sequence=20, number=1)  # Its next life.
    assert [] != settlement.told(14, asked(0, 1, L1=5))


def test_a_shard_that_came_back_is_known_by_its_new_connection() -> None:
    """The old one may still bring what was on the wire, and may end later or not."""
    settlement = a_settlement(L1=100)
    settlement.hello(0, 12, sequence=20)
    assert [] == settlement.told(10, asked(0, 1, L1=50))
    settlement.node.disconnected(12)
    assert [] == settlement.told(10, asked(0, 1, L1=50))
    assert 100 == settlement.state.lenders["L1"].unleased_minor
    settlement.node.disconnected(10)
    assert 1 == settlement.node.connected_shards
    settlement.hello(0, 13, sequence=20)
    assert m.AskGranted(1) == settlement.told(13, asked(0, 1, L1=50))[-1]


# Reference data.


def test_a_registration_is_answered_when_every_shard_holds_it() -> None:
    settlement = a_settlement(L1=0)
    version = len(settlement.state.reference) + 1
    number = settlement.count + 1
    assert settlement.submit(c.RegisterMerchant("caller", "m", "m1")) is None
    for shard in (0, 1):
        assert [version] == [
            sent.version
            for sent in of_kind(settlement.said[10 + shard], m.ReferenceSent)
        ][-1:]
    settlement.told(10, m.ReferenceHeld(version))
    assert settlement.answer(number) is None
    settlement.told(11, m.ReferenceHeld(version))
    assert settlement.answer(number) is not None


def test_a_registration_is_answered_in_time_though_a_shard_is_away() -> None:
    settlement = a_settlement(L1=0)
    number = settlement.count + 1
    settlement.submit(c.RegisterMerchant("caller", "m", "m1"))
    settlement.now_ms += limits.REFERENCE_WAIT_MS_MAX
    assert settlement.now_ms == settlement.node.wakes_at_ms()
    settlement.step()
    assert settlement.answer(number) is not None


def test_a_shard_is_sent_what_it_does_not_know_in_bounded_frames(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "REFERENCE_ITEMS_PER_FRAME_MAX", 2)
    settlement = a_settlement(1, L1=0)
    for i in range(4):
        settlement.submit(c.RegisterMerchant("caller", f"m{i}", f"m{i}"))
    heard = of_kind(settlement.hello(0, 12, reference=0, sequence=20), m.ReferenceSent)
    assert [(2, 2), (4, 2), (5, 1)] == [(x.version, len(x.facts)) for x in heard]


SHARES = (c.Share("L1", 300_000), c.Share("L2", 700_000))
FLOOR_BROKEN = (c.Share("L1", 300_000, 300_001), c.Share("L2", 700_000))
PROGRAM: dict[str, Any] = {"program_id": "p", "currency": "EUR", "shares": SHARES}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shares": (c.Share("L9", 1),), "currency": "USD"}, "lender_not_found"),
        ({"replaces_version": 3, "currency": "USD"}, "program_not_found"),
        ({"program_id": "old", "currency": "USD"}, "program_exists"),
        ({"program_id": "old", "replaces_version": 2}, "program_version_mismatch"),
        ({"currency": "USD", "shares": (c.Share("L1", 1),)}, "currency_mismatch"),
        ({"shares": (c.Share("L1", PPM - 1),)}, "shares_not_whole"),
        ({"shares": (c.Share("L1", PPM + 1),)}, "shares_not_whole"),
        ({"shares": (c.Share("L1", 500_000),) * 2}, "shares_not_whole"),
        (
            {"shares": (c.Share("L1", 1), c.Share("L2", 1, 2)), "cap_ppm": 1},
            "shares_not_whole",
        ),
        ({"shares": FLOOR_BROKEN, "cap_ppm": 699_999}, "share_below_floor"),
        ({"cap_ppm": 699_999}, "share_above_cap"),
    ],
)
def test_the_first_reason_against_a_program_is_reported(
    changes: dict[str, Any], reason: str
) -> None:
    settlement = a_settlement(1, L1=0, L2=0)
    old = {**PROGRAM, "program_id": "old"}
    settlement.submit(c.RegisterProgram("caller", "old", **old))
    command = c.RegisterProgram("caller", "new", **{**PROGRAM, **changes})
    answer = settlement.submit(command)
    assert answer is not None
    assert f'"{reason}"'.encode() in answer.body


def test_a_share_may_be_its_floor_and_the_cap() -> None:
    settlement = a_settlement(1, L1=0, L2=0)
    shares = (c.Share("L1", 300_000, 300_000), c.Share("L2", 700_000))
    fields = {**PROGRAM, "shares": shares, "cap_ppm": 700_000}
    settlement.submit(c.RegisterProgram("caller", "p", **fields))
    assert shares == settlement.state.programs["p"].shares
    assert 700_000 == settlement.state.programs["p"].cap_ppm


def test_the_next_version_of_a_program_replaces_the_last() -> None:
    settlement = a_settlement(1, L1=0, L2=0)
    settlement.submit(c.RegisterProgram("caller", "v1", **PROGRAM))
    settlement.submit(c.RegisterProgram("caller", "v2", **PROGRAM, replaces_version=1))
    assert 2 == settlement.state.programs["p"].version


# The day.


def ended(day: str, sequence: int) -> m.DayEnded:
    totals = e.DayTotals(repaid_minor=sequence, repaid_count=1)
    return m.DayEnded(day, sequence, totals)


def test_a_day_is_closed_when_all_shards_have_reported() -> None:
    settlement = a_settlement(L1=0)
    cut = settlement.ask(c.CloseDay, FIRST_DAY)
    assert (FIRST_DAY, "2026-01-02") == (cut["day"], cut["next_day"])
    for connection in (10, 11):
        move = m.MoveDay(FIRST_DAY, "2026-01-02")
        assert move == settlement.said[connection][-1]
    settlement.told(10, ended(FIRST_DAY, 30))
    settlement.told(10, ended(FIRST_DAY, 30))  # Told twice, counted once.
    assert not settlement.state.days[FIRST_DAY].is_closed
    settlement.told(11, ended(FIRST_DAY, 12))
    closed = settlement.records[-1].event
    assert (
        e.DayClosed(FIRST_DAY, e.DayTotals(repaid_minor=42, repaid_count=2)) == closed
    )
    assert settlement.state.days[FIRST_DAY].is_closed


def test_the_cut_is_the_last_record_of_its_day() -> None:
    settlement = a_settlement(1, L1=0)
    settlement.node.receive(
        GATEWAY,
        [
            m.Submit(101, c.CloseDay("caller", "x", FIRST_DAY)),
            m.Submit(102, c.DepositReserve("caller", "y", "L1", 5)),
        ],
    )
    settlement.step()
    assert FIRST_DAY == settlement.batches[-1].day
    settlement.step()
    assert "2026-01-02" == settlement.batches[-1].day


def test_closing_a_day_again_gives_the_same_answer() -> None:
    settlement = a_settlement(L1=0)
    first = settlement.submit(c.CloseDay("caller", "x", FIRST_DAY))
    again = settlement.submit(c.CloseDay("somebody", "else", FIRST_DAY))
    assert first is not None
    assert again is not None
    assert m.Outcome.REPLAYED is again.outcome
    assert first.body == again.body
    other = settlement.ask(c.CloseDay, FIRST_DAY, "2026-02-01")
    assert "day_not_open" == other["reason"]


def test_one_day_closes_at_a_time() -> None:
    settlement = a_settlement(L1=0)
    settlement.ask(c.CloseDay, FIRST_DAY)
    answer = settlement.submit(c.CloseDay("caller", "soon", "2026-01-02"))
    assert answer is not None
    assert m.Outcome.NOT_DONE is answer.outcome


@pytest.mark.parametrize(
    ("day", "next_day", "reason"),
    [
        ("2026-01-02", None, "day_not_open"),
        ("2025-12-31", None, "day_not_open"),
        (FIRST_DAY, FIRST_DAY, "next_day_not_later"),
        (FIRST_DAY, "2025-12-31", "next_day_not_later"),
    ],
)
def test_only_the_open_day_can_be_closed_and_only_forward(
    day: str, next_day: str | None, reason: str
) -> None:
    settlement = a_settlement(L1=0)
    assert reason == settlement.ask(c.CloseDay, day, next_day)["reason"]


def test_a_shard_that_was_away_is_told_of_the_cut_when_it_is_back() -> None:
    settlement = a_settlement(L1=0)
    settlement.node.disconnected(10)
    settlement.ask(c.CloseDay, FIRST_DAY)
    heard = settlement.hello(0, 12, sequence=20)
    assert [m.MoveDay(FIRST_DAY, "2026-01-02")] == of_kind(heard, m.MoveDay)


# Reading.


def test_a_position_adds_up_what_every_shard_says() -> None:
    settlement = exhausted()
    settlement.told(GATEWAY, m.Query(900, "position", "L1"))
    assert m.RecallSlice(1, "L1", True) == settlement.said[10][-1]
    settlement.told(11, reported(1, lease("L1", 0)))
    settlement.told(10, reported(1, lease("L1", 100, used=60)))
    answer = settlement.answer(900)
    assert answer is not None
    assert b'"headroom_minor":40,"unleased_minor":0' in answer.body
    assert b'"free_minor":40,"authorized_minor":60' in answer.body
    assert 0 == settlement.state.lenders["L1"].unleased_minor  # Nothing was taken.


def test_a_position_without_a_shard_is_not_done_in_time() -> None:
    settlement = exhausted()
    settlement.told(GATEWAY, m.Query(900, "position", "L1"))
    settlement.now_ms += limits.PARKED_MS_MAX
    settlement.step()
    answer = settlement.answer(900)
    assert answer is not None
    assert m.Outcome.NOT_DONE is answer.outcome


@pytest.mark.parametrize(
    ("kind", "object_id", "shown"),
    [
        ("day", "current", b'{"day":"2026-01-01","status":"open"}'),
        ("day", "2026-01-01", b'{"day":"2026-01-01","status":"open"}'),
        ("day", "2026-05-01", b'{"day":"2026-05-01","status":"future"}'),
        ("day", "2025-12-31", None),
        ("merchant", "nobody", None),
        ("position", "nobody", None),
    ],
)
def test_what_settlement_shows(kind: str, object_id: str, shown: bytes | None) -> None:
    settlement = a_settlement(L1=0)
    settlement.told(GATEWAY, m.Query(900, kind, object_id))
    answer = settlement.answer(900)
    assert answer is not None
    assert (shown or b"") == answer.body
    expected = m.Outcome.NOT_FOUND if shown is None else m.Outcome.READ
    assert expected is answer.outcome


def test_a_day_that_was_to_be_closed_too_early_can_be_closed_in_time() -> None:
    settlement = a_settlement()
    early = c.CloseDay("caller", "close-2026-01-02", "2026-01-02")
    answer = settlement.submit(early)
    assert answer is not None
    assert b"day_not_open" in answer.body
    first = c.CloseDay("caller", "close-2026-01-01", FIRST_DAY)
    settlement.submit(msgspec.structs.replace(first, next_day="2025-12-31"))
    settlement.submit(first)
    for shard in range(2):
        settlement.told(10 + shard, m.DayEnded(FIRST_DAY, 10, e.DayTotals()))
    answer = settlement.submit(early)
    assert answer is not None
    assert b'"status":"approved"' in answer.body
