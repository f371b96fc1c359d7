"""What changes of plans do, as the audit reckons it: early, longer, forgiven.

A recut replaces what is not billed of a purchase by other lines.  It may lose
nothing: the principal is the same, and the fees are, but for the program's own.
"""

import msgspec

from processor import commands as c
from processor import events as e
from processor import limits
from processor.audit.books import Account, Books, Purchase
from processor.audit.days import monthly, next_on
from processor.audit.lines import COMPONENTS, FEE, PRINCIPAL, Line, Moved, line_of
from processor.audit.money import note_payment
from processor.audit.overdrawn import owed_minor
from processor.audit.paying import (
    Taken,
    account_of,
    are_lines,
    check_order,
    is_billed,
    is_line,
    not_closed,
    owed_of,
    pay,
)
from processor.audit.plans import cut_of, evenly
from processor.audit.purchases import Touched
from processor.audit.schedules import check_lines, expected_lines
from processor.audit.statements import bearing, interest_of


def _unbilled(books: Books, account: Account, purchase: Purchase) -> list[Line]:
    return [x for x in purchase.lines if not is_billed(books, account, x)]


def settled_early(books: Books, event: e.SettledEarly) -> Touched:
    account = account_of(books, event.account_id)
    if account is None:
        return None
    not_closed(books, account)
    books.check_made_id(event.repayment_id)
    only = ""
    if isinstance(books.command, c.SettleEarly):
        only = books.command.authorization_id
    said = {recut.authorization_id: recut for recut in event.recuts}
    own = _early_cuts(books, account, only)
    moved = {}
    if len(said) != len(event.recuts) or said.keys() != own.keys():
        books.differ(f"it cuts {sorted(said)} anew, to settle is {sorted(own)}.")
    for name, recut in said.items():
        purchase = books.purchases.get(name)
        if purchase is None or purchase.account_id != event.account_id:
            books.differ(f"it pays {name}, none of this account.")
            return None
        if name in own:
            check_lines(books, "early settlement", recut.lines, [own[name]])
        moved[name] = _cut_anew(books, account, purchase, recut)
    if not are_lines(books, account, event.allocations):
        return None
    _check_all_paid(books, account, event, only)
    pay(books, account, event.allocations)
    note_payment(books, account, event)
    books.payments[event.repayment_id].moved = moved
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()


def _early_cuts(books: Books, account: Account, only: str) -> dict[str, e.CutLine]:
    """What is not billed of each purchase, as one line that is due today."""
    cuts = {}
    for name in account.owing:
        purchase = books.purchases[name]
        unbilled = _unbilled(books, account, purchase)
        principal = sum(line.principal_minor for line in unbilled)
        fee = sum(line.left(FEE) for line in unbilled)
        if (only and name != only) or not (principal or fee):
            continue
        interest = interest_of(books, purchase, min(line.bills_on for line in unbilled))
        if purchase.plan_id:  # Who has no plan leaves none early.
            ppm = books.program_of(purchase).terms.early_settlement_fee_ppm
            fee += principal * ppm // limits.PPM
        before = books.billed_before(account.account_id)
        cuts[name] = e.CutLine(before - 1, books.today, principal, fee, interest)
    return cuts


def _check_all_paid(
    books: Books, account: Account, event: e.SettledEarly, only: str
) -> None:
    """Everything that is billed now is paid, and nothing else."""
    own: Taken = {}
    for owed in owed_of(books, account, only):
        if is_billed(books, account, owed.line):
            own[owed.key] = owed.left
    check_order(books, event.allocations, own)
    overdrawn = 0 if only else owed_minor(account)
    if event.credit_minor != overdrawn:
        books.differ(f"it fills {event.credit_minor} of {overdrawn} overdrawn.")
    quote = overdrawn + sum(sum(minor) for minor in own.values())
    if event.amount_minor != quote:
        books.differ(f"{event.amount_minor} settles what comes to {quote}.")
    fee = sum(line.fee_minor for recut in event.recuts for line in recut.lines)
    if event.fee_minor != fee:
        books.differ(f"it says a fee of {event.fee_minor}, its lines have {fee}.")


