"""The audit of caps by program, forced headroom and the shards' progress.

One small house lives with all of it and stands the audit; then one event is
changed at a time, and the audit must say so.
"""

from typing import Any

import pytest

from processor import commands as c
from processor import events as e
from processor import limits
from processor.declines import DeclineReason
from tests.unit.house_in_memory import House
from tests.unit.test_audit_lenders import (
    Change,
    Story,
    audited,
    change,
    decline,
    put,
)

REASON = DeclineReason.PROGRAM_CAP_EXCEEDED
POOL = "program/solo/north/4"


class Capped(Story):
    """100 is lent out when the cap comes; then it is lowered below that."""

    def lend(self) -> None:
        first = self.buy(100, capture=True)["authorization_id"]
        self.ask(c.SetProgramCap, "solo", "north", 150)
        assert (REASON, 10) == self.declined(60)
        self.buy(50)
        self.ask(c.SetProgramCap, "solo", "north", 120)
        assert (REASON, 31) == self.declined(1)
        self.ask(c.Refund, first, 40)
        self.buy(10)
        assert (REASON, 1) == self.declined(1)

    def declined(self, amount: int) -> tuple[str, int]:
        answer = self.buy(amount)
        return answer["reason"], answer["headroom_missing_minor"]

    def force(self) -> None:
        forced = self.ask(c.ForceCapture, "ada", "shop", 1_000, "GBP")
        assert 120 == forced["lender_advance_minor"]
        self.ask(c.Refund, forced["authorization_id"], 130)

    def move_funds(self) -> None:
        self.house.pass_time(limits.PROGRESS_MS_MAX)


@pytest.fixture(scope="module")
def house() -> House:
    return Capped().house


def test_what_the_machines_wrote_stands_the_audit(house: House) -> None:
    report = audited(house)
    assert [] == report.differences
    assert report.is_clean
    assert 2 == report.counts["ProgramCapCovered"]
    assert 0 < report.counts["ShardProgressed"]


def cut(free: int, sequence: int = 9) -> tuple[e.CutPoint, ...]:
    return (e.CutPoint(0, 1, sequence, 0, 0, free),)


def grant(pool_id: str, **fields: Any) -> Change:
    """Tamper with the first grant of a pool."""

    def change_it(records: list[Any]) -> None:
        of_pool = [x.event for x in records if isinstance(x.event, e.SliceGranted)]
        number = next(i for i, x in enumerate(of_pool) if x.pool_id == pool_id)
        change(e.SliceGranted, number, **fields)(records)

    return change_it


SETTLEMENT: list[tuple[str, Change]] = [
    ("asked for", change(e.ProgramCapSet, program_cap_minor=149)),
    ("with the pool", change(e.ProgramCapSet, 1, pool_id=POOL)),
    ("unknown", change(e.ProgramCapSet, program_id="duo")),
    ("more is lent out", change(e.ProgramCapCovered, cut=cut(-151))),
    ("has not asked every shard", change(e.ProgramCapCovered, cut=())),
    ("were (0, 0, -99)", change(e.ProgramCapCovered, cut=cut(-99))),
    ("did not know of", change(e.ProgramCapCovered, cut=cut(0, sequence=2))),
    ("should have leased", change(e.ProgramCapCovered, cut=cut(-99))),
    ("should have leased", grant(POOL, granted_minor=99)),
    ("which is not covered", put(e.ProgramCapCovered, e.ShardJoined(0, "0"))),
    ("not to be covered", change(e.ProgramCapCovered, 1, pool_id=POOL)),
    ("the shard's journal has not", change(e.ShardProgressed, -1, sequence=9_999)),
]
SHARD: list[tuple[str, Change]] = [
    ("is overspent", change(e.Authorized, 1, amount_minor=51, parts=(51,))),
    ("false decline", decline(REASON, missing_minor=70)),
    ("false decline", decline(REASON, refusal=2)),
    ("false decline", decline(REASON, lender_id="north", refusal=99)),
    ("is said to be forced", change(e.SliceReceived, forced_minor=9_999)),
    (
        "raised by force, settlement raised",
        change(e.SliceReceived, -1, forced_minor=121),
    ),
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
    differences = audited(house, shard=tamper).differences
    assert any(said in text for text in differences), differences
