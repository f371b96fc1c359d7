"""A node that is silent is noticed; one that is only slow, or late to be heard, not."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actors import watchdog
from actors.nodes import NothingDone
from actors.watchdog import kill_leftover, until_silent

BEAT_SECONDS = 0.02
BEATS = 5


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_BEAT_SECONDS", BEAT_SECONDS)


async def seconds_until_silent(sign: watchdog.Sign, within: float = 5.0) -> float:
    """How long until it is called silent; TimeoutError if it never is."""
    began = time.monotonic()
    async with asyncio.timeout(within):
        await until_silent(sign, BEATS)
    return time.monotonic() - began


async def never() -> None:
    await asyncio.Event().wait()


async def at_once() -> None:
    return


async def broken() -> None:
    raise NothingDone("nobody there")


@pytest.mark.parametrize("sign", [never, broken])
async def test_silence_is_noticed_after_so_many_beats(sign: watchdog.Sign) -> None:
    seconds = await seconds_until_silent(sign)
    # A timer may be early by what a clock is rounded to, and so may each beat.
    assert (BEATS - 1) * BEAT_SECONDS < seconds


async def test_who_answers_is_never_silent() -> None:
    with pytest.raises(TimeoutError):
        await seconds_until_silent(at_once, within=4 * BEATS * BEAT_SECONDS)


async def test_who_answers_late_but_in_time_is_not_silent() -> None:
    async def late() -> None:
        await asyncio.sleep((BEATS - 2) * BEAT_SECONDS)

    with pytest.raises(TimeoutError):
        await seconds_until_silent(late, within=4 * BEATS * BEAT_SECONDS)


async def test_one_good_sign_begins_the_count_anew() -> None:
    answers = iter([broken] * (BEATS - 1) + [at_once] + [broken] * BEATS)
    asked = 0

    async def now_and_then() -> None:
        nonlocal asked
        asked += 1
        await next(answers)()

    await seconds_until_silent(now_and_then)
    assert asked >= 2 * BEATS


async def test_the_watchers_own_pause_is_not_held_against_the_node() -> None:
    """Whoever watches was frozen; what had been said meanwhile is heard first."""
    loop = asyncio.get_running_loop()
    heard: list[asyncio.Future[None]] = []

    async def answered_when_heard() -> None:
        future = loop.create_future()
        heard.append(future)
        loop.call_later(BEAT_SECONDS / 2, future.set_result, None)
        await future
        for _ in range(3):  # An answer takes some turns from the socket to here.
            await asyncio.sleep(0)

    def freeze() -> None:
        time.sleep(3 * BEATS * BEAT_SECONDS)

    loop.call_later(BEAT_SECONDS * 1.2, freeze)
    with pytest.raises(TimeoutError):
        await seconds_until_silent(answered_when_heard, within=6 * BEATS * BEAT_SECONDS)


@contextmanager
def frozen_process(title: str) -> Iterator[subprocess.Popen[bytes]]:
    """A stopped process that calls itself so."""
    code = "import time; print(flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [title, "-c", code], executable=sys.executable, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_frozen_leftover_of_a_killed_server_is_ended(tmp_path: Path) -> None:
    journal = tmp_path / "shard-000.journal"
    with frozen_process("ray::ShardActor.watch") as process:
        Path(f"{journal}.lock").write_text(str(process.pid))
        assert process.pid == kill_leftover(journal)
        assert -signal.SIGKILL == process.wait(10)


def test_who_is_no_node_is_left_alone(tmp_path: Path) -> None:
    """Somebody verifies the journal, or the number belongs to another by now."""
    journal = tmp_path / "shard-000.journal"
    with frozen_process("forebay verify") as process:
        Path(f"{journal}.lock").write_text(str(process.pid))
        assert 0 == kill_leftover(journal)
        assert process.poll() is None
    Path(f"{journal}.lock").write_text("")
    assert 0 == kill_leftover(journal)
