"""A repayment and its return are inverse, whatever order the program pays in.

The allocation matrix has twelve cells, so there are 479 001 600 orders.  Taken
here: every pair of a first and a last cell, every order of due dates by every
order of components, and the same the other way round.  For each of them,
amounts around every place where the money moves on to the next line.
"""

from itertools import permutations
from typing import Any

import msgspec
import pytest
from msgspec.structs import asdict

from processor import commands as c
from processor import events as e
from processor import messages as m
from processor.debts import lines_of
from processor.schedules import Method, Plan
from processor.terms import (
    DEFAULT_ALLOCATION,
    Bucket,
    Component,
    Due,
    MerchantTerms,
    PartyShare,
    Terms,
)
from tests.property.profiles import FACTOR
from tests.unit.one_shard import OneShard

Order = tuple[Bucket, ...]
CELLS = DEFAULT_ALLOCATION
SHARES = (
    c.Share("north", 333_333),
    c.Share("south", 366_667),
    c.Share("west", 300_000),
)
PLANS = (
    Plan("fees", 4, Method.FLAT_FEE, 12_345),
    Plan("balance", 4, Method.EQUAL_PRINCIPAL, 23_456),
)
PRICING = MerchantTerms("", 9_999, 0, None, (PartyShare("bank", 1_000_000),))
TERMS = Terms(0, 7_000, 100_000)


def orders() -> list[Order]:
    """A systematic sample of all orders of the matrix."""
    found: dict[Order, None] = {}
    for first in CELLS:
        for last in CELLS:
            if first is not last:
                between = [cell for cell in CELLS if cell not in (first, last)]
                turn = CELLS.index(last) % len(between)
                found[(first, *between[turn:], *between[:turn], last)] = None
    for dues in permutations(Due):
        for components in permutations(Component):
            found[tuple(Bucket(d, x) for d in dues for x in components)] = None
            found[tuple(Bucket(d, x) for x in components for d in dues)] = None
    return list(found)


class Owing:
    """An account that owes in every cell there can be anything in."""

    def __init__(self) -> None:
        self.shard = OneShard().welcomed()
        self.version = 0
        self.facts: list[e.ReferenceFact] = []
        lenders = [e.LenderRegistered(x.lender_id, "EUR", "", 0) for x in SHARES]
        self.tell(*lenders, e.MerchantRegistered("m", "", PRICING))
        self.pay_in(CELLS)
        self.shard.told(*(m.GrantSlice(x.lender_id, 10**9) for x in SHARES))
        self.shard.ask(c.OpenAccount, "a", "p", "EUR", 10**8, 5, 25)
        self.live()

    def tell(self, *facts: e.ReferenceFact) -> None:
        self.facts += facts
        self.shard.told(m.ReferenceSent(len(self.facts), tuple(facts)))

    def pay_in(self, order: Order) -> None:
        """From now on repayments are allocated in that order."""
        self.version += 1
        terms = msgspec.structs.replace(TERMS, allocation=order)
        fields = ("p", self.version, "EUR", SHARES, 10**6, 10**6, 0, PLANS, terms)
        self.tell(e.ProgramRegistered(*fields))

    def live(self) -> None:
        """Two late statements, one that is due, and lines that are not billed."""
        self.buy(1_009, "fees")
        self.buy(2_003, "balance")
        self.buy(701)
        for day in ("2026-01-06", "2026-02-06"):
            self.move(day)
            self.buy(307)
            self.buy(997, "balance")
        self.move("2026-03-02")
        self.buy(499)
        self.move("2026-03-07")  # What was billed on the 5th is due on the 25th.
        self.buy(211)
        self.buy(89)

    def buy(self, amount: int, plan_id: str = "") -> None:
        self.ask(c.Authorize, "a", "m", amount, "EUR", True, "", plan_id)

    def move(self, day: str) -> None:
        self.shard.told(m.MoveDay(self.shard.state.day, day))
        while self.shard.node.has_work:
            self.shard.step()

    def ask(self, kind: type[c.Command], *fields: Any) -> dict[str, Any]:
        answer = self.shard.ask(kind, *fields)
        assert "approved" == answer["status"]
        return answer

    @property
    def owed_minor(self) -> int:
        account = self.shard.state.accounts["a"]
        owed: int = account.outstanding_minor + account.charges_minor
        return owed

    def repay(self, amount: int, target: str = "") -> str:
        wish = ("a", amount, "EUR", "", target, True)
        made: str = self.ask(c.Repay, *wish)["repayment_id"]
        return made

    def steps(self) -> list[int]:
        """How much has been paid when a line, or a component of it, is paid."""
        repaid = self.repay(self.owed_minor)
        event = self.shard.records[-1].event
        assert isinstance(event, e.Repaid)
        self.ask(c.ReturnRepayment, repaid)
        sizes = [
            minor
            for paid in event.allocations
            for minor in (
                paid.penalty_minor,
                paid.interest_minor,
                paid.fee_minor,
                paid.amount_minor,
            )
            if minor
        ]
        return [sum(sizes[:i]) for i in range(1, len(sizes) + 1)]

    def cell_paid(self) -> Bucket:
        """Where the only unit of the last repayment went."""
        event = self.shard.records[-1].event
        assert isinstance(event, e.Repaid)
        (paid,) = event.allocations
        state = self.shard.state
        account = state.accounts["a"]
        purchase = state.authorizations[paid.authorization_id]
        line = lines_of(account, purchase)[max(0, paid.line - 1)]
        due = Due.PAST_DUE if line.due_on < state.today else Due.DUE
        if line.bills_on >= state.today:
            due = Due.IN_ADVANCE
        by_component = {
            Component.PENALTY: paid.penalty_minor,
            Component.INTEREST: paid.interest_minor,
            Component.FEE: paid.fee_minor,
            Component.PRINCIPAL: paid.amount_minor,
        }
        (component,) = (name for name, minor in by_component.items() if minor)
        return Bucket(due, component)

    def picture(self) -> dict[str, Any]:
        """All that a repayment may touch and its return must restore.

        Left out is what is meant to remember both: the sequence, the payments
        and their counts, the carry of all charges ever paid, the day until which
        a line that is late again has had its penalty, and when the account is
        looked at next.
        """
        state = self.shard.state
        account = state.accounts["a"]
        picture: dict[str, Any] = msgspec.to_builtins(
            {
                "account": asdict(account),
                "purchases": {
                    name: asdict(purchase)
                    for name, purchase in state.authorizations.items()
                },
                "slices": state.slices,
                "totals": state.totals,
                "in debt": state.in_debt,
            }
        )
        for name, purchase in state.authorizations.items():
            lines = [
                msgspec.to_builtins(asdict(line))
                for line in lines_of(account, purchase)
            ]
            for line in lines:
                del line["penalty_through_on"]
            picture["purchases"][name]["lines"] = lines
        del picture["account"]["wakes_on"]
        for counted in ("repaid", "returned"):
            del picture["totals"][f"{counted}_minor"]
            del picture["totals"][f"{counted}_count"]
        return picture


