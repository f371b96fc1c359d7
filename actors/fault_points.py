"""Named steps at which a test may have a node die or freeze, and no other.

A fault says where: `shard-000@1:after_append:SliceReceived:3` is the third
time that shard 0, in its first epoch, has made a batch with such a record
durable.  `*` stands for any kind.  At that step the process kills itself, or
with `:stop` at the end stops until somebody lets it go on.

Off, it costs nothing: what stands at a step is replaced by itself with the
step before or after it, and only when a fault is armed there.  Faults reach a
node with its configuration, from the hidden option `--fault` of
`forebay serve`; nothing reads an environment.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

import msgspec

ANY = "*"
_ROW = "row"


class Step(StrEnum):
    """The steps, in the order in which a command comes by."""

    FRAME_READ = "frame_read"  # Kinds are those of messages.
    DECIDED = "decided"  # Of events.
    APPLIED = "applied"
    BEFORE_APPEND = "before_append"  # Of the events in the batch.
    AFTER_APPEND = "after_append"
    BEFORE_REPLY = "before_reply"  # Of messages.
    AFTER_REPLY = "after_reply"
    RECOVERY = "recovery"  # Before a row is applied again.


class Action(StrEnum):
    """What a process does to itself."""

    KILL = "kill"
    STOP = "stop"


_SIGNALS = {Action.KILL: signal.SIGKILL, Action.STOP: signal.SIGSTOP}


class Fault(msgspec.Struct, frozen=True):
    """One fault; see the module."""

    node: str
    epoch: int
    step: Step
    about: str
    nth: int
    action: Action = Action.KILL


class FaultRefused(ValueError):
    """A text that names no fault; says what it should be."""


def parse_fault(text: str) -> Fault:
    """The fault of `node@epoch:step:kind:nth[:stop]`; FaultRefused otherwise."""
    try:
        place, step, about, nth, *action = text.split(":")
        node, epoch = place.split("@")
        return Fault(
            node, int(epoch), Step(step), about, int(nth), *map(Action, action)
        )
    except (ValueError, TypeError) as error:
        raise FaultRefused(
            f"{text!r} is no fault: NODE@EPOCH:STEP:KIND:NTH[:stop], {error}"
        ) from None


class FaultPoints:
    """What is armed in one life of one node."""

    def __init__(self, faults: Iterable[Fault], node: str, epoch: int) -> None:
        mine = [fault for fault in faults if (fault.node, fault.epoch) == (node, epoch)]
        self._left = {fault: fault.nth for fault in mine}
        self._in_batch: set[str] = set()

    def before(self, step: Step, do: Callable[..., Any]) -> Callable[..., Any]:
        """`do` with the step before it; `do` itself when nothing is armed there."""
        return self._with(step, do, lambda *_: (_ROW,)) if self._has(step) else do

    def arm(self, runner: Any) -> None:
        """Put the armed steps into a runner, its node and its journal."""
        places = (
            (runner, "receive", Step.FRAME_READ, None, _kinds_received),
            (runner.node, "_record", Step.DECIDED, Step.APPLIED, self._kinds_recorded),
            (
                *(runner.journal, "append", Step.BEFORE_APPEND, Step.AFTER_APPEND),
                self._kinds_in_batch,
            ),
            (
                *(runner, "_deliver", Step.BEFORE_REPLY, Step.AFTER_REPLY),
                _kinds_delivered,
            ),
        )
        if not self._left:
            return
        for owner, name, before, after, kinds in places:
            setattr(owner, name, self._with(before, getattr(owner, name), kinds, after))

    def _has(self, step: Step) -> bool:
        return any(fault.step is step for fault in self._left)

    def _with(
        self,
        before: Step,
        do: Callable[..., Any],
        kinds_of: Callable[..., Iterable[str]],
        after: Step | None = None,
    ) -> Callable[..., Any]:
        def with_steps(*arguments: Any) -> Any:
            kinds = frozenset(kinds_of(*arguments))
            self._pass(before, kinds)
            done = do(*arguments)
            if after is Step.AFTER_REPLY and self._has(after):
                # What was written leaves with the next turn of the loop.
                loop = asyncio.get_running_loop()
                loop.call_later(0.001, self._pass, after, kinds)
            elif after is not None:
                self._pass(after, kinds)
            return done

        return with_steps

    def _pass(self, step: Step, kinds: frozenset[str]) -> None:
        for fault in list(self._left):
            is_meant = fault.about in kinds or (fault.about == ANY and kinds)
            if fault.step is step and is_meant:
                self._left[fault] -= 1
                if self._left[fault] == 0:
                    _end(fault)

    def _kinds_recorded(self, command: object, event: object) -> Iterable[str]:
        kind = type(event).__name__
        self._in_batch.add(kind)
        return (kind,)

    def _kinds_in_batch(self, *_: object) -> Iterable[str]:
        kinds, self._in_batch = self._in_batch, set()
        return kinds


def _kinds_received(connection: int, messages: Sequence[object]) -> Iterable[str]:
    return (type(message).__name__ for message in messages)


def _kinds_delivered(deliveries: Sequence[tuple[int, object]]) -> Iterable[str]:
    return (type(message).__name__ for _, message in deliveries)


def _end(fault: Fault) -> None:
    sys.stderr.write(f"forebay: a fault was ordered: {fault}\n")
    sys.stderr.flush()
    os.kill(os.getpid(), _SIGNALS[fault.action])
