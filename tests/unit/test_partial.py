"""Partial approval: the most that fits, exactly, under limit, velocity and reserve."""

import json
from typing import Any

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import limits
from processor import messages as m
from processor.audit.report import AuditReport, audit
from processor.ids import shard_of_slot, slot_of_account
from processor.records import RECORDS_ENCODER, SHARD_RECORDS, ShardRecord
from processor.tenders import Tender, TenderKind
from processor.terms import Velocity
from tests.unit.house_in_memory import House
from tests.unit.journals_by_hand import rechained
from tests.unit.one_audit import check_clean, put
from tests.unit.one_shard import OneShard, a_shard

SHARES = {
    "solo": {"north": 1_000_000},
    "trio": {"north": 200_000, "south": 300_000, "west": 500_000},
}


def buy(shard: OneShard, amount: int, account_id: str = "a") -> Any:
    fields = (account_id, "m", amount, "EUR", False, "", "", (), True)
    return shard.ask(c.Authorize, *fields)


def portion(answer: Any) -> tuple[int, int, str]:
    assert "approved" == answer["status"]
    return (
        answer["amount_minor"],
        answer["requested_minor"],
        answer.get("limited_by", ""),
    )


def test_what_fits_is_approved_whole() -> None:
    shard = a_shard(L1=100)
    assert (100, 100, "") == portion(buy(shard, 100))
    event = shard.records[-1].event
    assert isinstance(event, e.Authorized)
    assert event.reduced is None


def test_the_limit_leaves_what_is_open_to_buy() -> None:
    shard = a_shard(limit=70, L1=1_000)
    answer = buy(shard, 100)
    assert (70, 100, "limit") == portion(answer)
    assert 0 == answer["open_to_buy_minor"]
    check_clean(shard)


def test_one_unit_above_the_limit_is_above_it() -> None:
    assert (70, 71, "limit") == portion(buy(a_shard(limit=70, L1=1_000), 71))
    assert (70, 70, "") == portion(buy(a_shard(limit=70, L1=1_000), 70))


def test_velocity_leaves_what_it_leaves_and_names_the_limit() -> None:
    shard = a_shard(L1=1_000)
    shard.ask(c.SetVelocity, "a", Velocity(60, 90))
    assert (60, 100, "velocity_purchase") == portion(buy(shard, 100))
    assert (30, 100, "velocity_daily") == portion(buy(shard, 100))
    check_clean(shard)


def test_one_unit_is_a_part_and_nothing_is_a_decline() -> None:
    shard = a_shard(limit=1, L1=1_000)
    assert (1, 100, "limit") == portion(buy(shard, 100))
    answer = buy(shard, 100)
    assert ("credit_limit_exceeded", 100) == (
        answer["reason"],
        answer["headroom_missing_minor"],
    )
    check_clean(shard)


def test_without_asking_for_a_part_none_is_given() -> None:
    shard = a_shard(limit=70, L1=1_000)
    assert "declined" == shard.ask(c.Authorize, "a", "m", 100, "EUR")["status"]


def test_a_captured_part_is_a_debt_of_that_part() -> None:
    shard = a_shard(limit=70, L1=1_000)
    answer = shard.ask(c.Authorize, "a", "m", 100, "EUR", True, "", "", (), True)
    assert (70, 70) == (answer["amount_minor"], answer["captured_minor"])
    assert 70 == shard.read("account", "a")["outstanding_minor"]


def test_the_same_request_again_has_the_same_answer() -> None:
    shard = a_shard(limit=70, L1=1_000)
    wish = c.Authorize("caller", "x", "a", "m", 100, "EUR", False, "", "", (), True)
    first, again = shard.submit(wish, wish)
    assert shard.answers[first].body == shard.answers[again].body
    whole = msgspec.structs.replace(wish, partial=False)
    (other,) = shard.submit(whole)
    assert m.Answer(other, m.Outcome.CONFLICT, b"partial") == shard.answers[other]


# The reserve, with settlement played by hand.


def asked(shard: OneShard) -> m.SliceAsked:
    return [x for x in shard.heard if isinstance(x, m.SliceAsked)][-1]


def test_after_a_refusal_the_largest_that_fits_is_asked_for_and_approved() -> None:
    shard = a_shard().connected()
    fields = ("b", "m", 100, "EUR", False, "", "", (), True)
    (number,) = shard.submit(c.Authorize("caller", "x", *fields))
    shard.told(m.AskRefused(1, "L2", 20, 7))
    assert m.SliceAsked(2, asked(shard).needs, shard.state.sequence) == asked(shard)
    needs = {need.pool_id: need.amount_minor for need in asked(shard).needs}
    assert 20 == needs["L2"]
    assert number not in shard.answers
    shard.told(m.GrantSlice("L1", needs["L1"]), m.GrantSlice("L2", 20), m.AskGranted(2))
    answer = json.loads(shard.answers[number].body)
    assert (20 + needs["L1"], 100, "reserve") == portion(answer)
    assert "L2" == answer["lender_id"]
    event = shard.records[-1].event
    assert isinstance(event, e.Authorized)
    assert event.reduced is not None
    assert (e.Refusal("L2", 20, 7, 0),) == event.reduced.refusals
    explained = shard.read("explanation", answer["authorization_id"])
    assert "partly_approved" == explained["decision"]
    assert answer["amount_minor"] == explained["would_have_passed_minor"]
    assert {"constraint": "reserve", "lender_id": "L2"} == explained["binding"]


