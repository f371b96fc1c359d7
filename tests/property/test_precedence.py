"""Of all reasons that apply, the earliest is reported: every combination.

The naive model finds all reasons on its own; here every command meets every
mix of missing, closed, frozen, full, over limit and too much.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.terms import CategoryVelocity, MerchantTerms, Velocity
from tests.property.naive_model import Bounds
from tests.property.shard_bench import ShardBench, reference_facts

ACCOUNTS = ("open", "frozen", "closed", "full", "missing")
AMOUNTS = (1, 60, 10_000)
TOYS = (CategoryVelocity("toys", 50), CategoryVelocity("toys"))
FULL = 2  # Open holds and authorizations that an account may have.


@pytest.fixture
def bench() -> Iterator[ShardBench]:
    """Accounts in every status, with holds and purchases open and over."""
    bench = ShardBench(Bounds(holds_max=FULL, authorizations_max=FULL))
    bench.settlement.unleased = {"L1": 1_000_000}
    bench.settlement.reference = [
        e.LenderRegistered("L1", "EUR", "", 0),
        e.MerchantRegistered("m", "", MerchantTerms("toys")),
        *reference_facts({"solo": {"L1": 1_000_000}}, 0),
    ]
    bench.connect()
    bench.settle()
    for name in ACCOUNTS[:-1]:
        ask(bench, c.OpenAccount, name, "solo", "EUR", 300)
        for over in (True, False):
            make_things(bench, name, over)
    for name in ("full", "full"):
        ask(bench, c.PlaceHold, name, 10, "EUR")
        ask(bench, c.Authorize, name, "m", 10, "EUR")
    ask(bench, c.SetVelocity, "full", Velocity(5_000, 61, 500), TOYS[:1])
    ask(bench, c.SetVelocity, "frozen", Velocity(monthly_minor=60))
    ask(bench, c.FreezeAccount, "frozen")
    close_for_ever(bench, "closed")
    yield bench
    bench.close()


def ask(bench: ShardBench, kind: type[c.Command], *fields: Any) -> dict[str, Any]:
    command = kind("caller", f"r{len(bench.used)}", *fields)
    bench.submit(command)
    bench.settle()
    answer: dict[str, Any] = msgspec.json.decode(
        bench.body[command.caller, command.request_id]
    )
    return answer


def make_things(bench: ShardBench, account: str, are_over: bool) -> None:
    """A hold and a purchase, still open or over."""
    hold = ask(bench, c.PlaceHold, account, 50, "EUR")["hold_id"]
    bought = ask(bench, c.Authorize, account, "m", 50, "EUR")["authorization_id"]
    if are_over:
        ask(bench, c.ReleaseHold, hold)
        ask(bench, c.CaptureAuthorization, bought)
        ask(bench, c.Refund, bought, 20)


def close_for_ever(bench: ShardBench, account: str) -> None:
    expected = bench.expected
    for key in expected.open_holds(account):
        ask(bench, c.ReleaseHold, key)
    for key in expected.open_purchases(account):
        ask(bench, c.ReverseAuthorization, key)
    ask(bench, c.Repay, account, expected.outstanding(account), "EUR")
    assert "approved" == ask(bench, c.CloseAccount, account)["status"]


def all_wishes(bench: ShardBench) -> Iterator[tuple[Any, ...]]:
    """Every command with every mix of fields; the things are there already."""
    merchants, currencies = ("m", "missing"), ("EUR", "USD")
    purchases = [*bench.expected.purchases, "au_missing"]
    holds = [*bench.expected.holds, "ho_missing"]
    programs = ("solo", "missing")
    yield from product([c.OpenAccount], ACCOUNTS[:-1], programs, currencies, [5])
    for kind in (c.FreezeAccount, c.UnfreezeAccount, c.CloseAccount):
        yield from product([kind], ACCOUNTS)
    yield from product([c.ChangeLimit], ACCOUNTS, [200])
    yield from product([c.SetVelocity], ACCOUNTS, [Velocity()], [(), TOYS])
    yield from product([c.Authorize], ACCOUNTS, merchants, AMOUNTS, currencies)
    yield from product([c.PlaceHold], ACCOUNTS, AMOUNTS, currencies)
    yield from product([c.Repay], ACCOUNTS, AMOUNTS, currencies)
    yield from product([c.IncrementAuthorization], purchases, AMOUNTS)
    yield from product([c.CaptureAuthorization], purchases, AMOUNTS)
    yield from product([c.ReverseAuthorization], purchases, AMOUNTS)
    yield from product([c.Refund], purchases, AMOUNTS)
    yield from product([c.IncreaseHold], holds, AMOUNTS)
    yield from product([c.ReleaseHold], holds, AMOUNTS)
    yield from product([c.ConvertHold], holds, merchants, AMOUNTS)


def test_the_earliest_of_several_reasons_is_reported(bench: ShardBench) -> None:
    met: set[DeclineReason] = set()
    with_several = 0
    for kind, *fields in list(all_wishes(bench)):
        reasons = bench.expected.reasons(kind("caller", "?", *fields))
        if not reasons:
            continue  # It would be done, and change what the others meet.
        ask(bench, kind, *fields)  # The bench judges which reason it must be.
        with_several += len(reasons) > 1
        met |= set(reasons)
    assert with_several > 60
    assert {
        DeclineReason.PROGRAM_NOT_FOUND,
        DeclineReason.ACCOUNT_NOT_FOUND,
        DeclineReason.ACCOUNT_EXISTS,
        DeclineReason.AUTHORIZATION_NOT_FOUND,
        DeclineReason.HOLD_NOT_FOUND,
        DeclineReason.MERCHANT_NOT_FOUND,
        DeclineReason.CURRENCY_MISMATCH,
        DeclineReason.CATEGORY_REPEATED,
        DeclineReason.VELOCITY_PURCHASE,
        DeclineReason.VELOCITY_DAILY,
        DeclineReason.VELOCITY_MONTHLY,
        DeclineReason.ACCOUNT_CLOSED,
        DeclineReason.ACCOUNT_FROZEN,
        DeclineReason.ACCOUNT_NOT_FROZEN,
        DeclineReason.ACCOUNT_IN_USE,
        DeclineReason.AUTHORIZATION_NOT_OPEN,
        DeclineReason.AUTHORIZATION_NOT_CAPTURED,
        DeclineReason.HOLD_NOT_OPEN,
        DeclineReason.CAPTURE_EXCEEDS_AUTHORIZED,
        DeclineReason.REVERSAL_EXCEEDS_OPEN,
        DeclineReason.RELEASE_EXCEEDS_HELD,
        DeclineReason.CONVERSION_EXCEEDS_HELD,
        DeclineReason.REFUND_EXCEEDS_CAPTURED,
        DeclineReason.TOO_MANY_HOLDS,
        DeclineReason.TOO_MANY_AUTHORIZATIONS,
        DeclineReason.CREDIT_LIMIT_EXCEEDED,
    } == met
