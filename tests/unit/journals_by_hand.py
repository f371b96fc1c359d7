"""One small cluster's journals, written by hand, record by record.

Two lenders, a joint program of 30/70 and one of the southern lender alone,
two shards, one day that closes and a bit of the next.  Every figure is worked
out on paper, none by the processor.
"""

from collections.abc import Callable
from datetime import date
from typing import Any
from unittest.mock import patch

import msgspec

from processor import commands as c
from processor import events as e
from processor import limits
from processor.audit.report import AuditReport, audit
from processor.declines import DeclineReason
from processor.ids import IdKind, make_id, slot_of_account
from processor.journal import Batch, Identity, chain_of, chain_start
from processor.records import RECORDS_ENCODER, SettlementRecord, ShardRecord
from processor.scratch import MemoryScratch
from processor.terms import MerchantTerms, PartyShare, Subsidy

DAY, NEXT_DAY = "2026-03-02", "2026-03-03"
BILLS_ON = date(2026, 4, 1).toordinal()  # The first statement day to come.
ALICE, CAROL, BOB = "alice", "carol-4", "bob-1"  # Shards 0, 0 and 1.
SETTLEMENT, SHARD_0, SHARD_1 = "settlement", "shard 0", "shard 1"

Record = ShardRecord | SettlementRecord
Journals = dict[str, "Script"]


class Script(msgspec.Struct):
    """A journal to be: one record a row, unless `rows` groups the first ones."""

    identity: Identity
    records: list[Any]
    rows: list[int] | None = None  # How many records in each row.

    def change(self, sequence: int, /, **fields: Any) -> None:
        """Tamper with the event of a record."""
        record = self.records[sequence - 1]
        event = msgspec.structs.replace(record.event, **fields)
        self.records[sequence - 1] = type(record)(record.command, event)

    def put(self, sequence: int, command: Any, event: Any) -> None:
        """Put another record in the place of one."""
        self.records[sequence - 1] = type(self.records[sequence - 1])(command, event)

    def add(self, command: Any, event: Any) -> None:
        """One more record at the end."""
        self.records.append(type(self.records[0])(command, event))

    def batches(self) -> list[Batch]:
        """The rows, dense and chained, in epoch 1."""
        chain = chain_start(self.identity)
        day, first, found = self.identity.first_day, 1, []
        sizes = self.rows or []
        for size in sizes + [1] * (len(self.records) - sum(sizes)):
            records = self.records[first - 1 : first - 1 + size]
            last = first + size - 1
            body = RECORDS_ENCODER.encode(records)
            chain = chain_of(chain, first, last, 1, day, last * 1_000, body)
            found.append(Batch(first, last, 1, day, last * 1_000, body, chain))
            for record in records:
                if isinstance(record.event, e.DayMoved | e.DayCut):
                    day = record.event.next_day
            first = last + 1
        return found


def rechained(identity: Identity, batches: list[Batch]) -> list[Batch]:
    """The same rows with checksums that fit, whatever was changed in them."""
    chain, found = chain_start(identity), []
    for row in batches:
        chain = chain_of(
            chain,
            row.first_sequence,
            row.last_sequence,
            row.epoch,
            row.day,
            row.at_ms,
            row.records,
        )
        found.append(msgspec.structs.replace(row, chain=chain))
    return found


def audited(
    journals: Journals, rows: dict[str, list[Batch]] | None = None
) -> AuditReport:
    """The report on journals, or on rows put in their place.

    It is the same when what is done leaves the audit's memory.
    """
    found = {name: script.batches() for name, script in journals.items()}
    found.update(rows or {})
    settlement = journals[SETTLEMENT].identity, found[SETTLEMENT]
    shards = [(journals[name].identity, found[name]) for name in (SHARD_0, SHARD_1)]
    report = audit(settlement, shards)
    with patch.object(limits, "AUDIT_OBJECTS_IN_MEMORY_MIN", 0):
        assert report == audit(settlement, shards, MemoryScratch())
    return report


def identity(kind: str, number: int) -> Identity:
    return Identity("cluster", kind, number, 2, f"{kind}-{number}", DAY)


