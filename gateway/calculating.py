"""The endpoints of `calculations.py`: any key, no Idempotency-Key, nothing kept."""

from time import perf_counter
from typing import Any

import msgspec
from starlette.types import Receive, Scope, Send

from gateway import bodies
from gateway.calculations import Calculation
from gateway.door import Door
from gateway.exchange import (
    ClientGone,
    Headers,
    ok_start,
    require_json,
    send_refusal,
)
from gateway.problems import Refusal


class CalculationEndpoint:
    """POST of one calculation."""

    def __init__(self, calculation: Calculation, door: Door) -> None:
        self.body_struct = bodies.body_struct(calculation.body, None)
        self._calculation = calculation
        self._door = door
        self._decode = msgspec.json.Decoder(self.body_struct).decode
        self._counters = door.counters.of(calculation.path)
        self._names = self.body_struct.__struct_fields__
        self._places = bodies.converted_places(self._names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_seconds = perf_counter()
        try:
            wish = await self._wish(dict(scope["headers"]), receive)
            found = await self._calculation.work_out(wish, self._door.query)
        except Refusal as refusal:
            self._counters.was_refused(refusal.kind.slug)
            await send_refusal(send, refusal)
            return
        except ClientGone:
            return
        finally:
            self._counters.took(perf_counter() - started_seconds)
        body = msgspec.json.encode(found)
        await send(ok_start(len(body)))
        await send({"type": "http.response.body", "body": body})

    async def _wish(self, headers: Headers, receive: Receive) -> Any:
        """What is asked, as its struct; Refusal by who asks, or by its form."""
        door = self._door
        door.keys.principal_of(headers.get(b"authorization"))
        require_json(headers)
        data = await door.bodies.read(receive, headers, door.bounds.body_bytes_max)
        try:
            body = self._decode(data or b"{}")
        except bodies.DECODE_ERRORS as error:
            raise bodies.refusal_of(error, self._names) from None
        return self._calculation.body(*bodies.values_of(body, self._places))
