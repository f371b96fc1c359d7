"""Lay the days of the file onto the business days of the server.

The first of them is the anchor: the business day on which this file's
merchant was registered.  The merchant carries the digest of the file in its
id, so it is registered once for each file, the server keeps the day, and a
replay that was interrupted finds the same anchor again.  A second file gets
an anchor of its own, on a day that the server has not passed by then: the
calendar never goes back.
"""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Final

import msgspec

from gateway.replays.client import Client, Conflict, Patience, ReplayFailed
from processor.declines import DeclineReason

# For the first question only: a wrong address should not take two minutes.
FIRST_CONTACT: Final = Patience(total_seconds=10.0, longest_wait_seconds=1.0)
_CLOSED_WITHIN_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.005
_POLL_SECONDS_MAX: Final = 0.25


class DayView(msgspec.Struct, frozen=True):
    """A business day as the server shows it."""

    day: str
    status: str


class MerchantView(msgspec.Struct, frozen=True):
    """A merchant as the server shows it."""

    registered_on: str


class BusinessDays:
    """The server's calendar, as far as one file is concerned."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def current(self) -> date:
        """The business day the server has reached."""
        view = await self._client.read(
            "/v1/business-days/current", DayView, FIRST_CONTACT
        )
        if view is None:
            raise ReplayFailed(f"{self._client.url} has no business days")
        return date.fromisoformat(view.day)

    async def anchor(
        self,
        merchant_id: str,
        name: str,
        digest: str,
        begins_on: Callable[[date], date],
    ) -> date:
        """The business day of the file's first day; registers the merchant.

        `begins_on` says on which day the file may begin on a server that has
        reached a day; the server is taken there first.
        """
        current = await self.current()
        path = f"/v1/merchants/{merchant_id}"
        merchant = await self._client.read(path, MerchantView)
        if merchant is None:
            first_day = begins_on(current)
            if current < first_day:
                await self.close(current, first_day)
            await self._client.command(
                "/v1/merchants",
                {"merchant_id": merchant_id, "name": name},
                f"{digest}-merchant",
            )
            merchant = await self._client.read(path, MerchantView)
        if merchant is None:
            raise ReplayFailed(f"the server did not register merchant {merchant_id}")
        return date.fromisoformat(merchant.registered_on)

    async def close(self, day: date, next_day: date | None = None) -> bool:
        """Close a business day and wait for it; nothing to do if it is closed.

        False when the calendar had left the day out.
        """
        if await self._status(day) == "open":
            await self._cut(day, next_day)
        waited = 0.0
        pause = _POLL_SECONDS
        while (status := await self._status(day)) != "closed":
            if status not in ("open", "closing"):
                return await self._left_out(day, status)
            if waited > _CLOSED_WITHIN_SECONDS:
                raise ReplayFailed(f"business day {day} is still {status}")
            await asyncio.sleep(pause)
            waited += pause
            pause = min(2 * pause, _POLL_SECONDS_MAX)
        return True

    async def _cut(self, day: date, next_day: date | None) -> None:
        body: dict[str, object] = {"next_day": str(next_day)} if next_day else {}
        try:
            # Its request id is the day itself: cutting it again is a no-op.
            decided = await self._client.command(
                f"/v1/business-days/{day}/close", body, ""
            )
        except Conflict:
            return  # Cut before, by someone who named another next day.
        answer = decided.answer
        if not answer.is_approved and answer.reason != DeclineReason.DAY_NOT_OPEN:
            raise ReplayFailed(f"business day {day} was not cut: {answer.reason}")

    async def _status(self, day: date) -> str:
        view = await self._client.read(f"/v1/business-days/{day}", DayView)
        return "unknown" if view is None else view.status

    async def _left_out(self, day: date, status: str) -> bool:
        current = await self.current()
        if current <= day:
            raise ReplayFailed(
                f"business day {day} is {status} while the server is at {current}; "
                "is another server's data behind this address?"
            )
        return False
