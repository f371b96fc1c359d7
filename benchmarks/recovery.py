"""How long a shard takes to be back, and what its segments cost meanwhile.

One shard in this process books captured purchases into a journal on disk, a
thousand to a batch, and changes segments whenever one is full; with --repaid each
batch is repaid by the next, so that purchases are done and leave memory.  Then it
is recovered three times: from the first row, from the same segments packed, and
from a snapshot and the rows after it.  All three must end in the same state.  The
snapshot is made of the one before and one segment (`fold_next`); that one of all
segments before (`fold`).

The last line on standard output is one JSON object.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, TypeVar

import msgspec

from actors.births import recover_shard
from benchmarks.step import authorizations, new_shard
from processor import commands as c
from processor import messages as m
from processor.journal import Identity, Journal
from processor.limits import SEGMENT_RECORDS
from processor.node import Step
from processor.records import RECORDS_ENCODER
from processor.recovery import digest_of
from processor.remembered import KEEPING
from processor.shard import Shard
from processor.storage.archive import pack
from processor.storage.directory import segment_path
from processor.storage.keeping import fold
from processor.storage.scratch_files import FileScratch
from processor.storage.snapshots import snapshot_path

IDENTITY = Identity("bench", "shard", 0, 1, "journal", "2026-01-01")
_BATCH = 1_000
T = TypeVar("T")


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _timed(figures: dict[str, Any], name: str, work: Callable[[], T]) -> T:
    began, began_cpu = perf_counter(), process_time()
    done = work()
    figures[f"{name}_s"] = round(perf_counter() - began, 2)
    figures[f"{name}_cpu_s"] = round(process_time() - began_cpu, 2)
    _say(f"{name}: {figures[f'{name}_s']} s, CPU {figures[f'{name}_cpu_s']} s")
    return done


class Waits:
    """What an append had to wait for, in milliseconds, by what went on beside it."""

    def __init__(self) -> None:
        self.append_ms: list[float] = []
        self.beside_rotation_ms: list[float] = []
        self.switch_ms: list[float] = []

    def summary(self) -> dict[str, float]:
        """The figures to be told."""
        return {
            "append_median_ms": _rounded(
                sorted(self.append_ms)[len(self.append_ms) // 2]
            ),
            "append_max_ms": _rounded(max(self.append_ms)),
            "append_beside_rotation_max_ms": _rounded(max(self.beside_rotation_ms)),
            "switch_max_ms": _rounded(max(self.switch_ms)),
        }


def _rounded(value: float) -> float:
    return round(value, 2)


async def write(path: Path, records: int, is_repaid: bool, waits: Waits) -> str:
    """A journal of so many records; the state's digest at its end."""
    shard, first = new_shard(1)
    batch_of = _by_turns if is_repaid else authorizations
    journal = await Journal.open(path, IDENTITY)
    async for _ in journal.recover():
        pass
    _append(journal, first, None)
    rotation: asyncio.Task[None] | None = None
    for number in range(records // _BATCH):
        shard.receive(1, batch_of(number, _BATCH))
        step = shard.step(2 + number)
        beside = rotation is not None and not rotation.done()
        _append(journal, step, waits.beside_rotation_ms if beside else waits.append_ms)
        if journal.is_full and (rotation is None or rotation.done()):
            rotation = asyncio.create_task(_rotate(journal, waits))
        shard.tidy(step)
        await asyncio.sleep(0)
    if rotation is not None:
        await rotation
    await journal.close()
    return digest_of(shard.state)


def _by_turns(number: int, count: int) -> list[m.Submit]:
    """Purchases, and then what repays them."""
    bought = authorizations(number - number % 2, count)
    if number % 2 == 0:
        return bought
    return [
        m.Submit(x.correlation, _repayment_of(x.command))
        for x in bought
        if isinstance(x.command, c.Authorize)
    ]


def _repayment_of(bought: c.Authorize) -> c.Repay:
    return c.Repay(
        bought.caller,
        f"p-{bought.request_id}",
        bought.account_id,
        bought.amount_minor,
        bought.currency,
    )


def _append(journal: Journal, step: Step, waits: list[float] | None) -> None:
    if not step.records:
        return
    body = RECORDS_ENCODER.encode(step.records)
    began = perf_counter()
    journal.append(len(step.records), step.day, step.at_ms, body)
    if waits is not None:
        waits.append((perf_counter() - began) * 1_000)


async def _rotate(journal: Journal, waits: Waits) -> None:
    await journal.prepare()
    began = perf_counter()
    journal.switch()
    waits.switch_ms.append((perf_counter() - began) * 1_000)
    await journal.settle()


async def _recovered(path: Path) -> Shard:
    """As the actor of a shard does it."""
    journal = await Journal.open(path)
    try:
        return await recover_shard(journal, KEEPING, FileScratch(path.parent))
    finally:
        await journal.close()


def _recover(path: Path, figures: dict[str, Any], name: str) -> str:
    shard = _timed(figures, name, lambda: asyncio.run(_recovered(path)))
    return digest_of(shard.state)


def _size(path: Path, segments: int) -> int:
    return sum(
        segment_path(path, number).stat().st_size for number in range(1, segments + 1)
    )


def _pieces(path: Path) -> dict[str, int]:
    """The bytes of each piece that snapshots share."""
    found = path.parent.glob(f"{path.name}.*.piece")
    return {file.name: file.stat().st_size for file in found}


def _measure(path: Path, records: int, is_repaid: bool) -> dict[str, Any]:
    figures: dict[str, Any] = {"records": records}
    waits = Waits()
    digest = _timed(
        figures, "write", lambda: asyncio.run(write(path, records, is_repaid, waits))
    )
    segments = len(waits.switch_ms)
    if segments < 2:
        raise SystemExit(f"more records are needed: a segment has {SEGMENT_RECORDS:,}")
    figures |= waits.summary()
    figures["sealed_segments"] = segments
    ends = [_recover(path, figures, "replay_all")]
    sealed_bytes = _size(path, segments)
    _timed(
        figures,
        "pack",
        lambda: [pack(path, number) for number in range(1, segments + 1)],
    )
    figures["packed_ratio"] = _rounded(_size(path, segments) / sealed_bytes)
    ends.append(_recover(path, figures, "replay_packed"))
    _timed(figures, "fold", lambda: fold(path, segments - 1, _say))
    before = _pieces(path)
    point = _timed(figures, "fold_next", lambda: fold(path, segments, _say))
    assert point is not None
    after = _pieces(path)
    figures["tail_records"] = records - point.sequence
    figures["snapshot_mb"] = snapshot_path(path, point.sequence).stat().st_size >> 20
    figures["pieces_mb"] = sum(after.values()) >> 20
    new = {name: size for name, size in after.items() if name not in before}
    figures["new_pieces_mb"] = sum(new.values()) >> 20
    ends.append(_recover(path, figures, "snapshot_and_tail"))
    assert {digest} == set(ends)
    return figures


def main() -> None:
    """One JSON line: seconds, and the longest waits in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--repaid", action="store_true")
    parser.add_argument("--directory", type=Path, help="On the disk to be measured.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
        path = Path(directory) / "shard-000.journal"
        figures = _measure(path, chosen.records, chosen.repaid)
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    main()
