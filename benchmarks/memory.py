"""What a shard keeps in memory: accounts, closed purchases, remembered requests.

One shard in this process, with a real journal and real scratch files, opens
accounts; then some of them buy and repay, place holds and release them, until so
many requests are remembered.  Memory is read from the kernel (`RssAnon`; the
mapped files are `RssFile`, which the kernel may drop).  Time is that inside
`step` and `tidy`, at the beginning and at the end.  Then old requests are asked
again, old purchases are read and refunded, and all of it is recovered: from the
first row, and from a snapshot of the last sealed segment and the rows after it.

One JSON line; with --quick a fiftieth of it.
"""

import argparse
import asyncio
import gc
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import msgspec

from actors.births import recover_shard
from actors.collector import Collector, leave_alone_what_is_known
from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.journal import Identity, Journal
from processor.limits import SEGMENT_RECORDS
from processor.records import RECORDS_ENCODER
from processor.recovery import digest_of
from processor.remembered import KEEPING
from processor.shard import Shard
from processor.storage.directory import segment_path
from processor.storage.keeping import fold
from processor.storage.scratch_files import FileScratch

_BATCH = 200
_LIMIT_MINOR = 10**9
_HOLDS_PER_BATCH = 10
_SAMPLES = 2_000
_TIMED_BATCHES = 250
_IDENTITY = Identity("bench", "shard", 0, 1, "journal", "2026-01-01")

Figures = dict[str, int | float]


