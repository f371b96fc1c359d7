"""The data directory: which journals there are, and that they must exist.

`cluster.json` is written before the first journal and marked ready after the
last.  From then on a journal that is missing is refused: a blank one would
have forgotten what was promised.
"""

import fcntl
import os
import uuid
from pathlib import Path

import msgspec

from processor import limits
from processor.journal import Identity

FORMAT = 1


class ClusterRefused(Exception):
    """The data directory cannot be used as asked; the message says why."""


class Manifest(msgspec.Struct, frozen=True):
    """What a data directory is, for as long as it exists."""

    format: int
    cluster_id: str
    shard_count: int
    first_day: str
    journal_ids: dict[str, str]
    is_ready: bool = False
    # The shortest time for which answers were ever kept: what an audit may expect.
    # In a directory that began when they were kept by number, little.
    keep_ms_min: int = limits.KEEP_ANSWERS_MS_MIN

    def identity(self, name: str) -> Identity:
        """The identity of the journal called "settlement" or "shard-<nnn>"."""
        kind, _, number = name.partition("-")
        return Identity(
            self.cluster_id,
            kind,
            int(number or 0),
            self.shard_count,
            self.journal_ids[name],
            self.first_day,
        )


def node_names(shard_count: int) -> list[str]:
    """Settlement and the shards, as journals and actors are named."""
    return ["settlement", *(f"shard-{n:03d}" for n in range(shard_count))]


def journal_path(data_dir: Path, name: str) -> Path:
    """Where a node's journal is."""
    return data_dir / f"{name}.journal"


def lock_directory(data_dir: Path) -> int:
    """Own the data directory, or raise ClusterRefused and say who does."""
    data_dir.mkdir(parents=True, exist_ok=True)
    lock = os.open(data_dir / "cluster.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(lock, 64).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise ClusterRefused(
            f"{data_dir} is in use by process {owner}; a data directory has one owner"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def load_or_create(data_dir: Path, shard_count: int, first_day: str) -> Manifest:
    """The manifest of the directory; a new one if nothing is there.

    A shard count of 0 means whatever the directory has.  Raises ClusterRefused.
    """
    path = data_dir / "cluster.json"
    if path.exists():
        return _load(path, shard_count)
    journals = sorted(data_dir.glob("*.journal"))
    if journals:
        raise ClusterRefused(
            f"{path} is missing, but {journals[0]} exists: restore it from a backup"
        )
    if not 0 < shard_count <= limits.SHARDS_MAX:
        raise ClusterRefused(f"shards must be 1 to {limits.SHARDS_MAX}")
    manifest = Manifest(
        FORMAT,
        uuid.uuid4().hex,
        shard_count,
        first_day,
        {name: uuid.uuid4().hex for name in node_names(shard_count)},
        keep_ms_min=limits.KEEP_ANSWERS_MS_MAX,
    )
    save(data_dir, manifest)
    return manifest


def _load(path: Path, shard_count: int) -> Manifest:
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise ClusterRefused(f"{path} is damaged: {error}") from error
    if manifest.format != FORMAT:
        raise ClusterRefused(
            f"{path} has format {manifest.format}, this program reads {FORMAT}"
        )
    if shard_count not in (0, manifest.shard_count):
        raise ClusterRefused(
            f"{path.parent} has {manifest.shard_count} shards, not {shard_count}; "
            "leave --shards out, or use another directory"
        )
    return manifest


def kept_for(manifest: Manifest, keep_ms: int) -> Manifest:
    """The manifest of a directory that is served with this from now on."""
    shortest_ms = min(manifest.keep_ms_min, keep_ms)
    return msgspec.structs.replace(manifest, keep_ms_min=shortest_ms)


def shortest_kept_ms(data_dir: Path) -> int:
    """For how long answers were kept there at least.

    A directory without a manifest was made by hand: as usual.  Raises
    ClusterRefused when it cannot be read.
    """
    path = data_dir / "cluster.json"
    return _load(path, 0).keep_ms_min if path.exists() else limits.KEEP_ANSWERS_MS


def save(data_dir: Path, manifest: Manifest) -> None:
    """Write the manifest so that a crash leaves the old or the new one."""
    path = data_dir / "cluster.json"
    draft = data_dir / "cluster.json.new"
    with draft.open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    directory = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
