"""Mixed tender: what of a refund goes back to which tender, in tables.

`tests/property/test_tenders.py` tries random orders in random parts; these are
the cases to read.
"""

from itertools import permutations

import msgspec
import pytest

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
    wrong_policy_field,
)

COUPON, CARD = TenderKind.COUPON, TenderKind.CARD
EXTERNAL, CREDIT_LINE = TenderKind.EXTERNAL, TenderKind.CREDIT_LINE
POLICY = RefundPolicy()


def order(
    coupon: int = 0, discount: int = 0, card: int = 0, wallet: int = 0, line: int = 0
) -> tuple[Tender, ...]:
    return (
        Tender(COUPON, "coupon", coupon),
        Tender(CARD, "card", card, discount),
        Tender(EXTERNAL, "wallet", wallet),
        Tender(CREDIT_LINE, "line", line),
    )


KNOWN = order(coupon=100, discount=80, card=120, wallet=200)


def refund(
    tenders: tuple[Tender, ...],
    amount: int,
    so_far: tuple[TenderRefund, ...] = (),
    policy: RefundPolicy = POLICY,
) -> tuple[TenderRefund, ...]:
    parts = allocate(tenders, policy, so_far, amount)
    assert isinstance(parts, tuple)
    assert [t.tender_id for t in tenders] == [part.tender_id for part in parts]
    return parts


def back(parts: tuple[TenderRefund, ...]) -> tuple[int, int, int, int]:
    """A row of the tables: discount, wallet, card, credit line."""
    coupon, card, wallet, line = parts
    assert TenderRefund("coupon", 0, 0) == coupon
    assert 0 == wallet.discount_minor == line.discount_minor
    return (
        card.discount_minor,
        wallet.amount_minor,
        card.amount_minor,
        line.amount_minor,
    )


# The known good case and its neighbours.


def test_of_the_known_order_all_but_the_coupon_is_refundable() -> None:
    assert 400 == refundable_minor(KNOWN)


@pytest.mark.parametrize(
    ("amount", "discount", "wallet", "card"),
    [
        (0, 0, 0, 0),
        (1, 0, 1, 0),
        (4, 0, 4, 0),
        (5, 1, 4, 0),  # 20 %, rounded down.
        (100, 20, 80, 0),
        (249, 49, 200, 0),
        (250, 50, 200, 0),  # The wallet is full.
        (251, 50, 200, 1),
        (299, 59, 200, 40),
        (300, 60, 200, 40),  # The known good case.
        (301, 60, 200, 41),
        (399, 79, 200, 120),
        (400, 80, 200, 120),
    ],
)
def test_the_discount_goes_back_by_its_rate_then_the_wallet_then_the_card(
    amount: int, discount: int, wallet: int, card: int
) -> None:
    assert (discount, wallet, card, 0) == back(refund(KNOWN, amount))


@pytest.mark.parametrize(
    ("tenders", "expected"),  # Of a refund of 300: discount, wallet, card, line.
    [
        (order(coupon=100, discount=80, card=120, wallet=200), (60, 200, 40, 0)),
        # No coupon: 80 of 500 is 16 %.
        (order(discount=80, card=120, wallet=300), (48, 252, 0, 0)),
        # A larger coupon makes the same discount a larger part: 80 of 320.
        (order(coupon=180, discount=80, card=120, wallet=120), (75, 120, 105, 0)),
        # No discount, no card, no wallet.
        (order(coupon=100, card=200, wallet=200), (0, 200, 100, 0)),
        (order(coupon=100, wallet=400), (0, 300, 0, 0)),
        (order(coupon=100, discount=80, card=320), (60, 0, 240, 0)),
        # A card that gave a discount and paid nothing.
        (order(coupon=100, discount=80, wallet=320), (60, 240, 0, 0)),
        # The credit line comes last.
        (order(discount=80, card=120, wallet=100, line=100), (60, 100, 120, 20)),
        (order(coupon=100, discount=80, card=120, line=200), (60, 0, 120, 120)),
        (order(coupon=100, line=400), (0, 0, 0, 300)),
    ],
)
def test_what_is_missing_from_the_order_is_passed_over(
    tenders: tuple[Tender, ...], expected: tuple[int, int, int, int]
) -> None:
    assert expected == back(refund(tenders, 300))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((EXTERNAL, CARD, CREDIT_LINE), (40, 100, 60, 0)),
        ((EXTERNAL, CREDIT_LINE, CARD), (40, 100, 0, 60)),
        ((CARD, EXTERNAL, CREDIT_LINE), (40, 40, 120, 0)),
        ((CARD, CREDIT_LINE, EXTERNAL), (40, 0, 120, 40)),
        ((CREDIT_LINE, EXTERNAL, CARD), (40, 60, 0, 100)),
        ((CREDIT_LINE, CARD, EXTERNAL), (40, 0, 60, 100)),
    ],
)
def test_the_policy_orders_the_paid_money_and_never_the_discount(
    kinds: tuple[TenderKind, ...], expected: tuple[int, int, int, int]
) -> None:
    tenders = order(coupon=100, discount=80, card=120, wallet=100, line=100)
    assert expected == back(refund(tenders, 200, policy=RefundPolicy(kinds)))


