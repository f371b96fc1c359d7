"""The audit of lines, caps, suspension, forced captures and funds.

A small house does all of it; its journals stand the audit.  Then one event is
changed at a time, and the audit must say so.
"""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor.audit.report import AuditReport, audit
from processor.audit.verdict import Verification
from processor.declines import DeclineReason
from processor.journal import Batch
from processor.records import RECORDS_ENCODER, SETTLEMENT_RECORDS, SHARD_RECORDS
from tests.unit.house_in_memory import House, Rows
from tests.unit.journals_by_hand import rechained

DAY, NEXT_DAY = "2026-03-02", "2026-03-03"


class Story:
    """One shard, one lender `north` with a cap, and all that can happen to it."""

    def __init__(self) -> None:
        self.house = House(1, DAY)
        self.count = 0
        self.told: list[dict[str, Any]] = []
        self.found()
        self.lend()
        self.force()
        self.move_funds()

    def ask(self, kind: Any, *fields: Any, caller: str = "ann") -> dict[str, Any]:
        self.count += 1
        (answer,) = self.house.ask(kind(caller, f"r{self.count}", *fields))
        told: dict[str, Any] = json.loads(answer.body)
        self.told.append(told)
        return told

    def buy(self, amount: int, capture: bool = False) -> dict[str, Any]:
        return self.ask(c.Authorize, "ada", "shop", amount, "GBP", capture)

    def found(self) -> None:
        self.ask(c.RegisterLender, "north", "GBP")
        self.ask(c.DepositReserve, "north", 1_000)
        self.ask(c.RegisterProgram, "solo", "GBP", (c.Share("north", 1_000_000),))
        self.ask(c.RegisterMerchant, "shop")
        self.ask(c.OpenAccount, "ada", "solo", "GBP", 2_000)

    def lend(self) -> None:
        self.ask(c.ChangeAdvanceLine, "north", 500)
        self.ask(c.SetDailyCap, "north", 300)
        bought = self.buy(200)["authorization_id"]
        assert "daily_cap_exceeded" == self.buy(150)["reason"]
        self.ask(c.ReverseAuthorization, bought, 50)
        self.buy(150, capture=True)
        assert "daily_cap_exceeded" == self.ask(c.SetDailyCap, "north", 299)["reason"]
        self.ask(c.SuspendLender, "north")
        assert "lender_suspended" == self.buy(1)["reason"]
        assert "lender_suspended" == self.ask(c.SuspendLender, "north")["reason"]
        self.ask(c.ResumeLender, "north")
        self.ask(c.CloseDay, DAY)
        self.buy(300, capture=True)

    def force(self) -> None:
        forced = self.ask(c.ForceCapture, "ada", "shop", 2_000, "GBP")
        assert 1_100 == forced["lender_advance_minor"]
        assert (
            "reserve_exhausted" == self.ask(c.ChangeAdvanceLine, "north", 0)["reason"]
        )
        self.ask(c.SetDailyCap, "north", None)
        self.ask(c.DepositReserve, "north", 100)

    def move_funds(self) -> None:
        deposit, withdrawal = c.Direction
        for name, direction in (("f1", deposit), ("f2", withdrawal), ("f3", deposit)):
            self.ask(c.ProposeFunds, name, "north", direction, 400)
        assert "same_caller" == self.ask(c.ApproveFunds, "f1")["reason"]
        self.ask(c.ApproveFunds, "f1", caller="bob")
        declined = self.ask(c.ApproveFunds, "f2", caller="bob")
        assert "reserve_exhausted" == declined["reason"]
        self.ask(c.RejectFunds, "f3")


@pytest.fixture(scope="module")
def house() -> House:
    return Story().house


Change = Callable[[list[Any]], None]


def rewritten(rows: Rows, decoder: Any, change: Change | None) -> list[Batch]:
    """The rows with one event changed, chained anew."""
    if change is None:
        return rows.batches
    decoded = [decoder.decode(batch.records) for batch in rows.batches]
    records = [record for batch in decoded for record in batch]
    change(records)
    found, first = [], 0
    for batch, old in zip(rows.batches, decoded, strict=True):
        body = RECORDS_ENCODER.encode(records[first : first + len(old)])
        found.append(msgspec.structs.replace(batch, records=body))
        first += len(old)
    return rechained(rows.identity, found)


