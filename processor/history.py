"""Where the entries of each account are: an index of the journal, not a copy.

An entry is a record that concerns an account: whatever changes it, and every
decline of a command about it.  The journal has the record; kept here, in 32
bytes a record, is whose it is, both balances right after it, and where to look
for the entry before.  What the balances were before is what that one says.

A table with something for each account would cost a cache miss or five for
each record, more than all the rest.  So there is none: accounts share a fixed
number of chains, the newest entry first, and a reader steps over those of
others.  Whose an entry is says a hash of 64 bits; two accounts with one hash
would be noticed by whoever decodes the records (`is_anothers`), never shown.

Fed by recovery and by the live shard alike, with each record and the state
right after `apply`, so a replay gives the same index.  It stands beside the
state and not in it: nothing is ever decided from it.

Which account a record concerns is said by the names of its fields alone:
`account_id`, or else the first `<noun>_id` for which the state has a table
`<noun>s` of things that know their account.  So an event that is added later
needs no line here; one that concerns no account must be said to.  An event that
has `open_to_buy_minor` means what it is right after it, and is believed.
"""

from array import array
from collections.abc import Callable
from hashlib import blake2b
from itertools import pairwise
from operator import attrgetter
from struct import Struct
from typing import Any, get_args

import msgspec

from processor import commands as c
from processor import events as e
from processor.state import TABLE_OF_ID, Account, ShardState

# Of the state, what was told (an event, or a command), and the event's command.
Find = Callable[[ShardState, Any, Any], Account | None]

_CHAINS = 2**16  # 150 accounts share one when there are ten millions of them.
_CHAIN_OF_KEY = _CHAINS - 1
_NEWEST = Struct(f"<{_CHAINS}q")

# Whose it is, open to buy, outstanding, and the next older record of the chain.
_ROW = Struct("<4q")
_ROW_BYTES = _ROW.size
_NOBODYS = bytes(_ROW_BYTES)
_pack = _ROW.pack

# Python's own hash is another in each process; this one can be saved.
_KEY = Struct("<q")
_HASHER = blake2b(
    digest_size=_KEY.size
)  # Copied: made anew it costs half as much again.


def _key_of(account_id: str) -> int:
    hasher = _HASHER.copy()
    hasher.update(account_id.encode())
    key: int = _KEY.unpack(hasher.digest())[0]
    return key


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where one entry is, and both balances around it, in minor units."""

    sequence: int
    open_to_buy_before_minor: int
    outstanding_before_minor: int
    open_to_buy_minor: int
    outstanding_minor: int


class Page(msgspec.Struct, frozen=True, gc=False):
    """Places, newest first; `is_last` when there is nothing older."""

    places: list[Place]
    is_last: bool


class History:
    """One row for each record of the journal, at its sequence."""

    def __init__(self) -> None:
        self._rows = bytearray()
        self._newest = array("q", bytes(8 * _CHAINS))  # The sequence, by chain.

    def saved(self) -> bytes:
        """All of it, for a snapshot."""
        return _NEWEST.pack(*self._newest) + self._rows

    @classmethod
    def restored(cls, saved: bytes | memoryview) -> "History":
        """What `saved` was made of."""
        history = cls()
        history._newest = array("q", _NEWEST.unpack_from(saved))
        history._rows = bytearray(memoryview(saved)[_NEWEST.size :])
        return history

    @property
    def sequence(self) -> int:
        """The last record that was taken in."""
        return len(self._rows) // _ROW_BYTES

    def record(self, state: ShardState, event: Any, command: c.Command | None) -> None:
        """Take in the record that was applied last."""
        kind = type(event)
        find = _FIND[kind]
        account = None if find is None else find(state, event, command)
        if account is None:
            # A decline may be about something that is not there.
            assert find is None or kind is e.Declined
            self._rows += _NOBODYS
            return
        # Adding it up once more would cost half as much again.
        told = event if kind in _TELL_OPEN_TO_BUY else account
        key = _key_of(account.account_id)
        chain = key & _CHAIN_OF_KEY
        newest = self._newest
        self._rows += _pack(
            key, told.open_to_buy_minor, account.outstanding_minor, newest[chain]
        )
        newest[chain] = state.sequence

    def page(self, account_id: str, before: int, limit: int) -> Page | None:
        """The newest entries of an account, or those older than its entry `before`.

        None if `before` is neither 0 nor an entry of the account.
        """
        assert limit > 0
        key = _key_of(account_id)
        sequence = self._newest[key & _CHAIN_OF_KEY]
        if before:
            if not 0 < before <= self.sequence:
                return None
            whose, _, _, sequence = self._row(before)
            if whose != key:
                return None
        found: list[tuple[int, int, int]] = []
        while sequence and len(found) <= limit:
            whose, open_to_buy_minor, outstanding_minor, older = self._row(sequence)
            if whose == key:
                found.append((sequence, open_to_buy_minor, outstanding_minor))
            sequence = older
        is_last = len(found) <= limit
        if is_last:
            found.append((0, 0, 0))  # Nothing was, before it was opened.
        places = [
            Place(newer[0], *older[1:], *newer[1:]) for newer, older in pairwise(found)
        ]
        return Page(places, is_last)

    def _row(self, sequence: int) -> tuple[int, int, int, int]:
        row: tuple[int, int, int, int] = _ROW.unpack_from(
            self._rows, _ROW_BYTES * (sequence - 1)
        )
        return row


def is_anothers(
    state: ShardState, event: e.Event, command: c.Command | None, account: Account
) -> bool:
    """Whether a record is not about an account, asked exactly."""
    find = _FIND[type(event)]
    if find is None:
        return True
    found = find(state, event, command)
    # What led to the account may have left the state since.
    return found is not None and found is not account


# Which account a record concerns.


def find_by_fields(kind: type[msgspec.Struct]) -> Find | None:
    """How such an event or command finds its account; None if it names none."""
    names = kind.__struct_fields__
    if "account_id" in names:
        return _by_account_id
    for name in names:
        if name in TABLE_OF_ID:
            return _through(name, TABLE_OF_ID[name])
    return None


def _by_account_id(state: ShardState, told: Any, command: Any) -> Account | None:
    return state.accounts.get(told.account_id)


def _through(field: str, table: str) -> Find:
    id_of, table_of = attrgetter(field), attrgetter(table)

    def find(state: ShardState, told: Any, command: Any) -> Account | None:
        found = table_of(state).get(id_of(told))
        return None if found is None else state.accounts[found.account_id]

    return find


def _by_command(state: ShardState, event: Any, command: Any) -> Account | None:
    return _FIND_OF_COMMAND[type(command)](state, command, None)


_OF_NO_ACCOUNT = {e.SliceReceived, e.SliceReturned, e.DayMoved, e.ReferenceReceived}

_FIND_OF_COMMAND: dict[type[c.Command], Find] = {}
for _command in get_args(c.AccountCommand):
    _find = find_by_fields(_command)
    assert _find is not None, f"{_command.__name__} names no account"
    _FIND_OF_COMMAND[_command] = _find

_FIND: dict[type[e.Event], Find | None] = {}
for _event in get_args(e.ShardEvent):
    _find = _by_command if _event is e.Declined else find_by_fields(_event)
    assert (_find is None) == (_event in _OF_NO_ACCOUNT), (
        f"{_event.__name__} must name an account or a thing of one, or be said to "
        "concern none"
    )
    _FIND[_event] = _find

_TELL_OPEN_TO_BUY = {
    kind for kind in _FIND if "open_to_buy_minor" in kind.__struct_fields__
}
