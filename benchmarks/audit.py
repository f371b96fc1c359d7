"""What an audit of a long journal costs, with what is done in memory and outside it.

One shard in this process books captured purchases, each batch repaid by the next
(as `benchmarks.recovery --repaid`).  Its journal is then folded by both readings of
`forebay verify`, by turns with all objects in memory and with those that are done in
temporary files, each time in a process of its own.

The last line on standard output is one JSON object: for each way the median of the
CPU seconds, and what memory of its own (`RssAnon`) a process has grown by, in MiB.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import process_time

import msgspec

from benchmarks.memory import resident_bytes
from benchmarks.recovery import Waits, write
from processor import limits
from processor.audit.shard import ShardAudit
from processor.audit.verdict import Folded
from processor.journal import read_segments
from processor.storage.scratch_files import FileScratch

_ROUNDS = 3
Cost = tuple[float, int]  # CPU seconds, bytes.


def fold(path: Path, is_shelving: bool) -> Cost:
    """The journal of one shard by both readings, which must agree."""
    with (
        tempfile.TemporaryDirectory() as directory,
        read_segments(path) as (heads, rows),
    ):
        before, began = resident_bytes("RssAnon"), process_time()
        scratch = FileScratch(Path(directory)) if is_shelving else None
        folded = Folded(heads[0].identity, limits.KEEP_ANSWERS_MS, scratch)
        for row in rows:
            folded.batch(row)
        model = folded.model
        assert isinstance(model, ShardAudit)
        model.finish()
        assert not model.differences, model.differences[:3]
        assert not folded.differences()
        return process_time() - began, resident_bytes("RssAnon") - before


def _measured(path: Path) -> dict[str, float]:
    costs: dict[str, list[Cost]] = {"in_memory": [], "shelved": []}
    spawned = multiprocessing.get_context("spawn")
    for _ in range(_ROUNDS):
        for name, found in costs.items():
            with ProcessPoolExecutor(1, mp_context=spawned) as process:
                found.append(process.submit(fold, path, name == "shelved").result())
            sys.stderr.write(f"{name}: {found[-1][0]:.1f} s CPU\n")
    figures: dict[str, float] = {}
    for name, found in costs.items():
        figures[f"{name}_cpu_s"] = round(statistics.median(cpu for cpu, _ in found), 1)
        figures[f"{name}_mib"] = max(grown for _, grown in found) >> 20
    return figures


def main() -> None:
    """One JSON line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit")
    parser.add_argument("--records", type=int, default=1_000_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "shard-000.journal"
        asyncio.run(write(path, chosen.records, is_repaid=True, waits=Waits()))
        figures = {"records": chosen.records, **_measured(path)}
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    main()
