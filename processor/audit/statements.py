"""What ended days bring to an account in debt, worked out once more.

A business day has ended when the next has begun.  Then, in this order and until
nothing is left: credit pays what is billed; with the minimum paid, what is late
of the last statement falls due with the next one; late lines cost a penalty, up
to the last ended day or the statement that comes first; the statement is issued.

The audit asks at every such record whether it is what comes next; `ended_days`
asks whether none is missing.
"""

from processor import events as e
from processor import limits
from processor.audit.books import Account, Books, Purchase
from processor.audit.days import next_on, text_of
from processor.audit.lines import FEE, INTEREST, PENALTY, Line
from processor.audit.overdrawn import not_billed
from processor.audit.paying import (
    are_lines,
    check_order,
    in_order,
    is_billed,
    is_line,
    owed_of,
    pay,
)
from processor.audit.plans import nearest
from processor.audit.purchases import Touched
from processor.terms import Terms

Sum = dict[tuple[str, int], int]  # By purchase and number of a line.


def interest_of(books: Books, purchase: Purchase, bills_on: int) -> int:
    """A period's interest: on what is unpaid of its lines and of those after."""
    plan = books.program_of(purchase).plans.get(purchase.plan_id)
    if plan is None or not plan.bears_interest:
        return 0
    later = [line for line in purchase.lines if line.bills_on >= bills_on]
    return nearest(sum(line.principal_minor for line in later) * plan.rate)


def bearing(purchase: Purchase, bills_on: int) -> int:
    """The index of the line that a period's interest is charged on.

    Of several that are billed together, the first on which principal is unpaid.
    """
    together = [i for i, x in enumerate(purchase.lines) if x.bills_on == bills_on]
    return min(together, key=lambda i: (not purchase.lines[i].principal_minor, i))


# What comes next.


def _terms(books: Books, account: Account) -> Terms:
    return books.current_programs[account.program_id].terms


def _lines(books: Books, account: Account) -> list[tuple[str, int, Purchase, Line]]:
    return [
        (name, number, books.purchases[name], line)
        for name in account.owing
        for number, line in enumerate(books.purchases[name].lines, 1)
    ]


def credit_to_use(books: Books, account: Account, through: int = 0) -> int:
    """What of the borrower's credit pays what is billed, or is by such a day."""
    billed = sum(
        line.principal_minor + line.charges_minor
        for _, _, _, line in _lines(books, account)
        if is_billed(books, account, line) or line.bills_on <= through
    )
    return max(0, min(account.credit_minor, billed))


def _late(books: Books, account: Account) -> list[tuple[str, int, Terms, Line]]:
    """Lines with principal unpaid after their due day and the days of grace."""
    through_on = _through(books, account)
    return [
        (name, number, books.program_of(purchase).terms, line)
        for name, number, purchase, line in _lines(books, account)
        if line.principal_minor > 0
        and line.due_on + books.program_of(purchase).terms.grace_days <= through_on
    ]


def _through(books: Books, account: Account) -> int:
    return min(books.today - 1, account.next_statement_on)


def lines_to_move(books: Books, account: Account) -> Sum:
    """Lines of the last statement after their due day, if the minimum was paid."""
    everything = _terms(books, account).minimum_due_ppm == limits.PPM
    if account.minimum_left_minor > 0 or everything or not account.last_due_on:
        return {}
    return {
        (name, number): line.principal_minor
        for name, number, _, line in _lines(books, account)
        if line.principal_minor > 0
        and line.due_on == account.last_due_on <= _through(books, account)
    }


def penalties(books: Books, account: Account) -> Sum:
    """Each late line's penalty, day by day since it was last charged."""
    through_on = _through(books, account)
    found: Sum = {}
    for name, number, terms, line in _late(books, account):
        a_day = line.principal_minor * terms.penalty_ppm_per_day // limits.PPM
        after = max(line.due_on + terms.grace_days, line.penalty_through_on)
        days = through_on - after
        if days > 0 and a_day:
            found[name, number] = days * a_day
    return found


