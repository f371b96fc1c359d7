"""The audit is quiet about sound journals and names whatever is tampered with."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import limits
from processor.audit.books import Books
from processor.audit.certificates import want_cuts
from processor.audit.compare import compare_with_settlement, compare_with_state
from processor.audit.report import conclude
from processor.audit.requests import Requests
from processor.audit.settlement import SettlementAudit
from processor.audit.shard import ShardAudit
from processor.declines import DeclineReason
from processor.recovery import SettlementReplay, ShardReplay
from processor.state import AccountStatus
from tests.unit.journals_by_hand import (
    A1,
    A2,
    A3,
    ALICE,
    CAROL,
    DAY,
    FACTS,
    H1,
    H2,
    NEXT_DAY,
    SETTLEMENT,
    SHARD_0,
    SHARD_0_TOTALS,
    SHARD_1,
    Journals,
    audited,
    journals,
    rechained,
)

Tamper = Callable[[Journals], Any]


def change(name: str, sequence: int, /, **fields: Any) -> Tamper:
    """Change fields of the event of a record."""
    return lambda found: found[name].change(sequence, **fields)


def add(name: str, command: Any, event: Any) -> Tamper:
    """One more record at the end of a journal."""
    return lambda found: found[name].add(command, event)


def put(name: str, sequence: int, command: Any, event: Any) -> Tamper:
    """Another record in the place of one."""
    return lambda found: found[name].put(sequence, command, event)


def identify(name: str, **fields: Any) -> Tamper:
    """Change a journal's identity."""

    def tamper(found: Journals) -> None:
        script = found[name]
        script.identity = msgspec.structs.replace(script.identity, **fields)

    return tamper


def totals(**fields: Any) -> e.DayTotals:
    return msgspec.structs.replace(SHARD_0_TOTALS, **fields)


def cut_of(*points: e.CutPoint) -> tuple[e.CutPoint, ...]:
    return points


SOUTH = c.Share("south", 700_000)
RIGHT_0 = e.CutPoint(0, 1, 25, 20_000, 18_782, 0)
RIGHT_1 = e.CutPoint(1, 1, 4, 18_000, 0, 0)
RESERVE = DeclineReason.RESERVE_EXHAUSTED
STRICTER = msgspec.structs.replace(FACTS[2], capture_tolerance_ppm=10_000)
FREEZE_BEFORE = put(
    SHARD_0, 16, c.FreezeAccount("demo", "x", ALICE), e.AccountFrozen(ALICE)
)
UNWHOLE = (
    *FACTS[:2],
    msgspec.structs.replace(
        FACTS[2], shares=(c.Share("north", 300_000), c.Share("south", 600_000))
    ),
    *FACTS[3:],
)
FACT_AGAIN = e.ReferenceReceived(5, ())
PAID_TOO_LITTLE = (e.Allocation(A1, 340, (102, 237)),)
AUTHORIZE = c.Authorize("demo", "new", ALICE, "shop", 4_000, "GBP")


def test_sound_journals_have_no_differences() -> None:
    report = audited(journals())

    assert report.differences == []
    assert (0, 0, 0) == (
        report.overspend_minor,
        report.false_reserve_declines,
        report.trial_balance_minor,
    )
    assert report.is_clean


def test_the_report_says_where_every_lenders_money_is() -> None:
    report = audited(journals())

    south = report.lenders["south"]
    assert south.headroom_minor == 882
    assert south.authorized_minor == 18_000
    assert south.captured_minor - south.refunded_minor == 1_218
    assert 882 + 18_000 + 1_218 == south.deposit_minor + south.advance_line_minor
    assert list(report.days) == [DAY]
    assert report.days[DAY].merchants["shop"].captured_minor == 2_540
    assert report.counts["Declined reserve_exhausted"] == 2


def test_what_is_granted_and_not_received_is_in_flight_not_lost() -> None:
    found = journals()
    found[SETTLEMENT].add(None, e.SliceGranted(1, "north", 500, 1, 5))

    report = audited(found)

    assert report.differences == []
    assert report.lenders["north"].in_flight_minor == 500


