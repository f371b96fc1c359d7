"""Whether each record's event answers its command, and each request only once.

The audit compares what was asked with what was done, field by field, in a
table of its own; what the processor does by itself must have no command.
"""

from collections.abc import Callable
from hashlib import blake2b
from operator import attrgetter
from typing import Any

from processor import commands as c
from processor import events as e
from processor import limits

# Command → the event it may end in, and (its field, the event's) that must agree.
_ENDS_IN: dict[type[c.Command], tuple[type[e.Event], tuple[tuple[str, str], ...]]] = {
    c.OpenAccount: (
        e.AccountOpened,
        (
            ("account_id", "account_id"),
            ("program_id", "program_id"),
            ("currency", "currency"),
            ("limit_minor", "limit_minor"),
            ("statement_day", "statement_day"),
            ("due_day", "due_day"),
        ),
    ),
    c.ChangeLimit: (
        e.LimitChanged,
        (("account_id", "account_id"), ("limit_minor", "limit_minor")),
    ),
    c.SetTemporaryLimit: (
        e.TemporaryLimitSet,
        (
            ("account_id", "account_id"),
            ("limit_minor", "limit_minor"),
            ("until_day", "until_day"),
        ),
    ),
    c.SetVelocity: (
        e.VelocitySet,
        (
            ("account_id", "account_id"),
            ("velocity", "velocity"),
            ("categories", "categories"),
        ),
    ),
    c.FreezeAccount: (e.AccountFrozen, (("account_id", "account_id"),)),
    c.UnfreezeAccount: (e.AccountUnfrozen, (("account_id", "account_id"),)),
    c.CloseAccount: (e.AccountClosed, (("account_id", "account_id"),)),
    c.Authorize: (
        e.Authorized,
        (
            ("account_id", "account_id"),
            ("merchant_id", "merchant_id"),
            ("capture", "captured"),
        ),
    ),
    c.PlaceHold: (e.HoldPlaced, (("account_id", "account_id"),)),
    c.Repay: (
        e.Repaid,
        (
            ("account_id", "account_id"),
            ("withheld_from", "withheld_from"),
            ("withholding_id", "withholding_id"),
        ),
    ),
    c.SettleEarly: (
        e.SettledEarly,
        (("account_id", "account_id"), ("provisional", "provisional")),
    ),
    c.PayOutCredit: (e.CreditPaidOut, (("account_id", "account_id"),)),
    c.WaiveCharges: (
        e.ChargesWaived,
        (("account_id", "account_id"), ("charge", "charge")),
    ),
    c.WriteOff: (e.WrittenOff, (("account_id", "account_id"),)),
    c.RecordRecovery: (e.RecoveryRecorded, (("account_id", "account_id"),)),
    c.PayClaim: (
        e.ClaimPaid,
        (("account_id", "account_id"), ("guarantor_id", "guarantor_id")),
    ),
    c.ProposeAdjustment: (
        e.AdjustmentProposed,
        (
            ("account_id", "account_id"),
            ("side", "side"),
            ("corrects", "corrects"),
        ),
    ),
    c.ExtendPlan: (
        e.PlanExtended,
        (("authorization_id", "authorization_id"),),
    ),
    c.FinalizeRepayment: (e.RepaymentFinal, (("repayment_id", "repayment_id"),)),
    c.ReturnRepayment: (e.RepaymentReturned, (("repayment_id", "repayment_id"),)),
    c.ReverseWriteOff: (e.WriteOffReversed, (("write_off_id", "write_off_id"),)),
    c.ReverseRecovery: (e.RecoveryReversed, (("recovery_id", "recovery_id"),)),
    c.ReverseClaim: (e.ClaimReversed, (("claim_id", "claim_id"),)),
    c.ApproveAdjustment: (
        e.AdjustmentApproved,
        (("adjustment_id", "adjustment_id"),),
    ),
    c.RejectAdjustment: (
        e.AdjustmentRejected,
        (("adjustment_id", "adjustment_id"),),
    ),
    c.IncrementAuthorization: (
        e.AuthorizationIncremented,
        (("authorization_id", "authorization_id"),),
    ),
    c.CaptureAuthorization: (
        e.Captured,
        (("authorization_id", "authorization_id"),),
    ),
    c.ReverseAuthorization: (
        e.AuthorizationReversed,
        (("authorization_id", "authorization_id"),),
    ),
    c.Refund: (e.Refunded, (("authorization_id", "authorization_id"),)),
    c.IncreaseHold: (e.HoldIncreased, (("hold_id", "hold_id"),)),
    c.ReleaseHold: (e.HoldReleased, (("hold_id", "hold_id"),)),
    c.ConvertHold: (
        e.Authorized,
        (
            ("hold_id", "hold_id"),
            ("merchant_id", "merchant_id"),
            ("capture", "captured"),
        ),
    ),
    c.RegisterLender: (
        e.LenderRegistered,
        (
            ("lender_id", "lender_id"),
            ("currency", "currency"),
            ("advance_line_minor", "advance_line_minor"),
            ("requires_checker", "requires_checker"),
        ),
    ),
    c.DepositReserve: (e.ReserveDeposited, (("lender_id", "lender_id"),)),
    c.WithdrawReserve: (e.ReserveWithdrawn, (("lender_id", "lender_id"),)),
    c.RegisterProgram: (
        e.ProgramRegistered,
        (
            ("program_id", "program_id"),
            ("currency", "currency"),
            ("shares", "shares"),
            ("capture_tolerance_ppm", "capture_tolerance_ppm"),
            ("cap_ppm", "cap_ppm"),
            ("plans", "plans"),
            ("terms", "terms"),
        ),
    ),
    c.RegisterMerchant: (
        e.MerchantRegistered,
        (("merchant_id", "merchant_id"), ("name", "name"), ("pricing", "terms")),
    ),
    c.ChangeMerchant: (
        e.MerchantChanged,
        (("merchant_id", "merchant_id"), ("pricing", "terms")),
    ),
    c.WithholdFromMerchant: (
        e.MerchantWithheld,
        (
            ("account_id", "account_id"),
            ("merchant_id", "merchant_id"),
            ("currency", "currency"),
        ),
    ),
    c.ReleaseWithholding: (
        e.WithholdingReleased,
        (("withholding_id", "withholding_id"),),
    ),
    c.CloseDay: (e.DayCut, (("day", "day"),)),
    # Lenders.
    c.ForceCapture: (
        e.ForceCaptured,
        (("account_id", "account_id"), ("merchant_id", "merchant_id")),
    ),
    c.ChangeAdvanceLine: (
        e.AdvanceLineChanged,
        (("lender_id", "lender_id"), ("advance_line_minor", "advance_line_minor")),
    ),
    c.SuspendLender: (e.LenderSuspended, (("lender_id", "lender_id"),)),
    c.ResumeLender: (e.LenderResumed, (("lender_id", "lender_id"),)),
    c.SetDailyCap: (
        e.DailyCapSet,
        (("lender_id", "lender_id"), ("daily_cap_minor", "daily_cap_minor")),
    ),
    c.SetProgramCap: (
        e.ProgramCapSet,
        (
            ("program_id", "program_id"),
            ("lender_id", "lender_id"),
            ("program_cap_minor", "program_cap_minor"),
        ),
    ),
    c.ProposeFunds: (
        e.FundsProposed,
        (
            ("movement_id", "movement_id"),
            ("lender_id", "lender_id"),
            ("direction", "direction"),
            ("caller", "proposed_by"),
        ),
    ),
    c.ApproveFunds: (
        e.FundsApproved,
        (("movement_id", "movement_id"), ("caller", "approved_by")),
    ),
    c.RejectFunds: (
        e.FundsRejected,
        (("movement_id", "movement_id"), ("caller", "rejected_by")),
    ),
}

