"""The audit's own model of one shard: a second calculation, from events alone.

Its rule: whatever is wrong is told in a sentence and the audit goes on; it
never asserts, never repairs, and never asks the rules or the state of the
machine that wrote the journal.  It may be slow to write and plain to read:
objects are summed up, ledger accounts are posted by `postings`, and the two
must agree.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from processor import events as e
from processor import limits
from processor.audit.days import next_on, number_of
from processor.audit.lines import Adjustment, Carry, Line, Payment
from processor.audit.parties import Leg
from processor.audit.plans import Plan
from processor.events import (
    DayTotals,
    LenderTotals,
    MerchantTotals,
    ReferenceFact,
)
from processor.paged import Paged, Shelf
from processor.pools import daily_pool, is_daily, is_of_program
from processor.terms import MerchantTerms, Terms, Velocity

if TYPE_CHECKING:
    from processor.commands import Command

T = TypeVar("T")


class Tally(msgspec.Struct, gc=False):
    """Velocity limits, and what was approved by business day and by month."""

    bounds: Velocity
    since: int  # The record that made it.
    minor: dict[str, int] = {}


class Account(msgspec.Struct, gc=False):
    """One borrower's line, by the audit's own reckoning, in minor units.

    `owing` names the purchases something is owed of, or will be, in the order in
    which they were made.  `next_statement_on` is 0 while the account is not billed.
    `looked_at` is the last business day on which the ends of the days before it
    were seen to be done.
    """

    account_id: str
    program_id: str
    currency: str
    limit_minor: int
    statement_day: int = 1
    due_day: int = 21
    status: str = "open"
    held_minor: int = 0
    authorized_minor: int = 0
    outstanding_minor: int = 0
    credit_minor: int = 0
    charges_minor: int = 0
    written_off_minor: int = 0
    minimum_left_minor: int = 0
    next_statement_on: int = 0
    last_due_on: int = 0  # Of the last statement.
    looked_at: int = 0
    owing: dict[str, int] = {}  # By which record it was made.
    lost: dict[str, int] = {}  # Written off and not recovered, by lender.
    own_loss_minor: int = 0  # The same of the platform's own money.
    overdrawn: dict[int, int] = {}  # Of the credit balance, billed: by due day.
    ordinary_limit_minor: int = 0  # Comes back after `until_day`.
    until_day: str = ""  # Of a temporary limit.
    tallies: dict[str, Tally] = {}  # By category; "" is all of them.

    @property
    def open_to_buy_minor(self) -> int:
        """Limit less all that is occupied, and the borrower's credit."""
        return (
            self.limit_minor
            - self.held_minor
            - self.authorized_minor
            - self.outstanding_minor
            + self.credit_minor
        )

    def owe(self, made_id: str, made_by: int) -> None:
        """Something is owed of a purchase from now on, that a record made."""
        if made_id not in self.owing:
            self.owing[made_id] = made_by
            self.owing = dict(sorted(self.owing.items(), key=lambda item: item[1]))


class Program(msgspec.Struct, gc=False):
    """One version of a product, and all that was ever split under it here.

    Purchases and charges that were paid: each is split by the shares, and each
    keeps to them over all there ever was.
    """

    program_id: str
    currency: str
    lenders: tuple[str, ...]
    shares_ppm: tuple[int, ...]
    tolerance_ppm: int
    split: Carry
    charged: Carry
    plans: dict[str, Plan]
    terms: Terms


class Merchant(msgspec.Struct, gc=False):
    """A merchant's terms in force here, and all that they have moved so far.

    `fee_parts` and `subsidy_parts` are what each party has had and each payer
    has paid under this version, of `captured_minor`.
    """

    terms: MerchantTerms
    version: int
    captured_minor: int
    fee_parts: list[int]
    subsidy_parts: list[int]


class Moved(msgspec.Struct, gc=False):
    """What one party had of a purchase's fee (or paid of its subsidy), and back."""

    taken_minor: int = 0
    back_minor: int = 0


class Before(msgspec.Struct, frozen=True, gc=False):
    """What a purchase met; lenders in order, velocity as reason, category, left."""

    free_parts: tuple[int, ...]
    split_parts: tuple[int, ...]
    velocity: tuple[tuple[str, str, int], ...]
    held_minor: int | None
    caps: tuple[tuple[str, int], ...]  # By pool, what of a cap was free.


class Declined(msgspec.Struct, frozen=True, gc=False):
    """An authorization that was declined, and what it met."""

    account_id: str
    merchant_id: str
    day: str
    requested_minor: int
    open_to_buy_minor: int
    event: e.Declined
    before: Before