def test_rows_of_many_records_are_as_sound_as_rows_of_one() -> None:
    found = journals()
    found[SHARD_0].rows = [16, 2, 9, 2]

    assert audited(found).differences == []


# (what the audit must say, how the journals are tampered with)
TAMPERED: tuple[tuple[str, Tamper], ...] = (
    # Purchases.
    ("its postings sum to", change(SHARD_0, 5, parts=(300, 702))),
    ("the parts of the amount sum to 1002", change(SHARD_0, 5, parts=(300, 702))),
    ("has a negative part", change(SHARD_0, 5, parts=(-1, 1_002))),
    ("has 1 parts for 2 lenders", change(SHARD_0, 5, parts=(1_001,))),
    ("its share is 300000 ppm", change(SHARD_0, 5, parts=(303, 698))),
    ("to buy, by its purchases", change(SHARD_0, 5, open_to_buy_minor=4_000)),
    ("was not made by this record", change(SHARD_0, 5, authorization_id=A2)),
    ("unknown account or program", change(SHARD_0, 5, program_version=2)),
    ("unknown account or program", change(SHARD_0, 5, account_id="nobody")),
    ("another program or currency", change(SHARD_0, 4, program_id="solo")),
    ("merchant nowhere is not known", change(SHARD_0, 5, merchant_id="nowhere")),
    (
        "of the limit was missing",
        lambda found: (
            change(SHARD_0, 4, limit_minor=1_000)(found),
            change(SHARD_0, 5, open_to_buy_minor=-1)(found),
        ),
    ),
    ("authorizes on account alice, frozen", FREEZE_BEFORE),
    ("holds on account alice, frozen", FREEZE_BEFORE),
    ("more than was authorized and open", change(SHARD_0, 7, parts=(331, 269))),
    (
        "more than was authorized and open",
        change(SHARD_0, 7, amount_minor=1_200, parts=(360, 840)),
    ),
    (
        "captures 40 above what was open; 10 is allowed",
        change(SHARD_0, 1, facts=(*FACTS[:2], STRICTER, *FACTS[3:])),
    ),
    ("captures extra while", change(SHARD_0, 8, amount_minor=99, parts=(30, 69))),
    (
        "nothing is open any more, but by lender",
        change(SHARD_0, 9, parts=(131, 308)),
    ),
    ("a final capture leaves 399 open", change(SHARD_0, 7, released_minor=101)),
    ("it expires and leaves 1 open", change(SHARD_0, 20, amount_minor=199)),
    ("it expires 500 ms early", change(SHARD_0, 19, expires_at_ms=20_500)),
    (
        f"authorization {A1} is over",
        add(SHARD_0, None, e.AuthorizationExpired(A1, 1, (0, 1))),
    ),
    (
        "authorization au_none does not exist",
        add(SHARD_0, None, e.AuthorizationExpired("au_none", 1, (0, 1))),
    ),
    ("credit where 100 was due", change(SHARD_0, 15, credit_used_minor=0)),
    ("the parts of the credit sum to", change(SHARD_0, 15, credit_parts=(30, 71))),
    # Holds.
    ("the hold", change(SHARD_0, 15, hold_taken_minor=1_499)),
    ("a final conversion leaves 1 held", change(SHARD_0, 15, hold_released_minor=699)),
    ("more than the hold had", change(SHARD_0, 15, hold_released_minor=701)),
    ("is not one of account alice", change(SHARD_0, 15, hold_id="ho_none")),
    (f"hold {H2} is over", add(SHARD_0, None, e.HoldExpired(H2, 1))),
    ("more than the hold had", change(SHARD_0, 18, amount_minor=101)),
    ("it expires and leaves 1 held", change(SHARD_0, 18, amount_minor=99)),
    ("it expires 1 ms early", change(SHARD_0, 17, expires_at_ms=18_001)),
    (f"record 19: hold {H1} is over", change(SHARD_0, 19, hold_id=H1)),
    # Refunds and repayments.
    ("1041 went back of 1040", change(SHARD_0, 11, amount_minor=1_041)),
    (
        "lender north got back 313 of 312",
        change(SHARD_0, 11, parts=(313, 487)),
    ),
    ("not in proportion", change(SHARD_0, 11, parts=(242, 558))),
    (
        "the whole went back as",
        change(SHARD_0, 11, amount_minor=1_040, parts=(311, 729)),
    ),
    ("lowers a debt of 700 by 699", change(SHARD_0, 11, principal_minor=699)),
    ("nothing is owed any more", change(SHARD_0, 10, allocations=PAID_TOO_LITTLE)),
    ("its postings sum to 1", change(SHARD_0, 11, credit_minor=99)),
    ("it names the day", change(SHARD_0, 11, purchase_day=NEXT_DAY)),
    ("its postings sum to -1", change(SHARD_0, 10, amount_minor=339)),
    ("its postings sum to -10", change(SHARD_0, 10, credit_minor=10)),
    ("10 of it is credit, it is 0", change(SHARD_0, 10, credit_minor=10)),
    (
        "more than is owed",
        change(SHARD_0, 10, allocations=(e.Allocation(A1, 2_000, (600, 1_400)),)),
    ),
    (
        "none of this account",
        change(SHARD_0, 10, allocations=(e.Allocation("au", 340, (102, 238)),)),
    ),
    (
        "authorization au_none does not exist",
        change(SHARD_0, 11, authorization_id="au_none"),
    ),
    ("account nobody does not exist", change(SHARD_0, 10, account_id="nobody")),
    (
        f"account {CAROL} is closed",
        add(SHARD_0, None, e.Repaid(CAROL, "rp_000001e", 5, (), 5, 105)),
    ),
    # Accounts.
    ("owes 1400, its objects sum to 0", change(SHARD_0, 19, authorization_id=A2)),
    ("account nobody does not exist", change(SHARD_0, 21, account_id="nobody")),
    ("account nobody does not exist", change(SHARD_0, 22, account_id="nobody")),
    ("hold ho_none does not exist", change(SHARD_0, 14, hold_id="ho_none")),
    (
        "record 7: it authorizes on account alice, frozen",
        lambda found: found[SHARD_0].records.insert(5, found[SHARD_0].records[21]),
    ),
    ("account alice is opened a second time", change(SHARD_0, 28, account_id=ALICE)),
    ("account bob-1 belongs to shard 1", change(SHARD_0, 28, account_id="bob-1")),
    ("closed while it is in use", change(SHARD_0, 29, account_id=ALICE)),
    ("to buy, by its purchases", change(SHARD_0, 21, limit_minor=6_001)),
    ("account alice is open, not frozen", put(SHARD_0, 22, None, FACT_AGAIN)),
    (
        f"account {CAROL} is closed",
        add(SHARD_0, None, e.LimitChanged(CAROL, 200, 200)),
    ),
    # Slices.
    ("lender east is not known", add(SHARD_0, None, e.SliceReturned("east", 9))),
    (
        "record 5: lender south is not known",
        change(SHARD_0, 1, facts=(FACTS[0], *FACTS[2:])),
    ),
    ("shares of program joint are not whole", change(SHARD_0, 1, facts=UNWHOLE)),
    ("the slice of lender north is overspent", change(SHARD_0, 2, received_minor=1)),
    (
        "the slice of lender north is overspent",
        change(SHARD_0, 24, returned_minor=9_479),
    ),
    ("was received of south falls", add(SHARD_0, None, e.SliceReceived("south", 9))),
    ("was returned of south falls", add(SHARD_0, None, e.SliceReturned("south", 9))),
    ("lender east is not known", add(SHARD_0, None, e.SliceReceived("east", 9))),
    ("facts have come", change(SHARD_0, 1, version=6)),
    # The day.
    (
        "authorized_count 4, by the records it is 3",
        change(SHARD_0, 27, totals=totals(authorized_count=4)),
    ),
    (
        "captured_minor of lender north 1, by",
        change(SHARD_0, 27, totals=totals(lenders={"north": e.LenderTotals(1)})),
    ),
    ("but the day is", change(SHARD_0, 27, day="2026-03-01")),
    ("back to 2026-03-01", change(SHARD_0, 27, next_day="2026-03-01")),
    # Requests.
    (
        "was done before",
        put(
            SHARD_0,
            22,
            c.FreezeAccount("demo", "a-1", ALICE),
            e.AccountFrozen(ALICE),
        ),
    ),
    ("nobody asked for AccountFrozen", put(SHARD_0, 22, None, e.AccountFrozen(ALICE))),
    (
        "FreezeAccount ended in AccountUnfrozen",
        put(
            SHARD_0,
            22,
            c.FreezeAccount("demo", "x", ALICE),
            e.AccountUnfrozen(ALICE),
        ),
    ),
    ("Repay asked for 340, got 341", change(SHARD_0, 10, amount_minor=341)),
    ("FreezeAccount asked for alice", change(SHARD_0, 22, account_id=CAROL)),
    # Declines.
    ("400 was missing, not 399", change(SHARD_0, 16, missing_minor=399)),
    (
        "although 500 was to spare",
        put(
            SHARD_0,
            16,
            c.Authorize("demo", "x", ALICE, "shop", 3_100, "GBP"),
            e.Declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, 1),
        ),
    ),
    (
        "what does not need any",
        put(
            SHARD_0,
            16,
            c.ReleaseHold("demo", "x", H1),
            e.Declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, 1),
        ),
    ),
    ("not behind it: 'east'", change(SHARD_0, 26, lender_id="east")),
    ("settlement has no refusal 2", change(SHARD_0, 26, refusal=2)),
    ("about another lender or shard", change(SHARD_0, 26, lender_id="north")),
    ("2015 cannot have been missing", change(SHARD_0, 26, missing_minor=2_015)),
    (
        "was used for another before",
        add(SHARD_0, AUTHORIZE, e.Declined(RESERVE, 2_018, "south", 1)),
    ),
    (
        "lender south had 2800, 2800 was needed",
        change(SETTLEMENT, 15, unleased_minor=2_800),
    ),
    ("lender south had", change(SETTLEMENT, 15, needed_minor=782)),
    (
        "certificate says 783 was unleased of south, it was 782",
        change(SETTLEMENT, 15, unleased_minor=783),
    ),
    (
        "were (20000, 18782, 1) at record 25, the journal says (20000, 18782, 0)",
        change(
            SETTLEMENT,
            15,
            cut=cut_of(msgspec.structs.replace(RIGHT_0, free_minor=1), RIGHT_1),
        ),
    ),
    ("has not asked every shard once", change(SETTLEMENT, 15, cut=cut_of(RIGHT_0))),
    (
        "record 30 is in no journal",
        change(
            SETTLEMENT,
            15,
            cut=cut_of(msgspec.structs.replace(RIGHT_0, sequence=30), RIGHT_1),
        ),
    ),
    (
        "is younger than the decline",
        change(
            SETTLEMENT,
            15,
            cut=cut_of(msgspec.structs.replace(RIGHT_0, sequence=26), RIGHT_1),
        ),
    ),
    (
        "is of a later epoch",
        change(
            SETTLEMENT,
            15,
            cut=cut_of(RIGHT_0, msgspec.structs.replace(RIGHT_1, epoch=0)),
        ),
    ),
    # Settlement's reserves and leases.
    ("lender south is overspent 1", change(SETTLEMENT, 11, granted_minor=20_001)),
    ("lender south is overspent", change(SETTLEMENT, 2, advance_line_minor=999)),
    ("its postings sum to 1", change(SETTLEMENT, 3, amount_minor=10_001)),
    ("its postings sum to", change(SETTLEMENT, 16, deposit_minor=9_521)),
    (
        "is credited more than it was granted",
        change(SETTLEMENT, 12, returned_minor=10_001),
    ),
    (
        "what is credited of south falls",
        add(SETTLEMENT, None, e.SliceCredited(0, "south", 5)),
    ),
    (
        "what is granted of south falls",
        add(SETTLEMENT, None, e.SliceGranted(0, "south", 5, 1, 1)),
    ),
    (
        "lender east is not registered",
        add(SETTLEMENT, None, e.SliceGranted(0, "east", 5, 1, 1)),
    ),
    ("never joined", change(SETTLEMENT, 9, shard=2)),
    ("shard 2 cannot join", change(SETTLEMENT, 9, shard=2)),
    ("it declines 9600 of 9522", change(SETTLEMENT, 17, missing_minor=77)),
    ("registered a second time", change(SETTLEMENT, 2, lender_id="north")),
    ("version 2 of joint after 0", change(SETTLEMENT, 5, version=2)),
    ("has an unfit lender", change(SETTLEMENT, 6, currency="EUR")),
    ("are not whole", change(SETTLEMENT, 6, shares=(c.Share("south", 999_999),))),
    (
        "breaks a floor or cap",
        change(SETTLEMENT, 5, shares=(c.Share("north", 300_000, 300_001), SOUTH)),
    ),
    ("breaks a floor or cap", change(SETTLEMENT, 5, cap_ppm=699_999)),
    (
        "DepositReserve asked for 10000, got 10001",
        change(SETTLEMENT, 3, amount_minor=10_001),
    ),
    (
        "declined for reserve what is no withdrawal",
        put(SETTLEMENT, 17, c.CloseDay("demo", "x", DAY), e.Declined(RESERVE, 1)),
    ),
    (
        "the deposit of north is negative",
        change(SETTLEMENT, 16, deposit_minor=-1, amount_minor=10_001),
    ),
    ("merchant shop is registered a second time", add(SETTLEMENT, None, FACTS[4])),
    ("refusal 2 follows 0", change(SETTLEMENT, 15, refusal=2)),
    # Settlement's days.
    ("is closed out of turn", change(SETTLEMENT, 21, day="2026-03-01")),
    ("is cut, the day is", change(SETTLEMENT, 18, day="2026-03-01")),
    ("reports 2026-03-02 out of turn", change(SETTLEMENT, 20, shard=0)),
    ("is closed with the reports of [0]", change(SETTLEMENT, 20, shard=0)),
    (
        "authorized_count 5, by the records it is 4",
        change(SETTLEMENT, 21, totals=totals(authorized_count=5)),
    ),
    (
        "is cut while 2026-03-02 is not closed",
        put(
            SETTLEMENT,
            21,
            c.CloseDay("demo", "x", NEXT_DAY),
            e.DayCut(NEXT_DAY, "2026-03-04"),
        ),
    ),
    # One journal against another.
    (
        "received 18000 of lender south, settlement granted 17999",
        change(SETTLEMENT, 14, granted_minor=17_999),
    ),
    (
        "credited 9479 of lender north to shard 0, which returned 9478",
        change(SETTLEMENT, 12, returned_minor=9_479),
    ),
    ("the shard's journal has not", change(SETTLEMENT, 14, shard_sequence=6)),
    ("the shard's journal has not", change(SETTLEMENT, 14, shard_epoch=0)),
    ("to end with record 26", change(SETTLEMENT, 19, sequence=26)),
    (
        "as reported to settlement: 2026-03-02 has repaid_count 2",
        change(SETTLEMENT, 19, totals=totals(repaid_count=2)),
    ),
    ("reference data is not settlement's", change(SETTLEMENT, 7, name="Shop")),
    ("is not the one that joined", change(SETTLEMENT, 8, journal_id="other")),
    ("is of another cluster", identify(SHARD_1, cluster_id="other")),
    ("there are journals of shards [0, 0]", identify(SHARD_1, number=0)),
)