def audited(
    house: House, settlement: Change | None = None, shard: Change | None = None
) -> AuditReport:
    of_settlement, of_shard = house.settlement_rows, house.shard_rows[0]
    return audit(
        (
            of_settlement.identity,
            rewritten(of_settlement, SETTLEMENT_RECORDS, settlement),
        ),
        [(of_shard.identity, rewritten(of_shard, SHARD_RECORDS, shard))],
    )


def change(kind: type[e.Event], number: int = 0, /, **fields: Any) -> Change:
    """Tamper with the `number`-th event of a kind."""

    def change_it(records: list[Any]) -> None:
        at = [i for i, record in enumerate(records) if type(record.event) is kind]
        old = records[at[number]]
        event = msgspec.structs.replace(old.event, **fields)
        records[at[number]] = msgspec.structs.replace(old, event=event)

    return change_it


def decline(reason: DeclineReason, /, **fields: Any) -> Change:
    """Tamper with the first decline for a reason."""

    def change_it(records: list[Any]) -> None:
        for i, record in enumerate(records):
            if isinstance(record.event, e.Declined) and record.event.reason is reason:
                event = msgspec.structs.replace(record.event, **fields)
                records[i] = msgspec.structs.replace(record, event=event)
                return

    return change_it


def put(kind: type[e.Event], event: e.Event) -> Change:
    """Another event of settlement's own in the place of the first of a kind."""

    def change_it(records: list[Any]) -> None:
        at = next(i for i, r in enumerate(records) if type(r.event) is kind)
        records[at] = msgspec.structs.replace(records[at], event=event)

    return change_it


def test_the_story_stands_the_audit_and_both_readings_agree(house: House) -> None:
    report = audited(house)
    assert [] == report.differences
    assert report.is_clean
    north = report.lenders["north"]
    assert (1_500, 500, 600) == (
        north.deposit_minor,
        north.advance_line_minor,
        north.forced_minor,
    )
    rows, shard = house.settlement_rows, house.shard_rows[0]
    both = Verification(rows.identity, [shard.identity])
    for batch in rows.batches:
        both.settlement.batch(batch)
    both.settlement_is_read()
    for batch in shard.batches:
        both.shards[0].batch(batch)
    assert [] == both.verdict().differences


REASON = DeclineReason
SETTLEMENT: list[tuple[str, Change]] = [
    ("asked for", change(e.AdvanceLineChanged, advance_line_minor=499)),
    ("asked for", change(e.DailyCapSet, daily_cap_minor=301)),
    ("daily/north is overspent", change(e.DailyCapSet, daily_cap_minor=10)),
    ("of it is leased", change(e.DailyCapSet, 1, daily_cap_minor=10)),
    (
        "certificate of force",
        change(e.AdvanceForced, cut=(e.CutPoint(0, 1, 3, 5, 0, 0),)),
    ),
    (
        "it forces headroom",
        change(e.AdvanceForced, cut=(e.CutPoint(0, 1, 3, 0, 0, 2_000),)),
    ),
    ("suspended or resumed twice", put(e.LenderResumed, e.LenderSuspended("north"))),
    ("was unleased of north", change(e.AdvanceForced, unleased_minor=1)),
    ("was missing", change(e.AdvanceForced, forced_minor=1_101)),
    ("was missing", change(e.AdvanceForced, needed_minor=1)),
    ("has not asked every shard", change(e.AdvanceForced, cut=())),
    ("of what is forced", change(e.ForcedAdvanceRepaid, amount_minor=99)),
    ("of what is forced", change(e.ForcedAdvanceRepaid, forced_minor=999)),
    ("at a wrong time", put(e.ForcedAdvanceRepaid, e.ShardJoined(0, "0"))),
    ("proposed a second time", change(e.FundsProposed, 1, movement_id="f1")),
    ("by who proposed it", change(e.FundsProposed, proposed_by="bob")),
    ("what nobody proposed", change(e.FundsProposed, amount_minor=401)),
    ("not to zero", change(e.FundsApproved, deposit_minor=1_501)),
    ("is not proposed", change(e.FundsRejected, movement_id="f1")),
    ("without a checker", change(e.LenderRegistered, requires_checker=True)),
    ("declined for the same caller", change(e.FundsProposed, proposed_by="eve")),
    ("which it is not", change(e.LenderSuspended, lender_id="south")),
    (
        "false decline",
        decline(REASON.DAILY_CAP_EXCEEDED, missing_minor=2),
    ),
    ("false decline", decline(REASON.RESERVE_EXHAUSTED, missing_minor=1)),
    ("false decline", decline(REASON.RESERVE_EXHAUSTED, refusal=99)),
]
SHARD: list[tuple[str, Change]] = [
    ("by force beyond", change(e.ForceCaptured, lender_advance_minor=1_101)),
    ("over the limit", change(e.ForceCaptured, over_limit_minor=1)),
    ("is above what was open", change(e.ForceCaptured, extra_minor=1_999)),
    ("of another account", change(e.ForceCaptured, is_new=False)),
    ("to buy", change(e.ForceCaptured, open_to_buy_minor=1)),
    ("not made by this record", change(e.ForceCaptured, capture_id="ca_1110001")),
    ("credit where", change(e.ForceCaptured, credit_used_minor=1, credit_parts=(1,))),
    ("daily/north is overspent", change(e.Authorized, amount_minor=301, parts=(301,))),
    ("not suspended", decline(REASON.LENDER_SUSPENDED, lender_id="north", refusal=0)),
    ("false decline", decline(REASON.DAILY_CAP_EXCEEDED, missing_minor=70)),
    ("false decline", decline(REASON.DAILY_CAP_EXCEEDED, refusal=2)),
]


