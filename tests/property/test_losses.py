"""Several write-offs, joint recoveries, reversals: nobody is given twice.

The purchases are of different lenders, so the write-offs cost different ones,
and some of the loss is the platform's own: credit that was overdrawn.
"""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.terms import Side
from tests.property.profiles import trying
from tests.unit.one_audit import audit_of, check_clean
from tests.unit.one_shard import PPM, OneShard, program

SHARES = ({"L1": PPM}, {"L2": PPM}, {"L1": 300_000, "L2": 700_000})


class Losses:
    """One account; `lost` is what each has lost of it, worked out by hand."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.shard = OneShard().welcomed()
        self.version = 0
        self.facts = 0
        self.tell(e.LenderRegistered("L1", "EUR", "", 0))
        self.tell(e.LenderRegistered("L2", "EUR", "", 0))
        self.tell(e.MerchantRegistered("m", ""))
        self.next_program()
        for lender_id in ("L1", "L2"):
            self.shard.told(m.GrantSlice(lender_id, 10**9))
        self.shard.ask(c.OpenAccount, "a", "p", "EUR", 10**8)
        self.write_offs: dict[str, Counter[str]] = {}
        self.recoveries: dict[str, Counter[str]] = {}

    def tell(self, fact: e.ReferenceFact) -> None:
        self.facts += 1
        self.shard.told(m.ReferenceSent(self.facts, (fact,)))

    def next_program(self) -> None:
        """New purchases are of other lenders from now on."""
        self.version += 1
        shares = self.random.choice(SHARES)
        self.tell(program("p", self.version, **shares))

    @property
    def lost(self) -> Counter[str]:
        lost: Counter[str] = Counter()
        for parts in self.write_offs.values():
            lost.update(parts)
        for parts in self.recoveries.values():
            lost.subtract(parts)
        return lost

    def owe(self) -> None:
        self.next_program()
        self.shard.ask(c.UnfreezeAccount, "a")
        amount = self.random.choice([1, 7, 100, 9_999])
        if self.random.random() < 0.3:
            wish = ("a", Side.DEBIT, amount, "EUR", "x")
            key = self.shard.ask(c.ProposeAdjustment, *wish)["adjustment_id"]
            self.shard.submit(c.ApproveAdjustment("chief", key, key))
            return
        told = self.shard.ask(c.Authorize, "a", "m", amount, "EUR", True)
        if told["status"] == "declined":  # Frozen: goods that are gone anyhow.
            self.shard.ask(c.ForceCapture, "a", "m", amount, "EUR")

    def write_off(self) -> None:
        account = self.shard.state.accounts["a"]
        parts: Counter[str] = Counter(platform=max(0, -account.credit_minor))
        for name in account.unpaid or ():
            purchase = self.shard.state.authorizations[name]
            key = (purchase.program_id, purchase.program_version)
            lenders = self.shard.state.program_versions[key].lenders
            for lender_id, part in zip(
                lenders, purchase.outstanding_parts, strict=True
            ):
                parts[lender_id] += part
        told = self.shard.ask(c.WriteOff, "a")
        if told["status"] == "approved":
            assert told["amount_minor"] == sum(parts.values())
            self.write_offs[told["write_off_id"]] = parts

    def recover(self) -> None:
        before = self.lost
        amount = self.random.randint(1, max(1, sum(before.values())))
        told = self.shard.ask(c.RecordRecovery, "a", amount, "EUR")
        if told["status"] == "declined":
            return
        event = self.shard.records[-1].event
        assert isinstance(event, e.RecoveryRecorded)
        parts = Counter({part.lender_id: part.amount_minor for part in event.parts})
        parts["platform"] = event.platform_minor
        assert sum(parts.values()) == amount
        whole = sum(before.values())
        for who, part in parts.items():
            assert abs(part * whole - before[who] * amount) < whole
        self.recoveries[told["recovery_id"]] = parts

    def reverse(self) -> None:
        if self.recoveries and self.random.random() < 0.4:
            key = self.random.choice(list(self.recoveries))
            del self.recoveries[key]
            assert self.shard.ask(c.ReverseRecovery, key)["status"] == "approved"
        elif self.write_offs:
            key = self.random.choice(list(self.write_offs))
            after = self.lost
            after.subtract(self.write_offs[key])
            short = -sum(min(0, minor) for minor in after.values())
            told = self.shard.ask(c.ReverseWriteOff, key)
            if short:
                assert told["reason"] == "recovery_exceeds_written_off"
                assert told["excess_minor"] == short
            else:
                assert told["status"] == "approved"
                del self.write_offs[key]

    def check(self) -> None:
        assert min(self.lost.values(), default=0) >= 0
        shown = self.shard.read("account", "a")
        assert shown["written_off_minor"] == sum(self.lost.values())


@given(seed=st.integers(0, 2**32 - 1))
@trying(examples=100, is_seeded=True)
def test_nobody_has_a_claim_again_and_what_he_was_given_for_it(seed: int) -> None:
    losses = Losses(seed)
    deeds = [losses.owe, losses.write_off, losses.recover, losses.reverse]
    for deed in losses.random.choices(deeds, [3, 3, 3, 3], k=40):
        deed()
        losses.check()
    check_clean(losses.shard)
    assert audit_of(losses.shard).trial_balance_minor == 0