@pytest.mark.parametrize(("said", "tamper"), TAMPERED)
def test_the_audit_names_what_was_tampered_with(said: str, tamper: Tamper) -> None:
    found = journals()
    tamper(found)

    report = audited(found)

    assert [text for text in report.differences if said in text], report.differences
    assert not report.is_clean


@pytest.mark.parametrize(
    "sequence", [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 19, 21]
)
def test_every_event_is_held_to_what_it_says_may_still_be_bought(sequence: int) -> None:
    found = journals()
    found[SHARD_0].change(sequence, open_to_buy_minor=77)

    text = "\n".join(audited(found).differences)

    assert f"record {sequence}: it leaves account alice 77 to buy" in text


@pytest.mark.parametrize(
    ("sequence", "field"),
    [
        (5, "authorization_id"),
        (7, "capture_id"),
        (10, "repayment_id"),
        (11, "refund_id"),
        (12, "hold_id"),
    ],
)
def test_every_made_id_is_held_to_its_record(sequence: int, field: str) -> None:
    found = journals()
    found[SHARD_0].change(sequence, **{field: "xx_00000999"})

    text = "\n".join(audited(found).differences)

    assert f"record {sequence}: the id xx_00000999 was not made" in text


@pytest.mark.parametrize(
    ("sequence", "limit_minor"), [(6, 1_050), (9, 710), (13, 2_100)]
)
def test_whatever_grows_must_fit_into_the_limit(
    sequence: int, limit_minor: int
) -> None:
    found = journals()
    shard = found[SHARD_0]
    for record in range(4, sequence + 1):
        event = shard.records[record - 1].event
        if hasattr(event, "open_to_buy_minor"):
            less = event.open_to_buy_minor - 5_000 + limit_minor
            shard.change(record, open_to_buy_minor=less)
    shard.change(4, limit_minor=limit_minor)

    said = f"shard 0, record {sequence}: approved although "

    assert [text for text in audited(found).differences if said in text]


