"""A cancellation gives back what was bought most recently, never more."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.retail.bookkeeping import AccountBook, ItemAmount, WantedRefund


def book_of(*purchases: list[tuple[str, int]]) -> AccountBook:
    book = AccountBook()
    for number, items in enumerate(purchases):
        book.book_purchase(
            f"inv{number}", f"au_{number}", [ItemAmount(*item) for item in items]
        )
    return book


def take_back(
    book: AccountBook, *lines: tuple[str, int]
) -> tuple[dict[str, int], set[int]]:
    refunds, unmatched = book.take_back([ItemAmount(*line) for line in lines])
    amounts = {r.purchase.authorization_id: r.amount_minor for r in refunds}
    assert len(amounts) == len(refunds)  # One refund a purchase.
    return amounts, unmatched


def test_the_most_recent_purchase_with_the_item_is_given_back_first() -> None:
    book = book_of([("A", 500)], [("A", 300)], [("B", 900)])
    assert ({"au_1": 200}, set()) == take_back(book, ("A", 200))


def test_what_the_most_recent_lacks_comes_from_the_one_before() -> None:
    book = book_of([("A", 500)], [("A", 300)])
    assert ({"au_1": 300, "au_0": 100}, set()) == take_back(book, ("A", 400))


def test_a_line_with_a_remainder_is_unmatched() -> None:
    book = book_of([("A", 500)])
    assert ({"au_0": 500}, {0}) == take_back(book, ("A", 501))
    assert ({}, {0}) == take_back(book, ("A", 1))


def test_an_item_never_takes_the_money_of_another() -> None:
    book = book_of([("A", 500), ("B", 100)])
    assert ({"au_0": 100}, {0}) == take_back(book, ("B", 400))


def test_lines_over_one_purchase_are_one_refund() -> None:
    book = book_of([("A", 500), ("B", 100)])
    lines = (("A", 100), ("B", 100), ("A", 150), ("C", 1))
    assert ({"au_0": 350}, {3}) == take_back(book, *lines)


def test_an_item_on_several_lines_of_an_invoice_is_one_item() -> None:
    book = book_of([("A", 500), ("A", 300)])
    assert ({"au_0": 800}, set()) == take_back(book, ("A", 800))


def test_a_declined_refund_gives_back_what_it_took() -> None:
    book = book_of([("A", 500)])
    (refund,), _ = book.take_back([ItemAmount("B", 5), ItemAmount("A", 400)])
    assert {1} == refund.lines
    book.put_back(refund)
    assert ({"au_0": 500}, set()) == take_back(book, ("A", 500))


def test_what_is_owed_is_bought_less_given_back_less_repaid() -> None:
    book = book_of([("A", 500)], [("B", 70)])
    (refund,), _ = book.take_back([ItemAmount("A", 100)])
    assert 570 == book.owed_minor
    book.book_refund(refund)
    book.book_repayment(450)
    assert 20 == book.owed_minor


ITEMS = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(min_value=1, max_value=50)),
    min_size=1,
    max_size=4,
)


@given(bought=st.lists(ITEMS, max_size=5), returned=st.lists(ITEMS, max_size=8))
def test_nothing_is_given_back_twice(
    bought: list[list[tuple[str, int]]], returned: list[list[tuple[str, int]]]
) -> None:
    book = book_of(*bought)
    asked: list[WantedRefund] = []
    missing: dict[str, bool] = {}
    for lines in returned:
        refunds, unmatched = book.take_back([ItemAmount(*line) for line in lines])
        asked.extend(refunds)
        missing |= {lines[number][0]: True for number in unmatched}
    for number, items in enumerate(bought):
        for code in "ABC":
            had = sum(amount for item, amount in items if item == code)
            left = book.purchases[number].left_minor.get(code, 0)
            gone = sum(
                item.amount_minor
                for refund in asked
                if refund.purchase.authorization_id == f"au_{number}"
                for item in refund.items
                if item.stock_code == code
            )
            assert had == left + gone
            assert left >= 0
            # A line stays unmatched only when nothing of its item is left.
            assert left == 0 or code not in missing
