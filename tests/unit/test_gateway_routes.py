"""Every route carries out its command or query, for the role it should."""

import importlib
from pathlib import Path
from typing import Any

import msgspec

from actors.cuts import SealedCut, SealedJournal
from actors.nodes import NothingDone
from gateway.keys import KeyFile
from gateway.routes import COMMAND_ROUTES, QUERY_ROUTES, CommandRoute, QueryRoute, Role
from processor import commands as c
from processor.messages import Answer, Outcome
from processor.terms import (
    CategoryVelocity,
    MerchantTerms,
    PartyShare,
    Side,
    Subsidy,
    Velocity,
    Waivable,
)
from tests.unit.gateway_fake import (
    APPROVED,
    AUTHORIZE,
    DECLINED,
    TODAY,
    FakeNodes,
    browsing,
)

AU, HO = "au_3c0002a", "ho_3c0002b"
SHARES = [
    {"lender_id": "first-bank", "share_ppm": 700_000},
    {"lender_id": "second-bank", "share_ppm": 300_000},
]
WHO = ("tester", "r-1")
jsonschema: Any = importlib.import_module("jsonschema")  # Ships no types.

# Each route: its path, a body, and the command that must reach the nodes.
CASES: list[tuple[str, dict[str, Any] | None, c.Command]] = [
    (
        "/v1/accounts",
        {
            "account_id": "alice",
            "program_id": "p",
            "currency": "GBP",
            "limit_minor": 0,
        },
        c.OpenAccount(*WHO, "alice", "p", "GBP", 0),
    ),
    ("/v1/accounts/alice/limit", {"limit_minor": 7}, c.ChangeLimit(*WHO, "alice", 7)),
    (
        "/v1/accounts/alice/temporary-limit",
        {"limit_minor": 7, "until_day": "2011-02-03"},
        c.SetTemporaryLimit(*WHO, "alice", 7, "2011-02-03"),
    ),
    (
        "/v1/accounts/alice/velocity",
        {
            "velocity": {"daily_minor": 7},
            "categories": [{"category": "food", "purchase_minor": 3}],
        },
        c.SetVelocity(*WHO, "alice", Velocity(None, 7), (CategoryVelocity("food", 3),)),
    ),
    ("/v1/accounts/alice/freeze", {}, c.FreezeAccount(*WHO, "alice")),
    ("/v1/accounts/alice/unfreeze", None, c.UnfreezeAccount(*WHO, "alice")),
    ("/v1/accounts/alice/close", None, c.CloseAccount(*WHO, "alice")),
    (
        "/v1/authorizations",
        AUTHORIZE | {"capture": True, "reference": "order 1 £"},
        c.Authorize(*WHO, "alice", "corner-shop", 12_500, "GBP", True, "order 1 £"),
    ),
    (
        "/v1/authorizations",
        AUTHORIZE | {"partial": True},
        c.Authorize(*WHO, "alice", "corner-shop", 12_500, "GBP", partial=True),
    ),
    (
        f"/v1/authorizations/{AU}/capture",
        {"amount_minor": 5, "final": True},
        c.CaptureAuthorization(*WHO, AU, 5, True),
    ),
    (
        f"/v1/authorizations/{AU}/capture",
        {"amount_minor": None},
        c.CaptureAuthorization(*WHO, AU),
    ),
    (f"/v1/authorizations/{AU}/reverse", None, c.ReverseAuthorization(*WHO, AU)),
    (
        f"/v1/authorizations/{AU}/increment",
        {"amount_minor": 1},
        c.IncrementAuthorization(*WHO, AU, 1),
    ),
    (
        "/v1/holds",
        {"account_id": "alice", "amount_minor": 3, "currency": "GBP"},
        c.PlaceHold(*WHO, "alice", 3, "GBP"),
    ),
    (f"/v1/holds/{HO}/release", {"amount_minor": 1}, c.ReleaseHold(*WHO, HO, 1)),
    (f"/v1/holds/{HO}/increase", {"amount_minor": 1}, c.IncreaseHold(*WHO, HO, 1)),
    (
        f"/v1/holds/{HO}/convert",
        {"merchant_id": "shop", "capture": True},
        c.ConvertHold(*WHO, HO, "shop", None, True),
    ),
    ("/v1/refunds", {"authorization_id": AU}, c.Refund(*WHO, AU)),
    (
        "/v1/repayments",
        {"account_id": "alice", "amount_minor": 10**12, "currency": "GBP"},
        c.Repay(*WHO, "alice", 10**12, "GBP"),
    ),
    (
        "/v1/accounts/alice/early-settlements",
        {"amount_minor": 7, "currency": "GBP", "authorization_id": AU},
        c.SettleEarly(*WHO, "alice", 7, "GBP", AU),
    ),
    ("/v1/accounts/alice/payouts", {}, c.PayOutCredit(*WHO, "alice")),
    (
        "/v1/accounts/alice/waivers",
        {"charge": "penalty", "amount_minor": 3},
        c.WaiveCharges(*WHO, "alice", Waivable.PENALTY, 3),
    ),
    ("/v1/accounts/alice/write-off", {}, c.WriteOff(*WHO, "alice")),
    (
        "/v1/accounts/alice/recoveries",
        {"amount_minor": 7, "currency": "GBP"},
        c.RecordRecovery(*WHO, "alice", 7, "GBP"),
    ),
    (
        "/v1/accounts/alice/claims",
        {"guarantor_id": "cover", "amount_minor": 7, "currency": "GBP"},
        c.PayClaim(*WHO, "alice", "cover", 7, "GBP"),
    ),
    (
        "/v1/accounts/alice/adjustments",
        {
            "side": "credit",
            "amount_minor": 7,
            "currency": "GBP",
            "corrects": "re_1",
        },
        c.ProposeAdjustment(*WHO, "alice", Side.CREDIT, 7, "GBP", "re_1"),
    ),
    (f"/v1/authorizations/{AU}/extend", {"periods": 6}, c.ExtendPlan(*WHO, AU, 6)),
    (
        "/v1/repayments/rp_3c0002c/finalize",
        {},
        c.FinalizeRepayment(*WHO, "rp_3c0002c"),
    ),
    (
        "/v1/repayments/rp_3c0002c/return",
        {"reference": "AM04"},
        c.ReturnRepayment(*WHO, "rp_3c0002c", "AM04"),
    ),
    (
        "/v1/write-offs/wo_3c0002d/reverse",
        {},
        c.ReverseWriteOff(*WHO, "wo_3c0002d"),
    ),
    ("/v1/recoveries/rc_3c0002e/reverse", {}, c.ReverseRecovery(*WHO, "rc_3c0002e")),
    ("/v1/claims/cl_3c0002f/reverse", {}, c.ReverseClaim(*WHO, "cl_3c0002f")),
    (
        "/v1/adjustments/aj_3c00030/approve",
        {},
        c.ApproveAdjustment(*WHO, "aj_3c00030"),
    ),
    ("/v1/adjustments/aj_3c00030/reject", {}, c.RejectAdjustment(*WHO, "aj_3c00030")),
    (
        "/v1/lenders",
        {"lender_id": "bank", "currency": "GBP", "name": "The Bank"},
        c.RegisterLender(*WHO, "bank", "GBP", "The Bank"),
    ),
    (
        "/v1/lenders/bank/deposits",
        {"amount_minor": 9},
        c.DepositReserve(*WHO, "bank", 9),
    ),
    (
        "/v1/lenders/bank/withdrawals",
        {"amount_minor": 9},
        c.WithdrawReserve(*WHO, "bank", 9),
    ),
    (
        "/v1/lenders/bank/advance-line",
        {"advance_line_minor": 0},
        c.ChangeAdvanceLine(*WHO, "bank", 0),
    ),
    ("/v1/lenders/bank/suspend", None, c.SuspendLender(*WHO, "bank")),
    ("/v1/lenders/bank/resume", None, c.ResumeLender(*WHO, "bank")),
    (
        "/v1/lenders/bank/daily-cap",
        {"daily_cap_minor": 0},
        c.SetDailyCap(*WHO, "bank", 0),
    ),
    ("/v1/lenders/bank/daily-cap", {}, c.SetDailyCap(*WHO, "bank")),
    (
        "/v1/funds",
        {
            "movement_id": "f1",
            "lender_id": "bank",
            "direction": "withdrawal",
            "amount_minor": 9,
        },
        c.ProposeFunds(*WHO, "f1", "bank", c.Direction.WITHDRAWAL, 9),
    ),
    ("/v1/funds/f1/approve", None, c.ApproveFunds(*WHO, "f1")),
    ("/v1/funds/f1/reject", None, c.RejectFunds(*WHO, "f1")),
    (
        "/v1/forced-captures",
        {
            "account_id": "alice",
            "merchant_id": "shop",
            "amount_minor": 3,
            "currency": "GBP",
            "authorization_id": AU,
        },
        c.ForceCapture(*WHO, "alice", "shop", 3, "GBP", "", AU),
    ),
    (
        "/v1/programs",
        {"program_id": "p", "currency": "GBP", "shares": SHARES},
        c.RegisterProgram(
            *WHO,
            "p",
            "GBP",
            (c.Share("first-bank", 700_000), c.Share("second-bank", 300_000)),
        ),
    ),
    ("/v1/merchants", {"merchant_id": "shop"}, c.RegisterMerchant(*WHO, "shop")),
    (
        "/v1/merchants",
        {"merchant_id": "shop", "pricing": {"category": "food", "fee_ppm": 18_000}},
        c.RegisterMerchant(
            *WHO, "shop", "", MerchantTerms(category="food", fee_ppm=18_000)
        ),
    ),
    (
        "/v1/merchants/shop/terms",
        {
            "pricing": {
                "fee_minimum_minor": 5,
                "fee_cap_minor": 9,
                "fee_shares": [
                    {"party_id": "platform", "share_ppm": 600_000},
                    {"party_id": "bank", "share_ppm": 400_000},
                ],
                "subsidies": [{"payer_id": "brand", "share_ppm": 1_000}],
            }
        },
        c.ChangeMerchant(
            *WHO,
            "shop",
            MerchantTerms(
                fee_minimum_minor=5,
                fee_cap_minor=9,
                fee_shares=(
                    PartyShare("platform", 600_000),
                    PartyShare("bank", 400_000),
                ),
                subsidies=(Subsidy("brand", 1_000),),
            ),
        ),
    ),
    (
        "/v1/business-days/2011-01-31/close",
        {"next_day": "2011-02-02"},
        c.CloseDay("tester", "close-2011-01-31", "2011-01-31", "2011-02-02"),
    ),
    (
        "/v1/business-days/2011-01-31/close",
        None,
        c.CloseDay("tester", "close-2011-01-31", "2011-01-31"),
    ),
]


