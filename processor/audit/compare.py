"""The audit's model beside a shard's state: object by object, no difference.

The state is what `machine.apply` makes of the same journal, or what a living
shard has in memory.  Two calculations that agree on every account, every
purchase and every slice are unlikely to be wrong in the same way.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from processor.audit.books import (
    Account,
    Before,
    Books,
    Declined,
    Hold,
    Purchase,
    Slice,
)
from processor.audit.lines import Adjustment, Line, Payment
from processor.audit.merchants import ChargeFigures, charge_of
from processor.audit.reserve import differing_totals
from processor.audit.settlement import SettlementAudit
from processor.audit.shard import ShardAudit
from processor.paged import sequence_of
from processor.settlement_state import SettlementState
from processor.state import (
    NEVER,
    AccountVelocity,
    Debt,
    DeclinedAuthorization,
    Explained,
    ShardState,
)
from processor.state import Account as AccountState
from processor.state import Adjustment as AdjustmentState
from processor.state import Authorization as AuthorizationState
from processor.state import Hold as HoldState
from processor.state import Line as LineState
from processor.state import Payment as PaymentState
from processor.state import Slice as SliceState
from processor.terms import Velocity

Figures = tuple[tuple[str, object, object], ...]  # Name, the audit's, the state's.
Own = TypeVar("Own")
Theirs = TypeVar("Theirs")
Velocities = dict[str, tuple[Velocity, int, int]]  # Used in the day, the month.


def compare_with_state(model: ShardAudit, state: ShardState) -> list[str]:
    """Every difference between the audit of a shard and its state."""
    books = model.books
    differences = [
        *_missing("account", books.accounts, state.accounts),
        *_missing("declined authorization", books.declined, state.declined),
        *_missing("slice", books.slices, state.slices),
        *_differing("the shard", _shard(books, state)),
        *_compared("authorization", books.purchases, state.authorizations, _purchase),
        *_compared("hold", books.holds, state.holds, _hold),
        *_compared("payment", books.payments, state.payments, _payment),
        *_compared("adjustment", books.adjustments, state.adjustments, _adjustment),
    ]
    for account_id in books.accounts.keys() & state.accounts.keys():
        figures = _account(
            books.accounts[account_id], state.accounts[account_id], books.day
        )
        differences += _differing(f"account {account_id}", figures)
    for made_id in books.declined.keys() & state.declined.keys():
        figures = _declined(books.declined[made_id], state.declined[made_id])
        differences += _differing(f"declined authorization {made_id}", figures)
    for lender_id in books.slices.keys() & state.slices.keys():
        figures = _slice(books.slices[lender_id], state.slices[lender_id])
        differences += _differing(f"the slice of {lender_id}", figures)
    differences += [
        f"the open day has {text}."
        for text in differing_totals(state.totals, books.totals)
    ]
    return [f"{books.journal}, audit and state: {text}" for text in differences]


def _compared(
    what: str,
    own: Mapping[str, Own],
    theirs: Mapping[str, Theirs],
    figures: Callable[[Own, Theirs], Figures],
) -> Iterator[str]:
    """Both side by side, as they were made; none of them has to be in memory."""
    mine, others = iter(own.items()), iter(theirs.items())
    one, other = next(mine, None), next(others, None)
    while one is not None or other is not None:
        if other is None or (one is not None and _place(one[0]) < _place(other[0])):
            assert one is not None
            yield f"{what} {one[0]} is missing in the state."
            one = next(mine, None)
        elif one is None or _place(other[0]) < _place(one[0]):
            yield f"{what} {other[0]} is in the state alone."
            other = next(others, None)
        else:
            yield from _differing(f"{what} {one[0]}", figures(one[1], other[1]))
            one, other = next(mine, None), next(others, None)


def _place(made_id: str) -> tuple[int, str]:
    return sequence_of(made_id), made_id


def _missing(
    what: str, own: Mapping[str, object], theirs: Mapping[str, object]
) -> Iterator[str]:
    for name in sorted(own.keys() - theirs.keys()):
        yield f"{what} {name} is missing in the state."
    for name in sorted(theirs.keys() - own.keys()):
        yield f"{what} {name} is in the state alone."


def _differing(what: str, figures: Figures) -> Iterator[str]:
    for name, own, theirs in figures:
        if own != theirs:
            yield f"{what} has {name} {own} by the audit, {theirs} in the state."


def _shard(books: Books, state: ShardState) -> Figures:
    forced = {
        made_id: purchase.forced_minor
        for made_id, purchase in books.purchases.items()
        if purchase.forced_minor
    }
    return (
        ("sequence", books.sequence, state.sequence),
        ("day", books.day, state.day),
        ("reference version", len(books.facts), state.reference_version),
        ("suspended lenders", books.suspended, set(state.suspended)),
        ("daily caps", set(books.caps), set(state.daily_caps)),
        ("caps by program", books.program_caps, _program_caps(state)),
        (
            "forced advances",
            forced,
            {
                made_id: x.lender_advance_minor
                for made_id, x in state.forced.items()
                if x.lender_advance_minor
            },
        ),
        (
            "forced headroom",
            {
                lender_id: lease.forced_held_minor
                for lender_id, lease in books.slices.items()
                if lease.forced_held_minor
            },
            state.forced_held,
        ),
        ("withholdings", sorted(books.withheld), sorted(state.withholdings)),
        (
            "temporary limits",
            {x.account_id: x.until_day for x in books.accounts.values() if x.until_day},
            state.temporary_limits,
        ),
    )


def _program_caps(state: ShardState) -> dict[tuple[str, str], str]:
    return {
        (program_id, lender_id): pool_id
        for program_id, caps in state.program_caps.items()
        for lender_id, pool_id in caps.items()
    }


def _account(own: Account, state: AccountState, day: str) -> Figures:
    return (
        ("status", own.status, state.status.value),
        ("limit", own.limit_minor, state.limit_minor),
        (
            "ordinary limit",
            own.ordinary_limit_minor if own.until_day else None,
            state.ordinary_limit_minor,
        ),
        ("held", own.held_minor, state.held_minor),
        ("authorized", own.authorized_minor, state.authorized_minor),
        ("outstanding", own.outstanding_minor, state.outstanding_minor),
        ("credit", own.credit_minor, state.credit_minor),
        ("open to buy", own.open_to_buy_minor, state.open_to_buy_minor),
        ("charges", own.charges_minor, state.charges_minor),
        ("written off", own.written_off_minor, state.written_off_minor),
        ("lost", (own.own_loss_minor, own.lost), _lost(state)),
        ("unpaid", list(own.owing), state.unpaid or []),
        ("velocity", _tallies(own, day), _meters(state.velocity, day)),
        *_debt(own, state),
    )


def _debt(own: Account, state: AccountState) -> Figures:
    """When it is billed next, and what is to be paid of the last statement."""
    debt = state.debt
    if debt is None:
        return (("next statement", own.next_statement_on, 0),)
    next_on = 0 if state.wakes_on == NEVER else debt.next_statement_on
    return (
        ("next statement", own.next_statement_on, next_on),
        ("minimum left", own.minimum_left_minor, debt.minimum_left_minor),
        ("overdrawn", own.overdrawn, _overdrawn(debt)),
    )


def _overdrawn(debt: Debt) -> dict[int, int]:
    by_due_day: Counter[int] = Counter()
    for part in debt.overdrawn:
        by_due_day[part.due_on] += part.amount_minor
    return dict(by_due_day)


def _lost(state: AccountState) -> tuple[int, dict[str, int]]:
    lost = state.lost
    if lost is None:
        return 0, {}
    return lost.platform_minor, lost.lenders


def _tallies(own: Account, day: str) -> Velocities:
    return {
        name: (tally.bounds, tally.minor.get(day, 0), tally.minor.get(day[:7], 0))
        for name, tally in own.tallies.items()
    }


def _meters(velocity: AccountVelocity | None, day: str) -> Velocities:
    if velocity is None:
        return {}
    return {
        name: (
            meter.bounds,
            meter.day_minor if meter.day == day else 0,
            meter.month_minor if meter.day[:7] == day[:7] else 0,
        )
        for name, meter in {"": velocity.overall, **velocity.categories}.items()
    }


def _purchase(own: Purchase, state: AuthorizationState) -> Figures:
    return (
        ("account", own.account_id, state.account_id),
        ("merchant", own.merchant_id, state.merchant_id),
        ("day", own.day, state.purchase_day),
        ("total", own.total_minor, state.total_minor),
        ("open", own.open_minor, state.open_minor),
        ("captured", own.captured_minor, state.captured_minor),
        ("refunded", own.refunded_minor, state.refunded_minor),
        ("outstanding", own.outstanding_minor, state.outstanding_minor),
        ("captured parts", tuple(own.captured_parts), state.captured_parts),
        ("refunded parts", tuple(own.refunded_parts), state.refunded_parts),
        ("outstanding parts", tuple(own.outstanding_parts), state.outstanding_parts),
        ("plan", own.plan_id, state.plan_id),
        ("borne", own.borne_minor, state.borne_minor),
        ("borne back", own.borne_back_minor, state.borne_back_minor),
        ("borne parts", tuple(own.borne_parts), state.borne_parts),
        (
            "borne back parts",
            tuple(own.borne_back_parts),
            state.borne_back_parts or (0,) * len(state.borne_parts),
        ),
        ("fees of lenders", tuple(own.fee_parts), state.fee_parts),
        ("lines", _own_lines(own), _state_lines(state)),
        ("charge", charge_of(own), _charge(state)),
        (
            "decision",
            (own.approved_minor, own.left_to_buy_minor, own.before),
            _decision(state.explained),
        ),
    )


def _charge(state: AuthorizationState) -> ChargeFigures:
    charge = state.charge
    if charge is None:
        return {}, {}
    fees = zip(charge.fee_parts, charge.fee_back_parts, strict=True)
    subsidies = zip(charge.subsidy_parts, charge.subsidy_back_parts, strict=True)
    return (
        dict(zip(charge.parties, fees, strict=True)),
        dict(zip(charge.payers, subsidies, strict=True)),
    )


def _own_lines(own: Purchase) -> list[tuple[int, ...]]:
    return [] if own.is_single else [_own_line(line) for line in own.lines]


def _own_line(line: Line) -> tuple[int, ...]:
    unpaid = tuple(line.left(component) for component in range(4))
    return (line.bills_on, line.due_on, *unpaid, *line.paid, line.penalty_through_on)


def _state_lines(state: AuthorizationState) -> list[tuple[int, ...]]:
    """The same of the state's lines; none for a purchase that needs none."""
    return [_state_line(line) for line in state.lines or ()]


