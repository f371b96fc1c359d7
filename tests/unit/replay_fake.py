"""A small server that answers replays over real HTTP.

It knows accounts with limits, lenders with one reserve each (a purchase takes
its share of every lender of the program, rounded up), days, and the memory of
request ids, also of commands in bulk.  It bills nothing.  It is written for these
tests alone and shares no code with the processor.  `trouble` is asked before each
request, and before each command in one, what shall go wrong.
"""

import asyncio
import random
from collections import Counter
from datetime import date, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Trouble(Enum):
    """What goes wrong with one request."""

    NONE = auto()
    BUSY = auto()  # 503 before anything is done.
    THROTTLED = auto()  # 429 before anything is done.
    RESET_BEFORE = auto()  # The connection breaks before anything is done.
    RESET_AFTER = auto()  # It is done, and the answer is lost.
    UNKNOWN = auto()  # It is done, and the answer is a 504.


_BULK = "/v1/commands"
_PATH_OF_COMMAND = {
    "open_account": "/v1/accounts",
    "authorize": "/v1/authorizations",
    "refund": "/v1/refunds",
    "repay": "/v1/repayments",
}
_STATUS = {Trouble.BUSY: 503, Trouble.THROTTLED: 429, Trouble.UNKNOWN: 504}


class Account(msgspec.Struct):
    program_id: str
    limit_minor: int
    owed_minor: int = 0


class Bought(msgspec.Struct):
    account_id: str
    amount_minor: int
    left_minor: int
    reference: str


class Lender(msgspec.Struct):
    deposit_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0

    @property
    def headroom_minor(self) -> int:
        return self.deposit_minor - self.captured_minor + self.refunded_minor


