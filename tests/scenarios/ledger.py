"""Every row that journals leave, by the audit's double entry.

The rows are what the audit books while it folds a journal: whatever events
and postings it knows, this module need not.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from unittest.mock import patch

from processor import limits
from processor.audit.shard import ShardAudit
from processor.audit.verdict import Folded, Verification
from processor.journal import Batch, Identity
from processor.scratch import MemoryScratch
from tests.scenarios.story import Leg

Journal = tuple[Identity, Iterable[Batch]]
Mark = tuple[int, ...]  # How far each journal has come; settlement's first.


@dataclass(frozen=True)
class Posted:
    """What one record has booked."""

    journal: int  # 0 is settlement's.
    sequence: int
    legs: list[Leg]


class _Recorder(defaultdict[str, int]):
    """A ledger that remembers each change and the record it came with."""

    def __init__(self, sequence: Callable[[], int]) -> None:
        super().__init__(int)
        self.changes: dict[int, list[Leg]] = {}
        self._sequence = sequence

    def __setitem__(self, account: str, amount: int) -> None:
        change = amount - self.get(account, 0)
        if change:
            self.changes.setdefault(self._sequence(), []).append((account, change))
        super().__setitem__(account, amount)


@dataclass
class Ledger:
    """All rows of a house, and what its audit says of them."""

    posted: list[Posted] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def between(self, before: Mark, after: Mark) -> list[Posted]:
        """What the records between two marks have booked."""
        return [
            posted
            for posted in self.posted
            if before[posted.journal] < posted.sequence <= after[posted.journal]
        ]


def ledger_of(settlement: Journal, shards: Sequence[Journal]) -> Ledger:
    """Fold all journals of a house as `forebay verify` does, in as little memory."""
    with patch.object(limits, "AUDIT_OBJECTS_IN_MEMORY_MIN", 0):
        verification = Verification(
            settlement[0],
            [identity for identity, _ in shards],
            scratch=MemoryScratch(),
        )
    ledger = Ledger()
    folded = [verification.settlement, *verification.shards]
    rows = [batches for _, batches in (settlement, *shards)]
    for number, journal in enumerate(folded):
        recorder = _recorder_in(journal)
        for batch in rows[number]:
            journal.batch(batch)
        if number == 0:
            verification.settlement_is_read()
        ledger.posted += [
            Posted(number, sequence, legs)
            for sequence, legs in recorder.changes.items()
        ]
    ledger.differences = verification.verdict().differences
    return ledger


def _recorder_in(journal: Folded) -> _Recorder:
    model = journal.model
    if isinstance(model, ShardAudit):
        books = model.books
        books.ledger = recorder = _Recorder(lambda: books.sequence)
    else:
        model.ledger = recorder = _Recorder(lambda: model.sequence)
    return recorder
