"""Request ids: the same answer for as long as it is kept, wherever it is kept."""

from typing import Any

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import generations, limits
from processor.generations import PATTERN_AT, PATTERNS, Generation, hash_of
from processor.journal import Batch
from processor.records import RECORDS_ENCODER, ShardRecord
from processor.remembered import KEEPING, Keeping, Remembered, differing_field
from processor.scratch import MemoryScratch

DAY = "2026-01-01"
SMALL = Keeping(
    keep_ms=1_000, requests_max=64, recent_min=2, generation_min=4, generation_max=8
)


def freeze(request_id: str, caller: str = "caller") -> c.FreezeAccount:
    return c.FreezeAccount(caller, request_id, "a")


class Remembering:
    """Requests remembered row by row, with the journal they are read from."""

    def __init__(self, keeping: Keeping = SMALL) -> None:
        self.rows: list[Batch] = []
        self.asked: list[int] = []
        self.remembered = Remembered(
            keeping, ShardRecord, MemoryScratch(), self._row_of
        )

    def _row_of(self, sequence: int) -> Batch:
        self.asked.append(sequence)
        (row,) = [
            x for x in self.rows if x.first_sequence <= sequence <= x.last_sequence
        ]
        return row

    def remember(self, *commands: c.FreezeAccount, at_ms: int = 0) -> None:
        """One row more, and what is of nobody's wish before each of its records."""
        first = self.rows[-1].last_sequence + 1 if self.rows else 1
        records = []
        for command in commands:
            records.append(ShardRecord(None, e.SliceReceived("L1", 1)))
            records.append(ShardRecord(command, event_of(command)))
        last = first + len(records) - 1
        body = RECORDS_ENCODER.encode(records)
        self.rows.append(Batch(first, last, 1, DAY, at_ms, body, b""))
        for place, command in enumerate(commands, start=1):
            sequence = first + 2 * place - 1
            self.remembered.remember(command, event_of(command), sequence, at_ms)
            self.remembered.move_out()

    def finds(self, command: c.Command, now_ms: int = 0) -> bool:
        """Whether it is found, as it was."""
        found = self.remembered.find(command, now_ms)
        assert found is None or found[1] == event_of(found[0])
        return found is not None


def event_of(command: Any) -> e.AccountFrozen:
    return e.AccountFrozen(f"{command.account_id} by {command.request_id}")


def test_what_was_remembered_is_found_by_caller_and_id() -> None:
    life = Remembering()
    life.remember(freeze("r1"))
    assert (freeze("r1"), event_of(freeze("r1"))) == life.remembered.find(
        freeze("r1"), 0
    )
    assert not life.finds(freeze("r2"))
    assert not life.finds(freeze("r1", "somebody else"))


@pytest.mark.parametrize("others", [0, 1, 2, 3, 10, 30])
def test_wherever_it_is_other_wishes_of_the_same_id_find_it(others: int) -> None:
    life = Remembering()
    first = freeze("r1")
    life.remember(first)
    life.remember(*(freeze(f"other-{i}") for i in range(others)))
    found = life.remembered.find(c.CloseAccount("caller", "r1", "b"), 0)
    assert (first, event_of(first)) == found
    # Two parts are kept as they are, one of which is being filled.
    assert bool(life.asked) == (others >= 2 * SMALL.recent_min - 1)


def test_a_thousand_are_found_and_no_other() -> None:
    keeping = msgspec.structs.replace(SMALL, requests_max=4_096)
    life = Remembering(keeping)
    for row in range(100):
        life.remember(*(freeze(f"{row}-{i}") for i in range(10)))
    assert 1_000 == len(life.remembered)
    for row in range(100):
        assert all(life.finds(freeze(f"{row}-{i}")) for i in range(10))
        assert not any(life.finds(freeze(f"{row}-{i}")) for i in range(10, 20))


@pytest.mark.parametrize("others", [0, 12])
def test_it_is_kept_to_the_millisecond(others: int) -> None:
    life = Remembering()
    life.remember(freeze("r"), at_ms=500)
    life.remember(*(freeze(f"other-{i}") for i in range(others)), at_ms=600)
    assert life.finds(freeze("r"), now_ms=1_499)
    assert not life.finds(freeze("r"), now_ms=1_500)
    assert not life.finds(freeze("r"), now_ms=9_000)


