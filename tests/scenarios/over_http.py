"""A running `forebay serve` as a stage, shared by all stories, one at a time.

Each story has names of its own, and years of its own if it names days.  The
rows can only be read once the server has stopped: a journal has one owner.
"""

from contextlib import ExitStack
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from gateway.calculations import Calculation
from gateway.keys import ALL_ROLES, KeyFile
from gateway.routes import BULK_PATH, CommandRoute, QueryRoute
from gateway.verify import SETTLEMENT_FILE, SHARD_FILE
from processor.journal import read_journal
from tests.processes import RunningServer
from tests.scenarios.ledger import Ledger, Mark, ledger_of
from tests.scenarios.names import Names, years_until
from tests.scenarios.stage import SHARDS, Told, refused
from tests.scenarios.story import Story

# The stories' days move on through the years that the API takes.
OPTIONS = ("--shards", str(SHARDS), "--first-day", "1900-01-01")
_DAYS = "/v1/business-days"


class HttpStage:
    """One server; `names_for` begins the next story on it."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._keys: dict[str, str] = {}  # By caller.
        self._opener = self._key_of("opener")
        address = urlsplit(server.url)
        self._connection = HTTPConnection(address.hostname or "", address.port)
        self._stories = 0
        self._tag = ""
        self._names: Names | None = None  # Of the last story.

    def names_for(self, story: Story) -> Names:
        self._stories += 1
        self._tag = f"s{self._stories}."
        years = 0
        given = story.given
        if story.dates:
            today = str(self._get(f"{_DAYS}/current").answer["day"])
            years = years_until(story.dates, today)
            names = Names(self._tag, given, SHARDS, years)
            self._open_day(today, names.real_day(given.today))
        self._names = Names(self._tag, given, SHARDS, years)
        return self._names

    def ask(
        self,
        route: CommandRoute,
        request_id: str,
        fields: dict[str, Any],
        caller: str = "",
    ) -> Told:
        path, body = route.path, dict(fields)
        if route.parameter:
            value = str(body.pop(route.parameter))
            path = path.replace(f"{{{route.parameter}}}", quote(value))
        if route.parameter == "day" and not route.needs_key:
            return self._close(value, body)
        key = self._key_of(caller) if caller else ""
        return self._post(path, f"{self._tag}{request_id}", body, key)

    def ask_all(
        self, route: CommandRoute, request_id: str, wishes: list[dict[str, Any]]
    ) -> list[Told]:
        if len(wishes) == 1:
            return [self.ask(route, request_id, wishes[0])]
        name = route.command.wire_name()
        items = [
            {"command": name, "request_id": f"{self._tag}{request_id}-{number}"} | wish
            for number, wish in enumerate(wishes)
        ]
        told = self._post(BULK_PATH, "", items)
        return [
            Told(result["answer"], b"")
            if "answer" in result
            else refused(_slug(result["problem"]))
            for result in told.answer["results"]
        ]

    def read(self, route: QueryRoute, object_id: str) -> Told:
        return self._get(route.path.replace(f"{{{route.parameter}}}", quote(object_id)))

    def work_out(self, calculation: Calculation, fields: dict[str, Any]) -> Told:
        told = self._post(calculation.path, "", fields)
        answer = dict(told.answer)
        answer.pop("replayed", None)
        if answer.get("status") == "refused":
            refusal = {"refused": answer["reason"], "field": answer.get("field", "")}
            return Told(refusal, b"")
        return Told(answer, told.body)

    def fetch(self, path: str) -> Told | None:
        return self._get(path)

    def pass_time(self, seconds: int) -> None:
        raise AssertionError("time passes only in the core")

    def mark(self) -> Mark:
        nodes = {
            node["name"]: node["figures"]["sequence"]
            for node in self._get("/v1/status").answer["nodes"]
        }
        shards = sorted(name for name in nodes if name.startswith("shard-"))
        return (nodes["settlement"], *(nodes[name] for name in shards))

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _open_day(self, today: str, day: str) -> None:
        # By another caller: a story may have left a decline under the only
        # request id that closing today has for its own.
        told = self._close(today, {"next_day": day}, self._opener)
        assert told.answer["status"] == "approved", told.answer

    def _close(self, day: str, body: dict[str, Any], key: str = "") -> Told:
        """Close a day and wait until every shard has reported it."""
        told = self._post(f"{_DAYS}/{day}/close", "", body, key)
        if told.answer["status"] == "approved":
            self._server.wait_until(
                f"the end of {day}",
                lambda: self._get(f"{_DAYS}/{day}").answer["status"] == "closed",
            )
            # Who is read has all that ended days bring, and not before.
            for account_id in self._names.accounts() if self._names else ():
                self._get(f"/v1/accounts/{account_id}")
        return told

    def _key_of(self, caller: str) -> str:
        if caller not in self._keys:
            keys = KeyFile(self._server.data_dir)
            self._keys[caller] = keys.add(caller, ALL_ROLES, "1900-01-01")
        return self._keys[caller]

    def _post(self, path: str, request_id: str, content: Any, key: str = "") -> Told:
        headers = {"Authorization": f"Bearer {key or self._server.key}"}
        if request_id:
            headers["Idempotency-Key"] = request_id
        response, body = self._exchange("POST", path, headers, content)
        answer = msgspec.json.decode(body)
        if response.status != HTTPStatus.OK:
            errors = answer.get("errors") or [{"field": ""}]
            return refused(_slug(answer), errors[0]["field"])
        if isinstance(answer, list):
            return Told({"results": answer}, body)
        header = response.getheader("Idempotency-Replayed")
        return Told({**answer, "replayed": header == "true"}, body)

    def _get(self, path: str) -> Told:
        headers = {"Authorization": f"Bearer {self._server.key}"}
        response, body = self._exchange("GET", path, headers, None)
        answer = msgspec.json.decode(body)
        if response.status != HTTPStatus.OK:
            answer = {"refused": _slug(answer)}
        return Told(answer, body)

    def _exchange(
        self, method: str, path: str, headers: dict[str, str], content: Any
    ) -> tuple[HTTPResponse, bytes]:
        data = None
        if content is not None:
            headers["Content-Type"] = "application/json"
            data = msgspec.json.encode(content)
        self._connection.request(method, path, data, headers)
        response = self._connection.getresponse()
        return response, response.read()


def _slug(problem: dict[str, Any]) -> str:
    return str(problem["type"]).rpartition("/")[2]


def ledger_in(data_dir: Path) -> Ledger:
    """All rows that a server has left, once it has stopped."""
    with ExitStack() as stack:
        settlement, *shards = [
            stack.enter_context(read_journal(data_dir / name))
            for name in (SETTLEMENT_FILE, *map(SHARD_FILE.format, range(SHARDS)))
        ]
        return ledger_of(settlement, list(shards))
