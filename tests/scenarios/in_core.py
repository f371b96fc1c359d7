"""The core as a stage: shards and settlement in memory, a clock to turn."""

import asyncio
from typing import Any

import msgspec

from gateway.calculations import Calculation
from gateway.pos_repayments import carry_out
from gateway.problems import NOT_FOUND, Refusal
from gateway.routes import SAGA_ROUTES, CommandRoute, QueryRoute
from processor import commands as c
from processor import messages as m
from processor.ids import shard_of_slot, slot_of_account, slot_of_made_id
from processor.node import Node
from tests.scenarios.ledger import Ledger, Mark, ledger_of
from tests.scenarios.names import Names
from tests.scenarios.sentences import arguments
from tests.scenarios.stage import SHARDS, Told, refused
from tests.scenarios.story import Story
from tests.unit.house_in_memory import GATEWAY, House

SOME_DAY = "2026-01-05"
CALLER = "first"
_TAG = "s."


class ReadableHouse(House):
    """A house that can also be read."""

    def read(self, node: Node, kind: str, object_id: str) -> m.Answer:
        """What a node knows of an object."""
        self._correlation += 1
        query = m.Query(self._correlation, kind, object_id)
        node.receive(GATEWAY, [query])
        self.run()
        return self.answers.pop(self._correlation)


class CoreStage:
    """A new house for each story."""

    def __init__(self) -> None:
        self._house: ReadableHouse

    @property
    def house(self) -> House:
        """The house of the story that was played last."""
        return self._house

    def names_for(self, story: Story) -> Names:
        self._house = ReadableHouse(SHARDS, story.given.today or SOME_DAY)
        return Names(_TAG, story.given, SHARDS)

    def ask(
        self,
        route: CommandRoute,
        request_id: str,
        fields: dict[str, Any],
        caller: str = "",
    ) -> Told:
        if not route.needs_key:  # There is only one such wish.
            request_id = f"{route.command.wire_name()}-{fields[route.parameter or '']}"
        given = arguments(route.command, fields)
        by = caller or CALLER
        command = route.command(caller=by, request_id=request_id, **given)
        if route in SAGA_ROUTES:
            assert isinstance(command, c.WithholdFromMerchant)
            return asyncio.run(self._in_steps(command))
        return _told(self._house.ask(command)[0])

    async def _in_steps(self, command: c.WithholdFromMerchant) -> Told:
        async def ask(step: c.Command) -> m.Answer:
            return self._house.ask(step)[0]

        body, is_replay = await carry_out(command, ask)
        return Told({**msgspec.json.decode(body), "replayed": is_replay}, body)

    def ask_all(
        self, route: CommandRoute, request_id: str, wishes: list[dict[str, Any]]
    ) -> list[Told]:
        return [
            self.ask(route, f"{request_id}-{number}", fields)
            for number, fields in enumerate(wishes)
        ]

    def read(self, route: QueryRoute, object_id: str) -> Told:
        house = self._house
        slot = slot_of_made_id(object_id)
        if route.parameter == "account_id":
            slot = slot_of_account(object_id)
        nodes: list[Node] = [house.settlement]
        if slot is not None:
            nodes.insert(0, house.shards[shard_of_slot(slot, SHARDS)])
        for node in nodes:
            answer = house.read(node, route.kind, object_id)
            if answer.outcome is not m.Outcome.NOT_FOUND:
                break
        return _told(answer)

    def work_out(self, calculation: Calculation, fields: dict[str, Any]) -> Told:
        wish = calculation.body(**arguments(calculation.body, fields))
        try:
            found = asyncio.run(self._worked_out(calculation, wish))
        except Refusal as refusal:
            field = refusal.problem.errors[0].field
            return Told({"refused": refusal.kind.slug, "field": field}, b"")
        body = msgspec.json.encode(found)
        return Told(msgspec.json.decode(body), body)

    async def _worked_out(self, calculation: Calculation, wish: Any) -> msgspec.Struct:
        async def read(kind: str, object_id: str) -> bytes:
            answer = self._house.read(self._house.settlement, kind, object_id)
            if answer.outcome is m.Outcome.NOT_FOUND:
                raise Refusal(NOT_FOUND, "")
            return answer.body

        return await calculation.work_out(wish, read)

    def fetch(self, path: str) -> Told | None:
        return None

    def pass_time(self, seconds: int) -> None:
        self._house.pass_time(seconds * 1_000)

    def mark(self) -> Mark:
        nodes: list[Node] = [self._house.settlement, *self._house.shards]
        return tuple(node.sequence for node in nodes)

    def ledger(self) -> Ledger:
        """All that the story has left."""
        house = self._house
        settlement = house.settlement_rows
        shards = [(rows.identity, rows.batches) for rows in house.shard_rows]
        return ledger_of((settlement.identity, settlement.batches), shards)


def _told(answer: m.Answer) -> Told:
    outcome, body = answer.outcome, answer.body
    if outcome is m.Outcome.CONFLICT:
        return refused("idempotency-key-reused", body.decode())
    if outcome is m.Outcome.NOT_DONE:
        return refused("unavailable")
    if outcome is m.Outcome.NOT_FOUND:
        return Told({"refused": "not-found"}, b"")
    fields = msgspec.json.decode(body)
    if outcome is not m.Outcome.READ:
        fields["replayed"] = outcome is m.Outcome.REPLAYED
    return Told(fields, body)