def _state_line(line: LineState) -> tuple[int, ...]:
    return (
        line.bills_on,
        line.due_on,
        line.penalty_minor - line.penalty_paid_minor,
        line.interest_minor - line.interest_paid_minor,
        line.fee_minor,
        line.principal_minor,
        line.penalty_paid_minor,
        line.interest_paid_minor,
        line.fee_paid_minor,
        line.paid_minor,
        line.penalty_through_on,
    )


def _payment(own: Payment, state: PaymentState) -> Figures:
    return (
        ("kind", own.kind, state.kind.value),
        ("status", own.status, state.status.value),
        ("account", own.account_id, state.account_id),
        ("amount", own.amount_minor, state.amount_minor),
        ("credit", own.credit_minor, state.credit_minor),
    )


def _adjustment(own: Adjustment, state: AdjustmentState) -> Figures:
    is_debit = state.side.value == "debit"
    return (
        ("status", own.status, state.status.value),
        ("account", own.account_id, state.account_id),
        ("proposer", own.proposed_by, state.proposed_by),
        (
            "amount",
            own.credit_minor,
            -state.amount_minor if is_debit else state.amount_minor,
        ),
    )


def _declined(own: Declined, state: DeclinedAuthorization) -> Figures:
    more = state.explained[4]
    requested_minor = 0 if more is None else more.requested_minor
    return (
        ("account", own.account_id, state.account_id),
        ("merchant", own.merchant_id, state.merchant_id),
        ("day", own.day, state.day),
        ("requested", own.requested_minor, requested_minor),
        ("left to buy", own.open_to_buy_minor, state.explained[1]),
        ("decline", own.event, state.event),
        ("decision", own.before, _before(state.explained)),
    )


