"""One run over one file: a bar on a terminal, complaints by line, the outcome."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from gateway.debits.outcome import Outcome
from gateway.debits.reader import line_count, read_debits
from gateway.debits.sending import Sender, session_for


def send_file(file: Path, url: str, key: str) -> Outcome:
    """Send it all; UnreadableFile or SendingFailed if that cannot be."""
    return asyncio.run(_send_file(file, url, key))


async def _send_file(file: Path, url: str, key: str) -> Outcome:
    with _progress(file) as (advance, write):

        def complain(line: int, why: str) -> None:
            write(f"{file}:{line}: {why}")

        async with session_for(key) as session:
            return await Sender(session, url, complain, advance).send(read_debits(file))


@contextmanager
def _progress(
    file: Path,
) -> Iterator[tuple[Callable[[int], None], Callable[[str], None]]]:
    """How to advance, and how to write a line beside; a bar on a terminal only."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda lines: None, lambda text: click.echo(text, err=True)
        return
    with Progress(
        TextColumn("direct debits"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("lines"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("lines", total=line_count(file))
        yield (
            lambda lines: progress.advance(task, lines),
            lambda text: progress.console.print(
                text, highlight=False, markup=False, soft_wrap=True
            ),
        )
