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
from gateway.retail import (
    WEEK,
    fetch_audit,
    json_line,
    print_summary,
    run_replay,
)
from gateway.server import Served, serving

_CALLER = "demo"


def run_demo(config: GatewayConfig, once: bool) -> int:
    """The exit code: 1 if the audit finds anything."""
    return uvloop.run(_demo(config, once))


async def _demo(config: GatewayConfig, once: bool) -> int:
    stop = asyncio.Event()
    main = asyncio.current_task()
    assert main is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    click.echo(f"Starting a local Ray and recovering {config.data_dir} …", err=True)
    async with serving(config, date.today().isoformat()) as served:
        key = _demo_key(config.data_dir)
        _tell_where(served, key)
        result = await run_replay(
            url=served.url, key=key, file=WEEK, show_progress=True
        )
        audit = await fetch_audit(url=served.url, key=key)
        print_summary(result, audit)
        if not once:
            click.echo("Serving until Ctrl-C.")
            await stop.wait()
    click.echo(json_line(result, audit))
    sys.stdout.flush()
    return 0 if audit.is_clean else 1


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
