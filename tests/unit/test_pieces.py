"""Pieces: exact, each written once, and never served when they are damaged."""

import os
from errno import EIO, EMFILE
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from processor import limits
from processor.pieces import (
    NO_PIECES,
    NOTHING,
    MemoryPieces,
    Past,
    Piece,
    PieceDamaged,
    Read,
    check,
    fill,
    is_there,
    kept,
    put,
    read,
)
from processor.storage.snapshots import FilePieces

BODY = 4_080  # Of a block.
SIZES = [1, 15, 16, BODY - 1, BODY, BODY + 1, 3 * BODY, 10_000]


def some_bytes(size: int) -> bytes:
    return Random(size).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_read_is_what_was_put(size: int) -> None:
    pieces, content = MemoryPieces(), some_bytes(size)
    piece = put(pieces, content)
    assert piece.size == size
    check(pieces, piece)
    random = Random(1)
    for _ in range(200):
        at = random.randrange(size)
        length = random.randrange(1, size - at + 1)
        assert content[at : at + length] == read(pieces, piece, at, length)


def test_the_same_content_is_the_same_piece() -> None:
    pieces = MemoryPieces()
    assert put(pieces, b"a" * 9_000) == put(pieces, b"a" * 9_000)
    assert put(pieces, b"a" * 9_001) != put(pieces, b"a" * 9_000)
    assert 2 == len(pieces.blocks)


def test_a_flipped_bit_is_noticed_wherever_it_is() -> None:
    content = some_bytes(2 * BODY + 100)
    pieces = MemoryPieces()
    piece = put(pieces, content)
    sound = pieces.blocks[piece.name]
    for place in [*range(0, len(sound), 97), len(sound) - 1]:
        octets = bytearray(sound)
        octets[place] ^= 1 << place % 8
        pieces.blocks[piece.name] = bytes(octets)
        block = place // 4_096
        told = f"piece {piece.name} is damaged in block {block}; it was set aside"
        with pytest.raises(PieceDamaged, match=told):
            read(pieces, piece, BODY * block, 1)
        assert not is_there(pieces, piece)


def test_another_block_or_another_piece_is_not_taken_for_it() -> None:
    first, second = some_bytes(2 * BODY), some_bytes(2 * BODY + 1)[: 2 * BODY]
    pieces = MemoryPieces()
    one, two = put(pieces, first), put(pieces, second)
    blocks = pieces.blocks[one.name]
    pieces.blocks[one.name] = blocks[4_096:] + blocks[:4_096]
    with pytest.raises(PieceDamaged, match="block 0"):
        read(pieces, one, 0, 1)
    pieces.blocks[one.name] = pieces.blocks[two.name]
    assert is_there(pieces, one)
    with pytest.raises(PieceDamaged, match="block 1"):
        read(pieces, one, BODY, 1)


def test_one_that_is_cut_short_or_gone_is_not_there() -> None:
    pieces = MemoryPieces()
    piece = put(pieces, some_bytes(5_000))
    sound = pieces.blocks[piece.name]
    for blocks in (sound[:-1], sound[:4_096], sound + b"x"):
        pieces.blocks[piece.name] = blocks
        assert not is_there(pieces, piece)
    pieces.blocks[piece.name] = sound[:4_096]
    with pytest.raises(PieceDamaged, match="block 1"):
        read(pieces, piece, 4_500, 1)
    with pytest.raises(PieceDamaged, match=f"piece {piece.name} cannot be read"):
        read(pieces, piece, 0, 1)


@pytest.mark.parametrize(("number", "is_left"), [(EIO, False), (EMFILE, True)])
def test_what_the_disk_cannot_read_is_set_aside(number: int, is_left: bool) -> None:
    class BadDisk(MemoryPieces):
        def read(self, name: str, at: int, size: int) -> bytes:
            raise OSError(number, os.strerror(number))

    pieces = BadDisk()
    piece = put(pieces, b"abc")
    with pytest.raises(PieceDamaged, match=f"cannot be read: .*{os.strerror(number)}"):
        check(pieces, piece)
    assert is_left == is_there(pieces, piece)


def test_nothing_is_put_where_no_place_was_given() -> None:
    with pytest.raises(AssertionError, match="no place"):
        put(NO_PIECES, b"a")


