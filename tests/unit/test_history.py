"""The index of entries: complete, in order, and the same after a replay."""

from itertools import pairwise
from typing import get_args

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import history as history_module
from processor import messages as m
from processor.history import History, Place, find_by_fields, is_anothers
from processor.pieces import MemoryPieces, Past
from processor.recovery import ShardReplay
from processor.scratch import MemoryScratch
from tests.unit.journals_by_hand import ALICE, BOB, CAROL, SHARD_0, journals
from tests.unit.one_shard import IDENTITY, OneShard, a_shard

ALL = 10_000

# Sequence, open to buy and outstanding after it: from the paper of `journals_by_hand`.
ALICES = [
    (4, 5_000, 0),  # Opened.
    (5, 3_999, 0),  # Authorized 1001,
    (6, 3_900, 0),  # and 99 more,
    (7, 3_900, 600),  # captured 600,
    (8, 4_000, 600),  # reversed 100,
    (9, 3_960, 1_040),  # captured 440, 40 of it above,
    (10, 4_300, 700),  # repaid 340,
    (11, 5_100, 0),  # refunded 800, of which 700 were owed.
    (12, 3_100, 0),  # Held 2000,
    (13, 2_600, 0),  # 500 more,
    (14, 2_900, 0),  # 300 less,
    (15, 3_600, 1_400),  # 1500 bought of it, 100 from credit, the rest released.
    (16, 3_600, 1_400),  # Declined.
    (17, 3_500, 1_400),  # Held 100,
    (18, 3_600, 1_400),  # expired.
    (19, 3_400, 1_400),  # Authorized 200,
    (20, 3_600, 1_400),  # expired.
    (21, 4_600, 1_400),  # A higher limit.
    (22, 4_600, 1_400),  # Frozen,
    (23, 4_600, 1_400),  # and not.
    (26, 4_600, 1_400),  # Declined: the lender has no more.
]


def after(place: Place) -> tuple[int, int, int]:
    return place.sequence, place.open_to_buy_minor, place.outstanding_minor


def before(place: Place) -> tuple[int, int]:
    return place.open_to_buy_before_minor, place.outstanding_before_minor


NUMBERS = {ALICE: 1, CAROL: 2, BOB: 3, "a": 1, "b": 2}  # As they are opened.


def places(history: History, account_id: str) -> list[Place]:
    found = history.page(NUMBERS[account_id], 0, ALL)
    assert found is not None
    assert found.is_last
    return found.places


def by_hand(rows: list[int] | None = None) -> History:
    script = journals()[SHARD_0]
    script.rows = rows
    replay = ShardReplay(script.identity)
    for batch in script.batches():
        replay.replay(batch)
    return replay.history


def test_every_kind_of_event_leaves_the_balances_that_paper_says() -> None:
    assert ALICES[::-1] == [after(place) for place in places(by_hand(), ALICE)]
    assert [(29, 100, 0), (28, 100, 0)] == [
        after(place) for place in places(by_hand(), CAROL)
    ]
    assert [] == places(by_hand(), BOB)  # On another shard.


def test_what_was_before_is_what_the_entry_before_left() -> None:
    found = places(by_hand(), ALICE)[::-1]
    assert (0, 0) == before(found[0])
    assert [after(place)[1:] for place in found[:-1]] == [
        before(place) for place in found[1:]
    ]


def test_it_does_not_matter_how_records_share_rows() -> None:
    count = len(journals()[SHARD_0].records)
    for rows in ([count], [3, 1, 10, count - 14]):
        assert places(by_hand(rows), ALICE) == places(by_hand(), ALICE)


@pytest.mark.parametrize("limit", range(1, len(ALICES) + 3))
def test_pages_of_any_size_join_without_gap_or_overlap(limit: int) -> None:
    history = by_hand()
    found: list[Place] = []
    before = 0
    while True:
        page = history.page(NUMBERS[ALICE], before, limit)
        assert page is not None
        found += page.places
        if page.is_last:
            break
        assert limit == len(page.places)
        before = found[-1].sequence
    assert found == places(history, ALICE)


