"""The audit of debts is quiet about a sound story and names what is tampered with."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from processor import events as e
from processor import limits
from processor.audit.balances import check_accounts, check_lenders, check_programs
from processor.audit.shard import ShardAudit
from processor.terms import Side, Waivable
from tests.unit.debt_story import DORA, EMIL, FRED, GINA, HUGO, place, story
from tests.unit.journals_by_hand import SHARD_0, Journals, audited

OF_DEBTS = (
    e.RepaymentFinal,
    e.RepaymentReturned,
    e.CreditUsed,
    e.CreditPaidOut,
    e.StatementIssued,
    e.PenaltyCharged,
    e.DueMoved,
    e.ChargesWaived,
    e.PlanExtended,
    e.SettledEarly,
    e.WrittenOff,
    e.WriteOffReversed,
    e.RecoveryRecorded,
    e.RecoveryReversed,
    e.ClaimPaid,
    e.ClaimReversed,
    e.AdjustmentProposed,
    e.AdjustmentApproved,
    e.AdjustmentRejected,
)

Tamper = Callable[[Journals], Any]
edit = msgspec.structs.replace


def change(kind: type[e.Event], nth: int, /, **fields: Any) -> Tamper:
    """Change fields of the nth event of a kind; a function makes new of old."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        sequence = place(script, kind, nth)
        event = script.records[sequence - 1].event
        new = {
            name: value(getattr(event, name)) if callable(value) else value
            for name, value in fields.items()
        }
        script.change(sequence, **new)

    return tamper


def ask_otherwise(kind: type[e.Event], nth: int, /, **fields: Any) -> Tamper:
    """Change the command of the nth event of a kind."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        sequence = place(script, kind, nth)
        record = script.records[sequence - 1]
        script.put(sequence, edit(record.command, **fields), record.event)

    return tamper


def lose(kind: type[e.Event], nth: int = 1) -> Tamper:
    """Put what says nothing in the place of an event."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        sequence = place(script, kind, nth)
        seen = [r.event for r in script.records[:sequence]]
        facts = [x for x in seen if isinstance(x, e.ReferenceReceived)]
        script.put(sequence, None, e.ReferenceReceived(facts[-1].version, ()))

    return tamper


def at(index: int, **fields: Any) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Change one of several parts of an event."""

    def made(parts: tuple[Any, ...]) -> tuple[Any, ...]:
        found = list(parts)
        found[index] = edit(found[index], **fields)
        return tuple(found)

    return made


def without(index: int) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return lambda parts: parts[:index] + parts[index + 1 :]


def twice(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*parts, parts[0])


def recut(**fields: Any) -> Callable[[e.Recut], e.Recut]:
    """Change the first line of a recut."""
    return lambda old: edit(old, lines=at(0, **fields)(old.lines))


def terms_of(**fields: Any) -> Tamper:
    """Other terms of the program than the processor had."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        for sequence, record in enumerate(script.records, 1):
            if not isinstance(record.event, e.ReferenceReceived):
                continue
            facts = [
                edit(fact, terms=edit(fact.terms, **fields))
                if isinstance(fact, e.ProgramRegistered)
                else fact
                for fact in record.event.facts
            ]
            script.change(sequence, facts=tuple(facts))

    return tamper


def both(*tampers: Tamper) -> Tamper:
    return lambda found: [tamper(found) for tamper in tampers]


def by_itself(kind: type[e.Event]) -> Tamper:
    """Nobody has asked for it."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        sequence = place(script, kind)
        script.put(sequence, None, script.records[sequence - 1].event)

    return tamper


def added(*events: e.Event) -> Tamper:
    """As if the first shard had done more, by itself."""

    def tamper(found: Journals) -> None:
        for event in events:
            found[SHARD_0].add(None, event)

    return tamper


def again(kind: type[e.Event]) -> Tamper:
    """The same event once more, at the end."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        script.add(None, script.records[place(script, kind) - 1].event)

    return tamper


def one_row_of_the_second_day(found: Journals) -> None:
    """All of it at once: no row shows who has been looked at before its end."""
    script = found[SHARD_0]
    begun, ended = place(script, e.DayMoved, 1), place(script, e.DayMoved, 2)
    script.rows = [1] * begun + [ended - begun]


P1 = "au_5af00c"  # Dora's, by three fees.
UNKNOWN = (e.LineCharge("au_none", 1, 5),)


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


