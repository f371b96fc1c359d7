"""What one shard must look like, worked out the slow and obvious way.

Everything that was accepted goes into one list of lines, and every question is
answered by adding that list up from the start.  It shares no rule with the
processor on purpose: it imports commands, events and reasons, which are words,
and must never import `rules`, `machine` or `apportion`.

Of an event it believes the names of new things and how an amount was split
over lenders, and the latter only after checking it against exact fractions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason as Reason
from processor.terms import MerchantTerms

Parts = tuple[int, ...]
Answer = dict[str, Any]
Reasons = dict[Reason, int]
Bounded = tuple[int | None, int | None, int | None]
VELOCITY = (Reason.VELOCITY_PURCHASE, Reason.VELOCITY_DAILY, Reason.VELOCITY_MONTHLY)


@dataclass(frozen=True)
class Line:
    """One movement on an account, a purchase, a hold or a lender."""

    kind: str
    key: str
    amount: int
    parts: Parts = ()
    day: str = ""
    is_counted: bool = True  # Towards daily caps and velocity limits.
    at: int = 0  # Its place among all lines.


@dataclass
class Purchase:
    """What never changes about an authorization."""

    account: str
    merchant: str
    program: str
    version: int
    expires_at_ms: int
    day: str
    reference: str
    category: str = ""


@dataclass
class Hold:
    """What never changes about a limit hold."""

    account: str
    expires_at_ms: int
    reference: str


@dataclass
class Account:
    """What an account was opened with, and its status."""

    program: str
    currency: str
    status: str = "open"
    temporary: tuple[int, str] | None = None  # A limit and its last day.
    # By category ("" for all): the bounds of a purchase, a day, a month, and the
    # first line that counts.
    velocity: dict[str, tuple[Bounded, int]] = field(default_factory=dict)


@dataclass
class Bounds:
    """How many open things an account may have."""

    holds_max: int
    authorizations_max: int


@dataclass
class NaiveShard:
    """The expected state; `judge` and `observe` check a fact and then add it."""

    day: str
    bounds: Bounds
    lines: list[Line] = field(default_factory=list)
    lines_of: dict[str, list[Line]] = field(default_factory=dict)  # By key.
    accounts: dict[str, Account] = field(default_factory=dict)
    purchases: dict[str, Purchase] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    programs: dict[str, e.ProgramRegistered] = field(default_factory=dict)
    versions: dict[tuple[str, int], e.ProgramRegistered] = field(default_factory=dict)
    merchants: dict[str, list[MerchantTerms]] = field(default_factory=dict)
    charged: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    lenders: set[str] = field(default_factory=set)
    refusals: dict[int, tuple[str, int]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    suspended: set[str] = field(default_factory=set)
    capped: dict[str, int] = field(default_factory=dict)  # Lender → lines before it.
    forced: set[str] = field(default_factory=set)
    forced_held: dict[str, int] = field(default_factory=dict)  # Not returned.
    category_of: dict[Reason, str] = field(default_factory=dict)  # Of a decline.
    now_ms: int = 0

    def learn_merchant(self, fact: e.MerchantRegistered | e.MerchantChanged) -> None:
        """Terms in force from now on; all versions are kept."""
        versions = self.merchants.setdefault(fact.merchant_id, [])
        versions.append(fact.terms or MerchantTerms())
        if isinstance(fact, e.MerchantChanged):
            assert len(versions) == fact.version

    def category(self, merchant_id: str) -> str:
        """The category a merchant has now."""
        versions = self.merchants.get(merchant_id)
        return versions[-1].category if versions else ""

    # Adding up.

    def add(
        self,
        kind: str,
        key: str,
        amount: int,
        parts: Parts = (),
        is_counted: bool = True,
    ) -> None:
        """Write one line, if it moves anything."""
        if amount:
            line = Line(kind, key, amount, parts, self.day, is_counted, len(self.lines))
            self.lines.append(line)
            self.lines_of.setdefault(key, []).append(line)

    def total(self, kind: str, key: str) -> int:
        return sum(x.amount for x in self.lines_of.get(key, ()) if x.kind == kind)

    def parts(self, kind: str, purchase_id: str) -> Parts:
        zero = (0,) * len(self.program_of(purchase_id).shares)
        lines = self.lines_of.get(purchase_id, ())
        return added(zero, *(x.parts for x in lines if x.kind == kind))

    def program_of(self, purchase_id: str) -> e.ProgramRegistered:
        purchase = self.purchases[purchase_id]
        return self.versions[purchase.program, purchase.version]

    def open_of(self, purchase_id: str) -> int:
        gone = self.total("capture", purchase_id) + self.total("back", purchase_id)
        return self.total("authorize", purchase_id) - gone

    def open_parts(self, purchase_id: str) -> Parts:
        gone = added(
            self.parts("capture", purchase_id), self.parts("back", purchase_id)
        )
        return taken_off(self.parts("authorize", purchase_id), gone)

    def owed_of(self, purchase_id: str) -> int:
        less = self.total("pay", purchase_id) + self.total("forgive", purchase_id)
        return self.total("capture", purchase_id) - less

    def owed_parts(self, purchase_id: str) -> Parts:
        less = added(self.parts("pay", purchase_id), self.parts("forgive", purchase_id))
        return taken_off(self.parts("capture", purchase_id), less)

    def purchases_of(self, account_id: str) -> list[str]:
        return [k for k, p in self.purchases.items() if p.account == account_id]

    def holds_of(self, account_id: str) -> list[str]:
        return [k for k, h in self.holds.items() if h.account == account_id]

    def held(self, account_id: str) -> int:
        return sum(self.total("hold", k) for k in self.holds_of(account_id))

    def authorized(self, account_id: str) -> int:
        return sum(self.open_of(k) for k in self.purchases_of(account_id))

    def outstanding(self, account_id: str) -> int:
        return sum(self.owed_of(k) for k in self.purchases_of(account_id))

    def credit(self, account_id: str) -> int:
        return self.total("credit", account_id)

    def limit(self, account_id: str) -> int:
        account = self.accounts.get(account_id)
        temporary = account.temporary if account is not None else None
        if temporary is not None and self.day <= temporary[1]:
            return temporary[0]
        return self.ordinary_limit(account_id)

    def ordinary_limit(self, account_id: str) -> int:
        return self.total("limit", account_id)

    def account_of(self, command: c.Command) -> str:
        """The account a command is about, by whatever name it calls it."""
        name: str = getattr(command, command.ROUTED_BY)
        if name in self.purchases:
            return self.purchases[name].account
        return self.holds[name].account if name in self.holds else name

    def run_out(self) -> list[str]:
        """Whose temporary limit counts no more, though nobody has said so yet."""
        return [
            name
            for name, account in self.accounts.items()
            if account.temporary is not None and account.temporary[1] < self.day
        ]

    def open_to_buy(self, account_id: str) -> int:
        occupied = self.held(account_id) + self.authorized(account_id)
        occupied += self.outstanding(account_id)
        return self.limit(account_id) - occupied + self.credit(account_id)

    def open_holds(self, account_id: str) -> list[str]:
        return [k for k in self.holds_of(account_id) if self.total("hold", k)]

    def open_purchases(self, account_id: str) -> list[str]:
        return [k for k in self.purchases_of(account_id) if self.open_of(k)]

    def unpaid(self, account_id: str) -> list[str]:
        """The purchases with debt, in the order in which they were made."""
        mine = set(self.purchases_of(account_id))
        owed = dict.fromkeys(mine, 0)
        order: list[str] = []
        for line in self.lines:
            if line.key not in mine or line.kind not in ("capture", "pay", "forgive"):
                continue
            if line.kind == "capture" and not owed[line.key]:
                order.append(line.key)
            owed[line.key] += line.amount if line.kind == "capture" else -line.amount
            if not owed[line.key]:
                order.remove(line.key)
        return [key for key in self.purchases if key in order]

    def of_lender(self, kind: str, lender_id: str, day: str = "") -> int:
        """What moved of one kind for one lender, over all purchases."""
        total = 0
        for line in self.lines:
            if line.kind != kind or day not in ("", line.day):
                continue
            if line.key == lender_id:
                total += line.amount
            elif line.key in self.purchases:
                shares = self.program_of(line.key).shares
                for share, part in zip(shares, line.parts, strict=True):
                    total += part if share.lender_id == lender_id else 0
        return total

    def authorized_of_lender(self, lender_id: str) -> int:
        gone = self.of_lender("capture", lender_id) + self.of_lender("back", lender_id)
        return self.of_lender("authorize", lender_id) - gone

    def used_of_lender(self, lender_id: str) -> int:
        """What is committed: authorized and captured, less what was refunded."""
        back = self.of_lender("back", lender_id) + self.of_lender("refund", lender_id)
        return self.of_lender("authorize", lender_id) - back

    def free(self, pool_id: str) -> int:
        leased = self.of_lender("receive", pool_id)
        leased -= self.of_lender("return", pool_id)
        if pool_id.startswith("daily/"):
            return leased - self.used_today(pool_id.removeprefix("daily/"))
        return leased - self.used_of_lender(pool_id)

    def set_cap(self, fact: e.DailyCapSet) -> None:
        """A cap counts what is authorized from the moment it is there."""
        if fact.daily_cap_minor is None:
            self.capped.pop(fact.lender_id, None)
        else:
            self.capped.setdefault(fact.lender_id, len(self.lines))

    def used_today(self, lender_id: str) -> int:
        """What a cap has counted: less what went back of the same purchase."""
        if lender_id not in self.capped:
            return 0
        used: dict[str, int] = {}
        for line in self.lines[self.capped[lender_id] :]:
            if line.day != self.day or line.kind not in ("authorize", "back"):
                continue
            shares = self.program_of(line.key).shares
            for share, part in zip(shares, line.parts, strict=True):
                if share.lender_id != lender_id:
                    continue
                before = used.get(line.key, 0)
                if line.kind == "back":
                    used[line.key] = max(0, before - part)
                elif line.is_counted:
                    used[line.key] = before + part
        return sum(used.values())

    def is_for(self, command: c.ForceCapture) -> bool:
        """Whether it names an open purchase of the account at the merchant."""
        purchase = self.purchases.get(command.authorization_id)
        return (
            purchase is not None
            and self.open_of(command.authorization_id) > 0
            and purchase.account == command.account_id
            and purchase.merchant == command.merchant_id
        )

    def split_so_far(self, program_id: str, version: int) -> Parts:
        """What each lender was given of all that was ever split."""
        mine = [
            key
            for key, purchase in self.purchases.items()
            if (purchase.program, purchase.version) == (program_id, version)
        ]
        zero = (0,) * len(self.versions[program_id, version].shares)
        return added(zero, *(self.parts("authorize", key) for key in mine))

    # Why not.

    def reasons(self, command: c.Command) -> Reasons:
        """Every reason that applies, in any order, and what is missing."""
        self.category_of.clear()
        found: Reasons = getattr(self, f"why_not_{command.wire_name()}")(command)
        return found

    def why_not_status(self, account_id: str) -> Reasons:
        status = self.accounts[account_id].status
        found: Reasons = {}
        if status == "closed":
            found[Reason.ACCOUNT_CLOSED] = 0
        if status == "frozen":
            found[Reason.ACCOUNT_FROZEN] = 0
        return found

    def why_not_limit(self, account_id: str, amount: int) -> Reasons:
        missing = amount - self.open_to_buy(account_id)
        return {Reason.CREDIT_LIMIT_EXCEEDED: missing} if missing > 0 else {}

    def why_not_velocity(
        self, account_id: str, category: str, amount: int, standing: int = 0
    ) -> Reasons:
        """What exceeds a bound for all merchants, or else one for the category."""
        found: Reasons = {}
        velocity = self.accounts[account_id].velocity
        for name in dict.fromkeys(("", category)):
            if name not in velocity:
                continue
            bounds, first = velocity[name]
            used = (standing, *self.velocity_used(account_id, name, first))
            for reason, bound, so_far in zip(VELOCITY, bounds, used, strict=True):
                missing = 0 if bound is None else so_far + amount - bound
                if missing > 0 and reason not in found:
                    found[reason] = missing
                    self.category_of[reason] = name
        return found

    def rooms(self, account_id: str, merchant_id: str) -> list[tuple[str, str, int]]:
        """What each bound leaves to a purchase, with its name and category."""
        velocity = self.accounts[account_id].velocity
        left = []
        for name in dict.fromkeys(("", self.category(merchant_id))):
            if name in velocity:
                bounds, first = velocity[name]
                used = (0, *self.velocity_used(account_id, name, first))
                left += [
                    (i, name, bound - used[i])
                    for i, bound in enumerate(bounds)
                    if bound is not None
                ]
        found = [(VELOCITY[i].value, name, room) for i, name, room in sorted(left)]
        return [*found, ("limit", "", self.open_to_buy(account_id))]

    def velocity_used(
        self, account_id: str, category: str, first: int
    ) -> tuple[int, int]:
        """Today's and this month's approved lines, less what went back."""
        today, month = 0, 0
        for key in self.purchases_of(account_id):
            purchase = self.purchases[key]
            if category not in ("", purchase.category):
                continue
            is_counted = self.lines_of[key][0].at >= first
            for line in self.lines_of[key]:
                if line.kind == "authorize" and line.at >= first:
                    amount = line.amount if line.is_counted else 0
                    day = line.day
                elif line.kind == "back" and is_counted:
                    amount, day = -line.amount, purchase.day
                else:
                    continue
                today += amount if day == self.day else 0
                month += amount if day[:7] == self.day[:7] else 0
        return today, month

    def why_not_growth(self, key: str, amount: int) -> Reasons:
        purchase = self.purchases[key]
        standing = self.total("authorize", key) - self.total("back", key)
        return self.why_not_velocity(
            purchase.account, purchase.category, amount, standing
        )

    def why_not_set_velocity(self, command: c.SetVelocity) -> Reasons:
        found = self.why_not_change_limit(c.ChangeLimit("", "", command.account_id, 0))
        names = [limits.category for limits in command.categories]
        is_repeated = len({"", *names}) <= len(names)  # "" is all of them.
        if command.account_id in self.accounts and is_repeated:
            found[Reason.CATEGORY_REPEATED] = 0
        return found

    def why_not_one_more(self, account_id: str) -> Reasons:
        if len(self.open_purchases(account_id)) >= self.bounds.authorizations_max:
            return {Reason.TOO_MANY_AUTHORIZATIONS: 0}
        return {}

    def why_not_lent(self, program: e.ProgramRegistered) -> Reasons:
        lenders = {share.lender_id for share in program.shares}
        return {Reason.LENDER_SUSPENDED: 0} if lenders & self.suspended else {}

    def program_of_account(self, account_id: str) -> e.ProgramRegistered:
        return self.programs[self.accounts[account_id].program]

    def why_not_force_capture(self, command: c.ForceCapture) -> Reasons:
        found: Reasons = {}
        if command.merchant_id not in self.merchants:
            found[Reason.MERCHANT_NOT_FOUND] = 0
        account = self.accounts.get(command.account_id)
        if account is None:
            return found | {Reason.ACCOUNT_NOT_FOUND: 0}
        if account.currency != command.currency:
            found[Reason.CURRENCY_MISMATCH] = 0
        if account.status == "closed":
            found[Reason.ACCOUNT_CLOSED] = 0
        return found

    def why_not_open_account(self, command: c.OpenAccount) -> Reasons:
        found: Reasons = {}
        program = self.programs.get(command.program_id)
        if program is None:
            found[Reason.PROGRAM_NOT_FOUND] = 0
        elif program.currency != command.currency:
            found[Reason.CURRENCY_MISMATCH] = 0
        if command.account_id in self.accounts:
            found[Reason.ACCOUNT_EXISTS] = 0
        return found

    def why_not_change_limit(self, command: c.ChangeLimit) -> Reasons:
        if command.account_id not in self.accounts:
            return {Reason.ACCOUNT_NOT_FOUND: 0}
        found = self.why_not_status(command.account_id)
        found.pop(Reason.ACCOUNT_FROZEN, None)  # A frozen account has a limit too.
        return found

    def why_not_set_temporary_limit(self, command: c.SetTemporaryLimit) -> Reasons:
        found = self.why_not_change_limit(c.ChangeLimit("", "", command.account_id, 0))
        if command.until_day < self.day:
            found[Reason.UNTIL_DAY_PAST] = 0
        return found

    def why_not_freeze_account(self, command: c.FreezeAccount) -> Reasons:
        if command.account_id not in self.accounts:
            return {Reason.ACCOUNT_NOT_FOUND: 0}
        return self.why_not_status(command.account_id)

    def why_not_unfreeze_account(self, command: c.UnfreezeAccount) -> Reasons:
        if command.account_id not in self.accounts:
            return {Reason.ACCOUNT_NOT_FOUND: 0}
        found = self.why_not_status(command.account_id)
        if found.pop(Reason.ACCOUNT_FROZEN, None) is None:
            found[Reason.ACCOUNT_NOT_FROZEN] = 0
        return found

    def why_not_close_account(self, command: c.CloseAccount) -> Reasons:
        found = self.why_not_change_limit(c.ChangeLimit("", "", command.account_id, 0))
        account_id = command.account_id
        if account_id in self.accounts and (
            self.open_holds(account_id)
            or self.open_purchases(account_id)
            or self.unpaid(account_id)
            or self.credit(account_id)
        ):
            found[Reason.ACCOUNT_IN_USE] = 0
        return found

    def why_not_authorize(self, command: c.Authorize) -> Reasons:
        found: Reasons = {}
        if command.merchant_id not in self.merchants:
            found[Reason.MERCHANT_NOT_FOUND] = 0
        account = self.accounts.get(command.account_id)
        if account is None:
            return found | {Reason.ACCOUNT_NOT_FOUND: 0}
        if account.currency != command.currency:
            found[Reason.CURRENCY_MISMATCH] = 0
        found |= self.why_not_status(command.account_id)
        found |= self.why_not_one_more(command.account_id)
        # Of a wish that may be met in part it matters whether one unit fits.
        amount = 1 if command.partial else command.amount_minor
        category = self.category(command.merchant_id)
        short = self.why_not_velocity(command.account_id, category, amount)
        short |= self.why_not_limit(command.account_id, amount)
        missing = command.amount_minor - amount
        found |= self.why_not_lent(self.program_of_account(command.account_id))
        return found | {reason: missing + least for reason, least in short.items()}

    def why_not_increment_authorization(
        self, command: c.IncrementAuthorization
    ) -> Reasons:
        purchase = self.purchases.get(command.authorization_id)
        if purchase is None:
            return {Reason.AUTHORIZATION_NOT_FOUND: 0}
        found = self.why_not_status(purchase.account)
        if not self.open_of(command.authorization_id):
            found[Reason.AUTHORIZATION_NOT_OPEN] = 0
        found |= self.why_not_lent(self.program_of(command.authorization_id))
        found |= self.why_not_growth(command.authorization_id, command.amount_minor)
        return found | self.why_not_limit(purchase.account, command.amount_minor)

    def why_not_capture_authorization(self, command: c.CaptureAuthorization) -> Reasons:
        key = command.authorization_id
        purchase = self.purchases.get(key)
        if purchase is None:
            return {Reason.AUTHORIZATION_NOT_FOUND: 0}
        is_open = self.open_of(key)
        found: Reasons = {} if is_open else {Reason.AUTHORIZATION_NOT_OPEN: 0}
        extra = (command.amount_minor or is_open) - is_open
        if extra > 0:
            # What was given back is not authorized any more.
            standing = self.total("authorize", key) - self.total("back", key)
            ppm = self.program_of(key).capture_tolerance_ppm
            if extra > Fraction(standing * ppm, 1_000_000):
                found[Reason.CAPTURE_EXCEEDS_AUTHORIZED] = extra
            found |= self.why_not_growth(key, extra)
            found |= self.why_not_limit(purchase.account, extra)
            found |= self.why_not_lent(self.program_of(key))
        return found

    def why_not_reverse_authorization(self, command: c.ReverseAuthorization) -> Reasons:
        if command.authorization_id not in self.purchases:
            return {Reason.AUTHORIZATION_NOT_FOUND: 0}
        is_open = self.open_of(command.authorization_id)
        found: Reasons = {} if is_open else {Reason.AUTHORIZATION_NOT_OPEN: 0}
        if (command.amount_minor or 0) > is_open:
            missing = (command.amount_minor or 0) - is_open
            found[Reason.REVERSAL_EXCEEDS_OPEN] = missing
        return found

    def why_not_refund(self, command: c.Refund) -> Reasons:
        key = command.authorization_id
        if key not in self.purchases:
            return {Reason.AUTHORIZATION_NOT_FOUND: 0}
        captured = self.total("capture", key)
        left = captured - self.total("refund", key)
        found: Reasons = {} if captured else {Reason.AUTHORIZATION_NOT_CAPTURED: 0}
        amount = command.amount_minor or left
        if amount > left or not left:
            found[Reason.REFUND_EXCEEDS_CAPTURED] = amount - left
        return found

    def why_not_place_hold(self, command: c.PlaceHold) -> Reasons:
        account = self.accounts.get(command.account_id)
        if account is None:
            return {Reason.ACCOUNT_NOT_FOUND: 0}
        found = self.why_not_status(command.account_id)
        if account.currency != command.currency:
            found[Reason.CURRENCY_MISMATCH] = 0
        if len(self.open_holds(command.account_id)) >= self.bounds.holds_max:
            found[Reason.TOO_MANY_HOLDS] = 0
        return found | self.why_not_limit(command.account_id, command.amount_minor)

    def why_not_increase_hold(self, command: c.IncreaseHold) -> Reasons:
        hold = self.holds.get(command.hold_id)
        if hold is None:
            return {Reason.HOLD_NOT_FOUND: 0}
        found = self.why_not_status(hold.account)
        if not self.total("hold", command.hold_id):
            found[Reason.HOLD_NOT_OPEN] = 0
        return found | self.why_not_limit(hold.account, command.amount_minor)

    def why_not_release_hold(self, command: c.ReleaseHold) -> Reasons:
        if command.hold_id not in self.holds:
            return {Reason.HOLD_NOT_FOUND: 0}
        held = self.total("hold", command.hold_id)
        found: Reasons = {} if held else {Reason.HOLD_NOT_OPEN: 0}
        if (command.amount_minor or 0) > held:
            found[Reason.RELEASE_EXCEEDS_HELD] = (command.amount_minor or 0) - held
        return found

    def why_not_convert_hold(self, command: c.ConvertHold) -> Reasons:
        found: Reasons = {}
        if command.merchant_id not in self.merchants:
            found[Reason.MERCHANT_NOT_FOUND] = 0
        hold = self.holds.get(command.hold_id)
        if hold is None:
            return found | {Reason.HOLD_NOT_FOUND: 0}
        found |= self.why_not_status(hold.account)
        held = self.total("hold", command.hold_id)
        if not held:
            found[Reason.HOLD_NOT_OPEN] = 0
        if (command.amount_minor or 0) > held:
            found[Reason.CONVERSION_EXCEEDS_HELD] = (command.amount_minor or 0) - held
        found |= self.why_not_lent(self.program_of_account(hold.account))
        found |= self.why_not_velocity(
            hold.account,
            self.category(command.merchant_id),
            command.amount_minor or held,
        )
        return found | self.why_not_one_more(hold.account)

    def why_not_repay(self, command: c.Repay) -> Reasons:
        account = self.accounts.get(command.account_id)
        if account is None:
            return {Reason.ACCOUNT_NOT_FOUND: 0}
        found = self.why_not_status(command.account_id)
        found.pop(Reason.ACCOUNT_FROZEN, None)  # Money in is always welcome.
        if account.currency != command.currency:
            found[Reason.CURRENCY_MISMATCH] = 0
        return found


# Small sums.


def added(first: Parts, *others: Parts) -> Parts:
    for other in others:
        first = tuple(a + b for a, b in zip(first, other, strict=True))
    return first


def taken_off(first: Parts, other: Parts) -> Parts:
    return tuple(a - b for a, b in zip(first, other, strict=True))


def first_of(reasons: Iterable[Reason]) -> Reason:
    """The one to report: the earliest member of the enumeration."""
    return min(reasons, key=list(Reason).index)


def check_split(
    weights: Sequence[int], before: Parts, parts: Parts, amount: int
) -> None:
    """The parts sum up, none is negative, and all are within a unit for ever."""
    assert amount == sum(parts)
    assert min(parts) >= 0
    reached = sum(before) + amount
    for weight, given in zip(weights, added(before, parts), strict=True):
        assert abs(given - Fraction(weight * reached, sum(weights))) < 1


def check_draw(
    stock: Parts, gone: Parts, parts: Parts, amount: int, is_steady: bool
) -> None:
    """As for a split, and never more than the stock; steady: it never grew."""
    assert amount == sum(parts)
    assert min(parts) >= 0
    assert min(taken_off(stock, added(gone, parts))) >= 0
    if amount and is_steady:
        check_split(stock, gone, parts, amount)