def statement(books: Books, account: Account) -> e.StatementIssued:
    """The statement of the account's next statement day, as things stand."""
    on = account.next_statement_on
    new, past_due, carried, carried_principal = [], 0, 0, 0
    for name, number, purchase, line in _lines(books, account):
        if line.bills_on < on < line.due_on:
            carried += line.principal_minor + line.charges_minor
            carried_principal += line.principal_minor
        elif line.bills_on < on:
            past_due += line.principal_minor + line.charges_minor
        if line.bills_on != on:
            continue
        interest = line.left(INTEREST)
        if number == bearing(purchase, on) + 1:
            interest += interest_of(books, purchase, on)
        new.append(
            e.BilledLine(name, number, line.principal_minor, interest, line.left(FEE))
        )
    principal = sum(line.principal_minor for line in new)
    charges = sum(line.interest_minor + line.fee_minor for line in new)
    part = (principal + carried_principal) * _terms(books, account).minimum_due_ppm
    overdrawn = not_billed(account)
    past_due += sum(account.overdrawn.values())
    minimum = past_due + charges + carried - carried_principal + overdrawn
    minimum += (part + limits.PPM - 1) // limits.PPM
    credit = max(0, account.credit_minor)
    return e.StatementIssued(
        account.account_id,
        on,
        next_on(on + 1, account.due_day),
        tuple(new),
        past_due,
        max(0, past_due + carried + principal + charges + overdrawn - credit),
        max(0, minimum - credit),
        credit,
        account.outstanding_minor,
        carried,
        overdrawn,
    )


def next_of_itself(books: Books, account: Account) -> tuple[str, type[e.Event] | None]:
    """What ended days bring next, in words, and the event it is."""
    if not account.next_statement_on or account.written_off_minor:
        return "nothing", None
    credit = credit_to_use(books, account)
    if credit:
        return f"{credit} of the credit to be used", e.CreditUsed
    if lines_to_move(books, account):
        return "what is late to fall due later", e.DueMoved
    charged = sum(penalties(books, account).values())
    if charged:
        through = text_of(_through(books, account))
        return f"a penalty of {charged} through {through}", e.PenaltyCharged
    if account.next_statement_on < books.today:
        on = text_of(account.next_statement_on)
        return f"the statement of {on}", e.StatementIssued
    return "nothing", None


# The records.


def _comes_next(books: Books, account_id: str, event: e.Event) -> Account | None:
    account = books.accounts.get(account_id)
    if account is None:
        books.differ(f"account {account_id} does not exist.")
        return None
    what, kind = next_of_itself(books, account)
    if kind is not type(event):
        books.differ(f"{type(event).__name__} comes where {what} is next.")
    return account


def credit_used(books: Books, event: e.CreditUsed) -> Touched:
    account = _comes_next(books, event.account_id, event)
    if account is None or not are_lines(books, account, event.allocations):
        return None
    own = credit_to_use(books, account)
    if event.amount_minor != own:
        books.differ(f"{event.amount_minor} of the credit is used, it is {own}.")
    billed = [
        owed for owed in owed_of(books, account) if is_billed(books, account, owed.line)
    ]
    program = books.current_programs[account.program_id]
    check_order(books, event.allocations, in_order(program, billed, own))
    pay(books, account, event.allocations)
    account.credit_minor -= event.amount_minor
    return ()


def _sums(
    books: Books, account: Account, charges: tuple[e.LineCharge, ...]
) -> Sum | None:
    """Amounts by line; None if a line is none of the account."""
    found: Sum = {}
    for charge in charges:
        name = charge.authorization_id
        purchase = books.purchases.get(name)
        if purchase is None or purchase.account_id != account.account_id:
            books.differ(f"it charges {name}, none of this account.")
            return None
        if not is_line(books, name, purchase, charge.line):
            return None
        if (name, charge.line) in found:
            books.differ(f"line {charge.line} of {name} is in it twice.")
        found[name, charge.line] = charge.amount_minor
    return found


