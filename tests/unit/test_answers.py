"""Answers: made from command and event alone, one form for each event."""

import typing

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor.answers import _ANSWERS, answer_to
from processor.declines import DeclineReason

EVENTS = set(typing.get_args(e.ShardEvent)) | set(typing.get_args(e.SettlementEvent))
# What the processor does by itself; nobody waits to hear of it.
UNASKED = {
    e.AuthorizationExpired,
    e.HoldExpired,
    e.TemporaryLimitEnded,
    e.SliceReceived,
    e.SliceReturned,
    e.DayMoved,
    e.ReferenceReceived,
    e.ShardJoined,
    e.SliceGranted,
    e.SliceCredited,
    e.ReserveRefused,
    e.ShardDayReported,
    e.DayClosed,
    e.StatementIssued,
    e.PenaltyCharged,
    e.DueMoved,
    e.CreditUsed,
    # Lenders.
    e.AdvanceForced,
    e.ProgramCapCovered,
    e.ShardProgressed,
    e.ForcedAdvanceRepaid,
}
AUTHORIZE = c.Authorize("caller", "r1", "a", "m", 100, "EUR")


def test_every_event_that_somebody_asked_for_has_an_answer() -> None:
    assert set(_ANSWERS) == EVENTS - UNASKED


def test_an_authorization_is_answered_with_all_a_caller_needs() -> None:
    event = e.Authorized(
        "au_00100a", "a", "m", "solo", 1, 100, (30, 70), 5_000, 400, True
    )
    assert {
        "status": "approved",
        "authorization_id": "au_00100a",
        "account_id": "a",
        "amount_minor": 100,
        "captured_minor": 100,
        "expires_at_ms": 5_000,
        "open_to_buy_minor": 400,
    } == msgspec.json.decode(answer_to(AUTHORIZE, event))


def test_an_answer_does_not_tell_how_lenders_share() -> None:
    event = e.Authorized("au_00100a", "a", "m", "solo", 1, 100, (30, 70), 5_000, 400)
    assert b"70" not in answer_to(AUTHORIZE, event)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            e.Declined(DeclineReason.ACCOUNT_CLOSED),
            {"status": "declined", "reason": "account_closed", "transient": False},
        ),
        (
            e.Declined(DeclineReason.CREDIT_LIMIT_EXCEEDED, 12),
            {
                "status": "declined",
                "reason": "credit_limit_exceeded",
                "transient": True,
                "headroom_missing_minor": 12,
            },
        ),
        (
            e.Declined(DeclineReason.RESERVE_EXHAUSTED, 7, "L1", 3),
            {
                "status": "declined",
                "reason": "reserve_exhausted",
                "transient": True,
                "headroom_missing_minor": 7,
                "lender_id": "L1",
            },
        ),
    ],
)
def test_a_decline_says_why_and_what_was_missing(
    event: e.Declined, expected: dict[str, object]
) -> None:
    assert expected == msgspec.json.decode(answer_to(AUTHORIZE, event))


def test_the_same_command_and_event_give_the_same_bytes() -> None:
    event = e.Refunded("au_1", "re_1", 10, (3, 7), 6, (2, 4), 4, "2026-01-01", 99)
    command = c.Refund("caller", "r", "au_1", 10)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(event), type=e.Refunded)
    assert answer_to(command, event) == answer_to(command, again)