@pytest.mark.parametrize(("said", "tamper"), SETTLEMENT)
def test_the_audit_names_what_was_tampered_with_at_settlement(
    house: House, said: str, tamper: Change
) -> None:
    differences = audited(house, settlement=tamper).differences
    assert any(said in text for text in differences), differences


@pytest.mark.parametrize(("said", "tamper"), SHARD)
def test_the_audit_names_what_was_tampered_with_on_a_shard(
    house: House, said: str, tamper: Change
) -> None:
    if said == "not suspended":
        tamper = without_suspension(tamper)
    if said == "of another account":
        said = "does not exist"
    differences = audited(house, shard=tamper).differences
    assert any(said in text for text in differences), differences


def without_suspension(tamper: Change) -> Change:
    """The shard is told that another lender is suspended."""

    def change_it(records: list[Any]) -> None:
        tamper(records)
        for i, record in enumerate(records):
            event = record.event
            if isinstance(event, e.ReferenceReceived) and isinstance(
                event.facts[0], e.LenderSuspended
            ):
                facts = (e.LenderSuspended("south"),)
                event = msgspec.structs.replace(event, facts=facts)
                records[i] = msgspec.structs.replace(record, event=event)

    return change_it


def test_a_purchase_while_its_lender_is_suspended_is_named(house: House) -> None:
    def suspend_at_once(records: list[Any]) -> None:
        for i, record in enumerate(records):
            event = record.event
            if isinstance(event, e.ReferenceReceived) and isinstance(
                event.facts[0], e.LenderResumed
            ):
                facts = (e.LenderSuspended("north"),)
                event = msgspec.structs.replace(event, facts=facts)
                records[i] = msgspec.structs.replace(record, event=event)

    differences = audited(house, shard=suspend_at_once).differences
    assert any("north, which is suspended" in text for text in differences)


def test_evidence_of_another_day_proves_nothing_about_a_cap(house: House) -> None:
    def later(records: list[Any]) -> None:
        """The refusal comes after the cut, the shard declines before it."""
        at = {type(record.event): i for i, record in enumerate(records)}
        cut, refused = at[e.DayCut], None
        for i, record in enumerate(records):
            event = record.event
            if isinstance(event, e.ReserveRefused) and event.shard == 0:
                refused = refused or i
        assert refused is not None
        records.insert(cut, records.pop(refused))

    differences = audited(house, settlement=later).differences
    assert any("another business day" in text for text in differences)
