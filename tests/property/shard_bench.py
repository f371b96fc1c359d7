"""One shard on the bench: driven, journaled in memory, and judged at each fact.

The bench plays the actor (it steps, journals, then delivers), the gateway (it
submits and checks every answer) and, by `FakeSettlement`, settlement.
"""

from collections import deque
from typing import Any

import msgspec
import pytest

from processor import commands as c
from processor import events as e
from processor import history, limits, snapshot
from processor import messages as m
from processor.audit.compare import compare_with_state
from processor.audit.shard import ShardAudit
from processor.journal import Batch, Identity, Point
from processor.machine import apply
from processor.pieces import MemoryPieces
from processor.records import RECORDS_ENCODER, ShardRecord
from processor.recovery import Room, ShardReplay, digest_of
from processor.scratch import MemoryScratch
from processor.shard import SETTLEMENT, Shard
from processor.state import ShardState
from processor.views import view
from tests.property.fake_settlement import FakeSettlement
from tests.property.naive_charges import check_charge
from tests.property.naive_facts import Judge, without_zeros
from tests.property.naive_history import NaiveHistory
from tests.property.naive_model import Bounds, NaiveShard
from tests.unit.journals_by_hand import rechained

FIRST_DAY = "2026-01-01"
GATEWAY = 1
TURNS_TO_REST_MAX = 1_000
LATE = {
    b"settlement did not answer in time",
    b"settlement has not confirmed the shard's journal yet",
}
WHY_NOT_DONE = {b"settlement cannot be reached", *LATE}

_encode = msgspec.msgpack.Encoder().encode


