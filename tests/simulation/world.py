"""One story in one house: safety while things go wrong, then liveness.

While the story goes on anything may fail, and nothing wrong may be done or
said.  Then all faults end, and everything must come to rest: every request
answered, every node serving, every day closed, and every minor unit of headroom
spendable from wherever somebody wants to spend it.
"""

import traceback
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from zlib import crc32

import msgspec

from processor import commands as c
from processor import limits
from processor import messages as m
from processor.audit.report import audit
from processor.framing import frame
from processor.ids import shard_of_slot, slot_of_account
from processor.journal import Batch
from processor.recovery import digest_of
from processor.settlement_rules import following_day
from tests.simulation.clients import Clients
from tests.simulation.crowd import Customer, found_programs
from tests.simulation.disk import Disk
from tests.simulation.house import FIRST_DAY, House, Parts, replayed
from tests.simulation.judge import Judge
from tests.simulation.luck import LUCK_DEEDS, Luck
from tests.simulation.story import CUSTOMER_DEED, CUSTOMERS, KEEPER_DEED, Story
from tests.simulation.town import LENDERS, TOWN_DEEDS, Town
from tests.simulation.virtual import SECOND, Violation

if TYPE_CHECKING:
    from loadtest.wishes import Answer

GATEWAYS = 2
TOWN_ACCOUNTS = 6
_REST_US_MAX = 300 * SECOND
_PIECE_BYTES = 2_000  # Many pieces of little history.
_LATEST_US = 1_000 * limits.ANSWER_WAIT_MS_MAX + 3 * SECOND
_EXPIRED_US = 130 * SECOND  # Nothing of the town is open after this.
_CAP_MINOR = 40
_TOWN_LIMIT = 10**9
_SPENDER = "spender"
_HEAD_BYTES = len(frame([])) - 1  # Of a frame; an empty list is one byte.
_EXPECTED_DEATHS = ("disk I/O error", "database or disk is full")


