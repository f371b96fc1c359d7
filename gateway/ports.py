"""What the gateway needs of the nodes; `actors.nodes.Nodes` is that, tests fake it.

The future of `submit` belongs to the gateway once it is returned: at its
deadline the gateway ends it with OutcomeUnknown, so the nodes must look whether
it is done before they set an answer.  The command itself goes on regardless:
nothing the gateway does takes back what was submitted.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from actors.nodes import NothingDone, OutcomeUnknown, Overloaded
from actors.runner import Statistics
from processor.commands import Command
from processor.messages import Answer

__all__ = ["NodesPort", "NothingDone", "OutcomeUnknown", "Overloaded"]


class NodesPort(Protocol):
    """The shards and settlement, wherever they run."""

    @property
    def ready(self) -> bool:
        """Whether every node can be reached."""

    def submit(self, command: Command) -> asyncio.Future[Answer]:
        """Send a command; raises NothingDone or Overloaded, at once or later."""

    async def query(self, kind: str, object_id: str) -> Answer:
        """Read an object after everything that was submitted before."""

    async def status(self) -> dict[str, object]:
        """Each node's epoch, sequence, process and business day."""

    async def statistics(self) -> Sequence[Statistics]:
        """Each node's counters."""
