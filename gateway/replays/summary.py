"""Say what a replay did: a short summary for people, one line for programs.

Money is shown with two decimals by integer arithmetic, never by a float.
"""

import msgspec
from rich.console import Console
from rich.table import Table

from gateway.replays.result import Latency, ReplayResult
from gateway.replays.verdict import Audit


def json_line(result: ReplayResult, audit: Audit) -> str:
    """The last line of `make run` and of `forebay replay --json`."""
    tally = result.tally
    figures = {
        "purchases": tally.purchases,
        "approved": tally.approved,
        "declined": result.declined,
        "refunds": tally.refunds,
        "refunds_unmatched": tally.refunds_unmatched,
        "repayments": tally.repayments,
        "days_closed": tally.days_closed,
        "overspend_minor": audit.overspend_minor,
        "false_reserve_declines": audit.false_reserve_declines,
        "trial_balance_minor": audit.trial_balance_minor,
        "replay_equal": audit.replay_equal,
    }
    return msgspec.json.encode(figures | result.further_figures()).decode()


def print_summary(
    result: ReplayResult, audit: Audit, console: Console | None = None
) -> None:
    """To standard output, unless another console is given."""
    console = console or Console(highlight=False)
    console.print(_figures(result))
    console.print()
    console.print(_reserves(result))
    console.print()
    style = "green" if audit.is_clean else "bold red"
    console.print(_verdict(audit), style=style, soft_wrap=True)
    for difference in audit.differences:
        console.print(f"  {difference}", markup=False, soft_wrap=True)


def _figures(result: ReplayResult) -> Table:
    tally, symbol = result.tally, result.SYMBOL
    table = Table.grid(padding=(0, 2))
    table.title = f"Replay of {result.file_name}"
    table.title_justify = "left"
    table.add_column()
    table.add_column(justify="right")
    table.add_column()

    def row(label: str, count: int, note: str = "") -> None:
        table.add_row(label, f"{count:,}", note)

    row("days closed", tally.days_closed, _days(result))
    row("lines read", result.line_count)
    for cause, count in sorted(result.skipped.items()):
        row("  skipped", count, cause)
    for further in result.rows_of_lines():
        row(*further)
    row("purchases", tally.purchases)
    row("  approved", tally.approved, money(tally.approved_minor, symbol))
    for reason, count in tally.declined.most_common():
        row("  declined", count, reason)
    row("refunds", tally.refunds, money(tally.refunded_minor, symbol))
    if tally.refunds_declined:
        row("  declined", tally.refunds_declined)
    row("  unmatched", tally.refunds_unmatched, result.UNMATCHED)
    row("repayments", tally.repayments, money(tally.repaid_minor, symbol))
    for further in result.further_rows():
        row(*further)
    if result.asked_again:
        row("sent again", result.asked_again, "requests without an answer at first")
    if tally.replayed:
        row("known", tally.replayed, "answers of an earlier run")
    table.add_row("throughput", f"{_per_second(result):,}/s", _seconds(result))
    table.add_row("latency", "", _latency(result.latency) + result.LATENCY_OF)
    return table


def _days(result: ReplayResult) -> str:
    if result.first_business_day == result.first_file_day:
        return f"from {result.first_file_day}"
    return f"{result.first_file_day} was business day {result.first_business_day}"


def _per_second(result: ReplayResult) -> int:
    return result.tally.purchases * 1_000_000 // max(result.tally.busy_us, 1)


def _seconds(result: ReplayResult) -> str:
    return f"purchases; {result.elapsed_us / 1e6:.1f} s with the closing of days"


def _latency(latency: Latency) -> str:
    figures = {"p50": latency.p50_us, "p95": latency.p95_us, "p99": latency.p99_us}
    return ", ".join(f"{name} {us / 1000:.1f} ms" for name, us in figures.items())


def _reserves(result: ReplayResult) -> Table:
    table = Table(
        title="Reserves", title_justify="left", box=None, padding=(0, 2, 0, 0)
    )
    table.add_column("lender")
    for heading in ("deposited", "captured", "refunded", "headroom"):
        table.add_column(heading, justify="right")
    for position in result.positions:
        table.add_row(
            position.lender_id,
            money(position.deposit_minor, result.SYMBOL),
            money(position.captured_minor, result.SYMBOL),
            money(position.refunded_minor, result.SYMBOL),
            money(position.headroom_minor, result.SYMBOL),
        )
    return table


def _verdict(audit: Audit) -> str:
    verdict = "passed" if audit.is_clean else "FAILED"
    replay = "equal" if audit.replay_equal else "NOT equal"
    return (
        f"Audit {verdict}: overspend {audit.overspend_minor}, "
        f"false reserve declines {audit.false_reserve_declines}, "
        f"trial balance {audit.trial_balance_minor}, replay {replay}"
    )


def money(minor: int, symbol: str) -> str:
    """Units and hundredths: 123456 is £1,234.56."""
    units, hundredths = divmod(abs(minor), 100)
    return f"{'-' if minor < 0 else ''}{symbol}{units:,}.{hundredths:02d}"
