"""Debts that the borrower did not pay: written off, recovered, claimed.

A write-off (核销) gives up all that is owed; the account is frozen and billed no
more.  What comes in later is a recovery: the lenders have it, by what was given
up of their claims.  A claim (理赔) is paid by a guarantor: the lenders are paid,
and the borrower owes the guarantor, outside these books.  Each has its reversal,
which is exact: it opens again what was closed.
"""

from processor import commands as c
from processor import events as e
from processor.allocation import Owed, allocate, owed_lines, undo
from processor.apportion import apportion
from processor.debts import pay, program_of, unpay
from processor.declines import DeclineReason
from processor.ids import IdKind, make_id
from processor.repayments import count_claims, decline_money
from processor.rules import Decision, Moment, declined
from processor.state import (
    Account,
    Payment,
    PaymentKind,
    PaymentStatus,
    ShardState,
)


def _sum(owed: list[Owed]) -> int:
    return sum(sum(line.left.values()) for line in owed)


def decide_write_off(
    state: ShardState, command: c.WriteOff, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    if account is None:
        return declined(DeclineReason.ACCOUNT_NOT_FOUND)
    owed = owed_lines(state, account)
    amount_minor = _sum(owed)
    if not amount_minor:
        return declined(DeclineReason.NOTHING_OWED)
    allocations, _ = allocate(state, account, owed, amount_minor)
    principal_minor = sum(paid.amount_minor for paid in allocations)
    return e.WrittenOff(
        command.account_id,
        make_id(IdKind.WRITE_OFF, account.slot, state.shard, state.sequence + 1),
        amount_minor,
        allocations,
        account.open_to_buy_minor + principal_minor,
    )


def apply_written_off(state: ShardState, event: e.WrittenOff) -> None:
    account = state.accounts[event.account_id]
    _count_written_off(state, event.allocations, 1)
    pay(state, account, event.allocations)
    account.written_off_minor += event.amount_minor
    account.freeze()
    state.payments[event.write_off_id] = Payment(
        event.account_id,
        PaymentKind.WRITE_OFF,
        PaymentStatus.PROVISIONAL,
        event.amount_minor,
        allocations=event.allocations,
        parts=_given_up(state, event.allocations),
    )
    state.losses.setdefault(event.account_id, []).append(event.write_off_id)
    assert account.open_to_buy_minor == event.open_to_buy_minor


def _given_up(
    state: ShardState, allocations: tuple[e.Allocation, ...]
) -> tuple[e.LenderAmount, ...]:
    """What each lender lost, by name: claims and its part of the charges."""
    lost: dict[str, int] = {}
    for paid in allocations:
        program = program_of(state, state.authorizations[paid.authorization_id])
        charges = paid.charge_parts or (0,) * len(paid.parts)
        for lender_id, claim, charge in zip(
            program.lenders, paid.parts, charges, strict=True
        ):
            lost[lender_id] = lost.get(lender_id, 0) + claim + charge
    return tuple(e.LenderAmount(name, minor) for name, minor in lost.items())


def _count_written_off(
    state: ShardState, allocations: tuple[e.Allocation, ...], sign: int
) -> None:
    """The day's losses; charges that were never paid are nobody's income."""
    for paid in allocations:
        program = program_of(state, state.authorizations[paid.authorization_id])
        charges = paid.charge_parts or (0,) * len(paid.parts)
        for lender_id, claim, charge in zip(
            program.lenders, paid.parts, charges, strict=True
        ):
            totals = state.lender_totals(lender_id)
            totals.written_off_minor += sign * claim
            totals.charges_minor -= sign * charge


def decide_reverse_write_off(
    state: ShardState, command: c.ReverseWriteOff, moment: Moment
) -> Decision:
    payment = state.payments.get(command.write_off_id)
    if payment is None or payment.kind is not PaymentKind.WRITE_OFF:
        return declined(DeclineReason.WRITE_OFF_NOT_FOUND)
    account = state.accounts[payment.account_id]
    if payment.status is PaymentStatus.REVERSED:
        return declined(DeclineReason.ALREADY_REVERSED)
    if account.written_off_minor < payment.amount_minor:
        # Recoveries have to be reversed first.
        return declined(
            DeclineReason.RECOVERY_EXCEEDS_WRITTEN_OFF,
            payment.amount_minor - account.written_off_minor,
        )
    undone = undo(state, account, payment.allocations)
    return e.WriteOffReversed(
        command.write_off_id,
        payment.account_id,
        payment.amount_minor,
        undone,
        *_after(account, undone),
    )


def _after(account: Account, undone: tuple[e.Undone, ...]) -> tuple[int, int]:
    """What comes off the credit balance, and what may still be bought then."""
    credit_minor = sum(back.credit_minor for back in undone)
    principal_minor = sum(back.amount_minor for back in undone)
    return credit_minor, account.open_to_buy_minor - principal_minor - credit_minor


def apply_write_off_reversed(state: ShardState, event: e.WriteOffReversed) -> None:
    account = state.accounts[event.account_id]
    payment = state.payments[event.write_off_id]
    _count_written_off(state, payment.allocations, -1)
    account.written_off_minor -= event.amount_minor
    unpay(state, account, payment.allocations, event.undone)
    account.credit_minor -= event.credit_minor
    payment.status = PaymentStatus.REVERSED
    assert account.open_to_buy_minor == event.open_to_buy_minor


def decide_recovery(
    state: ShardState, command: c.RecordRecovery, moment: Moment
) -> Decision:
    account = state.accounts.get(command.account_id)
    refused = decline_money(account, command.currency)
    if refused is not None:
        return refused
    assert account is not None
    if not account.written_off_minor:
        return declined(DeclineReason.NOTHING_WRITTEN_OFF)
    if command.amount_minor > account.written_off_minor:
        return declined(
            DeclineReason.RECOVERY_EXCEEDS_WRITTEN_OFF,
            command.amount_minor - account.written_off_minor,
        )
    lost = _lost(state, command.account_id)
    weights = [part.amount_minor for part in lost]
    parts = apportion(weights, sum(weights), (0,) * len(weights), command.amount_minor)
    return e.RecoveryRecorded(
        command.account_id,
        make_id(IdKind.RECOVERY, account.slot, state.shard, state.sequence + 1),
        command.amount_minor,
        tuple(
            e.LenderAmount(part.lender_id, minor)
            for part, minor in zip(lost, parts, strict=True)
        ),
    )


def _lost(state: ShardState, account_id: str) -> tuple[e.LenderAmount, ...]:
    """What the account's write-offs cost each lender, less what was recovered."""
    lost: dict[str, int] = {}
    for name in state.losses[account_id]:
        payment = state.payments[name]
        if payment.status is PaymentStatus.REVERSED:
            continue
        sign = {PaymentKind.WRITE_OFF: 1, PaymentKind.RECOVERY: -1}.get(payment.kind, 0)
        for part in payment.parts:
            minor = lost.get(part.lender_id, 0) + sign * part.amount_minor
            lost[part.lender_id] = minor
    return tuple(e.LenderAmount(name, minor) for name, minor in lost.items())


def apply_recovery(state: ShardState, event: e.RecoveryRecorded) -> None:
    _count_recovered(state, event.parts, 1)
    state.accounts[event.account_id].written_off_minor -= event.amount_minor
    state.payments[event.recovery_id] = Payment(
        event.account_id,
        PaymentKind.RECOVERY,
        PaymentStatus.PROVISIONAL,
        event.amount_minor,
        parts=event.parts,
    )
    state.losses[event.account_id].append(event.recovery_id)


def _count_recovered(
    state: ShardState, parts: tuple[e.LenderAmount, ...], sign: int
) -> None:
    for part in parts:
        totals = state.lender_totals(part.lender_id)
        totals.recovered_minor += sign * part.amount_minor


def decide_reverse_recovery(
    state: ShardState, command: c.ReverseRecovery, moment: Moment
) -> Decision:
    payment = state.payments.get(command.recovery_id)
    if payment is None or payment.kind is not PaymentKind.RECOVERY:
        return declined(DeclineReason.RECOVERY_NOT_FOUND)
    if payment.status is PaymentStatus.REVERSED:
        return declined(DeclineReason.ALREADY_REVERSED)
    return e.RecoveryReversed(
        command.recovery_id, payment.account_id, payment.amount_minor
    )


def apply_recovery_reversed(state: ShardState, event: e.RecoveryReversed) -> None:
    payment = state.payments[event.recovery_id]
    _count_recovered(state, payment.parts, -1)
    state.accounts[event.account_id].written_off_minor += event.amount_minor
    payment.status = PaymentStatus.REVERSED


def decide_claim(state: ShardState, command: c.PayClaim, moment: Moment) -> Decision:
    account = state.accounts.get(command.account_id)
    refused = decline_money(account, command.currency)
    if refused is not None:
        return refused
    assert account is not None
    owed = owed_lines(state, account)
    owed_minor = _sum(owed)
    if not owed_minor:
        return declined(DeclineReason.NOTHING_OWED)
    if command.amount_minor > owed_minor:
        return declined(
            DeclineReason.CLAIM_EXCEEDS_OWED, command.amount_minor - owed_minor
        )
    allocations, _ = allocate(state, account, owed, command.amount_minor)
    principal_minor = sum(paid.amount_minor for paid in allocations)
    return e.ClaimPaid(
        command.account_id,
        make_id(IdKind.CLAIM, account.slot, state.shard, state.sequence + 1),
        command.guarantor_id,
        command.amount_minor,
        allocations,
        account.open_to_buy_minor + principal_minor,
    )


def apply_claim_paid(state: ShardState, event: e.ClaimPaid) -> None:
    account = state.accounts[event.account_id]
    count_claims(state, event.allocations, 1)
    pay(state, account, event.allocations)
    state.payments[event.claim_id] = Payment(
        event.account_id,
        PaymentKind.CLAIM,
        PaymentStatus.PROVISIONAL,
        event.amount_minor,
        allocations=event.allocations,
    )
    account.freeze()
    assert account.open_to_buy_minor == event.open_to_buy_minor


def decide_reverse_claim(
    state: ShardState, command: c.ReverseClaim, moment: Moment
) -> Decision:
    payment = state.payments.get(command.claim_id)
    if payment is None or payment.kind is not PaymentKind.CLAIM:
        return declined(DeclineReason.CLAIM_NOT_FOUND)
    if payment.status is PaymentStatus.REVERSED:
        return declined(DeclineReason.ALREADY_REVERSED)
    account = state.accounts[payment.account_id]
    undone = undo(state, account, payment.allocations)
    return e.ClaimReversed(
        command.claim_id,
        payment.account_id,
        payment.amount_minor,
        undone,
        *_after(account, undone),
    )


def apply_claim_reversed(state: ShardState, event: e.ClaimReversed) -> None:
    account = state.accounts[event.account_id]
    payment = state.payments[event.claim_id]
    count_claims(state, payment.allocations, -1)
    unpay(state, account, payment.allocations, event.undone)
    account.credit_minor -= event.credit_minor
    payment.status = PaymentStatus.REVERSED
    assert account.open_to_buy_minor == event.open_to_buy_minor