# (what the audit must say, how the journals are tampered with)
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
        "lender north has 29 of 90 charges ever split",
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
        "Repay asked for ('dora-1', '', '', False), got ('dora-1', '', '', True)",
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
        "undone charges goes to the lenders as [22, 48]",
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
        "lender north has 8 of 20 fees back ever split",
        change(e.Refunded, 1, fee_credit_parts=(8, 12)),
    ),
    (
        "the merchant has 31 back, it is 30",
        change(e.Refunded, 2, borne_minor=31),
    ),
    (
        "the principal goes to the lenders as [402, 931]",
        change(e.Refunded, 1, principal_parts=(402, 931)),
    ),
    # Plans that change.
    (
        "it cuts [] anew, to settle is ['au_5af00c']",
        change(e.SettledEarly, 1, recuts=()),
    ),
    (
        "by early settlement it is 4667 and fee 186",
        change(e.SettledEarly, 1, recuts=lambda old: (recut(fee_minor=187)(old[0]),)),
    ),
    (
        "by early settlement it is 4667 and fee 186",
        change(
            e.SettledEarly,
            1,
            recuts=lambda old: (recut(principal_minor=4_668)(old[0]),),
        ),
    ),
    (
        "a principal of 4667 is cut anew as 4668",
        change(
            e.SettledEarly,
            1,
            recuts=lambda old: (recut(principal_minor=4_668)(old[0]),),
        ),
    ),
    (
        "it pays au_none, none of this account",
        change(
            e.SettledEarly,
            1,
            recuts=lambda old: (edit(old[0], authorization_id="au_none"),),
        ),
    ),
    ("7255 settles what comes to 7256", change(e.SettledEarly, 1, amount_minor=7_255)),
    (
        "it says a fee of 185, its lines have 186",
        change(e.SettledEarly, 1, fee_minor=185),
    ),
    (
        "line 4 of au_5af00c gets nothing; by the program's order it is 186 fee, "
        "4667 principal",
        change(e.SettledEarly, 1, allocations=without(1)),
    ),
    (
        "none of this account",
        change(e.PlanExtended, 1, account_id=HUGO),
    ),
    (
        "it extends au_5af00e, which has no plan",
        both(
            change(
                e.PlanExtended,
                1,
                authorization_id="au_5af00e",
                recut=lambda old: edit(old, authorization_id="au_5af00e"),
            ),
        ),
    ),
    ("extending 4000 costs 21, it is 20", change(e.PlanExtended, 1, fee_minor=21)),
    (
        "line 1 is 801 and fee 20",
        change(e.PlanExtended, 1, recut=recut(principal_minor=801)),
    ),
    (
        "a principal of 4000 is cut anew as 4001",
        change(e.PlanExtended, 1, recut=recut(principal_minor=801)),
    ),
    (
        "line 1 is 800 and fee 19",
        change(e.PlanExtended, 1, recut=recut(fee_minor=19)),
    ),
    (
        "the extension makes 4 lines, not 5",
        ask_otherwise(e.PlanExtended, 1, periods=4),
    ),
    ("it extends over no period", ask_otherwise(e.PlanExtended, 1, periods=0)),
    (
        "it waives penalty of {('au_2630015', 0): 2}",
        change(e.ChargesWaived, 1, charges=at(0, amount_minor=2)),
    ),
    (
        "it waives interest of {('au_2630015', 0): 1}, to waive is {}",
        change(e.ChargesWaived, 1, charge=Waivable.INTEREST),
    ),
    (
        "it waives au_none, none of this account",
        change(e.ChargesWaived, 1, charges=UNKNOWN),
    ),
    (
        "purchase au_2630015 has no line 9",
        change(e.ChargesWaived, 1, charges=at(0, line=9)),
    ),
    # What is not paid by the borrower.
    (
        "it gives up 6970 of 6971 owed",
        change(e.WrittenOff, 1, amount_minor=6_970),
    ),
    (
        "record 52: line 3 of au_2630015 gets nothing; by the program's order",
        change(e.WrittenOff, 1, allocations=without(2)),
    ),
    (
        "6971 is reversed, 5970 is given up",
        lose(e.RecoveryReversed),
    ),
    (
        "it undoes 6970 of 6971",
        change(e.WriteOffReversed, 1, amount_minor=6_970),
    ),
    (
        "there is no write_off wo_none",
        change(e.WriteOffReversed, 1, write_off_id="wo_none"),
    ),
    (
        "it undoes 2 of 3 allocations",
        change(e.WriteOffReversed, 1, undone=without(2)),
    ),
    (
        "1001 is recovered as {'north': 301, 'south': 701}",
        change(e.RecoveryRecorded, 1, parts=at(0, amount_minor=301)),
    ),
    (
        "6972 is recovered of 6971",
        change(e.RecoveryRecorded, 1, amount_minor=6_972),
    ),
    (
        "what is recovered goes to the lenders as [302, 699]",
        change(
            e.RecoveryRecorded,
            1,
            parts=(e.LenderAmount("north", 302), e.LenderAmount("south", 699)),
        ),
    ),
    (
        "what is recovered goes to the lenders as [1, 300, 701]",
        change(
            e.RecoveryRecorded,
            1,
            parts=lambda old: (e.LenderAmount("east", 1), *old),
        ),
    ),
    ("it undoes 1000 of 1001", change(e.RecoveryReversed, 1, amount_minor=1_000)),
    (
        "there is no recovery rc_none",
        change(e.RecoveryReversed, 1, recovery_id="rc_none"),
    ),
    (
        "the claim is 1 more than is owed",
        change(e.ClaimPaid, 1, amount_minor=6_972),
    ),
    (
        "line 2 of au_2630015 gets nothing; by the program's order it is 196",
        change(e.ClaimPaid, 1, allocations=without(1)),
    ),
    ("it undoes 2499 of 2500", change(e.ClaimReversed, 1, amount_minor=2_499)),
    ("there is no claim cl_none", change(e.ClaimReversed, 1, claim_id="cl_none")),
    ("it undoes 1 of 2 allocations", change(e.ClaimReversed, 1, undone=without(1))),
    (
        "clerk approves what he has proposed",
        ask_otherwise(e.AdjustmentApproved, 1, caller="clerk"),
    ),
    (
        "it adds 101, proposed was 100",
        change(e.AdjustmentApproved, 1, credit_minor=101),
    ),
    (
        "was not proposed for dora-1",
        change(e.AdjustmentApproved, 1, account_id=DORA),
    ),
    (
        "is rejected already",
        again(e.AdjustmentRejected),
    ),
    # What ended days bring.
    (
        "CreditUsed comes where nothing is next",
        lambda found: found[SHARD_0].add(None, e.CreditUsed(DORA, 1, ())),
    ),
    (
        "account nobody does not exist",
        lambda found: found[SHARD_0].add(None, e.CreditUsed("nobody", 1, ())),
    ),
    (
        "101 of the credit is used, it is 100",
        change(e.CreditUsed, 1, amount_minor=101),
    ),
    (
        "line 1 of au_2630015 gets nothing; by the program's order it is 100",
        change(e.CreditUsed, 1, allocations=()),
    ),
    (
        "DueMoved comes where",
        terms_of(minimum_due_ppm=1_000_000),
    ),
    ("879 of the minimum is not paid", lose(e.Repaid, 2)),
    (
        "falls due later, it is {('au_2b500f', 1): 6030, ('au_2b50010', 1): 489}",
        change(e.DueMoved, 1, lines=without(1)),
    ),
    (
        "it falls due 2026-02-21, not 2026-02-20",
        change(e.DueMoved, 1, due_on=lambda on: on + 1),
    ),
    ("it charges au_none, none of this account", change(e.DueMoved, 1, lines=UNKNOWN)),
    (
        "purchase au_2b500f has no line 2",
        change(e.DueMoved, 1, lines=at(0, line=2)),
    ),
    (
        "line 1 of au_2b500f is in it twice",
        change(e.DueMoved, 1, lines=twice),
    ),
    (
        "it is through 2026-01-22, not 2026-01-23",
        change(e.PenaltyCharged, 1, through_on=lambda on: on - 1),
    ),
    (
        "the penalties are {('au_2630015', 1): 3}, by the days late "
        "{('au_2630015', 1): 2}",
        change(e.PenaltyCharged, 1, charges=at(0, amount_minor=3)),
    ),
    (
        "it charges au_none, none of this account",
        change(e.PenaltyCharged, 1, charges=UNKNOWN),
    ),
    (
        "PenaltyCharged comes where nothing is next",
        lambda found: found[SHARD_0].add(
            None, e.PenaltyCharged(DORA, 739_671, (e.LineCharge(P1, 1, 1),))
        ),
    ),
    (
        "it bills line 1 of au_2630015: 2333, interest 0, fee 71, it is "
        "line 1 of au_2630015: 2333, interest 0, fee 70",
        change(e.StatementIssued, 1, lines=at(0, fee_minor=71)),
    ),
    (
        "interest 31, fee 0, it is line 1 of au_2b50010: 489, interest 30",
        change(e.StatementIssued, 4, lines=at(1, interest_minor=31)),
    ),
    (
        "it bills line 1 of au_2630015 twice",
        change(e.StatementIssued, 1, lines=twice),
    ),
    (
        "it bills nothing more, it is line 1 of au_2630015",
        change(e.StatementIssued, 1, lines=()),
    ),
    (
        "it bills au_none, none of this account",
        change(e.StatementIssued, 1, lines=at(0, authorization_id="au_none")),
    ),
    (
        "purchase au_2630015 has no line 7",
        change(e.StatementIssued, 1, lines=at(0, line=7)),
    ),
    *(
        (f"the statement has {name} ", change(e.StatementIssued, 4, **{name: 739_000}))
        for name in (
            "statement_on",
            "due_on",
            "past_due_minor",
            "due_minor",
            "minimum_due_minor",
            "credit_minor",
            "outstanding_minor",
        )
    ),
    (
        "StatementIssued comes where nothing is next",
        again(e.StatementIssued),
    ),
    # Nothing of it may be missing.
    (
        "account hugo-2 still misses the statement of 2026-01-05",
        lose(e.StatementIssued, 1),
    ),
    (
        "account hugo-2 is asked for before the statement of 2026-01-05",
        both(lose(e.StatementIssued, 1), one_row_of_the_second_day),
    ),
    (
        "account hugo-2 still misses 100 of the credit to be used",
        lose(e.CreditUsed, 1),
    ),
    (
        "account hugo-2 still misses a penalty of 2 through 2026-01-23",
        lose(e.PenaltyCharged, 1),
    ),
    (
        "account emil-1 still misses what is late to fall due later",
        lose(e.DueMoved, 1),
    ),
    ("account hugo-2 still misses a penalty of 4", lose(e.PenaltyCharged, -1)),
    # Accounts and days.
    (
        "closed while it is in use",
        both(
            change(e.Repaid, -1, allocations=()),
            change(e.CreditPaidOut, -1, amount_minor=0),
        ),
    ),
    (
        "record 83: account hugo-2 is closed, nothing may happen to it",
        added(
            e.AccountClosed(HUGO),
            e.AdjustmentApproved("aj_2630025", HUGO, -50, 43_050),
        ),
    ),
    ("nobody asked for RepaymentFinal", by_itself(e.RepaymentFinal)),
    ("nobody asked for SettledEarly", by_itself(e.SettledEarly)),
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