def due_moved(books: Books, event: e.DueMoved) -> Touched:
    account = _comes_next(books, event.account_id, event)
    said = None if account is None else _sums(books, account, event.lines)
    if account is None or said is None:
        return None
    if account.minimum_left_minor > 0:
        books.differ(f"{account.minimum_left_minor} of the minimum is not paid.")
    own = lines_to_move(books, account)
    if said != own:
        books.differ(f"{said} falls due later, it is {own}.")
    due_on = next_on(account.next_statement_on + 1, account.due_day)
    if event.due_on != due_on:
        books.differ(f"it falls due {text_of(event.due_on)}, not {text_of(due_on)}.")
    for name, number in said:
        books.purchases[name].lines[max(0, number - 1)].due_on = event.due_on
        books.purchases[name].is_single = False
    return ()


def penalty_charged(books: Books, event: e.PenaltyCharged) -> Touched:
    account = _comes_next(books, event.account_id, event)
    said = None if account is None else _sums(books, account, event.charges)
    if account is None or said is None:
        return None
    through_on = _through(books, account)
    if event.through_on != through_on:
        books.differ(
            f"it is through {text_of(event.through_on)}, not {text_of(through_on)}."
        )
    own = penalties(books, account)
    if said != own:
        books.differ(f"the penalties are {said}, by the days late {own}.")
    for (name, number), amount in said.items():
        line = books.purchases[name].lines[max(0, number - 1)]
        line.charged[PENALTY] += amount
        line.penalty_through_on = event.through_on
        account.charges_minor += amount
        books.purchases[name].is_single = False
    return ()


def statement_issued(books: Books, event: e.StatementIssued) -> Touched:
    account = _comes_next(books, event.account_id, event)
    if account is None:
        return None
    own = statement(books, account)
    for name in event.__struct_fields__:
        said, right = getattr(event, name), getattr(own, name)
        if name == "lines":
            _check_billed(books, said, right)
        elif said != right:
            words = [text_of(x) if name.endswith("_on") else x for x in (said, right)]
            books.differ(f"the statement has {name} {words[0]}, it is {words[1]}.")
    for billed in event.lines:
        purchase = books.purchases.get(billed.authorization_id)
        if purchase is None or purchase.account_id != event.account_id:
            books.differ(f"it bills {billed.authorization_id}, none of this account.")
            return None
        if not is_line(books, billed.authorization_id, purchase, billed.line):
            return None
        line = purchase.lines[max(0, billed.line - 1)]
        line.charged[INTEREST] += billed.interest_minor - line.left(INTEREST)
        account.charges_minor += billed.interest_minor + billed.fee_minor
    if event.overdrawn_minor:
        account.overdrawn[event.due_on] = event.overdrawn_minor
    # Credit that is left over pays nothing of this one.
    used = credit_to_use(books, account, through=event.statement_on)
    account.minimum_left_minor = event.minimum_due_minor + used
    account.last_due_on = event.due_on
    # The last one, if nothing is owed any more.
    following = next_on(account.next_statement_on + 1, account.statement_day)
    is_owing = account.owing or account.credit_minor < 0
    account.next_statement_on = following if is_owing else 0
    return ()


def _check_billed(
    books: Books, said: tuple[e.BilledLine, ...], own: tuple[e.BilledLine, ...]
) -> None:
    for line in said:
        if said.count(line) > 1:
            books.differ(f"it bills line {line.line} of {line.authorization_id} twice.")
            return
    if set(said) == set(own):
        return
    extra = [_billed_in_words(line) for line in said if line not in own]
    missing = [_billed_in_words(line) for line in own if line not in said]
    books.differ(
        f"it bills {'; '.join(extra) or 'nothing more'}, it is "
        f"{'; '.join(missing) or 'not'}."
    )


def _billed_in_words(line: e.BilledLine) -> str:
    return (
        f"line {line.line} of {line.authorization_id}: {line.principal_minor}, "
        f"interest {line.interest_minor}, fee {line.fee_minor}"
    )
