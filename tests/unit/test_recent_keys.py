"""Keys used for two shards: what is found is right, what is kept is little."""

from gateway.door import RecentKeys
from processor.commands import CloseAccount, CloseDay, Command

PLACES = 64


def close(request_id: str, account_id: str) -> Command:
    return CloseAccount("caller", request_id, account_id)


def test_the_same_key_for_another_account_is_found_and_for_the_same_it_is_not() -> None:
    for number in range(1_000):
        recent = RecentKeys(2**14)
        key = f"key-{number}"
        assert not recent.is_reused(close(key, "alice"))
        assert not recent.is_reused(close(key, "alice"))
        assert recent.is_reused(close(key, f"bob-{number}"))
        assert recent.is_reused(close(key, f"bob-{number}"))  # It stays alice's.
        assert not recent.is_reused(close(key, "alice"))
        recent.forget(close(key, "alice"))
        assert not recent.is_reused(close(key, f"bob-{number}"))


def test_another_key_in_the_same_place_takes_it_and_is_never_taken_for_it() -> None:
    recent = RecentKeys(PLACES)
    for number in range(20_000):
        assert not recent.is_reused(close(f"key-{number}", f"account-{number}"))
    # What has lost its place to others is not there any more.
    recent.forget(close("key-0", "account-0"))
    assert recent.is_reused(close("key-19999", "another"))


def test_what_goes_to_no_shard_has_a_route_of_its_own() -> None:
    recent = RecentKeys(2**14)
    day = CloseDay("caller", "key", "2026-01-01")
    assert not recent.is_reused(day)
    assert not recent.is_reused(day)
    assert recent.is_reused(close("key", "alice"))
