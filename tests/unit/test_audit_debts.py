"""The audit of debts is quiet about a sound story and names what is tampered with."""

import pytest

from processor import events as e
from processor.terms import Side
from tests.unit.debt_story import EMIL, FRED, GINA, HUGO, place, story
from tests.unit.journals_by_hand import SHARD_0, audited
from tests.unit.tampering import (
    OF_DEBTS,
    P1,
    Tamper,
    ask_otherwise,
    at,
    change,
    edit,
    twice,
    without,
)


def test_a_sound_story_has_no_differences() -> None:
    report = audited(story())

    assert report.differences == []
    assert report.is_clean
    missing = {
        kind.__name__ for kind in OF_DEBTS if not report.counts.get(kind.__name__)
    }
    assert missing == set()


def test_the_story_is_what_was_worked_out_on_paper() -> None:
    """Emil bought 8000 and 2000 in four annuities of 519 at 1.5 %."""
    script = story()[SHARD_0]
    emil = [
        record.event
        for record in script.records
        if isinstance(record.event, e.StatementIssued)
        and record.event.account_id == EMIL
    ]
    first = emil[0]

    assert [8_000, 489] == [line.principal_minor for line in first.lines]
    assert [0, 30] == [line.interest_minor for line in first.lines]
    assert 8_519 == first.due_minor
    assert 879 == first.minimum_due_minor  # 30, and a tenth of 8489 rounded up.
    # He paid 2000, so what is left falls due with the next statement.
    assert 6_030 + 489 == emil[1].carried_minor
    assert 23 == emil[1].lines[0].interest_minor  # Of 496, 504 and 511.


