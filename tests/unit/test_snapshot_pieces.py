"""What snapshots share: written once, and not trusted where it lies."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors import keeper
from actors.births import recover_shard
from actors.cuts import SealedJournal
from gateway.backup import _copy_snapshot
from processor import limits, snapshot
from processor.history import Place
from processor.journal import Journal
from processor.pieces import PieceDamaged
from processor.recovery import digest_of
from processor.snapshot import SnapshotRefused
from processor.storage.keeping import fold
from processor.storage.snapshots import (
    read_snapshots,
    snapshot_path,
    snapshot_sequences,
)
from tests.unit.test_snapshot import never, path, recovered, replayed

__all__ = ["path"]  # A fixture.

FULL = 316  # A block of 300 bytes, and its checksum.


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PIECE_BYTES", 300)


def pieces_in(path: Path) -> dict[str, bytes]:
    found = path.parent.glob(f"{path.name}.*.piece")
    return {file.name: file.read_bytes() for file in found}


async def test_what_was_full_is_not_written_again(path: Path) -> None:
    fold(path, 3, never)
    full = {name for name, blocks in pieces_in(path).items() if len(blocks) == FULL}
    assert len(full) > 2
    times = {name: path.with_name(name).stat().st_mtime_ns for name in full}
    fold(path, 4, never)
    assert times == {name: path.with_name(name).stat().st_mtime_ns for name in full}


async def test_pieces_that_nobody_needs_are_removed(path: Path) -> None:
    needed = set()
    for number in (1, 2, 3, 4):
        fold(path, number, never)
    for name, _, saved in read_snapshots(path):
        pieces = snapshot.pieces_of(name, saved)
        needed |= {f"{path.name}.{piece.name}.piece" for piece in pieces}
    assert needed == set(pieces_in(path))


async def test_a_snapshot_that_lacks_a_piece_is_named(path: Path) -> None:
    """All that share it are; then the journal is read from its first row."""
    _, digest, _ = await recovered(path, [])
    fold(path, 2, never)
    shared = set(pieces_in(path))
    fold(path, 4, never)
    for name, _, saved in read_snapshots(path):
        shared &= {
            f"{path.name}.{piece.name}.piece"
            for piece in snapshot.pieces_of(name, saved)
        }
    assert shared
    file = path.with_name(shared.pop())
    sound = file.read_bytes()
    for content in (sound[:-1], None):
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content)
        told: list[str] = []
        assert (None, digest) == (await recovered(path, told))[:2]
        why = f"needs piece {file.name.split('.')[-2]}, which is not whole"
        assert [
            f"{snapshot_path(path, s)} {why}" for s in snapshot_sequences(path)
        ] == (told)
    # The keeper begins anew, and makes what is missing.
    snapshot_path(path, snapshot_sequences(path)[0]).unlink()
    assert fold(path, 4, told.append) is not None
    assert sound == file.read_bytes()
    told = []
    assert (await recovered(path, told))[0] is not None
    assert not told


@pytest.mark.parametrize("place", [0, 150, 299, 315])
async def test_a_piece_that_rots_ends_the_node_and_not_the_next(
    path: Path, place: int
) -> None:
    """It is found when it is read, and nothing that is wrong is told."""
    digest, expected = digest_of(replayed().state), entries_of(replayed())
    fold(path, 4, never)
    full = [name for name, blocks in pieces_in(path).items() if len(blocks) == FULL]
    found = 0
    for name in full:
        file = path.with_name(name)
        sound = file.read_bytes()
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
        journal = await Journal.open(path)
        try:
            shard = await recover_shard(journal)
            with pytest.raises(PieceDamaged, match=name.split(".")[-2]):
                assert expected == entries_of(shard)
        finally:
            await journal.close()
        assert not file.exists()
        told: list[str] = []
        assert (None, digest) == (await recovered(path, told))[:2]
        assert [f"needs piece {name.split('.')[-2]}, which is not whole"] == [
            text.partition(" ")[2] for text in told
        ]
        file.write_bytes(sound)
        found += 1
    assert found > 2


def entries_of(found: Any) -> list[Place]:
    """All of an account's history, of a replay or a shard."""
    page = found.history.page(found.state.accounts["a"].number, 0, 1_000)
    assert page.is_last
    places: list[Place] = page.places
    return places


@pytest.mark.parametrize("kind", [PieceDamaged, SnapshotRefused])
async def test_the_keeper_tells_what_is_wrong_in_one_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def refused(*arguments: Any) -> None:
        raise kind("piece c0ffee is damaged in block 7; it was set aside")

    monkeypatch.setattr(keeper, "fold", refused)
    made: Any = keeper.Keeper()
    told = made.keep(path, 4)
    assert ["piece c0ffee is damaged in block 7; it was set aside"] == told


WITHOUT_ROOM = """
import resource, sys
from pathlib import Path
from actors.keeper import Keeper

resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
print(Keeper().keep(Path(sys.argv[1]), 4))
"""


async def test_a_disk_without_room_for_a_snapshot_is_told_and_nothing_is_left(
    path: Path,
) -> None:
    _, digest, _ = await recovered(path, [])
    assert "File too large" in kept_without_room(path)
    assert [] == snapshot_sequences(path)
    assert (None, digest) == (await recovered(path, []))[:2]
    point = fold(path, 4, never)
    assert (point, digest) == (await recovered(path, []))[:2]
    assert not [file for file in os.listdir(path.parent) if file.endswith("ing")]


def kept_without_room(path: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_ROOM, str(path)],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    ).stdout


async def test_a_backup_has_the_snapshot_and_its_pieces(
    path: Path, tmp_path: Path
) -> None:
    older, newer = fold(path, 3, never), fold(path, 4, never)
    assert older is not None
    assert newer is not None
    target = tmp_path / "backup"
    for point in (older, newer):
        target.mkdir()
        cut = SealedJournal("shard-000", 4, newer.sequence - 1 + (point is newer), "")
        copied = _copy_snapshot(path.parent, cut, target, lambda size: None)
        assert set(copied) == set(os.listdir(target))
        for file in path.parent.glob("shard-000.journal*"):
            if file.suffix not in (".piece", ".snapshot"):
                shutil.copy(file, target)
        assert point == (await recovered(target / path.name, []))[0]
        shutil.rmtree(target)


async def test_a_backup_does_without_a_snapshot_that_goes_meanwhile(
    path: Path, tmp_path: Path
) -> None:
    point = fold(path, 4, never)
    assert point is not None
    cut = SealedJournal("shard-000", 4, point.sequence, "")
    target = tmp_path / "backup"
    target.mkdir()

    def advance(size: int) -> None:
        for name in pieces_in(path):
            path.with_name(name).unlink()

    assert {} == _copy_snapshot(path.parent, cut, target, advance)
    assert [] == os.listdir(target)
