"""One run of a replay: what it has at hand, whatever the form of its file."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date

import stamina.instrumentation

from gateway.replays.business_days import BusinessDays
from gateway.replays.client import IN_FLIGHT, Client
from gateway.replays.progress import Watcher, watcher_for
from gateway.replays.registration import Registration
from gateway.replays.result import Tally


@asynccontextmanager
async def connected(
    url: str,
    key: str,
    in_flight: int,
    *,
    total: int,
    counted: str,
    show_progress: bool,
) -> AsyncIterator[tuple[Client, Watcher]]:
    """A client of the server, and somebody to tell how far it has come.

    `counted` is the plural of what `total` counts.
    """
    # The client counts what it asks again; a log line for each is noise.
    stamina.instrumentation.set_on_retry_hooks(())
    async with Client(url, key, in_flight) as client:
        with watcher_for(show_progress, total, counted) as watcher:
            yield client, watcher


class Run:
    """One run against one server; `digest` is of the file's content."""

    def __init__(
        self,
        client: Client,
        watcher: Watcher,
        in_flight: int,
        digest: str,
        currency: str,
    ) -> None:
        assert 1 <= in_flight <= IN_FLIGHT
        self.client = client
        self.watcher = watcher
        self.in_flight = in_flight
        self.days = BusinessDays(client)
        self.registration = Registration(client, digest, currency)
        self.tally = Tally()

    async def fund(self, morning: date, targets_minor: Mapping[str, int]) -> None:
        """Bring the lenders to their targets; says for whom that was declined."""
        for lender_id in await self.registration.fund(morning, targets_minor):
            self.watcher.note(f"{morning}: {lender_id} could not be funded")

    def note_first_day(self, first_file_day: date, first_business_day: date) -> None:
        """Say so if the file's days have other dates on the server."""
        if first_business_day != first_file_day:
            self.watcher.note(
                f"the file's {first_file_day} is business day {first_business_day} here"
            )