# (what the audit must say, how the story is tampered with)
TAMPERED: tuple[tuple[str, Tamper], ...] = (
    # Schedules.
    (
        "its statement day or its due day is not in every month",
        change(e.AccountOpened, 1, due_day=31),
    ),
    (
        "its statement day or its due day is not in every month",
        change(e.AccountOpened, 1, statement_day=0),
    ),
    (
        "it takes out of a hold and names none",
        change(e.Authorized, 1, hold_taken_minor=5),
    ),
    ("there is no plan years", ask_otherwise(e.Authorized, 1, plan_id="years")),
    ("it bills what is not captured", change(e.Authorized, 7, bills_on=5)),
    (
        "it is billed on 2026-01-06, the statement day is 2026-01-05",
        change(e.Authorized, 3, bills_on=lambda on: on + 1),
    ),
    (
        "it is cut into lines without a plan",
        ask_otherwise(e.Authorized, 1, plan_id=""),
    ),
    (
        "line 1 is 3000 and fee 91 and interest 0, billed 2026-01-05, due 2026-01-20; "
        "by plan fees it is 3000 and fee 90",
        change(e.Authorized, 1, lines=at(0, fee_minor=91)),
    ),
    (
        "line 2 is 2001 and fee 0",
        change(e.Authorized, 2, lines=at(1, principal_minor=2_001)),
    ),
    (
        "its lines do not sum to the 6000 captured",
        change(e.Authorized, 2, lines=at(1, principal_minor=2_001)),
    ),
    (
        "line 3 is 3000 and fee 90 and interest 0, billed 2026-03-06",
        change(e.Authorized, 1, lines=at(2, bills_on=739_681)),
    ),
    (
        "line 4 is 512 and fee 0 and interest 0",
        change(e.Authorized, 5, lines=at(3, principal_minor=512)),
    ),
    ("plan even makes 3 lines, not 2", change(e.Authorized, 2, lines=without(0))),
    (
        "the merchant bears 91, by the plan it is 90",
        change(e.Authorized, 6, borne_minor=91),
    ),
    (
        "the parts of what is borne sum to 89, not to 90",
        change(e.Authorized, 6, borne_parts=(27, 62)),
    ),
    (
        "lender north has 29 of 90 charges ever split",
        change(e.Authorized, 6, borne_parts=(29, 61)),
    ),
    (
        "the lenders have parts of what no merchant bears",
        change(e.Authorized, 5, borne_parts=(1, -1)),
    ),
    ("line 1 is 133 and fee 5", change(e.Captured, 1, lines=at(0, fee_minor=5))),
    # What a payment pays.
    (
        "it pays au_none, none of this account",
        change(e.Repaid, 1, allocations=at(0, authorization_id="au_none")),
    ),
    (
        f"purchase {P1} has no line 4",
        change(e.Repaid, 1, allocations=at(0, line=4)),
    ),
    (
        f"purchase {P1} has no line 0",
        change(e.Repaid, 1, allocations=at(0, line=0)),
    ),
    (
        f"it pays line 1 of {P1} twice",
        change(e.Repaid, 1, allocations=twice),
    ),
    (
        f"line 1 of {P1} gets 89 fee, 3001 principal; by the program's order it is "
        "90 fee, 3000 principal",
        change(
            e.Repaid,
            1,
            allocations=at(
                0,
                fee_minor=89,
                amount_minor=3_001,
                parts=(900, 2_101),
                charge_parts=(27, 62),
            ),
        ),
    ),
    (
        "line 2 of au_5af00d gets nothing; by the program's order it is",
        ask_otherwise(e.Repaid, 1, authorization_id="au_5af00d"),
    ),
    (
        "the parts of charges sum to 91, not to 90",
        change(e.Repaid, 1, allocations=at(0, charge_parts=(28, 63))),
    ),
    (
        "charges has 1 parts for 2 lenders",
        change(e.Repaid, 1, allocations=at(0, charge_parts=(90,))),
    ),
    (
        "lender north has 56 of 180 charges ever split",
        change(e.Repaid, 1, allocations=at(0, charge_parts=(29, 61))),
    ),
    (
        f"what is paid of {P1} goes to the lenders as [902, 2098]",
        change(e.Repaid, 1, allocations=at(0, parts=(902, 2_098))),
    ),
    (
        f"it pays 91 fee of line 1 of {P1}, 90 was unpaid",
        change(e.Repaid, 1, allocations=at(0, fee_minor=91, charge_parts=(27, 64))),
    ),
    (
        f"it pays charges of {P1} before the bill",
        change(e.Repaid, 1, allocations=at(0, line=2)),
    ),
    ("1 of it is credit, it is 0", change(e.Repaid, 2, credit_minor=1)),
    (
        "it is booked as provisional, not as final",
        ask_otherwise(e.Repaid, 1, provisional=False),
    ),
    # What a return undoes.
    ("it undoes 1 of 2 allocations", change(e.RepaymentReturned, 1, undone=without(0))),
    (
        f"of {P1} it opens 70 fee, 2334 principal again; what is still paid of it is "
        "70 fee, 2333 principal",
        change(
            e.RepaymentReturned,
            1,
            undone=at(0, amount_minor=2_334, parts=(700, 1_634), credit_minor=686),
        ),
    ),
    (
        f"of {P1} it opens 71 fee",
        change(
            e.RepaymentReturned,
            1,
            undone=at(0, fee_minor=71, charge_parts=(22, 49), credit_minor=686),
        ),
    ),
    (
        f"it takes 686 off the credit for {P1}",
        change(e.RepaymentReturned, 1, undone=at(0, credit_minor=686)),
    ),
    (
        "what is undone goes to the lenders as [698, 1635]",
        change(e.RepaymentReturned, 1, undone=at(0, parts=(698, 1_635))),
    ),
    (
        "the parts of what is undone sum to 2334, not to 2333",
        change(e.RepaymentReturned, 1, undone=at(0, parts=(700, 1_634))),
    ),
    (
        "what is undone of fees goes to the lenders as [22, 48]",
        change(e.RepaymentReturned, 1, undone=at(0, charge_parts=(22, 48))),
    ),
    (
        "the parts of undone charges sum to 69, not to 70",
        change(e.RepaymentReturned, 1, undone=at(0, charge_parts=(21, 48))),
    ),
    (
        "it undoes 5001 of 5000",
        change(e.RepaymentReturned, 1, amount_minor=5_001),
    ),
    (
        "688 comes off the credit, not 687",
        change(e.RepaymentReturned, 1, credit_minor=688),
    ),
    (
        "there is no repayment rp_none",
        change(e.RepaymentReturned, 1, repayment_id="rp_none"),
    ),
    (
        "is one of account dora-1",
        change(e.RepaymentReturned, 1, account_id=HUGO),
    ),
    (
        "is final already",
        change(e.Repaid, 1, provisional=False),
    ),
    ("there is no repayment wo", change(e.RepaymentFinal, 1, repayment_id="wo")),
    # Credit.
    (
        "it leaves a credit of 501, it is 500",
        change(e.CreditPaidOut, 1, credit_minor=501),
    ),
    (
        "credit is paid out, 2135 is given up",
        change(e.CreditPaidOut, 2, account_id=FRED),
    ),
    # Refunds.
    (
        "it has parts for other lines than the 3 there are",
        change(e.Refunded, 1, fee_credits=(20, 0)),
    ),
    (
        "it has parts for other lines than the 3 there are",
        change(e.Refunded, 1, line_parts=()),
    ),
    (
        "the fees of its lines: [21, 20, 20], it is [20, 20, 20]",
        change(e.Refunded, 1, fee_parts=(21, 20, 20)),
    ),
    (
        "the credit by line of its lines: [666, 0, 0], it is [667, 0, 0]",
        change(e.Refunded, 1, line_credits=(666, 0, 0)),
    ),
    (
        "its lines' credit sums to 666",
        change(e.Refunded, 1, line_credits=(666, 0, 0)),
    ),
    (
        "the credit of fees of its lines: [19, 0, 0], it is [20, 0, 0]",
        change(e.Refunded, 1, fee_credits=(19, 0, 0), fee_credit_parts=(6, 13)),
    ),
    (
        "its lines' parts are [667, 667, 667]",
        change(e.Refunded, 1, line_parts=(667, 667, 667)),
    ),
    (
        "back of the lines went [668, 667, 665], not in proportion [3000, 3000, 3000]",
        change(e.Refunded, 1, line_parts=(668, 667, 665)),
    ),
    (
        "the parts of the fees back sum to 21, not to 20",
        change(e.Refunded, 1, fee_credit_parts=(7, 14)),
    ),
    (
        "the fees back come from the lenders as [8, 12], not in proportion [27, 63]",
        change(e.Refunded, 1, fee_credit_parts=(8, 12)),
    ),
    (
        "the merchant has 31 back, it is 30",
        change(e.Refunded, 2, borne_minor=31),
    ),
    (
        "back of what was borne went [28, 2], it was [27, 63]",
        change(e.Refunded, 2, borne_parts=(28, 2)),
    ),
    (
        "the principal goes to the lenders as [402, 931]",
        change(e.Refunded, 1, principal_parts=(402, 931)),
    ),
)