# At the end.


def folded() -> ShardAudit:
    script = story()[SHARD_0]
    model = ShardAudit(script.identity)
    for batch in script.batches():
        model.batch(batch)
    return model


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("account dora-1 owes charges of", f"charges:{DORA}"),
        ("account fred-2 has 2135 to be recovered", f"written_off:{FRED}"),
        ("lender north is owed", "lender_claim:north"),
        ("lender south is to be sent", "lender_remittance:south"),
        ("accounts of program plans owe charges of", "charge_income:plans"),
    ],
)
def test_at_the_end_the_ledger_must_agree_with_all_objects(
    said: str, name: str
) -> None:
    model = folded()
    assert model.differences == []
    model.books.ledger[name] += 1

    check_accounts(model.books)
    check_lenders(model.books)
    check_programs(model.books)

    assert [text for text in model.differences if said in text], model.differences


def test_a_purchase_owes_what_its_lines_owe() -> None:
    model = folded()
    model.books.purchases[P1].lines[0].paid[3] -= 1

    check_accounts(model.books)

    assert f"shard 0: purchase {P1} owes 0, its lines 1." in model.differences


# Whether nothing is missing, and when that can be said.


def missing_of(epochs: list[int], **rows: Any) -> list[str]:
    """What is missed when Hugo's first statement is, in rows of these epochs."""
    found = story()
    lose(e.StatementIssued, 1)(found)
    script = found[SHARD_0]
    model = ShardAudit(script.identity)
    begun = place(script, e.DayMoved)
    for batch in script.batches():
        later = batch.first_sequence - begun
        if later >= 0 and epochs:
            batch = edit(batch, epoch=epochs.pop(0))
        if later > 0 and not epochs:
            break
        model.batch(batch)
    return [text for text in model.differences if "still misses" in text]


def test_an_accounts_day_may_still_be_to_come_while_not_all_were_looked_at() -> None:
    assert missing_of([1]) == []
    assert len(missing_of([1, 1, 1])) == 1
    # Another epoch: whether the shard was open is not known before its first row.
    assert missing_of([1, 2, 2]) == []
    assert len(missing_of([1, 2, 2, 2])) == 1


def test_a_row_too_long_to_tell_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BATCH_COMMANDS_MAX", 4)

    assert missing_of([1, 1, 1]) == []


def test_so_many_accounts_are_looked_at_in_a_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "DAY_END_ACCOUNTS_PER_STEP_MAX", 2)

    assert missing_of([1, 1, 1]) == []
    assert len(missing_of([1, 1, 1, 1, 1])) == 1
