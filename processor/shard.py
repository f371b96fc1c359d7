"""One shard: batches of commands in, records and answers out, without I/O.

Two things make it more than `decide` and `apply` in a loop.

Idempotency comes first: a request id that was used is answered from memory,
before any rule is asked.

A command that needs more reserve than the slices here hold is *parked*: the
shard asks settlement for all it needs, once.  Later commands of the same
account wait behind it, all others pass.  Settlement grants it (the receipt is
recorded and the command decided in the same step, so nobody can spend the
grant first) or refuses it with a certificate, and only then is it declined.
If settlement does not answer in time the caller hears that nothing was done;
unknown is never declined.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from processor import events as e
from processor import limits
from processor import messages as m
from processor.authorizations import decide_expire_authorization
from processor.billing import day_end_event
from processor.commands import Authorize, Command, ForceCapture
from processor.demand import Demand
from processor.entries import Reading
from processor.events import Refusal
from processor.expiries import Expiries
from processor.history import History
from processor.holds import decide_expire_hold
from processor.machine import apply, decide
from processor.node import Node, Step
from processor.pools import is_daily
from processor.records import ShardRecord
from processor.remembered import Remembered
from processor.rules import Moment, NeedsReserve, leased_minor
from processor.state import (
    TABLE_OF_ID,
    Authorization,
    AuthorizationStatus,
    Hold,
    HoldStatus,
    ShardState,
    Slice,
)
from processor.temporary_limits import decide_end_temporary_limit, run_out
from processor.views import ACCOUNT_KINDS, view

SETTLEMENT = 0  # The connection to settlement; gateways have positive numbers.
NO_ROUND = 0  # Of a report that nobody has asked for.


class Waiting(msgspec.Struct, gc=False):
    """A command that cannot be decided yet, and who asked."""

    connection: int
    submit: m.Submit
    gives_up_at_ms: int


class Parked(msgspec.Struct):
    """A command that waits for reserve, and those of its account behind it."""

    ask: int
    account_id: str
    first: Waiting
    needs: tuple[m.Need, ...]
    is_forced: bool
    refusals: tuple[Refusal, ...] = ()  # Settlement's so far.
    behind: deque[Waiting] = msgspec.field(default_factory=deque)


class Shard(Node):
    """A shard that has recovered; `epoch` is the one it took when it started."""

    def __init__(
        self,
        state: ShardState,
        remembered: Remembered,
        history: History,
        epoch: int,
        journal_id: str,
    ) -> None:
        super().__init__(remembered)
        self.state = state
        self.history = history
        self.epoch = epoch
        self.settlement_is_connected = False
        self._hellos = 0
        self._journal_id = journal_id
        self._moment = Moment(0)
        self._asks = 0
        self._parked: dict[int, Parked] = {}
        self._parked_accounts: dict[str, Parked] = {}
        self._parked_count = 0
        self._demand: dict[str, Demand] = {}
        self._spent: dict[str, int] = {}  # In this step, by lender.
        self._told_sequence = 0  # To settlement, on this connection.
        self._told_at_ms = 0
        self._unswept = 0  # Records since the last sweep.
        self._expiries = Expiries(_open(state))
        self._tables: dict[str, dict[str, Any]] = {
            name: getattr(state, table) for name, table in TABLE_OF_ID.items()
        }
        # Accounts to be looked at for what ended days bring; the last one first.
        self._to_end: list[str] = list(state.in_debt)
        self._run_out: deque[str] = deque(run_out(state))  # Temporary limits.

    @property
    def day(self) -> str:
        return self.state.day

    @property
    def sequence(self) -> int:
        return self.state.sequence

    @property
    def parked_count(self) -> int:
        """Commands waiting for reserve, those behind them included."""
        return self._parked_count

    def tidy(self, step: Step) -> None:
        super().tidy(step)
        self._unswept += len(step.records)
        if self._unswept < limits.OBJECTS_SWEPT_RECORDS:
            return
        swept, self._unswept = self.state.sweep(self._unswept), 0
        for name, gone in swept:
            if isinstance(gone, Authorization | Hold):
                self._expiries.forget(gone.expires_at_ms, name)

    @property
    def has_work(self) -> bool:
        has_ended = bool(self._run_out or self._to_end)
        return super().has_work or (self.is_open and has_ended)

    def _due_ms(self) -> list[int]:
        next_ms = self._expiries.next_ms
        return [next_ms] if next_ms is not None and self.is_open else []

    def _waits_ms(self) -> list[int]:
        waits = [parked.first.gives_up_at_ms for parked in self._parked.values()]
        if self._has_progressed:
            waits.append(self._told_at_ms + limits.PROGRESS_MS_MAX)
        return waits

    def _is_heard_while_closed(self, message: m.Message) -> bool:
        return not isinstance(message, m.Asked)

    def _why_closed(self) -> str:
        return "settlement has not confirmed the shard's journal yet"

    # Settlement's connection.

    def settlement_connected(self) -> None:
        """Say hello with all that the journal says, then ask again."""
        self.settlement_is_connected = True
        self._told_sequence, self._told_at_ms = 0, self._watch_ms
        self._hellos += 1
        self._deliver(
            SETTLEMENT,
            m.ShardHello(
                self.state.shard,
                self.epoch,
                self.state.sequence,
                self._journal_id,
                self.state.reference_version,
                self.state.day,
                tuple(_lease(lease) for lease in self.state.slices.values()),
                self._hellos,
            ),
        )
        for parked in self._parked.values():
            self._ask(parked)

    def disconnected(self, connection: int) -> None:
        if connection == SETTLEMENT:
            self.settlement_is_connected = False

    # One message after the other.

    def _begin_step(self) -> None:
        self._moment.now_ms = self._now_ms
        if self.is_open:
            if self._run_out:
                self._end_temporary_limits()
            self._expire_due()
            if self._parked:
                self._give_up_parked()
            if self._to_end:
                self._end_days()

    def _end_step(self) -> None:
        if self.state.forced_held and self.is_open:
            self._end_forced()
        self._tell_progress()
        if not self._spent:
            return
        for lender_id, spent_minor in self._spent.items():
            demand = self._demand.setdefault(lender_id, Demand())
            demand.spend(spent_minor)
            self._ask_ahead(self.state.slices[lender_id], demand)
        self._spent = {}

    @property
    def _has_progressed(self) -> bool:
        """Whether there is something that settlement could be told of."""
        has_more = self.state.sequence > self._told_sequence
        return has_more and self.is_open and self.settlement_is_connected

    def _tell_progress(self) -> None:
        """Now and then: an old copy of the journal is one that ends before that."""
        more = self.state.sequence - self._told_sequence
        is_due = self._watch_ms >= self._told_at_ms + limits.PROGRESS_MS_MAX
        if self._has_progressed and (is_due or more >= limits.PROGRESS_RECORDS_MAX):
            sequence = self.state.sequence
            self._told_sequence, self._told_at_ms = sequence, self._watch_ms
            self._deliver(SETTLEMENT, m.ShardProgress(self.epoch, sequence))

    def _ask_ahead(self, lease: Slice, demand: Demand) -> None:
        if not self.settlement_is_connected:
            return
        wanted_minor = demand.wanted_minor(lease.free_minor, self._watch_ms)
        if wanted_minor:
            self._deliver(
                SETTLEMENT,
                m.SliceWanted(
                    lease.pool_id,
                    wanted_minor,
                    lease.received_minor,
                    self.state.sequence,
                ),
            )

    def _handle(self, connection: int, message: m.Message) -> None:
        if isinstance(message, m.Submit):
            gives_up_at_ms = self._watch_ms + limits.PARKED_MS_MAX
            self._submit(connection, message, gives_up_at_ms)
        elif isinstance(message, m.Query):
            self._query(connection, message)
        elif isinstance(message, m.QueryEntries):
            self._query_entries(connection, message)
        else:
            _PROTOCOL[type(message)](self, message)

    def _query(self, connection: int, query: m.Query) -> None:
        if (self._run_out or self._to_end) and query.kind in ACCOUNT_KINDS:
            self._catch_up(query.object_id)
        body = view(self.state, query.kind, query.object_id)
        outcome = m.Outcome.NOT_FOUND if body is None else m.Outcome.READ
        self._deliver(connection, m.Answer(query.correlation, outcome, body or b""))

    def _query_entries(self, connection: int, query: m.QueryEntries) -> None:
        limit = query.limit
        assert 0 < limit <= limits.ENTRIES_PER_READ_MAX  # As the gateway checks.
        assert self.history.sequence == self.state.sequence
        account = self.state.accounts.get(query.account_id)
        page = None
        if account is not None:
            page = self.history.page(account.number, query.before, limit)
        if account is None or page is None:
            wrong = b"" if account is None else b"before"
            answer = m.Answer(query.correlation, m.Outcome.NOT_FOUND, wrong)
            self._deliver(connection, answer)
        else:
            self._readings.append(
                Reading(connection, query.correlation, self.state, account, page)
            )

    def _record(self, command: Any, event: Any) -> None:
        apply(self.state, event, command)
        self.history.record(self.state, event, command)
        self._records.append(ShardRecord(command, event))
        if isinstance(event, e.Authorized):
            if not event.captured:
                self._expiries.add(event.expires_at_ms, event.authorization_id)
            self._count_spending(event)
        elif isinstance(event, e.HoldPlaced):
            self._expiries.add(event.expires_at_ms, event.hold_id)

    def _end_forced(self) -> None:
        """What was raised by force and is free is nobody's to spend: it goes back."""
        for pool_id, held_minor in list(self.state.forced_held.items()):
            lease = self.state.slices[pool_id]
            back_minor = min(held_minor, lease.free_minor)
            if back_minor:
                returned_minor = lease.returned_minor + back_minor
                self._record(None, e.SliceReturned(pool_id, returned_minor))
                self._report(NO_ROUND, lease)

    def _report(self, round_: int, lease: Slice) -> None:
        reported = m.SliceReported(
            round_, _lease(lease), self.epoch, self.state.sequence
        )
        self._deliver(SETTLEMENT, reported)

    def _count_spending(self, event: e.Authorized) -> None:
        program = self.state.program_versions[event.program_id, event.program_version]
        spent, parts = self._spent, event.parts
        for place, lender_id in enumerate(program.lenders):
            spent[lender_id] = spent.get(lender_id, 0) + parts[place]

    # Commands.

    def _submit(self, connection: int, submit: m.Submit, gives_up_at_ms: int) -> None:
        command = submit.command
        if self._answer_again(connection, submit.correlation, command):
            return
        if self._is_late(submit.deadline_ms):
            self._not_done(connection, submit.correlation, m.TOO_LATE)
            return
        if self._parked_accounts:
            parked = self._parked_accounts.get(self._account_of(command))
            if parked is not None:
                waiting = Waiting(connection, submit, gives_up_at_ms)
                self._wait_behind(parked, waiting)
                return
        self._decide(connection, submit, gives_up_at_ms, ())

    def _decide(
        self,
        connection: int,
        submit: m.Submit,
        gives_up_at_ms: int,
        refusals: tuple[Refusal, ...],
        forced_minor: int = 0,
    ) -> None:
        command = submit.command
        if self._run_out or self._to_end:
            self._catch_up(self._account_of(command))
        if self.state.forced_held and not isinstance(command, ForceCapture):
            self._end_forced()
        self._moment.refusals = refusals
        self._moment.forced_minor = forced_minor
        decision = decide(self.state, command, self._moment)
        if isinstance(decision, NeedsReserve):
            waiting = Waiting(connection, submit, gives_up_at_ms)
            self._park(waiting, decision, refusals)
        else:
            self._answer(connection, submit.correlation, command, decision)

    def _account_of(self, command: Command) -> str:
        """The account a command is about; its own id if that is unknown."""
        object_id: str = getattr(command, command.ROUTED_BY)
        table = self._tables.get(command.ROUTED_BY)
        found = None if table is None else table.get(object_id)
        return object_id if found is None else found.account_id

    # Waiting for reserve.

    def _park(
        self, waiting: Waiting, decision: NeedsReserve, refusals: tuple[Refusal, ...]
    ) -> None:
        if not self.settlement_is_connected:
            self._refuse_waiting(waiting, "settlement cannot be reached")
            return
        if self._parked_count >= limits.PARKED_COMMANDS_MAX:
            self._refuse_waiting(waiting, "too many purchases wait for reserve")
            return
        self._asks += 1
        self._wait_no_longer(waiting)
        parked = Parked(
            self._asks,
            self._account_of(waiting.submit.command),
            waiting,
            decision.needs,
            decision.is_forced,
            refusals,
        )
        self._parked[parked.ask] = parked
        self._parked_accounts[parked.account_id] = parked
        self._parked_count += 1
        self._ask(parked)

    def _ask(self, parked: Parked) -> None:
        self._deliver(
            SETTLEMENT,
            m.SliceAsked(
                parked.ask, parked.needs, self.state.sequence, parked.is_forced
            ),
        )

    def _wait_behind(self, parked: Parked, waiting: Waiting) -> None:
        if self._parked_count >= limits.PARKED_COMMANDS_MAX:
            self._refuse_waiting(waiting, "too many purchases wait for reserve")
            return
        parked.behind.append(waiting)
        self._parked_count += 1

    def _wait_no_longer(self, waiting: Waiting) -> None:
        """Who parks gives up at his deadline, if that is earlier."""
        deadline_ms = waiting.submit.deadline_ms
        if deadline_ms:
            left_ms = deadline_ms - self._steady_ms
            gives_up_at_ms = min(waiting.gives_up_at_ms, self._watch_ms + left_ms)
            waiting.gives_up_at_ms = gives_up_at_ms

    def _unpark(
        self,
        ask: int,
        refusal: Refusal | None,
        why_not: str = "",
        forced_minor: int = 0,
    ) -> None:
        """Decide the parked command, or tell why not, then those behind it."""
        parked = self._parked.pop(ask, None)
        if parked is None:
            return  # Given up before the answer came.
        del self._parked_accounts[parked.account_id]
        self._parked_count -= 1 + len(parked.behind)
        first = parked.first
        connection, submit = first.connection, first.submit
        if why_not:
            self._refuse_waiting(first, why_not)
        elif self._answer_again(connection, submit.correlation, submit.command):
            pass
        elif self._is_late(submit.deadline_ms):
            self._refuse_waiting(first, m.TOO_LATE)
        else:
            refusals = _refusals(parked, refusal)
            self._decide(
                connection, submit, first.gives_up_at_ms, refusals, forced_minor
            )
        for waiting in parked.behind:
            if waiting.gives_up_at_ms <= self._watch_ms:
                self._refuse_waiting(waiting, "settlement did not answer in time")
            else:
                self._submit(waiting.connection, waiting.submit, waiting.gives_up_at_ms)

    def _forget_caps(self) -> None:
        """What was refused of a daily cap is no evidence of the one there is now."""
        for parked in self._parked.values():
            parked.refusals = tuple(
                refusal for refusal in parked.refusals if not is_daily(refusal.pool_id)
            )

    def _refuse_waiting(self, waiting: Waiting, why: str) -> None:
        self._not_done(waiting.connection, waiting.submit.correlation, why)

    def _give_up_parked(self) -> None:
        late = [
            parked.ask
            for parked in self._parked.values()
            if parked.first.gives_up_at_ms <= self._watch_ms
        ]
        for ask in late:
            self._unpark(ask, None, "settlement did not answer in time")

    # What time brings.

    def _end_temporary_limits(self) -> None:
        """Record the end of what has run out, a batch at most; the rest later.

        Whoever comes before his own turn brings his own end about.
        """
        for _ in range(min(len(self._run_out), limits.BATCH_COMMANDS_MAX)):
            self._end_temporary_limit(self._run_out.popleft())

    def _end_temporary_limit(self, account_id: str) -> None:
        event = decide_end_temporary_limit(self.state, account_id)
        if event is not None:
            self._record(None, event)

    def _expire_due(self) -> None:
        """Record what has run out, a batch at most; the rest in the next step."""
        for _ in range(limits.BATCH_COMMANDS_MAX):
            object_id = self._expiries.pop(self._now_ms)
            if object_id is None:
                return
            if object_id in self.state.holds:
                event = decide_expire_hold(self.state, object_id, self._now_ms)
            else:
                event = decide_expire_authorization(self.state, object_id, self._now_ms)
            if event is not None:
                assert isinstance(event, e.Event)
                self._record(None, event)

    def _catch_up(self, account_id: str) -> None:
        """What ended days bring to an account, before anything is decided about it."""
        self._end_temporary_limit(account_id)
        self._end_days_of(account_id)

    def _end_days(self) -> None:
        """Do what ended days bring to accounts in debt, so many in a step."""
        for _ in range(limits.DAY_END_ACCOUNTS_PER_STEP_MAX):
            if not self._to_end or len(self._records) > limits.BATCH_COMMANDS_MAX:
                return
            self._catch_up(self._to_end.pop())

    def _end_days_of(self, account_id: str) -> None:
        """The same for one account."""
        account = self.state.accounts.get(account_id)
        if account is None:
            return
        while True:
            event = day_end_event(self.state, account)
            if event is None:
                return
            self._record(None, event)

    # What settlement says.

    def _granted(self, message: m.GrantSlice) -> None:
        lease = self.state.slices[message.pool_id]
        if message.granted_minor > lease.received_minor:
            received = e.SliceReceived(
                message.pool_id, message.granted_minor, message.forced_minor
            )
            self._record(None, received)

    def _ask_granted(self, message: m.AskGranted) -> None:
        self._unpark(message.ask, None, forced_minor=message.forced_minor)

    def _ask_refused(self, message: m.AskRefused) -> None:
        self._unpark(
            message.ask,
            Refusal(
                message.pool_id,
                message.headroom_minor,
                message.refusal,
                leased_minor(self.state, message.pool_id),
            ),
        )

    def _recalled(self, message: m.RecallSlice) -> None:
        lease = self.state.slices[message.pool_id]
        if lease.free_minor > 0 and not message.keep:
            self._record(
                None,
                e.SliceReturned(
                    message.pool_id, lease.returned_minor + lease.free_minor
                ),
            )
        self._report(message.round, lease)

    def _reference_sent(self, message: m.ReferenceSent) -> None:
        new_count = message.version - self.state.reference_version
        if new_count > 0:
            assert new_count <= len(message.facts)
            facts = message.facts[-new_count:]
            self._record(None, e.ReferenceReceived(message.version, facts))
            if any(isinstance(fact, e.DailyCapSet) for fact in facts):
                self._forget_caps()
        self._deliver(SETTLEMENT, m.ReferenceHeld(self.state.reference_version))

    def _move_day(self, message: m.MoveDay) -> None:
        state = self.state
        if state.day == message.day:
            self._record(None, e.DayMoved(message.day, message.next_day, state.totals))
            self._to_end = list(state.in_debt)
            self._run_out = deque(run_out(state))
            self._forget_caps()
            self._batch_is_over = True
        assert state.ended_day == message.day
        self._deliver(
            SETTLEMENT,
            m.DayEnded(message.day, state.ended_sequence, state.ended_totals),
        )

    def _welcomed(self, message: m.ShardWelcome) -> None:
        assert self.state.day <= message.day
        self._open()
        self._end_temporary_limits()
        self._expire_due()

    def _refused(self, message: m.ShardRefused) -> None:
        self.stopped_because = message.reason