def _cut_anew(
    books: Books, account: Account, purchase: Purchase, recut: e.Recut
) -> Moved:
    """Replace what is not billed; no principal comes or goes."""
    principal = 0
    unbilled = _unbilled(books, account, purchase)
    running = 0
    if unbilled:
        running = bearing(purchase, min(line.bills_on for line in unbilled))
    moved = Moved(len(purchase.lines), {}, {}, running)
    for index, line in enumerate(purchase.lines):
        if is_billed(books, account, line):
            continue
        moved.principal[index] = line.principal_minor
        moved.fee[index] = line.left(FEE)
        principal += line.principal_minor
        line.charged[PRINCIPAL] -= line.principal_minor
        line.charged[FEE] -= line.left(FEE)
    new = [line_of(cut) for cut in recut.lines]
    after = sum(line.principal_minor for line in new)
    if after != principal:
        books.differ(f"a principal of {principal} is cut anew as {after}.")
    purchase.is_single, purchase.is_recut = False, True
    purchase.lines += new
    for line in new:
        if is_billed(books, account, line):
            account.charges_minor += line.charges_minor
            # No statement asks for it.
            account.minimum_left_minor += line.principal_minor + line.charges_minor
    return moved


def plan_extended(books: Books, event: e.PlanExtended) -> Touched:
    purchase = books.purchases.get(event.authorization_id)
    account = account_of(books, event.account_id)
    if (
        account is None
        or purchase is None
        or (
            purchase.account_id != event.account_id
            or event.recut.authorization_id != event.authorization_id
        )
    ):
        books.differ(f"it extends {event.authorization_id}, none of this account.")
        return None
    if purchase.plan_id not in books.program_of(purchase).plans:
        books.differ(f"it extends {event.authorization_id}, which has no plan.")
    unbilled = _unbilled(books, account, purchase)
    principal = sum(line.principal_minor for line in unbilled)
    fee = principal * books.program_of(purchase).terms.extension_fee_ppm // limits.PPM
    if event.fee_minor != fee:
        books.differ(f"extending {principal} costs {event.fee_minor}, it is {fee}.")
    periods = len(event.recut.lines)
    if isinstance(books.command, c.ExtendPlan):
        periods = books.command.periods
    if periods < 1:
        books.differ("it extends over no period.")
        return None
    first_on = next_on(books.today, account.statement_day)
    fees = [0] * periods
    fees[0] = fee + sum(line.left(FEE) for line in unbilled)
    plan = books.program_of(purchase).plans.get(purchase.plan_id)
    parts = evenly(principal, periods)
    if plan is not None:
        own_plan = msgspec.structs.replace(plan, periods=periods)
        parts = cut_of(own_plan, principal).principals
    bills_on = monthly(first_on, periods)
    own = expected_lines(account, bills_on, parts, fees)
    check_lines(books, "the extension", event.recut.lines, own)
    _cut_anew(books, account, purchase, event.recut)
    return ()


def charges_waived(books: Books, event: e.ChargesWaived) -> Touched:
    account = account_of(books, event.account_id)
    if account is None:
        return None
    index = [component.value for component in COMPONENTS].index(event.charge.value)
    only = getattr(books.command, "authorization_id", "")
    left, own = event.amount_minor, {}
    for owed in owed_of(books, account, only):
        waived = min(left, owed.left[index])
        if waived > 0:
            own[owed.key] = waived
            left -= waived
    said: dict[tuple[str, int], int] = {}
    for charge in event.charges:
        purchase = books.purchases.get(charge.authorization_id)
        if purchase is None or purchase.account_id != event.account_id:
            books.differ(f"it waives {charge.authorization_id}, none of this account.")
            return None
        if not is_line(books, charge.authorization_id, purchase, charge.line):
            return None
        said[charge.authorization_id, max(0, charge.line - 1)] = charge.amount_minor
    if left or said != own:
        books.differ(f"it waives {event.charge.value} of {said}, to waive is {own}.")
    for (name, line), amount in said.items():
        purchase = books.purchases[name]
        purchase.lines[line].back[index] += amount
        account.charges_minor -= amount
        account.minimum_left_minor -= amount
        if not purchase.owes:
            account.owing.pop(name, None)
    return ()
