"""A refund in any parts is one refund of their sum, for any mix of tenders.

`OfferedUnits` is a second calculation of the same rule, written the other way
round: it knows no totals, only one minor unit after the other.
"""

from collections.abc import Sequence
from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from processor import limits
from processor.limits import TENDERS_PER_ORDER_MAX
from processor.tenders import (
    AllocationRefusal,
    AllocationRefused,
    RefundPolicy,
    Tender,
    TenderKind,
    TenderRefund,
    allocate,
    due_after,
    refundable_minor,
    wrong_order_field,
)
from tests.property.profiles import trying

REFUNDABLE = (TenderKind.EXTERNAL, TenderKind.CARD, TenderKind.CREDIT_LINE)
REFUNDS_MAX = 25

Order = tuple[Tender, ...]
Row = tuple[tuple[int, int], ...]


class OfferedUnits:
    """Every unit is offered to the cards in turn; one takes it, or it is paid money.

    A card takes a unit when it then has no more than its rate of all units it
    was ever offered.  A unit nobody takes goes to the first tender, in the
    policy's order, that has not yet all back.
    """

    def __init__(self, tenders: Sequence[Tender], policy: RefundPolicy) -> None:
        back = [t for t in tenders if t.kind in REFUNDABLE]
        self.tenders = tenders
        self.turns = sorted(back, key=lambda t: t.discount_minor, reverse=True)
        self.fill = [t for kind in policy.order for t in back if t.kind is kind]
        self.rate: dict[str, Fraction] = {}
        self.offered = dict.fromkeys((t.tender_id for t in tenders), 0)
        self.discount = dict(self.offered)
        self.paid = dict(self.offered)
        base = sum(t.amount_minor for t in back)
        for tender in reversed(self.turns):  # Whoever is later leaves less to share.
            base += tender.discount_minor
            self.rate[tender.tender_id] = Fraction(tender.discount_minor, base or 1)

    def refund_one(self) -> None:
        for tender in self.turns:
            key = tender.tender_id
            self.offered[key] += 1
            if self.discount[key] + 1 <= self.rate[key] * self.offered[key]:
                self.discount[key] += 1
                return
        for tender in self.fill:
            if self.paid[tender.tender_id] < tender.amount_minor:
                self.paid[tender.tender_id] += 1
                return
        raise AssertionError("a unit that nobody may have")

    def row(self) -> Row:
        keys = [t.tender_id for t in self.tenders]
        return tuple((self.paid[key], self.discount[key]) for key in keys)


# Orders, and ways to refund them.


def amounts_up_to(most: int) -> st.SearchStrategy[int]:
    return st.one_of(st.just(0), st.integers(0, 3), st.integers(0, most))


@st.composite
def orders(draw: st.DrawFn, most: int = 10**11, cards: int = 0) -> Order:
    """Up to 8 tenders of any kinds, the first `cards` of them cards."""
    size = draw(st.integers(max(1, cards), TENDERS_PER_ORDER_MAX))
    amount = amounts_up_to(most)
    tenders = []
    for i in range(size):
        kind = TenderKind.CARD if i < cards else draw(st.sampled_from(TenderKind))
        discount = draw(amount) if kind is TenderKind.CARD else 0
        tenders.append(Tender(kind, f"t{i}", draw(amount), discount))
    return tuple(draw(st.permutations(tenders)))


small_orders = orders(most=20)
any_orders = st.one_of(small_orders, orders(), orders(cards=2), orders(most=9, cards=7))
policies = st.permutations(REFUNDABLE).map(lambda kinds: RefundPolicy(tuple(kinds)))


def draw_parts(draw: st.DrawFn, whole: int) -> list[int]:
    """Amounts, zeros among them, that sum to the whole."""
    cut = st.integers(0, whole)
    cuts = sorted(draw(st.lists(cut, max_size=REFUNDS_MAX)))
    return [b - a for a, b in zip([0, *cuts], [*cuts, whole], strict=True)]


@st.composite
def orders_in_parts(draw: st.DrawFn) -> tuple[Order, list[int]]:
    tenders = draw(any_orders)
    return tenders, draw_parts(draw, refundable_minor(tenders))


def row_of(refunds: Sequence[TenderRefund]) -> Row:
    return tuple((part.amount_minor, part.discount_minor) for part in refunds)


def plus(a: Row, b: Row) -> Row:
    return tuple((p + r, q + s) for (p, q), (r, s) in zip(a, b, strict=True))


