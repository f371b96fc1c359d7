"""When what is open runs out: in order, and forgotten early what is over early.

Most purchases are captured long before they would expire.  A heap alone would
keep the id of each until then, a week of closed purchases.  So what is due later
lies in spans of two seconds, from which it can be taken, and only a span that has
begun becomes a heap.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush

_SPAN_BITS = 11  # Of milliseconds.


class _Span:
    """What is due within two seconds; nothing of it before `first_ms`."""

    __slots__ = ("due", "first_ms")

    def __init__(self, first_ms: int) -> None:
        self.first_ms = first_ms
        self.due: dict[str, int] = {}


class Expiries:
    """Ids by the millisecond at which they are due."""

    def __init__(self, due: Iterable[tuple[int, str]]) -> None:
        self._soon: list[tuple[int, str]] = []  # A heap: all before `_begun`.
        self._later: dict[int, _Span] = {}
        self._spans: list[int] = []  # A heap of their numbers, and of gone ones.
        self._begun = 0
        for at_ms, name in due:
            self.add(at_ms, name)

    def __len__(self) -> int:
        return len(self._soon) + sum(len(span.due) for span in self._later.values())

    def add(self, at_ms: int, name: str) -> None:
        """One more."""
        number = at_ms >> _SPAN_BITS
        if number < self._begun:
            heappush(self._soon, (at_ms, name))
            return
        span = self._later.get(number)
        if span is None:
            span = self._later[number] = _Span(at_ms)
            heappush(self._spans, number)
        elif at_ms < span.first_ms:
            span.first_ms = at_ms
        span.due[name] = at_ms

    def forget(self, at_ms: int, name: str) -> None:
        """It is over, if it still waits here; but not in a span that has begun."""
        number = at_ms >> _SPAN_BITS
        span = self._later.get(number)
        if span is not None and span.due.pop(name, None) is not None and not span.due:
            del self._later[number]

    @property
    def next_ms(self) -> int | None:
        """Nothing is due before; None when nothing is ever."""
        if self._soon:
            return self._soon[0][0]
        while self._spans:
            span = self._later.get(self._spans[0])
            if span is not None:
                return span.first_ms
            heappop(self._spans)
        return None

    def pop(self, now_ms: int) -> str | None:
        """The next one that is due; None when none is."""
        while self._spans and self._spans[0] <= now_ms >> _SPAN_BITS:
            self._begin(heappop(self._spans))
        if not self._soon or self._soon[0][0] > now_ms:
            return None
        return heappop(self._soon)[1]

    def _begin(self, number: int) -> None:
        self._begun = max(self._begun, number + 1)
        span = self._later.pop(number, None)
        if span is not None:
            self._soon += [(at_ms, name) for name, at_ms in span.due.items()]
            heapify(self._soon)
