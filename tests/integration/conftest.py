"""What several of these tests start from."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.machine import work_directory


@pytest.fixture
def disk() -> Iterator[Path]:
    """A directory on a real disk; the one of `tmp_path` may be in memory."""
    directory = work_directory(None)
    yield directory
    shutil.rmtree(directory)
