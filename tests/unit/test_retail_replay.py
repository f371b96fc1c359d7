"""The whole replay over HTTP, against a small server that things happen to."""

import gzip
import random
from collections import defaultdict
from pathlib import Path

import pytest

from gateway.replays.client import Client, Patience, ReplayFailed
from gateway.replays.progress import Silence
from gateway.replays.tables import content_digest
from gateway.replays.verdict import Audit, fetch_audit
from gateway.retail import WEEK, RetailResult, run_replay
from gateway.retail.plan import Purchase, build_plan
from gateway.retail.reader import read_lines
from gateway.retail.replay import Replay
from tests.unit.replay_fake import FakeServer, Trouble, interrupt, randomly

QUICK = Patience(20.0, 0.001, 0.01, 0.001)
HEADER = (
    "invoice_no,stock_code,quantity,unit_price_pence,invoiced_at,customer_id,country\n"
)


async def replay(server: FakeServer, file: Path = WEEK) -> RetailResult:
    plan = build_plan(read_lines(file), content_digest(file))
    async with Client(server.url, "key", 64, QUICK) as client:
        return await Replay(client, plan, Silence(), 64).run(file.name)


def figures(result: RetailResult) -> dict[str, object]:
    tally = result.tally
    return {
        "purchases": tally.purchases,
        "approved_minor": tally.approved_minor,
        "declined": dict(tally.declined),
        "refunds": (tally.refunds, tally.refunded_minor, tally.refunds_unmatched),
        "repayments": (tally.repayments, tally.repaid_minor),
        "days_closed": tally.days_closed,
        "positions": result.positions,
    }


def assert_the_server_agrees(server: FakeServer, result: RetailResult) -> None:
    tally = result.tally
    approved: defaultdict[str, int] = defaultdict(int)
    for path, wish in server.done:
        if wish["answer"]["status"] == "approved":
            approved[path] += 1
    assert tally.approved == approved["/v1/authorizations"] == len(server.bought)
    assert tally.refunds == approved["/v1/refunds"]
    assert tally.repayments == approved["/v1/repayments"]
    assert tally.approved_minor == sum(b.amount_minor for b in server.bought.values())
    assert tally.refunded_minor == sum(
        b.amount_minor - b.left_minor for b in server.bought.values()
    )


async def test_the_week_is_replayed_and_every_day_closed() -> None:
    async with FakeServer() as server:
        result = await run_replay(
            url=server.url, key="key", file=WEEK, show_progress=False
        )
    assert 344 == result.tally.purchases
    assert 7 == result.tally.days_closed
    assert [f"2011-04-{day}" for day in range(11, 18)] == server.closed[1:]
    assert result.first_file_day == result.first_business_day
    assert result.tally.refunds > 0
    assert result.tally.repayments > 0
    assert 0 == result.tally.refunds_declined
    assert 0 == result.tally.replayed
    assert {"zero amount": 2} == result.skipped
    assert_the_server_agrees(server, result)


async def test_purchases_are_declined_for_the_limit_and_for_the_reserve() -> None:
    async with FakeServer() as server:
        result = await replay(server)
    declined = result.tally.declined
    assert {"credit_limit_exceeded", "reserve_exhausted"} == set(declined)
    assert 10 < declined["credit_limit_exceeded"] < 28
    assert declined["reserve_exhausted"] > 10


async def test_reserve_is_short_on_the_busiest_day_only() -> None:
    async with FakeServer() as server:
        await replay(server)
    short = set()
    day = ""
    for path, wish in server.done:
        if path.endswith("/close"):
            day = wish["answer"]["next_day"]
        elif wish["answer"].get("reason") == "reserve_exhausted":
            short.add(day)
    assert {"2011-04-14", "2011-04-15"} == short  # Of the UK and Europe; the world.


async def test_each_account_is_asked_in_the_order_of_the_file() -> None:
    async with FakeServer() as server:
        server.delay_seconds = 0.002
        await replay(server)
    expected: defaultdict[str, list[str]] = defaultdict(list)
    plan = build_plan(read_lines(WEEK), "x")
    for planned in plan.days:
        for operation in planned.operations:
            if isinstance(operation, Purchase):
                expected[operation.account_id].append(operation.invoice_no)
    asked: defaultdict[str, list[str]] = defaultdict(list)
    for path, wish in server.done:
        if path == "/v1/authorizations":
            asked[wish["account_id"]].append(wish["reference"])
    assert expected == asked
    assert 8 < server.in_flight_most <= 64


async def test_a_second_run_changes_nothing_and_says_the_same() -> None:
    async with FakeServer() as server:
        first = await replay(server)
        done = len(server.done)
        second = await replay(server)
        assert done == len(server.done)
    assert figures(first) == figures(second)
    assert second.tally.replayed >= 344