def made(kind: IdKind, account_id: str, shard: int, sequence: int) -> str:
    return make_id(kind, slot_of_account(account_id), shard, sequence)


A1 = made(IdKind.AUTHORIZATION, ALICE, 0, 5)
A2 = made(IdKind.AUTHORIZATION, ALICE, 0, 15)
A3 = made(IdKind.AUTHORIZATION, ALICE, 0, 19)
H1 = made(IdKind.HOLD, ALICE, 0, 12)
H2 = made(IdKind.HOLD, ALICE, 0, 17)
B1 = made(IdKind.AUTHORIZATION, BOB, 1, 4)

TERMS = MerchantTerms(
    fee_ppm=20_000,
    fee_cap_minor=25,
    fee_shares=(PartyShare("platform", 600_000), PartyShare("bank", 400_000)),
    subsidies=(Subsidy("brand", 5_000),),
)


def charge(fee: tuple[int, int], subsidy: int) -> e.MerchantCharge:
    """A fee of the platform's and the bank's part, and what the brand adds."""
    names = ("platform", "bank")
    return e.MerchantCharge(sum(fee), names, fee, subsidy, ("brand",), (subsidy,))


FACTS: tuple[e.ReferenceFact, ...] = (
    e.LenderRegistered("north", "GBP", "", 0),
    e.LenderRegistered("south", "GBP", "", 1_000),
    e.ProgramRegistered(
        "joint",
        1,
        "GBP",
        (c.Share("north", 300_000), c.Share("south", 700_000)),
        3_600,
        3_600,
        100_000,
    ),
    e.ProgramRegistered("solo", 1, "GBP", (c.Share("south", 1_000_000),), 60, 60, 0),
    e.MerchantRegistered("shop", "", TERMS),
)

CAPTURED = e.Captured(
    A1,
    made(IdKind.CAPTURE, ALICE, 0, 7),
    600,
    (180, 420),
    0,
    (0, 0),
    0,
    (0, 0),
    0,
    (),
    3_900,
    charge((7, 5), 3),
    BILLS_ON,
)
CAPTURED_ABOVE = e.Captured(
    A1,
    made(IdKind.CAPTURE, ALICE, 0, 9),
    440,
    (132, 308),
    40,
    (12, 28),
    0,
    (0, 0),
    0,
    (),
    3_960,
    charge((6, 3), 2),
    BILLS_ON,
)
SHARD_0_TOTALS = e.DayTotals(
    {
        "north": e.LenderTotals(762, 240, 132, 210),
        "south": e.LenderTotals(1_778, 560, 308, 490),
    },
    {"shop": e.MerchantTotals(2_540, 3, 800, 1, 46, 16, 12, 3, {"GBP": 1_719})},
    authorized_count=3,
    declined_count=2,
    repaid_minor=340,
    repaid_count=1,
    parties={
        "platform": {"GBP": e.PartyTotals(28, 10)},
        "bank": {"GBP": e.PartyTotals(18, 6)},
    },
    payers={"brand": {"GBP": e.PayerTotals(12, 3)}},
)
SHARD_1_TOTALS = e.DayTotals(authorized_count=1)
ALL_TOTALS = msgspec.structs.replace(SHARD_0_TOTALS, authorized_count=4)


def journals() -> Journals:
    """A fresh copy of all three, without a flaw."""
    return {
        SETTLEMENT: Script(identity("settlement", 0), _settlement()),
        SHARD_0: Script(identity("shard", 0), _shard_0()),
        SHARD_1: Script(identity("shard", 1), _shard_1()),
    }


class Asking:
    """Commands with request ids that count up."""

    def __init__(self, prefix: str) -> None:
        self._prefix, self._count = prefix, 0

    def __call__(self, command: Callable[..., Any], *fields: Any) -> Any:
        self._count += 1
        return command("demo", f"{self._prefix}-{self._count}", *fields)


