"""A replay with its audit: against a server that runs, or one of its own.

Its own server is started on a free port, stopped after the replay, and only
then audited, from the journals alone.
"""

import contextlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import msgspec

from gateway.config import GatewayConfig
from gateway.forms import form_of
from gateway.keys import ALL_ROLES, KeyFile
from gateway.replays.result import ReplayResult
from gateway.replays.verdict import Audit, fetch_audit
from gateway.server import serving
from gateway.verify import verify

CALLER = "replay"


async def replay_against(
    url: str, key: str, file: Path, *, show_progress: bool
) -> tuple[ReplayResult, Audit]:
    """Replay a file against a running server and have it audit itself.

    Raises UnreadableFile or ReplayFailed.
    """
    run_replay = form_of(file).run_replay
    result = await run_replay(url=url, key=key, file=file, show_progress=show_progress)
    return result, await fetch_audit(url=url, key=key)


async def replay_embedded(
    config: GatewayConfig, file: Path, today: date, *, show_progress: bool
) -> tuple[ReplayResult, Audit]:
    """Replay a file against a server of our own, then audit its journals.

    A new data directory begins with the file's first day.  Raises what serving,
    a replay and an audit raise.
    """
    form = form_of(file)
    config = msgspec.structs.replace(config, first_day=form.first_day_of(file))
    async with serving(config, today.isoformat()) as served:
        with _own_key(config.data_dir, today) as key:
            result = await form.run_replay(
                url=served.url, key=key, file=file, show_progress=show_progress
            )
    return result, audit_of(config.data_dir)


@contextlib.contextmanager
def _own_key(data_dir: Path, today: date) -> Iterator[str]:
    keys = KeyFile(data_dir)
    key = keys.add(CALLER, ALL_ROLES, today.isoformat())
    try:
        yield key
    finally:
        keys.revoke(key.split("_")[1])


def audit_of(data_dir: Path) -> Audit:
    """What the journals of a stopped server say; JournalRefused if one cannot be."""
    verdict = verify(data_dir)
    report = verdict.report
    return Audit(
        overspend_minor=report.overspend_minor,
        false_reserve_declines=report.false_reserve_declines,
        trial_balance_minor=report.trial_balance_minor,
        replay_equal=verdict.replay_equal,
        differences=tuple(verdict.differences),
    )
