"""Calculations: what the rules say, for any key, and nothing is kept."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.calculations import CALCULATIONS
from gateway.fields import form_of
from gateway.keys import KeyFile
from gateway.ports import NothingDone
from gateway.routes import Role
from processor import limits
from processor.answers import ENCODER
from processor.calendar import number_of
from processor.commands import Share
from processor.messages import Answer, Outcome
from processor.schedules import Method, Payer, Plan, trial
from processor.settlement_views import DayView, ProgramView
from processor.terms import Terms
from tests.unit.gateway_fake import TODAY, Browser, FakeNodes, Response, browsing

REFUNDS, TRIALS = "/v1/refund-allocations", "/v1/instalment-trials"

# 500 = coupon 100 + card (discount 80, paid 120) + wallet 200.
ORDER = [
    {"kind": "coupon", "tender_id": "spring", "amount_minor": 100},
    {
        "kind": "card",
        "tender_id": "gift",
        "amount_minor": 120,
        "discount_minor": 80,
    },
    {"kind": "external", "tender_id": "wallet", "amount_minor": 200},
]
PLANS = (
    Plan("three", 3, Method.FLAT_FEE, 10_000),
    Plan("year", 12, Method.EQUAL_PAYMENT, 15_000),
    Plan("free", 3, Method.FLAT_FEE, 10_000, Payer.MERCHANT),
)


class Reference(FakeNodes):
    """Nodes that know one program, and what day it is."""

    async def query(self, kind: str, object_id: str) -> Answer:
        self.queries.append((kind, object_id))
        if isinstance(self.read, Exception):
            raise self.read
        shown: msgspec.Struct
        if (kind, object_id) == ("program", "p"):
            shares = (Share("bank", limits.PPM),)
            shown = ProgramView(
                "p",
                2,
                "EUR",
                TODAY,
                shares,
                60,
                60,
                0,
                PLANS,
                Terms(grace_days=3),
                None,
                (),
            )
        elif (kind, object_id) == ("day", "current"):
            shown = DayView(TODAY, "open")
        else:
            return Answer(0, Outcome.NOT_FOUND, b"")
        return Answer(0, Outcome.READ, ENCODER.encode(shown))


def parts(*minor: tuple[str, int, int]) -> list[dict[str, Any]]:
    return [
        {"tender_id": name, "amount_minor": paid, "discount_minor": discount}
        for name, paid, discount in minor
    ]


def field_of(told: Response) -> str:
    assert told.status == 422, told.body
    assert told.json["type"] == "/problems/not-computable"
    assert told.json["retryable"] is False
    (error,) = told.json["errors"]
    assert told.json["detail"] == f"{error['field']}: {error['message']}"
    return str(error["field"])


async def refund(browser: Browser, amount_minor: int, **more: Any) -> Response:
    return await browser.post(
        REFUNDS, {"tenders": ORDER, "amount_minor": amount_minor} | more
    )


# Refunds of orders.


async def test_the_known_case(tmp_path: Path) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        told = await refund(browser, 300)
    assert told.json == {
        "refundable_minor": 400,
        "refunds": parts(("spring", 0, 0), ("gift", 40, 60), ("wallet", 200, 0)),
    }


async def test_answers_can_be_sent_back_as_what_was_refunded(tmp_path: Path) -> None:
    back: list[dict[str, Any]] = []
    async with browsing(tmp_path, FakeNodes()) as browser:
        for amount_minor in (133, 133, 134):
            told = await refund(browser, amount_minor, refunded=back)
            back += told.json["refunds"]
        more = await refund(browser, 1, refunded=back)
    totals: dict[str, int] = {}
    for one in back:
        paid_minor = one["amount_minor"] + one["discount_minor"]
        totals[one["tender_id"]] = totals.get(one["tender_id"], 0) + paid_minor
    assert totals == {"spring": 0, "gift": 200, "wallet": 200}
    assert field_of(more) == "amount_minor"
    assert "1 more than what is left of the 400" in more.json["detail"]


async def test_the_order_of_kinds_can_be_another(tmp_path: Path) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        told = await refund(
            browser, 100, refund_order=["card", "credit_line", "external"]
        )
    assert told.json["refunds"] == parts(
        ("spring", 0, 0), ("gift", 80, 20), ("wallet", 0, 0)
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount_minor": 401}, "amount_minor"),
        ({"tenders": []}, "tenders"),
        ({"tenders": [ORDER[0] | {"amount_minor": 0}]}, "tenders"),
        ({"tenders": [ORDER[0], ORDER[0]]}, "tenders[1].tender_id"),
        ({"tenders": [ORDER[2] | {"discount_minor": 1}]}, "tenders[0].discount_minor"),
        ({"refund_order": ["card", "card", "external"]}, "refund_order"),
        ({"refund_order": ["card", "coupon", "external"]}, "refund_order"),
        ({"refunded": parts(("wallet", 1, 0), ("x", 1, 0))}, "refunded[1].tender_id"),
        ({"refunded": parts(("wallet", 100, 0))}, "refunded"),
        ({"refunded": parts(("gift", 120, 80), ("wallet", 201, 0))}, "refunded"),
    ],
)
async def test_what_is_no_sound_order_is_refused_by_field(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        told = await refund(browser, **{"amount_minor": 300, **change})
    assert field_of(told) == field


# Instalments.


async def test_a_trial_is_the_schedule_of_the_program_in_force(tmp_path: Path) -> None:
    nodes = Reference()
    async with browsing(tmp_path, nodes) as browser:
        body = {"program_id": "p", "plan_id": "year", "amount_minor": 120_000}
        told = await browser.post(TRIALS, body | {"statement_day": 5, "due_day": 20})
        later = await browser.post(TRIALS, body | {"captured_on": "2012-02-29"})
        free = await browser.post(TRIALS, body | {"plan_id": "free"})
    expected = trial(PLANS[1], 120_000, number_of(TODAY), 5, 20)
    assert told.json == msgspec.json.decode(msgspec.json.encode(expected))
    assert told.json["periods"][0]["due_on"] == "2011-02-20"
    assert later.json["periods"][0]["statement_on"] == "2012-03-01"
    assert later.json["periods"][0]["due_on"] == "2012-03-21"
    assert (free.json["fee_minor"], free.json["subsidy_minor"]) == (0, 3_600)
    assert nodes.queries == [
        ("program", "p"),
        ("day", "current"),
        ("program", "p"),
        ("program", "p"),
        ("day", "current"),
    ]


async def test_a_plan_or_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    nodes = Reference()
    async with browsing(tmp_path, nodes) as browser:
        body = {"program_id": "p", "plan_id": "three", "amount_minor": 9_000}
        no_plan = await browser.post(TRIALS, body | {"plan_id": "four"})
        no_program = await browser.post(TRIALS, body | {"program_id": "q"})
        nodes.read = NothingDone("the node is away")
        away = await browser.post(TRIALS, body)
    assert field_of(no_plan) == "plan_id"
    assert "three, year, free" in no_plan.json["detail"]
    assert field_of(no_program) == "program_id"
    assert (away.status, away.json["retryable"]) == (503, True)


# Both.


@pytest.mark.parametrize(
    ("path", "change", "field"),
    [
        (REFUNDS, {"amount_minor": 0}, "amount_minor"),
        (REFUNDS, {"tenders": ORDER * 3}, "tenders"),
        (REFUNDS, {"tenders": [ORDER[0] | {"kind": "gold"}]}, "tenders[0].kind"),
        (
            REFUNDS,
            {"refunded": [{"tender_id": "gift", "amount_minor": -1}]},
            "refunded[0].amount_minor",
        ),
        (REFUNDS, {"colour": 1}, "colour"),
        (TRIALS, {"captured_on": "1899-12-31"}, "captured_on"),
        (TRIALS, {"captured_on": "today"}, "captured_on"),
        (TRIALS, {"statement_day": 29}, "statement_day"),
    ],
)
async def test_a_field_of_another_form_is_refused_as_of_a_command(
    tmp_path: Path, path: str, change: dict[str, Any], field: str
) -> None:
    bodies = {c.path: c.example for c in CALCULATIONS}
    async with browsing(tmp_path, Reference()) as browser:
        told = await browser.post(path, bodies[path] | change)
    assert (told.status, told.json["type"]) == (400, "/problems/invalid-field")
    assert told.json["errors"][0]["field"] == field


def test_a_refunded_tender_may_have_had_nothing_back() -> None:
    assert "0 to" in form_of("amount_minor", "refunded").must_be
    assert "1 to" in form_of("amount_minor").must_be


async def test_any_key_may_ask_without_an_idempotency_key(tmp_path: Path) -> None:
    nodes = Reference()
    async with browsing(tmp_path, nodes) as browser:
        browser.key = KeyFile(tmp_path).add("reader", [Role.AUDITOR], TODAY)
        document = (await browser.get("/openapi.json")).json
        for calculation in CALCULATIONS:
            told = document["paths"][calculation.path]["post"]
            content = told["requestBody"]["content"]["application/json"]
            example = content["example"] | (
                {"program_id": "p", "plan_id": "three"}
                if "plan_id" in content["example"]
                else {}
            )
            first = await browser.post(
                calculation.path, example, without=("Idempotency-Key",)
            )
            again = await browser.post(calculation.path, example)
            nobody = await browser.post(
                calculation.path, example, without=("Authorization",)
            )
            plain = await browser.post(
                calculation.path, example, headers={"Content-Type": "text/plain"}
            )
            gotten = await browser.get(calculation.path)
            assert first.status == 200, first.body
            assert msgspec.convert(first.json, calculation.answer)
            assert first.body == again.body
            assert (nobody.status, plain.status) == (401, 415)
            assert (gotten.status, gotten.headers["allow"]) == (405, "POST")
            assert "422" in told["responses"]
            assert "parameters" not in told
        metrics = (await browser.get("/metrics")).body.decode()
    assert nodes.commands == []
    assert f'outcome="answered",route="{TRIALS}"}} 2.0' in metrics