class FakeServer:
    """Use it as an async context; then `url` is where it listens."""

    def __init__(self, first_day: str = "2011-01-01") -> None:
        self.url = ""
        self.trouble: Callable[[str, str], Trouble] = lambda path, key: Trouble.NONE
        self.delay_seconds = 0.0
        self.audit: dict[str, Any] | None = None
        self.day = date.fromisoformat(first_day)
        self.closed: list[str] = []
        self.merchants: dict[str, str] = {}
        self.programs: dict[str, dict[str, int]] = {}
        self.lenders: dict[str, Lender] = {}
        self.accounts: dict[str, Account] = {}
        self.bought: dict[str, Bought] = {}
        self.seen: list[tuple[str, str]] = []  # Path and key of every request.
        self.done: list[tuple[str, dict[str, Any]]] = []  # Decided, not replayed.
        self.in_flight_most = 0
        self._in_flight = 0
        self.memory: dict[str, tuple[str, bytes, dict[str, Any]]] = {}

    async def __aenter__(self) -> "FakeServer":
        application = web.Application()
        application.router.add_route("*", "/v1/{rest:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        self.in_flight_most = max(self.in_flight_most, self._in_flight)
        try:
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            return await self._answer(request)
        finally:
            self._in_flight -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key", "")
        self.seen.append((request.path, key))
        trouble = self.trouble(request.path, key)
        if trouble in (Trouble.BUSY, Trouble.THROTTLED):
            return _problem(_STATUS[trouble], "nothing was done")
        if trouble is Trouble.RESET_BEFORE:
            return _broken(request)
        body = await request.read()
        if request.method == "GET":
            response = self._view(request.path)
        elif request.path == _BULK:
            response = self._decided_in_bulk(body)
        else:
            response = self._decided(request.path, key, body)
        if trouble is Trouble.RESET_AFTER:
            return _broken(request)
        if trouble is Trouble.UNKNOWN:
            return _problem(504, "the outcome is unknown")
        return response

    def _decided(self, path: str, key: str, body: bytes) -> web.Response:
        key = key or path
        if key in self.memory:
            known_path, known_body, answer = self.memory[key]
            if (known_path, known_body) != (path, body):
                return _problem(422, "the key was used for other content")
            return web.json_response(answer, headers={"Idempotency-Replayed": "true"})
        wish = msgspec.json.decode(body)
        answer = self._carry_out(path, wish)
        self.memory[key] = (path, body, answer)
        self.done.append((path, wish | {"answer": answer}))
        return web.json_response(answer)

    def _decided_in_bulk(self, body: bytes) -> web.Response:
        return web.json_response(
            [self._result(item) for item in msgspec.json.decode(body)]
        )

    def _result(self, item: dict[str, Any]) -> dict[str, Any]:
        path = _PATH_OF_COMMAND[item.pop("command")]
        key = item.pop("request_id")
        trouble = self.trouble(path, key)
        self.seen.append((path, key))
        if trouble in (Trouble.BUSY, Trouble.THROTTLED, Trouble.RESET_BEFORE):
            return {"outcome": "not_done", "problem": {"detail": "busy"}}
        response = self._decided(path, key, msgspec.json.encode(item))
        if trouble is not Trouble.NONE:
            return {"outcome": "unknown", "problem": {"detail": "no answer"}}
        assert isinstance(response.body, bytes)
        told = msgspec.json.decode(response.body)
        if response.status != 200:
            return {"outcome": "conflict", "problem": told}
        replayed = "Idempotency-Replayed" in response.headers
        return {"outcome": "replayed" if replayed else "decided", "answer": told}

    def _carry_out(self, path: str, wish: dict[str, Any]) -> dict[str, Any]:
        parts = path.split("/")[2:]
        match parts:
            case ["merchants"]:
                if wish["merchant_id"] in self.merchants:
                    return _declined("merchant_exists")
                self.merchants[wish["merchant_id"]] = str(self.day)
            case ["lenders"]:
                if wish["lender_id"] in self.lenders:
                    return _declined("lender_exists")
                self.lenders[wish["lender_id"]] = Lender()
            case ["programs"]:
                if wish["program_id"] in self.programs:
                    return _declined("program_exists")
                self.programs[wish["program_id"]] = {
                    share["lender_id"]: share["share_ppm"] for share in wish["shares"]
                }
            case ["accounts"]:
                if wish["account_id"] in self.accounts:
                    return _declined("account_exists")
                self.accounts[wish["account_id"]] = Account(
                    wish["program_id"], wish["limit_minor"]
                )
            case ["lenders", lender_id, "deposits"]:
                self.lenders[lender_id].deposit_minor += wish["amount_minor"]
            case ["lenders", lender_id, "withdrawals"]:
                if wish["amount_minor"] > self.lenders[lender_id].headroom_minor:
                    return _declined("reserve_exhausted")
                self.lenders[lender_id].deposit_minor -= wish["amount_minor"]
            case ["authorizations"]:
                return self._authorize(wish)
            case ["refunds"]:
                return self._refund(wish)
            case ["repayments"]:
                self.accounts[wish["account_id"]].owed_minor -= wish["amount_minor"]
            case ["business-days", day, "close"]:
                return self._close(day, wish)
            case _:
                raise AssertionError(f"the fake does not know {path}")
        return {"status": "approved"}

    def _authorize(self, wish: dict[str, Any]) -> dict[str, Any]:
        assert wish["merchant_id"] in self.merchants
        account = self.accounts[wish["account_id"]]
        amount = wish["amount_minor"]
        if amount > account.limit_minor - account.owed_minor:
            return _declined("credit_limit_exceeded")
        parts = self._parts(account, amount)
        if any(self.lenders[name].headroom_minor < part for name, part in parts):
            return _declined("reserve_exhausted")
        for name, part in parts:
            self.lenders[name].captured_minor += part
        account.owed_minor += amount
        authorization_id = f"au_{len(self.bought)}"
        self.bought[authorization_id] = Bought(
            wish["account_id"], amount, amount, wish.get("reference", "")
        )
        return {"status": "approved", "authorization_id": authorization_id}

    def _refund(self, wish: dict[str, Any]) -> dict[str, Any]:
        bought = self.bought[wish["authorization_id"]]
        if wish["amount_minor"] > bought.left_minor:
            return _declined("refund_exceeds_captured")
        account = self.accounts[bought.account_id]
        bought.left_minor -= wish["amount_minor"]
        account.owed_minor -= wish["amount_minor"]
        for name, part in self._parts(account, wish["amount_minor"]):
            self.lenders[name].refunded_minor += part
        return {"status": "approved"}

    def _parts(self, account: Account, amount: int) -> list[tuple[str, int]]:
        shares = self.programs[account.program_id].items()
        return [(name, -(-amount * ppm // 1_000_000)) for name, ppm in shares]

    def _close(self, day: str, wish: dict[str, Any]) -> dict[str, Any]:
        if day != str(self.day):
            return _declined("day_not_open")
        self.closed.append(day)
        following = self.day + timedelta(days=1)
        self.day = date.fromisoformat(wish.get("next_day", str(following)))
        return {"status": "approved", "day": day, "next_day": str(self.day)}

    def _view(self, path: str) -> web.Response:
        match path.split("/")[2:]:
            case ["audit"] if self.audit is not None:
                return web.json_response(self.audit)
            case ["business-days", "current"]:
                return web.json_response({"day": str(self.day), "status": "open"})
            case ["business-days", day]:
                if day in self.closed:
                    status = "closed"
                elif day == str(self.day):
                    status = "open"
                else:
                    status = "future"
                return web.json_response({"day": day, "status": status})
            case ["accounts", account_id, *rest] if account_id in self.accounts:
                return self._account_view(self.accounts[account_id], rest)
            case ["merchants", merchant_id] if merchant_id in self.merchants:
                registered_on = self.merchants[merchant_id]
                return web.json_response({"registered_on": registered_on})
            case ["lenders", lender_id, "position"] if lender_id in self.lenders:
                lender = self.lenders[lender_id]
                return web.json_response(
                    {
                        "lender_id": lender_id,
                        "headroom_minor": lender.headroom_minor,
                        "deposit_minor": lender.deposit_minor,
                        "captured_minor": lender.captured_minor,
                        "refunded_minor": lender.refunded_minor,
                    }
                )
            case _:
                return _problem(404, f"{path} is not there")

    def _account_view(self, account: Account, rest: list[str]) -> web.Response:
        if rest == ["statements"]:
            return web.json_response({"statements": []})
        return web.json_response(
            {
                "outstanding_minor": max(0, account.owed_minor),
                "credit_minor": max(0, -account.owed_minor),
                "charges_minor": 0,
                "past_due_minor": 0,
                "delinquency": "current",
            }
        )

    def requests_to(self, path: str) -> Counter[str]:
        """How often each key came to a path, replays included."""
        return Counter(key for seen, key in self.seen if seen == path)


async def interrupt(
    server: FakeServer, requests: int, replay: "Coroutine[Any, Any, object]"
) -> None:
    """Cancel a replay once the server has seen so many requests."""
    reached = asyncio.Event()

    def count(path: str, key: str) -> Trouble:
        if len(server.seen) >= requests:
            reached.set()
        return Trouble.NONE

    server.trouble = count
    interrupted = asyncio.create_task(replay)
    await reached.wait()
    interrupted.cancel()
    await asyncio.wait([interrupted])
    assert interrupted.cancelled()
    await asyncio.sleep(0.05)  # What was under way ends on the server.


def randomly(chance: random.Random) -> "Callable[[str, str], Trouble]":
    """Trouble of every kind, with every tenth request."""
    kinds = [trouble for trouble in Trouble if trouble is not Trouble.NONE]
    return lambda path, key: (
        chance.choice(kinds) if chance.random() < 0.1 else Trouble.NONE
    )


def _declined(reason: str) -> dict[str, Any]:
    return {"status": "declined", "reason": reason, "transient": True}


def _problem(status: int, detail: str) -> web.Response:
    return web.json_response(
        {"type": "about:blank", "title": "no", "status": status, "detail": detail},
        status=status,
        content_type="application/problem+json",
    )


def _broken(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
