"""Any order of anything ends in its exact inverse, over all there is at once."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from processor import events as e
from tests.property.life_balances import (
    audited,
    check_days,
    check_ledger,
    check_nothing_is_left,
    check_order,
    check_replay,
    earned_by_time,
    kept_by_lender,
    lenders_of,
)
from tests.property.life_deeds import Deeds
from tests.property.life_on_a_shard import LENDERS, ShardLife
from tests.property.life_undone import finish_orders, settle_up, undo_everything
from tests.property.profiles import trying

seeds = st.integers(0, 2**32 - 1)
WHAT_HAPPENS = (
    e.Authorized,
    e.AuthorizationIncremented,
    e.AuthorizationReversed,
    e.AuthorizationExpired,
    e.Captured,
    e.ForceCaptured,
    e.HoldPlaced,
    e.HoldIncreased,
    e.HoldReleased,
    e.HoldExpired,
    e.Refunded,
    e.Repaid,
    e.RepaymentFinal,
    e.RepaymentReturned,
    e.CreditUsed,
    e.CreditPaidOut,
    e.StatementIssued,
    e.PenaltyCharged,
    e.DueMoved,
    e.ChargesWaived,
    e.PlanExtended,
    e.SettledEarly,
    e.WrittenOff,
    e.WriteOffReversed,
    e.RecoveryRecorded,
    e.RecoveryReversed,
    e.ClaimPaid,
    e.ClaimReversed,
    e.AdjustmentApproved,
)


def undone_life(seed: int, *, earns: bool, all_bounces: bool) -> Deeds:
    life = ShardLife(seed, earns=earns)
    deeds = Deeds(life, all_bounces=all_bounces)
    deeds.live(life.dice.choice([20, 60, 120]))
    undo_everything(deeds)
    finish_orders(deeds)
    settle_up(deeds)
    check_nothing_is_left(life.state)
    for purchase in life.state.authorizations.values():
        if purchase.tenders:
            as_order = purchase.authorization_id in deeds.ordered_only
            check_order(purchase, as_order=as_order)
    check_days(life)
    check_replay(life)
    return deeds


@given(seed=seeds, all_bounces=st.booleans())
@trying(examples=150, is_seeded=True)
def test_where_time_costs_nothing_nothing_at_all_is_left(
    seed: int, all_bounces: bool
) -> None:
    """No interest and no penalty: every account of the ledger is zero again."""
    life = undone_life(seed, earns=False, all_bounces=all_bounces).life
    assert 0 == earned_by_time(life.events())
    ledger = audited(life).books.ledger
    check_ledger(ledger, 0)
    assert dict.fromkeys(LENDERS, 0) == lenders_of(ledger) == kept_by_lender(life)


@given(seed=seeds, all_bounces=st.booleans())
@trying(examples=150, is_seeded=True)
def test_what_is_left_is_what_time_has_earned(seed: int, all_bounces: bool) -> None:
    """Interest and penalties of days that passed: in cash, and for the lenders."""
    life = undone_life(seed, earns=True, all_bounces=all_bounces).life
    earned = earned_by_time(life.events())
    ledger = audited(life).books.ledger
    check_ledger(ledger, earned)
    assert lenders_of(ledger) == kept_by_lender(life)


def special(event: e.Event) -> dict[str, bool]:
    """What only a flag or a part of an event tells."""
    match event:
        case e.Authorized():
            return {
                "of a hold": bool(event.hold_id),
                "approved in part": event.reduced is not None,
                "paid by credit": event.credit_used_minor > 0,
                "borne by the shop": event.borne_minor > 0,
            }
        case e.Captured():
            return {
                "above what was open": event.extra_minor > 0,
                "final": event.released_minor > 0,
            }
        case e.ForceCaptured():
            return {
                "forced and new": event.is_new,
                "beyond a line": event.lender_advance_minor > 0,
            }
        case e.Refunded():
            return {
                "of an order": len(event.tenders) > 1,
                "of a fee that was paid": sum(event.fee_credits) > 0,
            }
        case e.RepaymentReturned():
            return {"after a refund": any(x.credit_minor for x in event.undone)}
    return {}


def test_everything_happens_in_such_lives() -> None:
    counts = Counter({kind.__name__: 0 for kind in WHAT_HAPPENS})
    for seed in range(30):
        life = undone_life(seed, earns=True, all_bounces=False).life
        for event in life.events():
            counts[type(event).__name__] += 1
            counts.update(special(event))
    assert {} == {name: count for name, count in counts.items() if count < 2}