def _decision(explained: Explained | None) -> tuple[int, int, Before | None]:
    """What was approved, what that left to buy, and what it met."""
    if explained is None:
        return 0, 0, None
    return explained[0], explained[1], _before(explained)


def _before(explained: Explained) -> Before:
    _, _, free_parts, split_parts, more = explained
    velocity = () if more is None else more.velocity
    return Before(
        free_parts,
        split_parts,
        tuple((left.reason.value, left.category, left.left_minor) for left in velocity),
        None if more is None else more.held_minor,
        () if more is None else more.caps,
    )


def _hold(own: Hold, state: HoldState) -> Figures:
    return (
        ("account", own.account_id, state.account_id),
        ("held", own.held_minor, state.held_minor),
    )


def _slice(own: Slice, state: SliceState) -> Figures:
    return (
        ("received", own.received_minor, state.received_minor),
        ("returned", own.returned_minor, state.returned_minor),
        ("free", own.free_minor, state.free_minor),
        ("authorized", own.authorized_minor, state.authorized_minor),
        ("captured", own.captured_minor, state.captured_minor),
        ("refunded", own.refunded_minor, state.refunded_minor),
    )


def compare_with_settlement(
    model: SettlementAudit, state: SettlementState
) -> list[str]:
    """Every difference between the audit of settlement and its state."""
    differences = [
        *_missing("lender", model.lenders, state.lenders),
        *_missing("business day", model.days, state.days),
        *_differing("settlement", _settlement(model, state)),
    ]
    for lender_id in model.lenders.keys() & state.lenders.keys():
        own, theirs = model.lenders[lender_id], state.lenders[lender_id]
        figures = (
            ("deposit", own.deposit_minor, theirs.deposit_minor),
            ("advance line", own.advance_line_minor, theirs.advance_line_minor),
            ("forced", own.forced_minor, theirs.forced_minor),
            ("spent on closed days", own.spent_minor, theirs.spent_minor),
            ("daily cap", own.daily_cap_minor, theirs.daily_cap_minor),
            ("suspension", own.is_suspended, theirs.is_suspended),
            ("unleased", own.unleased_minor, theirs.unleased_minor),
            ("leased", own.leased_minor, theirs.leased_minor),
        )
        differences += _differing(f"lender {lender_id}", figures)
    for pool_id in model.caps.keys() & state.daily_caps.keys():
        cap, kept = model.caps[pool_id], state.daily_caps[pool_id]
        differences += _differing(
            f"pool {pool_id}",
            (
                ("whole", cap.whole_minor, kept.whole_minor),
                ("unleased", cap.unleased_minor, kept.unleased_minor),
            ),
        )
    for day in model.days.keys() & state.days.keys():
        differences += [
            f"{day} has {text}."
            for text in differing_totals(state.days[day].totals, model.days[day].totals)
        ]
    return [f"settlement, audit and state: {text}" for text in differences]


