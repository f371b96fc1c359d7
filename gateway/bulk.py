"""Many commands in one request: POST /v1/commands, JSON or msgpack.

Items are submitted in the order they came in, so commands of one account keep
their order.  Each item has its own result: one that is invalid, or not
allowed, spoils no other.  A JSON answer is joined from the shards' bytes
without decoding one.

They are sent as the nodes have room for them, and with less of a claim to it
than a command that comes alone: a large request makes nobody else wait long.
What has found no room when its time is over was not done.
"""

import asyncio
from time import perf_counter
from typing import Any, Union

import msgspec
from starlette.types import Receive, Scope, Send

from gateway import bodies, deadlines
from gateway import problems as p
from gateway.door import Door
from gateway.exchange import (
    JSON,
    MSGPACK,
    ClientGone,
    Headers,
    bulk_type,
    send_bytes,
    send_refusal,
)
from gateway.keys import Principal, require
from gateway.ports import BULK, Awaited
from gateway.problems import Refusal
from gateway.routes import BULK_PATH, COMMAND_ROUTES, CommandRoute
from processor.commands import Command
from processor.messages import Answer, Outcome

_OUTCOMES = {Outcome.DECIDED: b"decided", Outcome.REPLAYED: b"replayed"}
_PROBLEM_OUTCOMES = {
    p.KEY_REUSED.slug: b"conflict",
    p.OVERLOADED.slug: b"not_done",
    p.UNAVAILABLE.slug: b"not_done",
    p.TOO_LATE.slug: b"not_done",
    p.OUTCOME_UNKNOWN.slug: b"unknown",
}

_LOOK_AGAIN_SECONDS = 0.005

Pending = tuple[Command, Awaited]
Result = Answer | Refusal


class ItemForm(msgspec.Struct, frozen=True):
    """How an item of one kind becomes a command."""

    route: CommandRoute
    places: tuple[int, ...]  # Of values that commands have in another form.

    def command(self, principal: Principal, item: msgspec.Struct) -> Command:
        """The command; Refusal if its caller may not, or a value cannot be."""
        require(principal, self.route.role)
        build = bodies.builder(self.route.command)
        values = bodies.values_of(item, self.places)
        if not self.route.needs_key:
            values[0] = bodies.request_id_of_day(values[1])
        return build(principal.caller, *values)


def item_forms() -> dict[type[msgspec.Struct], ItemForm]:
    """Every kind of item, by its struct."""
    forms = {}
    for route in COMMAND_ROUTES:
        struct = bodies.item_struct(route.command)
        places = bodies.converted_places(struct.__struct_fields__)
        forms[struct] = ItemForm(route, places)
    return forms


