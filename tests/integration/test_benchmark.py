"""The benchmark of authorizations, in miniature: its line, and its honesty."""

from pathlib import Path

import pytest

from benchmarks import versus
from benchmarks.machine import NoDisk, disk_of, file_system, work_directory
from benchmarks.press import Press, PressFailed
from tests.integration.running import run_benchmark

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_benchmark_counts_what_the_server_counts(disk: Path) -> None:
    figures, told = run_benchmark(
        *("authorize", "--quick"),
        *("--rounds", "2", "--seconds", "0.3", "--accounts", "500"),
        *("--shards", "1", "--work-dir", str(disk)),
    )
    assert figures["authorize_per_s"] > 0
    assert figures["noop_per_s"] > 0
    assert figures["noop_direct_per_s"] > 0
    assert 0 < figures["ratio"]
    assert 0 < figures["ratio_direct"]
    assert (
        0 < figures["median_ms_1_connection"] <= figures["p99_ms_1_connection"] < 1_000
    )
    assert figures["approved"] == figures["approved_by_server"] > 0
    assert (2, 64) == (figures["rounds"], figures["connections"])
    assert 1 == figures["shards"]
    assert 0 <= figures["used_by_others"] <= 1
    assert "/v1/noop " in told
    assert "/v1/noop-direct " in told
    assert [] == list(disk.iterdir())  # It cleans up after itself.


@pytest.mark.slow
def test_two_checkouts_are_pressed_in_turn_and_both_books_agree(disk: Path) -> None:
    figures, _ = run_benchmark(
        *("versus", str(ROOT)),
        *("--rounds", "2", "--seconds", "0.3", "--work-dir", str(disk)),
    )
    assert min(figures["this_per_s"], figures["other_per_s"]) > 0
    assert min(figures["this_cpu_us"], figures["other_cpu_us"]) > 0
    first, _, last = figures["ratio_quartiles"]
    assert 0 < first <= figures["ratio"] <= last
    assert figures["approved"] > 0
    assert [] == list(disk.iterdir())


def test_what_is_no_checkout_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        versus.main([str(tmp_path)])


def test_a_press_without_a_server_says_why(tmp_path: Path) -> None:
    press = Press(tmp_path, 9, "fb_a_b", 1)
    with pytest.raises(PressFailed, match="connect"):
        press.run("/v1/noop", 1, 0.1)


def test_journals_in_memory_are_refused() -> None:
    in_memory = Path("/dev/shm")
    if not in_memory.is_dir():
        pytest.skip("no file system in memory here")
    assert "tmpfs" == file_system(in_memory)[0]
    with pytest.raises(NoDisk, match="real disk"):
        work_directory(in_memory)


def test_a_sync_on_a_real_disk_takes_time(tmp_path: Path) -> None:
    disk = disk_of(tmp_path)
    assert tmp_path == disk.directory
    assert disk.sync_ms_median > 0
    assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_audit_is_measured_with_and_without_a_shelf() -> None:
    figures, told = run_benchmark("audit", "--records", "4000")
    assert 4_000 == figures["records"]
    for way in ("in_memory", "shelved"):
        assert figures[f"{way}_cpu_s"] > 0
        assert figures[f"{way}_mib"] >= 0
        assert f"{way}: " in told