# Several of a kind.


def test_each_card_has_its_own_rate_and_tenders_fill_in_their_place() -> None:
    """800 refundable: rates of 10 % and 5 %, two wallets, two cards."""
    tenders = (
        Tender(CARD, "small", 60, 40),
        Tender(EXTERNAL, "first", 200),
        Tender(CARD, "large", 120, 80),
        Tender(EXTERNAL, "second", 300),
    )
    table = {
        100: [("small", 0, 5), ("first", 85, 0), ("large", 0, 10), ("second", 0, 0)],
        400: [
            ("small", 0, 20),
            ("first", 200, 0),
            ("large", 0, 40),
            ("second", 140, 0),
        ],
        700: [
            *(("small", 60, 35), ("first", 200, 0)),
            *(("large", 35, 70), ("second", 300, 0)),
        ],
        800: [
            *(("small", 60, 40), ("first", 200, 0)),
            *(("large", 120, 80), ("second", 300, 0)),
        ],
    }
    assert table == {
        amount: [msgspec.structs.astuple(part) for part in refund(tenders, amount)]
        for amount in table
    }


def test_two_discounts_never_fall_due_at_the_same_unit() -> None:
    """Each rounded alone, 3 of 4 would be paid money, and only 2 were paid."""
    tenders = (
        Tender(CARD, "a", 0, 1),
        Tender(CARD, "b", 0, 1),
        Tender(EXTERNAL, "wallet", 2),
    )
    rows = [
        tuple(part.amount_minor + part.discount_minor for part in refund(tenders, r))
        for r in range(5)
    ]
    assert [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 2), (1, 1, 2)] == rows


def test_the_larger_discount_has_its_turn_first_wherever_it_stands() -> None:
    large, small = Tender(CARD, "large", 5, 7), Tender(CARD, "small", 5, 3)
    for r in range(21):
        one, other = refund((large, small), r), refund((small, large), r)
        assert one[0].discount_minor == 7 * r // 20 == other[1].discount_minor
        assert one[1].discount_minor == other[0].discount_minor


def test_three_cards_that_gave_everything_get_everything_back() -> None:
    tenders = tuple(Tender(CARD, name, 0, 10) for name in "abc")
    assert [10, 10, 10] == [part.discount_minor for part in refund(tenders, 30)]
    assert [3, 3, 4] == [part.discount_minor for part in refund(tenders, 10)]


# Nothing to give.


@pytest.mark.parametrize(
    "tenders",
    [(), order(), order(coupon=500), (Tender(COUPON, "a", 1), Tender(COUPON, "b", 2))],
    ids=["no tender", "all zero", "only a coupon", "only coupons"],
)
def test_what_has_nothing_refundable_gives_nothing(tenders: tuple[Tender, ...]) -> None:
    assert 0 == refundable_minor(tenders)
    nothing = tuple(TenderRefund(t.tender_id, 0, 0) for t in tenders)
    assert nothing == refund(tenders, 0)
    exceeds = AllocationRefused(AllocationRefusal.REFUND_EXCEEDS_REFUNDABLE, 1)
    assert exceeds == allocate(tenders, POLICY, (), 1)


# In parts.


def in_parts(
    tenders: tuple[Tender, ...], amounts: tuple[int, ...]
) -> list[tuple[TenderRefund, ...]]:
    """One refund after the other, each told all earlier entries."""
    given: list[tuple[TenderRefund, ...]] = []
    for amount in amounts:
        so_far = tuple(part for parts in given for part in parts)
        given.append(refund(tenders, amount, so_far))
    return given