def _shard_0() -> list[ShardRecord]:
    ask = Asking("a")
    facts: list[tuple[Any, Any]] = [
        (None, e.ReferenceReceived(5, FACTS)),
        (None, e.SliceReceived("north", 10_000)),
        (None, e.SliceReceived("south", 20_000)),
        (
            ask(c.OpenAccount, ALICE, "joint", "GBP", 5_000),
            e.AccountOpened(ALICE, "joint", "GBP", 5_000),
        ),
        *_purchases(ask),
        *_holds(ask),
        (
            ask(c.ChangeLimit, ALICE, 6_000),
            e.LimitChanged(ALICE, 6_000, 4_600),
        ),
        (ask(c.FreezeAccount, ALICE), e.AccountFrozen(ALICE)),
        (ask(c.UnfreezeAccount, ALICE), e.AccountUnfrozen(ALICE)),
        (None, e.SliceReturned("north", 9_478)),
        (None, e.SliceReturned("south", 18_782)),
        (
            ask(c.Authorize, ALICE, "shop", 4_000, "GBP"),
            e.Declined(DeclineReason.RESERVE_EXHAUSTED, 2_018, "south", 1),
        ),
        (None, e.DayMoved(DAY, NEXT_DAY, SHARD_0_TOTALS)),
        (
            ask(c.OpenAccount, CAROL, "joint", "GBP", 100),
            e.AccountOpened(CAROL, "joint", "GBP", 100),
        ),
        (ask(c.CloseAccount, CAROL), e.AccountClosed(CAROL)),
    ]
    return [ShardRecord(command, event) for command, event in facts]


def _purchases(ask: Asking) -> list[tuple[Any, Any]]:
    """Records 5 to 11: 1100 authorized, 1040 captured, 340 repaid, 800 refunded."""
    authorized = e.Authorized(
        A1, ALICE, "shop", "joint", 1, 1_001, (300, 701), 3_600_000, 3_999
    )
    repaid = e.Repaid(
        ALICE,
        made(IdKind.REPAYMENT, ALICE, 0, 10),
        340,
        (e.Allocation(A1, 340, (102, 238)),),
        0,
        4_300,
    )
    refunded = e.Refunded(
        A1,
        made(IdKind.REFUND, ALICE, 0, 11),
        800,
        (240, 560),
        700,
        (210, 490),
        100,
        DAY,
        5_100,
        charge((10, 6), 3),
    )
    return [
        (ask(c.Authorize, ALICE, "shop", 1_001, "GBP"), authorized),
        (
            ask(c.IncrementAuthorization, A1, 99),
            e.AuthorizationIncremented(A1, 99, (30, 69), 3_900),
        ),
        (ask(c.CaptureAuthorization, A1, 600), CAPTURED),
        (
            ask(c.ReverseAuthorization, A1, 100),
            e.AuthorizationReversed(A1, 100, (30, 70), 4_000),
        ),
        (ask(c.CaptureAuthorization, A1, 440), CAPTURED_ABOVE),
        (ask(c.Repay, ALICE, 340, "GBP"), repaid),
        (ask(c.Refund, A1, 800), refunded),
    ]


def _holds(ask: Asking) -> list[tuple[Any, Any]]:
    """Records 12 to 20: a hold that is converted, one and a purchase that expire."""
    converted = e.Authorized(
        A2,
        ALICE,
        "shop",
        "joint",
        1,
        1_500,
        (450, 1_050),
        3_600_000,
        3_600,
        True,
        100,
        (30, 70),
        H1,
        1_500,
        700,
        charge((15, 10), 7),
        BILLS_ON,
    )
    authorized = e.Authorized(
        A3, ALICE, "shop", "joint", 1, 200, (60, 140), 19_500, 3_400
    )
    return [
        (
            ask(c.PlaceHold, ALICE, 2_000, "GBP"),
            e.HoldPlaced(H1, ALICE, 2_000, 3_600_000, 3_100),
        ),
        (ask(c.IncreaseHold, H1, 500), e.HoldIncreased(H1, 500, 2_600)),
        (ask(c.ReleaseHold, H1, 300), e.HoldReleased(H1, 300, 2_900)),
        (ask(c.ConvertHold, H1, "shop", 1_500, True, True), converted),
        (
            ask(c.Authorize, ALICE, "shop", 4_000, "GBP"),
            e.Declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, 400),
        ),
        (
            ask(c.PlaceHold, ALICE, 100, "GBP"),
            e.HoldPlaced(H2, ALICE, 100, 17_500, 3_500),
        ),
        (None, e.HoldExpired(H2, 100)),
        (ask(c.Authorize, ALICE, "shop", 200, "GBP"), authorized),
        (None, e.AuthorizationExpired(A3, 200, (60, 140))),
    ]


