"""The people around the house: a gateway, its callers, and bad luck.

A wish is a command that somebody wants carried out.  It is submitted, perhaps
lost, submitted again under the same id, and in the end answered; the town
keeps what each wish was told and holds it against what became durable.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from processor import commands as c
from processor import limits
from processor import messages as m
from processor.framing import Window, frame
from processor.ids import shard_of_slot, slot_of_account, slot_of_made_id
from processor.settlement_rules import following_day
from processor.terms import MerchantTerms, PartyShare, Subsidy
from tests.property.house import FIRST_DAY, Host, House, Wire

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
GATEWAY = "gateway"


@dataclass
class Wish:
    """A command, and what its caller was told so far."""

    command: c.Command
    where: str
    is_waiting: bool = False
    was_unknown: bool = False  # At least once nobody could tell.
    not_done: bool = False
    body: bytes | None = None

    @property
    def answer(self) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(self.body or b"{}")
        return decoded


@dataclass
class Town:
    """A house, its gateway, and everything anybody ever wished."""

    shard_count: int
    random: Random
    house: House = field(init=False)
    wishes: list[Wish] = field(default_factory=list)
    windows: dict[int, Window[Any]] = field(default_factory=dict)  # By wire.
    read: list[bytes] = field(default_factory=list)
    purchases: list[str] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)
    accounts: list[str] = field(default_factory=list)
    movements: list[str] = field(default_factory=list)
    merchants: int = 1
    withheld: list[Wish] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.house = House(self.shard_count)

    # Wishes.

    def where(self, command: c.Command) -> str:
        """The node a command goes to."""
        if not command.ROUTED_BY:
            return "settlement"
        object_id: str = getattr(command, command.ROUTED_BY)
        if command.ROUTED_BY == "account_id":
            slot: int | None = slot_of_account(object_id)
        else:
            slot = slot_of_made_id(object_id)
        assert slot is not None
        return f"shard-{shard_of_slot(slot, self.shard_count)}"

    def wish(self, kind: type[c.Command], *fields: Any) -> Wish:
        return self.wish_of("town", kind, *fields)

    def wish_of(self, caller: str, kind: type[c.Command], *fields: Any) -> Wish:
        command = kind(caller, f"w{len(self.wishes)}", *fields)
        wish = Wish(command, self.where(command))
        self.wishes.append(wish)
        self.submit(wish)
        return wish

    def submit(self, wish: Wish) -> None:
        """Send it, if there is a connection; otherwise it is still to be sent."""
        if wish.is_waiting:
            return
        wire = self.wire(wish.where)
        if wire is None:
            return
        wish.is_waiting = True
        wish.not_done = False
        correlation = self.windows[id(wire)].open(wish)
        wire.to_server.append(frame([m.Submit(correlation, wish.command)]))  # type: ignore[arg-type]

    def query(self, where: str, kind: str, object_id: str) -> None:
        wire = self.wire(where)
        assert wire is not None
        correlation = self.windows[id(wire)].open("query")
        wire.to_server.append(frame([m.Query(correlation, kind, object_id)]))

    def wire(self, where: str) -> Wire | None:
        wire = self.house.wire_of(GATEWAY, where)
        if wire is None:
            wire = self.house.connect(GATEWAY, where)
            if wire is not None:
                self.windows[id(wire)] = Window(limits.WINDOW_COMMANDS_MAX)
        return wire if wire is not None and wire.server_is_up else None

    def listen(self) -> None:
        """Take in what has reached the gateway."""
        said, self.house.said = self.house.said, []
        for wire, message in said:
            window = self.windows[id(wire)]
            if message is None:
                for waiter in window.break_all():
                    if isinstance(waiter, Wish):
                        waiter.is_waiting = False
                        waiter.was_unknown = True
                continue
            assert isinstance(message, m.Answer)
            waiter = window.close(message.correlation)
            assert waiter is not None  # Nothing is answered twice.
            if isinstance(waiter, Wish):
                self.told(waiter, message)
            else:
                assert message.outcome is m.Outcome.READ
                self.read.append(message.body)

    def told(self, wish: Wish, answer: m.Answer) -> None:
        """What was promised is durable, and stays what it was."""
        wish.is_waiting = False
        key = (wish.where, (wish.command.caller, wish.command.request_id))
        recorded = self.house.expected.recorded
        if answer.outcome is m.Outcome.NOT_DONE:
            wish.not_done = True
            assert wish.was_unknown or key not in recorded
            return
        assert answer.outcome in (m.Outcome.DECIDED, m.Outcome.REPLAYED)
        if isinstance(wish.command, c.CloseDay) and key not in recorded:
            is_cut = wish.command.day in self.house.expected.cuts
            assert is_cut or b'"declined"' in answer.body
        else:
            assert key in recorded
        assert wish.body in (None, answer.body)
        is_new = wish.body is None
        wish.body = answer.body
        approved = wish.answer["status"] == "approved"
        if is_new and approved and "authorization_id" in wish.answer:
            self.purchases.append(wish.answer["authorization_id"])
        if is_new and approved and wish.answer.get("withheld_minor"):
            self.withheld.append(wish)
        if is_new and approved and "hold_id" in wish.answer:
            self.holds.append(wish.answer["hold_id"])

    # Beginnings and ends.

    def found(self, accounts: int, limit: int = 10**9) -> None:
        """Lenders, programs, a merchant and accounts, before anything goes wrong."""
        for lender_id, line in LENDERS.items():
            self.wish(c.RegisterLender, lender_id, "EUR", "", line)
        for name, parts in SHARES.items():
            shares = tuple(c.Share(lender, ppm) for lender, ppm in parts.items())
            self.wish(c.RegisterProgram, name, "EUR", shares, 60, 30, 100_000)
        self.wish(c.RegisterMerchant, "m0", "", TERMS[0])
        self.rest()
        self.accounts = [f"account {i}" for i in range(accounts)]
        for i, account_id in enumerate(self.accounts):
            self.wish(c.OpenAccount, account_id, list(SHARES)[i % 3], "EUR", limit)
        self.rest()
        assert all(wish.answer["status"] == "approved" for wish in self.wishes)

    def rest(self) -> None:
        """No more bad luck: all that can be said is said, at this time."""
        self.house.rest()
        self.listen()

    def lift_every_bound(self) -> None:
        """No lender is suspended or capped any more, or owes what was forced."""
        self.lend_again()
        for lender_id in LENDERS:
            self.wish(c.SetDailyCap, lender_id, None)
            for program in SHARES:
                self.wish(c.SetProgramCap, program, lender_id, None)
            forced = self.house.expected.forced[lender_id]
            if forced:
                self.wish(c.DepositReserve, lender_id, forced)
        self.finish()

    def finish(self) -> None:
        """Ask again until everybody has an answer; then all must be quiet."""
        for _ in range(20):
            self.rest()
            open_wishes = [wish for wish in self.wishes if wish.body is None]
            if not open_wishes:
                break
            for wish in open_wishes:
                self.submit(wish)
            self.rest()
            self.house.now_ms += limits.PARKED_MS_MAX
        assert [] == [wish for wish in self.wishes if wish.body is None]
        self.house.expected.check()
        self.house.expected.check_nothing_on_its_way()
        self.house.check_replays()

    def check_positions(self) -> None:
        """What a lender is told of its position is what the journals add up to.

        The question may bring about a step, and with it one more grant: either
        side of that is exact.
        """
        for lender_id in LENDERS:
            before = self.position(lender_id)
            self.read.clear()
            self.query("settlement", "position", lender_id)
            self.rest()
            (body,) = self.read
            shown = msgspec.json.decode(body).items()
            after = self.position(lender_id)
            assert before.items() <= shown or after.items() <= shown

    def position(self, lender_id: str) -> dict[str, int]:
        expected = self.house.expected
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

    def check_days(self) -> None:
        """Each day that was cut is closed, once, and shows the model's totals."""
        expected = self.house.expected
        assert expected.cuts.keys() == expected.closed.keys()
        day = FIRST_DAY
        for cut, next_day in expected.cuts.items():
            assert cut == day
            day = next_day
        assert all(day == shard.day for shard in expected.shards.values())

    # What people do.

    def buy(self) -> None:
        amount = self.random.choice([1, 7, self.random.randint(1, 60)])
        merchant = f"m{self.random.randrange(self.merchants)}"
        account = self.random.choice(self.accounts)
        capture = self.random.random() < 0.6
        partial = self.random.random() < 0.3
        fields = (account, merchant, amount, "EUR", capture, "")
        self.wish(c.Authorize, *fields, "", (), partial)

    def follow_up(self) -> None:
        if not self.purchases:
            return self.buy()
        key = self.random.choice(self.purchases[-12:])
        amount = self.random.choice([None, self.random.randint(1, 20)])
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
        return None

    def hold(self) -> None:
        if self.holds and self.random.random() < 0.6:
            key, capture = self.random.choice(self.holds), self.random.random() < 0.5
            self.wish(c.ConvertHold, key, "m0", None, capture)
        else:
            account, amount = self.random.choice(self.accounts), 1
            self.wish(c.PlaceHold, account, amount + self.random.randrange(30), "EUR")

    def repay(self) -> None:
        account = self.random.choice(self.accounts)
        self.wish(c.Repay, account, self.random.randint(1, 80), "EUR")

    def repay_from_payout(self) -> None:
        """The gateway's steps, with anything else in between."""
        if not self.withheld:
            account, merchant = self.random.choice(self.accounts), "m0"
            amount = self.random.randint(1, 90)
            self.wish(c.WithholdFromMerchant, account, merchant, amount, "EUR")
            return
        first = self.withheld.pop()
        assert isinstance(first.command, c.WithholdFromMerchant)
        key, minor = first.answer["withholding_id"], first.answer["withheld_minor"]
        if self.random.random() < 0.3:
            self.wish(c.ReleaseWithholding, key)
        else:
            account, merchant = first.command.account_id, first.command.merchant_id
            self.wish(c.Repay, account, minor, "EUR", "", "", False, merchant, key)

    def fund(self) -> None:
        lender_id, amount = self.random.choice(list(LENDERS)), 1
        amount += self.random.randrange(300)
        kind = self.random.choice([c.DepositReserve, c.DepositReserve])
        if self.random.random() < 0.4:
            kind = c.WithdrawReserve  # type: ignore[assignment]
        self.wish(kind, lender_id, amount)

    def rule_a_lender(self) -> None:
        """An operator changes a line or a cap, or moves funds with a checker."""
        lender_id = self.random.choice(list(LENDERS))
        amount = self.random.randrange(300)
        match self.random.randint(0, 8):
            case 0:
                self.wish(c.ChangeAdvanceLine, lender_id, amount)
            case 7 | 8:
                program = self.random.choice([*SHARES, *SHARES, "none"])
                shards = self.house.expected.shards.values()
                lent = sum(shard.lent[program, lender_id] for shard in shards)
                near = max(0, lent + self.random.randint(-20, 60))
                cap = self.random.choice([None, amount, near, near])
                self.wish(c.SetProgramCap, program, lender_id, cap)
            case 1:
                self.wish(c.SuspendLender, lender_id)
            case 2 | 3 if self.movements:
                kind = self.random.choice(
                    [c.ApproveFunds, c.ApproveFunds, c.RejectFunds]
                )
                caller = self.random.choice(["checker", "town"])
                self.wish_of(caller, kind, self.random.choice(self.movements[-4:]))
            case 4:
                self.movements.append(f"f{len(self.movements)}")
                direction = self.random.choice(list(c.Direction))
                self.wish(
                    c.ProposeFunds, self.movements[-1], lender_id, direction, amount + 1
                )
            case _:
                cap = self.random.choice([None, amount, 10 * amount])
                self.wish(c.SetDailyCap, lender_id, cap)

    def lend_again(self) -> None:
        for lender_id in LENDERS:
            if any(
                lender_id in s.suspended for s in self.house.expected.shards.values()
            ):
                self.wish(c.ResumeLender, lender_id)

    def force(self) -> None:
        account = self.random.choice(self.accounts)
        key = self.random.choice(self.purchases[-12:] or [""])
        amount = self.random.choice([1, self.random.randint(1, 90), 250])
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
        day = max(self.house.expected.cuts.values(), default=FIRST_DAY)
        self.wish(c.CloseDay, day, following_day(day))

    def ask_again(self) -> None:
        """Somebody repeats himself, answered or not."""
        wish = self.random.choice(self.wishes[-30:])
        self.submit(wish)

    # What the world does.

    def any_host(self) -> Host:
        return self.random.choice(list(self.house.hosts.values()))

    def deliver(self) -> None:
        """Move one frame on one wire."""
        wires = [w for w in self.house.wires if w.to_server or w.to_client]
        if wires:
            wire = self.random.choice(wires)
            if wire.to_server and (not wire.to_client or self.random.random() < 0.5):
                self.house.deliver_to_server(wire)
            else:
                self.house.deliver_to_client(wire)
        self.listen()

    def work(self) -> None:
        """A node steps, or what it has stepped becomes durable."""
        host = self.any_host()
        if host.pending and self.random.random() < 0.5:
            self.house.commit(host, self.random.random() < 0.5)
        elif host.node is not None:
            due = host.node.wakes_at_ms()
            if host.node.has_work or (due and due <= self.house.now_ms):
                self.house.step(host)
        assert host.node is None or "" == host.node.stopped_because

    def pass_time(self) -> None:
        self.house.now_ms += self.random.choice([1, 5, 40, 300])

    def pass_much_time(self) -> None:
        self.house.now_ms += self.random.choice([3_000, 31_000, 61_000])

    def put_the_clock_back(self) -> None:
        self.house.now_ms -= self.random.choice([1, 100, 2_000])

    def break_a_wire(self) -> None:
        if self.house.wires:
            wire = self.random.choice(self.house.wires)
            cut = [self.house.cut_client, self.house.cut_server, self.house.notice]
            self.random.choice(cut)(wire)
            self.listen()

    def mend_a_wire(self) -> None:
        for wire in list(self.house.wires):
            if self.random.random() < 0.5:
                self.house.notice(wire)
        shard = self.random.randrange(self.shard_count)
        self.house.connect(f"shard-{shard}", "settlement")
        self.listen()

    def crash(self) -> None:
        self.house.crash(self.any_host(), self.random.random() < 0.5)
        self.listen()

    def start(self) -> None:
        for host in self.house.hosts.values():
            if host.node is None and self.random.random() < 0.7:
                host.start()

    def live(self, turns: int, trouble: int) -> None:
        """`turns` random things; `trouble` is how much of it is bad luck."""
        self.do(
            turns,
            [
                (30, self.buy),
                (12, self.follow_up),
                (4, self.hold),
                (3, self.repay),
                (4, self.repay_from_payout),
                (4, self.fund),
                (1, self.register),
                (1, self.close_day),
                (3, self.rule_a_lender),
                (2, self.lend_again),
                (1, self.force),
                (6, self.ask_again),
                (trouble, self.pass_much_time),
                (trouble, self.put_the_clock_back),
                *self.world(trouble),
            ],
        )

    def live_quietly(self, turns: int, trouble: int) -> None:
        """Nobody wants anything new; wires and nodes do their work."""
        self.do(turns, self.world(trouble))

    def world(self, trouble: int) -> list[tuple[int, Callable[[], None]]]:
        return [
            (120, self.deliver),
            (120, self.work),
            (12, self.pass_time),
            (trouble, self.break_a_wire),
            (2 * trouble, self.mend_a_wire),
            (trouble, self.crash),
            (3 * trouble, self.start),
        ]

    def do(self, turns: int, deeds: list[tuple[int, Callable[[], None]]]) -> None:
        weights = [weight for weight, _ in deeds]
        for _, deed in self.random.choices(deeds, weights, k=turns):
            deed()
