"""The embedded cluster: a local Ray, one actor a shard, one for settlement.

Wires it all in one place: the data directory, Ray, the supervised nodes, and
the links of this process to them.
"""

import asyncio
import logging
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray.exceptions import RayError, RayTaskError

from actors.auditor import Auditor, TooBusy
from actors.cuts import SealedCut
from actors.fault_points import Fault
from actors.keeper import keep_all
from actors.manifest import (
    ClusterRefused,
    Manifest,
    journal_path,
    kept_for,
    load_or_create,
    lock_directory,
    node_names,
    save,
)
from actors.node_actors import NodeConfig
from actors.nodes import Nodes, NothingDone
from actors.runner import Statistics
from actors.sealing import seal_all
from actors.supervisor import Supervised
from processor import limits
from processor.audit.verdict import Verdict
from processor.journal import check_file

__all__ = ["Cluster", "ClusterConfig", "ClusterRefused"]

_NAMESPACE = "forebay"
_OBJECT_STORE_BYTES = 128 * 1024 * 1024  # Control calls only.
_CONNECT_SECONDS_MAX = 10.0
_FIGURES_SECONDS_MAX = 1.0

log = logging.getLogger("forebay.cluster")


class ClusterConfig(msgspec.Struct, frozen=True):
    """Where the journals are; shards (0: as the directory has) and first day
    count only when the directory is new.  Answers are kept for `keep_ms`."""

    data_dir: Path
    shard_count: int
    first_day: str
    keep_ms: int = limits.KEEP_ANSWERS_MS
    faults: tuple[Fault, ...] = ()


class Cluster:
    """A started cluster has `nodes`; start it once, stop it once."""

    def __init__(self, config: ClusterConfig) -> None:
        self.config = config
        self.manifest: Manifest
        self.nodes: Nodes
        self._lock = -1
        self._sockets: Path | None = None
        self._supervised: dict[str, Supervised] = {}
        self._keeping: asyncio.Task[None] | None = None
        self._sealing = asyncio.Lock()

    async def start(self) -> Nodes:
        """Recover every node and connect.

        Raises ClusterRefused or JournalRefused, naming the file.
        """
        data_dir = self.config.data_dir
        self._lock = lock_directory(data_dir)
        try:
            self.manifest = load_or_create(
                data_dir, self.config.shard_count, self.config.first_day
            )
            kept = kept_for(self.manifest, self.config.keep_ms)
            if kept != self.manifest:
                self.manifest = kept
                save(data_dir, kept)
            if self.manifest.is_ready:
                for name in node_names(self.manifest.shard_count):
                    check_file(journal_path(data_dir, name))
            start_ray()
            self.nodes = Nodes(self.manifest.shard_count, self.statistics)
            await self._start_nodes()
            if not self.manifest.is_ready:
                self.manifest = msgspec.structs.replace(self.manifest, is_ready=True)
                save(data_dir, self.manifest)
            await self._connected()
            self._keeping = asyncio.create_task(keep_all(self._running), name="keeper")
            self._keeping.add_done_callback(_tell_failure)
        except BaseException:
            await self.stop()
            raise
        return self.nodes

    async def stop(self) -> None:
        """Stop the nodes in order (shards first), Ray, and let the directory go."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
        for name in sorted(self._supervised, reverse=True):
            await self._supervised[name].stop()
        for link in self.nodes.links if hasattr(self, "nodes") else ():
            link.connect_to("")
        if ray.is_initialized():
            await asyncio.to_thread(ray.shutdown)
        if self._sockets is not None:
            shutil.rmtree(self._sockets, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _start_nodes(self) -> None:
        self._sockets = Path(tempfile.mkdtemp(prefix="forebay-"))
        names = node_names(self.manifest.shard_count)
        for name in names:
            identity = self.manifest.identity(name)
            config = NodeConfig(
                name,
                journal_path(self.config.data_dir, name).resolve(),
                self._sockets,
                identity,
                not self.manifest.is_ready,
                self.config.keep_ms,
                self.config.faults,
            )
            self._supervised[name] = Supervised(config, self._announce)
        await asyncio.gather(*(self._supervised[name].start() for name in names))

    def _announce(self, name: str, address: str) -> None:
        """A node has a new place (or none): tell all who connect to it."""
        for link in self.nodes.links:
            if link.name == name:
                link.connect_to(address)
        if name == "settlement":
            for other, supervised in self._supervised.items():
                if other != "settlement" and supervised.started is not None:
                    supervised.actor.settlement_at.remote(address)
        elif address:
            settlement = self._supervised["settlement"].started
            if settlement is not None:
                self._supervised[name].actor.settlement_at.remote(settlement.address)

    async def _connected(self) -> None:
        async with asyncio.timeout(_CONNECT_SECONDS_MAX):
            while not self.nodes.ready:  # noqa: ASYNC110 (once, at start)
                await asyncio.sleep(0.01)

    def _running(self) -> dict[str, tuple[Path, Any]]:
        """Each node that runs: its journal and its actor."""
        return {
            name: (supervised.config.journal, supervised.actor)
            for name, supervised in self._supervised.items()
            if supervised.started is not None
        }

    # Control, for metrics, status and audit.

    async def statistics(self) -> list[Statistics]:
        """The figures of every node, as far as it answers soon."""
        return await asyncio.gather(*map(_figures, self._supervised.values()))

    def _all_actors(self) -> dict[str, Any]:
        """Every node's actor, by name.  Raises NothingDone if one is down."""
        down = [s.name for s in self._supervised.values() if s.started is None]
        if down:
            raise NothingDone(f"{', '.join(down)} cannot be reached")
        return {name: s.actor for name, s in self._supervised.items()}

    async def seal(self) -> SealedCut:
        """Seal every journal at one cut.  Raises NothingDone if that cannot be."""
        async with self._sealing:
            return await seal_all(self.manifest.cluster_id, self._all_actors())

    async def audit(self) -> Verdict:
        """Audit the running system.  Raises TooBusy, or NothingDone if one is down."""
        actors = self._all_actors()
        auditor: Any = ray.remote(Auditor).options(num_cpus=0).remote()
        try:
            verdict: Verdict = await auditor.audit.remote(
                actors, self.manifest.keep_ms_min
            )
        except RayTaskError as error:
            if isinstance(error.cause, TooBusy):
                raise error.cause from None
            raise
        finally:
            ray.kill(auditor)
        return verdict


def _tell_failure(task: "asyncio.Task[None]") -> None:
    """Money goes on without the keeper, but somebody should know."""
    if not task.cancelled() and task.exception() is not None:
        log.error("the keeper has ended", exc_info=task.exception())


async def _figures(supervised: Supervised) -> Statistics:
    figures = Statistics(supervised.name)
    if supervised.started is not None:
        try:
            async with asyncio.timeout(_FIGURES_SECONDS_MAX):  # It may be frozen.
                figures = await supervised.actor.statistics.remote()
        except (RayError, TimeoutError):
            log.info("%s does not tell its figures", supervised.name)
    figures.deaths = supervised.deaths
    figures.silences = supervised.silences
    figures.refused = supervised.refused
    return figures


def start_ray() -> None:
    """A local Ray of our own; see the package for its environment.

    Ray takes SIGTERM for itself and would end the process before anything is
    drained, so whoever had it gets it back.
    """
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address="local",
            namespace=_NAMESPACE,
            num_cpus=os.cpu_count(),
            object_store_memory=_OBJECT_STORE_BYTES,
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=True,
            _node_ip_address="127.0.0.1",
        )
    except RayError as error:
        raise ClusterRefused(f"Ray did not start: {error}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_sigterm)
