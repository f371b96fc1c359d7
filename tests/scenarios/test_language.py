"""The format itself: what it understands, what it refuses, and how it fails."""

from enum import StrEnum
from pathlib import Path

import msgspec
import pytest

from processor.ids import shard_of_slot, slot_of_account
from tests.scenarios.in_core import CoreStage
from tests.scenarios.names import Names, moved, years_until
from tests.scenarios.player import check_rows, play
from tests.scenarios.printed import printed, row_table
from tests.scenarios.reader import BOOK, chapter_of
from tests.scenarios.sentences import wish_of
from tests.scenarios.story import Given, Misread
from tests.scenarios.values import NotUnderstood, built, value_of

GIVEN = """# A chapter

    given
      lender north
      north deposits 100.00
      program solo, shares north 100%
      merchant shop
      account ada, program solo, limit 50.00

## A story

"""
BOUGHT = """    ada buys 20.00 at shop
      -> approved, open to buy 30.00, authorization $a
      dr account_authorized:ada 20.00   cr lender_authorized:north 20.00
      dr loan:ada 20.00                 cr account_authorized:ada 20.00
      dr lender_authorized:north 20.00  cr lender_claim:north 20.00
      dr lender_reserve:north 20.00     cr merchant_payable:shop:EUR 20.00
"""


def written(folder: Path, steps: str, given: str = GIVEN) -> Path:
    path = folder / "01-chapter.txt"
    path.write_text(given + steps)
    return path


def report(folder: Path, steps: str) -> str:
    """What a failing test would say."""
    (story,) = chapter_of(written(folder, steps))
    stage = CoreStage()
    going = play(story, stage)
    check_rows(going, stage.ledger(), is_alone=True)
    return going.report


# How a story fails.


def test_a_story_that_is_true_has_nothing_to_report(tmp_path: Path) -> None:
    assert "" == report(tmp_path, BOUGHT)


def test_a_wrong_answer_is_shown_by_line_with_what_came(tmp_path: Path) -> None:
    text = report(tmp_path, BOUGHT.replace("open to buy 30.00", "open to buy 30.01"))

    first, *lines = text.splitlines()
    assert first == f"{tmp_path / '01-chapter.txt'}:13: A story"
    assert lines[:3] == [
        "    ada buys 20.00 at shop",
        "  expected  open to buy 30.01",
        "  came      open to buy 30.00",
    ]


def test_a_wrong_status_is_shown_with_the_reason(tmp_path: Path) -> None:
    text = report(tmp_path, "    ada buys 60.00 at shop\n      -> approved\n")

    assert "expected  status approved" in text
    assert "reason credit_limit_exceeded" in text


def test_a_row_that_is_not_told_fails_the_story(tmp_path: Path) -> None:
    told = BOUGHT.replace("      dr loan:ada 20.00                 ", "      ")

    text = report(tmp_path, told)

    assert "  came      dr loan:ada 20.00" in text
    assert "expected" not in text


def test_a_row_that_did_not_come_is_shown_by_its_line(tmp_path: Path) -> None:
    told = BOUGHT.replace("cr lender_claim:north 20.00", "cr lender_claim:north 19.99")

    text = report(tmp_path, told)

    assert text.startswith(f"{tmp_path / '01-chapter.txt'}:16: A story")
    assert "  expected  cr lender_claim:north 19.99" in text
    assert "  came      cr lender_claim:north 20.00" in text


def test_a_step_without_an_answer_fails(tmp_path: Path) -> None:
    text = report(tmp_path, "    hold 1.00 for ada\n")

    assert ":12: A story" in text
    assert "has no answer; came status approved" in text


def test_given_that_is_declined_fails_at_its_line(tmp_path: Path) -> None:
    path = written(
        tmp_path, BOUGHT, GIVEN.replace("ada, program solo", "ada, program x")
    )

    going = play(chapter_of(path).stories[0], CoreStage())

    assert f"{path}:8: A story" in going.report
    assert "program_not_found" in going.report


