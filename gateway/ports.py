"""What the gateway needs of the nodes; `actors.nodes.Nodes` is that, tests fake it.

At its deadline the gateway tells who waits that the outcome is unknown; what
the nodes say after that is dropped there.  The command itself goes on
regardless: nothing the gateway does takes back what was submitted.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from actors.backlog import BULK, SINGLE, Backlog, Sender
from actors.nodes import (
    Awaited,
    NothingDone,
    OutcomeUnknown,
    Overloaded,
    TooLate,
    Waiting,
)
from actors.runner import Statistics
from processor.commands import Command
from processor.messages import Answer

__all__ = [
    "BULK",
    "SINGLE",
    "Awaited",
    "Backlog",
    "NodesPort",
    "NothingDone",
    "OutcomeUnknown",
    "Overloaded",
    "Sender",
    "TooLate",
    "Waiting",
]


class NodesPort(Protocol):
    """The shards and settlement, wherever they run."""

    @property
    def ready(self) -> bool:
        """Whether every node can be reached."""

    @property
    def backlogs(self) -> Mapping[str, Backlog]:
        """What is on its way to each node, by name."""

    def has_room(self, sender: Sender) -> bool:
        """Whether any shard would take one more command of a sender."""

    def submit(
        self,
        command: Command,
        waiting: Waiting,
        sender: Sender | None = None,
        deadline_ms: int = 0,
        part: int = SINGLE,
    ) -> None:
        """Send a command; raises NothingDone or one of its kind, or tells `waiting`.

        It is not decided after `deadline_ms` of the system's `perf_counter`.
        Without a sender it is sent however much waits already.
        """

    async def query(self, kind: str, object_id: str) -> Answer:
        """Read an object after everything that was submitted before."""

    async def query_entries(self, account_id: str, before: int, limit: int) -> Answer:
        """Read entries of an account before a sequence (0: the last), newest first."""

    async def status(self) -> dict[str, object]:
        """Each node's epoch, sequence, process and business day."""

    async def statistics(self) -> Sequence[Statistics]:
        """Each node's counters."""
