"""Orders of several tenders, refunded through a shard: in any parts and order.

`test_tenders` shows the allocator alone.  Here the purchase is authorized,
captured and refunded by commands, and what goes back of the credit line is what
the lenders, the instalments, the fee and the subsidy give back too.
"""

from collections.abc import Sequence
from itertools import permutations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.audit.compare import compare_with_state
from processor.audit.shard import ShardAudit
from processor.schedules import Method, Plan
from processor.state import Authorization
from processor.tenders import RefundPolicy, Tender, TenderKind
from processor.terms import MerchantTerms, PartyShare, Subsidy, Terms
from tests.property.profiles import trying
from tests.property.test_tenders import OfferedUnits
from tests.unit.journals_by_hand import rechained
from tests.unit.one_shard import IDENTITY, OneShard

COUPON, CARD, WALLET, OURS = (
    TenderKind.COUPON,
    TenderKind.CARD,
    TenderKind.EXTERNAL,
    TenderKind.CREDIT_LINE,
)
Order = tuple[Tender, ...]
SHARES = (c.Share("north", 333_333), c.Share("south", 666_667))
PLAN = Plan("thirds", 3, Method.FLAT_FEE, 12_345)
PRICING = MerchantTerms(
    "",
    29_000,
    1,
    900,
    (PartyShare("bank", 333_333), PartyShare("platform", 666_667)),
    (Subsidy("brand", 15_001), Subsidy("mall", 1)),
)
# The order of the domain document, with the wallet's or the card's money ours.
KNOWN = (
    Tender(COUPON, "coupon", 100),
    Tender(CARD, "card", 120, 80),
    Tender(OURS, "ours", 200),
)
WITH_WALLET = (
    Tender(COUPON, "coupon", 100),
    Tender(CARD, "card", 0, 80),
    Tender(OURS, "ours", 120),
    Tender(WALLET, "wallet", 200),
)
TWO_UNITS = (Tender(COUPON, "coupon", 31), Tender(OURS, "ours", 168))
TWO_CARDS = (
    Tender(CARD, "gold", 7, 13),
    Tender(CARD, "blue", 5, 11),
    Tender(OURS, "ours", 17),
    Tender(WALLET, "wallet", 3),
    Tender(COUPON, "coupon", 9),
)
ORDERS = {
    "known": KNOWN,
    "wallet": WITH_WALLET,
    "two units": TWO_UNITS,
    "two cards": TWO_CARDS,
}
POLICIES = tuple(permutations((WALLET, CARD, OURS)))


class Shop:
    """One borrower, one merchant, and orders."""

    def __init__(self, policy: Sequence[TenderKind] = RefundPolicy().order) -> None:
        self.policy = RefundPolicy(tuple(policy))
        self.shard = OneShard().welcomed()
        terms = Terms(refund_order=self.policy.order)
        program = e.ProgramRegistered(
            "p", 1, "EUR", SHARES, 10**6, 10**6, 0, (PLAN,), terms
        )
        facts: tuple[e.ReferenceFact, ...] = (
            *(e.LenderRegistered(x.lender_id, "EUR", "", 0) for x in SHARES),
            e.MerchantRegistered("m", "", PRICING),
            program,
        )
        grants = (m.GrantSlice(x.lender_id, 10**12) for x in SHARES)
        self.shard.told(m.ReferenceSent(len(facts), facts), *grants)
        self.shard.ask(c.OpenAccount, "a", "p", "EUR", 10**12)

    def buy(self, order: Order, plan_id: str = "") -> Authorization:
        amount = sum(tender.amount_minor for tender in order if tender.kind is OURS)
        wish = ("a", "m", amount, "EUR", True, "", plan_id, order)
        answer = self.shard.ask(c.Authorize, *wish)
        assert "approved" == answer["status"]
        bought: Authorization = self.shard.state.authorizations[
            answer["authorization_id"]
        ]
        return bought

    def refund(self, bought: Authorization, amount: int | None) -> dict[str, Any]:
        wish = (bought.authorization_id, amount, "", True)
        return self.shard.ask(c.Refund, *wish)

    def audited(self) -> list[str]:
        model = ShardAudit(IDENTITY)
        for batch in rechained(IDENTITY, self.shard.batches):
            model.batch(batch)
        model.finish()
        return [*model.differences, *compare_with_state(model, self.shard.state)]


def refundable(order: Order) -> int:
    return sum(
        tender.amount_minor + tender.discount_minor
        for tender in order
        if tender.kind is not COUPON
    )


def back_of(bought: Authorization) -> dict[str, tuple[int, int]]:
    """Paid money and discount that each tender has back."""
    so_far = {
        b.tender_id: (b.amount_minor, b.discount_minor) for b in bought.tenders_back
    }
    return {t.tender_id: so_far.get(t.tender_id, (0, 0)) for t in bought.tenders}


