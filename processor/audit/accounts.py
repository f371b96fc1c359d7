"""What events do to accounts and limit holds, as the audit reckons it.

The same contract as `purchases`: note, and return the lenders touched.
"""

from processor import events as e
from processor.audit.books import Account, Books, Hold, Tally
from processor.audit.days import MONTH_DAYS_MAX
from processor.audit.purchases import Touched
from processor.terms import Velocity


def account_opened(books: Books, event: e.AccountOpened) -> Touched:
    if event.account_id in books.accounts:
        books.differ(f"account {event.account_id} is opened a second time.")
        return None
    books.accounts[event.account_id] = Account(
        event.account_id,
        event.program_id,
        event.currency,
        event.limit_minor,
        event.statement_day,
        event.due_day,
    )
    if not 1 <= min(event.statement_day, event.due_day) or not (
        max(event.statement_day, event.due_day) <= MONTH_DAYS_MAX
    ):
        books.differ("its statement day or its due day is not in every month.")
    return ()


def limit_changed(books: Books, event: e.LimitChanged) -> Touched:
    account = _account(books, event.account_id)
    if account is not None:
        temporary = (account.limit_minor, account.until_day)
        if account.until_day:
            account.ordinary_limit_minor = event.limit_minor
        else:
            account.limit_minor = event.limit_minor
            temporary = (0, "")
        if (event.temporary_limit_minor, event.until_day) != temporary:
            books.differ(f"the temporary limit in force is {temporary}.")
        books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()


def temporary_limit_set(books: Books, event: e.TemporaryLimitSet) -> Touched:
    account = _account(books, event.account_id)
    if account is None:
        return None
    books.check_limit(account)
    if event.until_day < books.day:
        books.differ(f"the temporary limit ended with {event.until_day} already.")
    if not account.until_day:
        account.ordinary_limit_minor = account.limit_minor
    if event.ordinary_limit_minor != account.ordinary_limit_minor:
        books.differ(f"the ordinary limit is {account.ordinary_limit_minor}.")
    account.limit_minor = event.limit_minor
    account.until_day = event.until_day
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()


def temporary_limit_ended(books: Books, event: e.TemporaryLimitEnded) -> Touched:
    account = _account(books, event.account_id)
    if account is None:
        return None
    if not account.until_day or account.until_day >= books.day:
        books.differ(
            f"a temporary limit ends on {books.day}, it is in force until "
            f"{account.until_day or 'never'}."
        )
    if event.limit_minor != account.ordinary_limit_minor:
        books.differ(f"the ordinary limit is {account.ordinary_limit_minor}.")
    account.limit_minor = event.limit_minor
    account.until_day = ""
    books.check_open_to_buy(account, event.open_to_buy_minor)
    return ()


def velocity_set(books: Books, event: e.VelocitySet) -> Touched:
    """Who had limits before keeps what was counted under them."""
    account = _account(books, event.account_id)
    if account is None:
        return None
    wanted = {"": event.velocity}
    for of in event.categories:
        bounds = Velocity(of.purchase_minor, of.daily_minor, of.monthly_minor)
        wanted[of.category] = bounds
    if len(wanted) != 1 + len(event.categories):
        books.differ("it limits a category twice.")
    if wanted == {"": Velocity()}:
        wanted = {}
    kept = account.tallies
    account.tallies = {
        name: kept.get(name) or Tally(wanted[name], books.sequence) for name in wanted
    }
    for name, tally in account.tallies.items():
        tally.bounds = wanted[name]
    return ()


def account_frozen(books: Books, event: e.AccountFrozen) -> Touched:
    return _set_status(books, event.account_id, "open", "frozen")


def account_unfrozen(books: Books, event: e.AccountUnfrozen) -> Touched:
    account = books.accounts.get(event.account_id)
    if account is not None and account.written_off_minor:
        books.differ(f"account {event.account_id} is unfrozen while written off.")
    return _set_status(books, event.account_id, "frozen", "open")


def account_closed(books: Books, event: e.AccountClosed) -> Touched:
    account = _account(books, event.account_id)
    if account is None:
        return None
    if (
        account.credit_minor
        or account.owing
        or account.open_to_buy_minor != account.limit_minor
    ):
        books.differ(f"account {account.account_id} is closed while it is in use.")
    account.status = "closed"
    if account.until_day:
        account.limit_minor = account.ordinary_limit_minor
        account.until_day = ""
    return ()


def hold_placed(books: Books, event: e.HoldPlaced) -> Touched:
    account = _account(books, event.account_id)
    if account is None:
        return None
    books.check_made_id(event.hold_id)
    books.holds[event.hold_id] = Hold(
        event.account_id, account.currency, event.expires_at_ms, 0
    )
    _hold_more(books, event, account)
    return ()


def hold_increased(books: Books, event: e.HoldIncreased) -> Touched:
    hold = _open_hold(books, event.hold_id)
    if hold is None:
        return None
    _hold_more(books, event, books.accounts[hold.account_id])
    return ()


def hold_released(books: Books, event: e.HoldReleased) -> Touched:
    hold = _lowered(books, event)
    if hold is None:
        return None
    books.check_open_to_buy(books.accounts[hold.account_id], event.open_to_buy_minor)
    return ()


def hold_expired(books: Books, event: e.HoldExpired) -> Touched:
    hold = _lowered(books, event)
    if hold is None:
        return None
    if hold.held_minor:
        books.differ(f"it expires and leaves {hold.held_minor} held.")
    if books.at_ms < hold.expires_at_ms:
        books.differ(f"it expires {hold.expires_at_ms - books.at_ms} ms early.")
    return ()


def _account(books: Books, account_id: str) -> Account | None:
    account = books.accounts.get(account_id)
    if account is None:
        books.differ(f"account {account_id} does not exist.")
    elif account.status == "closed":
        books.differ(f"account {account_id} is closed, nothing may happen to it.")
    return account


def _set_status(books: Books, account_id: str, before: str, after: str) -> Touched:
    account = books.accounts.get(account_id)
    if account is None:
        books.differ(f"account {account_id} does not exist.")
        return None
    if account.status != before:
        books.differ(f"account {account_id} is {account.status}, not {before}.")
    account.status = after
    return ()


def _open_hold(books: Books, hold_id: str) -> Hold | None:
    hold = books.holds.get(hold_id)
    if hold is None:
        books.differ(f"hold {hold_id} does not exist.")
    elif not hold.held_minor:
        books.differ(f"hold {hold_id} is over, nothing may happen to it.")
    return hold


def _hold_more(
    books: Books, event: e.HoldPlaced | e.HoldIncreased, account: Account
) -> None:
    books.holds[event.hold_id].held_minor += event.amount_minor
    account.held_minor += event.amount_minor
    if account.status != "open":
        books.differ(f"it holds on account {account.account_id}, {account.status}.")
    books.check_open_to_buy(account, event.open_to_buy_minor)
    if event.open_to_buy_minor < 0:
        books.differ(
            f"approved although {-event.open_to_buy_minor} of the limit was missing."
        )


def _lowered(books: Books, event: e.HoldReleased | e.HoldExpired) -> Hold | None:
    hold = _open_hold(books, event.hold_id)
    if hold is None:
        return None
    hold.held_minor -= event.amount_minor
    books.accounts[hold.account_id].held_minor -= event.amount_minor
    if hold.held_minor < 0:
        books.differ(f"it gives back {-hold.held_minor} more than the hold had.")
    return hold
