"""What is told of a cut through all journals; who makes it is `sealing.py`."""

import msgspec


class SealedJournal(msgspec.Struct, frozen=True):
    """What a journal had at the cut: segments 1 to `segments`, to that record."""

    name: str
    segments: int
    sequence: int
    chain: str  # In hexadecimal digits.


class SealedCut(msgspec.Struct, frozen=True):
    """Every journal at one cut, settlement's first, and whose they are."""

    cluster_id: str
    journals: list[SealedJournal]
    stood_still_ms: int  # Settlement, and nobody else.
