"""The overload benchmark in miniature: a real server, flooded, with its books."""

from pathlib import Path

import pytest

from benchmarks.overload import recovered_seconds
from benchmarks.press import Flooded
from tests.integration.running import run_benchmark


@pytest.mark.slow
def test_a_flooded_server_goes_on_and_its_books_are_right(disk: Path) -> None:
    figures, told = run_benchmark(
        *("overload", "--quick"),
        *("--seconds", "1.5", "--around-seconds", "0.5", "--accounts", "200"),
        *("--connections", "400", "--work-dir", str(disk)),
    )
    assert figures["peak_goodput_per_s"] > 0
    assert figures["offered_per_s"] > 2 * figures["capacity_per_s"]
    # How much is a question for a quiet machine; that it goes on is not.
    assert figures["flood_goodput_per_s"] > 0
    assert figures["modest_beside_approved"] > 0
    before, most, after = figures["gateway_rss_mb"]
    assert max(most, after) < before + 100
    assert "books: " in told  # It has compared them.
    assert [] == list(disk.iterdir())


def test_recovered_is_from_when_on_nearly_all_is_approved() -> None:
    def calm(approved: list[int]) -> Flooded:
        nothing = dict.fromkeys(Flooded.__struct_fields__, 0)
        bins = {"due_in": [100] * 4, "approved_in": approved, "refused_in": [0] * 4}
        return Flooded(**(nothing | bins))  # type: ignore[arg-type]

    assert 0.0 == recovered_seconds(calm([95, 99, 100, 96]))
    assert 0.2 == recovered_seconds(calm([100, 90, 100, 100]))
    assert recovered_seconds(calm([100, 100, 100, 94])) is None
