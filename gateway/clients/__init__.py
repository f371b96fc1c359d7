"""Replay six months of real credit cards against a running server.

A file of card accounts goes this way:  `reader` (rows) → `plan` (business days
of repayments, purchases and refunds; `lending` adds the terms that the file
lacks) → `replay` (many commands a request) → `readings` (what each account has
come to) → `result`.  What it shares with other forms of file is in
`gateway.replays`.
"""

from pathlib import Path
from typing import Final

from gateway.clients.reader import COLUMNS
from gateway.clients.replay import first_day_of, run_replay
from gateway.clients.result import ClientsResult

EXTRACT: Final = Path(__file__).with_name("extract.csv.gz")  # See ATTRIBUTION.md.

__all__ = ["COLUMNS", "EXTRACT", "ClientsResult", "first_day_of", "run_replay"]
