"""The journals of format 1: one file a node, before there were segments.

Written by a server of two shards that all stories of the scenario book were
played on, one after the other, then stopped.  `format-1.json` has what that
version said of each at its end.  `digest` is of the state as it was in memory:
who gives the state another form puts the new one there, once `views_digest`, which
is of what callers read, and the audit still say the same.
"""

import json
import tarfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NAMES = ("settlement", "shard-000", "shard-001")


def unpack_format_1(data_dir: Path) -> None:
    """A data directory as that version left it."""
    with tarfile.open(HERE / "format-1.tar.xz") as archive:
        for member in archive.getmembers():
            archive.extract(member, data_dir, filter="data")


def expected_of_format_1() -> dict[str, dict[str, Any]]:
    """By the name of the file: how many of what, and what it comes to."""
    expected: dict[str, dict[str, Any]] = json.loads(
        (HERE / "format-1.json").read_text()
    )
    return expected