def check_credit_line(bought: Authorization) -> None:
    """What went back of our tender went back to everybody behind it."""
    assert (bought.refunded_minor, 0) == back_of(bought)["ours"]
    assert bought.refunded_minor == sum(bought.refunded_parts)
    for taken, back in zip(bought.captured_parts, bought.refunded_parts, strict=True):
        off = back * bought.captured_minor - taken * bought.refunded_minor
        assert abs(off) < bought.captured_minor
    charge = bought.charge
    assert charge is not None
    for parts, parts_back in (
        (charge.fee_parts, charge.fee_back_parts),
        (charge.subsidy_parts, charge.subsidy_back_parts),
    ):
        due = sum(parts) * bought.refunded_minor // bought.captured_minor
        assert due == sum(parts_back)


def check_all_back(bought: Authorization) -> None:
    """All but the coupon, and of our tender everything behind it."""
    assert back_of(bought) == {
        tender.tender_id: (0, 0)
        if tender.kind is COUPON
        else (tender.amount_minor, tender.discount_minor)
        for tender in bought.tenders
    }
    assert bought.captured_parts == bought.refunded_parts
    assert 0 == bought.outstanding_minor
    charge = bought.charge
    assert charge is not None
    assert charge.fee_parts == charge.fee_back_parts
    assert charge.subsidy_parts == charge.subsidy_back_parts
    for line in bought.lines or ():
        assert line.cut_minor == line.refunded_minor
        assert line.fee_cut_minor == line.fee_back_minor


def by_offered_units(
    order: Order, policy: RefundPolicy, reached: int
) -> dict[str, tuple[int, int]]:
    """What each tender should have back: one unit offered after the other."""
    model = OfferedUnits(order, policy)
    for _ in range(reached):
        model.refund_one()
    return {
        tender.tender_id: row for tender, row in zip(order, model.row(), strict=True)
    }


@pytest.mark.parametrize("plan_id", ["", "thirds"])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_three_parts_in_every_order_end_in_the_same(order: Order, plan_id: str) -> None:
    """On the way it counts how much is back, and not in which parts."""
    for policy in POLICIES:
        shop, whole = Shop(policy), refundable(order)
        first, second = whole // 7, whole // 2
        for parts in permutations((first, second, whole - first - second)):
            bought = shop.buy(order, plan_id)
            reached = 0
            for part in parts:
                assert "approved" == shop.refund(bought, part)["status"]
                reached += part
                assert by_offered_units(order, shop.policy, reached) == back_of(bought)
                check_credit_line(bought)
            check_all_back(bought)
            refused = shop.refund(bought, 1)
            assert "refund_exceeds_refundable" == refused["reason"]
        assert [] == shop.audited()


def test_the_known_case_through_the_shard() -> None:
    """Refund 300 of 500: the card's discount 60, what is paid by the policy."""
    shop = Shop((OURS, CARD, WALLET))
    bought = shop.buy(KNOWN)

    shop.refund(bought, 300)

    back = {"coupon": (0, 0), "card": (40, 60), "ours": (200, 0)}
    assert back == back_of(bought)
    assert 0 == bought.outstanding_minor


def test_one_of_two_units_bought_with_a_coupon() -> None:
    """Each costs 99.50; the coupon's part of the first does not come back."""
    shop = Shop()
    bought = shop.buy(TWO_UNITS)

    assert 84 == shop.refund(bought, 84)["amount_minor"]
    assert {"coupon": (0, 0), "ours": (84, 0)} == back_of(bought)
    assert "refund_exceeds_refundable" == shop.refund(bought, 85)["reason"]
    declined = shop.shard.records[-1].event
    assert isinstance(declined, e.Declined)
    assert 1 == declined.missing_minor
    assert 84 == shop.refund(bought, None)["amount_minor"]
    check_all_back(bought)


def some_order(random: Random) -> Order:
    """Of any tenders, with one of ours."""
    tenders = [Tender(OURS, "ours", random.randint(1, 200))]
    for number in range(random.randint(1, 5)):
        kind = random.choice([COUPON, CARD, CARD, WALLET])
        discount = random.randint(0, 60) if kind is CARD else 0
        tenders.append(Tender(kind, f"t{number}", random.randint(0, 90), discount))
    random.shuffle(tenders)
    return tuple(tenders)


@given(seed=st.integers(0, 2**32 - 1))
@trying(examples=50, is_seeded=True)
def test_any_order_in_any_parts_while_the_borrower_repays(seed: int) -> None:
    """Repayments that bounce between the refunds change nothing of it."""
    random = Random(seed)
    shop = Shop(random.choice(POLICIES))
    for _ in range(3):
        order = some_order(random)
        bought = shop.buy(order, random.choice(["", "thirds"]))
        reached, repaid = 0, []
        while reached < refundable(order):
            if random.random() < 0.4:
                wish = ("a", random.randint(1, 90), "EUR", "", "", True)
                repaid.append(shop.shard.ask(c.Repay, *wish)["repayment_id"])
            left = refundable(order) - reached
            part = random.choice([left, 1, random.randint(1, left)])
            assert "approved" == shop.refund(bought, part)["status"]
            reached += part
            assert by_offered_units(order, shop.policy, reached) == back_of(bought)
            check_credit_line(bought)
        for key in repaid:
            shop.shard.ask(c.ReturnRepayment, key)
        check_all_back(bought)
    assert 0 == shop.shard.state.accounts["a"].credit_minor
    assert [] == shop.audited()
