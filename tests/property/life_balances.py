"""What must be left of a life that was undone: nothing but the price of time.

Said three times: of the objects a shard keeps, of the totals its days counted,
and of the ledger that the audit makes of the journal on its own.
"""

from collections import Counter

import pytest

from processor import events as e
from processor import limits
from processor.audit.compare import compare_with_state
from processor.audit.shard import ShardAudit
from processor.recovery import ShardReplay, digest_of
from processor.scratch import MemoryScratch
from processor.state import Account, Authorization, ShardState
from processor.tenders import TenderKind
from tests.property.life_on_a_shard import LENDERS, ShardLife
from tests.unit.journals_by_hand import rechained
from tests.unit.one_shard import IDENTITY

# Where a ledger keeps what time has earned, and what it came as.
CASH, REMITTED, DUE = "cash:EUR", "lender_remittance", "lender_due"


def earned_by_time(events: list[e.Event]) -> int:
    """Interest and penalties that were charged and not waived, in minor units."""
    earned = 0
    early: Counter[tuple[str, str]] = Counter()  # By settlement and purchase.
    for event in events:
        match event:
            case e.StatementIssued():
                earned += sum(line.interest_minor for line in event.lines)
            case e.PenaltyCharged():
                earned += sum(charge.amount_minor for charge in event.charges)
            case e.SettledEarly():
                for recut in event.recuts:
                    minor = sum(cut.interest_minor for cut in recut.lines)
                    early[event.repayment_id, recut.authorization_id] += minor
                    earned += minor
            case e.RepaymentReturned():
                for plan in event.plans:
                    earned += sum(line.interest_minor for line in plan.lines)
                    earned -= early[event.repayment_id, plan.authorization_id]
            case e.ChargesWaived():
                earned -= event.amount_minor
    return earned


# Objects.


def check_nothing_is_left(state: ShardState) -> None:
    for account in state.accounts.values():
        check_account(account)
    for purchase in state.authorizations.values():
        check_purchase(purchase)
    for hold in state.holds.values():
        assert 0 == hold.held_minor
    for lease in state.slices.values():
        assert 0 == lease.authorized_minor
        assert lease.captured_minor == lease.refunded_minor
        assert lease.free_minor == lease.received_minor - lease.returned_minor


def check_account(account: Account) -> None:
    assert 0 == account.held_minor == account.hold_count
    assert 0 == account.authorized_minor == account.authorization_count
    assert 0 == account.outstanding_minor == account.charges_minor
    assert 0 == account.credit_minor == account.written_off_minor
    assert account.unpaid is None
    assert account.limit_minor == account.open_to_buy_minor


def check_purchase(purchase: Authorization) -> None:
    """Of every lender, instalment, fee, subsidy and tender all is back."""
    assert 0 == purchase.open_minor
    assert purchase.total_parts == purchase.gone_parts
    assert purchase.captured_minor == purchase.refunded_minor
    assert purchase.captured_parts == purchase.refunded_parts
    assert 0 == purchase.outstanding_minor
    assert (0,) * len(purchase.outstanding_parts) == purchase.outstanding_parts
    assert purchase.borne_minor == purchase.borne_back_minor
    for line in purchase.lines or ():
        assert line.cut_minor == line.refunded_minor
        assert line.fee_cut_minor == line.fee_back_minor
        assert (0, 0) == (line.paid_minor, line.fee_paid_minor)
        assert line.interest_minor == line.interest_paid_minor
        assert line.penalty_minor == line.penalty_paid_minor
    charge = purchase.charge
    if charge is not None:
        assert charge.fee_parts == charge.fee_back_parts
        assert charge.subsidy_parts == charge.subsidy_back_parts


