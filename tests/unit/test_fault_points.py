"""Fault points: what is off is not there, and what is on is where it says."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from actors import fault_points
from actors.fault_points import (
    Action,
    Fault,
    FaultPoints,
    FaultRefused,
    Step,
    parse_fault,
)
from gateway.config import ConfigRefused, decode_config

FRAME = [(1, SimpleNamespace())]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[Fault]:
    """The faults that came true; the process goes on."""
    found: list[Fault] = []
    monkeypatch.setattr(fault_points, "_end", found.append)
    return found


class Node:
    """The parts of a runner that faults are put into."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.node = self
        self.journal = self

    def receive(self, connection: int, messages: list[Any]) -> None:
        self.did.append("receive")

    def _record(self, command: object, event: object) -> None:
        self.did.append("record")

    def append(self, count: int, day: str, at_ms: int, records: bytes) -> None:
        self.did.append("append")

    def _deliver(self, deliveries: list[Any]) -> None:
        self.did.append("deliver")


def test_a_fault_is_written_as_it_is_read() -> None:
    assert Fault("shard-000", 2, Step.AFTER_APPEND, "Authorized", 3) == parse_fault(
        "shard-000@2:after_append:Authorized:3"
    )
    assert Action.STOP is parse_fault("settlement@1:decided:*:1:stop").action


@pytest.mark.parametrize(
    "text",
    ["", "shard-000", "shard-000@x:decided:*:1", "s@1:nowhere:*:1", "s@1:decided:*"],
)
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(FaultRefused, match="is no fault"):
        parse_fault(text)
    with pytest.raises(ConfigRefused, match="is no fault"):
        decode_config({"faults": (text,)})


def test_what_is_not_armed_is_left_as_it_is() -> None:
    """Nothing of it stands in the way of a command: not even a call."""
    faults = [
        parse_fault("shard-001@1:decided:*:1"),
        parse_fault("shard-000@2:applied:*:1"),
    ]
    node = Node()
    FaultPoints(faults, "shard-000", 1).arm(node)
    assert ["did", "journal", "node"] == sorted(vars(node))
    replay = node.receive
    assert replay == FaultPoints(faults, "shard-000", 2).before(Step.RECOVERY, replay)


def test_each_step_is_before_or_after_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Node()
    seen: dict[Step, list[str]] = {}
    monkeypatch.setattr(
        fault_points, "_end", lambda fault: seen.update({fault.step: [*node.did]})
    )
    steps = [step for step in Step if step is not Step.AFTER_REPLY]
    points = FaultPoints([Fault("n", 1, step, "*", 1) for step in steps], "n", 1)
    points.arm(node)
    recover = points.before(Step.RECOVERY, lambda row: node.did.append("recover"))
    recover(None)
    node.receive(1, [SimpleNamespace()])
    node._record(None, SimpleNamespace())
    node.append(1, "", 1, b"")
    node._deliver(FRAME)
    assert {
        Step.RECOVERY: [],
        Step.FRAME_READ: ["recover"],
        Step.DECIDED: ["recover", "receive"],
        Step.APPLIED: ["recover", "receive", "record"],
        Step.BEFORE_APPEND: ["recover", "receive", "record"],
        Step.AFTER_APPEND: ["recover", "receive", "record", "append"],
        Step.BEFORE_REPLY: ["recover", "receive", "record", "append"],
    } == seen


def test_a_fault_waits_for_its_kind_and_its_turn(ended: list[Fault]) -> None:
    class Granted:
        pass

    node = Node()
    fault = Fault("n", 1, Step.AFTER_APPEND, "Granted", 2)
    FaultPoints([fault], "n", 1).arm(node)
    counts = []
    for event in (Granted(), SimpleNamespace(), Granted(), Granted()):
        node._record(None, event)
        node.append(1, "", 1, b"")
        node._deliver([])
        counts.append(len(ended))
    assert [0, 0, 1, 1] == counts
    assert [fault] == ended


def test_to_kill_and_to_stop_are_signals() -> None:
    assert {
        Action.KILL: signal.SIGKILL,
        Action.STOP: signal.SIGSTOP,
    } == fault_points._SIGNALS
