"""A state comes back as it was, and shares what it shared."""

import sys
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from processor import saved_state
from processor.journal import Identity, read_journal
from processor.recovery import Replay, digest_of, replay_of
from processor.saved_state import parts_of, state_of
from processor.state import ShardState
from tests.upgrade.released import unpack_format_1

_LIMITS = (1, 7, 512)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> ShardState:
    """The state of a shard in which everything has happened that stories tell of."""
    data_dir = tmp_path_factory.mktemp("format-1")
    unpack_format_1(data_dir)
    with read_journal(data_dir / "shard-000.journal") as (identity, rows):
        replay = _begun(identity)
        for row in rows:
            replay.replay(row)
    assert isinstance(replay.state, ShardState)
    return replay.state


def _begun(identity: Identity) -> Replay:
    return replay_of(identity)(identity)


def bytes_of(state: ShardState) -> int:
    """Of all objects in its tables, each counted once."""
    sizes: dict[int, int] = {}
    kept = []  # So that no other gets its id.

    def walk(value: Any) -> None:
        if id(value) in sizes:
            return
        sizes[id(value)] = sys.getsizeof(value)
        kept.append(value)
        if isinstance(value, dict):
            for key, item in dict.items(value):
                walk(key)
                walk(item)
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)
        elif isinstance(value, msgspec.Struct):
            for field in value.__struct_fields__:
                walk(getattr(value, field))

    for table in (state.accounts, *state.paged, state.in_debt):
        walk(table)
    return sum(sizes.values())


@pytest.mark.parametrize("at_once", _LIMITS)
def test_it_is_the_same(
    lived: ShardState, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(saved_state, "_AT_ONCE", at_once)
    parts = parts_of(lived)
    assert parts_of(state_of(parts)) == parts
    assert digest_of(state_of(parts)) == digest_of(lived)
    saved = len(lived.accounts) + sum(table.in_memory for table in lived.paged)
    assert min(saved, 1 + saved // at_once) <= len(parts) <= 6 + saved // at_once


def test_it_takes_no_more_memory(lived: ShardState) -> None:
    assert bytes_of(state_of(parts_of(lived))) <= bytes_of(lived)


@pytest.fixture(scope="module")
def restored(lived: ShardState) -> ShardState:
    return state_of(parts_of(lived))


@pytest.mark.parametrize("field", ["program_id", "currency"])
def test_accounts_share(restored: ShardState, field: str) -> None:
    assert_one_of_each([getattr(x, field) for x in restored.accounts.values()])


@pytest.mark.parametrize("field", ["slot", "wakes_on"])
def test_accounts_share_numbers(restored: ShardState, field: str) -> None:
    numbers = [getattr(x, field) for x in restored.accounts.values()]
    large = [number for number in numbers if number > 256]  # Python's own are shared.
    assert len({id(number) for number in large}) == len(set(large)) < len(large)


@pytest.mark.parametrize(
    "field", ["merchant_id", "program_id", "purchase_day", "plan_id", "category"]
)
def test_purchases_share(restored: ShardState, field: str) -> None:
    bought = restored.authorizations.values()
    assert_one_of_each([getattr(x, field) for x in bought])


def test_an_accounts_id_is_one_everywhere(restored: ShardState) -> None:
    accounts = restored.accounts
    named = [x.account_id for table in restored.paged for x in table.values()]
    everywhere = [*named, *accounts, *(x.account_id for x in accounts.values())]
    assert_one_of_each([*everywhere, *restored.in_debt])


def test_a_purchases_id_is_one_everywhere(restored: ShardState) -> None:
    bought = restored.authorizations
    unpaid = [name for x in restored.accounts.values() for name in x.unpaid or ()]
    assert unpaid
    assert_one_of_each(
        [*unpaid, *bought, *(x.authorization_id for x in bought.values())]
    )


def test_days_of_velocity_limits_are_shared(restored: ShardState) -> None:
    limits = [x.velocity for x in restored.accounts.values() if x.velocity]
    meters = [
        x for limit in limits for x in (limit.overall, *limit.categories.values())
    ]
    assert_one_of_each([meter.day for meter in meters])


def assert_one_of_each(values: list[str]) -> None:
    """Equal strings are one object, and there are equal ones."""
    values = [value for value in values if value]
    assert len(set(values)) < len(values)
    assert len({id(value) for value in values}) == len(set(values))


@pytest.mark.parametrize("what", ["minor", "parts"])
@pytest.mark.parametrize("of", ["captured", "outstanding"])
def test_all_of_a_purchase_is_one_amount(
    restored: ShardState, of: str, what: str
) -> None:
    amounts = [
        (getattr(x, f"total_{what}"), getattr(x, f"{of}_{what}"))
        for x in restored.authorizations.values()
    ]
    equal = [(total, amount) for total, amount in amounts if total == amount]
    assert equal
    assert all(total is amount for total, amount in equal)


@pytest.mark.parametrize("of", ["captured", "given_back", "refunded", "outstanding"])
def test_nothing_of_a_purchase_is_one_amount(restored: ShardState, of: str) -> None:
    amounts = [getattr(x, f"{of}_parts") for x in restored.authorizations.values()]
    nothing = [amount for amount in amounts if not any(amount)]
    assert len({id(x) for x in nothing}) == len(set(nothing)) < len(nothing)


def test_purchases_of_one_moment_expire_at_one(restored: ShardState) -> None:
    expire = [x.expires_at_ms for x in restored.authorizations.values()]
    pairs = [(a, b) for a, b in pairwise(expire) if a == b]
    parts = len(expire) // saved_state._AT_ONCE
    assert sum(a is not b for a, b in pairs) <= parts < len(pairs)
