"""What every account went through, noted by somebody who reads all of it.

After each record the balances of all accounts are looked up.  An account is
concerned when it, or a purchase or hold of it, is named anywhere in the record;
nobody else's balances may have moved.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from processor import commands as c
from processor.history import History, Page, Place
from processor.records import ShardRecord
from processor.state import ShardState

NEWEST = 5
ALL = 1_000_000


class NaiveHistory:
    """A list of places for each account, in the order in which they were opened."""

    def __init__(self) -> None:
        self.places: dict[str, list[Place]] = {}
        self._balances: dict[str, tuple[int, int]] = {}

    def note(
        self, state: ShardState, record: ShardRecord, owners: Mapping[str, str]
    ) -> None:
        """One record more; `owners` says whose each purchase and hold is."""
        named = set(strings_in(record))
        if isinstance(record.command, c.ForceCapture):
            # It may name somebody else's purchase; it is about its own account.
            named.discard(record.command.authorization_id)
            named.add(getattr(record.event, "authorization_id", ""))
        concerned = {owners.get(name, name) for name in named} & set(state.accounts)
        assert len(concerned) <= 1
        for account_id, account in state.accounts.items():
            before = self._balances.get(account_id, (0, 0))
            after = account.open_to_buy_minor, account.outstanding_minor
            if account_id in concerned:
                place = Place(state.sequence, *before, *after)
                self.places.setdefault(account_id, []).append(place)
                self._balances[account_id] = after
            else:
                assert before == after

    def check(self, history: History, newest: int = NEWEST) -> None:
        """The index says the same of the newest entries, and at the end of all."""
        for number, places in enumerate(self.places.values(), 1):
            page = history.page(number, 0, newest)
            assert page is not None
            assert page.places == places[: -newest - 1 : -1]
            assert page.is_last == (len(places) <= newest)

    def check_all(self, history: History) -> None:
        """In one piece, and in pages."""
        self.check(history, ALL)
        for number, places in enumerate(self.places.values(), 1):
            found: list[Place] = []
            page = history.page(number, 0, 7)
            while page and page.places:
                found += page.places
                page = history.page(number, found[-1].sequence, 7)
            assert places[::-1] == found
        assert history.page(len(self.places) + 1, 0, 1) == Page([], is_last=True)


def strings_in(told: Any) -> Iterator[str]:
    """Every text in a struct, however deep."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, msgspec.Struct):
        for name in told.__struct_fields__:
            yield from strings_in(getattr(told, name))
    elif isinstance(told, tuple | list):
        for item in told:
            yield from strings_in(item)
    elif isinstance(told, dict):
        for key, value in told.items():
            yield from strings_in(key)
            yield from strings_in(value)
