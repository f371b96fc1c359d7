"""The rules of velocity limits: how much is bought in a purchase, a day, a month.

What is approved counts: authorizations, increments, what a capture takes above
what was open, and holds when they are converted.  What is reversed, expires or
is released is given back to the business day and to the month of business days
in which its authorization was made, if that is still the present one, and if
it was counted at all.  A refund gives nothing back: it undoes the purchase, not
the buying.  What is captured by force is not counted.

Only an account that has limits has counters.  New limits take over what was
counted under those before them; a category that had none begins at zero.
"""

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason
from processor.ids import sequence_of_made_id
from processor.rules import Decision, Moment, declined
from processor.state import (
    Account,
    AccountStatus,
    AccountVelocity,
    Authorization,
    Headroom,
    Meter,
    ShardState,
)
from processor.terms import CategoryVelocity, Velocity

NO_LIMITS = Velocity()


def decide_set_velocity(
    state: ShardState, command: c.SetVelocity, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    names = {"", *(category.category for category in command.categories)}
    if len(names) <= len(command.categories):  # "" is all merchants.
        return declined(DeclineReason.CATEGORY_REPEATED)
    if account.status is AccountStatus.CLOSED:
        return declined(DeclineReason.ACCOUNT_CLOSED)
    return e.VelocitySet(command.account_id, command.velocity, command.categories)


def apply_velocity_set(state: ShardState, event: e.VelocitySet) -> None:
    account = state.accounts[event.account_id]
    before = account.velocity
    if event.velocity == NO_LIMITS and not event.categories:
        account.velocity = None
        return
    meters = before.categories if before is not None else {}
    account.velocity = AccountVelocity(
        _meter(state, before.overall if before else None, event.velocity),
        {
            limits.category: _meter(state, meters.get(limits.category), limits)
            for limits in event.categories
        },
    )


def _meter(
    state: ShardState, before: Meter | None, limits: Velocity | CategoryVelocity
) -> Meter:
    bounds = Velocity(limits.purchase_minor, limits.daily_minor, limits.monthly_minor)
    if before is None:
        return Meter(bounds, state.sequence)
    before.bounds = bounds
    return before


def category_of(state: ShardState, merchant_id: str) -> str:
    """The category a merchant has now; "" for none."""
    terms = state.merchants[merchant_id].terms
    return "" if terms is None else terms.category


def decline_velocity(
    state: ShardState,
    account: Account,
    category: str,
    amount_minor: int,
    standing_minor: int = 0,
) -> e.Declined | None:
    """The first limit that so much more at such merchants would exceed, if any.

    `standing_minor` is what the purchase is already, before it grows.
    """
    for headroom in headrooms(state, account, category, standing_minor):
        if amount_minor > headroom.left_minor:
            return e.Declined(
                headroom.reason,
                amount_minor - headroom.left_minor,
                category=headroom.category,
            )
    return None


def decline_growth(
    state: ShardState, account: Account, authorization: Authorization, amount_minor: int
) -> e.Declined | None:
    """As `decline_velocity`, for what a purchase grows by.

    What it is then, less what was given back, is one purchase, and of the category
    its merchant had when it was made.
    """
    if account.velocity is None:
        return None
    standing_minor = authorization.total_minor - authorization.given_back_minor
    return decline_velocity(
        state, account, authorization.category, amount_minor, standing_minor
    )


def headrooms(
    state: ShardState, account: Account, category: str, standing_minor: int = 0
) -> tuple[Headroom, ...]:
    """What each velocity limit leaves to a purchase, in order of precedence.

    A reason's limit for all merchants comes before that for their category.
    """
    velocity = account.velocity
    if velocity is None:
        return ()
    meters = [("", velocity.overall)]
    if category in velocity.categories:
        meters.append((category, velocity.categories[category]))
    of_purchase, of_day, of_month = [], [], []
    for name, meter in meters:
        bounds = meter.bounds
        used_day, used_month = used(meter, state.day)
        if bounds.purchase_minor is not None:
            left_minor = bounds.purchase_minor - standing_minor
            of_purchase.append(
                Headroom(DeclineReason.VELOCITY_PURCHASE, name, left_minor)
            )
        if bounds.daily_minor is not None:
            left_minor = bounds.daily_minor - used_day
            of_day.append(Headroom(DeclineReason.VELOCITY_DAILY, name, left_minor))
        if bounds.monthly_minor is not None:
            left_minor = bounds.monthly_minor - used_month
            of_month.append(Headroom(DeclineReason.VELOCITY_MONTHLY, name, left_minor))
    return (*of_purchase, *of_day, *of_month)


def used(meter: Meter, day: str) -> tuple[int, int]:
    """What was approved in a business day, and in its month so far."""
    return (
        meter.day_minor if meter.day == day else 0,
        meter.month_minor if meter.day[:7] == day[:7] else 0,
    )


def count(
    state: ShardState, account: Account, authorization: Authorization, amount_minor: int
) -> None:
    """Count what was approved of a purchase; `apply` alone calls this."""
    assert account.velocity is not None
    day = state.day
    for meter in _meters(account.velocity, authorization.category):
        used_day, used_month = used(meter, day)
        meter.day = day
        meter.day_minor = used_day + amount_minor
        meter.month_minor = used_month + amount_minor


def uncount(
    state: ShardState, account: Account, authorization: Authorization, amount_minor: int
) -> None:
    """Give back what is authorized no more, to the periods it was made in."""
    assert account.velocity is not None
    made = sequence_of_made_id(authorization.authorization_id)
    day, made_day = state.day, authorization.purchase_day
    for meter in _meters(account.velocity, authorization.category):
        if made <= meter.since:
            continue  # It never counted.
        if made_day == day:
            meter.day_minor -= amount_minor
        if made_day[:7] == day[:7]:
            meter.month_minor -= amount_minor
        assert meter.day_minor >= 0
        assert meter.month_minor >= 0


def _meters(velocity: AccountVelocity, category: str) -> list[Meter]:
    meters = [velocity.overall]
    if category in velocity.categories:
        meters.append(velocity.categories[category])
    return meters
