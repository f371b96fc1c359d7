"""Why a purchase was decided as it was, and what would have passed.

What cannot be worked out later is kept at the moment of the decision: what the
limit, the velocity limits and the lenders' slices left, and how earlier
purchases were split, on which the parts of this one depend.  All of it is
state that `apply` sees, so the journal need not repeat it.  An approved
purchase keeps it for as long as the purchase is known; of the declined ones the
latest `DECLINED_EXPLAINED_MAX` are.

A constraint is *final* when nobody could have given more: the limit, a velocity
limit, a lender of whom settlement had said what there was anywhere.  The free
headroom in the slice here is not: settlement would have been asked for more.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from processor import commands as c
from processor import events as e
from processor import limits
from processor.apportion import apportion
from processor.declines import DeclineReason
from processor.fitting import most_that_fits
from processor.ids import IdKind, make_id, sequence_of_made_id
from processor.pools import constraint_of, daily_pool, lender_of
from processor.rules import Decision, Moment, free_of, headroom_anywhere, split
from processor.state import (
    Account,
    Authorization,
    DeclinedAuthorization,
    ExplainedMore,
    Program,
    Refused,
    ShardState,
)
from processor.velocity import category_of, headrooms
from processor.watched import caps_of

# Declined before any amount was looked at.
_NOT_ABOUT_MONEY = frozenset(
    {
        DeclineReason.ACCOUNT_CLOSED,
        DeclineReason.ACCOUNT_FROZEN,
        DeclineReason.TOO_MANY_AUTHORIZATIONS,
        DeclineReason.LENDER_SUSPENDED,
    }
)
_LIMIT, _HOLD, _FORCED = "limit", "hold", "forced"


class Constraint(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One thing that a purchase had to fit into, at that moment, in minor units.

    `constraint` is "limit" (or "hold", for what was taken out of one), "reserve",
    "program_cap", "daily_cap", or a velocity limit.  `needed_minor` of
    `headroom_minor` was needed; `most_minor` is the largest purchase that this
    alone would have let pass.  For a lender's reserve or caps, what was needed
    is its part; headroom is what was free here, or with `is_final` what there
    was anywhere, by settlement's certificate number `refusal`; below zero where
    more is lent out than a new cap.
    """

    constraint: str
    needed_minor: int
    headroom_minor: int
    most_minor: int
    is_final: bool
    category: str = ""
    lender_id: str = ""
    refusal: int = 0


