"""The endpoints that carry out one command; they are hot.

One purchase: who asks → which key → body → command → nodes → the shard's
bytes.  Nothing is parsed or built between the shard's answer and the socket.
Two ways lead through the same steps: directly, as most do, and by raw ASGI for
what did not arrive whole.
"""

import re
from functools import partial
from time import perf_counter

import msgspec
from starlette.types import Receive, Scope, Send

from gateway import bodies, deadlines
from gateway.direct import DirectExchange, DirectProtocol
from gateway.door import Door
from gateway.exchange import (
    JSON,
    ClientGone,
    Headers,
    ok_start,
    replayed_start,
    require_json,
    send_refusal,
    too_large,
)
from gateway.fields import FIELDS
from gateway.keys import Principal, require
from gateway.ports import Awaited, Waiting
from gateway.problems import KEY_MISSING, FieldError, Refusal
from gateway.routes import CommandRoute
from processor import limits
from processor.commands import Command
from processor.messages import Answer, Outcome

# The same form as FIELDS["request_id"], on the header's bytes.
_is_request_id = re.compile(rb"[\x21-\x7e]{1,%d}" % limits.ID_LENGTH_MAX).fullmatch

# Who asks, under which request id, and for how long he waits (0: as we do).
Who = tuple[Principal, str, int]


class CommandEndpoint:
    """POST of one command."""

    def __init__(self, route: CommandRoute, door: Door) -> None:
        self.body_struct = bodies.body_struct(route.command, route.parameter)
        self._door = door
        self._keys = door.keys
        self._role = route.role
        self._decode = msgspec.json.Decoder(self.body_struct).decode
        self.counters = door.counters.of(route.path)
        self._build = bodies.builder(route.command)
        self._names = self.body_struct.__struct_fields__
        self._parameter = route.parameter
        self._needs_key = route.needs_key
        self._places = bodies.converted_places(self._names)
        self._is_for_shard = bool(route.command.ROUTED_BY)
        self._bytes_max = door.bounds.body_bytes_max
        # The same as `__call__`, directly.
        self.exchange = partial(CommandExchange, self, door)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_seconds = perf_counter()
        door = self._door
        try:
            headers: Headers = dict(scope["headers"])
            who = self.who(headers)
            data = await door.bodies.read(receive, headers, self._bytes_max)
            parameter = scope["path"].split("/")[3] if self._parameter else ""
            awaited = Awaited()
            command = self.submit(who, parameter, data, awaited, started_seconds)
            answer = await door.answer(command, awaited)
        except Refusal as refusal:
            self.count_refusal(refusal, started_seconds)
            await send_refusal(send, refusal)
            return
        except ClientGone:
            return
        body = answer.body
        is_replay = answer.outcome is Outcome.REPLAYED
        self.counters.took(perf_counter() - started_seconds)
        self.counters.answered(is_replay, body)
        await send(replayed_start(len(body)) if is_replay else ok_start(len(body)))
        await send({"type": "http.response.body", "body": body})

    def why_not_read(self, authorization: bytes) -> Refusal | None:
        """Why this key's request is sent away unread, and count it; None: read it."""
        principal = self._keys.known(authorization)
        if principal is None:
            return None
        refusal = self._door.why_not_read(principal.sender)
        if refusal is not None:
            self.counters.was_sent_away(refusal.kind.slug)
        return refusal

    def count_refusal(self, refusal: Refusal, started_seconds: float) -> None:
        """Count a problem."""
        self.counters.took(perf_counter() - started_seconds)
        self.counters.was_refused(refusal.kind.slug)

    def who(self, headers: Headers) -> Who:
        """What the headers say; Refusal by anything in them."""
        principal = self._keys.principal_of(headers.get(b"authorization"))
        if self._role not in principal.roles:
            require(principal, self._role)
        if headers.get(b"content-type") != JSON:
            require_json(headers)
        timeout_ms = 0
        if deadlines.HEADER in headers:
            timeout_ms = deadlines.timeout_ms_of(headers[deadlines.HEADER])
        if not self._needs_key:
            return principal, "", timeout_ms
        request_id = headers.get(b"idempotency-key")
        if request_id is None or not _is_request_id(request_id):
            raise _key_missing(request_id)
        return principal, request_id.decode(), timeout_ms

    def submit(
        self,
        who: Who,
        parameter: str,
        data: bytes,
        waiting: Waiting,
        started_seconds: float,
    ) -> Command:
        """Admit a command, decode it and send it on; Refusal if one of it cannot be."""
        if len(data) > self._bytes_max:
            raise too_large(self._bytes_max)
        principal, request_id, timeout_ms = who
        sender = principal.sender
        self._door.admit_one(sender, is_for_shard=self._is_for_shard)
        command = self._command(principal.caller, request_id, parameter, data)
        self._door.submit(command, waiting, started_seconds, sender, timeout_ms)
        return command

    def _command(
        self, caller: str, request_id: str, parameter: str, data: bytes
    ) -> Command:
        try:
            body = self._decode(data or b"{}")
        except bodies.DECODE_ERRORS as error:
            raise bodies.refusal_of(error, self._names) from None
        values = bodies.values_of(body, self._places)
        if self._parameter:
            values.insert(0, bodies.path_value(self._parameter, parameter))
        if not self._needs_key:
            request_id = bodies.request_id_of_day(values[0])
        return self._build(caller, request_id, *values)


class CommandExchange(DirectExchange):
    """One command on its way, and who waits for it at the nodes."""

    __slots__ = ("_command", "_door", "_endpoint", "_started_seconds")

    def __init__(
        self, endpoint: CommandEndpoint, door: Door, protocol: DirectProtocol
    ) -> None:
        # As the class above does; a call of it would cost every purchase.
        self.protocol = protocol
        self.response_complete = self.disconnected = False
        self.keep_alive = True
        self._endpoint = endpoint
        self._door = door

    def begin(self, headers: Headers, parameter: str, body: bytes) -> None:
        """Send the command on, or refuse it."""
        self._started_seconds = started_seconds = perf_counter()
        endpoint = self._endpoint
        try:
            who = endpoint.who(headers)
            self._command = endpoint.submit(who, parameter, body, self, started_seconds)
        except Refusal as refusal:
            self._refuse(refusal)

    def answered(self, answer: Answer | Exception) -> None:
        """The answer has come."""
        if self.response_complete:
            return  # Given up at its deadline.
        try:
            answer = self._door.settle(self._command, self, answer)
            body, is_replay = answer.body, answer.outcome is Outcome.REPLAYED
            counters = self._endpoint.counters
            counters.took(perf_counter() - self._started_seconds)
            counters.answered(is_replay, body)
            self.reply(body, is_replay=is_replay)
        except Refusal as refusal:
            self._refuse(refusal)
        except Exception as error:  # Goes on: the caller gets a problem.
            self.fault(error)

    def failed(self, error: Exception) -> None:
        """None will come, or not in time."""
        self.answered(error)

    def _refuse(self, refusal: Refusal) -> None:
        self._endpoint.count_refusal(refusal, self._started_seconds)
        self.refuse(refusal)


def _key_missing(value: bytes | None) -> Refusal:
    what = "is missing" if value is None else "is not usable"
    must_be = FIELDS["request_id"].must_be
    return Refusal(
        KEY_MISSING,
        f"The Idempotency-Key header {what}; it must be {must_be}.",
        (FieldError("Idempotency-Key", f"must be {must_be}"),),
    )
