"""What Locust runs: reads the plan, opens the record, starts the users.

Run by `python -m loadtest`, which sets the stage first and reconciles after.
Locust patches sockets and threads of its process; nothing outside this process
may import this file.
"""

import os
import time
from pathlib import Path
from typing import Any

from locust import events

from loadtest.plan import PLAN_VARIABLE, read_plan
from loadtest.record import RecordWriter
from loadtest.users import Customer

__all__ = ["Customer"]


@events.init.add_listener
def _on_init(environment: Any, **_: Any) -> None:
    path = os.environ.get(PLAN_VARIABLE)
    if path is None:
        raise SystemExit(f"{PLAN_VARIABLE} is not set: run `python -m loadtest`")
    Customer.plan = read_plan(Path(path))
    Customer.record = RecordWriter(Path(Customer.plan.record))


@events.test_start.add_listener
def _on_test_start(environment: Any, **_: Any) -> None:
    Customer.began_s = time.monotonic()


@events.quitting.add_listener
def _on_quitting(environment: Any, **_: Any) -> None:
    Customer.record.close()
