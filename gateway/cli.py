"""`forebay`: the command line.  Parses, calls, prints; knows no rule.

Exit codes: 0 done, 1 the answer is no, 2 it could not be asked.
"""

import asyncio
import datetime
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import click

if TYPE_CHECKING:
    from gateway.config import GatewayConfig
    from gateway.server import Served

_DEFAULT_URL = "http://127.0.0.1:8080"


def _refuse(message: object) -> NoReturn:
    click.echo(f"forebay: {message}", err=True)
    sys.exit(2)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="forebay")
def main() -> None:
    """A transaction processor for consumer credit."""


_data_dir = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The directory of the journals and the API keys.",
)
_url = click.option(
    "--url",
    default=_DEFAULT_URL,
    show_default=True,
    envvar="FOREBAY_URL",
    help="The server (or FOREBAY_URL).",
)
_key = click.option(
    "--key", required=True, envvar="FOREBAY_KEY", help="The API key (or FOREBAY_KEY)."
)


_UNITS_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}


def _milliseconds(context: click.Context, option: click.Parameter, text: str) -> int:
    """A number of minutes, hours or days, such as 7d."""
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS_MS or not (number.isascii() and number.isdigit()):
        raise click.BadParameter("a number and m, h or d, such as 7d")
    return int(number) * _UNITS_MS[unit]


@main.command()
@_data_dir
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port", default=8080, show_default=True, help="The port; 0 for a free one."
)
@click.option(
    "--shards",
    type=int,
    help="Shards of a new data directory; by default one a core, less the gateway's.",
)
@click.option(
    "--first-day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The first business day of a new data directory; by default today.",
)
@click.option(
    "--keep-answers",
    default="7d",
    show_default=True,
    callback=_milliseconds,
    help="For how long an Idempotency-Key gets its first answer again: 12h, 7d.",
)
@click.option("--with-noop", is_flag=True, hidden=True)
@click.option("--fault", "faults", multiple=True, hidden=True)
def serve(
    data_dir: Path,
    host: str,
    port: int,
    shards: int | None,
    first_day: datetime.datetime | None,
    keep_answers: int,
    with_noop: bool,
    faults: tuple[str, ...],
) -> None:
    """Serve the API until stopped by Ctrl-C or SIGTERM."""
    import uvloop

    from gateway.server import serve_until_stopped

    today = datetime.date.today()
    start = first_day.date() if first_day else today
    more = {"keep_ms": keep_answers, "with_noop": with_noop, "faults": faults}
    config = _config(data_dir, host, port, shards, start, more)
    try:
        uvloop.run(serve_until_stopped(config, today.isoformat(), _tell))
    except _refusals() as error:
        _refuse(error)