@pytest.mark.parametrize("between", [0, 2, 12])
@pytest.mark.parametrize("after", [0, 1, 2, 12])
def test_an_id_that_is_used_again_is_remembered_anew(between: int, after: int) -> None:
    life = Remembering()
    life.remember(freeze("r"), at_ms=0)
    life.remember(*(freeze(f"between-{i}") for i in range(between)), at_ms=900)
    again = c.FreezeAccount("caller", "r", "b")
    assert not life.finds(again, now_ms=1_000)
    life.remember(again, at_ms=1_000)
    life.remember(*(freeze(f"after-{i}") for i in range(after)), at_ms=1_000)
    found = life.remembered.find(freeze("r"), 1_999)
    assert (again, event_of(again)) == found
    assert not life.finds(again, now_ms=2_000)


def test_what_is_too_old_leaves_with_its_generation() -> None:
    life = Remembering()
    life.remember(*(freeze(f"old-{i}") for i in range(20)), at_ms=0)
    life.remember(*(freeze(f"new-{i}") for i in range(20)), at_ms=1_001)
    # The last of the old ones may share a generation with the first new ones.
    assert len(life.remembered) < 20 + 2 * SMALL.generation_max
    assert all(life.finds(freeze(f"new-{i}"), 1_002) for i in range(20))


def test_the_oldest_are_forgotten_when_there_are_too_many() -> None:
    life = Remembering()
    for i in range(500):
        life.remember(freeze(f"r{i}"))
        assert len(life.remembered) <= SMALL.requests_max
    kept = [life.finds(freeze(f"r{i}")) for i in range(500)]
    assert kept == sorted(kept)
    assert SMALL.requests_max - SMALL.generation_max <= sum(kept)
    assert sum(kept) == len(life.remembered)


def test_a_request_that_only_looks_like_one_is_new(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All ids share a hash: every filter says yes, every slot fits."""
    monkeypatch.setattr("processor.remembered.hash_of", lambda caller, name: 7)
    life = Remembering()
    life.remember(*(freeze(f"r{i}") for i in range(20)))
    assert not life.finds(freeze("never"))
    assert life.asked  # It could not know without looking.
    assert all(life.finds(freeze(f"r{i}")) for i in range(20))


def test_an_id_that_was_never_used_is_rarely_looked_for() -> None:
    generation = Generation(2**14, MemoryScratch())
    requests = [(hash_of("caller", str(i)), i + 1) for i in range(2**14)]
    for begin in range(0, 2**14, 2**10):
        generation.add(requests[begin : begin + 2**10], 0)
    assert generation.room == 0
    looks = [hash_of("caller", f"new-{i}") for i in range(20_000)]
    passed = [
        hashed
        for hashed in looks
        if generation.words[hashed & generation.word_mask]
        & PATTERNS[hashed >> PATTERN_AT]
        == PATTERNS[hashed >> PATTERN_AT]
    ]
    assert len(passed) < 400  # One in fifty; measured: one in 180.
    assert sum(len(generation.find(hashed)) for hashed in passed) < 5


def test_a_step_reads_the_journal_once_for_the_requests_of_one_row() -> None:
    life = Remembering()
    life.remember(*(freeze(f"r{i}") for i in range(10)))
    life.remember(*(freeze(f"other-{i}") for i in range(10)))
    assert all(life.finds(freeze(f"r{i}")) for i in range(10))
    assert 1 == life.remembered.reads == len(life.asked)


def test_what_the_house_keeps_is_within_its_bounds() -> None:
    assert KEEPING.keep_ms == limits.KEEP_ANSWERS_MS
    assert 10_000_000 < KEEPING.requests_max
    # Of all that is remembered, so much is in memory.
    assert generations.BYTES_PER_REQUEST * KEEPING.requests_max == 128 * 1024 * 1024


FIRST = c.Authorize("caller", "r", "a", "m", 100, "EUR", False, "ref")


@pytest.mark.parametrize(
    ("second", "field"),
    [
        (FIRST, None),
        (msgspec.structs.replace(FIRST, amount_minor=101), "amount_minor"),
        (msgspec.structs.replace(FIRST, merchant_id="n", capture=True), "merchant_id"),
        (msgspec.structs.replace(FIRST, reference=""), "reference"),
        (c.PlaceHold("caller", "r", "a", 100, "EUR"), "command"),
    ],
)
def test_the_first_field_that_differs_is_named(
    second: c.Command, field: str | None
) -> None:
    assert field == differing_field(FIRST, second)