_OF_ITSELF = frozenset(
    {
        e.AuthorizationExpired,
        e.HoldExpired,
        e.CreditUsed,
        e.StatementIssued,
        e.PenaltyCharged,
        e.DueMoved,
        e.TemporaryLimitEnded,
        e.SliceReceived,
        e.SliceReturned,
        e.DayMoved,
        e.ReferenceReceived,
        e.ShardJoined,
        e.SliceGranted,
        e.SliceCredited,
        e.ReserveRefused,
        e.ShardDayReported,
        e.DayClosed,
        # Lenders.
        e.ProgramCapCovered,
        e.ShardProgressed,
        e.AdvanceForced,
        e.ForcedAdvanceRepaid,
    }
)

Getter = Callable[[Any], Any]


def _getters(fields: tuple[tuple[str, str], ...]) -> tuple[Getter, Getter]:
    return (
        attrgetter(*(asked for asked, _ in fields)),
        attrgetter(*(done for _, done in fields)),
    )


_AGREES = {
    command: (event, *_getters(fields)) for command, (event, fields) in _ENDS_IN.items()
}
_HAS_AMOUNT = frozenset(
    command for command in _ENDS_IN if "amount_minor" in command.__struct_fields__
)


# The node forgets a whole generation when it has too many.
_FORGOTTEN_AFTER = limits.REMEMBERED_REQUESTS_MAX - limits.GENERATION_REQUESTS_MAX


