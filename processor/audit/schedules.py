"""How a capture becomes lines: the plan's cut, on the right days.

Also what is not billed yet and cut anew: nothing of it may be lost.
"""

from collections.abc import Sequence

from processor import events as e
from processor.audit.books import Account, Books, Purchase
from processor.audit.days import monthly, next_on, text_of
from processor.audit.lines import PRINCIPAL, Line, line_of
from processor.audit.plans import cut_of


def owe_lines(
    books: Books,
    account: Account,
    purchase: Purchase,
    event: e.Authorized | e.Captured | e.ForceCaptured,
) -> None:
    """A capture is owed for, by its plan or with the next statement."""
    first_on = next_on(books.today, account.statement_day)
    if event.bills_on != first_on:
        books.differ(
            f"it is billed on {text_of(event.bills_on)}, the statement day is "
            f"{text_of(first_on)}."
        )
    plan = books.program_of(purchase).plans.get(purchase.plan_id)
    if plan is None:
        if event.lines or event.borne_minor:
            books.differ("it is cut into lines without a plan.")
        _one_line(account, purchase, event.amount_minor, event.bills_on)
    else:
        cut = cut_of(plan, event.amount_minor)
        bills_on = monthly(first_on, plan.periods)
        own = expected_lines(account, bills_on, cut.principals, cut.fees)
        check_lines(books, f"plan {purchase.plan_id}", event.lines, own)
        if event.borne_minor != cut.borne_minor:
            books.differ(
                f"the merchant bears {event.borne_minor}, by the plan it is "
                f"{cut.borne_minor}."
            )
        purchase.is_single = False
        purchase.lines += [line_of(line) for line in event.lines]
    if sum(line.principal_minor for line in event.lines) != event.amount_minor and (
        event.lines
    ):
        books.differ(f"its lines do not sum to the {event.amount_minor} captured.")
    _bear(books, purchase, event)
    account.owe(purchase.authorization_id, purchase.made_by)
    books.bill_from_now(account)


def _bear(
    books: Books,
    purchase: Purchase,
    event: e.Authorized | e.Captured | e.ForceCaptured,
) -> None:
    """What the merchant bears the lenders earn at once, by their shares."""
    parts, program = event.borne_parts, books.program_of(purchase)
    if not event.borne_minor:
        return
    books.count_split(program, program.charged, event.borne_minor, parts, "charges ")
    purchase.borne_minor += event.borne_minor
    purchase.borne_parts = purchase.borne_parts or [0] * len(parts)
    purchase.borne_back_parts = purchase.borne_back_parts or [0] * len(parts)
    for i, lender_id in enumerate(purchase.lenders):
        purchase.borne_parts[i] += parts[i]
        books.lender_totals(lender_id).charges_minor += parts[i]


def _one_line(
    account: Account, purchase: Purchase, amount_minor: int, bills_on: int
) -> None:
    """Repaid with one statement; two captures for the same one are one line."""
    if purchase.is_single and purchase.lines:
        if purchase.lines[0].bills_on == bills_on:
            purchase.lines[0].charged[PRINCIPAL] += amount_minor
            return
        purchase.is_single = False
    due_on = next_on(bills_on + 1, account.due_day)
    purchase.lines.append(
        Line(bills_on, due_on, [0, 0, 0, amount_minor], [0] * 4, [0] * 4)
    )


def expected_lines(
    account: Account,
    bills_on: Sequence[int],
    principals: Sequence[int],
    fees: Sequence[int],
) -> list[e.CutLine]:
    """Lines with their due days: the first due day after each bill."""
    return [
        e.CutLine(on, next_on(on + 1, account.due_day), principal, fee)
        for on, principal, fee in zip(bills_on, principals, fees, strict=True)
    ]


def check_lines(
    books: Books, what: str, said: Sequence[e.CutLine], own: Sequence[e.CutLine]
) -> None:
    """Line by line; the first that differs is named."""
    if len(said) != len(own):
        books.differ(f"{what} makes {len(own)} lines, not {len(said)}.")
        return
    for number, (line, right) in enumerate(zip(said, own, strict=True), 1):
        if line != right:
            books.differ(
                f"line {number} is {_in_words(line)}; by {what} it is "
                f"{_in_words(right)}."
            )
            return


def _in_words(line: e.CutLine) -> str:
    return (
        f"{line.principal_minor} and fee {line.fee_minor} and interest "
        f"{line.interest_minor}, billed {text_of(line.bills_on)}, due "
        f"{text_of(line.due_on)}"
    )
