"""The quick form of the strongest ordeals; `make crash` runs all at full volume."""

from pathlib import Path

import pytest

from tests.crash.corruption import flip_bits, served_directory
from tests.crash.disk_faults import fail_disk
from tests.crash.duplicates import send_many_times
from tests.crash.exhaustion import exhaust
from tests.crash.pauses import live_through_freezes
from tests.crash.power import fail_power
from tests.crash.steps import GRANT_KILLS, KILLS, live_through

pytestmark = pytest.mark.crash


async def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Whatever was answered is there once, and every balance is the model's."""
    assert await live_through(tmp_path, seed=1, faults=KILLS + GRANT_KILLS) > 0


async def test_a_frozen_node_is_replaced_and_tells_nobody_anything(
    tmp_path: Path,
) -> None:
    silences = await live_through_freezes(tmp_path, seed=3)
    assert {"settlement", "shard-000"} == silences.keys()


async def test_a_request_sent_many_times_over_two_gateways_is_done_once(
    tmp_path: Path,
) -> None:
    assert 60 == await send_many_times(tmp_path, seed=4, ids=60, sends=20)


async def test_a_reserve_is_used_to_the_last_unit_and_never_beyond(
    tmp_path: Path,
) -> None:
    assert 0 == await exhaust(tmp_path, seed=6, kills=3)


async def test_a_failing_disk_loses_nothing_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    assert await fail_disk(tmp_path, seed=9, faults=("sync EIO",)) > 0


def test_a_power_failure_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert fail_power(tmp_path, seed=1, times=12) > 0


async def test_a_flipped_bit_is_refused_or_was_not_used(tmp_path: Path) -> None:
    """In the journals and in the logs beside them, of a killed server."""
    served = await served_directory(tmp_path, is_killed=True)
    assert await flip_bits(tmp_path, served, seed=3, flips=20) > 5