class Reduction(msgspec.Struct, frozen=True, gc=False):
    """A shard's word that a pool had too little for one unit more: to be proved.

    The slice had leased `leased_minor`, and `free_minor` of it
    was free; the lender's part of one unit more would have been `part_max` at
    most.  The day is the shard's.
    """

    sequence: int
    day: str
    pool_id: str
    refusals: tuple[e.Refusal, ...]
    leased_minor: int
    free_minor: int
    part_max: int


class Purchase(msgspec.Struct, gc=False):
    """An authorization and what became of it; parts by lender, in order."""

    account_id: str
    merchant_id: str
    currency: str
    lenders: tuple[str, ...]
    terms_of: tuple[str, int]  # The program, and which version of it.
    day: str
    expires_at_ms: int
    total_minor: int
    open_minor: int
    open_parts: list[int]
    captured_parts: list[int]
    refunded_parts: list[int]
    outstanding_parts: list[int]
    captured_minor: int = 0
    refunded_minor: int = 0
    outstanding_minor: int = 0
    captured_after_refund: bool = False
    # (lender, day, the how-manieth cap of it) → what of it counts on that day.
    counted: dict[tuple[str, str, int], int] = {}
    lent_parts: list[int] = []  # What counts under a cap of the program.
    forced_minor: int = 0  # What its forced captures made the platform pay.
    fees: dict[str, Moved] = {}  # By party.
    subsidies: dict[str, Moved] = {}  # By payer.
    authorization_id: str = ""
    made_by: int = 0  # The sequence of its record.
    plan_id: str = ""
    lines: list[Line] = []
    is_single: bool = True  # One line without a number, billed and due as a whole.
    is_recut: bool = False
    borne_minor: int = 0
    borne_back_minor: int = 0
    borne_parts: list[int] = []
    borne_back_parts: list[int] = []
    fee_parts: list[int] = []  # Of paid fees, what each lender has not given back.
    category: str = ""  # Of its merchant, when it was made.
    counted_in: tuple[tuple[str, int], ...] = ()  # In which tally, and since when.
    approved_minor: int = 0  # At first, and what that left to buy.
    left_to_buy_minor: int = 0
    before: Before | None = None

    def is_done(self) -> bool:
        """Nothing of it is open or owed."""
        return not self.open_minor and not self.owes

    @property
    def owes(self) -> bool:
        """Whether anything is owed, or will be once it is billed."""
        return self.outstanding_minor != 0 or any(x.charges_minor for x in self.lines)


class Hold(msgspec.Struct, gc=False):
    """A limit hold: what it still occupies."""

    account_id: str
    currency: str
    expires_at_ms: int
    held_minor: int

    def is_done(self) -> bool:
        """It holds nothing any more."""
        return not self.held_minor


class Slice(msgspec.Struct, gc=False):
    """One lender's headroom on this shard; `free_minor` may never be negative."""

    received_minor: int = 0
    returned_minor: int = 0
    free_minor: int = 0
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    underrun_minor: int = 0  # The largest ever.
    forced_minor: int = 0  # Of what was received, in all, and not returned since.
    forced_held_minor: int = 0

    @property
    def leased_minor(self) -> int:
        """What is leased here, but for what was raised by force."""
        return self.received_minor - self.returned_minor - self.forced_held_minor


class Withheld(msgspec.Struct, frozen=True, gc=False):
    """A repayment out of a merchant's payout, in minor units."""

    account_id: str
    merchant_id: str
    currency: str
    amount_minor: int


class Table(Paged[T], Generic[T]):
    """Objects by id; what is wrong with the ids of a journal does no harm here."""

    def _is_mine(self, key: str) -> bool:
        return super()._is_mine(key) and self._has_place(key)


def always(made: object) -> bool:
    """What is asked for so seldom that it need not be in memory."""
    return True