_PROTOCOL: dict[type[m.Message], Any] = {
    m.GrantSlice: Shard._granted,
    m.AskGranted: Shard._ask_granted,
    m.AskRefused: Shard._ask_refused,
    m.RecallSlice: Shard._recalled,
    m.ReferenceSent: Shard._reference_sent,
    m.MoveDay: Shard._move_day,
    m.ShardWelcome: Shard._welcomed,
    m.ShardRefused: Shard._refused,
}


def _refusals(parked: Parked, refusal: Refusal | None) -> tuple[Refusal, ...]:
    """What settlement has said of this purchase; of a whole one, just now."""
    command = parked.first.submit.command
    is_partial = isinstance(command, Authorize) and command.partial
    kept = parked.refusals if is_partial else ()
    if refusal is None:
        return kept
    others = [before for before in kept if before.pool_id != refusal.pool_id]
    # More than there can be only when programs change under a parked purchase.
    return (*others[1 - limits.REFUSALS_MAX :], refusal)


def _lease(lease: Slice) -> m.Lease:
    return m.Lease(
        lease.pool_id,
        lease.received_minor,
        lease.returned_minor,
        lease.free_minor,
        lease.authorized_minor,
        lease.captured_minor,
        lease.refunded_minor,
    )


def _open(state: ShardState) -> Iterator[tuple[int, str]]:
    """When each open hold and authorization runs out; none of them is shelved."""
    for authorization in state.authorizations.at_hand():
        if authorization.status is AuthorizationStatus.OPEN:
            yield authorization.expires_at_ms, authorization.authorization_id
    for hold in state.holds.at_hand():
        if hold.status is HoldStatus.OPEN:
            yield hold.expires_at_ms, hold.hold_id
