"""`forebay verify DIR`: recompute everything from the journals alone.

Reads every journal of a data directory that nobody is writing, folds each row
twice (by the audit, and by the `apply` that recovery uses), and holds the two
against each other, the journals against what they said of one another, and each
snapshot against the replay at its point.
It opens nothing for writing and never mends what it finds.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from actors.manifest import ClusterRefused, shortest_kept_ms
from processor import snapshot
from processor.audit.report import AuditReport
from processor.audit.verdict import Verdict, Verification
from processor.journal import (
    Batch,
    Head,
    Identity,
    JournalRefused,
    last_sequence,
    read_segments,
)
from processor.recovery import Room, digest_of
from processor.storage.scratch_files import FileScratch
from processor.storage.snapshots import FilePieces, read_snapshots

SETTLEMENT_FILE = "settlement.journal"
SHARD_FILE = "shard-{:03d}.journal"
SHOWN_MAX = 50  # Differences shown to a person; JSON has them all.

Advance = Callable[[int, int], None]
Journal = tuple[list[Head], Iterator[Batch]]


def run_verify(path: Path, as_json: bool) -> int:
    """Verify a data directory and print the verdict; 1 if anything is wrong."""
    try:
        with _progress() as progress:
            task = progress.add_task("Reading the journals", total=0)

            def advance(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)

            verdict = verify(path, advance)
    except (JournalRefused, ClusterRefused) as refused:
        if as_json:
            _print_json(msgspec.json.encode({"differences": [str(refused)]}))
        Console(stderr=True, soft_wrap=True, highlight=False).print(
            f"Cannot verify {path}: {refused}", markup=False
        )
        return 1
    if as_json:
        _print_json(msgspec.json.encode(verdict.summary()))
    else:
        _print(verdict, Console(soft_wrap=True, highlight=False))
    return 0 if verdict.is_clean else 1


def verify(path: Path, advance: Advance = lambda done, total: None) -> Verdict:
    """Audit all journals in a directory, each from its first row to its last.

    What is done leaves memory for the directory of temporary files (`TMPDIR`).

    `advance` is told how many records were read, and how many there are.
    Raises JournalRefused when one is missing, foreign or in use, and
    ClusterRefused when the directory's manifest cannot be read.
    """
    if not path.is_dir():
        raise JournalRefused(f"{path} is not a directory")
    with ExitStack() as stack:
        files, journals = _opened(path, stack)
        total = sum(last_sequence(file) for file in files)
        done = 0
        identities = [heads[0].identity for heads, _ in journals]
        scratch = FileScratch(Path(stack.enter_context(TemporaryDirectory())))
        verification = Verification(
            identities[0], identities[1:], shortest_kept_ms(path), scratch
        )
        folds = [verification.settlement, *verification.shards]
        differences: list[str] = []
        for file, fold, (_, rows) in zip(files, folds, journals, strict=True):
            saved = _saved_digests(file, fold.identity, differences)
            for batch in rows:
                fold.batch(batch)
                done += batch.last_sequence - batch.first_sequence + 1
                advance(done, total)
                told = saved.get(batch.last_sequence)
                if told is not None and told[1] != digest_of(fold.state):
                    differences.append(f"{told[0]} is not what the journal replays to.")
            if fold is verification.settlement:
                verification.settlement_is_read()
        verdict = verification.verdict()
        verdict.replay_differences += differences
        return verdict


def _saved_digests(
    file: Path, identity: Identity, differences: list[str]
) -> dict[int, tuple[str, str]]:
    """Of each snapshot the name and the state's digest, by its last record."""
    found = {}
    pieces = FilePieces(file, only_looks=True)
    for name, sequence, content in read_snapshots(file):
        try:
            _, replay = snapshot.decode(name, content, identity, Room(pieces=pieces))
            snapshot.check(name, content, replay, pieces)
        except snapshot.SnapshotRefused as refused:
            differences.append(f"{refused}.")
        else:
            found[sequence] = name, digest_of(replay.state)
    return found


def _opened(path: Path, stack: ExitStack) -> tuple[list[Path], list[Journal]]:
    """Settlement's journal and every shard's, for as long as the stack lasts."""
    settlement_file = path / SETTLEMENT_FILE
    settlement = stack.enter_context(read_segments(settlement_file))
    identity = settlement[0][0].identity
    shard_files = _shard_files(path, identity)
    shards = [stack.enter_context(read_segments(file)) for file in shard_files]
    _check_kinds(settlement_file, identity, "settlement")
    for file, (heads, _) in zip(shard_files, shards, strict=True):
        _check_kinds(file, heads[0].identity, "shard")
    return [settlement_file, *shard_files], [settlement, *shards]


def _shard_files(path: Path, settlement: Identity) -> list[Path]:
    """Every shard's file that must be there, and every one that is."""
    expected = {
        path / SHARD_FILE.format(number) for number in range(settlement.shard_count)
    }
    return sorted(expected | set(path.glob("shard-*.journal")))


def _check_kinds(file: Path, identity: Identity, kind: str) -> None:
    if identity.kind != kind:
        raise JournalRefused(f"{file} is the journal of a {identity.kind}")


def _progress() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,} records"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _print_json(body: bytes) -> None:
    sys.stdout.write(body.decode() + "\n")


def _print(verdict: Verdict, console: Console) -> None:
    report = verdict.report
    for line in _summary(report, verdict.replay_equal):
        console.print(line, markup=False)
    differences = verdict.differences
    for text in differences[:SHOWN_MAX]:
        console.print(f"  {text}", markup=False)
    if len(differences) > SHOWN_MAX:
        console.print(f"  … and {len(differences) - SHOWN_MAX} more; --json has all.")
    if verdict.is_clean:
        console.print("[green]The journals agree with themselves and each other.[/]")
    else:
        console.print("[red]The journals do not agree.[/]")


def _summary(report: AuditReport, replay_equal: bool) -> Iterator[str]:
    counts: dict[str, Any] = report.counts
    yield (
        f"{counts.get('Authorized', 0):,} purchases approved, "
        f"{counts.get('Declined', 0):,} commands declined, "
        f"{counts.get('Refunded', 0):,} refunds, "
        f"{counts.get('Repaid', 0):,} repayments, {len(report.days)} days closed."
    )
    for lender_id, sums in sorted(report.lenders.items()):
        yield (
            f"{lender_id}: {sums.currency} {sums.headroom_minor:,} of "
            f"{sums.deposit_minor + sums.advance_line_minor:,} minor units are free"
            + (f", {sums.forced_minor:,} was forced" if sums.forced_minor else "")
        )
    yield (
        f"Overspend {report.overspend_minor}, false declines for reserve "
        f"{report.false_reserve_declines}, trial balance "
        f"{report.trial_balance_minor}, replay equal: "
        f"{'yes' if replay_equal else 'no'}."
    )
    if report.open_withholdings:
        yield "Withheld from merchants, to be finished by the same request:"
        for withholding_id, amount_minor in sorted(report.open_withholdings.items()):
            yield f"  {withholding_id}: {amount_minor:,} minor units"
    if report.differences or not replay_equal:
        yield "Differences:"
