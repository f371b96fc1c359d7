"""Which form a file to replay has: its columns say so, and nothing else.

One row of `FORMS` a form.  A file that is of none is refused with the columns
that each of them needs.
"""

from collections.abc import Awaitable
from datetime import date
from pathlib import Path
from typing import Final, Protocol

import msgspec

from gateway import clients, retail
from gateway.replays.result import ReplayResult
from gateway.replays.tables import UnreadableFile, header_of


class RunReplay(Protocol):
    """Replays a file; the same call continues one that was interrupted."""

    def __call__(
        self, *, url: str, key: str, file: Path, show_progress: bool
    ) -> Awaitable[ReplayResult]:
        """Raises UnreadableFile or ReplayFailed."""


class FirstDayOf(Protocol):
    """The day a replay of a file begins with."""

    def __call__(self, file: Path) -> date:
        """Raises UnreadableFile."""


class Form(msgspec.Struct, frozen=True):
    """One form: what its header must name, and how it is replayed."""

    name: str
    columns: tuple[str, ...]
    first_day_of: FirstDayOf
    run_replay: RunReplay


FORMS: Final = (
    Form("retail", retail.COLUMNS, retail.first_day_of, retail.run_replay),
    Form("clients", clients.COLUMNS, clients.first_day_of, clients.run_replay),
)


def form_of(file: Path) -> Form:
    """The form whose columns the file has; UnreadableFile when there is none."""
    found = header_of(file)
    for form in FORMS:
        if set(form.columns) <= set(found):
            return form
    wanted = "; ".join(f"{form.name}: {', '.join(form.columns)}" for form in FORMS)
    shown = ", ".join(cell[:40] for cell in found[:24]) or "nothing"
    raise UnreadableFile(
        f"{file.name}, line 1: of no form that can be replayed; the header needs the "
        f"columns of one ({wanted}) and has {shown}"
    )
