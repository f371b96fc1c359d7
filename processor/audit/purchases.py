"""What events do to purchases and accounts, as the audit reckons it.

Each function takes the books and an event, notes every difference, and
returns the lenders it touched; None when the event makes no sense at all, and
then nothing of it is posted.
"""

from collections.abc import Sequence

from processor import events as e
from processor import limits
from processor.audit import velocity
from processor.audit.books import Account, Books, Program, Purchase
from processor.audit.explain import before
from processor.audit.lines import PRINCIPAL
from processor.audit.merchants import category_of, charged, is_charge
from processor.audit.partial import check_reduced
from processor.audit.schedules import owe_lines

Touched = Sequence[str] | None


def authorized(books: Books, event: e.Authorized) -> Touched:
    account = books.accounts.get(event.account_id)
    program = books.programs.get((event.program_id, event.program_version))
    if account is None or program is None:
        books.differ("it authorizes under an unknown account or program version.")
        return None
    lenders = program.lenders
    if not (
        books.is_split("the amount", event.amount_minor, event.parts, lenders)
        and _is_credit_split(books, event, lenders)
        and is_borne_split(books, event, lenders)
        and is_charge(books, event.charge)
        and _is_own_hold(books, event)
    ):
        return None
    if (account.program_id, account.currency) != (event.program_id, program.currency):
        books.differ(f"account {account.account_id} has another program or currency.")
    _check_may_grow(books, account)
    books.check_lends(lenders)
    met = before(books, account.account_id, program, event.merchant_id, event.hold_id)
    check_reduced(books, account, program, event, met)
    purchase = _new_purchase(books, account, program, event)
    purchase.before = met
    _occupy(books, account, purchase, event.amount_minor, event.parts)
    if event.hold_id:
        _convert(books, account, event)
    if event.captured:
        _become_debt(books, account, purchase, event)
        charged(books, purchase, event.amount_minor, event.charge)
        _use_credit(books, account, purchase, event)
    elif event.lines or event.bills_on or event.borne_minor:
        books.differ("it bills what is not captured.")
    books.totals.authorized_count += 1
    purchase.approved_minor = event.amount_minor
    purchase.left_to_buy_minor = account.open_to_buy_minor
    if event.hold_id:  # What the hold occupied needs no room again.
        books.check_open_to_buy(account, event.open_to_buy_minor)
    else:
        _check_room(books, account, event.open_to_buy_minor)
    return lenders


def _new_purchase(
    books: Books,
    account: Account,
    program: Program,
    event: e.Authorized | e.ForceCaptured,
) -> Purchase:
    books.check_made_id(event.authorization_id)
    if event.merchant_id not in books.merchants:
        books.differ(f"merchant {event.merchant_id} is not known to this shard.")
    none = [0] * len(program.lenders)
    purchase = books.purchases[event.authorization_id] = Purchase(
        event.account_id,
        event.merchant_id,
        account.currency,
        program.lenders,
        (event.program_id, event.program_version),
        books.day,
        event.expires_at_ms,
        0,
        0,
        none,
        none.copy(),
        none.copy(),
        none.copy(),
        lent_parts=none.copy(),
        authorization_id=event.authorization_id,
        made_by=books.sequence,
        plan_id=getattr(books.command, "plan_id", ""),
    )
    if purchase.plan_id and purchase.plan_id not in program.plans:
        books.differ(f"there is no plan {purchase.plan_id}.")
    purchase.category = category_of(books, event.merchant_id)
    velocity.begin(account, purchase)
    return purchase


def incremented(books: Books, event: e.AuthorizationIncremented) -> Touched:
    found = _open_purchase(books, event.authorization_id)
    if found is None:
        return None
    account, purchase = found
    if not books.is_split(
        "the increment", event.amount_minor, event.parts, purchase.lenders
    ):
        return None
    _check_may_grow(books, account)
    books.check_lends(purchase.lenders)
    _occupy(books, account, purchase, event.amount_minor, event.parts)
    _check_room(books, account, event.open_to_buy_minor)
    return purchase.lenders