class BulkEndpoint:
    """POST of many commands."""

    def __init__(self, door: Door) -> None:
        self.forms = item_forms()
        self._door = door
        self._counters = door.counters.of(BULK_PATH)
        item: Any = Union[tuple(self.forms)]  # noqa: UP007 - made from a list
        self._all = {
            JSON: msgspec.json.Decoder(list[item]).decode,
            MSGPACK: msgspec.msgpack.Decoder(list[item]).decode,
        }
        self._raws = {
            JSON: msgspec.json.Decoder(list[msgspec.Raw]).decode,
            MSGPACK: msgspec.msgpack.Decoder(list[msgspec.Raw]).decode,
        }
        self._one = {
            JSON: msgspec.json.Decoder(item).decode,
            MSGPACK: msgspec.msgpack.Decoder(item).decode,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_seconds = perf_counter()
        headers: Headers = dict(scope["headers"])
        try:
            principal = self._door.keys.principal_of(headers.get(b"authorization"))
            media_type = bulk_type(headers)
            timeout_ms = deadlines.timeout_ms_of(headers.get(deadlines.HEADER))
            items = self._items(media_type, await self._body(headers, receive))
            self._door.admit(len(items), principal.sender)
            sending = Sending(self, self._door, principal, started_seconds, timeout_ms)
            results = await sending.results_of(items)
        except Refusal as refusal:
            self._counters.took(perf_counter() - started_seconds)
            self._counters.was_refused(refusal.kind.slug)
            await send_refusal(send, refusal)
            return
        except ClientGone:
            return
        self._counters.took(perf_counter() - started_seconds)
        body = json_of(results) if media_type == JSON else msgpack_of(results)
        await send_bytes(send, 200, [(b"content-type", media_type)], body)

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        bytes_max = self._door.bounds.bulk_body_bytes_max
        return await self._door.bodies.read(receive, headers, bytes_max)

    def _items(self, media_type: bytes, body: bytes) -> list[msgspec.Struct | Refusal]:
        """The items, or why one is none; Refusal if the whole cannot be read."""
        try:
            items: list[Any] = self._all[media_type](body)
        except msgspec.ValidationError:
            items = self._one_by_one(media_type, body)
        except bodies.DECODE_ERRORS as error:
            raise bodies.refusal_of(error, ()) from None
        self._refuse_too_many(items)
        return items

    def _one_by_one(self, media_type: bytes, body: bytes) -> list[Any]:
        try:
            raws = self._raws[media_type](body)
        except msgspec.ValidationError:
            raise Refusal(
                p.MALFORMED_BODY, "The body must be an array of commands."
            ) from None
        except bodies.DECODE_ERRORS as error:
            raise bodies.refusal_of(error, ()) from None
        self._refuse_too_many(raws)
        return [self._item(media_type, raw) for raw in raws]

    def _item(self, media_type: bytes, raw: msgspec.Raw) -> Any:
        try:
            return self._one[media_type](raw)
        except bodies.DECODE_ERRORS as error:
            return bodies.refusal_of(error, ())

    def _refuse_too_many(self, items: list[Any]) -> None:
        commands_max = self._door.bounds.bulk_commands_max
        if len(items) > commands_max:
            raise Refusal(
                p.TOO_LARGE,
                f"The array has {len(items)} commands; {commands_max} are allowed.",
            )

    async def result(self, waiting: Pending | Refusal) -> Result:
        """What became of an item, and count it."""
        counters = self._door.counters
        counters.bulk_commands_total += 1
        result: Result
        if isinstance(waiting, Refusal):
            result = waiting
        else:
            try:
                result = await self._door.answer(*waiting)
            except Refusal as refusal:
                result = refusal
        if isinstance(result, Refusal):
            counters.bulk_commands.was_refused(result.kind.slug)
        else:
            is_replay = result.outcome is Outcome.REPLAYED
            counters.bulk_commands.answered(is_replay, result.body)
        return result


class Sending:
    """The items of one request on their way to the nodes, as these have room."""

    def __init__(
        self,
        endpoint: BulkEndpoint,
        door: Door,
        principal: Principal,
        started_seconds: float,
        timeout_ms: int,
    ) -> None:
        self._endpoint = endpoint
        self._door = door
        self._principal = principal
        self._started_seconds = started_seconds
        self._timeout_ms = timeout_ms
        self._gives_up_seconds = started_seconds + door.decide_seconds(timeout_ms)
        self._over: Refusal | None = None  # Nothing overtakes what found no room.
        self._waiting: list[Pending | Refusal] = []
        self._results: list[Result] = []  # Of the first of those.

    async def results_of(self, items: list[msgspec.Struct | Refusal]) -> list[Result]:
        """Send all of them, and wait for what becomes of each."""
        await self._send_all(items)
        for waiting in self._waiting[len(self._results) :]:
            self._results.append(await self._endpoint.result(waiting))
        return self._results

    async def _send_all(self, items: list[msgspec.Struct | Refusal]) -> None:
        door, left = self._door, len(items)
        door.held += left
        try:
            for item in items:
                sent = self._send(item)
                while sent is None:
                    await self._room()
                    sent = self._send(item)
                self._waiting.append(sent)
                door.held -= 1
                left -= 1
        finally:
            door.held -= left

    def _send(self, item: msgspec.Struct | Refusal) -> Pending | Refusal | None:
        """None when there is no room for it just now, and still time to wait."""
        if isinstance(item, Refusal):
            return item
        if self._over is not None:
            return self._over
        principal = self._principal
        awaited = Awaited()
        try:
            command = self._endpoint.forms[type(item)].command(principal, item)
            self._door.submit(
                command,
                awaited,
                self._started_seconds,
                principal.sender,
                self._timeout_ms,
                BULK,
            )
        except Refusal as refusal:
            if refusal.kind is p.OVERLOADED:
                if perf_counter() < self._gives_up_seconds:
                    return None
                principal.sender.was_refused("no_room")
                self._over = refusal
            elif refusal.kind is p.TOO_LATE:
                self._over = refusal
            return refusal
        return command, awaited

    async def _room(self) -> None:
        """Wait until the oldest of ours is answered, or a moment."""
        while len(self._results) < len(self._waiting):
            oldest = self._waiting[len(self._results)]
            had_to_wait = not isinstance(oldest, Refusal) and not oldest[1].is_told
            # What is answered makes room by being settled, here and now.
            self._results.append(await self._endpoint.result(oldest))
            if had_to_wait:
                return
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)


def json_of(results: list[Result]) -> bytes:
    """The results as a JSON array, made of the answers' own bytes."""
    parts = []
    for result in results:
        if isinstance(result, Refusal):
            outcome = _PROBLEM_OUTCOMES.get(result.kind.slug, b"invalid")
            parts.append(b'{"outcome":"%b","problem":%b}' % (outcome, result.body))
        else:
            outcome = _OUTCOMES[result.outcome]
            parts.append(b'{"outcome":"%b","answer":%b}' % (outcome, result.body))
    return b"[%b]" % b",".join(parts)


def msgpack_of(results: list[Result]) -> bytes:
    """The same results in msgpack."""
    return msgspec.msgpack.encode(msgspec.json.decode(json_of(results)))
