"""Settlement as lessor: slices of every pool, recalls, and who may not have any.

The rules of the lease, on both ends:

- Totals, not messages, carry the truth.  `granted` counts all that was ever
  leased to a shard, `returned` all it ever gave back.  A lost, repeated or
  reordered message changes nothing; the next hello makes both ends equal.
- A grant is in this journal before it is sent and in the shard's before it is
  used.  A return is in the shard's journal before it is told.  What is in
  flight belongs to nobody.
- A purchase that no slice covers is *asked* for: all its pools or none.  If
  too little is unleased, one recall brings back what is free on every shard.
  Only then is it refused, with the recall's answers as the certificate.  At
  most one recall a pool is under way; who asks meanwhile waits for the next.
- What is *forced* is never refused: on the evidence on which it would be, the
  lender's headroom is raised by what is missing, and that is granted.
- A daily cap is used up by shards that are on the same business day, because
  each is told of the new day before it is told of any grant after the cut.  So
  what a shard says of a daily cap is evidence only on the day it was asked on.
- A cap by program begins with what is lent out already (`program_caps.py`): the
  first recall that shows all of that to fit leases it, and then it is a pool
  like any other.
"""

from collections.abc import Iterable

from processor import commands as c
from processor import events as e
from processor import limits
from processor import messages as m
from processor.node import Node
from processor.pools import exhausted, is_daily, lender_of
from processor.program_caps import uncovered_minor
from processor.recall import SETTLEMENT_ITSELF, Ask, Caps, Round
from processor.remembered import Remembered
from processor.reserves import is_forceable, need_of, repaid_advance
from processor.settlement_rules import DECIDE
from processor.settlement_state import ProgramCap, SettlementState, ShardLease
from processor.settlement_views import caps_in_force, position


