"""Every request of a load test, written down: what was sent, what came back.

One JSON object a line, in the order in which it happened to each account.  A
wish without an answer is unknown, and stands there to be resolved.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from loadtest.wishes import Answer, Wish


class Sent(msgspec.Struct, frozen=True, tag="sent"):
    """A wish is about to be sent, for the first time."""

    wish: Wish


class Answered(msgspec.Struct, frozen=True, tag="answered"):
    """Its last answer.  Times are seconds since the test began.

    `uncertain`: an earlier sending may have been the one that did it.
    `beside` is the other answer when it was sent twice at once.
    """

    number: str
    answer: Answer
    beside: Answer | None
    uncertain: bool
    sendings: int
    intended_s: float
    started_s: float
    ended_s: float


class Dropped(msgspec.Struct, frozen=True, tag="dropped"):
    """Slots for which it was too late."""

    count: int


Entry = Sent | Answered | Dropped
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Entry)


class RecordWriter:
    """Appends entries to a file."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, entry: Entry) -> None:
        """Write one entry."""
        self._file.write(_ENCODER.encode(entry) + b"\n")

    def close(self) -> None:
        """Write out what is left."""
        self._file.close()


def read_record(path: Path) -> Iterator[Entry]:
    """The entries of a file; a last line that was cut off is not one."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield _DECODER.decode(line)
