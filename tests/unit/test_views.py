"""What a reader of a shard is shown."""

from processor import commands as c
from tests.unit.one_shard import a_shard


def test_an_account_shows_what_is_occupied_and_what_may_be_bought() -> None:
    shard = a_shard(limit=1_000, L1=500)
    shard.ask(c.PlaceHold, "a", 100, "EUR")
    shard.ask(c.Authorize, "a", "m", 200, "EUR")
    shard.ask(c.Authorize, "a", "m", 50, "EUR", True)
    assert {
        "account_id": "a",
        "program_id": "solo",
        "currency": "EUR",
        "status": "open",
        "limit_minor": 1_000,
        "held_minor": 100,
        "authorized_minor": 200,
        "outstanding_minor": 50,
        "credit_minor": 0,
        "open_to_buy_minor": 650,
        "open_holds": 1,
        "open_authorizations": 1,
        "unpaid_purchases": 1,
        "charges_minor": 0,
        "written_off_minor": 0,
        "past_due_minor": 0,
        "days_past_due": 0,
        "delinquency": "current",
        "statement_day": 1,
        "due_day": 21,
    } == shard.read("account", "a")


def test_a_purchase_shows_each_lenders_part_of_it() -> None:
    shard = a_shard(L1=500, L2=500)
    bought = shard.ask(c.Authorize, "b", "m", 100, "EUR", False, "order 7")
    key = bought["authorization_id"]
    shard.ask(c.CaptureAuthorization, key, 60)
    shard.ask(c.ReverseAuthorization, key, 10)
    shard.ask(c.Refund, key, 20)
    assert {
        "authorization_id": key,
        "account_id": "b",
        "merchant_id": "m",
        "program_id": "pair",
        "program_version": 1,
        "status": "open",
        "reference": "order 7",
        "purchase_day": "2026-01-01",
        "expires_at_ms": 61_000,
        "authorized_minor": 100,
        "open_minor": 30,
        "captured_minor": 60,
        "given_back_minor": 10,
        "refunded_minor": 20,
        "outstanding_minor": 40,
        "plan_id": "",
        "tenders": [],
        "lenders": [
            {
                "lender_id": "L1",
                "authorized_minor": 30,
                "captured_minor": 18,
                "refunded_minor": 6,
                "outstanding_minor": 12,
            },
            {
                "lender_id": "L2",
                "authorized_minor": 70,
                "captured_minor": 42,
                "refunded_minor": 14,
                "outstanding_minor": 28,
            },
        ],
    } == shard.read("authorization", key)


def test_a_hold_shows_what_it_still_occupies() -> None:
    shard = a_shard(L1=500)
    key = shard.ask(c.PlaceHold, "a", 100, "EUR", "table 4")["hold_id"]
    shard.ask(c.ReleaseHold, key, 30)
    assert {
        "hold_id": key,
        "account_id": "a",
        "status": "open",
        "reference": "table 4",
        "expires_at_ms": 31_000,
        "held_minor": 70,
    } == shard.read("hold", key)
    shard.ask(c.ConvertHold, key, "m", None, True)
    assert "converted" == shard.read("hold", key)["status"]


def test_what_is_not_there_is_not_found() -> None:
    shard = a_shard()
    assert shard.read("account", "nobody") is None
    assert shard.read("authorization", "au_00000001") is None
    assert shard.read("hold", "ho_00000001") is None
    assert shard.read("weather", "a") is None


def test_a_reader_sees_everything_submitted_before_it() -> None:
    shard = a_shard(L1=500)
    shard.submit(c.ChangeLimit("caller", "x", "a", 777))
    assert 777 == shard.read("account", "a")["limit_minor"]