async def test_a_command_reaches_the_nodes_and_its_answer_the_caller(
    tmp_path: Path,
) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        for path, body, command in CASES:
            nodes.commands.clear()
            key = f"r-{len(nodes.waiting)}"
            told = await browser.post(path, body, headers={"Idempotency-Key": key})
            assert (told.status, told.body) == (200, APPROVED)
            assert told.headers["content-type"] == "application/json"
            assert "idempotency-replayed" not in told.headers
            if not isinstance(command, c.CloseDay):
                command = msgspec.structs.replace(command, request_id=key)
            assert nodes.commands == [command]


def test_every_command_route_has_a_case() -> None:
    tried = {type(command) for _, _, command in CASES}
    assert {route.command for route in COMMAND_ROUTES} == tried


async def test_a_decline_is_an_answer(tmp_path: Path) -> None:
    nodes = FakeNodes(lambda command: Answer(0, Outcome.DECIDED, DECLINED))
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post("/v1/authorizations", AUTHORIZE)
        metrics = (await browser.get("/metrics")).body.decode()
    assert (told.status, told.body) == (200, DECLINED)
    declines = 'forebay_gateway_declines_total{reason="reserve_exhausted"} 1.0'
    assert declines in metrics


async def test_an_answer_given_before_is_marked(tmp_path: Path) -> None:
    nodes = FakeNodes(lambda command: Answer(0, Outcome.REPLAYED, DECLINED))
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post("/v1/authorizations", AUTHORIZE)
    assert (told.status, told.body) == (200, DECLINED)
    assert told.headers["idempotency-replayed"] == "true"


