"""Where a story is played: the same play on any house.

A stage carries out what the story asks, in real form, and says how far the
journals have come; the rows are read from the journals afterwards.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from gateway.routes import CommandRoute, QueryRoute
from tests.scenarios.ledger import Mark
from tests.scenarios.names import Names
from tests.scenarios.story import Answer, Story

SHARDS = 2


@dataclass(frozen=True)
class Told:
    """An answer: its fields, and its bytes.

    What is no decision has the status `refused`, and for a reason the slug of
    the problem.
    """

    answer: Answer
    body: bytes


def refused(slug: str, field: str = "") -> Told:
    """Nothing was decided, because of this problem."""
    answer = {"status": "refused", "reason": slug}
    return Told(answer | ({"field": field} if field else {}), b"")


class Stage(Protocol):
    """A house that a story can be played in."""

    def names_for(self, story: Story) -> Names:
        """Begin a story: its names here, and its first day opened."""

    def ask(self, route: CommandRoute, request_id: str, fields: dict[str, Any]) -> Told:
        """Carry out a command; returns when all that follows from it is done."""

    def ask_all(
        self, route: CommandRoute, request_id: str, wishes: list[dict[str, Any]]
    ) -> list[Told]:
        """Carry out many commands of one kind, in order."""

    def read(self, route: QueryRoute, object_id: str) -> Told:
        """Read an object."""

    def fetch(self, path: str) -> Told | None:
        """Read a path; None where there are no paths."""

    def pass_time(self, seconds: int) -> None:
        """Let time pass, and what is due by then happen."""

    def mark(self) -> Mark:
        """How far each journal has come."""
