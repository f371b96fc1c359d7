"""Whether everything that ended days bring was recorded in time.

Before the first wish of a business day about an account is decided, nothing may
be left of the days before.  And once the shard has looked at every account in
debt, as its rows show, nothing may be left of any.
"""

from collections.abc import Sequence

from processor import commands as c
from processor import events as e
from processor import limits
from processor.audit.books import Books
from processor.audit.statements import next_of_itself
from processor.journal import Batch
from processor.records import ShardRecord

# Where a command's thing is that is named by such a field.  The state has such a table,
# too: an audit may not borrow it.
_TABLE_OF_ID = {
    "authorization_id": "purchases",
    "hold_id": "holds",
    "repayment_id": "payments",
    "write_off_id": "payments",
    "recovery_id": "payments",
    "claim_id": "payments",
    "adjustment_id": "adjustments",
}
OF_ENDED_DAYS = (e.CreditUsed, e.DueMoved, e.PenaltyCharged, e.StatementIssued)


def check_ended(books: Books, command: c.Command) -> None:
    """The first wish of a day about an account comes after all that is to come."""
    account = books.accounts.get(account_named(books, command))
    if account is None or account.looked_at == books.today:
        return
    account.looked_at = books.today
    what, kind = next_of_itself(books, account)
    if kind is not None:
        books.differ(f"account {account.account_id} is asked for before {what}.")


def account_named(books: Books, command: c.Command) -> str:
    """The account a command is about; "" if it is not known."""
    named = str(getattr(command, command.ROUTED_BY, ""))
    table = _TABLE_OF_ID.get(command.ROUTED_BY)
    if table is None:
        return named
    found = getattr(books, table).get(named)
    return "" if found is None else str(found.account_id)


def check_all_ended(books: Books) -> None:
    """Every account has been looked at since the day began: nothing is to come."""
    for account in books.accounts.values():
        if account.looked_at == books.today:
            continue
        what, kind = next_of_itself(books, account)
        if kind is not None:
            account.looked_at = books.today
            books.differ(f"account {account.account_id} still misses {what}.")


class DaysEnd:
    """When the shard must have looked at every account since the day began.

    Each step of an open shard looks at so many; its rows show the steps that did
    anything.  Which rows were written before it was open in an epoch is not
    known, so the first one counts for nothing.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self._epoch = 0
        self._is_open = False
        self._to_look_at: int | None = None  # None: done for the day.

    def row(self, batch: Batch, records: Sequence[ShardRecord]) -> None:
        """Count the looks of one row; once all were looked at, hold it to that."""
        if batch.epoch != self._epoch:
            self._epoch, self._is_open = batch.epoch, False
            if self._to_look_at is not None:
                self._begin()
        if any(isinstance(record.event, e.DayMoved) for record in records):
            self._begin()
            return
        if not any(_shows_open(record) for record in records):
            return
        if self._to_look_at is not None and self._is_open:
            if len(records) <= limits.BATCH_COMMANDS_MAX:
                self._to_look_at -= limits.DAY_END_ACCOUNTS_PER_STEP_MAX
            if self._to_look_at <= 0:
                self._to_look_at = None
                check_all_ended(self._books)
        self._is_open = True

    def _begin(self) -> None:
        accounts = self._books.accounts.values()
        self._to_look_at = sum(1 for x in accounts if x.next_statement_on)


def _shows_open(record: ShardRecord) -> bool:
    return record.command is not None or isinstance(record.event, OF_ENDED_DAYS)