class Books:
    """All that one shard's journal says so far, and what is wrong with it."""

    def __init__(self, journal: str, day: str) -> None:
        self.journal = journal
        self.day = day
        self.sequence = 0
        self.at_ms = 0
        self.accounts: dict[str, Account] = {}
        self.purchases = Table(Purchase, Purchase.is_done)
        self.holds = Table(Hold, Hold.is_done)
        self.payments = Table(Payment, always)
        self.adjustments = Table(Adjustment, always)
        self.command: Command | None = None  # Of the present record.
        self.today = number_of(day) or 1
        self.programs: dict[tuple[str, int], Program] = {}
        self.current_programs: dict[str, Program] = {}
        self.merchants: dict[str, Merchant] = {}
        self.slices: dict[str, Slice] = {}
        self.withheld: dict[str, Withheld] = {}  # What repaid an account, by id.
        self.facts: list[ReferenceFact] = []
        self.suspended: set[str] = set()
        self.caps: dict[str, int] = {}  # Lender → its how-manieth cap this is.
        self.caps_before: Counter[str] = Counter()
        self.program_caps: dict[tuple[str, str], str] = {}  # Of a lender → pool.
        self.forced_minor = 0  # What this shard's forced captures were raised by.
        self.declined: dict[str, Declined] = {}
        self.declined_ids: deque[str] = deque()
        self.reductions: list[Reduction] = []  # To be proved.
        self.totals = DayTotals()
        self.ended_totals = DayTotals()  # Of all days before.
        self.day_ends: dict[str, tuple[int, DayTotals]] = {}
        self.ledger: defaultdict[str, int] = defaultdict(int)
        self.differences: list[str] = []

    def shelve_in(self, shelf: Shelf, in_memory_min: int) -> None:
        """From now on what is done leaves memory by `sweep`."""
        for number, table in enumerate(self._tables):
            table.attach(shelf, number, in_memory_min)

    def sweep(self, records: int) -> None:
        """So many records later, between two of them."""
        looks = limits.OBJECTS_LOOKED_AT_MIN + 2 * records
        for table in self._tables:
            table.sweep(min(looks, limits.OBJECTS_LOOKED_AT_MAX))

    @property
    def _tables(self) -> tuple[Table[Any], ...]:
        return self.purchases, self.holds, self.payments, self.adjustments

    def program_of(self, purchase: Purchase) -> Program:
        """What a purchase was made under."""
        return self.programs[purchase.terms_of]

    def differ(self, text: str) -> None:
        """Note what is wrong with the present record."""
        self.differences.append(f"{self.journal}, record {self.sequence}: {text}")

    def post(self, booked: Sequence[Leg]) -> None:
        """Book an event's legs; they must sum to zero."""
        ledger = self.ledger
        total = 0
        for name, amount in booked:
            ledger[name] += amount
            total += amount
        if total:
            self.differ(f"its postings sum to {total}, not to zero.")

    def lender_totals(self, lender_id: str) -> LenderTotals:
        """Today's totals of a lender, begun at zero."""
        totals = self.totals.lenders.get(lender_id)
        if totals is None:
            totals = self.totals.lenders[lender_id] = LenderTotals()
        return totals

    def merchant_totals(self, merchant_id: str) -> MerchantTotals:
        """Today's totals of a merchant, begun at zero."""
        totals = self.totals.merchants.get(merchant_id)
        if totals is None:
            totals = self.totals.merchants[merchant_id] = MerchantTotals()
        return totals

    def is_split(
        self, what: str, amount: int, parts: Sequence[int], lenders: Sequence[str]
    ) -> bool:
        """Whether the parts are one a lender; wrong sums and signs are noted."""
        if len(parts) != len(lenders):
            self.differ(f"{what} has {len(parts)} parts for {len(lenders)} lenders.")
            return False
        if sum(parts) != amount:
            self.differ(f"the parts of {what} sum to {sum(parts)}, not to {amount}.")
        if min(parts) < 0:
            self.differ(f"{what} has a negative part: {list(parts)}.")
        return True

    def check_open_to_buy(self, account: Account, reported_minor: int) -> None:
        """Limit less all that is open, held and owed is what the event says."""
        self.check_limit(account)
        own_minor = account.open_to_buy_minor
        if own_minor != reported_minor:
            self.differ(
                f"it leaves account {account.account_id} {reported_minor} to buy, "
                f"by its purchases and holds it is {own_minor}."
            )

    def check_limit(self, account: Account) -> None:
        """A temporary limit counts no more in a business day after its last."""
        if account.until_day and account.until_day < self.day:
            self.differ(
                f"account {account.account_id} still has the temporary limit that "
                f"ended with {account.until_day}."
            )

    def check_made_id(self, made_id: str) -> None:
        """An id the processor makes ends in the sequence of its record."""
        if made_id[8:] != f"{self.sequence:x}":
            self.differ(f"the id {made_id} was not made by this record.")

    def spend(self, lender_id: str, amount_minor: int) -> Slice:
        """Take from what is free (or give back, when negative); note an under-run."""
        lease = self.slices.get(lender_id)
        if lease is None:
            self.differ(f"lender {lender_id} is not known to this shard.")
            lease = self.slices[lender_id] = Slice()
        lease.free_minor -= amount_minor
        short_minor = -lease.free_minor
        if amount_minor > 0 and short_minor > 0:
            lease.underrun_minor = max(lease.underrun_minor, short_minor)
            self.differ(f"the slice of lender {lender_id} is overspent {short_minor}.")
        return lease

    def count_split(
        self,
        program: Program,
        carry: Carry,
        amount: int,
        parts: Sequence[int],
        what: str = "",
    ) -> None:
        """Every lender's share of all ever split stays within one minor unit."""
        carry.total_minor += amount
        if len(parts) == 1:
            return
        split = carry.parts
        for i, share_ppm in enumerate(program.shares_ppm):
            split[i] += parts[i]
            off_ppm = split[i] * limits.PPM - share_ppm * carry.total_minor
            if abs(off_ppm) > limits.PPM:
                self.differ(
                    f"lender {program.lenders[i]} has {split[i]} of "
                    f"{carry.total_minor} {what}ever split; "
                    f"its share is {share_ppm} ppm."
                )

    def day_after(self, sequence: int) -> str:
        """The business day in force right after a record."""
        for day, (last, _) in self.day_ends.items():
            if sequence < last:
                return day
        return self.day

    def check_lends(self, lenders: Sequence[str]) -> None:
        """Nothing new is authorized for a lender that is suspended."""
        for lender_id in lenders:
            if lender_id in self.suspended:
                self.differ(f"it authorizes for {lender_id}, which is suspended.")

    def count(
        self, purchase: Purchase, lender_id: str, part: int, *, is_back: bool
    ) -> None:
        """Use the lender's daily cap, or free what of the purchase is its today's."""
        cap = self.caps.get(lender_id)
        if cap is None:
            return
        key = (lender_id, self.day, cap)
        used = purchase.counted.get(key, 0)
        change = -min(part, used) if is_back else part
        purchase.counted[key] = used + change
        lease = self.spend(daily_pool(lender_id), change)
        lease.authorized_minor += change
        leased = lease.received_minor - lease.returned_minor
        if leased != lease.free_minor + lease.authorized_minor:
            self.differ(f"the daily cap of lender {lender_id} does not add up.")

    def lend(self, purchase: Purchase, lender_id: str, part: int) -> None:
        """More of a lender's money is lent out through the program, or less."""
        program_id = purchase.terms_of[0]
        purchase.lent_parts[purchase.lenders.index(lender_id)] += part
        pool_id = self.program_caps.get((program_id, lender_id))
        if pool_id is not None:
            self.spend(pool_id, part).authorized_minor += part

    def lent_minor(self, program_id: str, lender_id: str) -> int:
        """What is lent out of a lender's money through all versions of a program."""
        return sum(
            purchase.lent_parts[purchase.lenders.index(lender_id)]
            for purchase in self.purchases.values()
            if purchase.terms_of[0] == program_id and lender_id in purchase.lenders
        )

    def pools_of(self, program: Program) -> list[str]:
        """What a purchase under a program needs: caps and reserves."""
        lenders = program.lenders
        of_program = [self.program_caps.get((program.program_id, x)) for x in lenders]
        return [
            *(pool_id for pool_id in of_program if pool_id is not None),
            *(daily_pool(lender_id) for lender_id in lenders if lender_id in self.caps),
            *lenders,
        ]

    def end_caps(self, lenders: Sequence[str]) -> None:
        """What was used of daily caps is free again."""
        for lender_id in lenders:
            lease = self.slices[daily_pool(lender_id)]
            lease.free_minor += lease.authorized_minor
            lease.authorized_minor = 0

    def bill_from_now(self, account: Account) -> None:
        """It owes something: it is billed, from the next statement day on."""
        if not account.next_statement_on:
            account.next_statement_on = next_on(self.today, account.statement_day)

    def billed_before(self, account_id: str) -> int:
        """Lines that bill before this day are billed: what is to come is not."""
        account = self.accounts.get(account_id)
        if account is None or not account.next_statement_on:
            return self.today
        return min(self.today, account.next_statement_on)

    def check_slices(self, lenders: Sequence[str]) -> None:
        """What was leased is where the slice and the ledger say it is."""
        for lender_id in lenders:
            lease = self.slices[lender_id]
            leased = lease.received_minor - lease.returned_minor
            spent = lease.captured_minor - lease.refunded_minor
            if leased != lease.free_minor + lease.authorized_minor + spent:
                self.differ(f"the slice of lender {lender_id} does not add up.")
            if is_daily(lender_id) or is_of_program(lender_id):
                continue  # A promise: nothing of it is posted.
            if (
                -self.ledger[f"lender_authorized:{lender_id}"] != lease.authorized_minor
                or self.ledger[f"lender_reserve:{lender_id}"] != spent
            ):
                self.differ(f"the slice of lender {lender_id} is not what is posted.")