# What follows.


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(limits, "PIECE_BYTES", 1_000)
    return 1_000


def test_what_is_full_is_never_written_again(small: int) -> None:
    content = some_bytes(10_000)
    pieces = MemoryPieces()
    saved: list[Piece] = []
    puts = []
    for size in (1, 500, 999, 1_000, 1_001, 4_200, 4_200, 9_999, 10_000):
        past = Past(pieces, saved)
        tail = past.rest() + content[sum(piece.size for piece in saved) : size]
        assert past.size + len(tail) == size
        before = set(pieces.blocks)

        def behind(at: int, length: int, tail: bytes = tail) -> bytes:
            return tail[at : at + length]

        followed = past.followed(pieces, behind, len(tail))
        full = [piece for piece in saved if piece.size == small]
        assert followed[: len(full)] == full
        assert size == sum(piece.size for piece in followed)
        puts.append(
            sum(map(len, [pieces.blocks[n] for n in {*pieces.blocks} - before]))
        )
        saved = followed
        for begin, end in pairwise(sorted(Random(size).sample(range(size + 1), 2) * 2)):
            found = Past(pieces, saved).read(
                begin, end - begin, behind_of(saved, pieces)
            )
            assert content[begin:end] == found
    assert puts[6] == 0  # Nothing had come.
    assert puts[7] < 5_999 + small + 10 * 16


def behind_of(saved: list[Piece], pieces: MemoryPieces) -> Read:
    rest = Past(pieces, saved).rest()
    return lambda at, size: rest[at : at + size]


def test_nothing_is_followed_by_nothing() -> None:
    assert [] == NOTHING.followed(NO_PIECES, lambda at, size: b"", 0)
    assert b"" == NOTHING.rest()


@pytest.mark.parametrize("size", [8, 992, 1_000, 2_000, 4_008])
def test_a_buffer_is_filled_with_what_was_kept(small: int, size: int) -> None:
    pieces, content = MemoryPieces(), some_bytes(size)
    saved = kept(pieces, memoryview(content).cast("Q"))
    buffer = bytearray(size)
    fill(memoryview(buffer).cast("Q"), pieces, saved)
    assert content == buffer
    with pytest.raises(AssertionError):
        fill(memoryview(bytearray(size + 8)), pieces, saved)


# Files.


def test_files_keep_them_by_name(tmp_path: Path) -> None:
    path = tmp_path / "shard-000.journal"
    pieces = FilePieces(path)
    kept = [put(pieces, some_bytes(size)) for size in SIZES]
    others = FilePieces(tmp_path / "shard-001.journal")
    theirs = put(others, b"theirs")
    again = FilePieces(path)
    for piece in kept:
        assert is_there(again, piece)
        assert some_bytes(piece.size) == read(again, piece, 0, piece.size)
    assert not is_there(again, theirs)
    again.forget_but([kept[0].name])
    assert [kept[0]] == [piece for piece in kept if is_there(again, piece)]
    assert is_there(others, theirs)


def test_few_files_stay_open(tmp_path: Path) -> None:
    pieces = FilePieces(tmp_path / "journal")
    kept = [put(pieces, bytes([number])) for number in range(50)]
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for number, piece in enumerate(kept):
            assert bytes([number]) == read(pieces, piece, 0, 1)
    opened = len(os.listdir("/proc/self/fd")) - before
    assert limits.PIECE_READERS_MAX == opened
    del pieces
    assert before == len(os.listdir("/proc/self/fd"))


def test_what_is_damaged_is_set_aside_but_for_who_only_looks(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    piece = put(FilePieces(path), some_bytes(100))
    (file,) = tmp_path.iterdir()
    file.write_bytes(bytes(116))
    with pytest.raises(PieceDamaged):
        check(FilePieces(path, only_looks=True), piece)
    assert [file] == list(tmp_path.iterdir())
    with pytest.raises(PieceDamaged):
        check(FilePieces(path), piece)
    assert [f"{file.name}.damaged"] == [found.name for found in tmp_path.iterdir()]
    with pytest.raises(PieceDamaged, match="cannot be read"):
        check(FilePieces(path), piece)
    assert piece == put(FilePieces(path), some_bytes(100))  # It can be made again.
    check(FilePieces(path), piece)