def captured(books: Books, event: e.Captured) -> Touched:
    found = _open_purchase(books, event.authorization_id)
    if found is None:
        return None
    account, purchase = found
    lenders = purchase.lenders
    if not (
        books.is_split("the capture", event.amount_minor, event.parts, lenders)
        and books.is_split("the extra", event.extra_minor, event.extra_parts, lenders)
        and books.is_split(
            "the release", event.released_minor, event.released_parts, lenders
        )
        and _is_credit_split(books, event, lenders)
        and is_borne_split(books, event, lenders)
        and is_charge(books, event.charge)
    ):
        return None
    books.check_made_id(event.capture_id)
    if event.extra_minor:
        _check_tolerance(books, purchase, event.extra_minor)
        books.check_lends(lenders)
        _occupy(books, account, purchase, event.extra_minor, event.extra_parts)
    _become_debt(books, account, purchase, event)
    charged(books, purchase, event.amount_minor, event.charge)
    if event.extra_minor and purchase.open_minor:
        books.differ(f"it captures extra while {purchase.open_minor} is still open.")
    if event.released_minor:
        _leave_open(books, purchase, event.released_minor, event.released_parts)
        _release(books, account, purchase, event.released_minor, event.released_parts)
        if purchase.open_minor:
            books.differ(f"a final capture leaves {purchase.open_minor} open.")
    _use_credit(books, account, purchase, event)
    if event.extra_minor:
        _check_room(books, account, event.open_to_buy_minor)
    else:
        books.check_open_to_buy(account, event.open_to_buy_minor)
    return lenders


def reversed_(books: Books, event: e.AuthorizationReversed) -> Touched:
    touched = _ended(books, event)
    if touched is not None:
        account = books.accounts[books.purchases[event.authorization_id].account_id]
        books.check_open_to_buy(account, event.open_to_buy_minor)
    return touched


def expired(books: Books, event: e.AuthorizationExpired) -> Touched:
    touched = _ended(books, event)
    if touched is not None:
        purchase = books.purchases[event.authorization_id]
        if purchase.open_minor:
            books.differ(f"it expires and leaves {purchase.open_minor} open.")
        if books.at_ms < purchase.expires_at_ms:
            books.differ(f"it expires {purchase.expires_at_ms - books.at_ms} ms early.")
    return touched


def _ended(
    books: Books, event: e.AuthorizationReversed | e.AuthorizationExpired
) -> Touched:
    found = _open_purchase(books, event.authorization_id)
    if found is None:
        return None
    account, purchase = found
    if not books.is_split(
        "what is given back", event.amount_minor, event.parts, purchase.lenders
    ):
        return None
    _leave_open(books, purchase, event.amount_minor, event.parts)
    _release(books, account, purchase, event.amount_minor, event.parts)
    return purchase.lenders


def _open_purchase(books: Books, made_id: str) -> tuple[Account, Purchase] | None:
    purchase = books.purchases.get(made_id)
    if purchase is None:
        books.differ(f"authorization {made_id} does not exist.")
        return None
    if not purchase.open_minor:
        books.differ(f"authorization {made_id} is over, nothing may happen to it.")
    return books.accounts[purchase.account_id], purchase


def _check_may_grow(books: Books, account: Account) -> None:
    if account.status != "open":
        books.differ(
            f"it authorizes on account {account.account_id}, {account.status}."
        )


def _check_room(books: Books, account: Account, reported_minor: int) -> None:
    """After it grew, an authorization still fits into the limit."""
    books.check_open_to_buy(account, reported_minor)
    if reported_minor < 0:
        books.differ(f"approved although {-reported_minor} of the limit was missing.")


def _check_tolerance(books: Books, purchase: Purchase, extra_minor: int) -> None:
    # What was given back is not authorized any more.
    standing_minor = purchase.open_minor + purchase.captured_minor
    allowed = standing_minor * books.program_of(purchase).tolerance_ppm // limits.PPM
    if extra_minor > allowed:
        books.differ(
            f"it captures {extra_minor} above what was open; {allowed} is allowed."
        )


def _occupy(
    books: Books,
    account: Account,
    purchase: Purchase,
    amount: int,
    parts: e.Parts,
    *,
    is_counted: bool = True,
) -> None:
    account.authorized_minor += amount
    purchase.total_minor += amount
    purchase.open_minor += amount
    for i, lender_id in enumerate(purchase.lenders):
        purchase.open_parts[i] += parts[i]
        lease = books.spend(lender_id, parts[i])
        lease.authorized_minor += parts[i]
        if is_counted and parts[i] and lease.free_minor < lease.forced_held_minor:
            books.differ(f"it spends what was raised by force of {lender_id}.")
        if is_counted:
            books.lend(purchase, lender_id, parts[i])
        if is_counted and books.caps:
            books.count(purchase, lender_id, parts[i], is_back=False)
    program = books.program_of(purchase)
    books.count_split(program, program.split, amount, parts)
    if is_counted:
        velocity.count(books, account, purchase, amount)


