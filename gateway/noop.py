"""The do-nothing endpoint that authorizations are measured against.

Reads the body of an authorization, answers with an answer of the same size,
and does nothing in between: no key, no admission, no node.  Exists only when
the server was started for a benchmark.
"""

import msgspec
from starlette.types import Receive, Scope, Send

from gateway import bodies
from gateway.exchange import ok_start
from processor.answers import APPROVED, AuthorizationAnswer
from processor.commands import Authorize


class NoopEndpoint:
    """POST that decodes an authorization and encodes an answer."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(bodies.body_struct(Authorize, None)).decode
        self._encode = msgspec.json.Encoder().encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        body = self._decode(message["body"])
        answer = self._encode(
            AuthorizationAnswer(
                APPROVED,
                "au_0000000",
                body.account_id,  # type: ignore[attr-defined]
                body.amount_minor,  # type: ignore[attr-defined]
                0,
                0,
                0,
            )
        )
        await send(ok_start(len(answer)))
        await send({"type": "http.response.body", "body": answer})
