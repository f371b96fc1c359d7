"""The fingerprint of a node's state, made while the node works.

At four million open purchases it takes twenty seconds.  A node that stood still
for so long would decide nothing, and would be taken for dead.
"""

import asyncio
from time import perf_counter

from processor.recovery import digesting
from processor.settlement_state import SettlementState
from processor.state import ShardState

_MOMENT_SECONDS = 0.005  # Then whatever has come in has its turn.


async def digest_between_steps(state: ShardState | SettlementState) -> tuple[int, str]:
    """The sequence of a state and its fingerprint there; empty if it changed."""
    sequence, digest = state.sequence, ""
    began_seconds = perf_counter()
    try:
        for digest in digesting(state):  # noqa: B007
            if perf_counter() - began_seconds > _MOMENT_SECONDS:
                await asyncio.sleep(0)
                if state.sequence != sequence:
                    return sequence, ""
                began_seconds = perf_counter()
    except RuntimeError:  # A table grew: somebody read what was on the shelf.
        return sequence, ""
    return sequence, digest
