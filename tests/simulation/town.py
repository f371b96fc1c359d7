"""The town: operators and shoppers, with everything that is not foreseen.

Their wishes meet caps, suspensions, forced captures, withholdings, partial
approvals and each other, so nobody can say beforehand what the answer will be.
Whether it was right is read from the journals (`naive_house`, the audit).
"""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from loadtest.wishes import Answer
from processor import commands as c
from processor.settlement_rules import following_day
from processor.terms import MerchantTerms, PartyShare, Subsidy
from tests.simulation.clients import Clients, Errand
from tests.simulation.house import FIRST_DAY
from tests.simulation.naive_house import NaiveHouse

DAYS_MAX = 12  # Until the first statement day, when accounts would be billed.
SHARES = {
    "solo": {"L1": 1_000_000},
    "pair": {"L1": 300_000, "L2": 700_000},
    "trio": {"L1": 300_000, "L2": 330_000, "L3": 370_000},
}
HALVES = (PartyShare("platform", 500_000), PartyShare("bank", 500_000))
TERMS = (
    MerchantTerms("food", 29_000, 1, 20, HALVES, (Subsidy("brand", 15_000),)),
    MerchantTerms("food", 250_000),
    MerchantTerms("toys"),
)
LENDERS = {"L1": 0, "L2": 150, "L3": 0}  # With their advance lines.
_LATEST = 12  # Objects that follow-ups are about.