class Binding(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The constraint that would have stopped a larger purchase first.

    For a decline that is not about money: its reason.  "forced", where a capture
    by force was all there was.
    """

    constraint: str
    category: str = ""
    lender_id: str = ""


# What bound, what would have passed, what of it for certain, and why.
Told = tuple[Binding, int, int, tuple[Constraint, ...]]


class ExplanationView(msgspec.Struct, frozen=True, gc=False):
    """Why an authorization was decided as it was, true for that moment.

    `would_have_passed_minor` is the largest amount that no final constraint
    stood against.  Up to `certain_minor` it would have passed for certain;
    beyond that settlement would have been asked, and nobody knows what it had
    said.
    `binding` is the final constraint with the smallest `most_minor`.
    """

    authorization_id: str
    account_id: str
    merchant_id: str
    program_id: str
    program_version: int
    decision: str
    reason: str | None
    business_day: str
    at_ms: int
    sequence: int
    requested_minor: int
    approved_minor: int
    binding: Binding
    would_have_passed_minor: int
    certain_minor: int
    constraints: tuple[Constraint, ...]


# Kept by `apply`.


def seen_by(
    state: ShardState, account: Account, program: Program, event: e.Authorized
) -> ExplainedMore:
    """What an approved purchase met beyond the usual; before it is applied."""
    reduced = event.reduced
    return ExplainedMore(
        event.amount_minor if reduced is None else reduced.requested_minor,
        headrooms(state, account, category_of(state, event.merchant_id)),
        () if reduced is None else _known(state, reduced.refusals),
        state.holds[event.hold_id].held_minor if event.hold_id else None,
        caps_of(state, program),
    )


def keep_declined(
    state: ShardState, event: e.Declined, command: c.Authorize | c.ConvertHold
) -> None:
    """Keep what a declined purchase met, and forget the oldest beyond the bound."""
    held_minor = None
    if isinstance(command, c.ConvertHold):
        hold = state.holds[command.hold_id]
        account, held_minor = state.accounts[hold.account_id], hold.held_minor
        requested_minor = command.amount_minor or held_minor
    else:
        account = state.accounts[command.account_id]
        requested_minor = command.amount_minor
    program = state.programs[account.program_id]
    state.declined[event.authorization_id] = DeclinedAuthorization(
        account.account_id,
        command.merchant_id,
        program.program_id,
        program.version,
        state.day,
        event,
        (
            0,
            account.open_to_buy_minor,
            free_of(state, program),
            program.split_parts,
            ExplainedMore(
                requested_minor,
                headrooms(state, account, category_of(state, command.merchant_id)),
                _refusals(state, program, requested_minor, event),
                held_minor,
                caps_of(state, program),
            ),
        ),
    )
    _forget_oldest(state, event.authorization_id)


def _known(state: ShardState, refusals: tuple[e.Refusal, ...]) -> tuple[Refused, ...]:
    """What there was of each pool that settlement had refused."""
    latest = {refusal.pool_id: refusal for refusal in refusals}
    return tuple(
        Refused(refusal.pool_id, headroom_anywhere(state, refusal), refusal.refusal)
        for refusal in latest.values()
    )


def _refusals(
    state: ShardState, program: Program, requested_minor: int, event: e.Declined
) -> tuple[Refused, ...]:
    if event.refusals:
        return _known(state, event.refusals)
    pool_id = event.lender_id
    if event.reason is DeclineReason.DAILY_CAP_EXCEEDED:
        pool_id = daily_pool(pool_id)
    elif event.reason is DeclineReason.PROGRAM_CAP_EXCEEDED:
        pool_id = state.program_caps[program.program_id][pool_id]
    elif event.reason is not DeclineReason.RESERVE_EXHAUSTED:
        return ()
    place = program.lenders.index(event.lender_id)
    part = split(program, requested_minor)[place]
    found_minor = part - event.missing_minor
    return (Refused(pool_id, found_minor, event.refusal),)


def _forget_oldest(state: ShardState, newest: str) -> None:
    ids = state.declined_ids
    place = state.declined_kept % limits.DECLINED_EXPLAINED_MAX
    if place < len(ids):
        del state.declined[ids[place]]
        ids[place] = newest
    else:
        ids.append(newest)
    state.declined_kept += 1


def named(
    state: ShardState, account: Account, event: Decision, moment: Moment
) -> Decision:
    """A decline of an authorization under an id of its own, to ask why."""
    if not isinstance(event, e.Declined):
        return event  # Not decided yet.
    if event.reason is DeclineReason.CURRENCY_MISMATCH:
        return event  # There is nothing to explain.
    return msgspec.structs.replace(
        event,
        authorization_id=make_id(
            IdKind.AUTHORIZATION, account.slot, state.shard, state.sequence + 1
        ),
        at_ms=moment.now_ms,
    )


# Told when somebody asks.


def explanation(state: ShardState, made_id: str) -> ExplanationView | None:
    """Why; None when there is no such authorization, or it is forgotten."""
    authorization = state.authorizations.get(made_id)
    if authorization is not None:
        return _of_approved(state, authorization)
    declined = state.declined.get(made_id)
    return None if declined is None else _of_declined(state, declined)


def _of_approved(state: ShardState, approved: Authorization) -> ExplanationView:
    program = state.program_versions[approved.program_id, approved.program_version]
    if approved.explained is None:
        seen = Seen(program, approved.total_minor, 0, (), (), None)
        told: Told = (Binding(_FORCED), approved.total_minor, approved.total_minor, ())
    else:
        seen = Seen(program, *approved.explained)
        told = _most(seen, _constraints(seen))
    requested_minor = seen.requested_minor
    is_whole = seen.approved_minor == requested_minor
    return ExplanationView(
        approved.authorization_id,
        approved.account_id,
        approved.merchant_id,
        program.program_id,
        program.version,
        "approved" if is_whole else "partly_approved",
        None,
        approved.purchase_day,
        _decided_at_ms(program, approved),
        sequence_of_made_id(approved.authorization_id),
        requested_minor,
        seen.approved_minor,
        *told,
    )


def _decided_at_ms(program: Program, approved: Authorization) -> int:
    """A capture by force, and nothing else, expires when it is made."""
    if approved.explained is None:
        return approved.expires_at_ms
    return approved.expires_at_ms - program.authorization_expiry_ms


def _of_declined(state: ShardState, declined: DeclinedAuthorization) -> ExplanationView:
    event = declined.event
    program = state.program_versions[declined.program_id, declined.program_version]
    seen = Seen(program, *declined.explained)
    if event.reason in _NOT_ABOUT_MONEY:
        bound_by = Binding(event.reason.value, lender_id=event.lender_id)
        told: Told = (bound_by, 0, 0, ())
    else:
        told = _most(seen, _constraints(seen))
    return ExplanationView(
        event.authorization_id,
        declined.account_id,
        declined.merchant_id,
        program.program_id,
        program.version,
        "declined",
        event.reason.value,
        declined.day,
        event.at_ms,
        sequence_of_made_id(event.authorization_id),
        seen.requested_minor,
        0,
        *told,
    )


class Seen(NamedTuple):
    """What was kept of a decision, by name."""

    program: Program
    approved_minor: int
    open_to_buy_minor: int
    free_parts: e.Parts
    split_parts: e.Parts
    more: ExplainedMore | None

    @property
    def requested_minor(self) -> int:
        """What was asked for."""
        return self.approved_minor if self.more is None else self.more.requested_minor

    def most_minor(self, headrooms: Mapping[str, int], amount_max: int) -> int:
        """The largest amount whose parts fit into what these lenders have."""
        return most_that_fits(
            self.program.shares_ppm,
            self.split_parts,
            [
                max(0, headrooms[lender_id]) if lender_id in headrooms else None
                for lender_id in self.program.lenders
            ],
            amount_max,
        )


def _constraints(seen: Seen) -> tuple[Constraint, ...]:
    """Everything that was looked at, in order of precedence."""
    needed_minor = seen.requested_minor
    velocity = () if seen.more is None else seen.more.velocity
    held_minor = None if seen.more is None else seen.more.held_minor
    rooms = [(left.reason.value, left.category, left.left_minor) for left in velocity]
    if held_minor is None:
        rooms.append((_LIMIT, "", seen.open_to_buy_minor + seen.approved_minor))
    else:
        rooms.append((_HOLD, "", held_minor))
    met = [
        Constraint(name, needed_minor, left_minor, max(0, left_minor), True, category)
        for name, category, left_minor in rooms
    ]
    return (*met, *_of_lenders(seen))


def _of_lenders(seen: Seen) -> list[Constraint]:
    """Caps of the program, daily caps, reserves; each needs the lender's part."""
    program, more = seen.program, seen.more
    parts = dict(
        zip(
            program.lenders,
            apportion(
                program.shares_ppm, limits.PPM, seen.split_parts, seen.requested_minor
            ),
            strict=True,
        )
    )
    free = dict(zip(program.lenders, seen.free_parts, strict=True))
    caps = () if more is None else more.caps
    refused = {} if more is None else {x.pool_id: x for x in more.refusals}
    met = []
    for pool_id, here_minor in (*caps, *free.items()):
        lender_id, refusal = lender_of(pool_id), refused.get(pool_id)
        headroom_minor = here_minor if refusal is None else refusal.headroom_minor
        met.append(
            Constraint(
                constraint_of(pool_id),
                parts[lender_id],
                headroom_minor,
                seen.most_minor({lender_id: headroom_minor}, limits.AMOUNT_MINOR_MAX),
                refusal is not None,
                "",
                lender_id,
                0 if refusal is None else refusal.refusal,
            )
        )
    return met


def _most(seen: Seen, met: tuple[Constraint, ...]) -> Told:
    """What bound, what would have passed, what of it for certain, and why."""
    final = [constraint for constraint in met if constraint.is_final]
    tightest = min(final, key=lambda constraint: constraint.most_minor)
    binding = Binding(tightest.constraint, tightest.category, tightest.lender_id)
    most_minor = min(x.most_minor for x in final if not x.lender_id)
    passed_minor = seen.most_minor(_least(x for x in final if x.lender_id), most_minor)
    here = _least(x for x in met if x.lender_id)
    return binding, passed_minor, seen.most_minor(here, passed_minor), met


def _least(constraints: Iterable[Constraint]) -> dict[str, int]:
    """The least that any of them leaves each lender."""
    least: dict[str, int] = {}
    for met in constraints:
        known_minor = least.get(met.lender_id, met.headroom_minor)
        least[met.lender_id] = min(known_minor, met.headroom_minor)
    return least
