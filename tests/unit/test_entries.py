"""What a reader is told of an account's past, from rows of the journal."""

from typing import Any

import pytest

from processor import commands as c
from processor import limits
from processor import messages as m
from processor.entries import Reading
from processor.recovery import ShardReplay
from tests.unit.journals_by_hand import ALICE, SHARD_0, journals
from tests.unit.one_shard import OneShard, a_shard, decoded, finished

KINDS = [
    "account_opened",
    "authorized",
    "authorization_incremented",
    "captured",
    "authorization_reversed",
    "captured",
    "repaid",
    "refunded",
    "hold_placed",
    "hold_increased",
    "hold_released",
    "authorized",
    "declined",
    "hold_placed",
    "hold_expired",
    "authorized",
    "authorization_expired",
    "limit_changed",
    "account_frozen",
    "account_unfrozen",
    "declined",
]


def test_a_purchase_is_told_with_its_command_and_both_balances() -> None:
    shard = a_shard(L1=500)
    shard.now_ms = 1_300_000_000_207
    key = shard.ask(c.Authorize, "a", "m", 100, "EUR", True)["authorization_id"]
    told = shard.entries("a", limit=1)
    assert {
        "entries": [
            {
                "sequence": shard.state.sequence,
                "at": "2011-03-13T07:06:40.207Z",
                "business_day": "2026-01-01",
                "kind": "authorized",
                "amount_minor": 100,
                "reason": None,
                "command": {
                    "name": "authorize",
                    "caller": "caller",
                    "request_id": f"r{shard.count - 2}",
                },
                "ids": {
                    "authorization_id": key,
                    "merchant_id": "m",
                    "program_id": "solo",
                },
                "before": {"open_to_buy_minor": 1_000, "outstanding_minor": 0},
                "after": {"open_to_buy_minor": 900, "outstanding_minor": 100},
            }
        ],
        "next": str(shard.state.sequence),
    } == told


def test_a_decline_is_told_with_its_reason_and_what_was_wanted() -> None:
    shard = a_shard(L1=500)
    shard.ask(c.Authorize, "a", "m", 1_001, "EUR")
    (told,) = shard.entries("a", limit=1)["entries"]
    assert ("declined", 1_001) == (told["kind"], told["amount_minor"])
    assert "credit_limit_exceeded" == told["reason"]
    assert "authorize" == told["command"]["name"]
    key = told["ids"].pop("authorization_id")  # Under which it is explained.
    assert shard.read("explanation", key)["decision"] == "declined"
    assert {"merchant_id": "m"} == told["ids"]
    assert told["before"] == told["after"]


def test_what_the_processor_did_by_itself_has_no_command() -> None:
    shard = a_shard(L1=500)
    key = shard.ask(c.PlaceHold, "a", 100, "EUR")["hold_id"]
    shard.now_ms += 31_000
    shard.step()
    (told,) = shard.entries("a", limit=1)["entries"]
    assert ("hold_expired", None, 100) == (
        told["kind"],
        told["command"],
        told["amount_minor"],
    )
    assert {"hold_id": key} == told["ids"]
    assert 900 == told["before"]["open_to_buy_minor"]
    assert 1_000 == told["after"]["open_to_buy_minor"]


def test_all_of_it_down_to_the_opening_in_any_pages() -> None:
    shard = a_shard(L1=900)
    for amount in range(1, 40):
        shard.ask(c.Authorize, "a", "m", amount, "EUR")
    everything = shard.entries("a", limit=200)
    assert everything["next"] is None
    assert "account_opened" == everything["entries"][-1]["kind"]
    assert 40 == len(everything["entries"])
    for limit in (1, 7, 39, 40):
        found: list[Any] = []
        cursor: int | None = 0
        while cursor is not None:
            page = shard.entries("a", cursor, limit)
            found += page["entries"]
            cursor = None if page["next"] is None else int(page["next"])
        assert everything["entries"] == found


def test_before_the_first_there_is_nothing() -> None:
    shard = a_shard()
    first = shard.entries("a")["entries"][-1]["sequence"]
    assert {"entries": [], "next": None} == shard.entries("a", before=first)


def test_a_cursor_of_somebody_else_is_named_as_what_is_wrong() -> None:
    shard = a_shard()
    theirs = shard.entries("b")["entries"][0]["sequence"]
    for wrong in (theirs, shard.state.sequence + 1, 1, 10**16 - 1):
        shard.node.receive(1, [m.QueryEntries(-wrong, "a", wrong, 1)])
        shard.step()
        refused = m.Answer(-wrong, m.Outcome.NOT_FOUND, b"before")
        assert refused == shard.answers[-wrong]


