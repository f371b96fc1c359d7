"""Replay real purchases of a web shop against a running server.

A file of invoice lines goes this way:  `reader` (lines) → `plan` (days of
operations; `lending` and `funding` add the credit that the file lacks) →
`replay` (`lanes` keep each account's order, `client` asks until there is an
answer, `bookkeeping` matches cancellations) → `result` → `summary`.
"""

from pathlib import Path
from typing import Final

from gateway.retail.client import ReplayFailed
from gateway.retail.reader import UnreadableFile
from gateway.retail.replay import first_day_of, run_replay
from gateway.retail.result import ReplayResult
from gateway.retail.summary import json_line, print_summary
from gateway.retail.verdict import Audit, fetch_audit

WEEK: Final = Path(__file__).with_name("week.csv.gz")  # See ATTRIBUTION.md.

__all__ = [
    "WEEK",
    "Audit",
    "ReplayFailed",
    "ReplayResult",
    "UnreadableFile",
    "fetch_audit",
    "first_day_of",
    "json_line",
    "print_summary",
    "run_replay",
]