def test_one_slice_at_a_time_the_books_must_agree_with_the_ledger() -> None:
    def books() -> Books:
        script = journals()[SHARD_0]
        model = ShardAudit(script.identity)
        for batch in script.batches():
            model.batch(batch)
        return model.books

    lost = books()
    lost.slices["north"].received_minor += 1
    lost.check_slices(["north"])
    unposted = books()
    unposted.ledger["lender_reserve:south"] += 1
    unposted.check_slices(["north", "south"])

    assert lost.differences == [
        "shard 0, record 29: the slice of lender north does not add up."
    ]
    assert unposted.differences == [
        "shard 0, record 29: the slice of lender south is not what is posted."
    ]


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("account alice owes 1400, its objects sum to 1400, posted is 1401", "loan"),
        ("account alice has 0 of credit, which is not", "borrower_credit"),
        ("the slice of lender north is not what is posted", "lender_authorized"),
        ("lender north: unleased 9000 + in flight 0", "lender_reserve"),
    ],
)
def test_at_the_end_the_ledger_must_agree_with_all_objects(
    said: str, name: str
) -> None:
    found = journals()
    settlement = SettlementAudit(found[SETTLEMENT].identity)
    shards = [ShardAudit(found[name].identity) for name in (SHARD_0, SHARD_1)]
    for batch in found[SETTLEMENT].batches():
        settlement.batch(batch)
    want_cuts(settlement, shards)
    for shard in shards:
        for batch in found[shard.books.journal].batches():
            shard.batch(batch)
    whose = "north" if name.startswith("lender") else ALICE
    shards[0].books.ledger[f"{name}:{whose}"] += 1

    text = "\n".join(conclude(settlement, shards).differences)

    assert said in text


