"""The audit names every withholding that did not end once, and as it should."""

from pathlib import Path

import msgspec
import pytest

from gateway.verify import run_verify
from processor import commands as c
from processor import events as e
from processor.audit.verdict import Verification
from processor.ids import IdKind
from tests.unit.journals_by_hand import (
    A2,
    ALICE,
    BOB,
    DAY,
    SETTLEMENT,
    SHARD_0,
    SHARD_1,
    Journals,
    audited,
    journals,
    made,
)
from tests.unit.test_audit import Tamper, add, change, put
from tests.unit.test_audit_verify import write

W1 = made(IdKind.WITHHOLDING, ALICE, 0, 23)
W2 = made(IdKind.WITHHOLDING, ALICE, 0, 24)
W3 = made(IdKind.WITHHOLDING, ALICE, 0, 26)


def ask(request_id: str, amount: int) -> c.WithholdFromMerchant:
    return c.WithholdFromMerchant("demo", request_id, ALICE, "shop", amount, "GBP")


def withheld(key: str, asked: int, minor: int) -> e.MerchantWithheld:
    return e.MerchantWithheld(key, ALICE, "shop", asked, "GBP", minor)


REPAID = e.Repaid(
    ALICE,
    made(IdKind.REPAYMENT, ALICE, 0, 30),
    500,
    (e.Allocation(A2, 500, (150, 350)),),
    0,
    5_100,
    "shop",
    W1,
)


REPAID_BOB = e.Repaid(
    BOB, made(IdKind.REPAYMENT, BOB, 1, 6), 500, (), 500, 2_500, "shop", W1
)


def with_withholdings() -> Journals:
    """Of 1 719 owed: 500 repaid, 700 released, and the last 1 219 still open."""
    found = journals()
    settlement = found[SETTLEMENT]
    settlement.add(ask("w1", 500), withheld(W1, 500, 500))
    settlement.add(ask("w2", 700), withheld(W2, 700, 700))
    settlement.add(
        c.ReleaseWithholding("demo", "w2 release", W2),
        e.WithholdingReleased(W2, "shop", "GBP", 700),
    )
    settlement.add(ask("w3", 2_000), withheld(W3, 2_000, 1_219))
    settlement.add(ask("w4", 1), withheld("", 1, 0))
    found[SHARD_0].add(
        c.Repay(
            "demo",
            "w1 repay",
            ALICE,
            500,
            "GBP",
            withheld_from="shop",
            withholding_id=W1,
        ),
        REPAID,
    )
    return found


def test_a_withholding_that_can_still_be_finished_is_open_not_wrong() -> None:
    report = audited(with_withholdings())
    assert [] == report.differences
    assert report.is_clean
    assert {W3: 1_219} == report.open_withholdings
    assert 0 == report.trial_balance_minor


def test_both_readings_agree_on_payouts_and_withholdings() -> None:
    found = with_withholdings()
    shards = [found[name] for name in (SHARD_0, SHARD_1)]
    verification = Verification(
        found[SETTLEMENT].identity, [shard.identity for shard in shards]
    )
    folded = [verification.settlement, *verification.shards]
    for journal, script in zip(folded, [found[SETTLEMENT], *shards], strict=True):
        for batch in script.batches():
            journal.batch(batch)
        if journal is verification.settlement:
            verification.settlement_is_read()
    verdict = verification.verdict()
    assert [] == verdict.differences
    assert {W3: 1_219} == verdict.summary()["open_withholdings"]
    state = verification.settlement.state
    state.payables["shop"]["GBP"].withheld_minor += 1  # type: ignore[union-attr]
    (text,) = verification.settlement.differences()
    assert "payables" in text


@pytest.mark.parametrize(
    ("said", "tamper"),
    [
        (
            "it withholds 501 where 500 was due",
            change(SETTLEMENT, 23, withheld_minor=501),
        ),
        ("it withholds 1220 where 1219", change(SETTLEMENT, 26, withheld_minor=1_220)),
        ("it withholds 1 where 0 was due", change(SETTLEMENT, 27, withheld_minor=1)),
        ("names a withholding of nothing", change(SETTLEMENT, 27, withholding_id=W3)),
        ("is there already", change(SETTLEMENT, 24, withholding_id=W1)),
        ("asked for 500, got 499", change(SETTLEMENT, 23, amount_minor=499)),
        ("merchant nowhere is not reg", change(SETTLEMENT, 23, merchant_id="nowhere")),
        ("is released otherwise", change(SETTLEMENT, 25, released_minor=699)),
        (
            f"withholding {W2} is not open",
            add(SETTLEMENT, None, e.WithholdingReleased(W2, "shop", "GBP", 700)),
        ),
        (
            f"withholding {W1} is repaid although it was released",
            add(SETTLEMENT, None, e.WithholdingReleased(W1, "shop", "GBP", 500)),
        ),
        (
            f"withholding {W1} is not what settlement withheld",
            put(SETTLEMENT, 23, ask("w1", 400), withheld(W1, 400, 400)),
        ),
        (
            f"withholding {W1} is not what settlement withheld",
            change(SETTLEMENT, 23, account_id="bob-1"),
        ),
        (f"withholding {W1} is repaid a second time", add(SHARD_0, None, REPAID)),
        (
            f"withholding {W1} is repaid on another shard, too",
            add(SHARD_1, None, REPAID_BOB),
        ),
        ("it is withheld from 'nowhere'", change(SHARD_0, 30, withheld_from="nowhere")),
        (
            "merchant_withheld:shop:GBP has 1719 posted",
            change(SHARD_0, 30, withheld_from=""),
        ),
        ("is withheld from 'shop' as nothing", change(SHARD_0, 30, withholding_id="")),
        ("asked for ('alice'", change(SHARD_0, 30, withholding_id=W2)),
    ],
)
def test_the_audit_names_what_is_wrong_with_a_withholding(
    said: str, tamper: Tamper
) -> None:
    found = with_withholdings()
    tamper(found)
    report = audited(found)
    assert [text for text in report.differences if said in text], report.differences


def test_a_payout_that_is_not_what_its_figures_say_is_named() -> None:
    found = with_withholdings()
    for sequence in (19, 21):
        event = found[SETTLEMENT].records[sequence - 1].event
        shop = event.totals.merchants["shop"]
        shop = msgspec.structs.replace(shop, payout_minor={"GBP": 1_720})
        totals = msgspec.structs.replace(event.totals, merchants={"shop": shop})
        found[SETTLEMENT].change(sequence, totals=totals)
    report = audited(found)
    assert any("the payout of shop is not 1719" in text for text in report.differences)
    assert any(DAY in text for text in report.differences)


def test_verify_names_what_is_still_to_be_finished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, with_withholdings())
    assert run_verify(tmp_path, as_json=False) == 0
    assert f"{W3}: 1,219 minor units" in capsys.readouterr().out
