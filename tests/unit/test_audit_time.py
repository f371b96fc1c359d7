"""The audit of what changes, is given up, or comes with time: tampered with."""

from typing import Any

import pytest

from processor import events as e
from processor import limits
from processor.audit.balances import check_accounts, check_lenders, check_programs
from processor.audit.shard import ShardAudit
from processor.terms import Waivable
from tests.unit.debt_story import DORA, FRED, GINA, HUGO, place, story
from tests.unit.journals_by_hand import SHARD_0, audited
from tests.unit.tampering import (
    P1,
    UNKNOWN,
    Tamper,
    again,
    ask_otherwise,
    at,
    both,
    by_itself,
    change,
    edit,
    lose,
    one_row_of_the_second_day,
    recut,
    terms_of,
    twice,
    without,
)

# (what the audit must say, how the story is tampered with)
TAMPERED: tuple[tuple[str, Tamper], ...] = (
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
        "record 53: line 3 of au_2630015 gets nothing; by the program's order",
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
        "what is recovered goes to the lenders as [302, 699, 0]",
        change(
            e.RecoveryRecorded,
            1,
            parts=(e.LenderAmount("north", 302), e.LenderAmount("south", 699)),
        ),
    ),
    (
        "what is recovered goes to the lenders as [1, 300, 701, 0]",
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
        change(e.DueMoved, 2, lines=without(1)),
    ),
    (
        "it falls due 2026-02-21, not 2026-02-20",
        change(e.DueMoved, 2, due_on=lambda on: on + 1),
    ),
    ("it charges au_none, none of this account", change(e.DueMoved, 2, lines=UNKNOWN)),
    (
        "purchase au_2b500f has no line 2",
        change(e.DueMoved, 2, lines=at(0, line=2)),
    ),
    (
        "line 1 of au_2b500f is in it twice",
        change(e.DueMoved, 2, lines=twice),
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
        lose(e.DueMoved, 2),
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
        "record 83: account gina is closed, nothing may happen to it",
        lambda found: found[SHARD_0].add(
            None, e.Repaid(GINA, "rp_fff0053", 50, (), 50, 50_050)
        ),
    ),
    (
        "account fred-2 is unfrozen while written off",
        lambda found: found[SHARD_0].add(None, e.AccountUnfrozen(FRED)),
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