def test_several_lenders_may_be_short_and_the_asks_shrink() -> None:
    shard = a_shard().connected()
    fields = ("b", "m", 1_000, "EUR", False, "", "", (), True)
    (number,) = shard.submit(c.Authorize("caller", "x", *fields))
    totals = [sum(need.amount_minor for need in asked(shard).needs)]
    shard.told(m.AskRefused(1, "L2", 350, 1))
    totals.append(sum(need.amount_minor for need in asked(shard).needs))
    shard.told(m.AskRefused(2, "L1", 30, 2))
    totals.append(sum(need.amount_minor for need in asked(shard).needs))
    assert totals == sorted(totals, reverse=True)
    assert len(set(totals)) == 3
    needs = {need.pool_id: need.amount_minor for need in asked(shard).needs}
    grants = [m.GrantSlice(name, minor) for name, minor in needs.items()]
    shard.told(*grants, m.AskGranted(3))
    answer = json.loads(shard.answers[number].body)
    assert (totals[-1], 1_000, "reserve") == portion(answer)
    assert "L1" == answer["lender_id"]


def test_while_something_is_left_it_is_asked_for_and_never_declined() -> None:
    """Others may be faster every time: then nothing was done, which is no decline."""
    shard = a_shard().connected()
    fields = ("a", "m", 100, "EUR", False, "", "", (), True)
    (number,) = shard.submit(c.Authorize("caller", "x", *fields))
    for ask, left_minor in enumerate([50, 20, 20, 19, 30, 30], start=1):
        shard.told(m.AskRefused(ask, "L1", left_minor, ask))
        assert number not in shard.answers
        asks = [x for x in shard.heard if isinstance(x, m.SliceAsked)]
        assert ask + 1 == len(asks)
        assert [left_minor] == [need.amount_minor for need in asks[-1].needs]
    shard.now_ms += limits.PARKED_MS_MAX
    shard.step()
    assert m.Outcome.NOT_DONE is shard.answers[number].outcome


def test_what_came_free_since_two_refusals_is_approved() -> None:
    """A refund here, and one elsewhere: the whole fits after all."""
    shard = a_shard(L1=3, L2=7).connected()
    bought = shard.ask(c.Authorize, "b", "m", 10, "EUR", True)["authorization_id"]
    fields = ("a", "m", 5, "EUR", False, "", "", (), True)
    (number,) = shard.submit(c.Authorize("caller", "x", *fields))
    shard.told(m.AskRefused(1, "L1", 2, 1))
    shard.ask(c.Refund, bought)
    shard.told(m.AskRefused(2, "L1", 2, 2))
    assert number not in shard.answers
    shard.told(m.GrantSlice("L1", 5), m.AskGranted(3))
    assert (5, 5, "") == portion(json.loads(shard.answers[number].body))


def test_when_nothing_is_left_one_refusal_is_enough() -> None:
    shard = a_shard().connected()
    fields = ("a", "m", 100, "EUR", False, "", "", (), True)
    (number,) = shard.submit(c.Authorize("caller", "x", *fields))
    shard.told(m.AskRefused(1, "L1", 0, 1))
    assert 100 == json.loads(shard.answers[number].body)["headroom_missing_minor"]


def test_what_was_received_since_a_refusal_is_counted_once() -> None:
    shard = a_shard().connected()
    fields = ("a", "m", 100, "EUR", False, "", "", (), True)
    (number,) = shard.submit(c.Authorize("caller", "x", *fields))
    shard.told(m.AskRefused(1, "L1", 50, 1), m.GrantSlice("L1", 50))
    shard.told(m.AskGranted(2))
    assert (50, 100, "reserve") == portion(json.loads(shard.answers[number].body))


# Daily caps, with settlement played by hand.


def capped(shard: OneShard, cap: int | None) -> None:
    version = shard.state.reference_version + 1
    shard.told(m.ReferenceSent(version, (e.DailyCapSet("L1", cap),)))


