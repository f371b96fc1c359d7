"""Reading an account's history at the door: the page that is asked for, or why not."""

import importlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.keys import KeyFile
from gateway.ports import NothingDone, OutcomeUnknown
from gateway.routes import Role
from processor import limits
from processor.commands import Authorize
from processor.entries import EntriesView
from processor.messages import Answer, Outcome
from tests.unit.gateway_fake import TODAY, FakeNodes, bounds, browsing
from tests.unit.one_shard import a_shard

PATH = "/v1/accounts/alice/entries"
LAST = 2**53 - 1
jsonschema: Any = importlib.import_module("jsonschema")  # Ships no types.


@pytest.mark.parametrize(
    ("query", "page"),
    [
        ("", (0, 50)),
        ("?limit=1", (0, 1)),
        ("?limit=200", (0, 200)),
        ("?before=17", (17, 50)),
        (f"?limit=3&before={LAST}", (LAST, 3)),
        ("?limit=3&limit=4", (0, 4)),
    ],
)
async def test_a_page_is_asked_for(
    tmp_path: Path, query: str, page: tuple[int, int]
) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = await browser.get(PATH + query, without=("Idempotency-Key",))
    assert (200, b'{"found":true}') == (told.status, told.body)
    assert "application/json" == told.headers["content-type"]
    assert ([("entries", "alice")], [page]) == (nodes.queries, nodes.pages)


INVALID = [
    *((f"?limit={wrong}", "limit") for wrong in ("0", "201", "-1", "1.0", "1e1")),
    *((f"?limit={wrong}", "limit") for wrong in ("", "ten", "%20 5", "٣", "9" * 40)),
    *((f"?before={wrong}", "before") for wrong in ("0", "-1", "", "x", "1.5", "01")),
    (f"?before={'9' * 17}", "before"),
    ("?before=null", "before"),
    ("?offset=5", "offset"),
    ("?limit=5&Limit=5", "Limit"),
]


async def test_an_invalid_parameter_is_named_with_the_fix(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        told = [await browser.get(PATH + query) for query, _ in INVALID]
        unfit = await browser.get("/v1/accounts/a%20b/entries")
        metrics = (await browser.get("/metrics")).body.decode()
    for answer, (query, field) in zip(told, INVALID, strict=True):
        problem = answer.json
        assert (400, "/problems/invalid-field") == (answer.status, problem["type"])
        assert [field] == [error["field"] for error in problem["errors"]], query
        assert problem["errors"][0]["message"]
    assert "account_id" == unfit.json["errors"][0]["field"]
    assert [] == nodes.queries
    route = 'route="/v1/accounts/{account_id}/entries"'
    counted = f'outcome="invalid-field",{route}}} {len(INVALID) + 1}.0'
    assert counted in metrics


async def test_it_is_for_every_key_and_for_no_other(tmp_path: Path) -> None:
    nodes = FakeNodes()
    async with browsing(tmp_path, nodes) as browser:
        without = await browser.get(PATH, without=("Authorization",))
        wrong = await browser.get(PATH, headers={"Authorization": "Bearer fb_a_b"})
        for role in Role:
            browser.key = KeyFile(tmp_path).add(role.value, [role], TODAY)
            assert 200 == (await browser.get(PATH)).status
    assert (401, 401) == (without.status, wrong.status)


@pytest.mark.parametrize(
    ("read", "status"),
    [
        (Answer(0, Outcome.NOT_FOUND, b""), 404),
        (Answer(0, Outcome.NOT_FOUND, b"before"), 400),
        (Answer(0, Outcome.NOT_DONE, b"overloaded"), 429),
        (Answer(0, Outcome.NOT_DONE, b"the journal is not confirmed"), 503),
        (NothingDone("shard-000 cannot be reached"), 503),
        (OutcomeUnknown("the connection broke"), 503),
    ],
)
async def test_what_cannot_be_read_is_a_problem(
    tmp_path: Path, read: Answer | Exception, status: int
) -> None:
    nodes = FakeNodes()
    nodes.read = read
    async with browsing(tmp_path, nodes, given=bounds()) as browser:
        told = await browser.get(PATH)
    assert (status, "application/problem+json") == (
        told.status,
        told.headers["content-type"],
    )
    if status == 404:
        assert "There is no account 'alice'." == told.json["detail"]
    elif status == 400:
        assert ["before"] == [error["field"] for error in told.json["errors"]]
    else:
        assert "1" == told.headers["retry-after"]


async def test_the_document_says_what_may_be_asked_and_what_comes(
    tmp_path: Path,
) -> None:
    async with browsing(tmp_path, FakeNodes()) as browser:
        document = (await browser.get("/openapi.json")).json
    told = document["paths"]["/v1/accounts/{account_id}/entries"]["get"]
    parameters = {given["name"]: given for given in told["parameters"]}
    assert {"account_id": "path", "limit": "query", "before": "query"} == {
        name: given["in"] for name, given in parameters.items()
    }
    assert {"account_id"} == {n for n, given in parameters.items() if given["required"]}
    limit = parameters["limit"]["schema"]
    assert (1, limits.ENTRIES_PER_READ_MAX, 50) == (
        limit["minimum"],
        limit["maximum"],
        limit["default"],
    )
    assert {"200", "400", "401", "404", "429", "500", "503"} == set(told["responses"])
    content = told["responses"]["200"]["content"]["application/json"]
    schema = content["schema"] | {"components": document["components"]}
    shard = a_shard(L1=100)
    shard.ask(Authorize, "a", "m", 10, "EUR", True)
    shard.ask(Authorize, "a", "m", 5_000, "EUR")
    jsonschema.Draft202012Validator(schema).validate(shard.entries("a"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate({"entries": [{}]})


def test_the_document_and_the_shard_mean_the_same_struct() -> None:
    shard = a_shard(L1=100)
    told = msgspec.convert(shard.entries("a"), EntriesView)
    assert "account_opened" == told.entries[0].kind
