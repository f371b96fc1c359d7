"""How long a command's caller waits, and who has waited too long.

A caller says so in `Request-Timeout-Ms`, counted from the last header's arrival
here: what gRPC's `grpc-timeout` and Envoy's `x-envoy-expected-rq-timeout-ms` say,
as a plain whole number.  Relative, so that nobody's clocks are compared; RFC
7240's `Prefer: wait` counts in whole seconds, which is too coarse here.

Two moments follow.  At the *deadline* the caller is told "unknown".  A little
before, at the last moment to *decide*, the command may not be decided any more:
then it ends as "nothing was done", in time for its caller to hear it.  The
second goes with it to the node, on the system's `perf_counter`: a node is
reached by a Unix socket, so it reads the same clock.

Callers who wait equally long queue up in the order they came, so only the first
of each queue is looked at, and nobody needs a timer.
"""

from typing import Generic, TypeVar

from gateway.problems import INVALID_FIELD, FieldError, Refusal
from processor import limits

HEADER = b"request-timeout-ms"
_FINE_MS, _COARSE_MS = 10, 100  # Steps of queues, below and from a second on.

W = TypeVar("W")


class Patience(Generic[W]):
    """Those who wait equally long, in the order they came, and since when."""

    __slots__ = ("decide_ms", "seconds", "waiting")

    def __init__(self, timeout_ms: int) -> None:
        self.seconds = timeout_ms / 1_000
        self.decide_ms = timeout_ms - min(
            timeout_ms // limits.ANSWER_TIME_DIVISOR, limits.ANSWER_TIME_MS_MAX
        )
        self.waiting: dict[W, float] = {}


class Deadlines(Generic[W]):
    """Every Patience there is; a timeout of 0 stands for the longest."""

    def __init__(self, timeout_ms_max: int) -> None:
        self._timeout_ms_max = timeout_ms_max
        self._by_timeout: dict[int, Patience[W]] = {}
        self.longest = self.of(0)

    def of(self, timeout_ms: int) -> Patience[W]:
        """The one of a timeout; rounded up, so that nobody hears "unknown" early."""
        patience = self._by_timeout.get(timeout_ms)
        if patience is None:
            patience = self._rounded(timeout_ms)
            self._by_timeout[timeout_ms] = patience
        return patience

    def _rounded(self, timeout_ms: int) -> Patience[W]:
        step_ms = _FINE_MS if timeout_ms < 1_000 else _COARSE_MS
        rounded_ms = -(-timeout_ms // step_ms) * step_ms
        if timeout_ms == 0 or rounded_ms >= self._timeout_ms_max:
            rounded_ms = self._timeout_ms_max
        if rounded_ms in self._by_timeout:
            return self._by_timeout[rounded_ms]
        return self._by_timeout.setdefault(rounded_ms, Patience(rounded_ms))

    def overdue(self, now_seconds: float) -> list[W]:
        """Everybody who has waited too long by now."""
        found = []
        for patience in set(self._by_timeout.values()):
            since_seconds = now_seconds - patience.seconds
            for waiting, submitted_seconds in patience.waiting.items():
                if submitted_seconds > since_seconds:
                    break  # In order of their submission.
                found.append(waiting)
        return found


def timeout_ms_of(value: bytes | None) -> int:
    """What the header says, 0 if it is not there; Refusal if that is no number."""
    if value is None:
        return 0
    if not value.isdigit() or len(value) > 9 or not int(value):
        must_be = "must be a whole number of milliseconds from 1 on"
        raise Refusal(
            INVALID_FIELD,
            f"The Request-Timeout-Ms header {must_be}.",
            (FieldError("Request-Timeout-Ms", must_be),),
        )
    return min(int(value), limits.ANSWER_WAIT_MS_MAX)