def total(row: Row) -> int:
    return sum(paid + discount for paid, discount in row)


def taken(tenders: Order) -> Row:
    """What a whole refund must give back: everything but the coupons."""
    return tuple(
        (t.amount_minor, t.discount_minor) if t.kind in REFUNDABLE else (0, 0)
        for t in tenders
    )


def given_back(
    tenders: Order, policy: RefundPolicy, so_far: Sequence[TenderRefund], amount: int
) -> tuple[TenderRefund, ...]:
    parts = allocate(tenders, policy, so_far, amount)
    assert isinstance(parts, tuple)
    return parts


# The rule.


@given(tenders=small_orders, policy=policies)
@trying(examples=300)
def test_every_total_is_what_units_offered_one_by_one_come_to(
    tenders: Order, policy: RefundPolicy
) -> None:
    model = OfferedUnits(tenders, policy)
    for reached in range(refundable_minor(tenders)):
        assert model.row() == row_of(due_after(tenders, policy, reached))
        model.refund_one()
    assert taken(tenders) == model.row()


@given(case=orders_in_parts(), policy=policies, is_summed=st.booleans())
@trying(examples=400)
def test_any_parts_in_any_order_are_one_refund_of_their_sum(
    case: tuple[Order, list[int]], policy: RefundPolicy, is_summed: bool
) -> None:
    tenders, amounts = case
    so_far: tuple[TenderRefund, ...] = ()
    reached, back = 0, row_of(due_after(tenders, policy, 0))
    for amount in amounts:
        parts = given_back(tenders, policy, so_far, amount)
        reached, back = reached + amount, plus(back, row_of(parts))
        assert amount == total(row_of(parts))
        assert all(paid >= 0 and discount >= 0 for paid, discount in row_of(parts))
        assert back == row_of(given_back(tenders, policy, (), reached))
        so_far = due_after(tenders, policy, reached) if is_summed else so_far + parts
    assert taken(tenders) == back


@given(data=st.data(), tenders=any_orders, policy=policies)
@trying(examples=300)
def test_one_unit_more_goes_to_exactly_one_place(
    data: st.DataObject, tenders: Order, policy: RefundPolicy
) -> None:
    """So no total ever falls, whatever the parts are."""
    refundable = refundable_minor(tenders)
    assume(refundable)
    reached = data.draw(st.integers(0, refundable - 1))
    before = row_of(due_after(tenders, policy, reached))
    after = row_of(due_after(tenders, policy, reached + 1))
    steps = [
        new - old
        for after_one, before_one in zip(after, before, strict=True)
        for new, old in zip(after_one, before_one, strict=True)
    ]
    assert [1] == [step for step in steps if step]


@given(data=st.data(), tenders=any_orders, policy=policies)
@trying(examples=300)
def test_no_tender_gets_more_than_it_gave_and_a_coupon_nothing(
    data: st.DataObject, tenders: Order, policy: RefundPolicy
) -> None:
    reached = data.draw(st.integers(0, refundable_minor(tenders)))
    due = row_of(due_after(tenders, policy, reached))
    assert reached == total(due)
    for (paid, discount), (paid_most, discount_most) in zip(
        due, taken(tenders), strict=True
    ):
        assert 0 <= paid <= paid_most
        assert 0 <= discount <= discount_most


@given(data=st.data(), tenders=any_orders, policy=policies)
@trying(examples=300)
def test_each_discount_stays_by_its_rate(
    data: st.DataObject, tenders: Order, policy: RefundPolicy
) -> None:
    """Less than a unit below; less than one above in all but odd orders."""
    refundable = refundable_minor(tenders)
    assume(refundable)
    reached = data.draw(st.integers(0, refundable))
    given_by = {t.tender_id: t.discount_minor for t in tenders if t.discount_minor}
    above = [
        part.discount_minor - Fraction(given_by[part.tender_id] * reached, refundable)
        for part in due_after(tenders, policy, reached)
        if part.tender_id in given_by
    ]
    assert all(-1 < distance < Fraction(245, 100) for distance in above)
    if len(above) <= 2 or 10 * sum(given_by.values()) <= 7 * refundable:
        assert all(distance < 1 for distance in above)
    if len(above) == 1:
        assert above[0] <= 0


