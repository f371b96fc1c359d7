"""A journal's segments in memory: what is durable, and nothing else.

Each call is durable when it returns, or raises `PowerCut` before it does
anything; whoever holds it can cut the power at any one of them.
"""

from collections.abc import Iterator

import msgspec

from processor.chain import Batch, Fenced, Head, Identity, Point, beginning_of
from processor.pieces import MemoryPieces


class PowerCut(Exception):
    """Nothing of this call was done, nor will anything be."""


class File(msgspec.Struct):
    """What is durable of one segment."""

    identity: Identity
    begin: Point | None
    end: Point | None = None
    epoch: int = 0
    rows: list[Batch] = []
    is_settled: bool = False


class Disk:
    """Files by number; it outlives whoever writes them."""

    def __init__(self) -> None:
        self.files: dict[int, File] = {}
        self.calls_left = -1  # Until the power is cut; below zero it never is.

    def spend(self) -> None:
        if self.calls_left == 0:
            raise PowerCut
        self.calls_left -= 1


class MemorySegment:
    """One segment, written or settled."""

    def __init__(self, disk: Disk, number: int) -> None:
        self._disk = disk
        self._file = disk.files[number]

    def begin(self, begin: Point) -> None:
        self._disk.spend()
        assert self._file.begin is None
        self._file.begin, self._file.epoch = begin, begin.epoch

    def take(self) -> int:
        self._disk.spend()
        assert self._file.end is None
        self._file.epoch += 1
        return self._file.epoch

    def append(self, row: Batch) -> None:
        self._disk.spend()
        self._prove(row.epoch)
        self._file.rows.append(row)

    def seal(self, end: Point) -> None:
        self._disk.spend()
        self._prove(end.epoch)
        self._file.end, self._file.epoch = end, 0

    def _prove(self, epoch: int) -> None:
        if epoch != self._file.epoch:
            raise Fenced("a later writer")

    async def read(self, after_sequence: int, rows: int) -> list[Batch]:
        found = [r for r in self._file.rows if r.first_sequence > after_sequence]
        return found[:rows]

    def row_of(self, sequence: int) -> Batch:
        return next(r for r in self._file.rows if r.last_sequence >= sequence)

    async def settle(self) -> None:
        self._disk.spend()
        self._file.is_settled = True

    async def close(self) -> None:
        pass


class SettledSegment:
    """The same, for anybody."""

    def __init__(self, file: File) -> None:
        assert file.is_settled
        self._rows = file.rows

    def read(self, after_sequence: int, rows: int) -> list[Batch]:
        found = [row for row in self._rows if row.first_sequence > after_sequence]
        return found[:rows]

    def row_of(self, sequence: int) -> Batch:
        return next(row for row in self._rows if row.last_sequence >= sequence)

    def close(self) -> None:
        pass


class MemoryStorage:
    """The segments of one journal on a disk."""

    name = "a journal in memory"

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self.pieces = MemoryPieces()

    def name_of(self, number: int) -> str:
        return f"segment {number}"

    def heads(self) -> list[Head]:
        return [
            Head(self.name_of(number), number, file.identity, file.begin, file.end)
            for number, file in sorted(self._disk.files.items())
        ]

    async def create(self, number: int, identity: Identity) -> None:
        self._disk.spend()
        begin = beginning_of(identity) if number == 1 else None
        self._disk.files.setdefault(number, File(identity, begin))

    async def open(self, number: int) -> MemorySegment:
        return MemorySegment(self._disk, number)

    def settle(self, number: int) -> None:
        self._disk.spend()
        self._disk.files[number].is_settled = True

    def sealed(self, number: int) -> SettledSegment:
        return SettledSegment(self._disk.files[number])

    def saved(self) -> Iterator[tuple[str, int, bytes]]:
        return iter(())

    def close(self) -> None:
        pass
