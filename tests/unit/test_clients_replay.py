"""The replay of card accounts over HTTP, against a server that things happen to."""

import random
from pathlib import Path

import pytest

from gateway.clients import EXTRACT, ClientsResult, run_replay
from gateway.clients.plan import Plan, build_plan
from gateway.clients.reader import read_cards
from gateway.clients.replay import Replay
from gateway.replays.client import Client, Patience, ReplayFailed
from gateway.replays.progress import Silence
from gateway.replays.summary import json_line
from gateway.replays.tables import content_digest
from gateway.replays.verdict import Audit
from tests.unit.replay_fake import FakeServer, interrupt, randomly

QUICK = Patience(20.0, 0.001, 0.01, 0.001)
CLEAN = Audit(0, 0, 0, True)


def plan_of(file: Path = EXTRACT) -> Plan:
    return build_plan(read_cards(file), content_digest(file))


async def replay(server: FakeServer) -> ClientsResult:
    async with Client(server.url, "key", 8, QUICK) as client:
        return await Replay(client, plan_of(), Silence(), 8).run("extract.csv.gz")


def figures(result: ClientsResult) -> str:
    return json_line(result, CLEAN)


async def test_every_operation_of_the_plan_is_asked_for_and_every_day_closed() -> None:
    async with FakeServer("2005-04-18") as server:
        result = await run_replay(
            url=server.url, key="key", file=EXTRACT, show_progress=False
        )
        assert 200 == result.accounts == len(server.accounts)
        assert 40 == result.tally.days_closed == len(server.closed)
        assert ("2005-04-18", "2005-09-27") == (server.closed[0], server.closed[-1])
        assert result.tally.approved == len(server.bought) > 900
        assert {"credit_limit_exceeded"} == set(result.tally.declined)
        assert 0 == result.tally.replayed
        assert result.standing.outstanding_minor == sum(
            max(0, account.owed_minor) for account in server.accounts.values()
        )


async def test_a_second_run_changes_nothing_and_says_the_same() -> None:
    async with FakeServer() as server:
        first = await replay(server)
        done = len(server.done)
        second = await replay(server)
        assert done == len(server.done)
    assert figures(first) == figures(second)
    assert second.tally.replayed > 1_900


async def test_troubles_on_the_way_leave_no_trace() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    async with FakeServer() as quiet:
        expected = await replay(quiet)
    async with FakeServer() as server:
        server.trouble = randomly(chance)
        result = await replay(server)
        assert result.asked_again > 20
    assert figures(expected) == figures(result)


@pytest.mark.parametrize("commands", [2, 150, 900, 2_000])
async def test_an_interrupted_replay_continues_where_it_was(commands: int) -> None:
    async with FakeServer() as quiet:
        expected = await replay(quiet)
    async with FakeServer() as server:
        await interrupt(server, commands, replay(server))
        assert figures(expected) == figures(await replay(server))
        assert len(server.memory) == len(server.done)


async def test_a_server_ahead_of_the_file_gives_its_months_the_next_18th() -> None:
    async with FakeServer("2026-01-30") as server:
        result = await replay(server)
        assert "2026-02-18" == str(result.first_business_day)
        assert ["2026-01-30", "2026-02-18", "2026-02-21"] == server.closed[:3]
        assert figures(result) == figures(await replay(server))


async def test_a_refused_repayment_ends_the_replay_with_the_reason() -> None:
    async with FakeServer() as server:
        await replay(server)
        known = next(key for key in server.memory if "-y1-" in key)
        server.memory[known][2].update(status="declined", reason="account_closed")
        with pytest.raises(ReplayFailed, match="declined: account_closed"):
            await replay(server)


async def test_a_request_id_of_other_content_ends_the_replay() -> None:
    async with FakeServer() as server:
        await replay(server)
        known = next(key for key in server.memory if "-p0-" in key)
        path, body, answer = server.memory[known]
        server.memory[known] = (path, body + b" ", answer)
        with pytest.raises(ReplayFailed, match="used for other content"):
            await replay(server)