class ShardBench:
    """Drives a shard and keeps what it must look like beside it."""

    def __init__(self, bounds: Bounds) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(limits, "HOLDS_PER_ACCOUNT_MAX", bounds.holds_max)
        self.patch.setattr(
            limits, "AUTHORIZATIONS_PER_ACCOUNT_MAX", bounds.authorizations_max
        )
        self.patch.setattr(history, "_CHAIN_OF_NUMBER", 1)  # All share two chains.
        self.identity = Identity("test", "shard", 0, 1, "journal-0", FIRST_DAY)
        self.expected = NaiveShard(FIRST_DAY, bounds)
        self.judge = Judge(self.expected)
        self.settlement = FakeSettlement()
        self.expected.refusals = self.settlement.refusals
        self.batches: list[Batch] = []
        self.digests: list[str] = []
        self.room = Room(pieces=MemoryPieces())
        self.follower = ShardReplay(self.identity)
        self.noted = ShardState(0, 1, FIRST_DAY)  # One record behind the other.
        self.past = NaiveHistory()
        self.epoch = 0
        self.now_ms = 1_000_000
        self.connected = False
        self.from_shard: deque[m.Message] = deque()
        self.pending: dict[int, tuple[c.Command, int]] = {}
        self.correlation = 0
        self.used: list[c.Command] = []
        self.first_command: dict[tuple[str, str], c.Command] = {}
        self.expected_answer: dict[tuple[str, str], Any] = {}
        self.body: dict[tuple[str, str], bytes] = {}
        self.decided_by: dict[str, int] = {}  # Account → the latest correlation.
        self.shard = self.recovered()

    def close(self) -> None:
        self.patch.undo()

    # Life and death.

    def recovered(self) -> Shard:
        """A shard made from the journal alone, in the next epoch."""
        replay = ShardReplay(self.identity, self.room)
        saved_at = self.epoch % (len(self.batches) + 1)  # In each life elsewhere.
        for number, batch in enumerate(self.batches):
            if number == saved_at:
                replay = self.through_a_snapshot(replay, batch)
            replay.replay(batch)
            assert self.digests[number] == digest_of(replay.state)
        self.past.check_all(replay.history)
        self.epoch += 1
        shard = Shard(
            replay.state, replay.remembered, replay.history, self.epoch, "journal-0"
        )
        shard.not_before(replay.at_ms)
        return shard

    def through_a_snapshot(self, replay: ShardReplay, row: Batch) -> ShardReplay:
        """What is saved before a row, and restored."""
        point = Point(row.first_sequence - 1, b"", row.epoch)
        saved = snapshot.encode(self.identity, point, replay)
        found, restored = snapshot.decode("a snapshot", saved, self.identity, self.room)
        assert point == found
        assert isinstance(restored, ShardReplay)
        assert replay.saved() == restored.saved()
        return restored

    def crash(self) -> None:
        """Forget all that is not in the journal; nobody is answered."""
        self.disconnect()
        self.pending.clear()
        self.decided_by.clear()
        self.shard = self.recovered()

    def disconnect(self) -> None:
        self.shard.disconnected(SETTLEMENT)
        self.settlement.to_shard.clear()
        self.settlement.asks.clear()
        self.from_shard.clear()
        self.connected = False

    def connect(self) -> None:
        if not self.connected:
            self.shard.settlement_connected()
            self.connected = True

    # Work.

    def submit(self, command: c.Command) -> None:
        self.correlation += 1
        self.used.append(command)
        self.pending[self.correlation] = (command, self.now_ms)
        self.shard.receive(GATEWAY, [m.Submit(self.correlation, command)])  # type: ignore[arg-type]

    def step(self) -> None:
        """One step: journal, then judge and deliver."""
        step = self.shard.step(self.now_ms)
        if step.records:
            self.append(step.day, step.at_ms, step.records)
        for record in step.records:
            assert step.day == self.expected.day
            self.judge_record(record)
            self.note(record)
        for connection, message in step.deliveries:
            if connection == SETTLEMENT:
                self.from_shard.append(message)
            else:
                assert isinstance(message, m.Answer)
                self.check_answer(message)
        if step.records:
            self.check_state()
            self.past.check(self.shard.history)

    def append(self, day: str, at_ms: int, records: list[ShardRecord]) -> None:
        last = self.follower.state.sequence + len(records)
        body = RECORDS_ENCODER.encode(records)
        batch = Batch(last - len(records) + 1, last, self.epoch, day, at_ms, body, b"")
        self.batches.append(batch)
        self.follower.replay(batch)
        assert _encode(self.shard.state) == _encode(self.follower.state)
        self.digests.append(digest_of(self.shard.state))

    def settle(self) -> None:
        """Let shard and settlement talk until neither has anything to say."""
        self.step()
        for _ in range(TURNS_TO_REST_MAX):
            self.hear()
            spoken = list(self.settlement.to_shard)
            self.settlement.to_shard.clear()
            if not spoken and not self.shard.has_work:
                return
            self.shard.receive(SETTLEMENT, spoken)
            self.step()
        raise AssertionError("shard and settlement talk and talk")

    def hear(self) -> None:
        """Let settlement hear; what it has to say waits."""
        while self.from_shard:
            message = self.from_shard.popleft()
            if self.connected:
                self.check_said(message)
                self.settlement.hear(message)

    def finish(self) -> None:
        """In the end everybody who waits has an answer."""
        self.connect()
        self.settle()
        self.now_ms += limits.PARKED_MS_MAX
        self.settle()
        assert {} == self.pending
        assert 0 == self.shard.parked_count
        self.past.check_all(self.shard.history)
        self.check_audit()

    def check_audit(self) -> None:
        """The audit's second calculation finds nothing, and ends where we are.

        Whether what is done stays in its memory or not.
        """
        self.patch.setattr(limits, "AUDIT_OBJECTS_IN_MEMORY_MIN", 0)
        for scratch in (None, MemoryScratch()):
            model = ShardAudit(self.identity, scratch=scratch)
            for batch in rechained(self.identity, self.batches):
                model.batch(batch)
            model.finish()
            assert [] == model.differences
            assert [] == compare_with_state(model, self.shard.state)

    # Judging.

    def judge_record(self, record: ShardRecord) -> None:
        command, event = record.command, record.event
        if command is None:
            self.judge.observe(event, self.now_ms)
            return
        key = (command.caller, command.request_id)
        assert key not in self.first_command  # Never twice.
        self.first_command[key] = command
        self.expected_answer[key] = self.judge.judge(command, event, self.now_ms)

    def note(self, record: ShardRecord) -> None:
        """What the record changed for whom, for the history."""
        apply(self.noted, record.event, record.command)
        owners = {key: p.account for key, p in self.expected.purchases.items()}
        owners |= {key: hold.account for key, hold in self.expected.holds.items()}
        self.past.note(self.noted, record, owners)

    def check_answer(self, answer: m.Answer) -> None:
        command, since_ms = self.pending.pop(answer.correlation)
        key = (command.caller, command.request_id)
        first = self.first_command.get(key)
        match answer.outcome:
            case m.Outcome.DECIDED:
                assert first == command
                assert self.expected_answer[key] == msgspec.json.decode(answer.body)
                assert key not in self.body
                self.body[key] = answer.body
                self.check_order(command, answer.correlation)
            case m.Outcome.REPLAYED:
                assert first == command
                # A crash may have come between the journal and the first answer.
                assert self.body.setdefault(key, answer.body) == answer.body
                assert self.expected_answer[key] == msgspec.json.decode(answer.body)
            case m.Outcome.CONFLICT:
                assert first is not None
                assert answer.body.decode() == first_difference(first, command)
            case m.Outcome.NOT_DONE:
                assert answer.body in WHY_NOT_DONE
                is_late = self.now_ms >= since_ms + limits.PARKED_MS_MAX
                assert is_late or answer.body not in LATE
                assert is_late or not self.connected
            case _:
                raise AssertionError(f"{answer} answers no command")

    def check_order(self, command: c.Command, correlation: int) -> None:
        """What is said about one account is done in the order it was said."""
        name = getattr(command, command.ROUTED_BY)
        if name in self.expected.purchases:
            name = self.expected.purchases[name].account
        if name in self.expected.holds:
            name = self.expected.holds[name].account
        assert self.decided_by.get(name, 0) < correlation
        self.decided_by[name] = correlation

    def check_said(self, message: m.Message) -> None:
        """What the shard tells settlement is what its journal says."""
        match message:
            case m.SliceReported():
                # Told in order, so later steps may have changed it; totals grow.
                lease = message.lease
                used = lease.authorized_minor + lease.captured_minor
                assert lease.received_minor - lease.returned_minor == (
                    lease.free_minor + used - lease.refunded_minor
                )
            case m.SliceAsked():
                assert all(need.amount_minor > 0 for need in message.needs)
            case m.DayEnded():
                totals = self.judge.totals_of(message.day)
                assert totals == without_zeros(message.totals)

    def check_state(self) -> None:
        """All of the state equals what the list of lines adds up to."""
        state = self.shard.state
        assert set(self.expected.accounts) == set(state.accounts)
        assert set(self.expected.purchases) == set(state.authorizations)
        assert set(self.expected.holds) == set(state.holds)
        for account_id in state.accounts:
            self.check_account(account_id)
        for key in state.authorizations:
            self.check_purchase(key)
        for key, hold in state.holds.items():
            assert hold.held_minor == self.expected.total("hold", key)
            assert hold.reference == self.expected.holds[key].reference
            assert (hold.status == "open") == (hold.held_minor > 0)
            is_expired = self.expected.total("expired", key) == 1
            assert (hold.status == "expired") == is_expired
            if hold.held_minor and self.shard.is_open:
                assert hold.expires_at_ms > self.now_ms
        for lender_id in state.slices:
            self.check_slice(lender_id)
        for (program_id, version), program in state.program_versions.items():
            so_far = self.expected.split_so_far(program_id, version)
            assert program.split_parts == so_far
            for ppm, given in zip(program.shares_ppm, so_far, strict=True):
                assert abs(given * limits.PPM - ppm * sum(so_far)) < limits.PPM
        totals = self.judge.totals_of(self.expected.day)
        assert totals == without_zeros(state.totals)

    def check_account(self, account_id: str) -> None:
        expected, account = self.expected, self.shard.state.accounts[account_id]
        assert account.status == expected.accounts[account_id].status
        if account_id not in expected.run_out():
            assert account.limit_minor == expected.limit(account_id)
            assert account.open_to_buy_minor == expected.open_to_buy(account_id)
        assert account.held_minor == expected.held(account_id)
        assert account.authorized_minor == expected.authorized(account_id)
        assert account.outstanding_minor == expected.outstanding(account_id)
        assert account.credit_minor == expected.credit(account_id) >= 0
        assert account.hold_count == len(expected.open_holds(account_id))
        assert account.authorization_count == len(expected.open_purchases(account_id))
        assert (account.unpaid or []) == expected.unpaid(account_id)
        assert account.unpaid != []
        self.check_velocity(account_id)

    def check_velocity(self, account_id: str) -> None:
        """What is used, as a reader is shown it, is what the lines add up to."""
        velocity = self.expected.accounts[account_id].velocity
        expected = []
        for name, (bounds, first) in velocity.items():
            used = self.expected.velocity_used(account_id, name, first)
            assert min(used) >= 0
            expected.append((name or None, *bounds, *used))
        shown = msgspec.json.decode(
            view(self.shard.state, "account", account_id) or b"{}"
        )
        assert expected == [
            (
                meter["category"],
                meter["purchase_minor"],
                meter["daily_minor"],
                meter["monthly_minor"],
                meter["daily_used_minor"],
                meter["monthly_used_minor"],
            )
            for meter in shown.get("velocity", ())
        ]

    def check_purchase(self, key: str) -> None:
        expected, purchase = self.expected, self.shard.state.authorizations[key]
        for kind, parts, amount in (
            ("authorize", purchase.total_parts, purchase.total_minor),
            ("capture", purchase.captured_parts, purchase.captured_minor),
            ("back", purchase.given_back_parts, purchase.given_back_minor),
            ("refund", purchase.refunded_parts, purchase.refunded_minor),
        ):
            assert parts == expected.parts(kind, key)
            assert amount == expected.total(kind, key) == sum(parts)
        assert purchase.outstanding_parts == expected.owed_parts(key)
        assert purchase.outstanding_minor == expected.owed_of(key) >= 0
        assert min(purchase.outstanding_parts) >= 0
        assert purchase.refunded_minor <= purchase.captured_minor
        assert purchase.reference == expected.purchases[key].reference
        assert (key in self.shard.state.forced) == (key in expected.forced)
        check_charge(expected, key, purchase.charge)
        if expected.open_of(key):
            status = "open"
            assert not self.shard.is_open or purchase.expires_at_ms > self.now_ms
        elif purchase.captured_minor:
            status = "captured"
        else:
            status = "expired" if expected.total("expired", key) else "reversed"
        assert purchase.status == status

    def check_slice(self, lender_id: str) -> None:
        expected, lease = self.expected, self.shard.state.slices[lender_id]
        if lender_id.startswith("daily/"):
            used = expected.used_today(lender_id.removeprefix("daily/"))
            assert lease.authorized_minor == used >= 0
            assert lease.free_minor == expected.free(lender_id) >= 0
            assert (lease.captured_minor, lease.refunded_minor) == (0, 0)
            return
        assert lease.free_minor == expected.free(lender_id) >= 0
        assert lease.authorized_minor == expected.authorized_of_lender(lender_id) >= 0
        assert lease.captured_minor == expected.of_lender("capture", lender_id)
        assert lease.refunded_minor == expected.of_lender("refund", lender_id)
        assert lease.received_minor - lease.returned_minor == (
            lease.free_minor
            + lease.authorized_minor
            + lease.captured_minor
            - lease.refunded_minor
        )


def first_difference(first: c.Command, second: c.Command) -> str:
    """The first field, in the order of the struct, that is not the same."""
    if type(first) is not type(second):
        return "command"
    other = msgspec.structs.asdict(second)
    fields = msgspec.structs.asdict(first).items()
    return next(name for name, value in fields if value != other[name])


def reference_facts(
    shares: dict[str, dict[str, int]],
    tolerance_ppm: int,
    version: int = 1,
) -> list[e.ReferenceFact]:
    """Programs by name, each with lender → parts per million, at short expiries."""
    return [
        e.ProgramRegistered(
            name,
            version,
            "EUR",
            tuple(c.Share(lender, ppm) for lender, ppm in parts.items()),
            60,
            30,
            tolerance_ppm,
        )
        for name, parts in shares.items()
    ]