def test_the_slices_are_checked_at_every_record() -> None:
    script = journals()[SHARD_0]
    model = ShardAudit(script.identity)
    for batch in script.batches():
        if batch.first_sequence == 7:
            model.books.slices["south"].received_minor += 1
        model.batch(batch)

    assert model.differences[0] == (
        "shard 0, record 7: the slice of lender south does not add up."
    )


def test_overspending_a_slice_is_counted_at_its_worst() -> None:
    found = journals()
    found[SHARD_1].change(3, received_minor=17_990)

    assert audited(found).overspend_minor == 10


def test_leasing_beyond_deposit_and_line_is_overspend() -> None:
    found = journals()
    found[SETTLEMENT].change(14, granted_minor=18_785)

    assert audited(found).overspend_minor == 3


def test_a_violated_certificate_is_a_false_decline() -> None:
    found = journals()
    found[SETTLEMENT].change(15, needed_minor=700)

    assert audited(found).false_reserve_declines == 1


def test_a_grant_that_was_on_its_way_counts_as_headroom() -> None:
    found = journals()
    cut = (RIGHT_0, msgspec.structs.replace(RIGHT_1, sequence=2, received_minor=0))
    found[SETTLEMENT].change(15, cut=cut)

    report = audited(found)

    assert "lender south had 18782, 2800 was needed" in "\n".join(report.differences)
    assert report.false_reserve_declines == 1


