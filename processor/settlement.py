"""Settlement: owns every lender's reserve, the registers and the business day.

What it leases to shards, and on which terms, is in `lessor.py`.  A shard whose
journal is behind what was acknowledged here is refused, and settlement stops
itself if a shard knows of more grants than it does (`hello.py`).  So it grants
and answers nothing before every shard has said hello once.

The business day is cut here by a record, then every shard is told and reports
the totals of its part; the day is closed when all have reported.  A shard that
comes back is told of a cut before it is told of any grant: what it is granted
of a daily cap then belongs to the new day.
"""

from typing import Any

from processor import commands as c
from processor import events as e
from processor import limits
from processor import messages as m
from processor.answers import answer_to
from processor.hello import why_refused
from processor.lessor import Lessor
from processor.recall import Caps
from processor.records import SettlementRecord
from processor.remembered import Remembered
from processor.settlement_rules import DECIDE, apply
from processor.settlement_state import SettlementState
from processor.settlement_views import view


class Settlement(Lessor):
    """Settlement that has recovered."""

    def __init__(
        self, state: SettlementState, remembered: Remembered, epoch: int
    ) -> None:
        super().__init__(state, remembered, epoch)
        self._shard_of: dict[int, int] = {}
        self._hello_of: dict[int, tuple[int, int]] = {}  # Its epoch, and which.
        self._reference_held: dict[int, int] = {}
        self._registered: list[tuple[int, int, int, m.Answer]] = []

    @property
    def day(self) -> str:
        return self.state.day

    @property
    def sequence(self) -> int:
        return self.state.sequence

    @property
    def connected_shards(self) -> int:
        """How many shards are on the line."""
        return len(self._connection_of)

    def _waits_ms(self) -> list[int]:
        waits = [gives_up_at_ms for _, gives_up_at_ms, _, _ in self._registered]
        for round_ in self._rounds.values():
            if round_.keep:
                waits.append(round_.gives_up_at_ms)
            waits.extend(ask.gives_up_at_ms for ask in round_.asks)
        return waits

    def _is_heard_while_closed(self, message: m.Message) -> bool:
        # Whatever gives nothing away: what a shard tells of itself is a fact.
        return not isinstance(message, m.Asked | m.SliceAsked | m.SliceWanted)

    def _why_closed(self) -> str:
        missing = sorted(set(range(self.state.shard_count)) - set(self._epoch_of))
        names = ", ".join(map(str, missing))
        return f"settlement waits for the first word of shard {names}"

    def disconnected(self, connection: int) -> None:
        """A shard that comes back says hello and asks again."""
        shard = self._shard_of.pop(connection, None)
        if shard is not None and self._connection_of.get(shard) == connection:
            del self._connection_of[shard]
        self._forget_asks(connection)

    def _begin_step(self) -> None:
        self._give_up_late()
        self._tell_registered()

    def _handle(self, connection: int, message: m.Message) -> None:
        if isinstance(message, m.Submit):
            self._submit(connection, message)
        elif isinstance(message, m.Query):
            self._query(connection, message)
        elif isinstance(message, m.ShardHello):
            self._hello(connection, message)
        elif connection in self._shard_of:
            _PROTOCOL[type(message)](self, self._shard_of[connection], message)

    def _record(self, command: Any, event: Any) -> None:
        # The day is stamped on a whole batch, so a cut ends it.
        apply(self.state, event)
        self._records.append(SettlementRecord(command, event))
        if isinstance(event, e.DayCut):
            self._batch_is_over = True

    # Gateways.

    def _submit(self, connection: int, submit: m.Submit) -> None:
        command = submit.command
        if self._answer_again(connection, submit.correlation, command):
            return
        if self._is_late(submit.deadline_ms):
            self._not_done(connection, submit.correlation, m.TOO_LATE)
            return
        if isinstance(command, c.CloseDay) and self._close_again(
            connection, submit.correlation, command
        ):
            return
        event = DECIDE[type(command)](self.state, command)
        if event is None:
            self._ask_for(
                connection,
                submit.correlation,
                command,  # type: ignore[arg-type]
                submit.deadline_ms,
            )
        elif isinstance(command, c.CloseDay) and isinstance(event, e.Declined):
            # There is one wish to close a day, and it may come too early: what
            # was refused is not remembered, or it could never be fulfilled.
            body = answer_to(command, event)
            decided = m.Answer(submit.correlation, m.Outcome.DECIDED, body)
            self._deliver(connection, decided)
        else:
            self._decided(connection, submit.correlation, command, event)

    def _decided(
        self, connection: int, correlation: int, command: c.Command, event: e.Event
    ) -> None:
        self._answer(connection, correlation, command, event)
        if isinstance(event, e.ReferenceFact):
            self._hold_back_answer()
            self._send_reference(tuple(self._connection_of), len(self.state.reference))
            if isinstance(event, e.ProgramCapSet):
                self._end_rounds()
        elif isinstance(event, e.DayCut):
            for shard in self._connection_of:
                self._tell(shard, m.MoveDay(event.day, event.next_day))
        elif isinstance(
            event, e.ReserveDeposited | e.AdvanceLineChanged | e.FundsApproved
        ):
            self._repay_advance(event.lender_id)

    def _close_again(
        self, connection: int, correlation: int, command: c.CloseDay
    ) -> bool:
        """Closing a day that was cut is a no-op with the same answer."""
        cut = self.state.days.get(command.day)
        if cut is not None and command.next_day in (None, cut.next_day):
            body = answer_to(command, e.DayCut(cut.day, cut.next_day))
            self._deliver(connection, m.Answer(correlation, m.Outcome.REPLAYED, body))
            return True
        closing = self.state.closing_day
        if closing is not None and command.day == self.state.day:
            self._not_done(connection, correlation, f"{closing.day} is still closing")
            return True
        return False

    def _query(self, connection: int, query: m.Query) -> None:
        lender = self.state.lenders.get(query.object_id)
        if query.kind == "position" and lender is not None:
            self._look(lender.lender_id, connection, query.correlation)
            return
        if query.kind == "caps" and query.object_id in self.state.programs:
            pool_ids = list(self.state.program_caps_of(query.object_id))
            caps = Caps(query.object_id, pool_ids)
            self._look_at_caps(caps, connection, query.correlation)
            return
        body = view(self.state, query.kind, query.object_id)
        outcome = m.Outcome.NOT_FOUND if body is None else m.Outcome.READ
        self._deliver(connection, m.Answer(query.correlation, outcome, body or b""))

    # Reference data: pushed to every shard, answered when they hold it.

    def _hold_back_answer(self) -> None:
        """A registration is answered when the shards know of it, or soon after."""
        connection, answer = self._deliveries.pop()
        assert isinstance(answer, m.Answer)
        self._registered.append(
            (
                len(self.state.reference),
                self._watch_ms + limits.REFERENCE_WAIT_MS_MAX,
                connection,
                answer,
            )
        )

    def _tell_registered(self) -> None:
        if not self._registered:
            return
        held = 0
        if len(self._reference_held) == self.state.shard_count:
            held = min(self._reference_held.values())
        waiting = []
        for registered in self._registered:
            version, gives_up_at_ms, connection, answer = registered
            if version <= held or gives_up_at_ms <= self._watch_ms:
                self._deliver(connection, answer)
            else:
                waiting.append(registered)
        self._registered = waiting

    def _send_reference(self, shards: tuple[int, ...], first_version: int) -> None:
        """Send the facts from a version on, in frames of bounded size."""
        facts = self.state.reference
        step = limits.REFERENCE_ITEMS_PER_FRAME_MAX
        for begin in range(first_version - 1, len(facts), step):
            part = tuple(facts[begin : begin + step])
            for shard in shards:
                self._tell(shard, m.ReferenceSent(begin + len(part), part))

    def _reference_is_held(self, shard: int, message: m.ReferenceHeld) -> None:
        self._reference_held[shard] = message.version
        self._tell_registered()

    # Shards: the first word.

    def _hello(self, connection: int, hello: m.ShardHello) -> None:
        refused = why_refused(self.state, self._epoch_of.get(hello.shard, 0), hello)
        if refused is not None:
            if refused.settlement_is_old:
                self.stopped_because = refused.why
            self._deliver(connection, m.ShardRefused(refused.why))
            return
        shard = hello.shard
        if (hello.epoch, hello.hello) < self._hello_of.get(shard, (0, 0)):
            return  # A late word on a connection that the shard has given up.
        self._hello_of[shard] = (hello.epoch, hello.hello)
        if shard not in self.state.shards:
            self._record(None, e.ShardJoined(shard, hello.journal_id))
        # What an older connection still brings is not listened to any more: the
        # shard repeats on the new one whatever matters.
        before = self._connection_of.get(shard, connection)
        self._shard_of.pop(before, None)
        # It asks again, and a later life counts its asks anew: an answer to an
        # old one would be taken for the answer to another.
        self._forget_asks(before)
        self._connection_of[shard] = connection
        self._shard_of[connection] = shard
        self._epoch_of[shard] = hello.epoch
        self._tell(shard, m.ShardWelcome(self.state.day))
        self._reference_held[shard] = hello.reference_version
        self._send_reference((shard,), hello.reference_version + 1)
        closing = self.state.closing_day
        if closing is not None and shard not in closing.reported:
            self._tell(shard, m.MoveDay(closing.day, closing.next_day))
        for lease in hello.leases:
            self._credit(shard, lease.pool_id, lease.returned_minor)
        for pool_id in self.state.pool_ids():
            if shard in self.state.pool(pool_id).leases:
                self._tell_grant(shard, pool_id)
        for round_ in self._rounds.values():
            if round_.is_missing((shard,)):
                self._tell(shard, round_.question())
        if not self.is_open and len(self._epoch_of) == self.state.shard_count:
            self._open()

    def _progressed(self, shard: int, message: m.ShardProgress) -> None:
        if message.sequence > self.state.shards[shard].sequence:
            event = e.ShardProgressed(shard, message.epoch, message.sequence)
            self._record(None, event)

    # The day.

    def _day_ended(self, shard: int, message: m.DayEnded) -> None:
        day = self.state.days[message.day]
        if shard in day.reported:
            return
        self._record(
            None,
            e.ShardDayReported(message.day, shard, message.sequence, message.totals),
        )
        if len(day.reported) == self.state.shard_count:
            self._record(None, e.DayClosed(message.day, day.totals))


_PROTOCOL: dict[type[m.Message], Any] = {
    m.SliceWanted: Settlement._wanted,
    m.SliceAsked: Settlement._asked,
    m.SliceReported: Settlement._reported,
    m.ReferenceHeld: Settlement._reference_is_held,
    m.DayEnded: Settlement._day_ended,
    m.ShardProgress: Settlement._progressed,
}
