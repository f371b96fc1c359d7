"""The order in which a server starts and stops.

Start: refuse what may not be, bind the port, start the nodes, open the door.
Stop: close the door and let it drain, and only then stop the nodes.
"""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial

import msgspec

from actors.auditor import TooBusy
from actors.cluster import Cluster, ClusterConfig
from actors.nodes import NothingDone
from gateway.config import ConfigRefused, GatewayConfig
from gateway.http_server import bound_socket, open_door
from gateway.keys import ALL_ROLES, KeyFile

FIRST_CALLER = "first"


class Served(msgspec.Struct, frozen=True):
    """A server that answers: where, with which first key if it made one."""

    url: str
    first_key: str | None
    cluster: Cluster


@contextlib.asynccontextmanager
async def serving(config: GatewayConfig, today: str) -> AsyncIterator[Served]:
    """Start everything, and stop it in order on the way out.

    Raises ConfigRefused, KeysRefused, ClusterRefused or JournalRefused.
    """
    key_file = KeyFile(config.data_dir)
    refuse_open_door(config, key_file)
    with bound_socket(config) as listener:
        cluster = Cluster(
            ClusterConfig(
                config.data_dir, config.shard_count, config.first_day.isoformat()
            )
        )
        nodes = await cluster.start()
        try:
            # Only the owner of the directory gets this far.
            first_key = None
            if not key_file.exists:
                first_key = key_file.add(FIRST_CALLER, ALL_ROLES, today)
            audit = partial(_audit, cluster)
            async with open_door(
                config, nodes, key_file, listener, audit, cluster.seal
            ) as url:
                yield Served(url, first_key, cluster)
        finally:
            await cluster.stop()


async def _audit(cluster: Cluster) -> dict[str, object]:
    try:
        return (await cluster.audit()).summary()
    except TooBusy as error:
        raise NothingDone(str(error)) from None


def refuse_open_door(config: GatewayConfig, key_file: KeyFile) -> None:
    """Refuse to be reached by other machines while there is no key."""
    if config.is_loopback or key_file.records():
        return
    raise ConfigRefused(
        f"{config.host} can be reached from other machines, and {config.data_dir} has"
        " no API keys: make one with `forebay keys add --data-dir"
        f" {config.data_dir} --caller NAME --role payments`, or bind to 127.0.0.1"
    )


async def serve_until_stopped(
    config: GatewayConfig, today: str, tell: Callable[[Served], None]
) -> None:
    """Serve until SIGTERM or SIGINT; `tell` is called once, when ready."""
    stop = asyncio.Event()
    main = asyncio.current_task()
    assert main is not None
    is_serving = False

    def on_signal() -> None:
        stop.set()
        if not is_serving:
            main.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        async with serving(config, today) as served:
            is_serving = True
            tell(served)
            await stop.wait()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise  # Not ours: whoever cancelled it wants to know.
        main.uncancel()
