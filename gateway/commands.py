"""The endpoints that carry out one command: raw ASGI, because they are hot.

One purchase: who asks → which key → body → command → nodes → the shard's
bytes.  Nothing is parsed or built between the shard's answer and the socket.
"""

import re
from time import perf_counter

import msgspec
from msgspec.structs import astuple
from starlette.types import Receive, Scope, Send

from gateway import bodies
from gateway.door import Door
from gateway.exchange import (
    JSON,
    ClientGone,
    Headers,
    ok_start,
    replayed_start,
    require_json,
    send_refusal,
)
from gateway.fields import FIELDS
from gateway.keys import require
from gateway.problems import KEY_MISSING, FieldError, Refusal
from gateway.routes import CommandRoute
from processor import limits
from processor.commands import Command
from processor.messages import Outcome

# The same form as FIELDS["request_id"], on the header's bytes.
_is_request_id = re.compile(rb"[\x21-\x7e]{1,%d}" % limits.ID_LENGTH_MAX).fullmatch


class CommandEndpoint:
    """POST of one command."""

    def __init__(self, route: CommandRoute, door: Door) -> None:
        self.body_struct = bodies.body_struct(route.command, route.parameter)
        self._door = door
        self._keys = door.keys
        self._role = route.role
        self._decode = msgspec.json.Decoder(self.body_struct).decode
        self._counters = door.counters.of(route.path)
        self._build = bodies.builder(route.command)
        self._names = self.body_struct.__struct_fields__
        self._parameter = route.parameter
        self._needs_key = route.needs_key
        self._is_plain = not (route.parameter or bodies.is_converted(route.command))
        self._bytes_max = door.bounds.body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_seconds = perf_counter()
        door = self._door
        counters = self._counters
        try:
            headers: Headers = dict(scope["headers"])
            caller, request_id = self._who(headers)
            data = await door.bodies.read(receive, headers, self._bytes_max)
            command = self._command(caller, request_id, scope, data)
            door.admit(1)
            future = door.submit(command, started_seconds)
            answer = await door.answer(command, future)
        except Refusal as refusal:
            counters.took(perf_counter() - started_seconds)
            counters.was_refused(refusal.kind.slug)
            await send_refusal(send, refusal)
            return
        except ClientGone:
            return
        body = answer.body
        is_replay = answer.outcome is Outcome.REPLAYED
        counters.took(perf_counter() - started_seconds)
        counters.answered(is_replay, body)
        await send(replayed_start(len(body)) if is_replay else ok_start(len(body)))
        await send({"type": "http.response.body", "body": body})

    def _who(self, headers: Headers) -> tuple[str, str]:
        """The caller and the request id; Refusal by anything in the headers."""
        principal = self._keys.principal_of(headers.get(b"authorization"))
        if self._role not in principal.roles:
            require(principal, self._role)
        if headers.get(b"content-type") != JSON:
            require_json(headers)
        if not self._needs_key:
            return principal.caller, ""
        request_id = headers.get(b"idempotency-key")
        if request_id is None or not _is_request_id(request_id):
            raise _key_missing(request_id)
        return principal.caller, request_id.decode()

    def _command(
        self, caller: str, request_id: str, scope: Scope, data: bytes
    ) -> Command:
        try:
            body = self._decode(data or b"{}")
        except bodies.DECODE_ERRORS as error:
            raise bodies.refusal_of(error, self._names) from None
        if self._is_plain:
            return self._build(caller, request_id, *astuple(body))
        return self._from_path(scope["path"], caller, request_id, body)

    def _from_path(
        self, path: str, caller: str, request_id: str, body: msgspec.Struct
    ) -> Command:
        values = bodies.values_of(body, self._names)
        if self._parameter:
            values.insert(0, bodies.path_value(self._parameter, path.split("/")[3]))
        if not self._needs_key:
            request_id = bodies.request_id_of_day(values[0])
        return self._build(caller, request_id, *values)


def _key_missing(value: bytes | None) -> Refusal:
    what = "is missing" if value is None else "is not usable"
    must_be = FIELDS["request_id"].must_be
    return Refusal(
        KEY_MISSING,
        f"The Idempotency-Key header {what}; it must be {must_be}.",
        (FieldError("Idempotency-Key", f"must be {must_be}"),),
    )
