"""Ways to tamper with the story of debts: one record, one field, or its absence."""

from collections.abc import Callable
from typing import Any

import msgspec

from processor import events as e
from tests.unit.debt_story import place
from tests.unit.journals_by_hand import SHARD_0, Journals

OF_DEBTS = (
    e.RepaymentFinal,
    e.RepaymentReturned,
    e.CreditUsed,
    e.CreditPaidOut,
    e.StatementIssued,
    e.PenaltyCharged,
    e.DueMoved,
    e.ChargesWaived,
    e.PlanExtended,
    e.SettledEarly,
    e.WrittenOff,
    e.WriteOffReversed,
    e.RecoveryRecorded,
    e.RecoveryReversed,
    e.ClaimPaid,
    e.ClaimReversed,
    e.AdjustmentProposed,
    e.AdjustmentApproved,
    e.AdjustmentRejected,
)

Tamper = Callable[[Journals], Any]
edit = msgspec.structs.replace


def change(kind: type[e.Event], nth: int, /, **fields: Any) -> Tamper:
    """Change fields of the nth event of a kind; a function makes new of old."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        sequence = place(script, kind, nth)
        event = script.records[sequence - 1].event
        new = {
            name: value(getattr(event, name)) if callable(value) else value
            for name, value in fields.items()
        }
        script.change(sequence, **new)

    return tamper


def ask_otherwise(kind: type[e.Event], nth: int, /, **fields: Any) -> Tamper:
    """Change the command of the nth event of a kind."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        sequence = place(script, kind, nth)
        record = script.records[sequence - 1]
        script.put(sequence, edit(record.command, **fields), record.event)

    return tamper


def lose(kind: type[e.Event], nth: int = 1) -> Tamper:
    """Put what says nothing in the place of an event."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        sequence = place(script, kind, nth)
        seen = [r.event for r in script.records[:sequence]]
        facts = [x for x in seen if isinstance(x, e.ReferenceReceived)]
        script.put(sequence, None, e.ReferenceReceived(facts[-1].version, ()))

    return tamper


def at(index: int, **fields: Any) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Change one of several parts of an event."""

    def made(parts: tuple[Any, ...]) -> tuple[Any, ...]:
        found = list(parts)
        found[index] = edit(found[index], **fields)
        return tuple(found)

    return made


def without(index: int) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    return lambda parts: parts[:index] + parts[index + 1 :]


def twice(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*parts, parts[0])


def recut(**fields: Any) -> Callable[[e.Recut], e.Recut]:
    """Change the first line of a recut."""
    return lambda old: edit(old, lines=at(0, **fields)(old.lines))


def terms_of(**fields: Any) -> Tamper:
    """Other terms of the program than the processor had."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        for sequence, record in enumerate(script.records, 1):
            if not isinstance(record.event, e.ReferenceReceived):
                continue
            facts = [
                edit(fact, terms=edit(fact.terms, **fields))
                if isinstance(fact, e.ProgramRegistered)
                else fact
                for fact in record.event.facts
            ]
            script.change(sequence, facts=tuple(facts))

    return tamper


def both(*tampers: Tamper) -> Tamper:
    return lambda found: [tamper(found) for tamper in tampers]


def by_itself(kind: type[e.Event]) -> Tamper:
    """Nobody has asked for it."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        sequence = place(script, kind)
        script.put(sequence, None, script.records[sequence - 1].event)

    return tamper


def again(kind: type[e.Event]) -> Tamper:
    """The same event once more, at the end."""

    def tamper(found: Journals) -> None:
        script = found[SHARD_0]
        script.add(None, script.records[place(script, kind) - 1].event)

    return tamper


def one_row_of_the_second_day(found: Journals) -> None:
    """All of it at once: no row shows who has been looked at before its end."""
    script = found[SHARD_0]
    begun, ended = place(script, e.DayMoved, 1), place(script, e.DayMoved, 2)
    script.rows = [1] * begun + [ended - begun]


P1 = "au_5af00c"  # Dora's, by three fees.
UNKNOWN = (e.LineCharge("au_none", 1, 5),)