@pytest.mark.parametrize(("said", "tamper"), TAMPERED)
def test_the_audit_names_what_was_tampered_with(said: str, tamper: Tamper) -> None:
    found = story()
    tamper(found)

    report = audited(found)

    assert [text for text in report.differences if said in text], report.differences
    assert not report.is_clean


SAYS_OPEN_TO_BUY = (
    e.Repaid,
    e.RepaymentReturned,
    e.CreditPaidOut,
    e.SettledEarly,
    e.WrittenOff,
    e.WriteOffReversed,
    e.ClaimPaid,
    e.ClaimReversed,
    e.AdjustmentApproved,
    e.Refunded,
)


@pytest.mark.parametrize("kind", SAYS_OPEN_TO_BUY)
def test_every_event_is_held_to_what_it_says_may_still_be_bought(
    kind: type[e.Event],
) -> None:
    found = story()
    change(kind, 1, open_to_buy_minor=77)(found)

    text = "\n".join(audited(found).differences)

    sequence = place(found[SHARD_0], kind)
    assert f"record {sequence}: it leaves account" in text


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (e.Repaid, "repayment_id"),
        (e.SettledEarly, "repayment_id"),
        (e.WrittenOff, "write_off_id"),
        (e.RecoveryRecorded, "recovery_id"),
        (e.ClaimPaid, "claim_id"),
        (e.AdjustmentProposed, "adjustment_id"),
    ],
)
def test_every_made_id_is_held_to_its_record(kind: type[e.Event], field: str) -> None:
    found = story()
    change(kind, 1, **{field: "xx_00000999"})(found)

    text = "\n".join(audited(found).differences)

    assert "the id xx_00000999 was not made by this record" in text


