"""Sets the stage of a load test: lenders, programs, merchants, accounts.

All names begin with the plan's prefix, so a test disturbs nothing that a
server already has.  Reserve is ample: a purchase declined for it is a mistake.
"""

from typing import Any

from benchmarks.client import Client
from loadtest.expected import CURRENCY
from loadtest.plan import Plan, Program

_DEPOSIT_MINOR = 10**12
_HOLD_EXPIRY_MAX = 24 * 3_600


def set_stage(client: Client, plan: Plan) -> None:
    """Register everything.  Raises `benchmarks.client.Refused` or OSError."""
    for program in plan.programs:
        for lender_id in program.shares_ppm:
            _lender(client, lender_id)
        client.command("/v1/programs", program.program_id, _program(program))
    for merchant_id in plan.merchants:
        client.command("/v1/merchants", merchant_id, {"merchant_id": merchant_id})
    client.commands(
        [
            {
                "command": "open_account",
                "request_id": f"open-{lot.account_id}",
                "account_id": lot.account_id,
                "program_id": lot.program_id,
                "currency": CURRENCY,
                "limit_minor": lot.limit_minor,
            }
            for lots in plan.lots
            for lot in lots
        ]
    )


def _lender(client: Client, lender_id: str) -> None:
    body = {"lender_id": lender_id, "currency": CURRENCY}
    client.command("/v1/lenders", lender_id, body)
    client.command(
        f"/v1/lenders/{lender_id}/deposits",
        f"deposit-{lender_id}",
        {"amount_minor": _DEPOSIT_MINOR},
    )


def _program(program: Program) -> dict[str, Any]:
    return {
        "program_id": program.program_id,
        "currency": CURRENCY,
        "shares": [
            {"lender_id": lender_id, "share_ppm": share_ppm}
            for lender_id, share_ppm in program.shares_ppm.items()
        ],
        "authorization_expiry_seconds": program.expiry_seconds,
        "hold_expiry_seconds": min(program.expiry_seconds, _HOLD_EXPIRY_MAX),
        "capture_tolerance_ppm": program.capture_tolerance_ppm,
    }
