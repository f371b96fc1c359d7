"""Where ids live: the same slot on every machine, and ids that carry it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import limits
from processor.ids import (
    IdKind,
    make_id,
    shard_of_slot,
    slot_of_account,
    slot_of_made_id,
)

slots = st.integers(0, limits.SLOTS - 1)


@given(
    kind=st.sampled_from(IdKind),
    slot=slots,
    shard=st.integers(0, limits.SHARDS_MAX - 1),
    sequence=st.integers(1, 2**53),
)
def test_a_made_id_carries_its_slot(
    kind: IdKind, slot: int, shard: int, sequence: int
) -> None:
    made = make_id(kind, slot, shard, sequence)
    assert slot == slot_of_made_id(made)
    assert made.startswith(f"{kind.value}_")
    assert len(made) <= limits.ID_LENGTH_MAX


def test_ids_are_what_they_were_when_journals_were_written() -> None:
    """A change here would send every stored id to another shard."""
    assert "au_00100a" == make_id(IdKind.AUTHORIZATION, 1, 0, 10)
    assert "rp_fffffffff" == make_id(IdKind.REPAYMENT, 4_095, 255, 0xFFFF)
    slots_then = {"": 0, "a": 4_005, "account-1": 2_396, "17850": 305}
    assert slots_then == {name: slot_of_account(name) for name in slots_then}


@given(
    first=st.tuples(slots, st.integers(0, 255), st.integers(1, 10**9)),
    second=st.tuples(slots, st.integers(0, 255), st.integers(1, 10**9)),
)
def test_ids_of_different_records_differ(
    first: tuple[int, int, int], second: tuple[int, int, int]
) -> None:
    ids = [make_id(IdKind.HOLD, *where) for where in (first, second)]
    assert (first == second) == (ids[0] == ids[1])


@pytest.mark.parametrize(
    "other",
    [
        "",
        "au",
        "au_",
        "au_001",
        "au_00100",
        "au-00100a",
        "auth00100a",
        "au_xyz00a",
        "au_-1100a",
        "account-1",
    ],
)
def test_what_is_no_made_id_has_no_slot(other: str) -> None:
    assert slot_of_made_id(other) is None


@given(text=st.text(max_size=70))
def test_any_text_has_a_slot_or_none_and_never_fails(text: str) -> None:
    slot = slot_of_made_id(text)
    assert slot is None or 0 <= slot < limits.SLOTS
    assert 0 <= slot_of_account(text) < limits.SLOTS


@pytest.mark.parametrize("shard_count", [1, 2, 3, 7, 64, limits.SHARDS_MAX])
def test_every_slot_has_one_shard_and_the_shards_are_even(shard_count: int) -> None:
    owners = [shard_of_slot(slot, shard_count) for slot in range(limits.SLOTS)]
    assert owners == sorted(owners)
    sizes = [owners.count(shard) for shard in range(shard_count)]
    assert limits.SLOTS == sum(sizes)
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("form", ["{}", "account-{}", "{:08d}", "c{}x"])
def test_like_accounts_are_spread_over_the_shards(form: str) -> None:
    count = 8_000
    owners = [shard_of_slot(slot_of_account(form.format(i)), 8) for i in range(count)]
    for shard in range(8):
        assert count // 16 < owners.count(shard) < count // 4
