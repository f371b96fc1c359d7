"""An account's entries as a reader is shown them, put together from rows.

A reading is a state machine without I/O, like the node that starts it: it says
which record it wants next, is given the journal row that holds it, and ends in
an answer.  Which entries those are was fixed when it was asked for, and all of
them are durable by the time it begins; what happens meanwhile changes nothing.

Whoever drives it gives it one row at a time and goes on with other work
between two rows.
"""

import datetime
from typing import Any

import msgspec

from processor.answers import ENCODER
from processor.commands import Command
from processor.events import Declined, Event
from processor.history import Page, Place, is_anothers
from processor.journal import Batch
from processor.messages import Answer, Outcome
from processor.records import ShardRecord
from processor.state import Account, ShardState

# Of a row of thousands a page wants a few: the others are stepped over.
_ROW = msgspec.msgpack.Decoder(list[msgspec.Raw])
_RECORD = msgspec.msgpack.Decoder(ShardRecord)

_NAMED_ELSEWHERE = frozenset({"account_id", "request_id"})


class CauseView(msgspec.Struct, frozen=True, gc=False):
    """The command behind an entry: what was asked, by whom, under which key."""

    name: str
    caller: str
    request_id: str


class BalancesView(msgspec.Struct, frozen=True, gc=False):
    """What may still be bought (negative: over limit), and the principal owed."""

    open_to_buy_minor: int
    outstanding_minor: int


class EntryView(msgspec.Struct, frozen=True, gc=False):
    """One fact about an account; amounts in minor units.

    `command` is null for what the processor did by itself, such as an expiry;
    `reason` says why a command was declined, and is null otherwise.  `ids` has
    every other id of the fact and its command by its name, such as
    `authorization_id`.  `at` is the time of the record, in UTC.
    """

    sequence: int
    at: str
    business_day: str
    kind: str
    amount_minor: int | None
    reason: str | None
    command: CauseView | None
    ids: dict[str, str]
    before: BalancesView
    after: BalancesView


class EntriesView(msgspec.Struct, frozen=True, gc=False):
    """Entries of an account, newest first.

    `next` goes on with older ones when it is given as `before`; null at the end.
    """

    entries: tuple[EntryView, ...]
    next: str | None


class Reading:
    """One page on its way, for who asked under `correlation` on `connection`."""

    def __init__(
        self,
        connection: int,
        correlation: int,
        state: ShardState,
        account: Account,
        page: Page,
    ) -> None:
        self.connection = connection
        self._correlation = correlation
        self._state = state  # Asked only whose a record is, which never changes.
        self._account = account
        self._next = None if page.is_last else str(page.places[-1].sequence)
        self._wanted = page.places[::-1]  # The next one last.
        self._entries: list[EntryView] = []

    @property
    def wants(self) -> int:
        """The record it needs next; 0 when it needs no more."""
        return self._wanted[-1].sequence if self._wanted else 0

    def take(self, row: Batch) -> None:
        """The row that holds the record it wants, and perhaps more of them."""
        assert row.first_sequence <= self.wants <= row.last_sequence
        records = _ROW.decode(row.records)
        while self.wants >= row.first_sequence:
            place = self._wanted.pop()
            record = _RECORD.decode(records[place.sequence - row.first_sequence])
            command, event = record.command, record.event
            assert not is_anothers(self._state, event, command, self._account)
            self._entries.append(_entry(place, command, event, row))

    def answer(self) -> Answer:
        """The page, once it wants no more."""
        assert not self._wanted
        view = EntriesView(tuple(self._entries), self._next)
        return Answer(self._correlation, Outcome.READ, ENCODER.encode(view))

    def refusal(self, why: str) -> Answer:
        """What is told instead when it cannot be carried out."""
        return Answer(self._correlation, Outcome.NOT_DONE, why.encode())


def _entry(
    place: Place, command: Command | None, event: Event, row: Batch
) -> EntryView:
    amount_minor = getattr(event, "amount_minor", None)
    reason = None
    if isinstance(event, Declined):  # What was wanted is in the command.
        amount_minor = getattr(command, "amount_minor", None)
        reason = event.reason.value
    cause = None
    if command is not None:
        name = command.wire_name()
        cause = CauseView(name, command.caller, command.request_id)
    return EntryView(
        place.sequence,
        _utc(row.at_ms),
        row.day,
        str(event.__struct_config__.tag),
        amount_minor,
        reason,
        cause,
        _ids(command) | _ids(event),
        BalancesView(place.open_to_buy_before_minor, place.outstanding_before_minor),
        BalancesView(place.open_to_buy_minor, place.outstanding_minor),
    )


def _ids(told: Any) -> dict[str, str]:
    """What a command or an event names, by the name of the field."""
    names = getattr(told, "__struct_fields__", ())
    found = {
        name: getattr(told, name)
        for name in names
        if name.endswith("_id") and name not in _NAMED_ELSEWHERE
    }
    return {name: value for name, value in found.items() if value}


def _utc(at_ms: int) -> str:
    """A time in ISO 8601, to the millisecond."""
    second = datetime.datetime.fromtimestamp(at_ms // 1_000, datetime.UTC)
    return f"{second:%Y-%m-%dT%H:%M:%S}.{at_ms % 1_000:03}Z"