@pytest.mark.parametrize(
    "kind",
    [
        e.Repaid,
        e.CreditPaidOut,
        e.SettledEarly,
        e.ChargesWaived,
        e.PlanExtended,
        e.WrittenOff,
        e.RecoveryRecorded,
        e.ClaimPaid,
        e.AdjustmentProposed,
        e.StatementIssued,
        e.PenaltyCharged,
        e.DueMoved,
    ],
)
def test_nothing_happens_to_an_account_that_does_not_exist(
    kind: type[e.Event],
) -> None:
    found = story()
    change(kind, 1, account_id="nobody")(found)

    assert "account nobody does not exist" in "\n".join(audited(found).differences)


GONE = (
    e.Repaid(GINA, "rp_00000054", 5, (), 5, 50_005),
    e.SettledEarly(GINA, "rp_00000054", 0, 0, (), (), 50_000),
    e.RecoveryRecorded(GINA, "rc_00000054", 0, ()),
    e.ClaimPaid(GINA, "cl_00000054", "insurer", 0, (), 50_000),
    e.AdjustmentProposed("aj_00000054", GINA, Side.CREDIT, 5, ""),
)


@pytest.mark.parametrize("event", GONE, ids=lambda event: type(event).__name__)
def test_no_money_reaches_a_closed_account(event: e.Event) -> None:
    found = story()
    found[SHARD_0].add(None, event)

    text = "\n".join(audited(found).differences)

    assert "account gina is closed, nothing may happen to it" in text


@pytest.mark.parametrize(
    ("field", "lender"),
    [
        ("claim_repaid_minor", "north"),
        ("charges_minor", "north"),
        ("written_off_minor", "south"),
        ("recovered_minor", "south"),
    ],
)
@pytest.mark.parametrize("nth", range(1, 6))
def test_every_day_is_held_to_what_it_counts_of_debts(
    field: str, lender: str, nth: int
) -> None:
    found = story()

    def one_more(totals: e.DayTotals) -> e.DayTotals:
        parts = dict(totals.lenders)
        old = parts.get(lender, e.LenderTotals())
        parts[lender] = edit(old, **{field: getattr(old, field) + 1})
        return edit(totals, lenders=parts)

    change(e.DayMoved, nth, totals=one_more)(found)

    assert f"have {field} of lender {lender}" in "\n".join(audited(found).differences)


@pytest.mark.parametrize("field", ["returned_minor", "returned_count"])
def test_a_day_counts_what_was_returned(field: str) -> None:
    found = story()
    change(e.DayMoved, 2, totals=lambda old: edit(old, **{field: 1}))(found)

    assert f"have {field} 1, by the" in "\n".join(audited(found).differences)


def test_a_day_counts_what_merchants_bear() -> None:
    found = story()
    shop = {"shop": e.MerchantTotals(32_700, 9, borne_minor=91)}
    change(e.DayMoved, 1, totals=lambda old: edit(old, merchants=shop))(found)

    assert "have borne_minor of merchant shop 91, by the records it is 90" in "\n".join(
        audited(found).differences
    )
