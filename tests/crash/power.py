"""The power fails while a journal is written, again and again.  (Fault 6.)

A writer appends to a real journal on a disk that remembers what was not synced.
It is killed at a random moment, what was not synced is lost in part, and the
next writer must find every row that was acknowledged, and no other content.

    python -m tests.crash.power JOURNAL ACKED      # the writers, one a line read
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from random import Random

from processor.journal import Identity, Journal
from tests.crash.disk import BadDisk

_IDENTITY = Identity("cluster", "shard", 0, 1, "journal", "2026-01-01")
_LIFE_SECONDS_MAX = 0.12


def fail_power(directory: Path, seed: int, times: int) -> int:
    """So many power failures; how many rows there are in the end."""
    random = Random(seed)
    disk = BadDisk(directory)
    journal, acked = directory / "power.journal", directory / "acked"
    acked.write_bytes(bytes(8))
    writers = subprocess.Popen(
        [sys.executable, "-m", "tests.crash.power", str(journal), str(acked)],
        env=disk.environment(is_forgetful=True),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writers.stdin is not None
    assert writers.stdout is not None
    lost = 0
    try:
        for _ in range(times):
            writers.stdin.write("begin\n")
            writers.stdin.flush()
            pid = int(writers.stdout.readline())
            assert writers.stdout.readline() == "recovered\n", f"seed {seed}"
            time.sleep(random.random() * _LIFE_SECONDS_MAX)
            os.kill(pid, signal.SIGKILL)
            assert writers.stdout.readline() == f"killed {signal.SIGKILL}\n"
            lost += disk.lose_power(random)
    finally:
        writers.stdin.close()
        writers.wait(30)
        writers.stdout.close()
    assert lost > 0
    return int.from_bytes(acked.read_bytes(), "big")


# In the process on the bad disk.


def _records(sequence: int) -> bytes:
    """What a row holds; some take many pages."""
    return b"%d." % sequence * Random(sequence).choice((1, 100, 5_000))


async def _write(path: Path, acked: int) -> None:
    last_acked = int.from_bytes(os.pread(acked, 8, 0), "big")
    journal = await Journal.open(path, _IDENTITY)
    sequence = 0
    async for row in journal.recover():
        sequence = row.last_sequence
        assert row.records == _records(sequence)
    assert last_acked <= sequence <= last_acked + 1, (last_acked, sequence)
    # What was found once is there for ever: the next life may die before it acks.
    os.pwrite(acked, sequence.to_bytes(8, "big"), 0)
    print("recovered", flush=True)
    while True:
        sequence += 1
        journal.append(1, "2026-01-01", sequence, _records(sequence))
        os.pwrite(acked, sequence.to_bytes(8, "big"), 0)


def _fork_writers(path: Path, acked_path: Path) -> None:
    acked = os.open(acked_path, os.O_RDWR)
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)
            try:
                asyncio.run(_write(path, acked))
            finally:  # It only ends so when something is wrong; never goes on here.
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        print("killed", os.WTERMSIG(status), flush=True)  # 0: it was not.


if __name__ == "__main__":
    _fork_writers(Path(sys.argv[1]), Path(sys.argv[2]))
