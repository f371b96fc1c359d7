"""Simulate: `python -m tests.simulation --seed 7`, `--seeds 100000`, `--planted all`.

One seed is lived once and, with `--verbose`, told line by line.  Many seeds use
every core and show how far they are; each that fails is printed with the
shortest story that fails in the same way.  Planted bugs must all be caught.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from tests.simulation.outcome import Outcome, outcome_of, shrunk
from tests.simulation.planted import PLANTED
from tests.simulation.story import Story, story_of

_CHUNK = 20  # Seeds a worker takes at a time.
_SHOWN_LINES = 60
_SECONDS_PER_LINE = 60.0  # Where nobody can see a bar.


def _live(seeds: range) -> list[Outcome]:
    return [outcome_of(story_of(seed)) for seed in seeds]


def _shrink(seed: int) -> tuple[Story, Outcome]:
    story = story_of(seed)
    shorter = shrunk(story, outcome_of(story))
    return shorter, outcome_of(shorter, is_told=True)


def _catch(name: str, seeds: int) -> tuple[str, int, Outcome | None]:
    parts, around = PLANTED[name]
    for seed in range(seeds):
        outcome = outcome_of(story_of(seed), parts, around)
        if not outcome.is_good:
            return name, seed + 1, outcome
    return name, seeds, None


@click.command()
@click.option("--seed", type=int, help="Live one story.")
@click.option("--verbose", is_flag=True, help="Tell it line by line.")
@click.option("--seeds", type=int, help="Live so many stories.")
@click.option("--first", type=int, default=0, help="The first of them.")
@click.option("--workers", type=int, default=os.cpu_count(), help="Processes.")
@click.option("--planted", help="Catch this planted bug, or all.")
@click.option("--within", type=int, default=500, help="Seeds a bug is given.")
def main(
    seed: int | None,
    verbose: bool,
    seeds: int | None,
    first: int,
    workers: int,
    planted: str | None,
    within: int,
) -> None:
    """Simulate the house; the exit code says whether all went well."""
    console = Console()
    logging.disable()  # Snapshots that rot are told of a thousand times.
    if planted:
        names = list(PLANTED) if planted == "all" else [planted]
        sys.exit(not catch(console, names, within, workers))
    if seeds is not None:
        sys.exit(not live_many(console, range(first, first + seeds), workers))
    sys.exit(not live_one(console, seed or 0, verbose))


def live_one(console: Console, seed: int, is_told: bool) -> bool:
    """One story; whether all went well."""
    story = story_of(seed)
    outcome = outcome_of(story, is_told=is_told)
    for line in outcome.lines:
        print(line)
    if outcome.is_good:
        console.print(
            f"seed {seed}: all went well: {len(story.deeds)} deeds, {outcome.faults} "
            f"faults, {outcome.events} events, trace {outcome.digest}"
        )
    else:
        tell(console, *_shrink(seed))
    return outcome.is_good


def tell(console: Console, story: Story, outcome: Outcome) -> None:
    """A failure, with the end of its shortest trace."""
    console.rule(f"seed {story.seed} fails in {outcome.phase}")
    for deed in story.deeds:
        print(f"{deed.at_us / 1_000_000:11.6f} deed {deed.name}")
    print(*outcome.lines[-_SHOWN_LINES:], sep="\n")
    print(outcome.what)
    print(f"{outcome.where}; again: make simulate SEED={story.seed}")


def live_many(console: Console, seeds: range, workers: int) -> bool:
    """Many stories on every core; whether all went well."""
    failed: list[Outcome] = []
    began = said = time.monotonic()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with _progress(console) as progress, ProcessPoolExecutor(workers) as pool:
        task = progress.add_task("seeds", total=len(seeds), rate="", failed=0)
        for outcomes in _in_order(pool, _chunks(seeds), workers):
            for outcome in outcomes:
                if not outcome.is_good:
                    failed.append(outcome)
                    print(f"seed {outcome.seed} fails: {outcome.where}", flush=True)
            done = progress.tasks[0].completed + len(outcomes)
            rate = f"{60 * done / (time.monotonic() - began):,.0f}/min"
            progress.update(task, completed=done, rate=rate, failed=len(failed))
            if not console.is_terminal and time.monotonic() > said + _SECONDS_PER_LINE:
                said = time.monotonic()
                told = f"{done:,.0f} of {len(seeds):,} seeds, {rate}"
                print(f"{told}, {len(failed)} failed", flush=True)
    for outcome in failed[:5]:
        tell(console, *_shrink(outcome.seed))
    seconds = time.monotonic() - began
    console.print(
        f"{len(seeds)} seeds from {seeds.start} in {seconds:.1f} s, "
        f"{60 * len(seeds) / seconds:,.0f} a minute; {len(failed)} failed"
    )
    return not failed


def _chunks(seeds: range) -> Iterator[range]:
    for begin in range(0, len(seeds), _CHUNK):
        yield seeds[begin : begin + _CHUNK]


def _in_order(
    pool: ProcessPoolExecutor, chunks: Iterable[range], workers: int
) -> Iterator[list[Outcome]]:
    """Results in order, with only a few chunks handed out ahead."""
    waiting = iter(chunks)
    ahead = [pool.submit(_live, chunk) for chunk in islice(waiting, 4 * workers)]
    try:
        while ahead:
            yield ahead.pop(0).result()
            ahead += [pool.submit(_live, chunk) for chunk in islice(waiting, 1)]
    finally:  # Whoever ends this waits for no more than what has begun.
        pool.shutdown(wait=False, cancel_futures=True)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]} failed"),
        console=console,
    )


def catch(console: Console, names: list[str], within: int, workers: int) -> bool:
    """Every planted bug; whether all were caught."""
    table = Table("planted bug", "seeds it took", "caught in", "by")
    is_good = True
    with ProcessPoolExecutor(workers) as pool:
        found = pool.map(_catch, names, [within] * len(names))
        for name, seeds, outcome in found:
            is_good &= outcome is not None
            if outcome is None:
                table.add_row(name, f"not in {seeds}", "", "")
            else:
                table.add_row(name, str(seeds), outcome.phase, outcome.where)
    console.print(table)
    return is_good


if __name__ == "__main__":
    main()
