"""The soak in miniature: a real server, pressed and killed, and what it would find."""

from pathlib import Path

import pytest

from benchmarks.soak import Slice, judged
from tests.integration.running import run_benchmark


@pytest.mark.slow
def test_a_soak_kills_and_finds_nothing_wrong(disk: Path) -> None:
    figures, told = run_benchmark(
        *("soak", "--hours", "0.002", "--slice-seconds", "1.5", "--kill-every", "3"),
        *("--work-dir", str(disk)),
    )
    assert [] == figures["failed"]
    # In the third slice; there is hardly time for a sixth.
    assert 1 <= figures["kills"] == told.count('"killed":"s')
    assert figures["commands"] > 1_000
    assert min(figures["gateway_mb"] + figures["nodes_mb"]) > 10
    assert min(figures["open_files"] + figures["files"]) > 3
    assert '"killed":"settlement"' in told
    assert [] == list(disk.iterdir())


def slices(**last: int) -> list[Slice]:
    """Six of them, the last two as said."""
    usual = {"gateway_mb": 100, "nodes_mb": 500, "open_files": 90, "files": 40}
    return [
        Slice("", 1.0, 2.0, 100_000, 0, 0, **(usual | (last if number > 3 else {})))
        for number in range(6)
    ]


def test_what_grows_is_found() -> None:
    # 400 000 commands lie between the middles of the two thirds: 6 MB of 16 bytes.
    assert [] == judged(slices())
    assert [] == judged(slices(gateway_mb=132, nodes_mb=538, open_files=106, files=56))
    for name, found in {
        "gateway_mb": 133,
        "nodes_mb": 539,
        "open_files": 107,
        "files": 57,
    }.items():
        (complaint,) = judged(slices(**{name: found}))
        assert name in complaint
    turned_away = Slice("", 1.0, 2.0, 1_000, 1, 1, 100, 500, 90, 40)
    (complaint,) = judged([*slices(), turned_away])
    assert "1 refused, 1 unknown of 1000 in slice 6" == complaint
