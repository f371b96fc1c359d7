"""Keep the garbage collector from walking over all that a node knows.

A full collection looks at every entry of every table: at a million accounts it
held a batch for a tenth of a second and more.  What a node knows is in no cycle and
is freed by its last reference.  So from time to time what has come is put out of
the collector's sight; only what is young is ever looked at.
"""

import gc

_RECORDS = 65_536


class Frozen:
    """Counts records, and freezes the heap when there were enough."""

    def __init__(self) -> None:
        self._records = 0

    def grown(self, records: int) -> None:
        """So many records more."""
        self._records += records
        if self._records >= _RECORDS:
            self._records = 0
            gc.collect(1)  # Young cycles must not become part of it.
            gc.freeze()
