"""How long commands wait at a node, whose they are, and how many more may come.

Commands are numbered in the order they are sent, and a node takes them in that
order.  So what waits there is what was sent after the latest command that was
answered; a command that the node has set aside (for reserve) is not counted
once a later one was answered.

The bound is one of time.  One command after the other is a probe: how long it
waited, and how many were answered meanwhile.  By Little's law (L = λW) the rate
of answers, times the wait that is aimed at, is how many may be on their way.
While a probe waits less than that, the bound only grows; when one waits longer,
it falls at once to what would not have.  Measuring the wait and not the length
is what CoDel does (RFC 8289).  The time in which the gateway itself was busy with
other requests is no wait at the node: sending less there would not shorten it, and
sending away costs the gateway time, too.

Senders share the bound by dynamic thresholds (Choudhury and Hahne, IEEE/ACM
Transactions on Networking 6(2), 1998): each may have in flight a multiple of
what is *left* of it.  Alone, a sender gets most of it; each that comes takes an
equal part without anybody counting who is active; and what is never given away
lets the modest in, however hard others press.

No I/O and no clock: who calls says what time it is.
"""

from bisect import bisect_left

from processor import limits

WAIT_BUCKETS_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
)  # fmt: skip
_TARGET_SECONDS = limits.NODE_WAIT_MS_TARGET / 1_000
_LEAST = limits.NODE_COMMANDS_LEAST
_LEAST_SECONDS = 1e-6
_SENDERS_LEAST = limits.SENDER_COMMANDS_LEAST
_MOST = limits.WINDOW_COMMANDS_MAX

# Why commands are sent away, by whom it is decided.
REASONS = (
    *("door_busy", "door_full", "key_full", "no_room"),
    *("node_busy", "too_late", "unreachable"),
)
# Of what is left, what a sender of weight 1 may have in flight.
SINGLE = 4
BULK = 1  # Gives way to whoever waits for one answer.


class Sender:
    """Who commands come from, with what is in flight of his at all nodes."""

    __slots__ = (
        *("admitted", "in_flight", "in_flight_max", "name", "refused", "weight"),
        *("_late", "_turn"),
    )

    def __init__(self, name: str, weight: int = 1, in_flight_max: int = 0) -> None:
        assert weight > 0
        self.name = name
        self.weight = weight
        self.in_flight_max = in_flight_max  # 0: no bound of his own.
        self.in_flight = 0
        self.admitted = 0
        self.refused = dict.fromkeys(REASONS, 0)
        self._turn = -1  # Of the gateway, the last one in which he came late.
        self._late = 0  # And how many of his did.

    def may_be_late(self, turn: int) -> bool:
        """Whether one more is read in a turn in which enough was read.

        So that who sends little is heard behind whoever sends much.
        """
        if turn != self._turn:
            self._turn, self._late = turn, 0
        self._late += 1
        return self._late <= limits.TURN_LATE_REQUESTS_MAX

    def was_refused(self, reason: str) -> None:
        """Count one that was sent away, for one of REASONS."""
        self.refused[reason] += 1


class Place:
    """What one sender has in flight at one node."""

    __slots__ = ("in_flight",)

    def __init__(self) -> None:
        self.in_flight = 0


class Backlog:
    """What is on its way to one node and back."""

    def __init__(self) -> None:
        self.limit = limits.NODE_COMMANDS_FIRST
        self.wait_seconds = 0.0  # Of the last probe.
        self.is_slow = False  # Whether that was too long.
        self.wait_buckets = [0] * (len(WAIT_BUCKETS_SECONDS) + 1)
        self.wait_seconds_total = 0.0
        self._places: dict[Sender, Place] = {}
        self.last = 0  # The last number sent, and the last one answered.
        self._answered = 0
        self.probe = 0  # Its number; 0 when there is none.
        self._probe_sent_seconds = 0.0
        self._answered_before = 0

    @property
    def waiting(self) -> int:
        """How many the node has not come to yet."""
        return self.last - self._answered

    def enter(self, sender: Sender, part: int) -> Place | None:
        """Count one more command of a sender, or None if there is no room for it.

        `part` is SINGLE or BULK.  `sent` must follow; who settles the command takes
        one off the place.
        """
        place = self._places.get(sender)
        if place is None:
            place = self._places[sender] = Place()
        own = place.in_flight
        left = self.limit - self.last + self._answered
        if own < part * sender.weight * left or own < _SENDERS_LEAST:
            place.in_flight = own + 1
            return place
        return None

    def has_room(self, sender: Sender) -> bool:
        """Whether one more of a sender's, that waits for one answer, would fit."""
        place = self._places.get(sender)
        own = 0 if place is None else place.in_flight
        left = self.limit - self.last + self._answered
        return own < SINGLE * sender.weight * left or own < _SENDERS_LEAST

    def is_too_long(self, left_seconds: float) -> bool:
        """Whether a command with so little time left would come to nothing."""
        return self.wait_seconds > left_seconds and self.last > self._answered

    def sent(self, number: int, now_seconds: float) -> None:
        """A command or query is on its way; with a probe, only `last` moves."""
        self.last = number
        if not self.probe:
            self.probe = number
            self._probe_sent_seconds = now_seconds
            self._answered_before = self._answered

    def reached(self, number: int, now_seconds: float, own_seconds: float) -> None:
        """The node has come as far as this number.

        `own_seconds` is for how long the gateway did not look.
        """
        if number > self._answered:
            self._answered = number
        if 0 < self.probe <= number:
            waited_seconds = max(now_seconds - self._probe_sent_seconds, _LEAST_SECONDS)
            self._measure(
                waited_seconds, max(waited_seconds - own_seconds, _LEAST_SECONDS)
            )

    def broke(self) -> None:
        """The connection is gone, and all that was on its way."""
        self._places.clear()
        self._answered = self.last
        self.probe = 0

    def _measure(self, waited: float, waited_at_node: float) -> None:
        answered = self._answered - self._answered_before
        fitting = answered * _TARGET_SECONDS / waited_at_node
        self.is_slow = waited_at_node > _TARGET_SECONDS
        if self.is_slow:
            self.limit = int(max(_LEAST, (self.limit + fitting) / 2))
        elif fitting > self.limit:
            self.limit = int(min(_MOST, self.limit + (fitting - self.limit) / 8 + 1))
        self.probe = 0
        self.wait_seconds = waited
        self.wait_seconds_total += waited
        self.wait_buckets[bisect_left(WAIT_BUCKETS_SECONDS, waited)] += 1