def test_the_known_order_in_three_parts() -> None:
    parts = in_parts(KNOWN, (100, 200, 100))
    assert [(20, 80, 0, 0), (40, 120, 40, 0), (20, 0, 80, 0)] == list(map(back, parts))


@pytest.mark.parametrize("amounts", [(100, 120, 180), (1, 133, 266), (397, 2, 1)])
def test_three_parts_in_every_order_are_one_refund_of_the_sum(
    amounts: tuple[int, int, int],
) -> None:
    for shuffled in permutations(amounts):
        totals, reached = (0, 0, 0, 0), 0
        for amount, parts in zip(shuffled, in_parts(KNOWN, shuffled), strict=True):
            reached += amount
            a, b, c, d = back(parts)
            totals = (totals[0] + a, totals[1] + b, totals[2] + c, totals[3] + d)
            assert back(refund(KNOWN, reached)) == totals
        assert (80, 200, 120, 0) == totals


def test_one_of_two_units_bought_with_a_coupon_is_half_of_what_is_refundable() -> None:
    """Two units at 250; the coupon took 100 off both, so 200 was paid for each."""
    first, second = in_parts(KNOWN, (200, 200))
    assert (40, 160, 0, 0) == back(first)
    assert (40, 40, 120, 0) == back(second)


def test_two_units_at_the_price_before_the_coupon_are_too_much() -> None:
    first = refund(KNOWN, 250)
    assert (50, 200, 0, 0) == back(first)
    assert AllocationRefused(
        AllocationRefusal.REFUND_EXCEEDS_REFUNDABLE, 100
    ) == allocate(KNOWN, POLICY, first, 250)


def test_an_odd_cent_is_neither_lost_nor_made() -> None:
    tenders = order(coupon=26, discount=33, card=67, wallet=50, line=1)
    assert 151 == refundable_minor(tenders)
    first, second = in_parts(tenders, (75, 76))
    assert (16, 50, 9, 0) == back(first)  # 33 * 75 / 151 = 16.39
    assert (17, 0, 58, 1) == back(second)


# What went back before.


def test_earlier_entries_and_their_totals_are_the_same_history() -> None:
    first, second = in_parts(KNOWN, (150, 51))
    assert refund(KNOWN, 99, first + second) == refund(
        KNOWN, 99, due_after(KNOWN, POLICY, 201)
    )


def test_a_tender_that_got_nothing_need_not_be_named() -> None:
    named = refund(KNOWN, 100)
    short = tuple(part for part in named if part.amount_minor or part.discount_minor)
    assert len(short) < len(named)
    assert refund(KNOWN, 300, named) == refund(KNOWN, 300, short[::-1])


@pytest.mark.parametrize(
    "history",
    [
        (TenderRefund("coupon", 5, 0),),
        (TenderRefund("wallet", 5, 0),),  # One of it was discount.
        (TenderRefund("card", 4, 1),),  # The wallet came first.
        (TenderRefund("nobody", 4, 0), TenderRefund("card", 0, 1)),
        (TenderRefund("wallet", -4, 0), TenderRefund("card", 0, -1)),
        (TenderRefund("wallet", 201, 0), TenderRefund("card", 120, 80)),
    ],
)
def test_money_that_went_back_by_another_rule_is_refused(
    history: tuple[TenderRefund, ...],
) -> None:
    assert AllocationRefused(AllocationRefusal.REFUNDED_OTHERWISE) == allocate(
        KNOWN, POLICY, history, 1
    )


def test_the_discount_of_one_card_is_not_that_of_another() -> None:
    tenders = (Tender(CARD, "a", 50, 10), Tender(CARD, "b", 30, 10))
    right = refund(tenders, 50)
    assert (TenderRefund("a", 40, 5), TenderRefund("b", 0, 5)) == right
    swapped = (TenderRefund("a", 40, 6), TenderRefund("b", 0, 4))
    assert AllocationRefused(AllocationRefusal.REFUNDED_OTHERWISE) == allocate(
        tenders, POLICY, swapped, 1
    )


def test_an_order_keeps_the_policy_it_was_refunded_under() -> None:
    other = RefundPolicy((CARD, EXTERNAL, CREDIT_LINE))
    assert AllocationRefused(AllocationRefusal.REFUNDED_OTHERWISE) == allocate(
        KNOWN, other, refund(KNOWN, 100), 1_000
    )


