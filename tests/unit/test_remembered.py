"""Request ids: the same answer for as long as it is kept, the oldest go first."""

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import limits
from processor.remembered import Remembered, differing_field

EVENT = e.AccountFrozen("a")


def freeze(request_id: str, caller: str = "caller") -> c.FreezeAccount:
    return c.FreezeAccount(caller, request_id, "a")


def test_what_was_remembered_is_found_by_caller_and_id() -> None:
    remembered = Remembered(10)
    remembered.remember(freeze("r1"), EVENT)
    assert (freeze("r1"), EVENT) == remembered.find(freeze("r1"))
    assert remembered.find(freeze("r2")) is None
    assert remembered.find(freeze("r1", "somebody else")) is None


def test_what_was_first_wished_is_found_by_other_wishes_of_the_same_id() -> None:
    remembered = Remembered(10)
    remembered.remember(freeze("r1"), EVENT)
    found = remembered.find(c.CloseAccount("caller", "r1", "b"))
    assert (freeze("r1"), EVENT) == found


def test_the_oldest_is_forgotten_when_there_are_too_many() -> None:
    remembered = Remembered(3)
    for i in range(5):
        remembered.remember(freeze(f"r{i}"), EVENT)
    assert 3 == len(remembered)
    kept = [remembered.find(freeze(f"r{i}")) is not None for i in range(5)]
    assert [False, False, True, True, True] == kept


@pytest.mark.parametrize("bound", [0, limits.REMEMBERED_REQUESTS_MAX + 1])
def test_the_bound_is_within_the_houses(bound: int) -> None:
    with pytest.raises(AssertionError):
        Remembered(bound)


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
