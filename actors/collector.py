"""Keep the garbage collector from walking over all that a node knows.

A full collection looks at every entry of every table: at a million accounts it
held a batch for a tenth of a second and more, longer every time.  What a node
knows is in no cycle and is freed by its last reference.  So what recovery has
made is put out of the collector's sight, and what outlives two collections
after that is state, too, and left alone.
"""

import gc

_NEVER = 2**31 - 1  # As many collections of the middle generation, before a full one.


def leave_alone_what_is_known() -> None:
    """From now on only what is young is looked at."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*gc.get_threshold()[:2], _NEVER)
