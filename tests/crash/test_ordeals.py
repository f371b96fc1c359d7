"""The quick form of each ordeal; `make crash` runs them at full volume."""

from pathlib import Path

import pytest

from tests.crash.duplicates import send_many_times
from tests.crash.pauses import live_through_freezes
from tests.crash.steps import KILLS, live_through

pytestmark = pytest.mark.crash


async def test_a_kill_at_any_step_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Whatever was answered is there once, and every balance is the model's."""
    await live_through(tmp_path, seed=1, faults=KILLS)


async def test_a_frozen_node_is_replaced_and_tells_nobody_anything(
    tmp_path: Path,
) -> None:
    await live_through_freezes(tmp_path, seed=3)


async def test_a_request_sent_many_times_over_two_gateways_is_done_once(
    tmp_path: Path,
) -> None:
    await send_many_times(tmp_path, seed=4, ids=60, sends=20)
