"""One request of the command line to a running server, and its problems in words."""

from typing import Any

import aiohttp
import msgspec

_WAIT = aiohttp.ClientTimeout(total=30)


class AskFailed(Exception):
    """The server could not be asked, or answered with a problem."""


async def ask(method: str, url: str, key: str, body: Any) -> dict[str, Any]:
    """The JSON of an answer; AskFailed says in words what went wrong."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    payload = None if body is None else msgspec.json.encode(body)
    try:
        async with (
            aiohttp.ClientSession(timeout=_WAIT, headers=headers) as session,
            session.request(method, url, data=payload) as response,
        ):
            data = await response.read()
    except aiohttp.InvalidURL:
        raise AskFailed(f"{url} is not an address") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise AskFailed(f"no answer from {url}: {error or 'timeout'}") from error
    try:
        told = msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError:
        raise AskFailed(f"{url} is no Forebay (status {response.status})") from None
    if response.status != 200:
        raise AskFailed(f"{told.get('title')}: {told.get('detail')}")
    return told
