"""The life of each object: which event takes it from which status to which.

Every story of the book is played in the core; the journals it leaves are folded
once more, record by record, and whatever changed its status is noted.  The table
in `processor/DESIGN.md` is what was noted: `python -m tests.scenarios.lifecycles`
prints it.
"""

from collections.abc import Iterator
from typing import Any

from processor import machine
from processor.records import SHARD_RECORDS
from processor.state import TABLE_OF_ID, ShardState
from tests.scenarios.in_core import CoreStage
from tests.scenarios.player import play
from tests.scenarios.reader import chapters
from tests.unit.house_in_memory import House

Step = tuple[str, str, str, str]  # Object, status before ("" is new), event, after.

_OBJECTS = {
    "account_id": ("account", "accounts"),
    **{name: (name.removesuffix("_id"), table) for name, table in TABLE_OF_ID.items()},
}


def observed() -> list[Step]:
    """Every step that an object of some story made, sorted."""
    found: set[Step] = set()
    for story in (story for chapter in chapters() for story in chapter):
        stage = CoreStage()
        play(story, stage)
        found.update(_steps(stage.house))
    return sorted(found)


def _steps(house: House) -> Iterator[Step]:
    for rows in house.shard_rows:
        identity = rows.identity
        state = ShardState(identity.number, identity.shard_count, identity.first_day)
        for batch in rows.batches:
            for record in SHARD_RECORDS.decode(batch.records):
                before = _statuses(state, record)
                machine.apply(state, record.event, record.command)
                event = record.event.__struct_config__.tag
                for (kind, name), status in _statuses(state, record).items():
                    was = before.get((kind, name), "")
                    if was != status:
                        yield kind, was, str(event), status


def _statuses(state: ShardState, record: Any) -> dict[tuple[str, str], str]:
    """The status of each object that a record names, or is about."""
    found: dict[tuple[str, str], str] = {}
    for told in (record.event, record.command):
        for field, (kind, table) in _OBJECTS.items():
            name = getattr(told, field, "")
            thing: Any = getattr(state, table).get(name)
            if thing is not None:
                found[kind, name] = thing.status.value
                account = state.accounts.get(getattr(thing, "account_id", ""))
                if account is not None:
                    found["account", account.account_id] = account.status.value
    return found


def table() -> str:
    """The steps as a table of Markdown."""
    lines = ["| object | from | by | to |", "| --- | --- | --- | --- |"]
    for kind, before, event, after in observed():
        lines.append(f"| {kind} | {before or '·'} | `{event}` | {after} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
