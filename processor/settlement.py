"""Settlement: owns every lender's reserve and leases slices of it to shards.

The rules of the lease, on both ends:

- Totals, not messages, carry the truth.  `granted` counts all that was ever
  leased to a shard, `returned` all it ever gave back.  A lost, repeated or
  reordered message changes nothing; the next hello makes both ends equal.
- A grant is in this journal before it is sent and in the shard's before it is
  used.  A return is in the shard's journal before it is told.  What is in
  flight belongs to nobody.
- A purchase that no slice covers is *asked* for: all its lenders or none.  If
  too little is unleased, one recall brings back what is free on every shard.
  Only then is it refused, with the recall's answers as the certificate.  At
  most one recall a lender is under way; who asks meanwhile waits for the next.
- A shard whose journal is behind what was acknowledged here is refused, and
  settlement stops itself if a shard knows of more grants than it does.  So it
  grants and answers nothing before every shard has said hello once.

The business day is cut here by a record, then every shard is told and reports
the totals of its part; the day is closed when all have reported.
"""

from typing import Any

from processor import commands as c
from processor import events as e
from processor import limits
from processor import messages as m
from processor.answers import answer_to
from processor.declines import DeclineReason
from processor.node import Node
from processor.recall import SETTLEMENT_ITSELF, Ask, Round
from processor.records import SettlementRecord
from processor.remembered import Remembered
from processor.settlement_rules import DECIDE, apply, decide_withdraw
from processor.settlement_state import SettlementState, ShardLease
from processor.settlement_views import position, view


