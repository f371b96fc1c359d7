"""The data directory remembers for how short a time answers were ever kept."""

from pathlib import Path

import msgspec

from actors.manifest import kept_for, load_or_create, save, shortest_kept_ms
from processor import limits

HOUR_MS = 3_600_000


def test_the_shortest_time_that_was_ever_configured_is_kept(tmp_path: Path) -> None:
    for keep_ms, shortest_ms in ((48, 48), (96, 48), (5, 5), (48, 5)):
        manifest = load_or_create(tmp_path, 1, "2026-01-01")
        save(tmp_path, kept_for(manifest, keep_ms * HOUR_MS))
        assert shortest_ms * HOUR_MS == shortest_kept_ms(tmp_path)


def test_of_a_directory_from_before_little_is_expected(tmp_path: Path) -> None:
    """Answers were kept by number then."""
    load_or_create(tmp_path, 1, "2026-01-01")
    path = tmp_path / "cluster.json"
    fields = msgspec.json.decode(path.read_bytes())
    del fields["keep_ms_min"]
    path.write_bytes(msgspec.json.encode(fields))
    assert limits.KEEP_ANSWERS_MS_MIN == shortest_kept_ms(tmp_path)


def test_journals_without_a_manifest_are_taken_as_usual(tmp_path: Path) -> None:
    assert limits.KEEP_ANSWERS_MS == shortest_kept_ms(tmp_path)
