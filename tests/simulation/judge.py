"""The judge: an expected state of the whole house, and what was promised.

Fed with every row the moment it is durable and with every answer the moment a
gateway gives it, whether it reaches anybody or not.  An answer that decides must
be durable by then and is the same for ever; what was said not to be done is not
done, unless the same request still wanders about somewhere.
"""

from typing import TYPE_CHECKING, Any

import msgspec

from loadtest.wishes import Answer
from processor import commands as c
from processor import messages as m
from processor.answers import answer_to
from processor.commands import Command
from processor.events import Event, SliceGranted
from processor.ids import shard_of_slot, slot_of_account, slot_of_made_id
from processor.journal import Batch
from processor.records import SETTLEMENT_RECORDS, SHARD_RECORDS
from tests.simulation.disk import Disk
from tests.simulation.naive_house import NaiveHouse
from tests.simulation.virtual import Violation

if TYPE_CHECKING:
    from collections.abc import Callable

Key = tuple[str, tuple[str, str]]


class Promise:
    """What was said of one request so far."""

    __slots__ = ("body", "loose")

    def __init__(self) -> None:
        self.loose = 0  # Sendings that may still do it.
        self.body: bytes | None = None


class Judge:
    """Raises Violation, or AssertionError out of the naive house."""

    def __init__(self, shard_count: int, first_day: str) -> None:
        self.shard_count = shard_count
        self.expected = NaiveHouse(shard_count, first_day)
        self.note: Callable[[str, str, bytes], None] = lambda kind, who, octets: None
        self._sequences: dict[str, int] = {}  # The last record of each journal.
        self._history: dict[int, list[tuple[str, Event]]] = {
            shard: [] for shard in range(shard_count)
        }
        self._promises: dict[Key, Promise] = {}

    def where(self, command: Command) -> str:
        """The node a command goes to."""
        if not command.ROUTED_BY:
            return "settlement"
        object_id: str = getattr(command, command.ROUTED_BY)
        if command.ROUTED_BY == "account_id":
            slot: int | None = slot_of_account(object_id)
        else:
            slot = slot_of_made_id(object_id)
        return f"shard-{shard_of_slot(slot or 0, self.shard_count)}"

    def _key(self, command: Command) -> Key:
        return self.where(command), (command.caller, command.request_id)

    # What clients hear.

    def sent(self, command: Command) -> None:
        """A request has reached a gateway."""
        self.note("asks", command.request_id, b"")
        self._promises.setdefault(self._key(command), Promise()).loose += 1

    def told(self, command: Command, answer: Answer) -> None:
        """A gateway answers one sending of a request."""
        key = self._key(command)
        self.note("answers", f"{answer.status} {command.request_id}", answer.body)
        promise = self._promises[key]
        if answer.is_unknown:
            return  # It may still be done.
        promise.loose -= 1
        if answer.is_not_done:
            if promise.loose == 0 and promise.body is None:
                self._check_not_done(key, command)
            return
        if answer.status != 200:
            raise Violation(f"{key} got status {answer.status}: {answer.body!r}")
        self._check_decided(key, command, answer)
        is_final = not isinstance(command, c.CloseDay)  # Too early may pass.
        if is_final and promise.body not in (None, answer.body):
            raise Violation(f"{key} was told {promise.body!r}, then {answer.body!r}")
        promise.body = answer.body

    def _check_not_done(self, key: Key, command: Command) -> None:
        if key in self.expected.recorded:
            raise Violation(f"{key} was said not to be done, and is durable")

    def _check_decided(self, key: Key, command: Command, answer: Answer) -> None:
        event = self.expected.recorded.get(key)
        if event is not None:
            if answer.body != answer_to(command, event):
                raise Violation(f"{key} was told {answer.body!r}, durable is {event}")
        elif not isinstance(command, c.CloseDay):
            raise Violation(f"{key} was told {answer.body!r}, and it is not durable")
        else:  # Closing again is a no-op, closing too early is not remembered.
            told: dict[str, Any] = msgspec.json.decode(answer.body)
            is_cut = command.day in self.expected.cuts
            if not is_cut and told["status"] != "declined":
                raise Violation(f"{key} was told {answer.body!r}, and is not durable")

    def check_entries(self, account_id: str, answer: Answer) -> None:
        """What is read of an account's history is what was written."""
        history = self._history[
            shard_of_slot(slot_of_account(account_id), self.shard_count)
        ]
        for entry in msgspec.json.decode(answer.body)["entries"]:
            day, event = history[entry["sequence"] - 1]
            amount_minor = getattr(event, "amount_minor", None)
            kind = event.__struct_config__.tag
            if (entry["business_day"], entry["kind"]) != (day, kind) or (
                amount_minor is not None and entry["amount_minor"] != amount_minor
            ):
                raise Violation(f"{account_id} is shown {entry}, written was {event}")

    # What becomes durable.

    def wrote(self, disk: Disk, row: Batch) -> None:
        """A row is durable."""
        if disk.has_on_old_copy(row):
            self._wrote_on_old_copy(disk, row)
            return
        if row.first_sequence != self._sequences.get(disk.name, 0) + 1:
            raise Violation(f"{disk.name} has two writers, or one that lost its place")
        self._sequences[disk.name] = row.last_sequence
        if disk.identity.kind == "settlement":
            records = SETTLEMENT_RECORDS.decode(row.records)
            self.expected.settlement_wrote(row.day, records)
            where = "settlement"
        else:
            number = disk.identity.number
            shard_records = SHARD_RECORDS.decode(row.records)
            self._history[number] += [(row.day, r.event) for r in shard_records]
            self.expected.shard_wrote(number, row.day, shard_records)
            where = f"shard-{number}"
            records = shard_records  # type: ignore[assignment]
        for record in records:
            if record.command is not None:
                self._check_was_wanted(where, record.command)
        self.expected.check()

    def _check_was_wanted(self, where: str, command: Any) -> None:
        key = (where, (command.caller, command.request_id))
        promise = self._promises.get(key)
        if promise is None or promise.loose <= 0:
            raise Violation(f"{key} is done, after it was said that it would not be")

    def _wrote_on_old_copy(self, disk: Disk, row: Batch) -> None:
        """An old copy may note what it is told, and decide nothing."""
        if disk.identity.kind == "shard":
            raise Violation(f"{disk.name} is an old copy, and goes on")
        for record in SETTLEMENT_RECORDS.decode(row.records):
            if record.command is not None or isinstance(record.event, SliceGranted):
                raise Violation(f"{disk.name} is an old copy, and decides {record}")

    def heard(self, shard: int, life: int, message: m.Message) -> None:
        """Settlement is told something by a shard."""
        if isinstance(message, m.SliceAsked):
            self.expected.was_asked(shard, life, message.ask)