async def test_troubles_on_the_way_leave_no_trace() -> None:
    seed = random.randrange(1 << 30)
    print("seed", seed)
    chance = random.Random(seed)
    async with FakeServer() as server:
        server.trouble = randomly(chance)
        result = await replay(server)
        assert result.asked_again > 20
        assert 344 == result.tally.purchases
        assert 7 == result.tally.days_closed
        assert_the_server_agrees(server, result)
        server.trouble = lambda path, key: Trouble.NONE
        assert figures(result) == figures(await replay(server))


@pytest.mark.parametrize("requests", [1, 3, 12, 150, 420, 700])
async def test_an_interrupted_replay_continues_where_it_was(requests: int) -> None:
    async with FakeServer() as server:
        await interrupt(server, requests, replay(server))
        result = await replay(server)
        assert 344 == result.tally.purchases
        assert 7 == result.tally.days_closed
        assert 8 == len(server.closed)
        assert_the_server_agrees(server, result)
        fundings = [
            w for p, w in server.done if p.endswith(("deposits", "withdrawals"))
        ]
        assert 7 * 4 == len(fundings)


async def test_a_server_ahead_of_the_file_gives_the_days_its_own_dates() -> None:
    async with FakeServer(first_day="2025-11-30") as server:
        result = await replay(server)
        assert "2025-11-30" == str(result.first_business_day)
        assert "2011-04-11" == str(result.first_file_day)
        assert ["2025-11-30", "2025-12-01"] == server.closed[:2]
        assert 7 == len(server.closed)
        again = await replay(server)
        assert figures(result) == figures(again)
        assert "2025-11-30" == str(again.first_business_day)


async def test_another_file_goes_on_from_the_day_the_first_one_left(
    tmp_path: Path,
) -> None:
    lines = gzip.decompress(WEEK.read_bytes()).decode().splitlines(keepends=True)
    other = tmp_path / "other.csv"
    other.write_text("".join(lines[:2000]))
    async with FakeServer() as server:
        first = await replay(server)
        second = await replay(server, other)
        assert "2011-04-18" == str(second.first_business_day)
        assert second.tally.purchases > 0
        assert 0 == second.tally.replayed
        assert figures(first)["days_closed"] == 7
        server_before = len(server.done)
        assert figures(first) | {"positions": 0} == figures(await replay(server)) | {
            "positions": 0
        }
        assert server_before == len(server.done)


async def test_a_cancellation_of_a_declined_purchase_is_unmatched(
    tmp_path: Path,
) -> None:
    # The lender's only purchase finds half of what it needs.
    file = tmp_path / "one.csv"
    file.write_text(
        HEADER
        + "1,A,10,100,2011-04-11 10:00,12431,Japan\n"
        + "C2,A,-10,100,2011-04-11 11:00,12431,Japan\n"
    )
    async with FakeServer() as server:
        result = await replay(server, file)
    assert {"reserve_exhausted": 1} == result.tally.declined
    assert (0, 1) == (result.tally.refunds, result.tally.refunds_unmatched)


async def test_a_declined_refund_is_unmatched_and_may_be_asked_for_later(
    tmp_path: Path,
) -> None:
    file = tmp_path / "some.csv"
    file.write_text(
        HEADER
        + "1,A,10,100,2011-04-11 10:00,12431,Japan\n"
        + "2,B,50,100,2011-04-12 10:00,12432,Japan\n"
        + "C3,A,-10,100,2011-04-12 11:00,12431,Japan\n"
        + "C4,A,-10,100,2011-04-13 11:00,12431,Japan\n"
    )
    async with FakeServer() as server:

        def refund_declined_once(path: str, key: str) -> Trouble:
            if path == "/v1/refunds" and "-C3-" in key:
                server.bought["au_0"].left_minor = 0
            elif path == "/v1/refunds":
                server.bought["au_0"].left_minor = 1000
            return Trouble.NONE

        server.trouble = refund_declined_once
        result = await replay(server, file)
    assert 1 == result.tally.refunds_declined
    assert (1, 1000) == (result.tally.refunds, result.tally.refunded_minor)
    assert 1 == result.tally.refunds_unmatched


async def test_a_refusal_of_the_server_ends_the_replay_with_its_words() -> None:
    async with FakeServer() as server:
        await replay(server)
        known = next(key for key in server.memory if "-p-" in key)
        path, body, answer = server.memory[known]
        server.memory[known] = (path, body + b" ", answer)
        with pytest.raises(ReplayFailed, match="used for other content"):
            await replay(server)


async def test_the_audit_of_a_server_without_one_is_not_made_up() -> None:
    async with FakeServer() as server:
        with pytest.raises(ReplayFailed, match="offers no audit"):
            await fetch_audit(url=server.url, key="key")


async def test_the_audit_is_the_servers_own() -> None:
    async with FakeServer() as server:
        server.audit = {
            "overspend_minor": 0,
            "false_reserve_declines": 2,
            "trial_balance_minor": 0,
            "replay_equal": False,
            "differences": ["two purchases"],
        }
        audit = await fetch_audit(url=server.url, key="key")
    assert Audit(0, 2, 0, False, ("two purchases",)) == audit
