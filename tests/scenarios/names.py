"""What a story calls things, and what they are called in the house it plays in.

Stories share one server, so the names of each get a tag.  An account's tag
also decides where it lives: on the first shard, unless the story says that it
lives on another.  Days are moved by whole years, to a year that has a 29th of
February when the story's has.
"""

import calendar
import re
from collections.abc import Iterable
from datetime import date
from itertools import count
from typing import Any

from processor.ids import shard_of_slot, slot_of_account
from tests.scenarios.story import Given
from tests.scenarios.values import Literal

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MADE_ID = re.compile(r"[a-z]{2}_[0-9a-f]{6,}")


class NotCaught(Exception):
    """A story uses `$word` before an answer gave it."""


class Names:
    """Story form to real form and back; ids caught from answers too."""

    def __init__(
        self, tag: str, given: Given, shard_count: int, years: int = 0
    ) -> None:
        self.caught: dict[str, Any] = {}
        self._tag = tag
        self._given = given
        self._shard_count = shard_count
        self._years = years
        self._real: dict[tuple[bool, str], str] = {}
        self._story: dict[str, str] = {}

    def real(self, value: Any, name: str = "") -> Any:
        """A value of a request, `name` being its field.  Raises NotCaught."""
        if isinstance(value, dict):
            return {key: self.real(inner, key) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.real(inner, name) for inner in value]
        if not isinstance(value, str):
            return value
        if isinstance(value, Literal):
            return str(value)
        if value.startswith("$"):
            if value not in self.caught:
                raise NotCaught(f"no answer has given {value} yet")
            return self.caught[value]
        if _DATE.fullmatch(value):
            return self.real_day(value)
        if name.endswith("_id") and not _MADE_ID.fullmatch(value):
            return self._tagged(value, name.endswith("account_id"))
        return value

    def story(self, value: Any) -> Any:
        """A value of an answer, in story form."""
        if isinstance(value, dict):
            return {self.story(key): self.story(x) for key, x in value.items()}
        if isinstance(value, list):
            return [self.story(inner) for inner in value]
        if not isinstance(value, str):
            return value
        if _DATE.fullmatch(value):
            return moved(value, -self._years)
        if _MADE_ID.fullmatch(value):
            found = [word for word, caught in self.caught.items() if caught == value]
            return found[0] if found else value
        return self._story.get(value, value.removeprefix(self._tag))

    def path(self, path: str) -> str:
        """A path with this story's names for its parts.  Raises NotCaught."""
        return "/".join(self._part(part) for part in path.split("/"))

    def _part(self, part: str) -> str:
        for is_account in (True, False):
            if (is_account, part) in self._real:
                return self._real[is_account, part]
        return str(self.real(part))

    def is_volatile(self, value: Any) -> bool:
        """Whether a value is a day, and the story does not say which day it is."""
        is_day = isinstance(value, str) and _DATE.fullmatch(value) is not None
        return is_day and not self._given.today

    def accounts(self) -> list[str]:
        """The real ids of the accounts that were named so far."""
        return [real for (is_account, _), real in self._real.items() if is_account]

    def ledger_account(self, real: str) -> str:
        """`loan:t7.ada` as `loan:ada`."""
        return ":".join(self.story(part) for part in real.split(":"))

    def is_mine(self, ledger_account: str) -> bool:
        """Whether a ledger account carries a name of this story."""
        return any(part in self._story for part in ledger_account.split(":"))

    def real_day(self, day: str) -> str:
        """A day of the story on the server's calendar."""
        return moved(day, self._years)

    def _tagged(self, name: str, is_account: bool) -> str:
        real = self._real.get((is_account, name))
        if real is None:
            real = f"{self._tag}{name}"
            if is_account:
                real = self._placed(name)
            self._real[is_account, name] = real
            self._story[real] = name
        return real

    def _placed(self, name: str) -> str:
        is_elsewhere = name in self._given.elsewhere
        shard = self._shard_count - 1 if is_elsewhere else 0
        for number in count():
            real = f"{self._tag}{number}.{name}"
            if shard_of_slot(slot_of_account(real), self._shard_count) == shard:
                return real
        raise AssertionError("the slots of a shard are not empty")


def moved(day: str, years: int) -> str:
    """A day some years later."""
    found = date.fromisoformat(day)
    return found.replace(year=found.year + years).isoformat()


def years_until(dates: Iterable[str], current_day: str) -> int:
    """The fewest years to move days by, so that all are in years to come."""
    years = sorted(int(day[:4]) for day in dates)
    told = range(years[0], years[-1] + 1)
    for by in count(int(current_day[:4]) + 1 - years[0]):
        if all(calendar.isleap(year) == calendar.isleap(year + by) for year in told):
            return by
    raise AssertionError("there is always a later year")
