"""The crowd: the load test's own customers, with their own books.

`loadtest.workload` makes the wishes and `loadtest.expected` judges each answer
to the minor unit, readings included; here they only travel another way.
"""

from typing import Any

from gateway.routes import COMMAND_ROUTES
from loadtest.expected import Expected
from loadtest.wishes import Answer, Kind, Lot, Wish
from loadtest.workload import Workload
from processor import commands as c
from tests.simulation.clients import Clients
from tests.simulation.virtual import Violation

LASTING, BRIEF = "lasting", "brief"
SHOP = "shop"  # Its terms cost nothing.
_DAY_SECONDS = 24 * 3_600
_TOLERANCE_PPM = 100_000
_COMMANDS = {route.command.wire_name(): route.command for route in COMMAND_ROUTES}


class Customer:
    """One client: one wish at a time, about its own accounts."""

    def __init__(self, clients: Clients, seed: int, number: int, limit: int) -> None:
        self._clients = clients
        self.name = f"customer-{number}"
        self.lots = [self._lot(i, limit, lapses=i == 0) for i in range(4)]
        self._expected = Expected(self.lots, is_scarce=True)
        self._workload = Workload(seed, self.name, self._expected, [SHOP])
        self._is_waiting = False

    def _lot(self, number: int, limit: int, *, lapses: bool) -> Lot:
        program = BRIEF if lapses else LASTING
        tolerance = 0 if lapses else _TOLERANCE_PPM
        return Lot(f"{self.name}-{number}", program, limit, tolerance, lapses)

    def found(self) -> None:
        """Open the accounts."""
        for lot in self.lots:
            fields = (lot.account_id, lot.program_id, "EUR", lot.limit_minor)
            command = c.OpenAccount(self.name, f"open-{lot.account_id}", *fields)
            self._clients.carry_out(command, lambda answer, is_uncertain: None)

    def live(self) -> None:
        """The next wish, if the last one has been answered."""
        if self._is_waiting:
            return
        self._is_waiting = True
        wish = self._workload.next_wish()

        def then(answer: Answer, is_uncertain: bool) -> None:
            self._is_waiting = False
            wrong = self._expected.judge(wish, answer, uncertain=is_uncertain)
            if wrong:
                raise Violation(f"{wish} was answered {answer}: {'; '.join(wrong)}")

        self._ask(wish, then)

    def _ask(self, wish: Wish, then: Any) -> None:
        if wish.command.startswith("read_"):
            kind = wish.command.removeprefix("read_")
            self._clients.read(kind, wish.fields[f"{kind}_id"], then)
            return
        command = _COMMANDS[wish.command](self.name, wish.request_id, **wish.fields)
        if wish.kind is Kind.CONFLICT:
            self._clients.conflict(command, then)
        else:
            ways = 2 if wish.kind is Kind.BESIDE else 1
            self._clients.carry_out(command, then, ways=ways)


def found_programs(clients: Clients) -> None:
    """The crowd's shop, and its programs of the town's lenders."""
    shop = c.RegisterMerchant("crowd", "shop", SHOP, "")
    clients.carry_out(shop, lambda answer, is_uncertain: None)
    shares = (c.Share("L1", 300_000), c.Share("L2", 700_000))
    for name, seconds, tolerance in (
        (LASTING, _DAY_SECONDS, _TOLERANCE_PPM),
        (BRIEF, 2, 0),
    ):
        fields = (name, "EUR", shares, seconds, seconds, tolerance)
        command = c.RegisterProgram("crowd", f"program-{name}", *fields)
        clients.carry_out(command, lambda answer, is_uncertain: None)