def _leave_open(books: Books, purchase: Purchase, amount: int, parts: e.Parts) -> None:
    """What leaves an authorization was open; the last of it takes every part."""
    purchase.open_minor -= amount
    left = purchase.open_parts
    for i, part in enumerate(parts):
        left[i] -= part
    if purchase.open_minor < 0 or min(left) < 0:
        books.differ(
            f"{amount} is more than was authorized and open; "
            f"by lender it leaves {left}."
        )
    elif not purchase.open_minor and any(left):
        books.differ(f"nothing is open any more, but by lender {left} is left.")


def _release(
    books: Books, account: Account, purchase: Purchase, amount: int, parts: e.Parts
) -> None:
    account.authorized_minor -= amount
    velocity.give_back(account, purchase, amount)
    for i, lender_id in enumerate(purchase.lenders):
        books.spend(lender_id, -parts[i]).authorized_minor -= parts[i]
        books.lend(purchase, lender_id, -parts[i])
        if books.caps:
            books.count(purchase, lender_id, parts[i], is_back=True)


def _become_debt(
    books: Books,
    account: Account,
    purchase: Purchase,
    event: e.Authorized | e.Captured | e.ForceCaptured,
) -> None:
    amount, parts = event.amount_minor, event.parts
    owe_lines(books, account, purchase, event)
    _leave_open(books, purchase, amount, parts)
    account.authorized_minor -= amount
    account.outstanding_minor += amount
    purchase.captured_minor += amount
    purchase.outstanding_minor += amount
    purchase.captured_after_refund |= purchase.refunded_minor > 0
    for i, lender_id in enumerate(purchase.lenders):
        part = parts[i]
        purchase.captured_parts[i] += part
        purchase.outstanding_parts[i] += part
        lease = books.slices[lender_id]
        lease.authorized_minor -= part
        lease.captured_minor += part
        books.lender_totals(lender_id).captured_minor += part
    merchant = books.merchant_totals(purchase.merchant_id)
    merchant.captured_minor += amount
    merchant.captured_count += 1
    merchant.borne_minor += event.borne_minor
    merchant.pay_out(purchase.currency, amount - event.borne_minor)


def force_captured(books: Books, event: e.ForceCaptured) -> Touched:
    """Authorized and captured at once; neither limit nor status is looked at."""
    account = books.accounts.get(event.account_id)
    program = books.programs.get((event.program_id, event.program_version))
    if account is None or program is None:
        books.differ("it captures under an unknown account or program version.")
        return None
    lenders, extra = program.lenders, event.extra_minor
    if not (
        books.is_split("the capture", event.amount_minor, event.parts, lenders)
        and books.is_split("the extra", extra, event.extra_parts, lenders)
        and _is_credit_split(books, event, lenders)
        and is_borne_split(books, event, lenders)
        and is_charge(books, event.charge)
    ):
        return None
    if event.is_new:
        purchase = _new_purchase(books, account, program, event)
    else:
        found = _open_purchase(books, event.authorization_id)
        if found is None:
            return None
        purchase = found[1]
    if (purchase.account_id, purchase.merchant_id) != (
        event.account_id,
        event.merchant_id,
    ):
        books.differ(f"{event.authorization_id} is of another account or merchant.")
    books.check_made_id(event.capture_id)
    until_ms = books.at_ms if event.is_new else purchase.expires_at_ms
    if event.expires_at_ms != until_ms:
        books.differ(f"it expires at {event.expires_at_ms}, not at {until_ms}.")
    if account.status == "closed":
        books.differ(f"account {event.account_id} is closed, nothing may happen to it.")
    if extra != max(0, event.amount_minor - purchase.open_minor):
        books.differ(f"{extra} is above what was open, {purchase.open_minor}.")
    if extra:
        parts = event.extra_parts
        _occupy(books, account, purchase, extra, parts, is_counted=False)
    _become_debt(books, account, purchase, event)
    charged(books, purchase, event.amount_minor, event.charge)
    _use_credit(books, account, purchase, event)
    _check_forced(books, account, purchase, event)
    return lenders


