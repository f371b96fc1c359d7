"""What a node knows is not walked over by the garbage collector."""

import gc

from actors.frozen import Frozen


def test_what_has_come_is_frozen_from_time_to_time() -> None:
    frozen = Frozen()
    known = [[n] for n in range(10_000)]
    before = gc.get_freeze_count()
    try:
        frozen.grown(60_000)
        assert before == gc.get_freeze_count()
        frozen.grown(6_000)
        assert gc.get_freeze_count() >= before + len(known)
        frozen.grown(60_000)
        seen = {id(item) for item in gc.get_objects()}
        assert not seen & {id(item) for item in known}
    finally:
        gc.unfreeze()


def test_a_young_cycle_is_collected_first() -> None:
    class Node:
        other: "Node | None" = None

    gc.collect()
    one, two = Node(), Node()
    one.other, two.other = two, one
    gone = {id(one), id(two)}
    del one, two
    try:
        Frozen().grown(70_000)
        gc.unfreeze()
        left = {id(item) for item in gc.get_objects() if isinstance(item, Node)}
        assert not gone & left
    finally:
        gc.unfreeze()