def _settlement(model: SettlementAudit, state: SettlementState) -> Figures:
    return (
        ("sequence", model.sequence, state.sequence),
        ("day", model.day, state.day),
        ("refusals", len(model.certificates), state.refusals),
        ("reference data", model.facts, state.reference),
        ("merchants", len(model.merchants), len(state.merchants)),
        ("pools", set(model.caps), set(state.daily_caps)),
        (
            "caps by program",
            {
                pool_id: (
                    model.program_pools[pool_id].cap_minor,
                    model.program_pools[pool_id].unleased_minor,
                    model.program_pools[pool_id].is_covered,
                )
                for pool_id in model.program_caps.values()
            },
            {
                pool_id: (cap.cap_minor, cap.unleased_minor, cap.is_covered)
                for pool_id, cap in state.program_pools.items()
            },
        ),
        (
            "funds movements",
            {name: movement.status for name, movement in model.movements.items()},
            {name: x.status.value for name, x in state.movements.items()},
        ),
        ("payables", model.payouts.payables(), _payables(state)),
        ("released", len(model.payouts.released_ids), _released(state)),
    )


def _payables(state: SettlementState) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (merchant_id, currency): (payable.closed_minor, payable.withheld_minor)
        for merchant_id, by_currency in state.payables.items()
        for currency, payable in by_currency.items()
        if payable.closed_minor or payable.withheld_minor
    }


def _released(state: SettlementState) -> int:
    return sum(withheld.is_released for withheld in state.withholdings.values())
