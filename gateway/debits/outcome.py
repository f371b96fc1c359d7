"""What came of a file of direct-debit results: counted, in words and as JSON."""

from collections import Counter
from dataclasses import dataclass, field

import msgspec

OVER_LIMIT_SHOWN_MAX = 20


@dataclass
class Outcome:
    """The counts of a file; `over_limit` is minor units by account."""

    lines: int = 0
    settled: int = 0
    returned: int = 0
    already_done: int = 0
    malformed: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # By reason.
    over_limit: dict[str, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether every line was done, now or before."""
        return not (self.malformed or self.refused)

    @property
    def changed_nothing(self) -> bool:
        """Whether all there was had been done before."""
        return self.is_clean and not (self.settled or self.returned)

    def as_json(self) -> str:
        """One line of JSON."""
        told = {
            "lines": self.lines,
            "settled": self.settled,
            "returned": self.returned,
            "already_done": self.already_done,
            "malformed": self.malformed,
            "refused": dict(sorted(self.refused.items())),
            "over_limit_minor": self.over_limit,
        }
        return msgspec.json.encode(told).decode()

    def as_text(self) -> str:
        """A line for each count, and for each account over its limit."""
        rows = [
            f"lines        {self.lines:7,}",
            f"settled      {self.settled:7,}",
            f"returned     {self.returned:7,}",
            f"already done {self.already_done:7,}",
        ]
        for reason, count in sorted(self.refused.items()):
            rows.append(f"refused      {count:7,}  {reason}")
        if self.malformed:
            rows.append(f"malformed    {self.malformed:7,}")
        if self.over_limit:
            rows.append(f"over limit   {len(self.over_limit):7,}")
            rows += self._over_limit_rows()
        if self.changed_nothing:
            rows.append("Nothing changed: every line was done before.")
        return "\n".join(rows)

    def _over_limit_rows(self) -> list[str]:
        worst = sorted(self.over_limit.items(), key=lambda item: (-item[1], item[0]))
        rows = [
            f"  {account_id}  by {minor:,} minor units"
            for account_id, minor in worst[:OVER_LIMIT_SHOWN_MAX]
        ]
        if len(worst) > OVER_LIMIT_SHOWN_MAX:
            rows.append(f"  and {len(worst) - OVER_LIMIT_SHOWN_MAX:,} more")
        return rows