def test_a_word_that_nothing_has_given_fails(tmp_path: Path) -> None:
    text = report(tmp_path, "    refund $a\n      -> approved\n")

    assert "no answer has given $a yet" in text


def test_a_kept_id_must_stay_the_same(tmp_path: Path) -> None:
    again = "    ada buys 20.00 at shop\n      -> approved, authorization $a\n"

    assert "which is not au_" in report(tmp_path, BOUGHT + again)


# What is refused before it is played.


@pytest.mark.parametrize(
    ("steps", "line", "why"),
    [
        ("    ada pays 20.00\n      -> approved\n", 12, "is no phrase"),
        ("    ada buys 20 at shop\n      -> approved\n", 12, "an amount of EUR"),
        ("    ada buys 20.00 at shop, colour red\n", 12, "names no field"),
        ("    authorize ada, amount 20.00\n", 12, "needs merchant_id"),
        ("    read weather north\n", 12, "`read` takes one of"),
        ("    work out the weather\n", 12, "`work out` takes one of"),
        ("    work out instalment trial\n", 12, "needs program_id, plan_id, amount"),
        ("    2 moons pass\n", 12, "is no time"),
        ("    2 days pass\n", 12, "only in the core"),
        ("      -> approved\n", 12, "belongs to a step"),
        ("    hold 1.00 for ada\n      -> open to buy 49.00\n", 13, "its status"),
        ("    hold 1.00 for ada\n      -> approved\n      dr x\n", 14, "a row is"),
        ("    close the day 2026-01-01\n      -> approved\n", 10, "today is"),
        ("    read account ada\n      dr x 1.00\n", 13, "leaves no rows"),
    ],
)
def test_what_is_not_understood_is_refused_by_line(
    tmp_path: Path, steps: str, line: int, why: str
) -> None:
    path = written(tmp_path, steps)

    with pytest.raises(Misread) as refused:
        chapter_of(path)

    assert f"{path}:{line}: " in str(refused.value)
    assert why in str(refused.value)


# What a sentence means.


def test_a_command_can_be_told_by_its_wire_name_and_fields() -> None:
    phrase = wish_of("ada buys 20.00 at shop", "EUR")
    plain = wish_of(
        "authorize ada, merchant_id shop, amount_minor 2000, currency EUR, capture yes",
        "EUR",
    )

    assert phrase == plain
    assert plain.fields == {
        "account_id": "ada",
        "merchant_id": "shop",
        "amount_minor": 2_000,
        "currency": "EUR",
        "capture": True,
    }


@pytest.mark.parametrize(
    "shares",
    [
        "shares north 30% and south 70%",
        "shares (lender north, share 30%) and (share_ppm 700000, lender_id south)",
        'shares [{"lender_id": "north", "share_ppm": 300000},'
        ' {"lender_id": "south", "share_ppm": 700000}]',
    ],
)
def test_structs_in_a_list_are_told_in_order_by_name_or_as_json(shares: str) -> None:
    wish = wish_of(f"program joint, {shares}, hold expiry 1 hour 30 minutes", "EUR")

    assert wish.fields["shares"] == [
        {"lender_id": "north", "share_ppm": 300_000},
        {"lender_id": "south", "share_ppm": 700_000},
    ]
    assert wish.fields["hold_expiry_seconds"] == 5_400


class Cap(msgspec.Struct, frozen=True):
    payer_id: str
    fee_ppm_per_day: int = 0
    most_minor: int | None = None


class Colour(StrEnum):
    RED = "red"


class Deal(msgspec.Struct, frozen=True):
    colours: tuple[Colour, ...]
    caps: dict[str, Cap]
    cap: Cap | None = None
    grace_days: int = 0


def test_values_within_values_are_told_and_built() -> None:
    wanted = msgspec.inspect.type_info(Deal)
    told = (
        '(colours red and red, grace days 5, caps {"a": {"payer_id": "north"}},'
        ' cap (payer "platform", fee per day 0.05%, most 12.00))'
    )

    value = value_of(wanted, "deal", told, "EUR")
    real = Names("s1.", Given(), 2).real(value)

    inner = Cap("platform", 500, 1_200)
    expected = Deal((Colour.RED, Colour.RED), {"a": Cap("s1.north")}, inner, 5)
    assert built(wanted, real) == expected


