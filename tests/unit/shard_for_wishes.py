"""One shard that grants wishes: the real rules, without a socket or a clock.

It answers a `Wish` as the gateway would, so that the workload and the client's
books can be tried against the processor thousands of times a second.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from benchmarks.client import Reply
from gateway.routes import COMMAND_ROUTES, CommandRoute
from loadtest.expected import CURRENCY
from loadtest.plan import Program
from loadtest.wishes import Answer, Lot, Wish
from processor import commands as c
from processor import events as e
from processor import limits
from processor import messages as m
from processor.history import History
from processor.messages import Outcome
from processor.records import ShardRecord
from processor.remembered import KEEPING, Remembered, no_row
from processor.scratch import MemoryScratch
from processor.shard import SETTLEMENT, Shard
from processor.state import ShardState

_CALLER = "crowd"
_GATEWAY = 1
_GRANT_MINOR = 10**12
_COMMANDS = {r.command.wire_name(): r.command for r in COMMAND_ROUTES}
_CONFLICT = "/problems/idempotency-key-reused"


class ShardForWishes:
    """A shard with its stage set; `now_ms` moves only when a test says so."""

    def __init__(
        self,
        programs: Sequence[Program],
        merchants: Sequence[str],
        lots: Iterable[Lot],
    ) -> None:
        self.now_ms = 1_000
        self._shard = Shard(
            ShardState(0, 1, "2026-01-05"),
            Remembered(KEEPING, ShardRecord, MemoryScratch(), no_row),
            History(MemoryScratch()),
            1,
            "journal",
        )
        self._shard.settlement_is_connected = True
        lenders = [lender for program in programs for lender in program.shares_ppm]
        facts: list[e.ReferenceFact] = [
            e.LenderRegistered(lender, CURRENCY, "", 0) for lender in lenders
        ]
        facts += [_registered(program) for program in programs]
        facts += [e.MerchantRegistered(merchant, "") for merchant in merchants]
        grants = [m.GrantSlice(lender, _GRANT_MINOR) for lender in lenders]
        sent = m.ReferenceSent(len(facts), tuple(facts))
        welcome = m.ShardWelcome(self._shard.day)
        self._shard.receive(SETTLEMENT, [welcome, sent, *grants])
        self._shard.step(self.now_ms)
        for lot in lots:
            opened = self._decided(
                c.OpenAccount(
                    _CALLER,
                    f"open-{lot.account_id}",
                    lot.account_id,
                    lot.program_id,
                    CURRENCY,
                    lot.limit_minor,
                )
            )
            assert opened.outcome is Outcome.DECIDED

    def grant(self, wish: Wish) -> Answer:
        """What the gateway would answer."""
        if wish.command.startswith("read_"):
            kind = wish.command.removeprefix("read_")
            return self._read(kind, wish.fields[f"{kind}_id"])
        command = _COMMANDS[wish.command](_CALLER, wish.request_id, **wish.fields)
        return _told(self._decided(command))

    # The same, as `benchmarks.client.Client` would ask it.

    def send(self, method: str, path: str, body: Any = None, key: str = "") -> Reply:
        """One request by its path."""
        parts = path.split("/")
        if method == "GET":
            answer = self._read(parts[2].removesuffix("s"), parts[3])
        else:
            route = next(r for r in COMMAND_ROUTES if _is_at(r, parts))
            fields = dict(body)
            if route.parameter:
                fields[route.parameter] = parts[3]
            answer = _told(self._decided(route.command(_CALLER, key, **fields)))
        return Reply(answer.status, answer.is_replay, answer.body)

    def read(self, path: str) -> dict[str, Any]:
        """The JSON of an account, or of a lender's position."""
        parts = path.split("/")
        if parts[2] == "lenders":
            lease = self._shard.state.slices[parts[3]]
            return msgspec.structs.asdict(lease)
        return msgspec.json.decode(self.send("GET", path).body, type=dict[str, Any])

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now_ms += int(1_000 * seconds)
        self._shard.step(self.now_ms)

    def _read(self, kind: str, object_id: str) -> Answer:
        found = self._asked(m.Query(1, kind, object_id))
        return Answer(200 if found.outcome is Outcome.READ else 404, body=found.body)

    def _decided(self, command: Any) -> m.Answer:
        return self._asked(m.Submit(1, command))

    def _asked(self, message: m.Message) -> m.Answer:
        self._shard.receive(_GATEWAY, [message])
        deliveries = self._shard.step(self.now_ms).deliveries
        (answer,) = [told for to, told in deliveries if to == _GATEWAY]
        assert isinstance(answer, m.Answer)
        return answer


def _registered(program: Program) -> e.ProgramRegistered:
    shares = tuple(c.Share(k, v) for k, v in program.shares_ppm.items())
    assert sum(program.shares_ppm.values()) == limits.PPM
    return e.ProgramRegistered(
        program.program_id,
        1,
        CURRENCY,
        shares,
        program.expiry_seconds,
        program.expiry_seconds,
        program.capture_tolerance_ppm,
    )


def _is_at(route: CommandRoute, parts: list[str]) -> bool:
    wanted = route.path.split("/")
    return len(wanted) == len(parts) and all(
        w == p or w.startswith("{") for w, p in zip(wanted, parts, strict=True)
    )


def _told(answer: m.Answer) -> Answer:
    if answer.outcome is Outcome.CONFLICT:
        errors = [{"field": answer.body.decode(), "message": "differs"}]
        problem = {"type": _CONFLICT, "errors": errors}
        return Answer(422, body=msgspec.json.encode(problem))
    assert answer.outcome in (Outcome.DECIDED, Outcome.REPLAYED)
    return Answer(200, answer.outcome is Outcome.REPLAYED, answer.body)