def test_a_decline_while_the_shard_itself_has_enough_is_false() -> None:
    found = journals()
    found[SHARD_0].change(25, returned_minor=15_000)

    report = audited(found)

    expected = "2018 cannot have been missing of lender south, which had 4564"
    assert expected in "\n".join(report.differences)
    assert report.false_reserve_declines == 1


def test_a_withdrawal_needs_a_certificate_too() -> None:
    found = journals()
    command = c.WithdrawReserve("demo", "w", "south", 18_000)
    declined = e.Declined(RESERVE, 17_218, "south", 2)
    found[SETTLEMENT].put(16, command, declined)
    assert audited(found).false_reserve_declines == 1

    refused = e.ReserveRefused(2, -1, 0, "south", 18_000, 782, (RIGHT_0, RIGHT_1))
    found[SETTLEMENT].put(16, None, refused)
    found[SETTLEMENT].put(17, command, declined)
    assert audited(found).differences == []


def test_an_event_that_does_not_balance_shows_in_the_trial_balance() -> None:
    found = journals()
    found[SHARD_0].change(11, credit_minor=99)

    assert audited(found).trial_balance_minor == 1


def test_a_request_id_may_come_again_once_it_is_forgotten() -> None:
    requests = Requests(keep_ms=1_000)
    first = c.FreezeAccount("demo", "again", ALICE)
    frozen = e.AccountFrozen(ALICE)
    assert requests.check(first, frozen, 500) == ""
    assert "was done before" in requests.check(first, frozen, 1_499)
    assert requests.check(first, frozen, 2_499) == ""
    requests.count += limits.REMEMBERED_REQUESTS_MAX

    assert requests.check(first, frozen, 2_500) == ""
    assert "was done before" in requests.check(first, frozen, 2_500)