def test_an_amount_has_the_decimals_of_its_currency() -> None:
    assert wish_of("ada repays 1,250", "JPY").fields["amount_minor"] == 1_250
    assert wish_of("ada repays 1.250", "KWD").fields["amount_minor"] == 1_250
    with pytest.raises(NotUnderstood):
        wish_of("ada repays 1.5", "EUR")


def test_who_asks_is_no_field_of_the_body() -> None:
    wish = wish_of("ada repays 1.00, by clerk", "EUR")

    assert wish.caller == "clerk"
    assert "caller" not in wish.fields


def test_another_caller_owns_other_requests(tmp_path: Path) -> None:
    again = """    hold 1.00 for ada, request id h
      -> approved, replayed no
      dr account_held:ada 1.00   cr holds_open:EUR 1.00
    hold 1.00 for ada, request id h, by clerk
      -> approved, replayed no
      dr account_held:ada 1.00   cr holds_open:EUR 1.00
    hold 1.00 for ada, request id h, by clerk
      -> approved, replayed yes
"""
    assert "" == report(tmp_path, again)


def test_what_is_worked_out_is_answered_like_a_reading(tmp_path: Path) -> None:
    question = "    work out refund allocation, tenders coupon c 1.00 and card d 3.00"
    steps = f"""{question}, amount 3.00
      -> refundable 3.00, refunds.d.amount 3.00, refunds.c.amount 0.00
{question}, amount 3.01
      -> refused not-computable, field amount_minor
"""
    assert "" == report(tmp_path, steps)


def test_the_request_id_is_no_field_of_the_body() -> None:
    wish = wish_of("ada repays 1.00, request id order-1", "EUR")

    assert wish.request_id == "order-1"
    assert "request_id" not in wish.fields


# Names and days on the stage.


def test_accounts_live_where_the_story_says() -> None:
    names = Names("s1.", Given(elsewhere={"bob"}), 2)

    real = {name: names.real(name, "account_id") for name in ("ada", "bob", "cleo")}

    homes = {name: shard_of_slot(slot_of_account(real[name]), 2) for name in real}
    assert homes == {"ada": 0, "bob": 1, "cleo": 0}
    assert names.story({"account_id": real["bob"]}) == {"account_id": "bob"}
    assert names.ledger_account(f"loan:{real['ada']}") == "loan:ada"
    assert names.is_mine(f"loan:{real['ada']}")
    assert not names.is_mine("cash:EUR")


def test_days_move_to_later_years_that_are_as_long() -> None:
    days = ["2027-12-31", "2028-02-29"]

    years = years_until(days, "2029-03-01")

    assert [moved(day, years) for day in days] == ["2031-12-31", "2032-02-29"]


# How a story is shown.


def test_what_is_shown_plays_and_is_shown_the_same_again(tmp_path: Path) -> None:
    bare = "\n".join(
        line
        for line in (BOOK / "03-refunds.txt").read_text().splitlines()
        if not line.lstrip().startswith(("dr ", "cr "))
    )
    path = tmp_path / "03-refunds.txt"
    path.write_text(bare)

    shown = printed(path)

    assert shown == (BOOK / "03-refunds.txt").read_text()


def test_an_answer_that_was_not_written_is_shown_whole(tmp_path: Path) -> None:
    text = printed(written(tmp_path, "    hold 20.00 for ada\n"))

    assert "      -> approved, hold $hold1, amount 20.00, open to buy 30.00" in text
    assert "      dr account_held:ada 20.00   cr holds_open:EUR 20.00" in text


def test_rows_of_one_owner_stand_side_by_side() -> None:
    legs = [("cash:EUR", 5), ("loan:a", -5), ("claim:n", 5), ("remittance:n", -5)]

    assert row_table(legs) == [(legs[0], legs[1]), (legs[2], legs[3])]