def test_the_newest_entry_says_what_the_account_says() -> None:
    shard = a_shard(L1=900)
    shard.ask(c.Authorize, "a", "m", 60, "EUR", True)
    shard.ask(c.PlaceHold, "a", 10, "EUR")
    account = shard.read("account", "a")
    (newest,) = shard.entries("a", limit=1)["entries"]
    assert newest["after"] == {name: account[name] for name in newest["after"]}


def test_a_reader_sees_everything_submitted_before_it_and_nothing_after() -> None:
    shard = a_shard(L1=900)
    asked = m.QueryEntries(1_000, "a", 0, 1)
    shard.node.receive(
        1,
        [
            m.Submit(998, c.ChangeLimit("caller", "x", "a", 777)),
            asked,
            m.Submit(999, c.ChangeLimit("caller", "y", "a", 888)),
        ],
    )
    shard.step()
    (told,) = decoded(shard.answers[1_000])["entries"]
    assert "x" == told["command"]["request_id"]
    assert 777 == told["after"]["open_to_buy_minor"]


@pytest.mark.parametrize("rows", [None, [30], [6, 8, 7, 9]], ids=str)
def test_every_kind_is_told_whatever_rows_it_is_in(rows: list[int] | None) -> None:
    script = journals()[SHARD_0]
    count = len(script.records)
    script.rows = rows and [*rows[:-1], count - sum(rows[:-1])]
    batches = script.batches()
    replay = ShardReplay(script.identity)
    for batch in batches:
        replay.replay(batch)
    page = replay.history.page(
        replay.state.accounts[ALICE].number, 0, limits.ENTRIES_PER_READ_MAX
    )
    assert page is not None
    alice = replay.state.accounts[ALICE]
    answer = finished(Reading(1, 5, replay.state, alice, page), batches)
    told = decoded(answer)["entries"]
    assert 5 == answer.correlation
    assert KINDS[::-1] == [entry["kind"] for entry in told]
    for entry, place in zip(told, page.places, strict=True):
        record = script.records[place.sequence - 1]
        named = entry["command"]
        assert place.sequence == entry["sequence"]
        assert (record.command is None) == (named is None)
        if named is not None:
            assert record.command.request_id == named["request_id"]
        assert getattr(record.event, "amount_minor", None) in (
            None,
            entry["amount_minor"],
        )


def test_a_row_is_asked_for_once_however_many_entries_it_holds() -> None:
    script = journals()[SHARD_0]
    script.rows = [10, len(script.records) - 10]
    batches = script.batches()
    replay = ShardReplay(script.identity)
    for batch in batches:
        replay.replay(batch)
    page = replay.history.page(replay.state.accounts[ALICE].number, 0, 50)
    assert page is not None
    reading = Reading(1, 1, replay.state, replay.state.accounts[ALICE], page)
    assert 26 == reading.wants
    reading.take(batches[1])
    assert 10 == reading.wants
    with pytest.raises(AssertionError):
        reading.take(batches[1])
    reading.take(batches[0])
    assert 0 == reading.wants


def test_nobody_has_no_history() -> None:
    assert a_shard().entries("nobody") is None


def test_more_than_a_page_may_have_is_a_fault_of_the_gateway() -> None:
    with pytest.raises(AssertionError):
        a_shard().entries("a", limit=limits.ENTRIES_PER_READ_MAX + 1)


def test_who_asks_too_early_waits_until_the_journal_is_confirmed() -> None:
    shard = OneShard(a_shard().batches)
    shard.node.receive(1, [m.QueryEntries(1, "a", 0, 1)])
    shard.step()
    assert {} == shard.answers
    shard.welcomed()
    shard.step()
    assert 1 == len(decoded(shard.answers[1])["entries"])


def test_who_waits_in_vain_hears_that_nothing_was_done() -> None:
    shard = OneShard(a_shard().batches)
    shard.node.receive(1, [m.QueryEntries(1, "a", 0, 1)])
    shard.step()
    shard.now_ms += limits.PARKED_MS_MAX
    shard.step()
    assert m.Outcome.NOT_DONE is shard.answers[1].outcome


def test_a_full_inbox_refuses_a_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    shard = a_shard()
    monkeypatch.setattr(limits, "INBOX_COMMANDS_MAX", 1)
    asked = [m.QueryEntries(100 + i, "a", 0, 1) for i in range(2)]
    shard.node.receive(1, asked)
    shard.step()
    assert m.Outcome.READ is shard.answers[100].outcome
    assert m.Answer(101, m.Outcome.NOT_DONE, b"overloaded") == shard.answers[101]
