"""Show how far a replay has come: a bar on a terminal, a line a day elsewhere.

Everything goes to standard error; standard output belongs to the summary and
its last line.
"""

from contextlib import AbstractContextManager, nullcontext
from datetime import date
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text


class Watcher(Protocol):
    """Is told what happens."""

    def day_started(self, day: date) -> None:
        """A day of the file begins."""

    def decided(self, count: int = 1) -> None:
        """So many more have their answer."""

    def note(self, text: str) -> None:
        """Something the person at the screen should know."""


class Silence:
    """Shows nothing."""

    def day_started(self, day: date) -> None:
        """Nothing to show."""

    def decided(self, count: int = 1) -> None:
        """Nothing to show."""

    def note(self, text: str) -> None:
        """Nothing to show."""


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f}/s")


class Bar:
    """A progress bar over all that is counted, with the day of the file."""

    def __init__(self, console: Console, total: int, counted: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(counted),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("replay", total=total)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def day_started(self, day: date) -> None:
        """Name the day in front of the bar."""
        self._progress.update(self._task, description=f"{day:%a} {day}")

    def decided(self, count: int = 1) -> None:
        """Move the bar."""
        self._progress.advance(self._task, count)

    def note(self, text: str) -> None:
        """Above the bar."""
        self._progress.console.print(text, highlight=False, markup=False)


class DayLines:
    """A plain line as each day begins, and one at the end."""

    def __init__(self, console: Console, total: int, counted: str) -> None:
        self._console = console
        self._total = total
        self._counted = counted
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.note(f"replay: {self._done} of {self._total} {self._counted} done")

    def day_started(self, day: date) -> None:
        """Say which day begins, and how much is done."""
        self.note(f"replay {day}: {self._done} of {self._total} {self._counted} done")

    def decided(self, count: int = 1) -> None:
        """Count them."""
        self._done += count

    def note(self, text: str) -> None:
        """A line of its own."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def watcher_for(
    show: bool, total: int, counted: str
) -> AbstractContextManager[Watcher]:
    """What fits where standard error goes; with `show` off, silence.

    `counted` is the plural of what `total` counts.
    """
    if not show:
        return nullcontext(Silence())
    console = Console(stderr=True)
    if console.is_terminal:
        return Bar(console, total, counted)
    return DayLines(console, total, counted)
