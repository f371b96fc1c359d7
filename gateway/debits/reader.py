"""Lines of a direct-debit file: which repayment settled, and which was returned.

A CSV with the header `repayment_id,result,reference`.  Each physical line stands
for itself: one that cannot be read is named with what would put it right, and
stops no other.  The same line has the same Idempotency-Key for ever, so a file
may be sent any number of times.
"""

import csv
from collections.abc import Iterator
from enum import StrEnum
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import msgspec

from gateway.fields import FIELDS

HEADER = ("repayment_id", "result", "reference")
LINE_BYTES_MAX = 4_096
_KEY_BYTES = 16


class UnreadableFile(Exception):
    """The file is none of direct-debit results; the message says why."""


class Result(StrEnum):
    """What became of a direct debit."""

    SETTLED = "settled"
    RETURNED = "returned"


class Debit(msgspec.Struct, frozen=True):
    """One line: what the bank says of one repayment."""

    line: int
    repayment_id: str
    result: Result
    reference: str

    @property
    def request_id(self) -> str:
        """The Idempotency-Key: of what the line says, not of where it stands."""
        said = "\n".join((self.repayment_id, self.result.value, self.reference))
        return f"debit-{blake2b(said.encode(), digest_size=_KEY_BYTES).hexdigest()}"


class Malformed(msgspec.Struct, frozen=True):
    """A line that cannot be read, and what would put it right."""

    line: int
    why: str


def line_count(file: Path) -> int:
    """How many lines there are below the header, about: for a progress bar."""
    with _opened(file) as lines:
        return max(0, sum(1 for _ in lines) - 1)


def read_debits(file: Path) -> Iterator[Debit | Malformed]:
    """Every line in its place; UnreadableFile if it is no such file at all."""
    with _opened(file) as lines:
        _check_header(file, next(lines, b""))
        for number, line in enumerate(lines, 2):
            if line.strip():
                yield _debit_of(number, line)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise UnreadableFile(f"{file} cannot be read: {error.strerror}") from None


def _check_header(file: Path, line: bytes) -> None:
    try:
        found = line.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        found = ""
    if tuple(part.strip().lower() for part in found.split(",")) == HEADER:
        return
    hint = ""
    if ";" in found or "\t" in found:
        hint = " (save it with commas between the fields)"
    raise UnreadableFile(
        f"{file}:1: the first line must be {','.join(HEADER)}{hint}; it is"
        f" {found[:80]!r}"
    )


def _debit_of(number: int, line: bytes) -> Debit | Malformed:
    if len(line) > LINE_BYTES_MAX:
        return Malformed(number, f"has more than {LINE_BYTES_MAX} bytes; split it")
    try:
        (row,) = csv.reader([line.decode().rstrip("\r\n")], strict=True)
    except UnicodeDecodeError:
        return Malformed(number, "is not UTF-8; save the file as UTF-8")
    except csv.Error as error:
        return Malformed(number, f"cannot be read ({error}); close its quotes")
    if len(row) != len(HEADER):
        return Malformed(
            number,
            f"has {_fields(len(row))}, not {len(HEADER)}: write {','.join(HEADER)}"
            " (the reference may be empty, a comma in it needs quotes)",
        )
    repayment_id, result, reference = (part.strip() for part in row)
    for name, value in (("repayment_id", repayment_id), ("reference", reference)):
        if not _is_possible(name, value):
            must_be = FIELDS[name].must_be
            return Malformed(number, f"{name} {value[:80]!r} must be {must_be}")
    if result.lower() not in set(Result):
        known = " or ".join(Result)
        return Malformed(number, f"result {result[:80]!r} is not known; write {known}")
    return Debit(number, repayment_id, Result(result.lower()), reference)


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _is_possible(name: str, value: str) -> bool:
    try:
        msgspec.convert(value, FIELDS[name].type)
    except msgspec.ValidationError:
        return False
    return True
