"""A shard's copy of the reference data, and the other facts it is told.

Lenders, programs and merchants are settlement's; a shard journals what it
receives, so that its replay needs nothing but its own journal.
"""

from processor import events as e
from processor import exposure, merchants, watched
from processor.state import Program, ShardState, Slice


def apply_reference_received(state: ShardState, event: e.ReferenceReceived) -> None:
    assert event.version > state.reference_version
    state.reference_version = event.version
    for fact in event.facts:
        if isinstance(fact, e.LenderRegistered):
            state.slices.setdefault(fact.lender_id, Slice(fact.lender_id))
        elif isinstance(fact, e.LenderSuspended | e.LenderResumed):
            watched.apply_suspension(state, fact)
        elif isinstance(fact, e.DailyCapSet):
            watched.apply_daily_cap(state, fact)
        elif isinstance(fact, e.ProgramCapSet):
            exposure.apply_program_cap(state, fact)
        elif isinstance(fact, e.MerchantRegistered | e.MerchantChanged):
            merchants.add_terms(state, fact)
        else:
            _add_program(state, fact)


def _add_program(state: ShardState, fact: e.ProgramRegistered) -> None:
    program = Program(
        fact.program_id,
        fact.version,
        fact.currency,
        tuple(share.lender_id for share in fact.shares),
        tuple(share.share_ppm for share in fact.shares),
        fact.authorization_expiry_seconds * 1_000,
        fact.hold_expiry_seconds * 1_000,
        fact.capture_tolerance_ppm,
        (0,) * len(fact.shares),
        {plan.plan_id: plan for plan in fact.plans},
        fact.terms,
        (0,) * len(fact.shares),
        (0,) * len(fact.shares),
    )
    program.is_watched = watched.is_watched(state, program)
    state.programs[fact.program_id] = program
    state.program_versions[fact.program_id, fact.version] = program


def apply_slice_received(state: ShardState, event: e.SliceReceived) -> None:
    lease = state.slices[event.pool_id]
    assert event.received_minor > lease.received_minor
    lease.free_minor += event.received_minor - lease.received_minor
    lease.received_minor = event.received_minor
    if event.forced_minor > lease.forced_minor:
        held_minor = state.forced_held.get(event.pool_id, 0)
        held_minor += event.forced_minor - lease.forced_minor
        state.forced_held[event.pool_id] = held_minor
        lease.forced_minor = event.forced_minor


def apply_slice_returned(state: ShardState, event: e.SliceReturned) -> None:
    lease = state.slices[event.pool_id]
    assert event.returned_minor > lease.returned_minor
    back_minor = event.returned_minor - lease.returned_minor
    lease.free_minor -= back_minor
    lease.returned_minor = event.returned_minor
    assert lease.free_minor >= 0
    if event.pool_id in state.forced_held:  # Whatever goes back ends it first.
        state.forced_held[event.pool_id] -= back_minor
        if state.forced_held[event.pool_id] <= 0:
            del state.forced_held[event.pool_id]


def apply_day_moved(state: ShardState, event: e.DayMoved) -> None:
    assert event.day == state.day < event.next_day
    assert event.totals == state.totals
    state.ended_day = event.day
    state.ended_sequence = state.sequence
    state.ended_totals = event.totals
    state.day = event.next_day
    watched.end_day(state)
    state.totals = e.DayTotals()