# Rows.

ROWS: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("follows record 2", SHARD_0, 3, {"first_sequence": 4}),
    ("has no records", SHARD_0, 3, {"last_sequence": 1}),
    ("has 1 records where its sequences say 2", SHARD_0, 3, {"last_sequence": 4}),
    ("has epoch 1 after 2", SHARD_0, 2, {"epoch": 2}),
    ("is stamped 2026-03-03, but the day is 2026-03-02", SHARD_0, 4, {"day": NEXT_DAY}),
    ("is stamped 2026-03-02, but the day is 2026-03-03", SHARD_0, 28, {"day": DAY}),
    ("cannot be decoded", SHARD_0, 5, {"records": b"\x91\xc1"}),
    ("cannot be decoded", SETTLEMENT, 5, {"records": b"\x91\xc1"}),
    ("has 1 records where its sequences say 2", SETTLEMENT, 3, {"last_sequence": 4}),
)


@pytest.mark.parametrize(("said", "name", "row", "fields"), ROWS)
def test_the_audit_names_a_row_that_does_not_fit(
    said: str, name: str, row: int, fields: dict[str, Any]
) -> None:
    found = journals()
    rows = found[name].batches()
    rows[row - 1] = msgspec.structs.replace(rows[row - 1], **fields)

    rows = rechained(found[name].identity, rows)
    report = audited(found, {name: rows})

    assert [text for text in report.differences if said in text], report.differences


@pytest.mark.parametrize(
    "fields",
    [
        {"records": b"\x90"},
        {"at_ms": 1},
        {"chain": b"\0" * 16},
        {"epoch": 9},
    ],
)
def test_any_changed_byte_of_a_row_breaks_its_checksum(fields: dict[str, Any]) -> None:
    found = journals()
    for name, script in found.items():
        rows = script.batches()
        rows[2] = msgspec.structs.replace(rows[2], **fields)

        text = "\n".join(audited(found, {name: rows}).differences)

        assert f"{name}: the row of record 3 does not have the checksum" in text


