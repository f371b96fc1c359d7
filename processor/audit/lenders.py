"""Lines, caps, suspension, forced headroom and funds, as the audit reckons it.

Each function takes the audit of settlement and an event, notes what is wrong,
and brings the model up to it.
"""

from typing import TYPE_CHECKING

from processor import commands as c
from processor import events as e
from processor.audit.pools import (
    Certificate,
    DailyCap,
    Lender,
    Movement,
    ProgramCap,
    asked_all,
)
from processor.declines import DeclineReason
from processor.pools import daily_pool

if TYPE_CHECKING:
    from processor.audit.settlement import SettlementAudit


def advance_line_changed(audit: "SettlementAudit", event: e.AdvanceLineChanged) -> None:
    audit.lenders[event.lender_id].advance_line_minor = event.advance_line_minor


def suspension_changed(
    audit: "SettlementAudit", event: e.LenderSuspended | e.LenderResumed
) -> None:
    lender = audit.lenders[event.lender_id]
    wanted = isinstance(event, e.LenderSuspended)
    if lender.is_suspended == wanted:
        audit.differ(f"lender {event.lender_id} is suspended or resumed twice.")
    lender.is_suspended = wanted
    audit.facts.append(event)


def daily_cap_set(audit: "SettlementAudit", event: e.DailyCapSet) -> None:
    cap_minor = event.daily_cap_minor
    audit.lenders[event.lender_id].daily_cap_minor = cap_minor
    audit.facts.append(event)
    if cap_minor is None:
        return
    cap = audit.caps.setdefault(daily_pool(event.lender_id), DailyCap(cap_minor))
    cap.cap_minor = cap_minor
    if cap.unleased_minor < 0:
        audit.differ(
            f"the daily cap of {event.lender_id} is set to {cap_minor}, but "
            f"{cap.leased_minor} of it is leased."
        )


# Caps by program.


def program_cap_set(audit: "SettlementAudit", event: e.ProgramCapSet) -> None:
    """A pool of its own takes the place of the one before."""
    capped = (event.program_id, event.lender_id)
    audit.facts.append(event)
    audit.program_caps.pop(capped, None)
    if event.program_id not in audit.versions or event.lender_id not in audit.lenders:
        audit.differ(f"it caps {event.lender_id} for {event.program_id}: unknown.")
    cap_minor, pool_id = event.program_cap_minor, event.pool_id
    is_new = pool_id not in audit.program_pools
    if not (is_new if cap_minor is not None else pool_id == ""):
        audit.differ(f"it sets a cap of {cap_minor} with the pool {pool_id!r}.")
    elif cap_minor is not None:
        audit.program_pools[pool_id] = ProgramCap(cap_minor)
        audit.program_caps[capped] = pool_id


def program_cap_covered(audit: "SettlementAudit", event: e.ProgramCapCovered) -> None:
    """All that was lent out fits, and is leased by the records that follow."""
    cap = audit.program_pools.get(event.pool_id)
    in_force = audit.program_caps.values()
    if cap is None or cap.is_covered or event.pool_id not in in_force:
        audit.differ(f"it covers {event.pool_id}, which is not to be covered.")
        return
    if not asked_all(event.cut, audit.identity.shard_count):
        audit.differ("it covers a cap and has not asked every shard once.")
    lent = {point.shard: -point.free_minor for point in event.cut}
    if sum(max(0, minor) for minor in lent.values()) > cap.unleased_minor:
        audit.differ(f"more is lent out than {event.pool_id} has: {lent}.")
    cap.is_covered = True
    as_refusal = e.ReserveRefused(0, 0, 0, event.pool_id, 0, 0, event.cut)
    audit.covers.append(
        Certificate(audit.sequence, audit.day, as_refusal, {}, {}),
    )
    audit.to_cover = [
        (shard, event.pool_id, minor) for shard, minor in lent.items() if minor > 0
    ]


def check_covering(audit: "SettlementAudit", event: e.Event) -> None:
    """The grants that cover a cap follow it at once, and none comes before."""
    if audit.to_cover:
        wanted = audit.to_cover.pop(0)
        if not isinstance(event, e.SliceGranted) or wanted != (
            event.shard,
            event.pool_id,
            event.granted_minor,
        ):
            audit.differ(f"it should have leased what was lent out: {wanted}.")
    elif isinstance(event, e.SliceGranted):
        cap = audit.program_pools.get(event.pool_id)
        if cap is not None and not cap.is_covered:
            audit.differ(f"it leases of {event.pool_id}, which is not covered.")


# What forced captures took.


