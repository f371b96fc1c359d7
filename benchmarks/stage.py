"""The stage of the benchmarks: one lender, one program, one merchant, accounts.

Nothing on it may ever be declined: limits and reserve are as large as they go.
What is left to measure is the way there and back.
"""

import time
from typing import Any

from benchmarks.client import Client, Refused
from benchmarks.server import Server
from processor import limits

AUTHORIZE = "/v1/authorizations"
NOOP = "/v1/noop"
NOOP_DIRECT = "/v1/noop-direct"
_CURRENCY = "EUR"
_LENDER = "bench-lender"
_CLOSE_SECONDS_MAX = 30.0


def set_stage(client: Client, accounts: int) -> None:
    """Register everything `press.c` names.  Raises Refused."""
    client.command(
        "/v1/lenders", "lender", {"lender_id": _LENDER, "currency": _CURRENCY}
    )
    for number in range(10):
        client.command(
            f"/v1/lenders/{_LENDER}/deposits",
            f"deposit-{number}",
            {"amount_minor": limits.AMOUNT_MINOR_MAX},
        )
    share = {"lender_id": _LENDER, "share_ppm": limits.PPM}
    client.command(
        "/v1/programs",
        "program",
        {"program_id": "bench-program", "currency": _CURRENCY, "shares": [share]},
    )
    client.command("/v1/merchants", "merchant", {"merchant_id": "bench-shop"})
    open_accounts(client, accounts)


def open_accounts(client: Client, accounts: int) -> None:
    """Open the accounts that `press.c` names.  Raises Refused."""
    client.commands([_account(number) for number in range(accounts)])


def _account(number: int) -> dict[str, Any]:
    return {
        "command": "open_account",
        "request_id": f"account-{number}",
        "account_id": f"bench-{number:08d}",
        "program_id": "bench-program",
        "currency": _CURRENCY,
        "limit_minor": limits.LIMIT_MINOR_MAX,
    }


def server_pids(server: Server) -> list[int]:
    """The gateway's process, then settlement's and every shard's."""
    with Client(server.url, server.key) as client:
        nodes = client.read("/v1/status")["nodes"]
    return [server.pid, *(node["figures"]["pid"] for node in nodes)]


def check_books(client: Client, approved: int, approved_minor: int) -> int:
    """Hold the server's books against what the client saw approved.

    The lender's position has the sum, the closed day the number.  Closes the
    business day; returns the number.  Raises Refused when they differ.
    """
    position = client.read(f"/v1/lenders/{_LENDER}/position")
    if position["authorized_minor"] != approved_minor:
        raise Refused(
            f"the server has {position['authorized_minor']} minor units authorized, "
            f"the client saw {approved_minor} approved"
        )
    counted: int = closed_day(client)["totals"]["authorized_count"]
    if counted != approved:
        raise Refused(
            f"the server counts {counted} authorizations, the client {approved}"
        )
    return counted


def closed_day(client: Client) -> dict[str, Any]:
    """Close the business day and wait for its totals.  Raises Refused."""
    day = client.read("/v1/business-days/current")["day"]
    client.command(f"/v1/business-days/{day}/close", f"close-{day}", {})
    deadline = time.monotonic() + _CLOSE_SECONDS_MAX
    while time.monotonic() < deadline:
        found = client.read(f"/v1/business-days/{day}")
        if found["status"] == "closed":
            return found
        time.sleep(0.01)
    raise Refused(f"the business day {day} did not close in {_CLOSE_SECONDS_MAX:.0f} s")