def wish_under_a_cap(headroom: int = 1_000) -> tuple[OneShard, int]:
    """Under a cap of 50 a part of 100 is asked for; 30 is left of the cap."""
    shard = a_shard(L1=headroom).connected()
    capped(shard, 50)
    fields = ("a", "m", 100, "EUR", False, "", "", (), True)
    (number,) = shard.submit(c.Authorize("caller", "x", *fields))
    shard.told(m.AskRefused(1, "daily/L1", 30, 7))
    assert (m.Need("daily/L1", 30), m.Need("L1", 30)) == asked(shard).needs
    return shard, number


def test_a_daily_cap_leaves_what_is_left_of_it() -> None:
    shard, number = wish_under_a_cap()
    shard.told(m.GrantSlice("daily/L1", 30), m.AskGranted(2))
    answer = json.loads(shard.answers[number].body)
    assert (30, 100, "daily_cap") == portion(answer)
    assert "L1" == answer["lender_id"]
    explained = shard.read("explanation", answer["authorization_id"])
    assert {"constraint": "daily_cap", "lender_id": "L1"} == explained["binding"]
    assert (30, 30) == (
        explained["would_have_passed_minor"],
        explained["certain_minor"],
    )
    check_clean(shard)


def test_of_cap_and_reserve_the_tighter_counts() -> None:
    shard, number = wish_under_a_cap(headroom=4)
    shard.told(m.AskRefused(2, "L1", 6, 8))
    assert (m.Need("daily/L1", 10), m.Need("L1", 10)) == asked(shard).needs
    shard.told(m.GrantSlice("daily/L1", 30), m.GrantSlice("L1", 10), m.AskGranted(3))
    assert (10, 100, "reserve") == portion(json.loads(shard.answers[number].body))


@pytest.mark.parametrize("is_moved", [True, False])
def test_a_refusal_of_a_cap_that_is_no_more_is_forgotten(is_moved: bool) -> None:
    shard, number = wish_under_a_cap()
    if is_moved:
        shard.told(m.MoveDay(shard.state.day, "2026-01-02"))
    else:
        capped(shard, 60)
    shard.told(m.GrantSlice("daily/L1", 100), m.AskGranted(2))
    assert (100, 100, "") == portion(json.loads(shard.answers[number].body))


def test_nothing_left_of_a_cap_is_a_decline_for_it() -> None:
    shard = a_shard(L1=1_000).connected()
    capped(shard, 50)
    fields = ("a", "m", 100, "EUR", False, "", "", (), True)
    (number,) = shard.submit(c.Authorize("caller", "x", *fields))
    shard.told(m.AskRefused(1, "daily/L1", 0, 7))
    answer = json.loads(shard.answers[number].body)
    assert ("daily_cap_exceeded", 100) == (
        answer["reason"],
        answer["headroom_missing_minor"],
    )
    explained = shard.read("explanation", answer["authorization_id"])
    assert "daily_cap" == explained["binding"]["constraint"]
    assert [True, True, False] == [x["is_final"] for x in explained["constraints"]]


def test_a_suspended_lender_comes_before_what_was_refused() -> None:
    shard, number = wish_under_a_cap()
    version = shard.state.reference_version + 1
    shard.told(m.ReferenceSent(version, (e.LenderSuspended("L1"),)))
    shard.told(m.AskRefused(2, "daily/L1", 0, 8))
    assert "lender_suspended" == json.loads(shard.answers[number].body)["reason"]


def test_an_order_is_no_part() -> None:
    tenders = (
        Tender(TenderKind.CREDIT_LINE, "line", 90),
        Tender(TenderKind.COUPON, "coupon", 10),
    )
    fields = ("a", "m", 90, "EUR", False, "", "", tenders)
    shard = a_shard(L1=1_000)
    assert "order_not_sound" == shard.ask(c.Authorize, *fields, True)["reason"]
    assert "approved" == shard.ask(c.Authorize, *fields)["status"]


# The reserve, with settlement itself, and the audit of all journals.