def test_whatever_cell_comes_first_is_paid_first() -> None:
    """In advance there is only principal; a penalty makes its line past due."""
    owing = Owing()
    paid_first = set()
    for cell in CELLS:
        owing.pay_in((cell, *(other for other in CELLS if other != cell)))
        repaid = owing.repay(1)
        paid_first.add(owing.cell_paid())
        if paid_first >= {cell}:
            assert owing.cell_paid() == cell
        owing.ask(c.ReturnRepayment, repaid)
    assert paid_first == {
        *(Bucket(Due.PAST_DUE, component) for component in Component),
        *(Bucket(Due.DUE, x) for x in Component if x is not Component.PENALTY),
        Bucket(Due.IN_ADVANCE, Component.PRINCIPAL),
    }


def traces(before: Any, after: Any, path: str = "") -> list[str]:
    """Where two pictures differ, and how."""
    if isinstance(before, dict) and before.keys() == after.keys():
        pairs = [(f"{path}.{k}", before[k], after[k]) for k in before]
    elif isinstance(before, list) and len(before) == len(after):
        pairs = [
            (f"{path}[{i}]", a, b)
            for i, (a, b) in enumerate(zip(before, after, strict=True))
        ]
    else:
        return [] if before == after else [f"{path}: {before} became {after}"]
    return [text for where, a, b in pairs for text in traces(a, b, where)]


def chosen(found: list[Order]) -> list[Order]:
    """All of them on a thorough night, otherwise one in a few."""
    return found if FACTOR > 1 else found[:: 7 if FACTOR == 1 else 35]


def test_a_returned_repayment_leaves_no_trace_in_any_order() -> None:
    owing = Owing()
    before = owing.picture()
    for order in chosen(orders()):
        owing.pay_in(order)
        for step in [*owing.steps(), owing.owed_minor + 50]:
            for amount in {max(1, step - 1), step, step + 1}:
                repaid = owing.repay(amount)
                assert before != owing.picture()
                owing.ask(c.ReturnRepayment, repaid)
                assert [] == traces(before, owing.picture()), (order, amount)


@pytest.mark.parametrize("lifo", [True, False])
def test_several_returned_in_either_direction_leave_no_trace(lifo: bool) -> None:
    """The first one first, or the last one first: all are undone."""
    owing = Owing()
    before = owing.picture()
    for order in chosen(orders()):
        owing.pay_in(order)
        fifth = owing.owed_minor // 5
        repaid = [owing.repay(amount) for amount in (1, fifth, 2 * fifth, 3 * fifth)]
        for key in repaid[::-1] if lifo else repaid:
            owing.ask(c.ReturnRepayment, key)
        assert [] == traces(before, owing.picture()), order


def test_a_targeted_repayment_that_is_returned_leaves_no_trace() -> None:
    owing = Owing()
    before = owing.picture()
    for order in chosen(orders()):
        owing.pay_in(order)
        for target in before["account"]["unpaid"]:
            repaid = owing.repay(owing.owed_minor // 3, target)
            owing.ask(c.ReturnRepayment, repaid)
            assert [] == traces(before, owing.picture()), (order, target)
