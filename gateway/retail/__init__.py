"""Replay real purchases of a web shop against a running server.

A file of invoice lines goes this way:  `reader` (lines) → `plan` (days of
operations; `lending` and `funding` add the credit that the file lacks) →
`replay` (`bookkeeping` matches cancellations) → `result`.  What it shares with
other forms of file is in `gateway.replays`.
"""

from pathlib import Path
from typing import Final

from gateway.retail.reader import COLUMNS
from gateway.retail.replay import first_day_of, run_replay
from gateway.retail.result import RetailResult

WEEK: Final = Path(__file__).with_name("week.csv.gz")  # See ATTRIBUTION.md.

__all__ = ["COLUMNS", "WEEK", "RetailResult", "first_day_of", "run_replay"]
