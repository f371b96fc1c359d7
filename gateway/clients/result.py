"""What the replay of credit cards adds to the figures of a replay."""

from typing import ClassVar

from gateway.clients.readings import Standing
from gateway.replays.result import ReplayResult, Row
from gateway.replays.summary import money


class ClientsResult(ReplayResult, frozen=True, kw_only=True):
    """A replay of card accounts; `refunds_unmatched` counts months of them.

    `penalties_minor` is all that was charged, paid or not; `before_count` counts
    payments of bills that are older than the file.
    """

    SYMBOL: ClassVar[str] = "NT$"
    UNMATCHED: ClassVar[str] = "falls of a bill, no purchase left"
    LATENCY_OF: ClassVar[str] = " a request of many commands"

    accounts: int
    standing: Standing
    penalties_minor: int
    refunds_unmatched_minor: int
    before_count: int

    def further_figures(self) -> dict[str, int]:
        """What this form adds to the last line."""
        return {
            "accounts": self.accounts,
            "rows_malformed": sum(self.skipped.values()),
            "refunds_unmatched_minor": self.refunds_unmatched_minor,
            "statements": self.standing.statements,
            "overdue_accounts": self.standing.overdue_accounts,
            "past_due_minor": self.standing.past_due_minor,
            "penalties_minor": self.penalties_minor,
            "outstanding_minor": self.standing.outstanding_minor,
            "credit_minor": self.standing.credit_minor,
        }

    def rows_of_lines(self) -> list[Row]:
        """The accounts."""
        return [("accounts", self.accounts, "")]

    def further_rows(self) -> list[Row]:
        """Statements, penalties, and who is overdue in the end."""
        standing = self.standing
        rows: list[Row] = [
            ("  left out", self.before_count, "payments of bills before the file"),
            ("statements", standing.statements, ""),
            ("outstanding", standing.owing_accounts, self._of("outstanding_minor")),
            ("in credit", standing.credit_accounts, self._of("credit_minor")),
            ("overdue", standing.overdue_accounts, self._of("past_due_minor")),
        ]
        rows += [
            (f"  {days} days" if days[0].isdigit() else f"  {days}", n, "")
            for days, n in standing.delinquency
        ]
        charged = money(self.penalties_minor, self.SYMBOL)
        rows.append(("penalties", standing.charged_accounts, f"unpaid, of {charged}"))
        return rows

    def _of(self, name: str) -> str:
        return money(getattr(self.standing, name), self.SYMBOL)
