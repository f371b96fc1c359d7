"""The bound of what waits at a node, against a node in virtual time."""

from collections import deque

import pytest

from actors.backlog import BULK, SINGLE, Backlog, Place, Sender
from processor import limits

TICK_SECONDS = 0.001


class SlowNode:
    """Answers so many a tick, in order, and keeps how long each has waited."""

    def __init__(self, per_tick: int) -> None:
        self.per_tick = per_tick
        self.backlog = Backlog()
        self.now_seconds = 1.0
        self.queue: deque[tuple[int, Sender, Place, float]] = deque()
        self.waited: dict[Sender, list[float]] = {}
        self.refused: dict[Sender, int] = {}
        self._last = 0

    def offer(self, sender: Sender, count: int, part: int = SINGLE) -> None:
        for _ in range(count):
            place = self.backlog.enter(sender, part)
            if place is None:
                self.refused[sender] = self.refused.get(sender, 0) + 1
                continue
            self._last += 1
            self.backlog.sent(self._last, self.now_seconds)
            self.queue.append((self._last, sender, place, self.now_seconds))

    def tick(self) -> None:
        self.now_seconds += TICK_SECONDS
        answered = [
            self.queue.popleft() for _ in range(min(self.per_tick, len(self.queue)))
        ]
        if answered:
            self.backlog.reached(answered[-1][0], self.now_seconds, 0.0)
        for _, sender, place, sent_seconds in answered:
            place.in_flight -= 1
            self.waited.setdefault(sender, []).append(self.now_seconds - sent_seconds)


def flood(node: SlowNode, seconds: float, *offered: tuple[Sender, float]) -> None:
    """So many a tick of each sender, for so long."""
    owed = [0.0 for _ in offered]
    for _ in range(round(seconds / TICK_SECONDS)):
        for number, (sender, per_tick) in enumerate(offered):
            owed[number] += per_tick
            count = int(owed[number])
            owed[number] -= count
            node.offer(sender, count)
        node.tick()


@pytest.mark.parametrize("per_tick", [8, 25, 60])
def test_at_three_times_the_capacity_the_node_stays_busy_and_the_wait_short(
    per_tick: int,
) -> None:
    node, sender = SlowNode(per_tick), Sender("a")
    flood(node, 2.0, (sender, 3 * per_tick))  # The first burst is worked off in it.
    node.waited.clear()
    flood(node, 3.0, (sender, 3 * per_tick))
    waited = sorted(node.waited[sender])
    capacity = 3.0 / TICK_SECONDS * per_tick
    assert len(waited) >= 0.99 * capacity
    assert waited[-1] <= 2 * limits.NODE_WAIT_MS_TARGET / 1_000
    assert node.refused[sender] > capacity


def test_within_the_capacity_nothing_is_refused_before_and_after() -> None:
    node, sender = SlowNode(20), Sender("a")
    flood(node, 1.0, (sender, 18))
    assert node.refused == {}
    flood(node, 2.0, (sender, 60))
    node.refused.clear()
    flood(node, 0.2, (sender, 12))  # What still waits is worked off in it.
    node.refused.clear()
    node.waited.clear()
    flood(node, 1.0, (sender, 12))
    assert node.refused == {}
    assert max(node.waited[sender]) <= 0.01


def test_the_modest_are_let_in_however_hard_others_press() -> None:
    node = SlowNode(20)
    greedy, modest = Sender("greedy"), Sender("modest")
    flood(node, 2.0, (greedy, 100), (modest, 1))
    node.waited.clear()
    node.refused.clear()
    flood(node, 2.0, (greedy, 100), (modest, 1))
    assert modest not in node.refused
    assert len(node.waited[modest]) >= 1_900
    assert max(node.waited[modest]) <= 2 * limits.NODE_WAIT_MS_TARGET / 1_000
    assert len(node.waited[greedy]) >= 18 * 2_000


def test_who_press_alike_get_alike_and_by_their_weight() -> None:
    node = SlowNode(20)
    one, other, double = Sender("one"), Sender("other"), Sender("double", weight=2)
    flood(node, 2.0, (one, 40), (other, 40), (double, 40))
    node.waited.clear()
    flood(node, 2.0, (one, 40), (other, 40), (double, 40))
    shares = [len(node.waited[sender]) / 40_000 for sender in (one, other, double)]
    assert shares == pytest.approx([0.25, 0.25, 0.5], abs=0.07)


def test_a_bulk_request_leaves_room_for_single_commands_of_the_same_key() -> None:
    node, sender = SlowNode(20), Sender("a")
    node.offer(sender, 10_000, BULK)
    in_bulk = len(node.queue)
    assert in_bulk == limits.NODE_COMMANDS_FIRST // 2
    node.offer(sender, 100)
    assert len(node.queue) == in_bulk + 100


def test_a_slow_node_gets_less_and_never_less_than_the_least() -> None:
    node, sender = SlowNode(1), Sender("a")
    flood(node, 4.0, (sender, 10))
    assert node.backlog.limit == limits.NODE_COMMANDS_LEAST
    node.per_tick = 60
    flood(node, 1.0, (sender, 40))
    node.refused.clear()
    flood(node, 1.0, (sender, 40))
    assert node.backlog.limit > limits.NODE_COMMANDS_LEAST
    assert node.refused == {}


def test_the_gateways_own_delay_is_not_the_nodes() -> None:
    backlog, sender = Backlog(), Sender("a")
    for own_seconds, is_slow in ((0.1, False), (0.0, True), (0.1, False)):
        number = backlog.waiting + backlog._answered + 1
        place = backlog.enter(sender, SINGLE)
        assert place is not None
        backlog.sent(number, 1.0)
        backlog.reached(number, 1.12, own_seconds)
        place.in_flight -= 1
        assert backlog.is_slow is is_slow
    assert backlog.enter(sender, SINGLE)
    backlog.sent(4, 1.0)
    backlog.reached(4, 1.5, 0.49)
    assert not backlog.is_slow  # Sending less would cost the gateway even more.


def test_what_is_set_aside_does_not_count_once_others_are_answered() -> None:
    backlog, sender = Backlog(), Sender("a")
    for number in (1, 2, 3):
        assert backlog.enter(sender, SINGLE)
        backlog.sent(number, 1.0)
    backlog.reached(3, 1.001, 0.0)  # 1 and 2 wait for reserve.
    assert backlog.waiting == 0


def test_nothing_is_on_its_way_on_a_new_connection() -> None:
    backlog, sender = Backlog(), Sender("a")
    for number in range(1, 11):
        assert backlog.enter(sender, SINGLE)
        backlog.sent(number, 1.0)
    backlog.broke()
    assert backlog.waiting == 0
    place = backlog.enter(sender, SINGLE)
    assert place is not None
    assert place.in_flight == 1  # Counted anew: this is the only one.


def test_a_command_that_would_wait_too_long_is_known_while_others_wait() -> None:
    backlog, sender = Backlog(), Sender("a")
    for number in (1, 2):
        assert backlog.enter(sender, SINGLE)
        backlog.sent(number, 1.0)
    backlog.reached(1, 1.3, 0.0)
    assert backlog.is_too_long(0.2)
    assert not backlog.is_too_long(0.4)
    backlog.reached(2, 1.4, 0.0)
    assert not backlog.is_too_long(0.2)  # Nobody is before it.