@pytest.mark.parametrize(("name", "rows"), [(SHARD_0, [16, 2, 11]), (SETTLEMENT, [22])])
def test_nothing_follows_the_end_of_a_day_in_its_row(
    name: str, rows: list[int]
) -> None:
    found = journals()
    found[name].rows = rows

    text = "\n".join(audited(found).differences)

    assert "goes on after the record that ended 2026-03-02" in text


def test_a_day_ended_by_a_shard_alone_is_named() -> None:
    found = journals()
    found[SHARD_1].add(None, e.DayMoved(NEXT_DAY, "2026-03-04", e.DayTotals()))

    assert audited(found).differences == [
        "shard 1 ended 2026-03-03, which settlement has not cut."
    ]


# Beside the state.


def folded(name: str) -> tuple[ShardAudit, ShardReplay]:
    script = journals()[name]
    model, replay = ShardAudit(script.identity), ShardReplay(script.identity)
    for batch in script.batches():
        model.batch(batch)
        replay.replay(batch)
    return model, replay


@pytest.mark.parametrize("name", [SHARD_0, SHARD_1])
def test_the_audit_and_apply_come_to_the_same_state(name: str) -> None:
    model, replay = folded(name)

    assert compare_with_state(model, replay.state) == []


@pytest.mark.parametrize(
    ("said", "path", "field", "wrong"),
    [
        ("account alice has limit 6000 by the audit, 1 ", ALICE, "limit_minor", 1),
        ("account alice has held", ALICE, "held_minor", 1),
        ("account alice has authorized", ALICE, "authorized_minor", 1),
        ("account alice has outstanding", ALICE, "outstanding_minor", 1),
        ("account alice has credit", ALICE, "credit_minor", 1),
        ("account alice has status", ALICE, "status", AccountStatus.FROZEN),
        (f"authorization {A1} has captured", A1, "captured_minor", 1),
        (f"authorization {A2} has outstanding parts", A2, "outstanding_parts", (1, 2)),
        (f"authorization {A3} has open", A3, "given_back_minor", 1),
        (f"hold {H1} has held", H1, "held_minor", 1),
        ("the slice of north has free", "north", "free_minor", 1),
        ("the slice of south has refunded", "south", "refunded_minor", 1),
    ],
)
def test_a_state_that_differs_is_named(
    said: str, path: str, field: str, wrong: object
) -> None:
    model, replay = folded(SHARD_0)
    state = replay.state
    for objects in (state.accounts, state.authorizations, state.holds, state.slices):
        if path in objects:
            setattr(objects[path], field, wrong)

    text = "\n".join(compare_with_state(model, state))

    assert said in text


def test_a_state_that_has_lost_or_gained_something_is_named() -> None:
    model, replay = folded(SHARD_0)
    del replay.state.accounts[CAROL]
    replay.state.holds["ho_new"] = replay.state.holds[H1]
    replay.state.totals.declined_count = 7

    assert compare_with_state(model, replay.state) == [
        f"shard 0, audit and state: account {CAROL} is missing in the state.",
        "shard 0, audit and state: hold ho_new is in the state alone.",
        "shard 0, audit and state: the open day has declined_count 7, "
        "by the records it is 0.",
    ]


def test_settlements_audit_and_state_agree_or_are_told_apart() -> None:
    script = journals()[SETTLEMENT]
    model, replay = SettlementAudit(script.identity), SettlementReplay(script.identity)
    for batch in script.batches():
        model.batch(batch)
        replay.replay(batch)
    assert compare_with_settlement(model, replay.state) == []

    replay.state.lenders["south"].deposit_minor += 1
    replay.state.days[DAY].totals.repaid_count += 1

    assert compare_with_settlement(model, replay.state) == [
        "settlement, audit and state: lender south has deposit 19100 by the audit, "
        "19101 in the state.",
        "settlement, audit and state: 2026-03-02 has repaid_count 2, "
        "by the records it is 1.",
    ]
