"""What the accounts have come to: read one by one, and summed.

Every account is read over HTTP, its statements too: what the figures say of
six months is what a client of the API would find.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from functools import partial

import msgspec

from gateway.replays.client import Client, ReplayFailed
from gateway.replays.lanes import run_together


class Standing(msgspec.Struct, frozen=True):
    """All accounts after the last day; those past due by their `delinquency`."""

    statements: int
    owing_accounts: int
    outstanding_minor: int
    credit_accounts: int
    credit_minor: int
    overdue_accounts: int
    past_due_minor: int
    charged_accounts: int
    charges_minor: int
    delinquency: tuple[tuple[str, int], ...]


class _Account(msgspec.Struct):
    outstanding_minor: int
    credit_minor: int
    charges_minor: int
    past_due_minor: int
    delinquency: str


class _Statement(msgspec.Struct):
    statement_on: str


class _Statements(msgspec.Struct):
    statements: list[_Statement]


class _LenderDay(msgspec.Struct):
    charges_minor: int = 0


class _DayTotals(msgspec.Struct, frozen=True):
    lenders: dict[str, _LenderDay] = {}


class _Day(msgspec.Struct):
    totals: _DayTotals = _DayTotals()


async def read_standing(
    client: Client, account_ids: Sequence[str], in_flight: int
) -> Standing:
    """Read every account; raises ReplayFailed if one is not there."""
    counts: Counter[str] = Counter()
    delinquency: Counter[str] = Counter()

    async def read(names: Iterable[str]) -> None:
        for name in names:
            path = f"/v1/accounts/{name}"
            account = await client.read(path, _Account)
            billed = await client.read(f"{path}/statements", _Statements)
            if account is None or billed is None:
                raise ReplayFailed(f"the server does not know account {name}")
            counts["statements"] += len(billed.statements)
            for what in ("outstanding", "credit", "past_due", "charges"):
                minor = getattr(account, f"{what}_minor")
                counts[f"{what}_minor"] += minor
                counts[f"{what}_accounts"] += minor != 0
            delinquency[account.delinquency] += bool(account.past_due_minor)

    # As many lanes as may be in flight, each with its part of the accounts.
    parts = [account_ids[i::in_flight] for i in range(in_flight)]
    work = [(str(i), partial(read, part)) for i, part in enumerate(parts)]
    await run_together(work, in_flight)
    return Standing(
        statements=counts["statements"],
        owing_accounts=counts["outstanding_accounts"],
        outstanding_minor=counts["outstanding_minor"],
        credit_accounts=counts["credit_accounts"],
        credit_minor=counts["credit_minor"],
        overdue_accounts=counts["past_due_accounts"],
        past_due_minor=counts["past_due_minor"],
        charged_accounts=counts["charges_accounts"],
        charges_minor=counts["charges_minor"],
        delinquency=tuple(sorted((+delinquency).items(), key=_days_of)),
    )


def _days_of(bucket: tuple[str, int]) -> int:
    """Who is in days of grace comes first, who was written off last."""
    named = {"grace": 0, "written_off": 1_000}
    if bucket[0] in named:
        return named[bucket[0]]
    return int(bucket[0].split("-")[0].rstrip("+"))


async def charges_paid_minor(
    client: Client, lender_ids: Iterable[str], days: Iterable[date]
) -> int:
    """What borrowers paid beside principal on some business days, in minor units."""
    names = list(lender_ids)
    paid_minor = 0
    for day in days:
        view = await client.read(f"/v1/business-days/{day}", _Day)
        if view is not None:
            lenders = view.totals.lenders
            paid_minor += sum(lenders[n].charges_minor for n in names if n in lenders)
    return paid_minor
