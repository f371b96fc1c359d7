"""POS repayments: several steps under one key, finished exactly once.

Behind the real HTTP stand real state machines in memory; between the two,
whatever can go wrong does.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.keys import KeyFile
from gateway.ports import SINGLE, NothingDone, OutcomeUnknown, Sender, Waiting
from gateway.routes import Role
from processor import commands as c
from processor.audit.report import AuditReport, audit
from processor.commands import Command
from processor.messages import Answer, Outcome
from processor.terms import MerchantTerms
from tests.unit.gateway_fake import Browser, FakeNodes, browsing, tell
from tests.unit.house_in_memory import House

DAY = "2026-01-01"
BODY = {
    "account_id": "ada",
    "merchant_id": "shop",
    "amount_minor": 700,
    "currency": "EUR",
}
KEY = {"Idempotency-Key": "pos-1"}
Trouble = Callable[[Command], Exception | None]


def no_trouble(command: Command) -> Exception | None:
    return None


class HouseNodes(FakeNodes):
    """The nodes of a house; `lost` says what never arrives, `unheard` which
    answers get lost on their way back."""

    def __init__(self, house: House) -> None:
        super().__init__()
        self.house = house
        self.lost: Trouble = no_trouble
        self.unheard: Trouble = no_trouble

    def submit(
        self,
        command: Command,
        waiting: Waiting,
        sender: Sender | None = None,
        deadline_ms: int = 0,
        part: int = SINGLE,
    ) -> None:
        self.senders.append(sender)
        said: Answer | Exception | None = self.lost(command)
        if said is None:
            self.commands.append(command)
            (answer,) = self.house.ask(command)
            said = self.unheard(command) or answer
        asyncio.get_running_loop().call_soon(tell, waiting, said)


def a_house(payout: int = 980) -> House:
    """Ada owes 1 000 to the lender, the shop is owed `payout` for a closed day."""
    house = House(2, DAY)
    fee = 1_000 - payout

    def ask(kind: type[Command], *fields: Any) -> None:
        (answer,) = house.ask(kind("setup", f"r{house.now_ms}", *fields))
        house.now_ms += 1
        assert b'"approved"' in answer.body

    ask(c.RegisterLender, "north", "EUR")
    ask(c.DepositReserve, "north", 10_000)
    ask(c.RegisterProgram, "basic", "EUR", (c.Share("north", 1_000_000),))
    ask(c.RegisterMerchant, "shop", "", MerchantTerms(fee_minimum_minor=fee))
    ask(c.OpenAccount, "ada", "basic", "EUR", 5_000)
    ask(c.Authorize, "ada", "shop", 1_000, "EUR", True)
    ask(c.CloseDay, DAY)
    return house


def audited(house: House) -> AuditReport:
    return audit(
        (house.settlement_rows.identity, house.settlement_rows.batches),
        [(rows.identity, rows.batches) for rows in house.shard_rows],
    )


def owed(house: House) -> int:
    accounts = [shard.state.accounts.get("ada") for shard in house.shards]
    return sum(account.outstanding_minor for account in accounts if account)


def payable(house: House) -> int:
    return house.settlement.state.payables["shop"]["EUR"].payable_minor


async def post(browser: Browser, **changes: object) -> Any:
    return await browser.post("/v1/pos-repayments", BODY | changes, headers=KEY)


async def test_a_repayment_comes_out_of_the_merchants_payout(tmp_path: Path) -> None:
    house = a_house()
    async with browsing(tmp_path, HouseNodes(house)) as browser:
        told = await post(browser)
        again = await post(browser)
    assert told.status == 200
    ids = {name: told.json[name] for name in ("withholding_id", "repayment_id")}
    assert {
        "status": "approved",
        "account_id": "ada",
        "merchant_id": "shop",
        "withheld_minor": 700,
        "left_to_debit_minor": 0,
    } | ids == told.json
    assert (again.body, again.headers["idempotency-replayed"]) == (told.body, "true")
    assert (300, 280) == (owed(house), payable(house))
    assert audited(house).is_clean
    assert {} == audited(house).open_withholdings


@pytest.mark.parametrize(("asked", "left"), [(980, 0), (981, 1), (5_000, 4_020)])
async def test_what_the_merchant_is_not_owed_is_left_to_debit(
    tmp_path: Path, asked: int, left: int
) -> None:
    house = a_house()
    async with browsing(tmp_path, HouseNodes(house)) as browser:
        told = await post(browser, amount_minor=asked)
    assert (asked - left, left) == (
        told.json["withheld_minor"],
        told.json["left_to_debit_minor"],
    )
    assert audited(house).is_clean


async def test_without_a_payout_all_is_left_to_debit(tmp_path: Path) -> None:
    house = a_house(payout=0)
    async with browsing(tmp_path, HouseNodes(house)) as browser:
        told = await post(browser)
    assert (0, 700) == (told.json["withheld_minor"], told.json["left_to_debit_minor"])
    assert "repayment_id" not in told.json
    assert 1_000 == owed(house)


async def test_a_declined_repayment_gives_the_withholding_back(tmp_path: Path) -> None:
    house = a_house()
    async with browsing(tmp_path, HouseNodes(house)) as browser:
        told = await post(browser, account_id="bob")
        again = await post(browser, account_id="bob")
        nowhere = await browser.post(
            "/v1/pos-repayments", BODY | {"merchant_id": "nowhere"}
        )
    assert ("declined", "account_not_found", 700) == (
        told.json["status"],
        told.json["reason"],
        told.json["released_minor"],
    )
    assert again.body == told.body
    assert "merchant_not_found" == nowhere.json["reason"]
    assert (1_000, 980) == (owed(house), payable(house))
    assert audited(house).is_clean
    assert {} == audited(house).open_withholdings


async def test_other_content_under_the_same_key_is_refused(tmp_path: Path) -> None:
    async with browsing(tmp_path, HouseNodes(a_house())) as browser:
        await post(browser)
        told = await post(browser, amount_minor=701)
    assert (told.status, told.json["errors"][0]["field"]) == (422, "amount_minor")


async def test_before_anything_is_withheld_nothing_was_done(tmp_path: Path) -> None:
    house = a_house()
    nodes = HouseNodes(house)
    nodes.lost = lambda command: NothingDone("settlement cannot be reached")
    async with browsing(tmp_path, nodes) as browser:
        told = await post(browser)
    assert told.status == 503
    assert 980 == payable(house)


@pytest.mark.parametrize("error", [NothingDone("no shard"), OutcomeUnknown("killed")])
@pytest.mark.parametrize("step", [c.Repay, c.ReleaseWithholding])
@pytest.mark.parametrize("is_done", [False, True])
async def test_a_failure_between_the_steps_is_unknown_and_a_retry_finishes(
    tmp_path: Path, error: Exception, step: type[Command], is_done: bool
) -> None:
    house = a_house()
    nodes = HouseNodes(house)
    account_id = "ada" if step is c.Repay else "bob"

    def trouble(command: Command) -> Exception | None:
        return error if isinstance(command, step) else None

    async with browsing(tmp_path, nodes) as browser:
        if is_done:
            nodes.unheard = trouble
        else:
            nodes.lost = trouble
        first = await post(browser, account_id=account_id)
        between = audited(house)
        nodes.lost = nodes.unheard = no_trouble
        second = await post(browser, account_id=account_id)
    assert (first.status, first.json["retryable"]) == (504, True)
    assert between.is_clean
    assert len(between.open_withholdings) == (not is_done)
    assert second.status == 200
    after = audited(house)
    assert (after.is_clean, after.open_withholdings) == (True, {})
    kept = 700 if step is c.Repay else 0
    assert (1_000 - kept, 980 - kept) == (owed(house), payable(house))


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_goes_wrong_asking_again_finishes_exactly_once(
    tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    house = a_house()
    nodes = HouseNodes(house)

    def trouble(command: Command) -> Exception | None:
        if random.random() < 0.7:
            return None
        return random.choice([NothingDone("not there"), OutcomeUnknown("gone")])

    wishes = {
        f"pos-{i}": {
            "account_id": random.choice(["ada", "bob"]),
            "amount_minor": random.randint(1, 500),
        }
        for i in range(8)
    }
    answers: dict[str, bytes] = {}

    async def wish(browser: Browser, key: str) -> None:
        told = await browser.post(
            "/v1/pos-repayments",
            BODY | wishes[key],
            headers={"Idempotency-Key": key},
        )
        assert told.status in (200, 503, 504)
        if told.status == 200:
            assert answers.setdefault(key, told.body) == told.body

    async with browsing(tmp_path, nodes) as browser:
        nodes.lost = nodes.unheard = trouble
        for _ in range(40):
            keys = random.choices(list(wishes), k=3)
            await asyncio.gather(*(wish(browser, key) for key in keys))
        nodes.lost = nodes.unheard = no_trouble
        for key in wishes:
            await wish(browser, key)
    assert answers.keys() == wishes.keys()
    report = audited(house)
    assert (report.differences, report.open_withholdings) == ([], {})
    assert 980 - payable(house) == 1_000 - owed(house)


async def test_nobody_outside_may_say_that_a_repayment_was_withheld(
    tmp_path: Path,
) -> None:
    nodes = FakeNodes()
    body = {"account_id": "ada", "amount_minor": 5, "currency": "EUR"}
    async with browsing(tmp_path, nodes) as browser:
        for field in ("withheld_from", "withholding_id"):
            told = await browser.post("/v1/repayments", body | {field: "shop"})
            assert (told.status, told.json["errors"][0]["field"]) == (400, field)
            item = {"command": "repay", "request_id": "x"} | body | {field: "shop"}
            (result,) = (await browser.post("/v1/commands", [item])).json
            assert result["problem"]["errors"][0]["field"] == field
        withhold = {"command": "withhold_from_merchant", "request_id": "x"} | BODY
        (result,) = (await browser.post("/v1/commands", [withhold])).json
    assert result["outcome"] == "invalid"
    assert nodes.commands == []


async def test_a_pos_repayment_needs_a_key_a_role_and_sound_fields(
    tmp_path: Path,
) -> None:
    nodes = FakeNodes(lambda command: Answer(0, Outcome.DECIDED, b"{}"))
    async with browsing(tmp_path, nodes) as browser:
        unkeyed = await browser.post(
            "/v1/pos-repayments", BODY, without=("Idempotency-Key",)
        )
        unsound = await post(browser, amount_minor=0)
        document = (await browser.get("/openapi.json")).json
        browser.key = KeyFile(tmp_path).add("other", [Role.OPERATOR], DAY)
        forbidden = await post(browser)
    assert [400, 400, 403] == [unkeyed.status, unsound.status, forbidden.status]
    assert "amount_minor" == unsound.json["errors"][0]["field"]
    assert "post" in document["paths"]["/v1/pos-repayments"]
    assert nodes.commands == []