class Settlement(Node):
    """Settlement that has recovered."""

    def __init__(
        self, state: SettlementState, remembered: Remembered, epoch: int
    ) -> None:
        super().__init__(remembered)
        self.state = state
        self.epoch = epoch
        self._connection_of: dict[int, int] = {}  # Shard → connection.
        self._shard_of: dict[int, int] = {}
        self._epoch_of: dict[int, int] = {}
        self._rounds: dict[int, Round] = {}
        self._recall_of: dict[str, Round] = {}  # Lender → its recall under way.
        self._round_count = 0
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

    def _due_ms(self) -> list[int]:
        due = [gives_up_at_ms for _, gives_up_at_ms, _, _ in self._registered]
        for round_ in self._rounds.values():
            if round_.keep:
                due.append(round_.gives_up_at_ms)
            due.extend(ask.gives_up_at_ms for ask in round_.asks)
        return due

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
        for round_ in self._rounds.values():
            round_.asks = [ask for ask in round_.asks if ask.connection != connection]

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
        if isinstance(command, c.CloseDay) and self._close_again(
            connection, submit.correlation, command
        ):
            return
        event = DECIDE[type(command)](self.state, command)
        if event is None:
            assert isinstance(command, c.WithdrawReserve)
            self._ask_for_withdrawal(connection, submit.correlation, command)
            return
        if isinstance(command, c.CloseDay) and isinstance(event, e.Declined):
            # There is one wish to close a day, and it may come too early: what
            # was refused is not remembered, or it could never be fulfilled.
            body = answer_to(command, event)
            decided = m.Answer(submit.correlation, m.Outcome.DECIDED, body)
            self._deliver(connection, decided)
            return
        self._answer(connection, submit.correlation, command, event)
        if isinstance(event, e.ReferenceFact):
            self._hold_back_answer()
            self._send_reference(tuple(self._connection_of), len(self.state.reference))
        elif isinstance(event, e.DayCut):
            for shard in self._connection_of:
                self._tell(shard, m.MoveDay(event.day, event.next_day))

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
            self._start_round(
                Round(
                    self._next_round(),
                    lender.lender_id,
                    True,
                    self._now_ms + limits.PARKED_MS_MAX,
                    connection,
                    query.correlation,
                )
            )
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
                self._now_ms + limits.REFERENCE_WAIT_MS_MAX,
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
            if version <= held or gives_up_at_ms <= self._now_ms:
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
        why = self._why_refused(hello)
        if why:
            self._deliver(connection, m.ShardRefused(why))
            return
        shard = hello.shard
        if shard not in self.state.shards:
            self._record(None, e.ShardJoined(shard, hello.journal_id))
        # What an older connection still brings is not listened to any more: the
        # shard repeats on the new one whatever matters.
        self._shard_of.pop(self._connection_of.get(shard, connection), None)
        self._connection_of[shard] = connection
        self._shard_of[connection] = shard
        self._epoch_of[shard] = hello.epoch
        self._tell(shard, m.ShardWelcome(self.state.day))
        self._reference_held[shard] = hello.reference_version
        self._send_reference((shard,), hello.reference_version + 1)
        for lease in hello.leases:
            self._credit(shard, lease.lender_id, lease.returned_minor)
        for lender in self.state.lenders.values():
            if shard in lender.leases:
                self._tell_grant(shard, lender.lender_id)
        closing = self.state.closing_day
        if closing is not None and shard not in closing.reported:
            self._tell(shard, m.MoveDay(closing.day, closing.next_day))
        for round_ in self._rounds.values():
            if round_.is_missing((shard,)):
                self._tell(shard, round_.question())
        if not self.is_open and len(self._epoch_of) == self.state.shard_count:
            self._open()

    def _why_refused(self, hello: m.ShardHello) -> str:
        """Why a shard's journal is not to be worked with; "" if it is."""
        if not 0 <= hello.shard < self.state.shard_count:
            return f"there is no shard {hello.shard}"
        if hello.epoch < self._epoch_of.get(hello.shard, 0):
            return f"a later incarnation of shard {hello.shard} has taken over"
        seen = self.state.shards.get(hello.shard)
        if seen is not None and seen.journal_id != hello.journal_id:
            return f"the journal of shard {hello.shard} is not the one that joined"
        if seen is not None and (
            hello.sequence < seen.sequence or hello.epoch < seen.epoch
        ):
            return (
                f"the journal of shard {hello.shard} ends at record {hello.sequence}, "
                f"but settlement has acknowledged {seen.sequence}: it is an old copy"
            )
        if hello.day > self.state.day:
            self.stopped_because = (
                f"shard {hello.shard} is at business day {hello.day}, which "
                "settlement's journal does not know: it is an old copy"
            )
            return self.stopped_because
        if hello.reference_version > len(self.state.reference):
            self.stopped_because = (
                f"shard {hello.shard} holds reference data that settlement's "
                "journal does not know: it is an old copy"
            )
            return self.stopped_because
        for lease in hello.leases:
            lender = self.state.lenders.get(lease.lender_id)
            known = lender and lender.leases.get(hello.shard)
            known = known or ShardLease()
            if lease.received_minor > known.granted_minor:
                self.stopped_because = (
                    f"shard {hello.shard} holds grants of {lease.lender_id} that "
                    "settlement's journal does not know: it is an old copy"
                )
                return self.stopped_because
            if lease.returned_minor < known.credited_minor:
                return f"the journal of shard {hello.shard} is an old copy"
        return ""

    # Leases.

    def _tell(self, shard: int, message: m.Message) -> None:
        connection = self._connection_of.get(shard)
        if connection is not None:
            self._deliver(connection, message)

    def _tell_grant(self, shard: int, lender_id: str) -> None:
        lease = self.state.lenders[lender_id].leases[shard]
        self._tell(shard, m.GrantSlice(lender_id, lease.granted_minor))

    def _grant(
        self, shard: int, lender_id: str, amount_minor: int, sequence: int
    ) -> None:
        lease = self.state.lenders[lender_id].leases.get(shard) or ShardLease()
        self._record(
            None,
            e.SliceGranted(
                shard,
                lender_id,
                lease.granted_minor + amount_minor,
                self._epoch_of.get(shard, 0),
                sequence,
            ),
        )
        self._tell_grant(shard, lender_id)

    def _credit(self, shard: int, lender_id: str, returned_minor: int) -> None:
        lease = self.state.lenders[lender_id].leases.get(shard)
        if lease is not None and returned_minor > lease.credited_minor:
            self._record(None, e.SliceCredited(shard, lender_id, returned_minor))

    def _spare_minor(self, lender_id: str) -> int:
        """What one shard may lease ahead of need: less as the reserve runs out."""
        if lender_id in self._recall_of:
            return 0
        unleased_minor = self.state.lenders[lender_id].unleased_minor
        return unleased_minor // (limits.SLICE_SHARE_DIVISOR * self.state.shard_count)

    def _wanted(self, shard: int, message: m.SliceWanted) -> None:
        lender = self.state.lenders[message.lender_id]
        lease = lender.leases.get(shard)
        if lease is not None and lease.granted_minor > message.received_minor:
            return  # A grant is under way already.
        amount_minor = min(message.wanted_minor, self._spare_minor(message.lender_id))
        if amount_minor:
            self._grant(shard, message.lender_id, amount_minor, message.sequence)

    def _asked(self, shard: int, message: m.SliceAsked) -> None:
        self._try_ask(
            Ask(
                shard,
                message.ask,
                self._connection_of[shard],
                message.needs,
                self._now_ms + limits.PARKED_MS_MAX,
                self._round_count,
                message.sequence,
            )
        )

    def _ask_for_withdrawal(
        self, connection: int, correlation: int, command: c.WithdrawReserve
    ) -> None:
        self._try_ask(
            Ask(
                SETTLEMENT_ITSELF,
                0,
                connection,
                (m.Need(command.lender_id, command.amount_minor),),
                self._now_ms + limits.PARKED_MS_MAX,
                self._round_count,
                correlation=correlation,
                withdrawal=command,
            )
        )

    def _try_ask(self, ask: Ask, recalled: Round | None = None) -> None:
        """Grant it, refuse it on the evidence of a recall, or wait for one."""
        for need in ask.needs:
            under_way = self._recall_of.get(need.lender_id)
            if under_way is not None:
                under_way.asks.append(ask)
                return
        for need in ask.needs:
            lender = self.state.lenders[need.lender_id]
            if need.amount_minor <= lender.unleased_minor:
                continue
            if recalled is not None and recalled.is_evidence(ask, lender):
                self._refuse(ask, need, recalled)
            else:
                self._recall(need.lender_id, ask)
            return
        self._satisfy(ask, is_plenty=recalled is None)

    def _satisfy(self, ask: Ask, is_plenty: bool) -> None:
        if ask.withdrawal is not None:
            event = decide_withdraw(self.state, ask.withdrawal)
            assert event is not None
            self._answer_withdrawal(ask, event)
            return
        for need in ask.needs:
            amount_minor = need.amount_minor
            if is_plenty:
                # A little ahead, so that the next one need not ask.
                spare_minor = self._spare_minor(need.lender_id)
                amount_minor = max(amount_minor, min(spare_minor, 64 * amount_minor))
            self._grant(ask.shard, need.lender_id, amount_minor, ask.sequence)
        self._tell(ask.shard, m.AskGranted(ask.ask))

    def _refuse(self, ask: Ask, need: m.Need, evidence: Round) -> None:
        unleased_minor = self.state.lenders[need.lender_id].unleased_minor
        refused = e.ReserveRefused(
            self.state.refusals + 1,
            ask.shard,
            ask.ask,
            need.lender_id,
            need.amount_minor,
            unleased_minor,
            evidence.cut(),
        )
        self._record(None, refused)
        if ask.withdrawal is not None:
            missing_minor = need.amount_minor - unleased_minor
            declined = e.Declined(
                DeclineReason.RESERVE_EXHAUSTED,
                missing_minor,
                need.lender_id,
                refused.refusal,
            )
            self._answer_withdrawal(ask, declined)
        else:
            self._tell(
                ask.shard,
                m.AskRefused(ask.ask, need.lender_id, unleased_minor, refused.refusal),
            )

    def _answer_withdrawal(self, ask: Ask, event: e.Event) -> None:
        assert ask.withdrawal is not None
        if not self._answer_again(ask.connection, ask.correlation, ask.withdrawal):
            self._answer(ask.connection, ask.correlation, ask.withdrawal, event)

    # Rounds.

    def _next_round(self) -> int:
        self._round_count += 1
        return self._round_count

    def _recall(self, lender_id: str, ask: Ask) -> None:
        round_ = Round(
            self._next_round(), lender_id, False, ask.gives_up_at_ms, asks=[ask]
        )
        self._recall_of[lender_id] = round_
        self._start_round(round_)

    def _start_round(self, round_: Round) -> None:
        self._rounds[round_.number] = round_
        for shard in self._connection_of:
            self._tell(shard, round_.question())

    def _reported(self, shard: int, message: m.SliceReported) -> None:
        lender_id = message.lease.lender_id
        self._credit(shard, lender_id, message.lease.returned_minor)
        round_ = self._rounds.get(message.round)
        if round_ is None:
            return
        lease = self.state.lenders[lender_id].leases.get(shard) or ShardLease()
        if lease.granted_minor != message.lease.received_minor:
            # A grant was still under way: its receipt comes before the answer.
            self._tell_grant(shard, lender_id)
            self._tell(shard, round_.question())
            return
        round_.answered(shard, message.lease, message.epoch, message.sequence)
        if not round_.is_missing(range(self.state.shard_count)):
            self._complete(round_)

    def _complete(self, round_: Round) -> None:
        del self._rounds[round_.number]
        if round_.keep:
            body = position(
                self.state.lenders[round_.lender_id], round_.leases.values()
            )
            self._deliver(
                round_.connection,
                m.Answer(round_.correlation, m.Outcome.READ, body),
            )
            return
        del self._recall_of[round_.lender_id]
        for ask in round_.asks:
            self._try_ask(ask, round_)

    def _give_up_late(self) -> None:
        """Answer who has waited too long; an open recall goes on for the others."""
        for round_ in list(self._rounds.values()):
            if round_.keep and round_.gives_up_at_ms <= self._now_ms:
                del self._rounds[round_.number]
                self._not_done(
                    round_.connection, round_.correlation, "a shard does not answer"
                )
            late = [a for a in round_.asks if a.gives_up_at_ms <= self._now_ms]
            for ask in late:
                round_.asks.remove(ask)
                if ask.withdrawal is not None:
                    self._not_done(
                        ask.connection, ask.correlation, "a shard does not answer"
                    )

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
}