def check_order(purchase: Authorization, *, as_order: bool) -> None:
    """Each tender has back what it gave; by plain refunds the credit line has."""
    back = {
        b.tender_id: (b.amount_minor, b.discount_minor) for b in purchase.tenders_back
    }
    for tender in purchase.tenders:
        had = back.get(tender.tender_id, (0, 0))
        if tender.kind is TenderKind.COUPON:
            assert (0, 0) == had
        elif as_order:
            assert (tender.amount_minor, tender.discount_minor) == had
        elif tender.kind is TenderKind.CREDIT_LINE:
            assert (purchase.refunded_minor, 0) == had


# Days.


def check_days(life: ShardLife) -> None:
    """Summed over all days, what went out came back to the same hands."""
    moved: Counter[tuple[str, str]] = Counter()
    for totals in days_of(life):
        for name, lender in totals.lenders.items():
            moved["reserve of", name] += lender.captured_minor - lender.refunded_minor
            moved["given up by", name] += lender.written_off_minor
            moved["recovered for", name] += lender.recovered_minor
        for name, shop in totals.merchants.items():
            moved["sold by", name] += shop.captured_minor - shop.refunded_minor
            moved["fee of", name] += shop.fee_minor - shop.fee_back_minor
            moved["subsidy of", name] += shop.subsidy_minor - shop.subsidy_back_minor
            moved["borne by", name] += shop.borne_minor
            moved["payout of", name] += sum(shop.payout_minor.values())
        for name, party in totals.parties.items():
            moved["had by", name] += sum(
                x.fee_minor - x.fee_back_minor for x in party.values()
            )
        for name, payer in totals.payers.items():
            moved["paid by", name] += sum(
                x.subsidy_minor - x.subsidy_back_minor for x in payer.values()
            )
    assert {} == {what: minor for what, minor in moved.items() if minor}


def days_of(life: ShardLife) -> list[e.DayTotals]:
    ended = [event.totals for event in life.events() if isinstance(event, e.DayMoved)]
    return [*ended, life.state.totals]


def kept_by_lender(life: ShardLife) -> dict[str, int]:
    """What lenders keep of charges, over all days."""
    kept = dict.fromkeys(LENDERS, 0)
    for totals in days_of(life):
        for name, lender in totals.lenders.items():
            kept[name] += lender.charges_minor
    return kept


# The ledger.


def audited(life: ShardLife) -> ShardAudit:
    """The journal's second reading: without a flaw, and where the shard is."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(limits, "AUDIT_OBJECTS_IN_MEMORY_MIN", 0)
        model = ShardAudit(IDENTITY, scratch=MemoryScratch())
    for batch in rechained(IDENTITY, life.shard.batches):
        model.batch(batch)
    model.finish()
    assert [] == model.differences
    assert [] == compare_with_state(model, life.state)
    assert 0 == model.trial_balance_minor
    return model


def check_ledger(ledger: dict[str, int], earned: int) -> None:
    """Everything is zero but the cash that time has earned, and whose it is.

    What a refund took back to a lender's reserve beyond its claim is due to it, and
    what was paid of the claim is remitted: two sides of one account, so they are
    taken together.
    """
    left: Counter[str] = Counter()
    for name, minor in ledger.items():
        kind, _, rest = name.partition(":")
        left[f"lender:{rest}" if kind in (REMITTED, DUE) else name] += minor
    assert earned == left.pop(CASH, 0)
    assert -earned == sum(left.pop(f"lender:{name}", 0) for name in LENDERS)
    assert {} == {name: minor for name, minor in left.items() if minor}


def lenders_of(ledger: dict[str, int]) -> dict[str, int]:
    """What each lender is to have in the end."""
    return {
        name: -ledger.get(f"{REMITTED}:{name}", 0) - ledger.get(f"{DUE}:{name}", 0)
        for name in LENDERS
    }


# The journal.


def check_replay(life: ShardLife) -> None:
    replay = ShardReplay(IDENTITY)
    for batch in life.shard.batches:
        replay.replay(batch)
    assert digest_of(replay.state) == digest_of(life.state)
