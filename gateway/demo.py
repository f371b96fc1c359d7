"""`make run`: a whole processor on real purchases, with one command.

Starts a server on a data directory, replays the bundled week against it over
HTTP, audits the running system, says what came of it, and keeps serving.
Started again on the same directory it continues where it was.
"""

import asyncio
import signal
import sys
from datetime import date
from pathlib import Path

import click
import uvloop

from gateway.config import GatewayConfig
from gateway.keys import ALL_ROLES, KeyFile
from gateway.replays.summary import json_line, print_summary
from gateway.replays.verdict import Audit, fetch_audit
from gateway.retail import WEEK, run_replay
from gateway.server import Served, serving

_CALLER = "demo"
_INTERRUPTED = 130


def run_demo(config: GatewayConfig, once: bool) -> int:
    """The exit code: 1 if the audit finds anything."""
    return uvloop.run(_demo(config, once))


async def _demo(config: GatewayConfig, once: bool) -> int:
    stop = asyncio.Event()
    main = asyncio.current_task()
    assert main is not None
    is_serving = False

    def on_signal() -> None:
        stop.set()
        if not is_serving:
            main.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    click.echo(f"Starting a local Ray and recovering {config.data_dir} …", err=True)
    try:
        async with serving(config, date.today().isoformat()) as served:
            audit = await _replay_and_tell(config, served)
            is_serving = True
            if not once and not stop.is_set():
                click.echo("Serving until Ctrl-C.", err=True)
                await stop.wait()
    except asyncio.CancelledError:
        if not stop.is_set():
            raise  # Not ours: whoever cancelled it wants to know.
        click.echo("Stopped before the replay was done; start it again.", err=True)
        return _INTERRUPTED
    return 0 if audit.is_clean else 1


async def _replay_and_tell(config: GatewayConfig, served: Served) -> Audit:
    key = _demo_key(config.data_dir)
    _tell_where(served, key)
    result = await run_replay(url=served.url, key=key, file=WEEK, show_progress=True)
    audit = await fetch_audit(url=served.url, key=key)
    print_summary(result, audit)
    click.echo(json_line(result, audit))
    sys.stdout.flush()
    return audit


def _demo_key(data_dir: Path) -> str:
    """A new key in place of the one of an earlier run, for the same caller."""
    keys = KeyFile(data_dir)
    for record in list(keys.records().values()):
        if record.caller == _CALLER:
            keys.revoke(record.key_id)
    return keys.add(_CALLER, ALL_ROLES, date.today().isoformat())


def _tell_where(served: Served, key: str) -> None:
    click.echo(f"API      {served.url}/v1")
    click.echo(f"docs     {served.url}/docs")
    click.echo(f"metrics  {served.url}/metrics")
    click.echo(f"API key  {key}")
    sys.stdout.flush()
