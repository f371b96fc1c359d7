"""The do-nothing endpoint that authorizations are measured against.

Reads the body of an authorization, answers with an answer of the same size,
and does nothing in between: no key, no admission, no node.  Once as ASGI on
Uvicorn, as anybody would write it, and once the direct way that commands go, so
that a comparison can be had with either.  Exists only when the server was
started for a benchmark.
"""

import msgspec
from starlette.types import Receive, Scope, Send

from gateway import bodies
from gateway.direct import DirectExchange, DirectProtocol
from gateway.exchange import Headers, ok_start
from gateway.problems import Refusal
from processor.answers import APPROVED, AuthorizationAnswer
from processor.commands import Authorize


class NoopEndpoint:
    """POST that decodes an authorization and encodes an answer."""

    def __init__(self) -> None:
        self._decode = msgspec.json.Decoder(bodies.body_struct(Authorize, None)).decode
        self._encode = msgspec.json.Encoder().encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        answer = self.answer(message["body"])
        await send(ok_start(len(answer)))
        await send({"type": "http.response.body", "body": answer})

    def exchange(self, protocol: DirectProtocol) -> DirectExchange:
        """The same, directly."""
        return NoopExchange(self, protocol)

    def why_not_read(self, authorization: bytes) -> Refusal | None:
        """It is always read."""
        return None

    def answer(self, data: bytes) -> bytes:
        """All it does."""
        body = self._decode(data)  # Of a type that is made as the program runs.
        return self._encode(
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


class NoopExchange(DirectExchange):
    """One request to do nothing."""

    __slots__ = ("_endpoint",)

    def __init__(self, endpoint: NoopEndpoint, protocol: DirectProtocol) -> None:
        super().__init__(protocol)
        self._endpoint = endpoint

    def begin(self, headers: Headers, parameter: str, body: bytes) -> None:
        """Answer at once."""
        self.reply(self._endpoint.answer(body))