_HASH_BYTES = 16
_TIME_BITS = 48  # Of milliseconds, some thousand years.
_TIME = (1 << _TIME_BITS) - 1


class Requests:
    """Every request id so far, by caller: the number of its command, and its time.

    `keep_ms` is the shortest time for which answers were ever kept.
    """

    def __init__(self, keep_ms: int) -> None:
        # By a hash of caller and id, the longest ago first; what may come again is
        # not in it.  As one number each, which takes half the room of two.
        self._seen: dict[bytes, int] = {}
        self._keep_ms = keep_ms
        self.count = 0

    def check(self, command: c.Command | None, event: e.Event, at_ms: int) -> str:
        """What is wrong between command and event, as a sentence; "" if nothing."""
        kind = type(event)
        if command is None:
            return "" if kind in _OF_ITSELF else f"nobody asked for {kind.__name__}."
        again = self._used_again(command, at_ms)
        if again:
            return again
        if kind is e.Declined:
            return ""
        asked = type(command)
        expected, asked_of, done_of = _AGREES[asked]
        if kind is not expected:
            return f"{asked.__name__} ended in {kind.__name__}."
        if asked_of(command) != done_of(event):
            return (
                f"{asked.__name__} asked for {asked_of(command)}, got {done_of(event)}."
            )
        if asked in _HAS_AMOUNT and not getattr(command, "of_order", False):
            amount: int | None = command.amount_minor  # type: ignore[attr-defined]
            done: int = event.amount_minor  # type: ignore[attr-defined]
            reduced = getattr(event, "reduced", None)
            if reduced is not None and getattr(command, "partial", False):
                done = reduced.requested_minor
            if amount is not None and amount != done:
                return f"{asked.__name__} asked for {amount}, got {done}."
        return ""

    def _used_again(self, command: c.Command, at_ms: int) -> str:
        """An id may come again only when it is forgotten: by time, or by number."""
        self.count += 1
        seen = self._seen
        while seen and self._is_forgotten(next(iter(seen.values())), at_ms):
            del seen[next(iter(seen))]
        named = f"{command.caller}\0{command.request_id}"
        key = blake2b(named.encode(), digest_size=_HASH_BYTES).digest()
        before = seen.pop(key, None)
        seen[key] = self.count << _TIME_BITS | max(0, min(at_ms, _TIME))
        if before is None or self._is_forgotten(before, at_ms):
            return ""
        return f"the request {command.request_id} of {command.caller} was done before."

    def _is_forgotten(self, before: int, at_ms: int) -> bool:
        number, was_ms = before >> _TIME_BITS, before & _TIME
        return at_ms >= was_ms + self._keep_ms or self.count - number > _FORGOTTEN_AFTER