def test_an_entry_of_the_account_is_a_cursor_and_nothing_else_is() -> None:
    history = by_hand()
    sequences = [sequence for sequence, _, _ in ALICES]
    for cursor in range(1, history.sequence + 3):
        page = history.page(NUMBERS[ALICE], cursor, ALL)
        if cursor in sequences:
            assert page is not None
            expected = [place for place in ALICES[::-1] if place[0] < cursor]
            assert expected == [after(place) for place in page.places]
            assert page.is_last
        else:
            assert page is None


@pytest.mark.parametrize("chains", [1, 2, 4])
def test_accounts_that_share_a_chain_keep_their_own_entries(
    monkeypatch: pytest.MonkeyPatch, chains: int
) -> None:
    expected = [places(by_hand(), name) for name in (ALICE, CAROL)]
    monkeypatch.setattr(history_module, "_CHAIN_OF_NUMBER", chains - 1)
    assert expected == [places(by_hand(), name) for name in (ALICE, CAROL)]


def test_the_records_of_another_account_are_never_shown() -> None:
    shard = a_shard(L1=500)
    shard.state.accounts["a"].number = shard.state.accounts["b"].number
    with pytest.raises(AssertionError):
        shard.entries("a")


def test_a_record_is_known_to_be_anothers() -> None:
    shard = a_shard(L1=500)
    shard.ask(c.PlaceHold, "a", 50, "EUR")
    a, b = shard.state.accounts["a"], shard.state.accounts["b"]
    command, event = shard.records[-1].command, shard.records[-1].event
    assert not is_anothers(shard.state, event, command, a)
    assert is_anothers(shard.state, event, command, b)
    assert is_anothers(shard.state, e.SliceReceived("L1", 1), None, a)
    gone = e.HoldExpired("ho_00000001", 1)
    assert not is_anothers(shard.state, gone, None, a)  # Nobody can say.


def test_a_page_stays_as_it_is_while_entries_are_added() -> None:
    shard = a_shard(L1=500)
    history = shard.node.history
    page = history.page(1, 0, 1)
    shard.ask(c.ChangeLimit, "a", 7)
    assert page is not None
    assert 1_000 == page.places[0].open_to_buy_minor
    assert 7 == places(history, "a")[0].open_to_buy_minor


def test_a_decline_about_an_account_is_an_entry() -> None:
    shard = a_shard(L1=500)
    key = shard.ask(c.Authorize, "a", "m", 100, "EUR")["authorization_id"]
    hold = shard.ask(c.PlaceHold, "a", 50, "EUR")["hold_id"]
    count = len(places(shard.node.history, "a"))
    wishes: list[tuple[type[c.Command], tuple[object, ...]]] = [
        (c.OpenAccount, ("a", "solo", "EUR", 1)),
        (c.Authorize, ("a", "m", 10_000, "EUR")),
        (c.CaptureAuthorization, (key, 10_000)),
        (c.ReverseAuthorization, (key, 101)),
        (c.Refund, (key, 1)),
        (c.ReleaseHold, (hold, 51)),
        (c.ConvertHold, (hold, "m", 51)),
    ]
    for number, (kind, fields) in enumerate(wishes, start=1):
        assert "declined" == shard.ask(kind, *fields)["status"]
        found = places(shard.node.history, "a")
        assert count + number == len(found)
        assert (850, 0) == before(found[0]) == after(found[0])[1:]


def test_a_decline_about_nothing_is_nobodys_entry() -> None:
    shard = a_shard(L1=500)
    count = shard.state.sequence
    shard.ask(c.Authorize, "nobody", "m", 1, "EUR")
    shard.ask(c.CaptureAuthorization, "au_00000001")
    shard.ask(c.ReleaseHold, "ho_00000001")
    assert count + 3 == shard.state.sequence
    assert shard.entries("nobody") is None
    assert [1, 1] == [len(places(shard.node.history, name)) for name in "ab"]