async def test_a_command_needs_its_role(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        for wanted in (Role.PAYMENTS, Role.OPERATOR):
            others = [role for role in Role if role is not wanted]
            browser.key = KeyFile(tmp_path).add("other", others, TODAY)
            for route in COMMAND_ROUTES:
                if route.role is wanted:
                    told = await browser.post(_path(route, "x"), {})
                    assert told.status == 403, route.path
                    assert told.json["type"] == "/problems/forbidden"
                    assert wanted.value in told.json["detail"]
    assert nodes.commands == []


def _path(route: CommandRoute | QueryRoute, value: str) -> str:
    return route.path.replace(f"{{{route.parameter}}}", value)


PARAMETERS = {"authorization_id": AU, "hold_id": HO, "day": "2011-01-31"}


async def test_a_query_reads_its_object_for_any_role(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        browser.key = KeyFile(tmp_path).add("reader", [Role.AUDITOR], TODAY)
        for route in QUERY_ROUTES:
            nodes.queries.clear()
            value = PARAMETERS.get(route.parameter, "an.id:1")
            path = _path(route, value)
            nodes.read = Answer(0, Outcome.READ, b'{"found":true}')
            told = await browser.get(path, without=("Idempotency-Key",))
            nodes.read = Answer(0, Outcome.NOT_FOUND, b"")
            missing = await browser.get(path)
            unknown = await browser.get(path, headers={"Authorization": "Bearer x"})
            assert (told.status, told.json) == (200, {"found": True})
            assert nodes.queries == [(route.kind, value)] * 2
            assert (missing.status, unknown.status) == (404, 401)
            assert missing.json["type"] == "/problems/not-found"


async def test_the_current_day_can_be_asked_for(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.get("/v1/business-days/current")
        wrong = await browser.get("/v1/business-days/yesterday")
    assert (told.status, nodes.queries) == (200, [("day", "current")])
    assert (wrong.status, wrong.json["errors"][0]["field"]) == (400, "day")


async def test_health_status_and_metrics(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        live = await browser.get("/livez", without=("Authorization",))
        ready = await browser.get("/readyz", without=("Authorization",))
        status = await browser.get("/v1/status")
        nodes.ready = False
        unready = await browser.get("/readyz")
        metrics = (await browser.get("/metrics", without=("Authorization",))).body
    assert (live.status, ready.status, unready.status) == (200, 200, 503)
    assert unready.headers["retry-after"] == "1"
    assert status.json == {"ready": True, "nodes": []}
    assert b'forebay_node_batches_total{node="shard-000"} 6.0' in metrics
    assert b"forebay_gateway_ready 0.0" in metrics


async def test_requests_are_counted_by_route_and_outcome(tmp_path: Path) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        await browser.post("/v1/authorizations", AUTHORIZE)
        await browser.post("/v1/authorizations", {})
        metrics = (await browser.get("/metrics")).body.decode()
    route = 'route="/v1/authorizations"'
    requests = "forebay_gateway_requests_total"
    duration = "forebay_gateway_request_duration_seconds"
    assert f'{requests}{{outcome="answered",{route}}} 1.0' in metrics
    assert f'{requests}{{outcome="invalid-field",{route}}} 1.0' in metrics
    assert f"{duration}_count{{{route}}} 2.0" in metrics
    assert f'{duration}_bucket{{le="3.0",{route}}} 2.0' in metrics


async def test_an_audit_is_for_auditors(tmp_path: Path) -> None:
    async def audit() -> dict[str, object]:
        return {"overspend_minor": 0}

    async with browsing(tmp_path, FakeNodes(), audit=audit) as browser:
        told = await browser.get("/v1/audit")
        browser.key = KeyFile(tmp_path).add("payer", [Role.PAYMENTS], TODAY)
        refused = await browser.get("/v1/audit")
    assert (told.status, told.json) == (200, {"overspend_minor": 0})
    assert refused.status == 403


async def test_journals_are_sealed_for_operators(tmp_path: Path) -> None:
    told = SealedCut("cluster", [SealedJournal("settlement", 2, 9, "c0ffee")], 7)
    cuts: list[SealedCut | Exception] = [told, NothingDone("shard-001 is down")]

    async def seal() -> SealedCut:
        cut = cuts.pop(0)
        if isinstance(cut, Exception):
            raise cut
        return cut

    async with browsing(tmp_path, FakeNodes(), seal=seal) as browser:
        sealed = await browser.post("/v1/sealings", {})
        down = await browser.post("/v1/sealings", {})
        wrong = await browser.get("/v1/sealings")
        browser.key = KeyFile(tmp_path).add("payer", [Role.PAYMENTS], TODAY)
        refused = await browser.post("/v1/sealings", {})
    async with browsing(tmp_path, FakeNodes()) as browser:
        nothing = await browser.post("/v1/sealings", {})
    assert (200, told) == (sealed.status, msgspec.convert(sealed.json, SealedCut))
    assert (503, "There is no cut: shard-001 is down.") == (
        down.status,
        down.json["detail"],
    )
    assert (405, 403, 404) == (wrong.status, refused.status, nothing.status)


async def test_the_documentation_works_without_any_other_host(tmp_path: Path) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        page = await browser.get("/docs")
        script = await browser.get("/docs/assets/swagger-ui-bundle.js")
        style = await browser.get("/docs/assets/swagger-ui.css")
        start = await browser.get("/docs/start.js")
        home = await browser.get("/")
        problem = await browser.get("/problems/invalid-field")
        nothing = await browser.get("/problems/nothing")
    assert {r.status for r in (page, script, style, start, problem)} == {200}
    assert b"http" not in page.body + start.body
    assert len(script.body) > 500_000
    assert home.headers["location"] == "/docs"
    assert b"invalid" in problem.body
    assert nothing.status == 404


async def test_the_api_document_describes_every_route(tmp_path: Path) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        document = (await browser.get("/openapi.json", without=("Authorization",))).json
    assert document["openapi"] == "3.1.0"
    described = {
        (method, path)
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert {("post", route.path) for route in COMMAND_ROUTES} <= described
    assert {("get", route.path) for route in QUERY_ROUTES} <= described
    _resolve_all(document, document)


def _resolve_all(node: Any, document: dict[str, Any]) -> None:
    """Every reference leads somewhere, and every schema is one."""
    if isinstance(node, list):
        for inner in node:
            _resolve_all(inner, document)
    elif isinstance(node, dict):
        if "$ref" in node:
            found: Any = document
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
        if isinstance(schema := node.get("schema"), dict):
            jsonschema.Draft202012Validator.check_schema(schema)
        for inner in node.values():
            _resolve_all(inner, document)


async def test_the_documents_own_examples_are_accepted(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        document = (await browser.get("/openapi.json")).json
        for route in COMMAND_ROUTES:
            told = document["paths"][route.path]["post"]
            values = {p["name"]: str(p["example"]) for p in told["parameters"]}
            path = _path(route, values.get(route.parameter or "", ""))
            content = told["requestBody"]["content"]["application/json"]
            answer = await browser.post(path, content["example"])
            assert answer.status == 200, answer.body
    assert [type(n) for n in nodes.commands] == [r.command for r in COMMAND_ROUTES]


async def test_the_noop_endpoint_answers_and_touches_no_node(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.post("/v1/noop", AUTHORIZE, without=("Authorization",))
    assert (told.status, told.json["status"]) == (200, "approved")
    assert nodes.commands == []