def _refusals(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What starting a server raises when it may not or cannot be, and `more`."""
    from actors.cluster import ClusterRefused
    from gateway.config import ConfigRefused
    from gateway.keys import KeysRefused
    from processor.journal import JournalRefused

    return ConfigRefused, KeysRefused, ClusterRefused, JournalRefused, *more


def _config(
    data_dir: Path,
    host: str,
    port: int,
    shards: int | None,
    first_day: datetime.date,
    more: dict[str, Any] | None = None,
) -> "GatewayConfig":
    from gateway.config import ConfigRefused, decode_config

    try:
        return decode_config(
            {
                "data_dir": str(data_dir),
                "host": host,
                "port": port,
                "shard_count": _shard_count(data_dir, shards),
                "first_day": first_day,
                **(more or {}),
            }
        )
    except ConfigRefused as error:
        _refuse(error)


def _shard_count(data_dir: Path, shards: int | None) -> int:
    """As asked; else as the directory has (0); else one a core but the gateway's."""
    if shards is not None:
        return shards
    if (data_dir / "cluster.json").exists():
        return 0
    return max(1, (os.cpu_count() or 1) - 1)


def _tell(served: "Served") -> None:
    if served.first_key is not None:
        click.echo("A first API key with all roles, shown this once:")
        click.echo(f"  {served.first_key}")
    click.echo(f"API      {served.url}/v1")
    click.echo(f"docs     {served.url}/docs")
    click.echo(f"metrics  {served.url}/metrics")
    click.echo("ready")
    sys.stdout.flush()


@main.group()
def keys() -> None:
    """Make, list and revoke API keys; a running server follows within a second."""


@keys.command("add")
@_data_dir
@click.option("--caller", required=True, help="Who calls with it; owns its requests.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    required=True,
    type=click.Choice(["payments", "operator", "auditor"]),
    help="What it may do; may be given more than once.",
)
@click.option(
    "--weight",
    default=1,
    show_default=True,
    help="Its share when there is too much to do, beside keys of weight 1.",
)
@click.option(
    "--in-flight-max",
    default=0,
    show_default=True,
    help="The most commands it may have in flight; 0 for no bound of its own.",
)
def add_key(
    data_dir: Path,
    caller: str,
    roles: tuple[str, ...],
    weight: int,
    in_flight_max: int,
) -> None:
    """Make a key and print it: it is shown this once."""
    from gateway.keys import KeyFile, KeysRefused
    from gateway.routes import Role

    today = datetime.date.today().isoformat()
    try:
        key = KeyFile(data_dir).add(
            caller, [Role(r) for r in roles], today, weight, in_flight_max
        )
        click.echo(key)
    except KeysRefused as error:
        _refuse(error)


@keys.command("list")
@_data_dir
def list_keys(data_dir: Path) -> None:
    """List the keys, without their secrets."""
    from gateway.keys import KeyFile, KeysRefused

    try:
        records = KeyFile(data_dir).records()
    except KeysRefused as error:
        _refuse(error)
    for record in records.values():
        roles = ", ".join(role.value for role in record.roles)
        bounds = f"  weight {record.weight}" if record.weight != 1 else ""
        if record.in_flight_max:
            bounds += f"  in flight at most {record.in_flight_max}"
        click.echo(
            f"{record.key_id}  {record.created_on}  {record.caller}  {roles}{bounds}"
        )


@keys.command("revoke")
@_data_dir
@click.argument("key_id")
def revoke_key(data_dir: Path, key_id: str) -> None:
    """Revoke the key of an id."""
    from gateway.keys import KeyFile, KeysRefused

    try:
        if not KeyFile(data_dir).revoke(key_id):
            _refuse(f"there is no key {key_id!r} in {data_dir}")
    except KeysRefused as error:
        _refuse(error)
    click.echo(f"revoked {key_id}")


@main.command()
@_url
@_key
@click.argument("lender_id")
def position(url: str, key: str, lender_id: str) -> None:
    """Show a lender's reserve, exact at one cut over all shards."""
    _show(_asked("GET", f"{url}/v1/lenders/{quote(lender_id)}/position", key))


@main.group()
def day() -> None:
    """Show or close the business day."""


@day.command("show")
@_url
@_key
@click.argument("business_day", default="current")
def show_day(url: str, key: str, business_day: str) -> None:
    """Show a business day (the open one, unless named)."""
    _show(_asked("GET", f"{url}/v1/business-days/{quote(business_day)}", key))


@day.command("close")
@_url
@_key
@click.argument("business_day")
@click.option("--next-day", help="The day to open; by default the day after.")
def close_day(url: str, key: str, business_day: str, next_day: str | None) -> None:
    """Cut a business day and open the next."""
    path = f"{url}/v1/business-days/{quote(business_day)}/close"
    answer = _asked("POST", path, key, {"next_day": next_day})
    _show(answer)
    if answer.get("status") != "approved":
        sys.exit(1)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", default=_DEFAULT_URL, show_default=True, envvar="FOREBAY_URL")
@click.option("--key", envvar="FOREBAY_KEY", help="The API key (or FOREBAY_KEY).")
@click.option("--embedded", is_flag=True, help="Start and stop a server for it.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data directory of the embedded server.",
)
@click.option("--port", default=0, help="Its port; by default a free one.")
@click.option("--shards", type=int, help="Its shards, if the directory is new.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def replay(
    file: Path,
    url: str,
    key: str | None,
    embedded: bool,
    data_dir: Path | None,
    port: int,
    shards: int | None,
    as_json: bool,
) -> None:
    """Replay a file of real purchases or of real cards, and audit the outcome.

    The file's header row says which form it has: invoice lines (invoice_no,
    stock_code, …) or card accounts (id, limit_bal, pay_apr, bill_amt_apr, …).
    Against the server at --url, or with --embedded against one of its own on
    --data-dir.  Exit code 1 if the audit finds anything.
    """
    import uvloop

    from gateway import embedded as own
    from gateway.forms import form_of
    from gateway.replays.client import ReplayFailed
    from gateway.replays.summary import json_line, print_summary
    from gateway.replays.tables import UnreadableFile

    today = datetime.date.today()
    try:
        if embedded and data_dir is not None:
            first_day = form_of(file).first_day_of(file)
            config = _config(data_dir, "127.0.0.1", port, shards, first_day)
            job = own.replay_embedded(config, file, today, show_progress=True)
        elif not embedded and key is not None:
            job = own.replay_against(url, key, file, show_progress=True)
        else:
            missing = "--data-dir" if embedded else "--key"
            raise click.UsageError(f"{missing} is missing.")
        result, audit = uvloop.run(job)
    except _refusals(ReplayFailed, UnreadableFile) as error:
        _refuse(error)
    if as_json:
        click.echo(json_line(result, audit))
    else:
        print_summary(result, audit)
    sys.exit(0 if audit.is_clean else 1)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_url
@_key
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def debits(file: Path, url: str, key: str, as_json: bool) -> None:
    """Book what the bank says of direct debits: settled or returned.

    FILE is a CSV with the header repayment_id,result,reference.  It may be sent
    again at any time: what was done is done once.  Exit code 1 if any line was
    refused or cannot be read; each is named on standard error.
    """
    from gateway.debits.reader import UnreadableFile
    from gateway.debits.run import send_file
    from gateway.debits.sending import SendingFailed

    try:
        outcome = send_file(file, url, key)
    except (UnreadableFile, SendingFailed) as error:
        _refuse(error)
    click.echo(outcome.as_json() if as_json else outcome.as_text())
    sys.exit(0 if outcome.is_clean else 1)


@main.command()
@_data_dir
@click.option("--port", default=0, help="The port; by default a free one.")
@click.option("--once", is_flag=True, help="Exit after the audit.")
def demo(data_dir: Path, port: int, once: bool) -> None:
    """Replay the bundled week of real purchases, audit it, and keep serving."""
    from gateway.demo import run_demo
    from gateway.replays.client import ReplayFailed
    from gateway.retail import WEEK, first_day_of

    config = _config(data_dir, "127.0.0.1", port, None, first_day_of(WEEK))
    try:
        sys.exit(run_demo(config, once))
    except _refusals(ReplayFailed) as error:
        _refuse(error)


@main.command()
@click.argument("data_dir", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def verify(data_dir: Path, as_json: bool) -> None:
    """Recompute everything from the journals alone; exit 1 on any difference.

    Needs room for temporary files (TMPDIR), one to two KB a purchase.
    """
    from gateway.verify import run_verify

    sys.exit(run_verify(data_dir, as_json))


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@_data_dir
@_url
@_key
def backup(directory: Path, data_dir: Path, url: str, key: str) -> None:
    """Back a running system up into DIRECTORY, which must be empty or not there.

    Run it where the data directory is.  All journals are copied up to one cut;
    authorizations go on meanwhile.
    """
    from gateway.backup import BackupRefused
    from gateway.backup_run import run_backup
    from processor.journal import JournalRefused

    try:
        click.echo(run_backup(directory, data_dir, url, key, _asked))
    except (BackupRefused, JournalRefused, OSError) as error:
        _refuse(error)


@main.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.argument("data_dir", type=click.Path(file_okay=False, path_type=Path))
def restore(directory: Path, data_dir: Path) -> None:
    """Put a backup in DIRECTORY into DATA_DIR, which must be empty or not there."""
    from gateway.backup import BackupRefused
    from gateway.backup_run import run_restore
    from processor.journal import JournalRefused

    try:
        click.echo(run_restore(directory, data_dir))
    except (BackupRefused, JournalRefused, OSError) as error:
        _refuse(error)


def _asked(method: str, url: str, key: str, body: Any = None) -> dict[str, Any]:
    """The JSON of an answer; a problem ends the program with what it says."""
    from gateway.asking import AskFailed, ask

    try:
        return asyncio.run(ask(method, url, key, body))
    except AskFailed as error:
        _refuse(error)


def _show(answer: dict[str, Any]) -> None:
    click.echo(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
