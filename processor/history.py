"""Where the entries of each account are: an index of the journal, not a copy.

An entry is a record that concerns an account: whatever changes it, and every
decline of a command about it.  The journal has the record; kept here, in 32
bytes a record, is whose it is, both balances right after it, and where to look
for the entry before.  What the balances were before is what that one says.

A table with something for each account would cost a cache miss or five for
each record, more than all the rest.  So there is none: accounts share a fixed
number of chains, the newest entry first, and a reader steps over those of
others.  Whose an entry is says the account's number; whoever decodes the records
checks it (`is_anothers`).  The rows lie on a sheet outside memory.

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
from itertools import pairwise
from operator import attrgetter
from struct import Struct
from typing import Any, get_args

import msgspec

from processor import commands as c
from processor import events as e
from processor.pieces import NOTHING, Past, Piece, Pieces
from processor.scratch import Scratch
from processor.state import TABLE_OF_ID, Account, ShardState

# Of the state, what was told (an event, or a command), and the event's command.
Find = Callable[[ShardState, Any, Any], Account | None]

_CHAINS = 2**16  # 150 accounts share one when there are ten millions of them.
_CHAIN_OF_NUMBER = _CHAINS - 1

# Whose it is, open to buy, outstanding, and the next older record of the chain.
_ROW = Struct("<4q")
_ROW_BYTES = _ROW.size
_pack_into = _ROW.pack_into
_GROWTH_BYTES_MIN = 64 * 1024
_GROWTH_BYTES_MAX = 64 * 1024 * 1024


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
    """One row for each record of the journal, at its sequence.

    The first of them may lie in the pieces of a snapshot.
    """

    def __init__(self, scratch: Scratch, past: Past | None = None) -> None:
        self._past = past or NOTHING
        self._sheet = scratch.sheet(_GROWTH_BYTES_MIN)
        self._rows = self._sheet.buffer  # Behind those.
        self._end, self._size = 0, _GROWTH_BYTES_MIN  # In bytes.
        self._newest = array("q", bytes(8 * _CHAINS))  # The sequence, by chain.

    def saved(self, pieces: Pieces) -> tuple[bytes, list[Piece]]:
        """All of it, for a snapshot: where chains begin, and the rows."""
        followed = self._past.followed(pieces, self._behind, self._end)
        return self._newest.tobytes(), followed

    def _behind(self, at: int, size: int) -> bytes:
        return bytes(self._rows[at : at + size])

    @classmethod
    def restored(
        cls, newest: bytes | memoryview, past: Past, scratch: Scratch
    ) -> "History":
        """What `saved` was made of.  Raises PieceDamaged."""
        history = cls(scratch, past)
        history._newest = array("q", bytes(newest))
        assert len(history._newest) == _CHAINS
        rest = past.rest()
        while history._size < len(rest):
            history._grow()
        history._rows[: len(rest)] = rest
        history._end = len(rest)
        return history

    @property
    def sequence(self) -> int:
        """The last record that was taken in."""
        return (self._past.size + self._end) // _ROW_BYTES

    def record(self, state: ShardState, event: Any, command: c.Command | None) -> None:
        """Take in the record that was applied last."""
        kind = type(event)
        find = _FIND[kind]
        account = None if find is None else find(state, event, command)
        at = self._end
        self._end = at + _ROW_BYTES
        if self._end > self._size:
            self._grow()
        if account is None:
            # A decline may be about something that is not there.
            assert find is None or kind is e.Declined
            return
        # Adding it up once more would cost half as much again.
        told = event if kind in _TELL_OPEN_TO_BUY else account
        number = account.number
        chain = number & _CHAIN_OF_NUMBER
        newest = self._newest
        _pack_into(
            self._rows,
            at,
            number,
            told.open_to_buy_minor,
            account.outstanding_minor,
            newest[chain],
        )
        newest[chain] = state.sequence

    def _grow(self) -> None:
        self._size += min(self._size, _GROWTH_BYTES_MAX)
        self._sheet.grow(self._size)
        self._rows = self._sheet.buffer

    def page(self, number: int, before: int, limit: int) -> Page | None:
        """The newest entries of an account, or those older than its entry `before`.

        None if `before` is neither 0 nor an entry of the account.
        """
        assert limit > 0
        sequence = self._newest[number & _CHAIN_OF_NUMBER]
        if before:
            if not 0 < before <= self.sequence:
                return None
            whose, _, _, sequence = self._row(before)
            if whose != number:
                return None
        found: list[tuple[int, int, int]] = []
        while sequence and len(found) <= limit:
            whose, open_to_buy_minor, outstanding_minor, older = self._row(sequence)
            if whose == number:
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
        at = _ROW_BYTES * (sequence - 1) - self._past.size
        row: tuple[int, int, int, int]
        if at >= 0:
            row = _ROW.unpack_from(self._rows, at)
        else:
            at += self._past.size
            row = _ROW.unpack(self._past.read(at, _ROW_BYTES, self._behind))
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