def _shard_1() -> list[ShardRecord]:
    ask = Asking("b")
    authorized = e.Authorized(
        B1, BOB, "shop", "solo", 1, 18_000, (18_000,), 3_600_000, 2_000
    )
    return [
        ShardRecord(None, e.ReferenceReceived(5, FACTS)),
        ShardRecord(
            ask(c.OpenAccount, BOB, "solo", "GBP", 20_000),
            e.AccountOpened(BOB, "solo", "GBP", 20_000),
        ),
        ShardRecord(None, e.SliceReceived("south", 18_000)),
        ShardRecord(ask(c.Authorize, BOB, "shop", 18_000, "GBP"), authorized),
        ShardRecord(None, e.DayMoved(DAY, NEXT_DAY, SHARD_1_TOTALS)),
    ]


def _settlement() -> list[SettlementRecord]:
    ask = Asking("s")
    shares = (c.Share("north", 300_000), c.Share("south", 700_000))
    solo = (c.Share("south", 1_000_000),)
    cut = (
        e.CutPoint(0, 1, 25, 20_000, 18_782, 0),
        e.CutPoint(1, 1, 4, 18_000, 0, 0),
    )
    facts: list[tuple[Any, Any]] = [
        (ask(c.RegisterLender, "north", "GBP"), FACTS[0]),
        (ask(c.RegisterLender, "south", "GBP", "", 1_000), FACTS[1]),
        (
            ask(c.DepositReserve, "north", 10_000),
            e.ReserveDeposited("north", 10_000, 10_000),
        ),
        (
            ask(c.DepositReserve, "south", 19_000),
            e.ReserveDeposited("south", 19_000, 19_000),
        ),
        (
            ask(c.RegisterProgram, "joint", "GBP", shares, 3_600, 3_600, 100_000),
            FACTS[2],
        ),
        (ask(c.RegisterProgram, "solo", "GBP", solo, 60, 60, 0), FACTS[3]),
        (ask(c.RegisterMerchant, "shop", "", TERMS), FACTS[4]),
        (None, e.ShardJoined(0, "shard-0")),
        (None, e.ShardJoined(1, "shard-1")),
        (None, e.SliceGranted(0, "north", 10_000, 1, 1)),
        (None, e.SliceGranted(0, "south", 20_000, 1, 1)),
        (None, e.SliceCredited(0, "north", 9_478)),
        (None, e.SliceCredited(0, "south", 18_782)),
        (None, e.SliceGranted(1, "south", 18_000, 1, 2)),
        (None, e.ReserveRefused(1, 0, 1, "south", 2_800, 782, cut)),
        (
            ask(c.WithdrawReserve, "north", 478),
            e.ReserveWithdrawn("north", 478, 9_522),
        ),
        (
            ask(c.WithdrawReserve, "north", 9_600),
            e.Declined(DeclineReason.RESERVE_EXHAUSTED, 78),
        ),
        (ask(c.CloseDay, DAY), e.DayCut(DAY, NEXT_DAY)),
        (None, e.ShardDayReported(DAY, 0, 27, SHARD_0_TOTALS)),
        (None, e.ShardDayReported(DAY, 1, 5, SHARD_1_TOTALS)),
        (None, e.DayClosed(DAY, ALL_TOTALS)),
        (
            ask(c.DepositReserve, "south", 100),
            e.ReserveDeposited("south", 100, 19_100),
        ),
    ]
    return [SettlementRecord(command, event) for command, event in facts]