def _check_forced(
    books: Books, account: Account, purchase: Purchase, event: e.ForceCaptured
) -> None:
    books.check_open_to_buy(account, event.open_to_buy_minor)
    if event.over_limit_minor != max(0, -account.open_to_buy_minor):
        books.differ(f"it is said to be {event.over_limit_minor} over the limit.")
    purchase.forced_minor += event.lender_advance_minor
    books.forced_minor += event.lender_advance_minor
    if not 0 <= event.lender_advance_minor <= event.extra_minor:
        books.differ(f"{event.lender_advance_minor} was paid for {event.extra_minor}.")


def _is_credit_split(
    books: Books,
    event: e.Authorized | e.Captured | e.ForceCaptured,
    lenders: Sequence[str],
) -> bool:
    used = event.credit_used_minor
    return not used or books.is_split("the credit", used, event.credit_parts, lenders)


def is_borne_split(
    books: Books,
    event: e.Authorized | e.Captured | e.ForceCaptured | e.Refunded,
    lenders: Sequence[str],
) -> bool:
    """Whether what the merchant bears has a part for each lender, or it bears none."""
    if not event.borne_minor:
        if event.borne_parts:
            books.differ("the lenders have parts of what no merchant bears.")
        return True
    parts = event.borne_parts
    return books.is_split("what is borne", event.borne_minor, parts, lenders)


def _use_credit(
    books: Books,
    account: Account,
    purchase: Purchase,
    event: e.Authorized | e.Captured | e.ForceCaptured,
) -> None:
    """The borrower's credit pays a new debt first, as far as it goes."""
    used = event.credit_used_minor
    due = max(0, min(account.credit_minor, event.amount_minor))
    if used != due:
        books.differ(f"it uses {used} of the borrower's credit where {due} was due.")
    if not used:
        return
    account.credit_minor -= used
    left = used
    for line in purchase.lines:  # The first ones first, principal alone.
        paid = min(left, line.principal_minor)
        line.paid[PRINCIPAL] += paid
        left -= paid
        if line.bills_on < books.billed_before(account.account_id):
            account.minimum_left_minor -= paid  # Of an earlier capture.
    lower_debt(books, account, purchase, used, event.credit_parts)
    for i, lender_id in enumerate(purchase.lenders):
        books.lender_totals(lender_id).claim_repaid_minor += event.credit_parts[i]


def lower_debt(
    books: Books, account: Account, purchase: Purchase, amount: int, parts: e.Parts
) -> None:
    """A purchase is owed less, never less than nothing, of no lender."""
    account.outstanding_minor -= amount
    purchase.outstanding_minor -= amount
    left = purchase.outstanding_parts
    for i, part in enumerate(parts):
        left[i] -= part
    if purchase.outstanding_minor < 0 or min(left) < 0:
        books.differ(
            f"it pays {amount}, more than is owed; by lender it leaves {left}."
        )
    elif not purchase.outstanding_minor and any(left):
        books.differ(f"nothing is owed any more, but by lender {left} is left.")
    if not purchase.owes:
        account.owing.pop(purchase.authorization_id, None)


def _is_own_hold(books: Books, event: e.Authorized) -> bool:
    if not event.hold_id:
        if event.hold_taken_minor or event.hold_released_minor:
            books.differ("it takes out of a hold and names none.")
        return True
    hold = books.holds.get(event.hold_id)
    if hold is None or hold.account_id != event.account_id:
        books.differ(f"hold {event.hold_id} is not one of account {event.account_id}.")
        return False
    return True


def _convert(books: Books, account: Account, event: e.Authorized) -> None:
    """The purchase comes out of a hold: what is taken is the whole amount."""
    hold = books.holds[event.hold_id]
    if event.hold_taken_minor != event.amount_minor:
        books.differ(f"it takes {event.hold_taken_minor} out of the hold.")
    if not hold.held_minor:
        books.differ(f"hold {event.hold_id} is over, nothing may happen to it.")
    freed = event.hold_taken_minor + event.hold_released_minor
    hold.held_minor -= freed
    account.held_minor -= freed
    if hold.held_minor < 0:
        books.differ(f"it takes {-hold.held_minor} more than the hold had.")
    if event.hold_released_minor and hold.held_minor:
        books.differ(f"a final conversion leaves {hold.held_minor} held.")
