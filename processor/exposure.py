"""What a shard has lent out of each lender's money, by program.

The carry of the split has all that was ever authorized under a version of a
program, so only what is not lent out any more is counted, when it comes back,
capped or not: an authorization pays nothing for it, and a cap that is set later
counts from the first purchase on.  Where there is a cap, the slice of its pool
moves along (`watched.count` for what is new).  Touched by `apply` alone.
"""

from processor import events as e
from processor import watched
from processor.events import Parts
from processor.rules import add, subtract
from processor.state import Authorization, Program, ShardState, Slice


def lent_minor(state: ShardState, program_id: str, lender_id: str) -> int:
    """What a lender has lent out here through a program, in all its versions."""
    total_minor = 0
    for program in state.program_versions.values():
        if program.program_id == program_id and lender_id in program.lenders:
            place = program.lenders.index(lender_id)
            total_minor += program.split_parts[place] - program.not_lent_parts[place]
    return total_minor


def bring_back(state: ShardState, program: Program, parts: Parts) -> None:
    """Parts of a purchase that counted are not lent out any more."""
    program.not_lent_parts = add(program.not_lent_parts, parts)
    caps = state.program_caps.get(program.program_id) if state.program_caps else None
    if caps is None:
        return
    for lender_id, part in zip(program.lenders, parts, strict=True):
        if lender_id in caps:
            lease = state.slices[caps[lender_id]]
            lease.authorized_minor -= part
            lease.free_minor += part
            assert lease.authorized_minor >= 0


def refund_of(state: ShardState, purchase: Authorization, parts: Parts) -> Parts:
    """What of a refund had counted: of a forced purchase, no more than did."""
    forced = state.forced.get(purchase.authorization_id) if state.forced else None
    if forced is None or not forced.extra_parts:
        return parts
    kept = subtract(purchase.total_parts, purchase.given_back_parts)
    counted = subtract(kept, forced.extra_parts)
    before = purchase.refunded_parts
    return tuple(
        min(back + part, most) - min(back, most)
        for back, part, most in zip(before, parts, counted, strict=True)
    )


def lend_by_force(program: Program, parts: Parts) -> None:
    """What was just split was captured by force, and counts under no cap."""
    program.not_lent_parts = add(program.not_lent_parts, parts)


def apply_program_cap(state: ShardState, fact: e.ProgramCapSet) -> None:
    """A cap takes the place of the one before; what is lent out counts at once."""
    caps = state.program_caps.setdefault(fact.program_id, {})
    before = caps.pop(fact.lender_id, None)
    if before is not None:
        del state.slices[before]
    if fact.pool_id:
        lent = lent_minor(state, fact.program_id, fact.lender_id)
        caps[fact.lender_id] = fact.pool_id
        state.slices[fact.pool_id] = Slice(
            fact.pool_id, free_minor=-lent, authorized_minor=lent
        )
    if not caps:
        del state.program_caps[fact.program_id]
    watched.watch(state)
