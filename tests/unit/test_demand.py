"""How much headroom a shard wants ahead: a guess, but a modest and steady one."""

from processor.demand import Demand


def test_who_spends_nothing_wants_nothing() -> None:
    demand = Demand()
    assert [0, 0, 0] == [demand.wanted_minor(0, ms) for ms in (0, 1_000, 60_000)]


def test_what_was_spent_lately_is_wanted_ahead_of_need() -> None:
    demand = Demand()
    for ms in range(0, 2_000, 250):
        demand.spend(100)
        demand.wanted_minor(10**9, ms)
    demand.spend(100)
    assert 400 <= demand.wanted_minor(0, 2_000) <= 800  # Of 400 a second.


def test_half_of_what_is_wanted_is_enough() -> None:
    demand = Demand()
    demand.spend(500)
    assert 0 == demand.wanted_minor(500, 100)
    assert 501 == demand.wanted_minor(499, 100)


def test_nobody_is_asked_again_at_once() -> None:
    demand = Demand()
    demand.spend(500)
    assert 1_000 == demand.wanted_minor(0, 100)
    assert 0 == demand.wanted_minor(0, 349)
    assert 1_000 == demand.wanted_minor(0, 350)


def test_demand_fades_when_nothing_is_spent() -> None:
    demand = Demand()
    demand.spend(1_000)
    wanted = [demand.wanted_minor(0, 1_000 * second) for second in range(1, 12)]
    assert wanted == sorted(wanted, reverse=True)
    assert 0 == wanted[-1]
