"""`forebay verify DIR`: recompute everything from the journals alone.

Reads every journal of a data directory that nobody is writing, folds each row
twice (by the audit, and by the `apply` that recovery uses), and holds the two
against each other and the journals against what they said of one another.
It opens nothing for writing and never mends what it finds.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from processor.audit.report import AuditReport
from processor.audit.verdict import Verdict, Verification
from processor.journal import Identity, JournalRefused, read_journal

SETTLEMENT_FILE = "settlement.journal"
SHARD_FILE = "shard-{:03d}.journal"
SHOWN_MAX = 50  # Differences shown to a person; JSON has them all.

Advance = Callable[[int], None]


def run_verify(path: Path, as_json: bool) -> int:
    """Verify a data directory and print the verdict; 1 if anything is wrong."""
    try:
        with _progress() as progress:
            task = progress.add_task("Reading the journals", total=None)
            verdict = verify(path, lambda count: progress.advance(task, count))
    except JournalRefused as refused:
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


def verify(path: Path, advance: Advance = lambda count: None) -> Verdict:
    """Audit all journals in a directory; `advance` is told of records read.

    Raises JournalRefused when one is missing, foreign or in use.
    """
    if not path.is_dir():
        raise JournalRefused(f"{path} is not a directory")
    with ExitStack() as stack:
        settlement_file = path / SETTLEMENT_FILE
        identity, batches = stack.enter_context(read_journal(settlement_file))
        shard_files = _shard_files(path, identity)
        shards = [stack.enter_context(read_journal(file)) for file in shard_files]
        _check_kinds(settlement_file, identity, "settlement")
        for file, (shard_identity, _) in zip(shard_files, shards, strict=True):
            _check_kinds(file, shard_identity, "shard")
        verification = Verification(identity, [shard for shard, _ in shards])
        journals = [verification.settlement, *verification.shards]
        for journal, rows in zip(
            journals, [batches, *(r for _, r in shards)], strict=True
        ):
            for batch in rows:
                journal.batch(batch)
                advance(batch.last_sequence - batch.first_sequence + 1)
            if journal is verification.settlement:
                verification.settlement_is_read()
        return verification.verdict()


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
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TextColumn("{task.completed:,} records"),
        TimeElapsedColumn(),
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
