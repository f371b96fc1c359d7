"""Deadlines: from the client's header to the node, and who hears what."""

import asyncio
from pathlib import Path
from time import perf_counter

import pytest

from gateway.deadlines import Deadlines, timeout_ms_of
from gateway.problems import Refusal
from processor import commands as c
from processor import limits
from processor import messages as m
from tests.unit.gateway_fake import AUTHORIZE, FakeNodes, approve, bounds, browsing
from tests.unit.one_settlement import GATEWAY, a_settlement
from tests.unit.one_shard import OneShard, a_shard

PATH = "/v1/authorizations"
LATE = m.TOO_LATE.encode()


def submit(
    shard: OneShard, number: int, command: c.Command, deadline_ms: int, steady_ms: int
) -> m.Answer | None:
    """One command with a deadline; its answer."""
    shard.node.receive(1, [m.Submit(number, command, deadline_ms)])  # type: ignore[arg-type]
    return step(shard, number, steady_ms)


def step(shard: OneShard, number: int, steady_ms: int) -> m.Answer | None:
    stepped = shard.node.step(shard.now_ms, steady_ms)
    shard.records += stepped.records
    for _, message in stepped.deliveries:
        if isinstance(message, m.Answer):
            shard.answers[message.correlation] = message
        else:
            shard.heard.append(message)
    return shard.answers.get(number)


def buy(request_id: str, amount_minor: int = 10) -> c.Authorize:
    return c.Authorize("caller", request_id, "a", "m", amount_minor, "EUR")


def test_what_is_too_late_is_not_done_and_leaves_no_record() -> None:
    shard = a_shard(L1=100)
    before = len(shard.records)
    late = submit(shard, 901, buy("x"), 5_000, 5_000)
    assert late == m.Answer(901, m.Outcome.NOT_DONE, LATE)
    assert len(shard.records) == before
    in_time = submit(shard, 902, buy("x"), 5_001, 5_000)
    assert in_time is not None
    assert in_time.outcome is m.Outcome.DECIDED
    assert len(shard.records) == before + 1


def test_what_was_decided_is_answered_whatever_the_deadline() -> None:
    shard = a_shard(L1=100)
    first = submit(shard, 901, buy("x"), 9_000, 5_000)
    again = submit(shard, 902, buy("x"), 1, 5_000)
    other = submit(shard, 903, buy("x", 11), 1, 5_000)
    assert first is not None
    assert again == m.Answer(902, m.Outcome.REPLAYED, first.body)
    assert other == m.Answer(903, m.Outcome.CONFLICT, b"amount_minor")


def test_a_command_without_a_deadline_is_never_late() -> None:
    shard = a_shard(L1=100)
    decided = submit(shard, 901, buy("x"), 0, 2**40)
    assert decided is not None
    assert decided.outcome is m.Outcome.DECIDED


def test_who_waits_for_reserve_gives_up_at_his_deadline() -> None:
    shard = a_shard().connected()
    assert submit(shard, 901, buy("x"), 5_200, 5_000) is None
    assert submit(shard, 902, buy("y"), 5_100, 5_000) is None  # Behind it.
    assert shard.node.wakes_at_ms() == shard.now_ms + 200
    shard.now_ms += 200
    for number in (901, 902):
        answer = step(shard, number, 5_200)
        assert answer is not None
        assert answer.outcome is m.Outcome.NOT_DONE
    assert shard.node.parked_count == 0


def test_reserve_that_comes_too_late_decides_nothing() -> None:
    shard = a_shard().connected()
    assert submit(shard, 901, buy("x"), 5_200, 5_000) is None
    asked = shard.heard[-1]
    assert isinstance(asked, m.SliceAsked)
    shard.node.receive(0, [m.GrantSlice("L1", 50), m.AskGranted(asked.ask)])
    answer = step(shard, 901, 5_300)
    assert answer == m.Answer(901, m.Outcome.NOT_DONE, LATE)


def test_settlement_decides_nothing_too_late_either() -> None:
    settlement = a_settlement(L1=100)
    command = c.DepositReserve("caller", "late", "L1", 5)
    settlement.node.receive(GATEWAY, [m.Submit(901, command, 4_000)])
    told = settlement.node.step(settlement.now_ms, 4_000)
    assert told.records == []
    answers = [message for _, message in told.deliveries]
    assert answers == [m.Answer(901, m.Outcome.NOT_DONE, LATE)]


