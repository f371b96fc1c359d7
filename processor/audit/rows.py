"""What every journal must keep, whatever its records say.

Rows are chained and their sequences dense; epochs never fall; a row belongs to
one business day, and the record that moves the day is the last of its row.
"""

from processor.journal import Batch, Identity, chain_of, chain_start


class Rows:
    """One journal's rows so far.  `differences` is shared with its audit."""

    def __init__(self, identity: Identity, differences: list[str]) -> None:
        self.name = name_of(identity)
        self.sequence = 0
        self.epoch_starts: list[tuple[int, int]] = []  # First sequence, epoch.
        self._epoch = 0
        self._chain = chain_start(identity)
        self._differences = differences

    def check(self, batch: Batch, day: str) -> None:
        """Note whether the next row fits behind the last; `day` is in force."""
        if batch.first_sequence != self.sequence + 1:
            self._differ(batch, f"follows record {self.sequence}")
        if batch.last_sequence < batch.first_sequence:
            self._differ(batch, "has no records")
        if batch.epoch < self._epoch:
            self._differ(batch, f"has epoch {batch.epoch} after {self._epoch}")
        if batch.day != day:
            self._differ(batch, f"is stamped {batch.day}, but the day is {day}")
        chain = chain_of(
            self._chain,
            batch.first_sequence,
            batch.last_sequence,
            batch.epoch,
            batch.day,
            batch.at_ms,
            batch.records,
        )
        if chain != batch.chain:
            self._differ(batch, "does not have the checksum of its content")
        if batch.epoch != self._epoch:
            self.epoch_starts.append((batch.first_sequence, batch.epoch))
            self._epoch = batch.epoch
        self._chain = batch.chain
        self.sequence = batch.last_sequence

    def check_count(self, batch: Batch, count: int) -> None:
        """The row has as many records as its sequences say."""
        said = batch.last_sequence - batch.first_sequence + 1
        if count != said:
            self._differ(batch, f"has {count} records where its sequences say {said}")

    def is_unreadable(self, batch: Batch, error: Exception) -> None:
        """Note a row whose records cannot be decoded; its records are passed over."""
        self._differ(batch, f"cannot be decoded ({error})")

    def day_moved_within(self, batch: Batch) -> None:
        """Note a row that goes on after its day has ended."""
        self._differ(batch, f"goes on after the record that ended {batch.day}")

    def epoch_at(self, sequence: int) -> int:
        """The epoch in which a record was written; 0 before the first."""
        found = 0
        for first_sequence, epoch in self.epoch_starts:
            if first_sequence > sequence:
                break
            found = epoch
        return found

    def _differ(self, batch: Batch, text: str) -> None:
        self._differences.append(
            f"{self.name}: the row of record {batch.first_sequence} {text}."
        )


def name_of(identity: Identity) -> str:
    """How people call the journal."""
    if identity.kind == "settlement":
        return "settlement"
    return f"shard {identity.number}"
