"""Reading entries from a real journal, beside the work and never instead of it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from actors import readings
from actors.readings import Readings
from actors.runner import Runner
from processor import commands as c
from processor import limits
from processor import messages as m
from processor.entries import Reading
from processor.framing import caller_reader, frame
from processor.history import Page
from processor.journal import Journal, JournalRefused
from processor.recovery import ShardReplay
from processor.shard import Shard
from processor.storage.segment import Segment
from tests.unit.one_shard import IDENTITY, a_shard, decoded, finished

NEVER = float("inf")
ROWS = 40


@asynccontextmanager
async def a_journal(path: Path, rows: Iterable[Any]) -> AsyncIterator[Journal]:
    """An open journal with the rows of a shard in memory."""
    journal = await Journal.open(path, IDENTITY)
    async for _ in journal.recover():
        pass
    for row in rows:
        count = row.last_sequence - row.first_sequence + 1
        journal.append(count, row.day, row.at_ms, row.records)
    try:
        yield journal
    finally:
        await journal.close()


def a_busy_shard() -> Any:
    """With a row for each of many entries of one account."""
    shard = a_shard(L1=10_000)
    for number in range(1, ROWS):
        shard.ask(c.ChangeLimit, "a", number)
    return shard


def reading_of(shard: Any, connection: int = 1, limit: int = ROWS) -> Reading:
    page = shard.node.history.page(1, 0, limit)
    account = shard.state.accounts["a"]
    return Reading(connection, connection, shard.state, account, page)


async def test_the_row_of_any_record_is_found(tmp_path: Path) -> None:
    shard = a_busy_shard()
    async with a_journal(tmp_path / "j", shard.batches) as journal:
        for row in shard.batches:
            for sequence in range(row.first_sequence, row.last_sequence + 1):
                found = journal.row_of(sequence)
                assert row.records == found.records
                assert row.first_sequence == found.first_sequence
        with pytest.raises(AssertionError):
            journal.row_of(shard.state.sequence + 1)


def damage(journal: Journal, where: str) -> None:
    assert isinstance(journal._live, Segment)
    journal._live._sqlite.execute(
        f"UPDATE batch SET records = zeroblob(40) WHERE {where}"
    )


async def test_a_row_that_reads_well_and_is_not_what_was_written_is_no_answer(
    tmp_path: Path,
) -> None:
    shard = a_busy_shard()
    async with a_journal(tmp_path / "j", shard.batches) as journal:
        assert isinstance(journal._live, Segment)
        journal._live._sqlite.execute("UPDATE batch SET at_ms = at_ms + 1")
        for sequence in (1, shard.state.sequence):
            with pytest.raises(JournalRefused, match="is damaged"):
                journal.row_of(sequence)


async def test_a_damaged_row_is_no_answer(tmp_path: Path) -> None:
    shard = a_busy_shard()
    async with a_journal(tmp_path / "j", shard.batches) as journal:
        damage(journal, "first_sequence > 9")
        queue = Readings(journal)
        queue.take(reading_of(shard))
        with pytest.raises(Exception, match="is damaged"):
            queue.work()


async def test_a_page_is_the_same_as_from_rows_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_MOMENT_SECONDS", NEVER)
    shard = a_busy_shard()
    async with a_journal(tmp_path / "j", shard.batches) as journal:
        queue = Readings(journal)
        assert queue.take(reading_of(shard)) is None
        assert [(1, finished(reading_of(shard), shard.batches))] == queue.work()
    assert (0, 1) == (len(queue), queue.count)
    assert 0 < queue.seconds_max <= queue.seconds


async def test_a_moment_is_at_least_one_row_and_the_oldest_is_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_MOMENT_SECONDS", 1e-9)
    shard = a_busy_shard()
    async with a_journal(tmp_path / "j", shard.batches) as journal:
        queue = Readings(journal)
        for connection in (1, 2):
            queue.take(reading_of(shard, connection))
        answered = [queue.work() for _ in range(2 * ROWS)]
    told = [(turn, to) for turn, new in enumerate(answered, 1) for to, _ in new]
    assert [(ROWS, 1), (2 * ROWS, 2)] == told


async def test_over_the_bound_a_reader_is_told_at_once(tmp_path: Path) -> None:
    shard = a_busy_shard()
    async with a_journal(tmp_path / "j", shard.batches) as journal:
        queue = Readings(journal)
        for _ in range(limits.READINGS_MAX):
            assert queue.take(reading_of(shard)) is None
        refused = queue.take(reading_of(shard, 7))
    assert m.Answer(7, m.Outcome.NOT_DONE, b"overloaded") == refused
    assert limits.READINGS_MAX == len(queue)


async def test_who_hung_up_is_not_read_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_MOMENT_SECONDS", NEVER)
    shard = a_busy_shard()
    async with a_journal(tmp_path / "j", shard.batches) as journal:
        queue = Readings(journal)
        for connection in (1, 2, 1):
            queue.take(reading_of(shard, connection))
        queue.forget(1)
        assert 1 == len(queue)
        assert [2] == [to for to, _ in queue.work()]


async def test_an_empty_page_needs_no_row(tmp_path: Path) -> None:
    async with a_journal(tmp_path / "j", []) as journal:
        queue = Readings(journal)
        shard = a_shard()
        nothing = Page([], is_last=True)
        queue.take(Reading(1, 1, shard.state, shard.state.accounts["a"], nothing))
        ((_, answer),) = queue.work()
    assert isinstance(answer, m.Answer)
    assert {"entries": [], "next": None} == decoded(answer)


# The whole of a node but Ray: a runner on a Unix socket.


class Caller:
    """A gateway of one connection."""

    def __init__(
        self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter
    ) -> None:
        self._incoming, self._outgoing = incoming, outgoing
        self._frames = caller_reader()
        self.answers: list[Any] = []

    def say(self, *messages: m.Message) -> None:
        self._outgoing.write(frame(messages))

    async def answered(self, count: int) -> list[Any]:
        """The first so many answers, in the order in which they came."""
        while len(self.answers) < count:
            received = await self._incoming.read(65_536)
            assert received, "the node has hung up"
            self.answers += self._frames.feed(received)
        return self.answers

    async def hang_up(self) -> None:
        self._outgoing.close()
        await self._outgoing.wait_closed()


@asynccontextmanager
async def a_node(tmp_path: Path, failed: list[str]) -> AsyncIterator[Runner]:
    """A shard with a past, recovered from its journal."""
    async with a_journal(tmp_path / "j", a_busy_shard().batches):
        pass
    journal = await Journal.open(tmp_path / "j")
    replay = ShardReplay(IDENTITY)
    async for batch in journal.recover():
        replay.replay(batch)
    shard = Shard(
        replay.state, replay.remembered, replay.history, 2, IDENTITY.journal_id
    )
    shard.receive(0, [m.ShardWelcome(shard.day)])

    def fail(why: str) -> None:
        """As the end of the process would be felt."""
        failed.append(why)
        for connection in list(runner.connections.values()):
            connection.close()

    runner = Runner(shard, journal, fail)
    await runner.start(tmp_path / "s")
    runner.step_soon()
    try:
        yield runner
    finally:
        if failed:  # What is left is done by nobody, so it is not waited for.
            shard._inbox.clear()
            runner.readings = Readings(journal)
        await runner.stop()


@asynccontextmanager
async def calling(tmp_path: Path) -> AsyncIterator[Caller]:
    caller = Caller(*await asyncio.open_unix_connection(tmp_path / "s"))
    try:
        yield caller
    finally:
        await caller.hang_up()


def limit(number: int) -> m.Submit:
    return m.Submit(number, c.ChangeLimit("later", f"l{number}", "a", number))


async def test_commands_pass_a_long_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_MOMENT_SECONDS", 1e-9)
    failed: list[str] = []
    async with a_node(tmp_path, failed), calling(tmp_path) as caller:
        caller.say(m.QueryEntries(1, "a", 0, ROWS))
        caller.say(*(limit(number) for number in range(2, 9)))
        answers = await caller.answered(8)
    assert [2, 3, 4, 5, 6, 7, 8, 1] == [answer.correlation for answer in answers]
    told = decoded(answers[-1])
    assert ROWS == len(told["entries"])
    assert "caller" == told["entries"][0]["command"]["caller"]  # None of those later.
    assert [] == failed


async def test_what_is_read_was_appended_in_the_same_step(tmp_path: Path) -> None:
    failed: list[str] = []
    async with a_node(tmp_path, failed), calling(tmp_path) as caller:
        caller.say(limit(1), m.QueryEntries(2, "a", 0, 1))
        answers = await caller.answered(2)
    (told,) = decoded(answers[-1])["entries"]
    assert ("later", "l1") == (
        told["command"]["caller"],
        told["command"]["request_id"],
    )
    assert [] == failed


async def test_an_audit_that_reads_rows_and_readers_take_turns(tmp_path: Path) -> None:
    failed: list[str] = []
    async with a_node(tmp_path, failed) as runner, calling(tmp_path) as caller:
        for number in range(1, 21):
            caller.say(m.QueryEntries(number, "a", 0, ROWS))
        rows = [await runner.read_rows(n, 1) for n in range(0, ROWS, 2)]
        answers = await caller.answered(20)
    assert all(rows)
    assert {m.Outcome.READ} == {answer.outcome for answer in answers}
    assert 20 == runner.readings.count == runner.statistics("s").readings
    assert [] == failed


async def test_a_crowd_of_readers_is_bounded(tmp_path: Path) -> None:
    failed: list[str] = []
    count = limits.READINGS_MAX + 10
    async with a_node(tmp_path, failed), calling(tmp_path) as caller:
        caller.say(*(m.QueryEntries(n, "a", 0, ROWS) for n in range(count)))
        answers = await caller.answered(count)
    refused = [a for a in answers if a.outcome is m.Outcome.NOT_DONE]
    assert [b"overloaded"] * 10 == [answer.body for answer in refused]
    assert limits.READINGS_MAX == sum(a.outcome is m.Outcome.READ for a in answers)
    assert [] == failed


async def test_a_reader_that_hangs_up_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings, "_MOMENT_SECONDS", 1e-9)
    failed: list[str] = []
    async with a_node(tmp_path, failed) as runner:
        async with calling(tmp_path) as rude:
            rude.say(*(m.QueryEntries(n, "a", 0, ROWS) for n in range(60)))
            while not runner.readings:  # noqa: ASYNC110 - it has begun
                await asyncio.sleep(0)
        async with calling(tmp_path) as caller:
            caller.say(m.QueryEntries(1, "b", 0, 1))
            await caller.answered(1)
    assert runner.readings.count < 60
    assert [] == failed


async def test_a_fault_while_reading_ends_the_node(tmp_path: Path) -> None:
    failed: list[str] = []
    async with a_node(tmp_path, failed) as runner, calling(tmp_path) as caller:
        damage(runner.journal, "true")
        # The loop would report what the node's end leaves behind.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        caller.say(m.QueryEntries(1, "a", 0, ROWS))
        while not failed:  # noqa: ASYNC110 - it ends
            await asyncio.sleep(0)
    assert "is damaged" in failed[0]
