"""What one authorization costs a shard: `Shard.step` alone, no stream, no disk.

One shard in this process is handed batches of authorizations; counted is the
time inside `step`, that is: find the request id, decide, apply, answer.  The
median of several runs is printed as one JSON line; runs of two versions are
compared only when they alternate on one machine.
"""

import gc
import statistics
import sys
from time import perf_counter_ns

import msgspec

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.journal import Identity
from processor.node import Step
from processor.recovery import ShardReplay
from processor.shard import Shard

_ACCOUNTS = 1_000
_BATCH = 500
_BATCHES = 100
_RUNS = 7
_PPM = 1_000_000


def new_shard(lenders: int) -> tuple[Shard, Step]:
    """A shard with one program, one merchant, and reserve; how it came by them."""
    names = [f"lender-{i}" for i in range(lenders)]
    share_ppm = _PPM // lenders
    shares = [c.Share(name, share_ppm) for name in names[1:]]
    shares.append(c.Share(names[0], _PPM - share_ppm * (lenders - 1)))
    facts: list[e.ReferenceFact] = [
        *(e.LenderRegistered(name, "EUR", "", 0) for name in names),
        e.ProgramRegistered("program", 1, "EUR", tuple(shares), 3_600, 3_600, 0),
        e.MerchantRegistered("merchant", ""),
    ]
    identity = Identity("bench", "shard", 0, 1, "journal", "2026-01-01")
    replay = ShardReplay(identity)
    shard = Shard(replay.state, replay.remembered, replay.history, 1, "journal")
    shard.receive(0, [m.ShardWelcome("2026-01-01")])
    shard.receive(0, [m.ReferenceSent(len(facts), tuple(facts))])
    shard.receive(0, [m.GrantSlice(name, 10**15) for name in names])
    for i in range(_ACCOUNTS):
        opened = c.OpenAccount("b", f"o{i}", f"account-{i}", "program", "EUR", 10**13)
        shard.receive(1, [m.Submit(i, opened)])
    return shard, shard.step(1)


def authorizations(batch: int, count: int) -> list[m.Submit]:
    """So many purchases of one batch, each captured at once."""
    return [
        m.Submit(
            i,
            c.Authorize(
                *("b", f"r{batch}-{i}", f"account-{i % _ACCOUNTS}", "merchant"),
                *(100 + i % 7, "EUR", True),
            ),
        )
        for i in range(count)
    ]


def _run(lenders: int) -> float:
    """Nanoseconds an authorization, each with capture."""
    shard, _ = new_shard(lenders)
    batches = [authorizations(batch, _BATCH) for batch in range(_BATCHES)]
    gc.collect()
    gc.freeze()
    took_ns = 0
    for number, batch in enumerate(batches):
        shard.receive(1, batch)
        began_ns = perf_counter_ns()
        step = shard.step(2 + number)
        took_ns += perf_counter_ns() - began_ns
        assert len(step.records) == _BATCH
    assert shard.state.totals.declined_count == 0
    return took_ns / (_BATCH * _BATCHES)


def main() -> None:
    """One JSON line: the median, in nanoseconds an authorization, by lenders."""
    figures = {
        f"lenders_{lenders}_ns": round(
            statistics.median(_run(lenders) for _ in range(_RUNS))
        )
        for lenders in (1, 2)
    }
    sys.stdout.write(msgspec.json.encode(figures).decode() + "\n")


if __name__ == "__main__":
    main()
