"""One client's requests as plain exchanges, for ordeals that foresee for themselves."""

import asyncio
import time
from typing import Any

import aiohttp
import msgspec

from loadtest.wishes import Answer
from tests.processes import RunningServer

_AGAIN_SECONDS = 0.05
ANSWER_SECONDS_MAX = 60.0


class Asker:
    """A session at one or several gateways of a server."""

    def __init__(self, server: RunningServer, *more_urls: str) -> None:
        self.server = server
        self.urls = [server.url, *more_urls]
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> "Asker":
        self._session = aiohttp.ClientSession(
            headers={
                "Authorization": f"Bearer {self.server.key}",
                "Content-Type": "application/json",
            },
            connector=aiohttp.TCPConnector(limit=256),
            timeout=aiohttp.ClientTimeout(total=15),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(
        self, path: str, key: str, body: dict[str, Any], gateway: int = 0
    ) -> Answer:
        """One sending; status 0 when no answer came."""
        try:
            async with self._session.post(
                self.urls[gateway] + path,
                data=msgspec.json.encode(body),
                headers={"Idempotency-Key": key},
            ) as response:
                is_replay = response.headers.get("Idempotency-Replayed") == "true"
                return Answer(response.status, is_replay, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return Answer(0)

    async def until_answered(
        self, path: str, key: str, body: dict[str, Any], gateway: int = 0
    ) -> Answer:
        """Send under the same key until the server says what came of it."""
        deadline = time.monotonic() + ANSWER_SECONDS_MAX
        while True:
            answer = await self.post(path, key, body, gateway)
            if not (answer.is_unknown or answer.is_not_done):
                return answer
            assert time.monotonic() < deadline, f"{key}: {answer}; {self.server.log}"
            await asyncio.sleep(_AGAIN_SECONDS)


def told(answer: Answer) -> dict[str, Any]:
    """The JSON of an answer."""
    return msgspec.json.decode(answer.body, type=dict[str, Any])


def purchase(account_id: str, amount_minor: int, **more: Any) -> dict[str, Any]:
    """The body of an authorization."""
    return {
        "account_id": account_id,
        "merchant_id": "shop",
        "amount_minor": amount_minor,
        "currency": "EUR",
        **more,
    }
