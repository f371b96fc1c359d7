"""A returned repayment leaves everything where it was: also who is paid first."""

from processor import commands as c
from processor import events as e
from processor import messages as m
from tests.unit.one_shard import OneShard


def a_shard() -> OneShard:
    shard = OneShard().welcomed()
    facts = (
        e.LenderRegistered("L", "EUR", "", 0),
        e.MerchantRegistered("m", ""),
        e.ProgramRegistered("p", 1, "EUR", (c.Share("L", 1_000_000),), 10**6, 10**6, 0),
    )
    shard.told(m.ReferenceSent(len(facts), facts), m.GrantSlice("L", 10**6))
    shard.ask(c.OpenAccount, "a", "p", "EUR", 10**6)
    return shard


def authorize(shard: OneShard, capture: bool = True) -> str:
    made: str = shard.ask(c.Authorize, "a", "m", 100, "EUR", capture)[
        "authorization_id"
    ]
    return made


def test_a_purchase_that_is_owed_again_is_as_old_as_it_was() -> None:
    shard = a_shard()
    first, second, third = (authorize(shard) for _ in range(3))
    account = shard.state.accounts["a"]

    repaid = [shard.ask(c.Repay, "a", 150, "EUR", "", "", True) for _ in range(2)]
    assert account.unpaid is None
    for body in reversed(repaid):
        shard.ask(c.ReturnRepayment, body["repayment_id"])

    assert [first, second, third] == account.unpaid
    shard.ask(c.Repay, "a", 100, "EUR")
    assert [second, third] == account.unpaid


def test_the_older_purchase_is_the_one_that_was_made_first() -> None:
    """However late it is captured, and however many were made in between."""
    shard = a_shard()
    first = authorize(shard, capture=False)
    later = [authorize(shard) for _ in range(20)]  # Their ids grow a digit.
    assert len(first) < len(later[-1])

    shard.ask(c.CaptureAuthorization, first)

    assert [first, *later] == shard.state.accounts["a"].unpaid