class World:
    """A house and everybody around it."""

    def __init__(
        self, story: Story, parts: Parts | None = None, *, is_told: bool = False
    ) -> None:
        self.story = story
        self.lines: list[str] = []  # The trace, if it is told.
        self.phase = "founding"
        self.deeds_done = 0
        self._is_told = is_told
        self._hash = blake2b(digest_size=16)
        random = Random(f"world {story.seed}")
        self.judge = Judge(story.shard_count, FIRST_DAY)
        self.expected = self.judge.expected
        self.house = House(
            story.shard_count,
            GATEWAYS,
            random,
            parts or Parts(),
            story.segment_records,
            self._wrote,
            self._heard,
            self.note,
        )
        self.timeline = self.house.timeline
        self.clients = Clients(self.house, self.judge, Random(random.random()))
        self.judge.note = self.note
        self.town = Town(self.clients, self.expected, story.scale)
        self.crowd = [
            Customer(self.clients, story.seed, number, story.limit_minor)
            for number in range(CUSTOMERS)
        ]
        self.luck = Luck(self.house, self.expected)
        self.spender = self._spender(random.randrange(story.shard_count))

    def _spender(self, shard: int) -> str:
        names = (f"{_SPENDER} {number}" for number in range(10_000))
        count = self.story.shard_count
        return next(
            n for n in names if shard_of_slot(slot_of_account(n), count) == shard
        )

    # What is noted.

    def note(self, kind: str, who: str, octets: bytes) -> None:
        """Something has happened."""
        line = f"{self.timeline.now_us} {kind} {who} {crc32(octets)}\n"
        self._hash.update(line.encode())
        if self._is_told:
            self._tell(kind, who, octets)

    def _tell(self, kind: str, who: str, octets: bytes) -> None:
        told = _words(octets) if kind == "hears" else octets.decode(errors="replace")
        seconds = self.timeline.now_us / SECOND
        self.lines.append(f"{seconds:11.6f} {kind:8} {who} {told}".rstrip())

    @property
    def digest(self) -> str:
        """A fingerprint of everything that happened, in its order."""
        return self._hash.hexdigest()

    def _wrote(self, disk: Disk, row: Batch) -> None:
        self.note("writes", disk.name, row.chain)
        if self._is_told:
            self._tell_row(disk, row)
        try:
            self.judge.wrote(disk, row)
        except AssertionError:  # The journal's owner must not take it for its own.
            self.timeline.complaints.append(traceback.format_exc())

    def _tell_row(self, disk: Disk, row: Batch) -> None:
        records: list[Any] = msgspec.msgpack.decode(row.records)
        self.lines[-1:] = [
            f"{self.timeline.now_us / SECOND:11.6f} writes   {disk.name} "
            f"{row.first_sequence + i} {row.day} {record}"
            for i, record in enumerate(records)
        ]

    def _heard(self, shard: int, life: int, message: m.Message) -> None:
        self.judge.heard(shard, life, message)

    # The story.

    def live(self) -> None:
        """All of it.  Raises AssertionError (Violation) where it goes wrong."""
        with patch.object(limits, "PIECE_BYTES", _PIECE_BYTES):
            self._live()

    def _live(self) -> None:
        self._found()
        self.phase = "safety"
        self.clients.loss = self.story.loss
        began_us = self.timeline.now_us
        for deed in self.story.deeds:
            self._run(began_us + deed.at_us)
            self.note("deed", deed.name, b"")
            self._do(deed.name, deed.seed)
            self.deeds_done += 1
        self.phase = "liveness"
        self.luck.mend_all()
        self.clients.loss = 0.0
        self._rest()
        self._check_at_rest()
        self.phase = "spending"
        self._spend_all()
        self.phase = "the end"
        self._check_the_end()

    def _do(self, name: str, seed: int) -> None:
        if name in LUCK_DEEDS:
            self.luck.random = Random(seed)
            LUCK_DEEDS[name](self.luck)
            if name == "rot":  # Somebody is going to look at it.
                self.town.random = Random(seed)
                self.town.look_back_at_all()
        elif name == KEEPER_DEED:
            for host in self.house.hosts.values():
                self.house.keep(host)
        elif name == CUSTOMER_DEED:
            self.crowd[seed % CUSTOMERS].live()
        else:
            self.town.random = Random(seed)
            TOWN_DEEDS[name][1](self.town)

    def _run(self, until_us: int) -> None:
        self.timeline.run(until_us)
        self._check_deaths()

    def _rest(self) -> None:
        """Until nobody waits and everybody serves."""
        limit_us = self.timeline.now_us + _REST_US_MAX
        if not self.timeline.run(limit_us, self._is_at_rest):
            open_errands = [errand.command for errand in self.clients.open]
            down = [h.name for h in self.house.hosts.values() if not h.is_up]
            raise Violation(f"no rest: {open_errands} wait, {down} are down")
        # What is on its way arrives, and who waits in vain is told.
        self._run(self.timeline.now_us + _LATEST_US)

    def _is_at_rest(self) -> bool:
        return not self.clients.open and self.house.is_at_rest()

    def _check_deaths(self) -> None:
        """A node ends itself for a reason that was given to it, and no other."""
        expected = list(_EXPECTED_DEATHS)
        if self.luck.had_takeover:
            expected += ["Fenced", "later incarnation"]
        if self.luck.had_rot:
            expected += ["is damaged"]
        if self.luck.had_rotten_snapshot:
            expected += ["PieceDamaged: piece"]
        if self.luck.had_old_copy:
            # A writer that was frozen meanwhile looks for a row that it has written.
            expected += ["old copy", "later incarnation", "no row has"]
        for host in self.house.hosts.values():
            for why in host.deaths:
                if not any(text in why for text in expected):
                    raise Violation(f"{host.name} has ended itself: {why}")

    def _found(self) -> None:
        self.town.found()
        self._rest()
        self.town.found_programs(self.story.deposit_minor)
        found_programs(self.clients)
        self._rest()
        self.town.found_accounts(TOWN_ACCOUNTS, _TOWN_LIMIT)
        self.town.wish(c.OpenAccount, self.spender, "solo", "EUR", 10**13)
        for customer in self.crowd:
            customer.found()
        self._rest()
        for errand in self.town.errands:
            told = errand.body or b""
            assert b'"approved"' in told, (errand.command, told)

    # What must be true when all is quiet.

    def _check_at_rest(self) -> None:
        self.expected.check()
        self.expected.check_nothing_on_its_way()
        for host in self.house.hosts.values():
            assert not host.node.has_work, f"{host.name} has work"
            self._check_replay(host.name)
        for gateway in self.house.gateways:
            assert gateway.door is not None
            assert gateway.door.in_flight == 0, f"{gateway.name} waits"

    def _check_replay(self, name: str) -> None:
        """The journal gives the state that the node has, bit for bit."""
        host = self.house.hosts[name]
        assert digest_of(replayed(host.disk).state) == digest_of(host.node.state), name

    def _spend_all(self) -> None:
        """All headroom of a lender can be spent from one shard, whichever."""
        self.town.random = Random(0)
        self.town.lift_every_bound()
        self._rest()
        self._run(self.timeline.now_us + _EXPIRED_US)
        self._rest()
        if self.story.seed % 3 == 0:
            self._spend_caps()
        headroom = self.expected.headroom("L1")
        if headroom:
            self._spend(headroom, "approved")
        self._spend(1, "reserve_exhausted")
        assert 0 == self.expected.headroom("L1")

    def _spend_caps(self) -> None:
        """A daily cap can be spent to its last minor unit, and on every day."""
        self.town.wish(c.DepositReserve, "L1", 2 * _CAP_MINOR)
        self.town.wish(c.SetDailyCap, "L1", _CAP_MINOR)
        self._rest()
        for _ in range(2):
            self._spend(_CAP_MINOR, "approved")
            self._spend(1, "daily_cap_exceeded")
            self._close_day()
        self.town.wish(c.SetDailyCap, "L1", None)
        self._rest()
        self._spend_program_cap()

    def _spend_program_cap(self) -> None:
        """So can a cap by program; what was lent before counts, what came back not."""
        lent_minor = self.town.lent("solo", "L1")
        self.town.wish(c.DepositReserve, "L1", _CAP_MINOR)
        self.town.wish(c.SetProgramCap, "solo", "L1", lent_minor + _CAP_MINOR)
        self._rest()
        bought = self._spend(_CAP_MINOR, "approved")
        self._spend(1, "program_cap_exceeded")
        self.town.wish(c.Refund, bought, 3)
        self._rest()
        self._spend(3, "approved")
        self._spend(1, "program_cap_exceeded")
        self.town.wish(c.SetProgramCap, "solo", "L1", None)
        self._rest()

    def _close_day(self) -> None:
        today = max(self.expected.cuts.values(), default=FIRST_DAY)
        self.town.wish(c.CloseDay, today, following_day(today))
        self._rest()

    def _spend(self, minor: int, expected: str) -> str:
        """Buy for so much; it must be approved, or be declined by one for this.

        Returns the purchase's id.
        """
        fields = (self.spender, "m0", minor, "EUR", True)
        errand = self.town.wish(c.Authorize, *fields)
        self._rest()
        told: dict[str, Any] = msgspec.json.decode(errand.body or b"{}")
        assert told.get("reason", told["status"]) == expected, f"{minor}: {told}"
        assert told.get("headroom_missing_minor", 1) == 1, told
        made_id: str = told["authorization_id"]
        return made_id

    def _check_the_end(self) -> None:
        self._close_day()
        self._check_days()
        for lender_id in LENDERS:
            self._check_position(lender_id)
        self._check_at_rest()
        disks = [host.disk for host in self.house.hosts.values()]
        rows = [(disk.identity, disk.rows) for disk in disks]
        report = audit(rows[0], rows[1:])
        assert [] == report.differences
        assert report.is_clean

    def _check_days(self) -> None:
        """Each day that was cut is closed, once, in one chain of days."""
        expected = self.expected
        assert expected.cuts.keys() == expected.closed.keys()
        day = FIRST_DAY
        for cut, next_day in expected.cuts.items():
            assert cut == day
            day = next_day
        assert all(day == shard.day for shard in expected.shards.values())

    def _check_position(self, lender_id: str) -> None:
        """What a lender is told is what the journals add up to.

        The question may bring about a step, and with it one more grant: either
        side of that is exact.
        """
        before = self._position(lender_id)
        told: list[Answer] = []
        self.clients.read("position", lender_id, lambda answer, _: told.append(answer))
        self._rest()
        shown = msgspec.json.decode(told[0].body).items()
        after = self._position(lender_id)
        assert before.items() <= shown or after.items() <= shown

    def _position(self, lender_id: str) -> dict[str, int]:
        expected = self.expected
        shards = expected.shards.values()
        deposit, line = expected.deposit[lender_id], expected.line[lender_id]
        unleased = expected.unleased(lender_id)
        spent = sum(
            totals.lenders[lender_id].captured_minor
            - totals.lenders[lender_id].refunded_minor
            for totals in expected.closed.values()
            if lender_id in totals.lenders
        )
        return {
            "headroom_minor": expected.headroom(lender_id),
            "unleased_minor": unleased,
            "leased_minor": expected.whole(lender_id) - unleased,
            "forced_minor": expected.forced[lender_id],
            "advance_used_minor": max(0, expected.used(lender_id) - deposit),
            "advance_due_minor": max(0, spent - deposit),
            "deposit_minor": deposit,
            "advance_line_minor": line,
            "free_minor": sum(s.free(lender_id) for s in shards),
            "authorized_minor": sum(s.authorized[lender_id] for s in shards),
            "captured_minor": sum(s.captured[lender_id] for s in shards),
            "refunded_minor": sum(s.refunded[lender_id] for s in shards),
        }


def _words(octets: bytes) -> str:
    """A frame in words, if the piece begins with one."""
    try:
        messages = msgspec.msgpack.decode(
            memoryview(octets)[_HEAD_BYTES:], type=list[Any]
        )
    except msgspec.DecodeError:  # Not the beginning of one, or not all of it.
        return f"{len(octets)} bytes"
    return " ".join(str(message) for message in messages)
