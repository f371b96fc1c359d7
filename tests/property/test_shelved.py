"""One life, three memories: whatever left memory, nobody can tell.

The same commands go to three shards at the same times: one keeps everything in
memory, one shelves whatever is done at once and remembers next to nothing as it
is, one is in between.  Every answer must be the same to the byte, every object
must be shown and explained alike, and the states must have one fingerprint, after
crashes too.  What a used request id must be answered is said by a list of what
was asked when.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import commands as c
from processor import generations, limits
from processor import messages as m
from processor.audit.compare import compare_with_state
from processor.audit.shard import ShardAudit
from processor.journal import Batch
from processor.recovery import digest_of
from processor.remembered import KEEPING, Keeping
from processor.scratch import MemoryScratch
from processor.terms import Side
from tests.property.profiles import trying
from tests.unit.journals_by_hand import rechained
from tests.unit.one_shard import IDENTITY, OneShard, furnished

KEEP_MS = 100_000
LONG = msgspec.structs.replace(KEEPING, keep_ms=KEEP_MS)
ACCOUNTS = ("a", "b")
DEEDS_MAX = 60


@pytest.fixture(autouse=True, scope="module")
def swept_after_each_step() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(limits, "OBJECTS_SWEPT_RECORDS", 1)
        patched.setattr(limits, "PIECE_BYTES", 1_000)
        patched.setattr(limits, "AUDIT_OBJECTS_IN_MEMORY_MIN", 0)
        yield


def small(recent_min: int, generation: int) -> Keeping:
    return Keeping(
        keep_ms=KEEP_MS,
        requests_max=2**20,
        recent_min=recent_min,
        generation_min=generation,
        generation_max=generation,
    )


class Memory(NamedTuple):
    """What one of the shards keeps where."""

    keeping: Keeping
    is_shelving: bool
    in_memory_min: int

    def shard(self, batches: list[Batch] | None = None, saved_at: int = 0) -> OneShard:
        """Recovered, by way of a snapshot before row `saved_at` if there is one."""
        scratch = MemoryScratch() if self.is_shelving else None
        return OneShard(
            batches, self.keeping, scratch, self.in_memory_min, saved_at=saved_at
        )


MEMORIES = (
    Memory(LONG, False, 0),
    Memory(small(1, 4), True, 0),
    Memory(small(4, 8), True, 3),
)


class Asked(NamedTuple):
    """The latest use of a request id: what for, when, and the answer."""

    command: c.Command
    at_ms: int
    body: bytes


class Life:
    """Three shards that live through the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.shards = [
            furnished(memory.shard(), limit=5_000, L1=10**6, L2=10**6)
            for memory in MEMORIES
        ]
        self.now_ms = 1_000
        self.asked: dict[str, Asked] = {}
        self.made: dict[str, list[str]] = {}  # By the name of the id.
        self.count = 0
        self.days = 1
        self.left_the_audit: list[int] = []  # Purchases, holds, payments.

    def go_to(self, now_ms: int) -> None:
        self.now_ms = max(self.now_ms, now_ms)
        for shard in self.shards:
            shard.now_ms = self.now_ms

    # What can happen.

    def happen(self) -> None:
        deeds = [self.ask_new] * 12 + [self.ask_again] * 4
        deeds += [self.wait, self.at_the_edge, self.end_day, self.crash, self.look]
        self.random.choice(deeds)()
        assert 1 == len({digest_of(shard.state) for shard in self.shards})

    def ask_new(self) -> None:
        self.count += 1
        self.submit(self.wish(f"r-{self.count}"))

    def ask_again(self) -> None:
        """An id that was used, for the same or for something else."""
        if not self.asked:
            return
        name = self.random.choice(list(self.asked))
        command = self.asked[name].command
        if self.random.random() < 0.3:
            command = self.wish(name)
        self.submit(command)

    def at_the_edge(self) -> None:
        """The last millisecond in which an answer is kept, or the first after."""
        later = [
            (name, asked)
            for name, asked in self.asked.items()
            if asked.at_ms + KEEP_MS > self.now_ms
        ]
        if not later:
            return
        name, asked = self.random.choice(later[:3])
        self.go_to(asked.at_ms + KEEP_MS - self.random.choice((1, 0)))
        self.submit(self.asked[name].command)

    def wait(self) -> None:
        """Something may expire meanwhile."""
        self.go_to(self.now_ms + self.random.choice((1, 10_000, 31_000, 61_000)))
        for shard in self.shards:
            shard.step()

    def end_day(self) -> None:
        """Statements are issued, and what is late costs a penalty."""
        self.days += self.random.choice((1, 30))
        day, to = self.shards[0].state.day, f"2026-{1 + self.days // 28:02}"
        moved = m.MoveDay(day, f"{to}-{1 + self.days % 28:02}")
        if self.days < 12 * 28:
            for shard in self.shards:
                shard.told(moved)
                shard.step()

    def crash(self) -> None:
        """All that is not in the journal is gone."""
        saved_at = self.random.randrange(2 * len(self.shards[0].batches))
        self.shards = [
            memory.shard(shard.batches, saved_at)
            for memory, shard in zip(MEMORIES, self.shards, strict=True)
        ]
        self.go_to(self.now_ms)
        for shard in self.shards:
            shard.welcomed()

    # Asking.

    def wish(self, name: str) -> c.Command:
        """Anything at all about the accounts, and about all that was ever made."""
        choose = self.random.choice
        account, amount = choose(ACCOUNTS), choose((1, 7, 100, 333, 2_000))
        some = choose((None, None, 1, 50))
        au, ho = self.one("authorization_id"), self.one("hold_id")
        rp, wo = self.one("repayment_id"), self.one("write_off_id")
        rc, cl, aj = (self.one(x) for x in ("recovery_id", "claim_id", "adjustment_id"))
        by = "somebody else" if choose((True, False)) else "caller"
        return choose(
            (
                c.Authorize(by, name, account, "m", amount, "EUR", choose((0, 1)) == 1),
                c.Authorize(by, name, account, "m", amount, "EUR", True),
                c.CaptureAuthorization(by, name, au, some, choose((True, False))),
                c.ReverseAuthorization(by, name, au, some),
                c.Refund(by, name, au, some),
                c.Refund(by, name, au),
                c.Repay(by, name, account, amount, "EUR"),
                c.Repay(by, name, account, amount, "EUR", au, provisional=True),
                c.FinalizeRepayment(by, name, rp),
                c.ReturnRepayment(by, name, rp),
                c.PlaceHold(by, name, account, amount, "EUR"),
                c.ReleaseHold(by, name, ho, some),
                c.ConvertHold(by, name, ho, "m", some, True),
                c.ForceCapture(by, name, account, "m", amount, "EUR", "", au),
                c.ProposeAdjustment(by, name, account, Side.CREDIT, 5, "EUR", au),
                c.ApproveAdjustment(by, name, aj),
                c.WriteOff(by, name, account),
                c.ReverseWriteOff(by, name, wo),
                c.RecordRecovery(by, name, account, some or 3, "EUR"),
                c.ReverseRecovery(by, name, rc),
                c.PayClaim(by, name, account, "guarantor", some or 3, "EUR"),
                c.ReverseClaim(by, name, cl),
                c.UnfreezeAccount(by, name, account),
            )
        )

    def one(self, name: str) -> str:
        return self.random.choice(self.made.get(name) or ["au_00000001"])

    def submit(self, command: c.Command) -> None:
        key = f"{command.caller} {command.request_id}"
        answers = []
        for shard in self.shards:
            (correlation,) = shard.submit(command)
            answers.append(shard.answers.pop(correlation))
        answer = answers[0]
        bodies = {(x.outcome, x.body) for x in answers}
        assert 1 == len(bodies)
        asked = self.asked.get(key)
        if asked is None or self.now_ms >= asked.at_ms + KEEP_MS:
            assert m.Outcome.DECIDED is answer.outcome
            self.asked[key] = Asked(command, self.now_ms, answer.body)
            for name, made in msgspec.json.decode(answer.body).items():
                if name.endswith("_id") and made not in self.made.get(name, ()):
                    self.made.setdefault(name, []).append(made)
        elif asked.command == command:
            assert (m.Outcome.REPLAYED, asked.body) == (answer.outcome, answer.body)
        else:
            assert m.Outcome.CONFLICT is answer.outcome

    # Looking.

    def look(self) -> None:
        """Everything is shown and explained alike."""
        kinds = {
            "authorization": "authorization_id",
            "explanation": "authorization_id",
            "hold": "hold_id",
        }
        for kind, name in kinds.items():
            for made in [*self.made.get(name, ()), "au_00000001", "ho_no", "x"]:
                shown = [shard.read(kind, made) for shard in self.shards]
                assert shown[0] == shown[1] == shown[2]
        for account_id in ACCOUNTS:
            for kind in ("account", "statements", "schedule", "early_settlement"):
                shown = [shard.read(kind, account_id) for shard in self.shards]
                assert shown[0] == shown[1] == shown[2]
            entries = [shard.entries(account_id) for shard in self.shards]
            assert entries[0] == entries[1] == entries[2]

    def check_end(self) -> None:
        """Object by object, and by the audit."""
        never = self.shards[0].state
        for shard in self.shards:
            for table, whole in zip(shard.state.paged, never.paged, strict=True):
                assert list(table) == list(whole)
                assert len(table) == len(whole)
                assert dict(table.items()) == dict(whole.items()) == table
                assert all(name in table for name in whole)
            model = ShardAudit(IDENTITY, KEEP_MS, MemoryScratch())
            for batch in rechained(IDENTITY, shard.batches):
                model.batch(batch)
            assert [] == compare_with_state(model, shard.state)
            tables = model.books.purchases, model.books.holds, model.books.payments
            self.left_the_audit = [len(table) - table.in_memory for table in tables]
            assert [] == [x for x in model.differences if "was done before" in x]


@contextmanager
def hashes(modulus: int) -> Iterator[None]:
    """With few of them every filter says yes, and every slot may be the one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "processor.remembered.hash_of",
            lambda caller, name: generations.hash_of(caller, name) % modulus,
        )
        yield


@given(seed=st.integers(0, 2**32), modulus=st.sampled_from((2**64, 3)))
@trying(examples=120, is_seeded=True)
def test_nobody_can_tell_what_has_left_memory(seed: int, modulus: int) -> None:
    with hashes(modulus):
        life = Life(seed)
        for _ in range(DEEDS_MAX):
            life.happen()
        life.look()
        life.check_end()


def test_the_lives_really_shelve_and_really_read() -> None:
    """Else they would prove nothing."""
    shelved = reads = 0
    left_the_audit = [0, 0, 0]
    for seed in range(10):
        life = Life(seed)
        for _ in range(DEEDS_MAX):
            life.happen()
        at_once = life.shards[1]
        shelved += sum(len(t) - t.in_memory for t in at_once.state.paged)
        reads += at_once.node.remembered.reads
        life.check_end()
        left_the_audit = list(map(max, left_the_audit, life.left_the_audit))
    assert shelved > 50
    assert reads > 10
    assert all(left_the_audit), left_the_audit