class Lessor(Node):
    """The part of settlement that leases; it knows shards by number."""

    def __init__(
        self, state: SettlementState, remembered: Remembered, epoch: int
    ) -> None:
        super().__init__(remembered)
        self.state = state
        self.epoch = epoch
        self._connection_of: dict[int, int] = {}  # Shard → connection.
        self._epoch_of: dict[int, int] = {}
        self._rounds: dict[int, Round] = {}
        self._recall_of: dict[str, Round] = {}  # Pool → its recall under way.
        self._round_count = 0

    def _tell(self, shard: int, message: m.Message) -> None:
        connection = self._connection_of.get(shard)
        if connection is not None:
            self._deliver(connection, message)

    def _decided(
        self, connection: int, correlation: int, command: c.Command, event: e.Event
    ) -> None:
        """Record and answer what settlement itself had to ask for."""
        raise NotImplementedError

    # Grants and credits.

    def _tell_grant(self, shard: int, pool_id: str) -> None:
        lease = self.state.pool(pool_id).leases[shard]
        granted = m.GrantSlice(pool_id, lease.granted_minor, lease.forced_minor)
        self._tell(shard, granted)

    def _grant(
        self, shard: int, pool_id: str, amount_minor: int, sequence: int
    ) -> None:
        lease = self.state.pool(pool_id).leases.get(shard) or ShardLease()
        self._record(
            None,
            e.SliceGranted(
                shard,
                pool_id,
                lease.granted_minor + amount_minor,
                self._epoch_of.get(shard, 0),
                sequence,
            ),
        )
        self._tell_grant(shard, pool_id)

    def _credit(self, shard: int, pool_id: str, returned_minor: int) -> None:
        pool = self.state.find_pool(pool_id)
        lease = None if pool is None else pool.leases.get(shard)
        if lease is not None and returned_minor > lease.credited_minor:
            self._record(None, e.SliceCredited(shard, pool_id, returned_minor))
            self._repay_advance(pool_id)

    def _repay_advance(self, pool_id: str) -> None:
        """What has come free first ends what was forced beyond the line."""
        lender = self.state.lenders.get(pool_id)
        if lender is not None and lender.forced_minor:
            repaid = repaid_advance(lender)
            if repaid is not None:
                self._record(None, repaid)

    def _spare_minor(self, pool_id: str) -> int:
        """What one shard may lease ahead of need: less as the pool runs out."""
        if pool_id in self._recall_of:
            return 0
        grantable_minor = self.state.pool(pool_id).grantable_minor
        return grantable_minor // (limits.SLICE_SHARE_DIVISOR * self.state.shard_count)

    def _wanted(self, shard: int, message: m.SliceWanted) -> None:
        lease = self.state.pool(message.pool_id).leases.get(shard)
        if lease is not None and lease.granted_minor > message.received_minor:
            return  # A grant is under way already.
        amount_minor = min(message.wanted_minor, self._spare_minor(message.pool_id))
        if amount_minor:
            self._grant(shard, message.pool_id, amount_minor, message.sequence)

    # Asks.

    def _asked(self, shard: int, message: m.SliceAsked) -> None:
        self._try_ask(
            Ask(
                shard,
                message.ask,
                self._connection_of[shard],
                message.needs,
                self._watch_ms + limits.PARKED_MS_MAX,
                self._round_count,
                message.sequence,
                is_forced=message.is_forced,
            )
        )

    def _ask_for(
        self,
        connection: int,
        correlation: int,
        command: c.SettlementCommand,
        deadline_ms: int,
    ) -> None:
        """Settlement itself needs headroom that is with the shards."""
        self._try_ask(
            Ask(
                SETTLEMENT_ITSELF,
                0,
                connection,
                (need_of(self.state, command),),
                self._watch_ms + limits.PARKED_MS_MAX,
                self._round_count,
                correlation=correlation,
                command=command,
                deadline_ms=deadline_ms,
            )
        )

    def _try_ask(self, ask: Ask, recalled: Round | None = None) -> None:
        """Grant it, refuse it on the evidence of a recall, or wait for one."""
        if ask.command is not None and self._is_decided(ask):
            return
        if any(self.state.find_pool(need.pool_id) is None for need in ask.needs):
            # A cap that is no more; the shard will know, and ask anew.
            self._tell(ask.shard, m.AskGranted(ask.ask))
            return
        for need in ask.needs:
            under_way = self._recall_of.get(need.pool_id)
            if under_way is not None:
                under_way.asks.append(ask)
                return
        short = [
            need
            for need in ask.needs
            if need.amount_minor > self.state.pool(need.pool_id).grantable_minor
        ]
        if ask.is_forced and short:
            self._force(ask, short)
            return
        for need in short:
            if recalled is None or not self._is_evidence(recalled, ask, need):
                self._recall(need.pool_id, ask)
            elif self._cover(recalled):
                self._try_ask(ask)
            else:
                self._refuse(ask, need, recalled)
            return
        self._satisfy(ask, is_plenty=recalled is None)

    def _is_decided(self, ask: Ask) -> bool:
        """Whether settlement's own command needs no more than there is now.

        Others may have changed meanwhile what it needs, or whether at all.  One
        whose time is over needs nothing any more.
        """
        command = ask.command
        assert command is not None
        if self._is_late(ask.deadline_ms):
            self._not_done(ask.connection, ask.correlation, m.TOO_LATE)
            return True
        event = DECIDE[type(command)](self.state, command)
        if event is None:
            ask.needs = (need_of(self.state, command),)
            return False
        self._answer_ask(ask, event)
        return True

    def _is_evidence(self, round_: Round, ask: Ask, need: m.Need) -> bool:
        if is_daily(need.pool_id) and round_.day != self.state.day:
            return False
        pool = self.state.pool(need.pool_id)
        return round_.is_evidence(ask, need.pool_id, pool)

    def _cover(self, recalled: Round) -> bool:
        """Lease what shards have lent out under a new cap, if all of it fits."""
        cap = self.state.find_pool(recalled.pool_id)
        if not isinstance(cap, ProgramCap) or cap.is_covered:
            return False
        cut = recalled.cut()
        if uncovered_minor(cut) > cap.unleased_minor:
            return False
        self._record(None, e.ProgramCapCovered(recalled.pool_id, cut))
        for point in cut:
            if point.free_minor < 0:
                self._grant(
                    point.shard, recalled.pool_id, -point.free_minor, point.sequence
                )
        return True

    def _satisfy(self, ask: Ask, is_plenty: bool, forced_minor: int = 0) -> None:
        for need in ask.needs:
            amount_minor = need.amount_minor
            if is_plenty:
                # A little ahead, so that the next one need not ask.
                spare_minor = self._spare_minor(need.pool_id)
                amount_minor = max(amount_minor, min(spare_minor, 64 * amount_minor))
            self._grant(ask.shard, need.pool_id, amount_minor, ask.sequence)
        self._tell(ask.shard, m.AskGranted(ask.ask, forced_minor))

    def _force(self, ask: Ask, short: Iterable[m.Need]) -> None:
        """Raise the headroom of all that are short; first look at every shard."""
        missing_minor = 0
        forced = []
        for need in short:
            lender = self.state.lenders[need.pool_id]
            evidence = ask.evidence.get(need.pool_id)
            if evidence is None or not self._is_evidence(evidence, ask, need):
                self._recall(need.pool_id, ask)
                return
            more_minor = need.amount_minor - lender.unleased_minor
            if not is_forceable(lender, more_minor):
                return  # Nothing is done, and the shard will say so.
            missing_minor += more_minor
            forced.append(
                e.AdvanceForced(
                    ask.shard,
                    ask.ask,
                    need.pool_id,
                    need.amount_minor,
                    lender.unleased_minor,
                    lender.forced_minor + more_minor,
                    evidence.cut(),
                )
            )
        for event in forced:
            self._record(None, event)
        self._satisfy(ask, is_plenty=False, forced_minor=missing_minor)

    def _refuse(self, ask: Ask, need: m.Need, evidence: Round) -> None:
        unleased_minor = self.state.pool(need.pool_id).unleased_minor
        refused = e.ReserveRefused(
            self.state.refusals + 1,
            ask.shard,
            ask.ask,
            need.pool_id,
            need.amount_minor,
            unleased_minor,
            evidence.cut(),
        )
        self._record(None, refused)
        if ask.command is not None:
            event = e.Declined(
                exhausted(need.pool_id),
                need.amount_minor - unleased_minor,
                lender_of(need.pool_id),
                refused.refusal,
            )
            self._answer_ask(ask, event)
        else:
            # Below zero, if the others have lent out more than a new cap.
            others = (p for p in refused.cut if p.shard != ask.shard)
            headroom_minor = unleased_minor - uncovered_minor(tuple(others))
            self._tell(
                ask.shard,
                m.AskRefused(ask.ask, need.pool_id, headroom_minor, refused.refusal),
            )

    def _answer_ask(self, ask: Ask, event: e.Event) -> None:
        assert ask.command is not None
        if not self._answer_again(ask.connection, ask.correlation, ask.command):
            self._decided(ask.connection, ask.correlation, ask.command, event)

    # Rounds.

    def _next_round(self) -> int:
        self._round_count += 1
        return self._round_count

    def _recall(self, pool_id: str, ask: Ask) -> None:
        round_ = Round(
            self._next_round(),
            pool_id,
            False,
            ask.gives_up_at_ms,
            self.state.day,
            asks=[ask],
        )
        self._recall_of[pool_id] = round_
        self._start_round(round_)

    def _look(self, lender_id: str, connection: int, correlation: int) -> None:
        """A reader wants the position of a lender: ask all shards, take nothing."""
        self._start_round(
            Round(
                self._next_round(),
                lender_id,
                True,
                self._watch_ms + limits.PARKED_MS_MAX,
                self.state.day,
                connection,
                correlation,
            )
        )

    def _look_at_caps(self, caps: Caps, connection: int, correlation: int) -> None:
        """A reader wants the caps of a program: ask about each, then answer."""
        if caps.pool_ids:
            self._start_round(
                Round(
                    self._next_round(),
                    caps.pool_ids.pop(),
                    True,
                    self._watch_ms + limits.PARKED_MS_MAX,
                    self.state.day,
                    connection,
                    correlation,
                    caps=caps,
                )
            )
            return
        body = caps_in_force(self.state, caps.program_id, caps.used_minor)
        self._deliver(connection, m.Answer(correlation, m.Outcome.READ, body))

    def _start_round(self, round_: Round) -> None:
        self._rounds[round_.number] = round_
        for shard in self._connection_of:
            self._tell(shard, round_.question())

    def _reported(self, shard: int, message: m.SliceReported) -> None:
        pool_id = message.lease.pool_id
        self._credit(shard, pool_id, message.lease.returned_minor)
        round_ = self._rounds.get(message.round)
        if round_ is None or round_.pool_id != pool_id:
            return
        lease = self.state.pool(pool_id).leases.get(shard) or ShardLease()
        if lease.granted_minor != message.lease.received_minor:
            # A grant was still under way: its receipt comes before the answer.
            self._tell_grant(shard, pool_id)
            self._tell(shard, round_.question())
            return
        round_.answered(shard, message.lease, message.epoch, message.sequence)
        if not round_.is_missing(range(self.state.shard_count)):
            self._complete(round_)

    def _complete(self, round_: Round) -> None:
        del self._rounds[round_.number]
        if round_.caps is not None:
            used_minor = sum(x.authorized_minor for x in round_.leases.values())
            round_.caps.used_minor[round_.pool_id] = used_minor
            self._look_at_caps(round_.caps, round_.connection, round_.correlation)
            return
        if round_.keep:
            body = position(self.state, round_.pool_id, round_.leases.values())
            self._deliver(
                round_.connection,
                m.Answer(round_.correlation, m.Outcome.READ, body),
            )
            return
        del self._recall_of[round_.pool_id]
        for ask in round_.asks:
            ask.evidence[round_.pool_id] = round_
            self._try_ask(ask, round_)

    def _end_rounds(self) -> None:
        """Of pools that are no more: who waits for one asks anew, or is told."""
        for round_ in list(self._rounds.values()):
            if self.state.find_pool(round_.pool_id) is not None:
                continue
            del self._rounds[round_.number]
            if round_.keep:
                why = "a cap was changed meanwhile"
                self._not_done(round_.connection, round_.correlation, why)
                continue
            del self._recall_of[round_.pool_id]
            for ask in round_.asks:
                self._try_ask(ask)

    def _give_up_late(self) -> None:
        """Answer who has waited too long; an open recall goes on for the others."""
        for round_ in list(self._rounds.values()):
            if round_.keep and round_.gives_up_at_ms <= self._watch_ms:
                del self._rounds[round_.number]
                self._not_done(
                    round_.connection, round_.correlation, "a shard does not answer"
                )
            late = [a for a in round_.asks if a.gives_up_at_ms <= self._watch_ms]
            for ask in late:
                round_.asks.remove(ask)
                if ask.command is not None:
                    self._not_done(
                        ask.connection, ask.correlation, "a shard does not answer"
                    )

    def _forget_asks(self, connection: int) -> None:
        """Who asked on a connection that is gone will ask again."""
        for round_ in self._rounds.values():
            round_.asks = [ask for ask in round_.asks if ask.connection != connection]
