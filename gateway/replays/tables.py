"""Read a table of a file, plain or gzip: its columns, its lines, its digest.

Whatever is wrong with a file is an UnreadableFile that says where.  What is
wrong with a single row is for its form to judge.
"""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_GZIP_MAGIC: Final = b"\x1f\x8b"
_CHUNK_BYTES: Final = 1 << 20


class UnreadableFile(Exception):
    """The file is not of the form; the message says where and why."""


@contextmanager
def opened(path: Path) -> Iterator[gzip.GzipFile | io.BufferedReader]:
    """The content of a file; a torn or absent one is an UnreadableFile."""
    try:
        with path.open("rb") as stream:
            packed = stream.read(2) == _GZIP_MAGIC
        with gzip.open(path, "rb") if packed else path.open("rb") as content:
            yield content
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableFile(f"{path.name}: {error}") from error


def content_digest(path: Path) -> str:
    """Eight hexadecimal digits of the content, the same plain or gzip."""
    digest = hashlib.sha256()
    with opened(path) as content:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()[:8]


def header_of(path: Path) -> list[str]:
    """The names of the columns; nothing of an empty file."""
    with opened(path) as content:
        line = content.readline(_CHUNK_BYTES)
    try:
        (cells,) = csv.reader([line.decode("utf-8-sig")]) if line else [[]]
    except (csv.Error, UnicodeDecodeError, ValueError) as error:
        raise UnreadableFile(f"{path.name}, line 1: {error}") from error
    return [cell.strip() for cell in cells]


def column_order(name: str, header: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Where each column stands; UnreadableFile when one is missing."""
    found = [title.strip() for title in header]
    for column in columns:
        if column not in found:
            raise UnreadableFile(f"{name}, line 1: there is no column {column}")
    return [found.index(column) for column in columns]


def shortened(value: str) -> str:
    """A cell as a message shows it."""
    return repr(value if len(value) <= 40 else value[:40] + "…")