class Cluster:
    """Lenders with little, one account a shard."""

    def __init__(self, program_id: str, **reserve: int) -> None:
        self.house = House(2, "2026-03-02")
        self.count = 0
        for lender_id in ("north", "south", "west"):
            self.ask(c.RegisterLender, lender_id, "EUR")
            if reserve.get(lender_id):
                self.ask(c.DepositReserve, lender_id, reserve[lender_id])
        for name, shares in SHARES.items():
            parts = tuple(c.Share(*share) for share in shares.items())
            self.ask(c.RegisterProgram, name, "EUR", parts)
        self.ask(c.RegisterMerchant, "shop")
        names = [f"account-{n}" for n in range(20)]
        self.accounts = [
            next(x for x in names if shard_of_slot(slot_of_account(x), 2) == shard)
            for shard in (0, 1)
        ]
        for account_id in self.accounts:
            self.ask(c.OpenAccount, account_id, program_id, "EUR", 10**6)

    def ask(self, kind: type[c.Command], *fields: Any) -> Any:
        self.count += 1
        (answer,) = self.house.ask(kind("caller", f"r{self.count}", *fields))
        return json.loads(answer.body)

    def buy(self, shard: int, amount: int, partial: bool = True) -> Any:
        fields = (
            self.accounts[shard],
            "shop",
            amount,
            "EUR",
            True,
            "",
            "",
            (),
            partial,
        )
        return self.ask(c.Authorize, *fields)

    def audit(self, shards: Any = None) -> AuditReport:
        settlement = self.house.settlement_rows
        return audit(
            (settlement.identity, settlement.batches),
            shards or [(x.identity, x.batches) for x in self.house.shard_rows],
        )

    def tampered(self, shard: int, **fields: Any) -> AuditReport:
        """With fields of the reduction in a shard's journal changed."""
        found = []
        for rows in self.house.shard_rows:
            batches = []
            for batch in rows.batches:
                records: list[Any] = SHARD_RECORDS.decode(batch.records)
                for i, record in enumerate(records):
                    event = record.event
                    is_it = rows is self.house.shard_rows[shard] and getattr(
                        event, "reduced", None
                    )
                    if is_it:
                        reduced = msgspec.structs.replace(event.reduced, **fields)
                        event = msgspec.structs.replace(event, reduced=reduced)
                        records[i] = ShardRecord(record.command, event)
                body = RECORDS_ENCODER.encode(records)
                batches.append(msgspec.structs.replace(batch, records=body))
            found.append((rows.identity, rechained(rows.identity, batches)))
        return self.audit(found)


def test_the_last_of_a_reserve_goes_in_one_part_from_any_shard() -> None:
    cluster = Cluster("solo", north=100)
    cluster.buy(0, 30, partial=False)
    answer = cluster.buy(1, 500)
    assert (70, 500, "reserve") == portion(answer)
    again = cluster.buy(0, 500)
    assert "reserve_exhausted" == again["reason"]
    assert cluster.audit().is_clean


def test_of_three_lenders_the_scarcest_decides_to_the_unit() -> None:
    cluster = Cluster("trio", north=1_000, south=31, west=52)
    amount, _, limited_by = portion(cluster.buy(0, 900))
    assert "reserve" == limited_by
    assert amount in (103, 104)
    assert 102 < amount
    report = cluster.audit()
    assert [] == report.differences
    left = {name: x.headroom_minor for name, x in report.lenders.items()}
    assert min(left["south"], left["west"]) == 0


def test_the_audit_wants_the_certificate_of_a_reduction() -> None:
    cluster = Cluster("solo", north=100)
    cluster.buy(0, 30, partial=False)
    cluster.buy(1, 500)
    assert cluster.audit().is_clean
    forged = (e.Refusal("north", 70, 9, 0),)
    report = cluster.tampered(1, refusals=forged)
    assert 1 == report.false_reserve_declines
    assert "settlement has no refusal 9" in "".join(report.differences)
    report = cluster.tampered(1, limited_by="limit")
    assert "limit left 1000000" in "".join(report.differences)
    report = cluster.tampered(1, requested_minor=70)
    assert "70 of 70 is not a part" in "".join(report.differences)


def test_the_audit_finds_that_more_would_have_passed() -> None:
    cluster = Cluster("solo", north=100)
    cluster.buy(1, 500)
    shard = cluster.house.shard_rows[1]
    found = []
    for batch in shard.batches:
        records: list[Any] = SHARD_RECORDS.decode(batch.records)
        for i, record in enumerate(records):
            event = record.event
            if isinstance(event, e.Authorized):
                less = msgspec.structs.replace(
                    event, amount_minor=99, parts=(99,), open_to_buy_minor=10**6 - 99
                )
                records[i] = ShardRecord(record.command, less)
        body = RECORDS_ENCODER.encode(records)
        found.append(msgspec.structs.replace(batch, records=body))
    rows = [
        (cluster.house.shard_rows[0].identity, cluster.house.shard_rows[0].batches),
        (shard.identity, rechained(shard.identity, found)),
    ]
    report = cluster.audit(rows)
    assert "north had 100, one unit more would have taken 100" in "".join(
        report.differences
    )


def test_the_audit_finds_a_decline_of_what_fits_in_part() -> None:
    shard = a_shard(limit=50, L1=1_000)
    assert "declined" == shard.ask(c.Authorize, "a", "m", 100, "EUR")["status"]
    record = shard.records[-1]
    assert record.command is not None
    command = msgspec.structs.replace(record.command, partial=True)
    found = put(shard, len(shard.records), command, record.event)
    assert "50 of it would have passed" in "".join(found)


def test_there_is_room_for_a_refusal_of_every_pool() -> None:
    assert limits.REFUSALS_MAX > 3 * limits.LENDERS_PER_PROGRAM_MAX