def resident_bytes(kind: str) -> int:
    """What the kernel says this process has: "RssAnon" or "RssFile"."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{kind}:"):
            return int(line.split()[1]) * 1_024
    raise AssertionError(f"no {kind} in /proc/self/status")


class Driven:
    """A shard, its journal, and how long each batch has held them."""

    def __init__(self, shard: Shard, journal: Journal) -> None:
        self.shard = shard
        self.journal = journal
        self.now_ms = 1_000
        self.collector = Collector()
        self.answers: dict[int, m.Answer] = {}
        self.took: list[float] = []  # Seconds in `step` and `tidy`, by batch.
        self.worked: list[float] = []  # Of them, at work in this thread.
        self.requests = 0

    @classmethod
    async def born(cls, directory: Path, create: Identity | None) -> "Driven":
        journal = await Journal.open(directory / "shard-000.journal", create)
        shard = await recover_shard(journal, KEEPING, FileScratch(directory))
        shard.receive(0, [m.ShardWelcome(_IDENTITY.first_day)])
        leave_alone_what_is_known()
        return cls(shard, journal)

    async def work(self, *commands: Any) -> None:
        """One batch of commands, durable and answered."""
        submits = [m.Submit(n, command) for n, command in enumerate(commands)]
        self.requests += len(commands)
        self.shard.receive(1, submits)
        self.answers = {}
        while self.shard.has_work:
            await self.step()
        assert len(self.answers) == len(commands)

    async def step(self) -> None:
        self.now_ms += 1
        began, worked = perf_counter(), thread_time()
        step = self.shard.step(self.now_ms)
        took, busy = perf_counter() - began, thread_time() - worked
        if step.records:
            body = RECORDS_ENCODER.encode(step.records)
            self.journal.append(len(step.records), step.day, step.at_ms, body)
        began, worked = perf_counter(), thread_time()
        self.shard.tidy(step)
        self.collector.after(len(step.records))
        self.took.append(took + perf_counter() - began)
        self.worked.append(busy + thread_time() - worked)
        for _, message in step.deliveries:
            if isinstance(message, m.Answer):
                self.answers[message.correlation] = message
        if self.journal.is_full:
            await self.journal.prepare()
            self.journal.switch()
            await self.journal.settle()

    def made(self, name: str) -> list[str]:
        """The ids in the answers of the last batch."""
        bodies = [msgspec.json.decode(x.body) for x in self.answers.values()]
        assert all(body["status"] == "approved" for body in bodies)
        return [body[name] for body in bodies if name in body]


class Collections:
    """How long each garbage collection has taken, from now on; in the batches too."""

    def __init__(self) -> None:
        self.took: list[float] = []
        self._began = 0.0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: object) -> None:
        if phase == "start":
            self._began = thread_time()
        else:
            self.took.append(thread_time() - self._began)


def _authorize(number: int, accounts: int) -> c.Authorize:
    account_id = f"account-{number % accounts:07}"
    return c.Authorize(
        "caller", f"a-{number:036}", account_id, "merchant", 100, "EUR", True
    )


def _batches(total: int) -> Iterator[range]:
    for first in range(0, total, _BATCH):
        yield range(first, min(first + _BATCH, total))


async def _furnish(driven: Driven) -> None:
    facts: tuple[e.ReferenceFact, ...] = (
        e.LenderRegistered("lender", "EUR", "", 0),
        e.ProgramRegistered(
            "program", 1, "EUR", (c.Share("lender", 1_000_000),), 3_600, 3_600, 0
        ),
        e.MerchantRegistered("merchant", ""),
    )
    driven.shard.receive(0, [m.ReferenceSent(len(facts), facts)])
    driven.shard.receive(0, [m.GrantSlice("lender", 10**15)])
    while driven.shard.has_work:
        await driven.step()


async def _open_accounts(driven: Driven, count: int) -> Figures:
    """What each costs, once the latest requests have filled their place."""
    filled = 0
    for batch in _batches(count):
        await driven.work(
            *(
                c.OpenAccount(
                    *("caller", f"o-{number:036}", f"account-{number:07}"),
                    *("program", "EUR", _LIMIT_MINOR),
                )
                for number in batch
            )
        )
        if not filled and batch.stop >= min(count // 2, KEEPING.recent_min * 2):
            filled, at_first = batch.stop, resident_bytes("RssAnon")
    after = resident_bytes("RssAnon")
    return {
        "accounts": count,
        "rss_after_accounts_mib": after >> 20,
        "account_bytes": (after - at_first) // (count - filled),
    }


async def _buy_and_repay(
    driven: Driven, active: int, batches: Iterator[int], requests: int
) -> list[str]:
    """Purchases that are repaid, and holds that are released; some of their ids."""
    kept: list[str] = []
    while driven.requests < requests:
        first = next(batches) * _BATCH
        bought = [_authorize(n, active) for n in range(first, first + _BATCH)]
        await driven.work(*bought)
        kept += driven.made("authorization_id")[:: _BATCH // 2]
        await driven.work(
            *(
                c.Repay("caller", f"r{x.request_id}", x.account_id, 100, "EUR")
                for x in bought
            )
        )
        await driven.work(
            *(
                c.PlaceHold("caller", f"h{x.request_id}", x.account_id, 100, "EUR")
                for x in bought[:_HOLDS_PER_BATCH]
            )
        )
        held = driven.made("hold_id")
        await driven.work(*(c.ReleaseHold("caller", f"l{name}", name) for name in held))
    return kept


async def _median_us(
    driven: Driven, samples: int, command_of: Callable[[int], Any]
) -> float:
    """Of one command alone in its batch."""
    took = []
    for number in range(samples):
        driven.worked = []
        await driven.work(command_of(number))
        took.append(sum(driven.worked))
    return round(statistics.median(took) * 1e6, 1)


async def _authorize_us(driven: Driven, name: str, active: int) -> float:
    """Of an authorization in a batch; all of them are repaid afterwards."""
    driven.worked = []
    for batch in range(_TIMED_BATCHES):
        first = batch * _BATCH
        commands = [_authorize(first + n, active) for n in range(_BATCH)]
        await driven.work(
            *(
                msgspec.structs.replace(x, request_id=name + x.request_id)
                for x in commands
            )
        )
    median_us = round(statistics.median(driven.worked) / _BATCH * 1e6, 2)
    for first in range(0, min(active, _TIMED_BATCHES * _BATCH), _BATCH):
        accounts = dict.fromkeys(
            _authorize(first + n, active).account_id for n in range(_BATCH)
        )
        owed_minor = 100 * max(1, _TIMED_BATCHES * _BATCH // active)
        await driven.work(
            *(c.Repay("caller", f"{name}{x}", x, owed_minor, "EUR") for x in accounts)
        )
    return median_us


async def _ask_again(driven: Driven, kept: list[str], active: int) -> Figures:
    chosen = random.Random(7)
    purchases = chosen.sample(kept[: len(kept) // 2], min(_SAMPLES, len(kept) // 4))
    oldest = driven.requests // 8  # Of the numbers of purchases.
    again_us = await _median_us(
        driven, _SAMPLES, lambda _: _authorize(chosen.randrange(oldest), active)
    )
    assert next(iter(driven.answers.values())).outcome is m.Outcome.REPLAYED
    new_us = await _median_us(
        driven,
        _SAMPLES,
        lambda n: msgspec.structs.replace(_authorize(n, active), request_id=f"new-{n}"),
    )
    took = []
    for name in purchases:
        driven.shard.receive(1, [m.Query(0, "authorization", name)])
        driven.worked = []
        await driven.step()
        assert driven.answers.pop(0).outcome is m.Outcome.READ
        took += driven.worked
    refund_us = await _median_us(
        driven,
        len(purchases),
        lambda n: c.Refund("caller", f"refund-{n}", kept[-1 - n], 10),
    )
    return {
        "old_request_again_us": again_us,
        "new_request_alone_us": new_us,
        "read_shelved_purchase_us": round(statistics.median(took) * 1e6, 1),
        "refund_shelved_purchase_us": refund_us,
    }


async def _live(directory: Path, accounts: int, requests: int) -> Figures:
    began = perf_counter()
    driven = await Driven.born(directory, _IDENTITY)
    await _furnish(driven)
    gc.freeze()
    active, batches = accounts // 10, itertools.count()
    figures: Figures = {"rss_empty_mib": resident_bytes("RssAnon") >> 20}
    figures |= await _open_accounts(driven, accounts)
    figures["authorize_us_first"] = await _authorize_us(driven, "first-", active)
    kept = await _buy_and_repay(driven, active, batches, requests // 4)
    rss, at = resident_bytes("RssAnon"), driven.requests
    figures["rss_at_a_quarter_mib"] = rss >> 20
    collections = Collections()
    driven.took, driven.worked = [], []
    kept += await _buy_and_repay(driven, active, batches, requests)
    for name, took in (("batch", driven.took), ("batch_cpu", driven.worked)):
        figures[f"{name}_ms_max"] = round(max(took) * 1e3, 1)
        most = statistics.quantiles(took, n=1_000)[-1]
        figures[f"{name}_ms_99_9"] = round(most * 1e3, 1)
    figures["gc_ms_max"] = round(max(collections.took) * 1e3, 1)
    figures["rss_mib"] = resident_bytes("RssAnon") >> 20
    figures["rss_files_mib"] = resident_bytes("RssFile") >> 20
    grown = resident_bytes("RssAnon") - rss
    figures["grown_bytes_a_request"] = round(grown / (driven.requests - at), 1)
    figures["authorize_us_last"] = await _authorize_us(driven, "last-", active)
    figures |= _counted(driven)
    figures |= await _ask_again(driven, kept, active)
    digest_began = perf_counter()
    (directory / "digest").write_text(digest_of(driven.shard.state))
    figures["digest_seconds"] = round(perf_counter() - digest_began, 1)
    await driven.journal.close()
    figures["seconds"] = round(perf_counter() - began)
    return figures


def _counted(driven: Driven) -> Figures:
    state = driven.shard.state
    return {
        "records": state.sequence,
        "remembered": len(driven.shard.remembered),
        "purchases": len(state.authorizations),
        "purchases_in_memory": state.authorizations.in_memory,
        "payments": len(state.payments),
        "holds": len(state.holds),
    }


async def _recovered(directory: Path, how: str) -> Figures:
    """The same again from what is on disk."""
    began = perf_counter()
    driven = await Driven.born(directory, None)
    seconds, resident = perf_counter() - began, resident_bytes("RssAnon")
    await driven.journal.close()
    assert digest_of(driven.shard.state) == (directory / "digest").read_text()
    return {f"{how}_seconds": round(seconds), f"{how}_rss_mib": resident >> 20}


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


def _fold(directory: Path) -> Figures:
    """A snapshot of all sealed segments."""
    path = directory / "shard-000.journal"
    last = max(n for n in range(1, 10_000) if segment_path(path, n).exists())
    began = perf_counter()
    assert fold(path, last - 1, _say) is not None
    seconds = round(perf_counter() - began)
    (saved,) = path.parent.glob("*.snapshot")
    return {"fold_seconds": seconds, "snapshot_mib": saved.stat().st_size >> 20}


def _alone(what: str, directory: str) -> Any:
    """What a process of its own says; see `main`."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "--again", what, directory],
        check=True,
        stdout=subprocess.PIPE,
    )
    return msgspec.json.decode(done.stdout)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=10_000_000)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of it")
    parser.add_argument("--directory", type=Path, help="where journal and scratch go")
    parser.add_argument("--again", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.again:
        what, directory = options.again
        path = Path(directory)
        again = _fold(path) if what == "fold" else asyncio.run(_recovered(path, what))
        sys.stdout.write(msgspec.json.encode(again).decode() + "\n")
        return
    share = 50 if options.quick else 1
    accounts, requests = options.accounts // share, options.requests // share
    if requests < SEGMENT_RECORDS:
        parser.error(f"a snapshot needs {SEGMENT_RECORDS:,} requests at least")
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        figures = asyncio.run(_live(Path(name), accounts, requests))
        for what in ("replayed", "fold", "restored"):
            figures |= _alone(what, name)
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    main()