def advance_forced(audit: "SettlementAudit", event: e.AdvanceForced) -> None:
    lender = audit.lenders[event.lender_id]
    had_minor = lender.unleased_minor
    if event.unleased_minor != had_minor:
        audit.differ(
            f"it says {event.unleased_minor} was unleased of {event.lender_id}, "
            f"it was {had_minor}."
        )
    missing_minor = event.needed_minor - had_minor
    if missing_minor <= 0 or event.forced_minor != lender.forced_minor + missing_minor:
        audit.differ(
            f"it raises what is forced of {event.lender_id} from "
            f"{lender.forced_minor} to {event.forced_minor}, "
            f"{missing_minor} was missing."
        )
    if not asked_all(event.cut, audit.identity.shard_count):
        audit.differ("it forces headroom and has not asked every shard once.")
    as_refusal = e.ReserveRefused(
        0,
        event.shard,
        event.ask,
        event.lender_id,
        event.needed_minor,
        event.unleased_minor,
        event.cut,
    )
    audit.forced.append(
        Certificate(
            audit.sequence,
            audit.day,
            as_refusal,
            dict(lender.granted),
            dict(lender.credited),
        )
    )
    audit.forced_by[event.shard] += event.forced_minor - lender.forced_minor
    lender.forced_minor = event.forced_minor


def forced_repaid(audit: "SettlementAudit", event: e.ForcedAdvanceRepaid) -> None:
    lender = audit.lenders[event.lender_id]
    due_minor = min(lender.forced_minor, lender.unleased_minor)
    left_minor = lender.forced_minor - event.amount_minor
    if event.amount_minor != due_minor or event.forced_minor != left_minor:
        audit.differ(
            f"it ends {event.amount_minor} of what is forced of {event.lender_id} and "
            f"leaves {event.forced_minor}; {due_minor} of {lender.forced_minor} is due."
        )
    lender.forced_minor = event.forced_minor


def owes_repayment(lender: Lender) -> bool:
    """Whether something forced could end with what is unleased."""
    return min(lender.forced_minor, lender.unleased_minor) > 0


# Funds.


def funds_proposed(audit: "SettlementAudit", event: e.FundsProposed) -> None:
    if event.movement_id in audit.movements:
        audit.differ(f"movement {event.movement_id} is proposed a second time.")
    audit.movements[event.movement_id] = Movement(event)


def funds_approved(audit: "SettlementAudit", event: e.FundsApproved) -> None:
    proposed = _decided(audit, event.movement_id, "approved")
    if proposed is None:
        return
    if proposed.proposed_by == event.approved_by:
        audit.differ(f"movement {event.movement_id} is approved by who proposed it.")
    if (proposed.lender_id, proposed.direction, proposed.amount_minor) != (
        event.lender_id,
        event.direction,
        event.amount_minor,
    ):
        audit.differ(f"movement {event.movement_id} moves what nobody proposed.")
    lender = audit.lenders[event.lender_id]
    lender.deposit_minor = event.deposit_minor
    if event.deposit_minor < 0:
        audit.differ(f"the deposit of {event.lender_id} is negative.")


def funds_rejected(audit: "SettlementAudit", event: e.FundsRejected) -> None:
    _decided(audit, event.movement_id, "rejected")


def _decided(
    audit: "SettlementAudit", movement_id: str, status: str
) -> e.FundsProposed | None:
    movement = audit.movements.get(movement_id)
    if movement is None or movement.status != "proposed":
        audit.differ(f"movement {movement_id} is {status} and is not proposed.")
        return None
    movement.status = status
    return movement.proposed


# Declines.


def wanted_of(
    audit: "SettlementAudit", command: c.Command | None
) -> tuple[str, int] | None:
    """The pool, and how much of it, that a command of settlement's needed."""
    if isinstance(command, c.ApproveFunds):
        movement = audit.movements.get(command.movement_id)
        if movement is None or movement.proposed.direction != "withdrawal":
            return None
        return movement.proposed.lender_id, movement.proposed.amount_minor
    if isinstance(command, c.WithdrawReserve) and command.lender_id in audit.lenders:
        return command.lender_id, command.amount_minor
    if isinstance(command, c.ChangeAdvanceLine) and command.lender_id in audit.lenders:
        line_minor = audit.lenders[command.lender_id].advance_line_minor
        return command.lender_id, line_minor - command.advance_line_minor
    if isinstance(command, c.SetDailyCap):
        cap = audit.caps.get(daily_pool(command.lender_id))
        if cap is not None:
            wanted_minor = cap.cap_minor - (command.daily_cap_minor or 0)
            return daily_pool(command.lender_id), wanted_minor
    return None


def check_decline(
    audit: "SettlementAudit", command: c.Command | None, reason: DeclineReason
) -> None:
    """A decline for who asks, or for a suspension, was right."""
    if reason is DeclineReason.SAME_CALLER:
        assert isinstance(command, c.ApproveFunds)
        movement = audit.movements.get(command.movement_id)
        if movement is None or movement.proposed.proposed_by != command.caller:
            audit.differ("declined for the same caller, which it is not.")
    elif reason in (DeclineReason.LENDER_SUSPENDED, DeclineReason.LENDER_NOT_SUSPENDED):
        assert isinstance(command, c.SuspendLender | c.ResumeLender)
        is_suspended = reason is DeclineReason.LENDER_SUSPENDED
        if audit.lenders[command.lender_id].is_suspended != is_suspended:
            audit.differ(f"declined as {reason.value}, which it is not.")