class Town:
    """All its wishes, and what came of them; `scale` is how much is a lot."""

    def __init__(self, clients: Clients, expected: NaiveHouse, scale: int) -> None:
        self.clients = clients
        self.expected = expected
        self.scale = scale
        self.random = Random(0)  # Each deed brings its own.
        self.accounts: list[str] = []
        self.errands: list[Errand] = []
        self.purchases: list[str] = []
        self.holds: list[str] = []
        self.movements: list[str] = []
        self.withheld: list[tuple[c.WithholdFromMerchant, dict[str, Any]]] = []
        self.merchants = 1

    def wish(self, kind: type[c.Command], *fields: Any, caller: str = "town") -> Errand:
        """Ask for a command."""
        command = kind(caller, f"w{len(self.errands)}", *fields)

        def then(answer: Answer, is_uncertain: bool) -> None:
            self._learn(command, msgspec.json.decode(answer.body))

        ways = 2 if self.random.random() < 0.1 else 1
        errand = self.clients.carry_out(command, then, ways=ways)
        self.errands.append(errand)
        return errand

    def _learn(self, command: c.Command, told: dict[str, Any]) -> None:
        if told["status"] != "approved":
            return
        if "authorization_id" in told:
            self.purchases.append(told["authorization_id"])
        if "hold_id" in told:
            self.holds.append(told["hold_id"])
        if isinstance(command, c.WithholdFromMerchant) and told["withheld_minor"]:
            self.withheld.append((command, told))

    # Beginnings.

    def found(self) -> None:
        """Lenders, programs and a merchant; accounts must wait for them."""
        for lender_id, line in LENDERS.items():
            self.wish(c.RegisterLender, lender_id, "EUR", "", line)

    def found_programs(self, deposit_minor: int) -> None:
        """When the lenders are there."""
        for name, parts in SHARES.items():
            shares = tuple(c.Share(lender, ppm) for lender, ppm in parts.items())
            self.wish(c.RegisterProgram, name, "EUR", shares, 60, 30, 100_000)
        self.wish(c.RegisterMerchant, "m0", "", TERMS[0])
        for lender_id in LENDERS:
            self.wish(c.DepositReserve, lender_id, deposit_minor)

    def found_accounts(self, accounts: int, limit_minor: int) -> None:
        """When the programs are there."""
        self.accounts = [f"account {i}" for i in range(accounts)]
        for i, account_id in enumerate(self.accounts):
            program = list(SHARES)[i % 3]
            self.wish(c.OpenAccount, account_id, program, "EUR", limit_minor)

    # What people do.

    def amount(self, most: int) -> int:
        """At least one minor unit; `most` is meant for a small town."""
        return self.random.randint(1, max(1, most * self.scale))

    def buy(self) -> None:
        amount = self.random.choice([1, 7, self.amount(60)])
        merchant = f"m{self.random.randrange(self.merchants)}"
        account = self.random.choice(self.accounts)
        capture = self.random.random() < 0.6
        partial = self.random.random() < 0.3
        fields = (account, merchant, amount, "EUR", capture, "")
        self.wish(c.Authorize, *fields, "", (), partial)

    def follow_up(self) -> None:
        if not self.purchases:
            self.buy()
            return
        key = self.random.choice(self.purchases[-_LATEST:])
        amount = self.random.choice([None, self.amount(20)])
        match self.random.randint(0, 5):
            case 0:
                self.wish(c.IncrementAuthorization, key, amount or 5)
            case 1:
                final = self.random.random() < 0.3
                self.wish(c.CaptureAuthorization, key, amount, final)
            case 2:
                self.wish(c.ReverseAuthorization, key, amount)
            case _:
                self.wish(c.Refund, key, amount)

    def hold(self) -> None:
        if self.holds and self.random.random() < 0.6:
            key = self.random.choice(self.holds[-_LATEST:])
            capture = self.random.random() < 0.5
            self.wish(c.ConvertHold, key, "m0", None, capture)
        else:
            account = self.random.choice(self.accounts)
            self.wish(c.PlaceHold, account, self.amount(30), "EUR")

    def repay(self) -> None:
        account = self.random.choice(self.accounts)
        self.wish(c.Repay, account, self.amount(80), "EUR")

    def repay_from_payout(self) -> None:
        """The gateway's steps, with anything else in between."""
        if not self.withheld:
            account = self.random.choice(self.accounts)
            self.wish(c.WithholdFromMerchant, account, "m0", self.amount(90), "EUR")
            return
        first, told = self.withheld.pop()
        key, minor = told["withholding_id"], told["withheld_minor"]
        if self.random.random() < 0.3:
            self.wish(c.ReleaseWithholding, key)
        else:
            fields = (first.account_id, minor, "EUR", "", "", False)
            self.wish(c.Repay, *fields, first.merchant_id, key)

    def fund(self) -> None:
        lender_id = self.random.choice(list(LENDERS))
        is_less = self.random.random() < 0.4
        kind = c.WithdrawReserve if is_less else c.DepositReserve
        self.wish(kind, lender_id, self.amount(300))

    def rule_a_lender(self) -> None:
        """An operator changes a line or a cap, or moves funds with a checker."""
        lender_id = self.random.choice(list(LENDERS))
        amount = self.amount(300)
        match self.random.randint(0, 6):
            case 0:
                self.wish(c.ChangeAdvanceLine, lender_id, amount)
            case 1:
                self.wish(c.SuspendLender, lender_id)
            case 2 | 3 if self.movements:
                self._check_funds()
            case 4:
                self.movements.append(f"f{len(self.movements)}")
                direction = self.random.choice(list(c.Direction))
                fields = (self.movements[-1], lender_id, direction, amount)
                self.wish(c.ProposeFunds, *fields)
            case _:
                cap = self.random.choice([None, amount, 10 * amount])
                self.wish(c.SetDailyCap, lender_id, cap)

    def cap_a_program(self) -> None:
        """Often near what is lent already, also below it."""
        lender_id = self.random.choice(list(LENDERS))
        amount = self.amount(300)
        program = self.random.choice([*SHARES, *SHARES, "none"])
        near = self.lent(program, lender_id) + self.random.choice([-1, 1, 3]) * amount
        cap = self.random.choice([None, amount, max(0, near), max(0, near)])
        self.wish(c.SetProgramCap, program, lender_id, cap)

    def lent(self, program: str, lender_id: str) -> int:
        """What is out of a lender's money through a program, in minor units."""
        shards = self.expected.shards.values()
        return sum(shard.lent[program, lender_id] for shard in shards)

    def _check_funds(self) -> None:
        kind = self.random.choice([c.ApproveFunds, c.ApproveFunds, c.RejectFunds])
        caller = self.random.choice(["checker", "town"])
        self.wish(kind, self.random.choice(self.movements[-4:]), caller=caller)

    def lend_again(self) -> None:
        for lender_id in LENDERS:
            shards = self.expected.shards.values()
            if any(lender_id in shard.suspended for shard in shards):
                self.wish(c.ResumeLender, lender_id)

    def force(self) -> None:
        account = self.random.choice(self.accounts)
        key = self.random.choice(self.purchases[-_LATEST:] or [""])
        amount = self.random.choice([1, self.amount(90), self.amount(400)])
        self.wish(c.ForceCapture, account, "m0", amount, "EUR", "", key)

    def register(self) -> None:
        terms = self.random.choice(TERMS)
        if self.random.random() < 0.5:
            merchant = f"m{self.random.randrange(self.merchants)}"
            self.wish(c.ChangeMerchant, merchant, terms)
            return
        self.wish(c.RegisterMerchant, f"m{self.merchants}", "", terms)
        self.merchants += 1

    def close_day(self) -> None:
        if len(self.expected.cuts) < DAYS_MAX:
            day = max(self.expected.cuts.values(), default=FIRST_DAY)
            self.wish(c.CloseDay, day, following_day(day))

    def ask_again(self) -> None:
        """Somebody repeats himself, answered or not."""
        self.clients.repeat(self.random.choice(self.errands[-30:]))

    def look_back_at_all(self) -> None:
        """Everybody's latest entries are read."""
        for account in self.accounts:
            self._look_back(account)

    def look_back(self) -> None:
        """Somebody reads the latest entries of an account."""
        self._look_back(self.random.choice(self.accounts))

    def _look_back(self, account: str) -> None:
        judge = self.clients.judge

        def then(answer: Answer, is_uncertain: bool) -> None:
            judge.check_entries(account, answer)

        self.clients.read("entries", account, then)

    def lift_every_bound(self) -> None:
        """No lender is suspended or capped any more, or owes what was forced."""
        self.lend_again()
        for lender_id in LENDERS:
            self.wish(c.SetDailyCap, lender_id, None)
            for program in SHARES:
                self.wish(c.SetProgramCap, program, lender_id, None)
            forced = self.expected.forced[lender_id]
            if forced:
                self.wish(c.DepositReserve, lender_id, forced)


Deed = Callable[[Town], None]
TOWN_DEEDS: dict[str, tuple[int, Deed]] = {
    "buys": (30, Town.buy),
    "follows up": (12, Town.follow_up),
    "holds": (4, Town.hold),
    "repays": (3, Town.repay),
    "repays from a payout": (4, Town.repay_from_payout),
    "funds": (4, Town.fund),
    "registers": (1, Town.register),
    "closes the day": (1, Town.close_day),
    "rules a lender": (3, Town.rule_a_lender),
    "caps a program": (1, Town.cap_a_program),
    "lends again": (2, Town.lend_again),
    "forces": (1, Town.force),
    "asks again": (6, Town.ask_again),
    "looks back": (4, Town.look_back),
}