@given(data=st.data(), tenders=any_orders, policy=policies)
@trying(examples=300)
def test_paid_money_fills_one_tender_before_the_next_gets_any(
    data: st.DataObject, tenders: Order, policy: RefundPolicy
) -> None:
    reached = data.draw(st.integers(0, refundable_minor(tenders)))
    due = {p.tender_id: p.amount_minor for p in due_after(tenders, policy, reached)}
    is_open = False
    for kind in policy.order:
        for tender in tenders:
            if tender.kind is kind:
                assert not (is_open and due[tender.tender_id])
                is_open = is_open or due[tender.tender_id] < tender.amount_minor


# Refusals.


@given(data=st.data(), tenders=any_orders, policy=policies)
@trying(examples=200)
def test_a_refund_above_what_is_left_is_refused_with_the_difference(
    data: st.DataObject, tenders: Order, policy: RefundPolicy
) -> None:
    refundable = refundable_minor(tenders)
    reached = data.draw(st.integers(0, refundable))
    over = data.draw(st.integers(1, limits.AMOUNT_MINOR_MAX))
    so_far = due_after(tenders, policy, reached)
    refused = allocate(tenders, policy, so_far, refundable - reached + over)
    assert refused == AllocationRefused(
        AllocationRefusal.REFUND_EXCEEDS_REFUNDABLE, over
    )


@given(data=st.data(), tenders=any_orders, policy=policies)
@trying(examples=200)
def test_a_history_that_is_a_unit_off_anywhere_is_refused(
    data: st.DataObject, tenders: Order, policy: RefundPolicy
) -> None:
    """Also where the sum is right, and also where the unit is one too few."""
    due = list(due_after(tenders, policy, data.draw(reached_of(tenders))))
    moves = data.draw(st.lists(move_in(tenders), min_size=1, max_size=3))
    wrong = list(row_of(due))
    for at, paid, discount in moves:
        wrong[at] = (wrong[at][0] + paid, wrong[at][1] + discount)
    history = tuple(
        TenderRefund(part.tender_id, *row) for part, row in zip(due, wrong, strict=True)
    )
    reached = total(tuple(wrong))
    if 0 <= reached <= refundable_minor(tenders):
        assume(history != due_after(tenders, policy, reached))
    refused = allocate(tenders, policy, history, data.draw(st.integers(0, 10)))
    assert refused == AllocationRefused(AllocationRefusal.REFUNDED_OTHERWISE)


@given(data=st.data(), tenders=any_orders, first=policies, then=policies)
@trying(examples=200)
def test_a_changed_policy_is_refused_or_makes_no_difference_so_far(
    data: st.DataObject, tenders: Order, first: RefundPolicy, then: RefundPolicy
) -> None:
    reached = data.draw(reached_of(tenders))
    so_far = due_after(tenders, first, reached)
    answer = allocate(tenders, then, so_far, 0)
    if so_far == due_after(tenders, then, reached):
        assert 0 == total(row_of(given_back(tenders, then, so_far, 0)))
    else:
        assert answer == AllocationRefused(AllocationRefusal.REFUNDED_OTHERWISE)


def reached_of(tenders: Order) -> st.SearchStrategy[int]:
    return st.integers(0, refundable_minor(tenders))


def move_in(tenders: Order) -> st.SearchStrategy[tuple[int, int, int]]:
    unit = st.integers(-1, 1)
    return st.tuples(st.integers(0, len(tenders) - 1), unit, unit)


# Whether an order is right.


def amount_of(tenders: Order) -> int:
    return sum(t.amount_minor + t.discount_minor for t in tenders)


@given(data=st.data(), tenders=orders(most=10**10))
@trying(examples=200)
def test_an_order_is_right_only_by_its_exact_amount(
    data: st.DataObject, tenders: Order
) -> None:
    amount = amount_of(tenders)
    assume(amount)
    assert wrong_order_field(amount, tenders) is None
    off = data.draw(st.integers(-amount, 10**10).filter(bool))
    assert "amount_minor" == wrong_order_field(amount + off, tenders)


@given(data=st.data(), tenders=orders(most=10**10))
@trying(examples=200)
def test_an_id_used_twice_is_found_wherever_it_stands(
    data: st.DataObject, tenders: Order
) -> None:
    assume(amount_of(tenders) and len(tenders) < TENDERS_PER_ORDER_MAX)
    twin = data.draw(st.sampled_from(tenders))
    assert f"tenders[{len(tenders)}].tender_id" == wrong_order_field(
        amount_of(tenders), (*tenders, twin)
    )
