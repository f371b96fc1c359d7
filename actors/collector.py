"""Keep the garbage collector from walking over all that a node knows.

A full collection looks at every entry of every table: at a million accounts it
held a batch for a tenth of a second and more, longer every time.  What a node
knows is in no cycle and is freed by its last reference.  So what recovery has
made is put out of the collector's sight, and what outlives two collections
after that is state, too, and left alone.

The two young generations are collected between steps, when all that a step has
made for itself is gone: what is left to look at is little.  By itself Python
counts what was made less what was freed, and looks only after some ten thousands
of requests: then it held a batch for 12 to 17 ms (measured at 100 000 accounts).
"""

import gc

from processor import limits

_NEVER = 2**31 - 1  # As many collections of the middle generation, before a full one.
_RARELY = 50_000  # For what no step has made.


def leave_alone_what_is_known() -> None:
    """From now on only what is young is looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_RARELY, gc.get_threshold()[1], _NEVER)


class Collector:
    """Collects what is young, a little at a time."""

    def __init__(self) -> None:
        self._records = 0
        self._times = 0

    def after(self, records: int) -> None:
        """A step of so many records is over."""
        self._records += records
        if self._records < limits.COLLECTED_RECORDS:
            return
        self._records = 0
        self._times += 1
        is_middle_due = self._times % limits.COLLECTED_TIMES == 0
        gc.collect(1 if is_middle_due else 0)