# The header.


@pytest.mark.parametrize("value", [b"", b"0", b"-1", b"1.5", b"1s", b"9" * 10, b" 5"])
def test_a_timeout_is_a_whole_number_of_milliseconds(value: bytes) -> None:
    with pytest.raises(Refusal, match="Request-Timeout-Ms"):
        timeout_ms_of(value)


def test_a_timeout_is_at_most_the_doors_own() -> None:
    assert timeout_ms_of(None) == 0
    assert timeout_ms_of(b"250") == 250
    assert timeout_ms_of(b"999999999") == limits.ANSWER_WAIT_MS_MAX


def test_who_waits_briefly_is_not_behind_who_waits_long() -> None:
    deadlines: Deadlines[str] = Deadlines(10_000)
    deadlines.of(0).waiting["long"] = 1.0
    deadlines.of(204).waiting["brief"] = 1.1
    deadlines.of(206).waiting["as brief"] = 1.2
    assert deadlines.of(204) is deadlines.of(206)
    assert deadlines.overdue(1.3) == []
    assert deadlines.overdue(1.311) == ["brief"]
    assert set(deadlines.overdue(11.0)) == {"long", "brief", "as brief"}


async def test_the_deadline_goes_to_the_node_with_time_left_to_answer(
    tmp_path: Path,
) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        before_ms = perf_counter() * 1_000
        await browser.post(PATH, AUTHORIZE, headers={"Request-Timeout-Ms": "500"})
        await browser.post(PATH, AUTHORIZE)
        bulk = [AUTHORIZE | {"command": "authorize", "request_id": "b"}]
        await browser.post("/v1/commands", bulk, headers={"Request-Timeout-Ms": "500"})
        after_ms = perf_counter() * 1_000
        wrong = await browser.post(
            PATH, AUTHORIZE, headers={"Request-Timeout-Ms": "soon"}
        )
    told = [deadline - before_ms for deadline in nodes.deadlines_ms]
    slack_ms = after_ms - before_ms
    for left_ms, expected_ms in zip(told, (450, 9_900, 450), strict=True):
        assert expected_ms - 1 <= left_ms <= expected_ms + slack_ms
    assert (wrong.status, wrong.json["errors"][0]["field"]) == (
        400,
        "Request-Timeout-Ms",
    )


async def test_too_late_is_503_and_may_be_sent_again(tmp_path: Path) -> None:
    nodes = FakeNodes(lambda command: m.Answer(0, m.Outcome.NOT_DONE, LATE))
    async with browsing(tmp_path, nodes) as browser:
        key = {"Idempotency-Key": "mine"}
        told = await browser.post(PATH, AUTHORIZE, headers=key)
        nodes.say = approve
        elsewhere = AUTHORIZE | {"account_id": "bob"}
        again = await browser.post(PATH, elsewhere, headers=key)
        shown = await browser.get("/metrics")
    assert (told.status, told.json["type"]) == (503, "/problems/too-late")
    assert told.headers["retry-after"] == "1"
    assert told.json["retryable"] is True
    assert again.status == 200  # Nothing was done, so the key is free.
    assert b'reason="too_late"} 1.0' in shown.body


async def test_at_the_deadline_the_outcome_is_unknown_and_others_wait_on(
    tmp_path: Path,
) -> None:
    nodes = FakeNodes(lambda command: None)
    given = bounds(answer_wait_ms_max=5_000)
    async with browsing(tmp_path, nodes, given=given) as browser:
        patient = asyncio.create_task(browser.post(PATH, AUTHORIZE))
        await nodes.arrived.wait()
        began = perf_counter()
        hurried = await browser.post(
            PATH, AUTHORIZE, headers={"Request-Timeout-Ms": "100"}
        )
        took_seconds = perf_counter() - began
        assert not patient.done()
        nodes.waiting[0].answered(approve(nodes.commands[0]))
        assert (await patient).status == 200
    assert (hurried.status, hurried.json["type"]) == (504, "/problems/outcome-unknown")
    assert 0.1 <= took_seconds < 2.0
