"""Clients: what is wanted is asked for until there is an answer.

An errand is one command (or one reading) on its way.  It goes through either
gateway, sometimes through both, is lost, given up and sent again under the same
request id; every answer that comes is judged, the late ones too.
"""

from collections.abc import Callable
from random import Random

from gateway.door import Door
from gateway.ports import Sender, Waiting
from gateway.problems import Refusal
from loadtest.wishes import Answer
from processor.commands import Command
from processor.messages import Answer as NodeAnswer
from processor.messages import Outcome
from tests.simulation.house import Gateway, House
from tests.simulation.judge import Judge
from tests.simulation.virtual import MS, SECOND, Timer

ENTRIES = 20  # That are read at a time.

Then = Callable[[Answer, bool], None]


class Exchange(Waiting):
    """One command at the door, as `gateway.commands` carries it out."""

    __slots__ = ("_command", "_door", "_is_told", "_sender", "_tell")

    def __init__(
        self,
        door: Door,
        sender: Sender,
        command: Command,
        tell: Callable[[Answer], None],
    ) -> None:
        self._door = door
        self._sender = sender
        self._command = command
        self._tell = tell
        self._is_told = False

    def begin(self, now_seconds: float) -> None:
        """Send the command on, or refuse it."""
        try:
            is_for_shard = bool(self._command.ROUTED_BY)
            self._door.admit_one(self._sender, is_for_shard=is_for_shard)
            self._door.submit(self._command, self, now_seconds, self._sender)
        except Refusal as refusal:
            self._tell(_refused(refusal))

    def answered(self, answer: NodeAnswer) -> None:
        self._told(answer)

    def failed(self, error: Exception) -> None:
        self._told(error)

    def _told(self, told: NodeAnswer | Exception) -> None:
        if self._is_told:
            return  # Given up at its deadline.
        self._is_told = True
        try:
            answer = self._door.settle(self._command, self, told)
        except Refusal as refusal:
            self._tell(_refused(refusal))
        else:
            is_replay = answer.outcome is Outcome.REPLAYED
            self._tell(Answer(200, is_replay, answer.body))


def _refused(refusal: Refusal) -> Answer:
    return Answer(refusal.kind.status.value, body=refusal.body)


class Errand:
    """Something wanted, until it is answered for good."""

    def __init__(self, command: Command | None, read: tuple[str, str], then: Then):
        self.command = command
        self.read = read
        self.then = then
        self.sendings = 0
        self.body: bytes | None = None  # Of the first decided answer.
        self.is_done = False
        self.is_uncertain = False
        self.is_conflict = False


class Sending:
    """An errand on its way through one gateway."""

    __slots__ = ("errand", "is_open", "number", "patience")

    def __init__(self, errand: Errand, number: int) -> None:
        self.errand = errand
        self.number = number
        self.is_open = True  # No answer has come by this way yet.
        self.patience: Timer | None = None


class Clients:
    """Everybody outside of the house."""

    def __init__(self, house: House, judge: Judge, random: Random) -> None:
        self.house = house
        self.judge = judge
        self.open: list[Errand] = []
        self.loss = 0.0  # How likely a request or an answer is lost.
        self._sender = Sender("somebody")
        self._random = random
        self._timeline = house.timeline

    def carry_out(self, command: Command, then: Then, *, ways: int = 1) -> Errand:
        """Ask until it is decided; `then` is told the answer, once."""
        errand = Errand(command, ("", ""), then)
        return self._begin(errand, ways)

    def conflict(self, command: Command, then: Then) -> Errand:
        """The same for a used key with other content: it must be refused."""
        errand = Errand(command, ("", ""), then)
        errand.is_conflict = True
        return self._begin(errand, 1)

    def read(self, kind: str, object_id: str, then: Then) -> Errand:
        """The same for a reading."""
        return self._begin(Errand(None, (kind, object_id), then), 1)

    def repeat(self, errand: Errand) -> None:
        """Somebody repeats himself, answered or not."""
        self._send(errand)

    def _begin(self, errand: Errand, ways: int) -> Errand:
        self.open.append(errand)
        for _ in range(ways):
            self._send(errand)
        errand.is_uncertain |= ways > 1
        return errand

    # There.

    def _send(self, errand: Errand) -> None:
        random = self._random
        errand.sendings += 1
        sending = Sending(errand, errand.sendings)
        gateway = random.choice(self.house.gateways)
        process = gateway.process
        if process is None:
            self._later(sending, Answer(0))  # Nobody listens.
            return
        if random.random() < self.loss:
            self._give_up_later(sending)
            return
        patience_us = random.choice([700 * MS, 4 * SECOND, 15 * SECOND])
        sending.patience = self._timeline.after(patience_us, self._give_up, sending)
        gateway.hangs_up.append(lambda: self._later(sending, Answer(0)))
        self._timeline.after(
            random.randrange(50, 3 * MS),
            self._arrive,
            sending,
            gateway,
            process=process,
        )

    def _arrive(self, sending: Sending, gateway: Gateway) -> None:
        """In the gateway's process."""
        door, errand = gateway.door, sending.errand
        assert gateway.process is not None
        loop = gateway.process.loop
        if door is None:
            return  # It has only just begun; the client gives up.
        if errand.command is None:
            loop.create_task(self._read(door, sending))
        else:

            def tell(answer: Answer) -> None:
                self._answer(sending, answer)

            if not errand.is_conflict:
                self.judge.sent(errand.command)
            Exchange(door, self._sender, errand.command, tell).begin(loop.time())

    async def _read(self, door: Door, sending: Sending) -> None:
        kind, object_id = sending.errand.read
        try:
            if kind == "entries":
                body = await door.query_entries(object_id, 0, ENTRIES)
            else:
                body = await door.query(kind, object_id)
        except Refusal as refusal:
            self._answer(sending, _refused(refusal))
        else:
            self._answer(sending, Answer(200, body=body))

    # And back.

    def _answer(self, sending: Sending, answer: Answer) -> None:
        """From the gateway's process: on its way to the client, or lost."""
        command = sending.errand.command
        if command is not None and not sending.errand.is_conflict:
            self.judge.told(command, answer)
        if self._random.random() >= self.loss:
            self._later(sending, answer)

    def _later(self, sending: Sending, answer: Answer) -> None:
        self._timeline.after(
            self._random.randrange(50, 3 * MS), self._told, sending, answer
        )

    def _give_up_later(self, sending: Sending) -> None:
        delay_us = self._random.randrange(SECOND)
        self._timeline.after(delay_us, self._give_up, sending)

    def _give_up(self, sending: Sending) -> None:
        self._told(sending, Answer(0))

    def _told(self, sending: Sending, answer: Answer) -> None:
        if not sending.is_open:
            return
        sending.is_open = False
        if sending.patience is not None:
            sending.patience.cancel()
        errand = sending.errand
        if errand.is_done:
            return
        if answer.is_not_done or answer.is_unknown:
            errand.is_uncertain |= answer.is_unknown
            wait_us = self._random.randrange(20 * MS, 400 * MS)
            self._timeline.after(wait_us, self._again, errand)
            return
        errand.is_done = True
        errand.body = answer.body
        self.open.remove(errand)
        errand.then(answer, errand.is_uncertain)

    def _again(self, errand: Errand) -> None:
        if not errand.is_done:
            self._send(errand)