def test_a_refund_above_the_rest_says_how_much_is_missing() -> None:
    for so_far in (0, 1, 399, 400):
        history = refund(KNOWN, so_far)
        for over in (1, 7, 10**12):
            assert AllocationRefused(
                AllocationRefusal.REFUND_EXCEEDS_REFUNDABLE, over
            ) == allocate(KNOWN, POLICY, history, 400 - so_far + over)


# Whether an order is right.


def test_an_order_has_at_most_eight_tenders() -> None:
    assert 8 == TENDERS_PER_ORDER_MAX == len(FULL)
    assert wrong_order_field(8, FULL) is None
    assert "tenders" == wrong_order_field(9, (*FULL, Tender(EXTERNAL, "w8", 1)))


LARGEST = limits.AMOUNT_MINOR_MAX
LONGEST = "x" * limits.ID_LENGTH_MAX
FULL = tuple(Tender(EXTERNAL, f"w{i}", 1) for i in range(TENDERS_PER_ORDER_MAX))


@pytest.mark.parametrize(
    ("amount", "tenders", "wrong"),
    [
        (500, KNOWN, None),
        (499, KNOWN, "amount_minor"),
        (501, KNOWN, "amount_minor"),
        (420, KNOWN, "amount_minor"),  # The discount is part of the order.
        (0, order(), "amount_minor"),
        (-1, (), "amount_minor"),
        (LARGEST, (Tender(EXTERNAL, LONGEST, LARGEST),), None),
        (LARGEST + 1, (Tender(EXTERNAL, "w", LARGEST + 1),), "amount_minor"),
        (1, (Tender(EXTERNAL, "w", LARGEST + 1),), "tenders[0].amount_minor"),
        (1, (Tender(EXTERNAL, "w", -1),), "tenders[0].amount_minor"),
        (1, (Tender(EXTERNAL, "v", 2), Tender(CARD, "w", 0, -1)), "d"),
        (1, (Tender(EXTERNAL, "v", 1), Tender(CARD, "w", 0, LARGEST + 1)), "d"),
        (2, (Tender(EXTERNAL, "v", 1), Tender(EXTERNAL, "w", 0, 1)), "d"),
        (2, (Tender(EXTERNAL, "v", 1), Tender(COUPON, "w", 0, 1)), "d"),
        (2, (Tender(EXTERNAL, "v", 1), Tender(CREDIT_LINE, "w", 0, 1)), "d"),
        (2, (Tender(EXTERNAL, "v", 1), Tender(CARD, "w", 0, 1)), None),
        (2, (Tender(EXTERNAL, "w", 1), Tender(CARD, "w", 1)), "tenders[1].tender_id"),
        (1, (Tender(EXTERNAL, "", 1),), "tenders[0].tender_id"),
        (1, (Tender(EXTERNAL, LONGEST + "x", 1),), "tenders[0].tender_id"),
        (1, (), "tenders"),
        (TENDERS_PER_ORDER_MAX, FULL, None),
        (TENDERS_PER_ORDER_MAX, (*FULL, Tender(COUPON, "c", 0)), "tenders"),
    ],
)
def test_a_wrong_order_names_its_first_wrong_field(
    amount: int, tenders: tuple[Tender, ...], wrong: str | None
) -> None:
    expected = "tenders[1].discount_minor" if wrong == "d" else wrong
    assert expected == wrong_order_field(amount, tenders)


@pytest.mark.parametrize(
    ("kinds", "wrong"),
    [
        *((kinds, None) for kinds in permutations(POLICY.order)),
        ((), "order"),
        ((EXTERNAL, CARD), "order"),
        ((EXTERNAL, CARD, CARD), "order"),
        ((EXTERNAL, CARD, CREDIT_LINE, CARD), "order"),
        ((EXTERNAL, CARD, CREDIT_LINE, COUPON), "order"),
    ],
)
def test_a_policy_names_every_refundable_kind_once(
    kinds: tuple[TenderKind, ...], wrong: str | None
) -> None:
    assert wrong == wrong_policy_field(RefundPolicy(kinds))


# On the wire and in journals.


def test_an_order_survives_the_journal() -> None:
    for value in (KNOWN[1], POLICY, TenderRefund("card", 40, 60)):
        for encode, decode in (
            (msgspec.json.encode, msgspec.json.decode),
            (msgspec.msgpack.encode, msgspec.msgpack.decode),
        ):
            assert value == decode(encode(value), type=type(value))
    assert b'["card","card",120,80]' == msgspec.json.encode(KNOWN[1])