def test_slices_reference_data_and_days_are_nobodys_entries() -> None:
    shard = a_shard(L1=500)
    shard.told(m.GrantSlice("L1", 600), m.RecallSlice(1, "L1", keep=False))
    shard.told(m.MoveDay(shard.state.day, "2026-01-02"))
    kinds = {type(record.event) for record in shard.records}
    assert {e.SliceReceived, e.SliceReturned, e.DayMoved, e.ReferenceReceived} < kinds
    assert [1, 1] == [len(places(shard.node.history, name)) for name in "ab"]


def test_a_replay_gives_the_index_that_was_at_every_row() -> None:
    shard = a_shard(L1=900, L2=900)
    lives: dict[int, list[list[Place]]] = {}
    key = shard.ask(c.Authorize, "b", "m", 10, "EUR")["authorization_id"]
    for kind, fields in (
        (c.CaptureAuthorization, (key, 6)),
        (c.Authorize, ("a", "m", 7, "EUR", True)),
        (c.Authorize, ("a", "m", 5_000, "EUR", True)),
        (c.Repay, ("b", 9, "EUR")),
        (c.PlaceHold, ("a", 20, "EUR")),
    ):
        shard.ask(kind, *fields)
        lives[shard.state.sequence] = all_of(shard.node.history)
    shard.now_ms += 61_000  # Everything that is open runs out.
    shard.step()
    lives[shard.state.sequence] = all_of(shard.node.history)
    assert 6 == len(lives)
    replay = ShardReplay(IDENTITY)
    for batch in shard.batches:
        replay.replay(batch)
        live = lives.get(batch.last_sequence)
        assert live in (None, all_of(replay.history))
    assert all_of(OneShard(shard.batches).node.history) == all_of(shard.node.history)


def all_of(history: History) -> list[list[Place]]:
    return [places(history, name) for name in "ab"]


def test_sequences_fall_from_entry_to_entry() -> None:
    found = [place.sequence for place in places(by_hand(), ALICE)]
    assert all(newer > older for newer, older in pairwise(found))


# How an account is found, also for what does not exist yet.


class LaterRefused(msgspec.Struct, frozen=True):
    """Names a thing of an account, and that not first."""

    amount_minor: int
    merchant_id: str
    hold_id: str


class LaterStopped(msgspec.Struct, frozen=True):
    """Names things that lead to no account."""

    lender_id: str
    merchant_id: str


def test_an_event_of_tomorrow_finds_its_account_by_the_names_of_its_fields() -> None:
    shard = a_shard(L1=500)
    hold_id = shard.ask(c.PlaceHold, "a", 50, "EUR")["hold_id"]
    find = find_by_fields(LaterRefused)
    assert find is not None
    assert shard.state.accounts["a"] is find(
        shard.state, LaterRefused(1, "m", hold_id), None
    )
    assert find_by_fields(LaterStopped) is None


def test_every_event_and_command_of_a_shard_is_known_to_it() -> None:
    kinds = [*get_args(e.ShardEvent), *get_args(c.AccountCommand)]
    found = {kind for kind in kinds if find_by_fields(kind) is not None}
    assert {
        e.SliceReceived,
        e.SliceReturned,
        e.DayMoved,
        e.ReferenceReceived,
    } == set(kinds) - found


def test_whose_an_entry_is_is_told_alike_in_every_process() -> None:
    """By the order of opening, or a snapshot would be of no use to the next one."""
    replay = ShardReplay(journals()[SHARD_0].identity)
    for row in journals()[SHARD_0].batches():
        replay.replay(row)
    numbers = {name: found.number for name, found in replay.state.accounts.items()}
    assert {ALICE: 1, CAROL: 2} == numbers


def test_what_is_saved_comes_back_the_same() -> None:
    replay = ShardReplay(journals()[SHARD_0].identity)
    for row in journals()[SHARD_0].batches():
        replay.replay(row)
    pieces = MemoryPieces()
    newest, rows = replay.history.saved(pieces)
    restored = History.restored(newest, Past(pieces, rows), MemoryScratch())
    assert replay.history.sequence == restored.sequence
    for number in NUMBERS.values():
        assert replay.history.page(number, 0, 50) == restored.page(number, 0, 50)
    assert (newest, rows) == restored.saved(pieces)
