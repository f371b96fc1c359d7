"""How the naive shard takes in a fact: check every number in it, then add it.

`Judge` holds one method a command.  Each works out what the event and the
answer must be, compares, writes the lines, and returns the expected answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import msgspec

from processor import commands as c
from processor import events as e
from processor.declines import DeclineReason as Reason
from processor.ids import shard_of_slot, slot_of_account, slot_of_made_id
from processor.terms import CategoryVelocity, Velocity
from tests.property.naive_charges import day_of_charges, take_charge, take_charge_back
from tests.property.naive_model import (
    Account,
    Answer,
    Hold,
    NaiveShard,
    Parts,
    Purchase,
    added,
    check_draw,
    check_split,
    first_of,
    taken_off,
)

OF_A_POOL = (Reason.RESERVE_EXHAUSTED, Reason.DAILY_CAP_EXCEEDED)
NAMED = {
    Reason.ACCOUNT_CLOSED,
    Reason.ACCOUNT_FROZEN,
    Reason.TOO_MANY_AUTHORIZATIONS,
    Reason.VELOCITY_PURCHASE,
    Reason.VELOCITY_DAILY,
    Reason.VELOCITY_MONTHLY,
    Reason.CREDIT_LIMIT_EXCEEDED,
    Reason.LENDER_SUSPENDED,
    Reason.DAILY_CAP_EXCEEDED,
    Reason.RESERVE_EXHAUSTED,
}


@dataclass
class Judge:
    """Judges the facts of one shard against what the naive shard expects."""

    expected: NaiveShard

    # Facts that somebody asked for.

    def judge(self, command: c.Command, event: e.Event, now_ms: int) -> Answer:
        """Check a fact, add it, and say what its answer must be."""
        self.expected.now_ms = now_ms
        assert self.expected.account_of(command) not in self.expected.run_out()
        reasons = self.expected.reasons(command)
        if isinstance(event, e.Declined):
            if event.reason in OF_A_POOL:
                assert {} == reasons
                self.judge_refusal(command, event)
            else:
                assert event.reason is first_of(reasons)
                assert event.missing_minor == reasons[event.reason]
                is_suspended = event.lender_id in self.expected.suspended
                assert is_suspended == (event.reason is Reason.LENDER_SUSPENDED)
                category = self.expected.category_of.get(event.reason, "")
                assert event.category == category
            self.count("declined")
            self.check_declined_name(command, event)
            return declined_answer(event)
        assert {} == reasons
        answer: Answer = getattr(self, f"take_{command.wire_name()}")(command, event)
        return {"status": "approved"} | answer

    def check_declined_name(self, command: c.Command, event: e.Declined) -> None:
        """What is declined for money or status has a name, to ask why."""
        is_named = event.reason in NAMED and isinstance(
            command, c.Authorize | c.ConvertHold
        )
        assert bool(event.authorization_id) == is_named
        assert event.at_ms == (self.expected.now_ms if is_named else 0)
        if is_named:
            account_id = self.expected.account_of(command)
            self.check_name(event.authorization_id, "au", account_id)

    def judge_refusal(self, command: c.Command, event: e.Declined) -> None:
        """A decline for reserve rests on a refusal, and on what is free here now."""
        pool_id, headroom = self.expected.refusals[event.refusal]
        lender_id = event.lender_id
        is_of_cap = event.reason is Reason.DAILY_CAP_EXCEEDED
        assert pool_id == (f"daily/{lender_id}" if is_of_cap else lender_id)
        assert event.missing_minor > 0
        part = event.missing_minor + headroom + self.expected.free(pool_id)
        if isinstance(command, c.Authorize) and command.partial:
            found = self.check_refusals(event.refusals)[pool_id]
            pools = self.pools_of(self.would_split(command)[0])
            assert found == 0 or len(event.refusals) > len(pools)
            if event.missing_minor == 1:
                return  # It may be the least, of a wish that splits otherwise.
            part = event.missing_minor + found
        program, amount = self.would_split(command)
        before = self.expected.split_so_far(program.program_id, program.version)
        reached = sum(before) + amount
        names = [share.lender_id for share in program.shares]
        i = names.index(lender_id)
        quota = Fraction(program.shares[i].share_ppm * reached, 1_000_000)
        assert abs(before[i] + part - quota) < 1

    def would_split(self, command: c.Command) -> tuple[e.ProgramRegistered, int]:
        """The program and the amount of a purchase that was not to be."""
        expected = self.expected
        match command:
            case c.Authorize():
                program_id = expected.accounts[command.account_id].program
                return expected.programs[program_id], command.amount_minor
            case c.ConvertHold():
                hold = expected.holds[command.hold_id]
                program_id = expected.accounts[hold.account].program
                held = expected.total("hold", command.hold_id)
                return expected.programs[program_id], command.amount_minor or held
            case c.IncrementAuthorization():
                key = command.authorization_id
                return expected.program_of(key), command.amount_minor
            case c.CaptureAuthorization():
                key = command.authorization_id
                extra = (command.amount_minor or 0) - expected.open_of(key)
                return expected.program_of(key), extra
        raise AssertionError(f"{command} needs no reserve")

    def take_open_account(self, command: c.OpenAccount, event: e.AccountOpened) -> Any:
        account_id = command.account_id
        assert event == e.AccountOpened(
            account_id, command.program_id, command.currency, command.limit_minor
        )
        self.expected.accounts[account_id] = Account(
            command.program_id, command.currency
        )
        self.expected.add("limit", account_id, command.limit_minor)
        return {"account_id": account_id}

    def take_change_limit(self, command: c.ChangeLimit, event: e.LimitChanged) -> Any:
        account_id = command.account_id
        change = command.limit_minor - self.expected.ordinary_limit(account_id)
        self.expected.add("limit", account_id, change)
        open_to_buy = self.expected.open_to_buy(account_id)
        temporary = self.expected.accounts[account_id].temporary
        assert event == e.LimitChanged(
            account_id, command.limit_minor, open_to_buy, *(temporary or (0, ""))
        )
        answer: Answer = {
            "account_id": account_id,
            "limit_minor": command.limit_minor,
            "open_to_buy_minor": open_to_buy,
        }
        if temporary is not None:
            answer["temporary_limit_minor"] = temporary[0]
            answer["temporary_until_day"] = temporary[1]
        return answer

    def take_set_temporary_limit(
        self, command: c.SetTemporaryLimit, event: e.TemporaryLimitSet
    ) -> Any:
        expected, account_id = self.expected, command.account_id
        temporary = (command.limit_minor, command.until_day)
        expected.accounts[account_id].temporary = temporary
        ordinary = expected.ordinary_limit(account_id)
        open_to_buy = expected.open_to_buy(account_id)
        assert event == e.TemporaryLimitSet(
            account_id, *temporary, ordinary, open_to_buy
        )
        return {
            "account_id": account_id,
            "limit_minor": command.limit_minor,
            "until_day": command.until_day,
            "ordinary_limit_minor": ordinary,
            "open_to_buy_minor": open_to_buy,
        }

    def take_set_velocity(self, command: c.SetVelocity, event: e.VelocitySet) -> Any:
        """A bound that was there goes on counting, a new one begins here."""
        account_id = command.account_id
        assert event == e.VelocitySet(account_id, command.velocity, command.categories)
        account = self.expected.accounts[account_id]
        bounds: dict[str, Velocity | CategoryVelocity] = {"": command.velocity}
        bounds |= {limits.category: limits for limits in command.categories}
        if not command.categories and command.velocity == Velocity():
            bounds = {}
        here = len(self.expected.lines)
        account.velocity = {
            name: (
                (wanted.purchase_minor, wanted.daily_minor, wanted.monthly_minor),
                account.velocity.get(name, (None, here))[1],
            )
            for name, wanted in bounds.items()
        }
        return {
            "account_id": account_id,
            "velocity": msgspec.to_builtins(command.velocity),
            "categories": msgspec.to_builtins(list(command.categories)),
        }

    def take_freeze_account(
        self, command: c.FreezeAccount, event: e.AccountFrozen
    ) -> Any:
        assert event == e.AccountFrozen(command.account_id)
        return self.set_status(command.account_id, "frozen")

    def take_unfreeze_account(
        self, command: c.UnfreezeAccount, event: e.AccountUnfrozen
    ) -> Any:
        assert event == e.AccountUnfrozen(command.account_id)
        return self.set_status(command.account_id, "open")

    def take_close_account(
        self, command: c.CloseAccount, event: e.AccountClosed
    ) -> Any:
        assert event == e.AccountClosed(command.account_id)
        self.expected.accounts[command.account_id].temporary = None
        return self.set_status(command.account_id, "closed")

    def set_status(self, account_id: str, status: str) -> Answer:
        self.expected.accounts[account_id].status = status
        return {"account_id": account_id}

    def take_authorize(self, command: c.Authorize, event: e.Authorized) -> Any:
        assert (event.hold_id, event.hold_taken_minor) == ("", 0)
        assert event.hold_released_minor == 0
        account_id, amount = command.account_id, command.amount_minor
        if not command.partial:
            assert event.reduced is None
            return self.take_purchase(event, account_id, amount, command)
        amount, reduced = self.portion(command, event)
        answer = self.take_purchase(event, account_id, amount, command)
        answer["requested_minor"] = command.amount_minor
        return answer | {name: value for name, value in reduced.items() if value}

    def portion(self, command: c.Authorize, event: e.Authorized) -> tuple[int, Answer]:
        """The part that must have been approved, and what it was reduced by."""
        expected = self.expected
        rooms = expected.rooms(command.account_id, command.merchant_id)
        name, category, room = min(rooms, key=lambda found: found[2])
        most = min(room, command.amount_minor)
        reduced = event.reduced
        if reduced is not None and reduced.limited_by in ("reserve", "daily_cap"):
            assert 0 < event.amount_minor < most
            self.check_most(command, event, reduced)
            most, name, category = event.amount_minor, reduced.limited_by, ""
        elif most == command.amount_minor:
            assert reduced is None
            return most, {}
        assert reduced is not None
        assert reduced.requested_minor == command.amount_minor
        assert (reduced.limited_by, reduced.category) == (name, category)
        return most, {
            "limited_by": name,
            "category": category,
            "lender_id": reduced.lender_id,
        }

    def check_most(
        self, command: c.Authorize, event: e.Authorized, reduced: e.Reduced
    ) -> None:
        """By the refusals, one unit more could not have been had."""
        pool_id = reduced.lender_id
        if reduced.limited_by == "daily_cap":
            pool_id = f"daily/{pool_id}"
        found = self.check_refusals(reduced.refusals)[pool_id]
        part = self.quota(command, reduced.lender_id, event.amount_minor + 1)
        assert found < part + 1
        if part.denominator == 1:
            assert found < part

    def check_refusals(self, refusals: tuple[e.Refusal, ...]) -> dict[str, int]:
        """What each pool that was refused has anywhere, by the latest word."""
        expected = self.expected
        found = {}
        for refusal in refusals:
            told = expected.refusals[refusal.refusal]
            assert told == (refusal.pool_id, refusal.headroom_minor)
            leased = expected.total("receive", refusal.pool_id)
            leased -= expected.total("return", refusal.pool_id)
            leased -= expected.forced_held.get(refusal.pool_id, 0)
            elsewhere = refusal.headroom_minor - (leased - refusal.leased_minor)
            free = expected.free(refusal.pool_id)
            found[refusal.pool_id] = max(0, elsewhere) + free
        return found

    def pools_of(self, program: e.ProgramRegistered) -> list[str]:
        """What a purchase under a program needs: reserves and daily caps."""
        lenders = [share.lender_id for share in program.shares]
        capped = [x for x in lenders if x in self.expected.capped]
        return [*(f"daily/{lender_id}" for lender_id in capped), *lenders]

    def quota(self, command: c.Command, lender_id: str, amount: int) -> Fraction:
        """A lender's exact part of an amount, before any rounding."""
        program, _ = self.would_split(command)
        before = self.expected.split_so_far(program.program_id, program.version)
        i = [share.lender_id for share in program.shares].index(lender_id)
        ppm = program.shares[i].share_ppm
        reached = sum(before) + amount
        return Fraction(ppm * reached, 1_000_000) - before[i]

    def take_convert_hold(self, command: c.ConvertHold, event: e.Authorized) -> Any:
        hold = self.expected.holds[command.hold_id]
        held = self.expected.total("hold", command.hold_id)
        amount = command.amount_minor or held
        rest = held - amount if command.final else 0
        assert (event.hold_id, event.hold_taken_minor) == (command.hold_id, amount)
        assert event.hold_released_minor == rest
        self.expected.add("hold", command.hold_id, -amount - rest)
        return self.take_purchase(event, hold.account, amount, command)

    def take_purchase(
        self,
        event: e.Authorized,
        account_id: str,
        amount: int,
        command: c.Authorize | c.ConvertHold,
    ) -> Answer:
        expected = self.expected
        program = expected.programs[expected.accounts[account_id].program]
        expires = expected.now_ms + 1_000 * program.authorization_expiry_seconds
        assert event.account_id == account_id
        assert event.merchant_id == command.merchant_id
        assert event.amount_minor == amount
        assert (event.program_id, event.program_version) == (
            program.program_id,
            program.version,
        )
        assert event.expires_at_ms == expires
        assert event.captured == command.capture
        self.check_name(event.authorization_id, "au", account_id)
        self.check_new_split(program, event.parts, amount)
        key = event.authorization_id
        expected.purchases[key] = Purchase(
            account_id,
            command.merchant_id,
            program.program_id,
            program.version,
            expires,
            expected.day,
            command.reference,
            expected.category(command.merchant_id),
        )
        expected.add("authorize", key, amount, event.parts)
        self.count("authorized")
        shown: Answer = {}
        if command.capture:
            shown = self.book_capture(key, amount, event.parts, event)
        else:
            assert event.charge is None
            assert (event.credit_used_minor, event.credit_parts) == (0, ())
        open_to_buy = expected.open_to_buy(account_id)
        assert event.open_to_buy_minor == open_to_buy
        return {
            "authorization_id": key,
            "account_id": account_id,
            "amount_minor": amount,
            "captured_minor": amount if command.capture else 0,
            "expires_at_ms": expires,
            "open_to_buy_minor": open_to_buy,
        } | shown

    def check_name(self, name: str, kind: str, account_id: str) -> None:
        """A new name is new, says its kind, and leads to its account's shard."""
        assert name not in self.expected.names
        self.expected.names.add(name)
        assert name[:3] == kind + "_"
        assert slot_of_made_id(name) == slot_of_account(account_id)
        assert shard_of_slot(slot_of_account(account_id), 1) == 0

    def check_new_split(
        self,
        program: e.ProgramRegistered,
        parts: Parts,
        amount: int,
        is_counted: bool = True,
    ) -> None:
        """A new split is fair over all time, and the slices cover it."""
        before = self.expected.split_so_far(program.program_id, program.version)
        check_split([s.share_ppm for s in program.shares], before, parts, amount)
        for share, part in zip(program.shares, parts, strict=True):
            assert part <= self.expected.free(share.lender_id)
            if is_counted and share.lender_id in self.expected.capped:
                assert part <= self.expected.free(f"daily/{share.lender_id}")

    def book_capture(
        self,
        key: str,
        amount: int,
        parts: Parts,
        event: e.Authorized | e.Captured | e.ForceCaptured,
    ) -> Answer:
        """A debt begins; the borrower's credit balance pays for it at once."""
        expected = self.expected
        account_id = expected.purchases[key].account
        merchant_id = expected.purchases[key].merchant
        used = min(expected.credit(account_id), amount)
        expected.add("capture", key, amount, parts)
        expected.add("sold", merchant_id, amount)
        self.count(f"sold:{merchant_id}")
        assert event.credit_used_minor == used
        if used:
            none = (0,) * len(parts)
            check_draw(parts, none, event.credit_parts, used, True)
            expected.add("pay", key, used, event.credit_parts)
            expected.add("credit", account_id, -used)
        return take_charge(expected, key, amount, event.charge)

    def take_increment_authorization(
        self, command: c.IncrementAuthorization, event: e.AuthorizationIncremented
    ) -> Any:
        key, amount = command.authorization_id, command.amount_minor
        self.check_new_split(self.expected.program_of(key), event.parts, amount)
        self.expected.add("authorize", key, amount, event.parts)
        return self.changed(key, amount, event)

    def changed(
        self,
        key: str,
        amount: int,
        event: e.AuthorizationIncremented | e.AuthorizationReversed,
    ) -> Answer:
        account_id = self.expected.purchases[key].account
        open_to_buy = self.expected.open_to_buy(account_id)
        assert event.authorization_id == key
        assert event.amount_minor == amount
        assert event.open_to_buy_minor == open_to_buy
        return {
            "authorization_id": key,
            "amount_minor": amount,
            "open_to_buy_minor": open_to_buy,
        }

    def take_capture_authorization(
        self, command: c.CaptureAuthorization, event: e.Captured
    ) -> Any:
        expected = self.expected
        key = command.authorization_id
        is_open = expected.open_of(key)
        amount = command.amount_minor or is_open
        extra = max(0, amount - is_open)
        released = max(0, is_open - amount) if command.final else 0
        assert event.authorization_id == key
        assert (event.amount_minor, event.extra_minor) == (amount, extra)
        assert event.released_minor == released
        account_id = expected.purchases[key].account
        self.check_name(event.capture_id, "ca", account_id)
        taken = taken_off(event.parts, event.extra_parts)
        self.check_leaving(key, taken, amount - extra)
        assert sum(event.extra_parts) == extra
        if extra:
            program = expected.program_of(key)
            self.check_new_split(program, event.extra_parts, extra)
            expected.add("authorize", key, extra, event.extra_parts)
        shown = self.book_capture(key, amount, event.parts, event)
        if released:
            assert event.released_parts == expected.open_parts(key)
            expected.add("back", key, released, event.released_parts)
        open_to_buy = expected.open_to_buy(account_id)
        # The answer leaves out what the credit balance paid: it changes nothing.
        assert event.open_to_buy_minor == open_to_buy
        return {
            "authorization_id": key,
            "capture_id": event.capture_id,
            "amount_minor": amount,
            "released_minor": released,
            "open_to_buy_minor": open_to_buy,
        } | shown

    def take_force_capture(
        self, command: c.ForceCapture, event: e.ForceCaptured
    ) -> Any:
        """Booked whatever the limit, the status and the caps say."""
        expected, account_id = self.expected, command.account_id
        key, amount = event.authorization_id, command.amount_minor
        assert event.is_new == (not expected.is_for(command))
        self.check_name(event.capture_id, "ca", account_id)
        if event.is_new:
            self.check_name(key, "au", account_id)
            program = expected.programs[expected.accounts[account_id].program]
            expected.purchases[key] = Purchase(
                account_id,
                command.merchant_id,
                program.program_id,
                program.version,
                expected.now_ms,
                expected.day,
                command.reference,
                expected.category(command.merchant_id),
            )
        assert key == command.authorization_id or event.is_new
        program, is_open = expected.program_of(key), expected.open_of(key)
        extra = max(0, amount - is_open)
        assert (event.amount_minor, event.extra_minor) == (amount, extra)
        assert sum(event.extra_parts) == extra
        taken = taken_off(event.parts, event.extra_parts)
        self.check_leaving(key, taken, amount - extra)
        if extra:
            self.check_new_split(program, event.extra_parts, extra, is_counted=False)
            expected.add("authorize", key, extra, event.extra_parts, is_counted=False)
        charged = self.book_capture(key, amount, event.parts, event)
        open_to_buy = expected.open_to_buy(account_id)
        assert event.open_to_buy_minor == open_to_buy
        assert event.over_limit_minor == max(0, -open_to_buy)
        assert 0 <= event.lender_advance_minor <= extra
        expected.forced.add(key)
        return charged | {
            "authorization_id": key,
            "capture_id": event.capture_id,
            "account_id": account_id,
            "amount_minor": amount,
            "forced": True,
            "over_limit_minor": max(0, -open_to_buy),
            "lender_advance_minor": event.lender_advance_minor,
            "open_to_buy_minor": open_to_buy,
        }

    def check_leaving(self, key: str, parts: Parts, amount: int) -> None:
        """What leaves an authorization leaves in proportion to what it was."""
        expected = self.expected
        gone = added(expected.parts("capture", key), expected.parts("back", key))
        stock = expected.parts("authorize", key)
        is_steady = self.is_steady(key, "authorize", ("capture", "back"))
        check_draw(stock, gone, parts, amount, is_steady)

    def is_steady(self, key: str, stock: str, drains: tuple[str, ...]) -> bool:
        """Whether the stock never grew after something had been drawn from it."""
        kinds = [line.kind for line in self.expected.lines_of.get(key, ())]
        drawn = [i for i, kind in enumerate(kinds) if kind in drains]
        return not drawn or stock not in kinds[drawn[0] :]

    def take_reverse_authorization(
        self, command: c.ReverseAuthorization, event: e.AuthorizationReversed
    ) -> Any:
        key = command.authorization_id
        amount = command.amount_minor or self.expected.open_of(key)
        self.check_leaving(key, event.parts, amount)
        self.expected.add("back", key, amount, event.parts)
        return self.changed(key, amount, event)

    def take_refund(self, command: c.Refund, event: e.Refunded) -> Any:
        expected = self.expected
        key = command.authorization_id
        purchase = expected.purchases[key]
        captured = expected.parts("capture", key)
        refunded = expected.parts("refund", key)
        amount = command.amount_minor or sum(captured) - sum(refunded)
        owed = expected.owed_of(key)
        principal = event.principal_minor
        assert event.authorization_id == key
        assert event.amount_minor == amount
        # By line: what was paid of one is credit, though another is still owed.
        paid = sum(captured) - sum(refunded) - owed
        assert max(0, amount - paid) <= principal <= min(amount, owed)
        assert principal == min(amount, owed) or event.line_parts
        assert event.credit_minor == amount - principal
        assert event.purchase_day == purchase.day
        self.check_name(event.refund_id, "re", purchase.account)
        is_steady = self.is_steady(key, "capture", ("refund",))
        check_draw(captured, refunded, event.parts, amount, is_steady)
        self.check_claims(key, event.principal_parts, principal)
        expected.add("refund", key, amount, event.parts)
        expected.add("forgive", key, principal, event.principal_parts)
        expected.add("credit", purchase.account, amount - principal)
        expected.add("taken back", purchase.merchant, amount)
        self.count(f"taken back:{purchase.merchant}")
        shown = take_charge_back(expected, key, event.charge_back, is_steady)
        if amount == sum(captured) - sum(refunded):  # All of it is back.
            assert expected.parts("refund", key) == captured
        open_to_buy = expected.open_to_buy(purchase.account)
        assert event.open_to_buy_minor == open_to_buy
        return {
            "authorization_id": key,
            "refund_id": event.refund_id,
            "amount_minor": amount,
            "principal_minor": principal,
            "credit_minor": amount - principal,
            "purchase_day": purchase.day,
            "open_to_buy_minor": open_to_buy,
        } | shown

    def check_claims(self, key: str, parts: Parts, amount: int) -> None:
        """What is paid of a purchase lowers each lender's claim in proportion."""
        owed = self.expected.owed_parts(key)
        check_draw(owed, (0,) * len(owed), parts, amount, True)

    def take_repay(self, command: c.Repay, event: e.Repaid) -> Any:
        expected = self.expected
        account_id, left = command.account_id, command.amount_minor
        self.check_name(event.repayment_id, "rp", account_id)
        owed = expected.outstanding(account_id)
        assert left == event.credit_minor + self.pay_all(event.allocations)
        left -= min(left, owed)
        expected.add("credit", account_id, left)
        expected.add("repaid", "", command.amount_minor)
        self.count("repaid")
        open_to_buy = expected.open_to_buy(account_id)
        assert (event.account_id, event.amount_minor) == (
            account_id,
            command.amount_minor,
        )
        assert event.credit_minor == left
        assert event.open_to_buy_minor == open_to_buy
        return {
            "repayment_id": event.repayment_id,
            "account_id": account_id,
            "amount_minor": command.amount_minor,
            "principal_minor": command.amount_minor - left,
            "interest_minor": 0,
            "fee_minor": 0,
            "penalty_minor": 0,
            "credit_minor": left,
            "open_to_buy_minor": open_to_buy,
            "provisional": False,
        }

    def pay_all(self, allocations: Sequence[e.Allocation]) -> int:
        """Principal alone, of whichever line; `naive_debts` knows the order."""
        total = 0
        for allocation in allocations:
            key, paid = allocation.authorization_id, allocation.amount_minor
            assert allocation.charges_minor == 0 < paid <= self.expected.owed_of(key)
            self.check_claims(key, allocation.parts, paid)
            self.expected.add("pay", key, paid, allocation.parts)
            total += paid
        return total

    def take_place_hold(self, command: c.PlaceHold, event: e.HoldPlaced) -> Any:
        expected = self.expected
        account_id = command.account_id
        program = expected.programs[expected.accounts[account_id].program]
        expires = expected.now_ms + 1_000 * program.hold_expiry_seconds
        self.check_name(event.hold_id, "ho", account_id)
        expected.holds[event.hold_id] = Hold(account_id, expires, command.reference)
        assert event.account_id == account_id
        assert event.expires_at_ms == expires
        answer = self.hold_changed(event.hold_id, command.amount_minor, event)
        return answer | {"expires_at_ms": expires}

    def take_increase_hold(
        self, command: c.IncreaseHold, event: e.HoldIncreased
    ) -> Any:
        answer = self.hold_changed(command.hold_id, command.amount_minor, event)
        return answer | {"expires_at_ms": None}

    def take_release_hold(self, command: c.ReleaseHold, event: e.HoldReleased) -> Any:
        held = self.expected.total("hold", command.hold_id)
        amount = command.amount_minor or held
        answer = self.hold_changed(command.hold_id, -amount, event)
        return answer | {"expires_at_ms": None}

    def hold_changed(
        self,
        key: str,
        change: int,
        event: e.HoldPlaced | e.HoldIncreased | e.HoldReleased,
    ) -> Answer:
        self.expected.add("hold", key, change)
        open_to_buy = self.expected.open_to_buy(self.expected.holds[key].account)
        assert event.hold_id == key
        assert event.amount_minor == abs(change)
        assert event.open_to_buy_minor == open_to_buy
        return {
            "hold_id": key,
            "amount_minor": abs(change),
            "open_to_buy_minor": open_to_buy,
        }

    def count(self, what: str) -> None:
        self.expected.add("count", what, 1)

    # Facts that nobody asked for.

    def observe(self, event: e.Event, now_ms: int) -> None:
        """Check and add what the shard did by itself or was told."""
        expected = self.expected
        expected.now_ms = now_ms
        match event:
            case e.AuthorizationExpired():
                key = event.authorization_id
                assert expected.purchases[key].expires_at_ms <= now_ms
                assert event.amount_minor == expected.open_of(key) > 0
                assert event.parts == expected.open_parts(key)
                expected.add("back", key, event.amount_minor, event.parts)
                expected.add("expired", key, 1)
            case e.HoldExpired():
                key = event.hold_id
                assert expected.holds[key].expires_at_ms <= now_ms
                assert event.amount_minor == expected.total("hold", key) > 0
                expected.add("hold", key, -event.amount_minor)
                expected.add("expired", key, 1)
            case e.TemporaryLimitEnded():
                account_id = event.account_id
                assert account_id in expected.run_out()
                expected.accounts[account_id].temporary = None
                assert event.limit_minor == expected.ordinary_limit(account_id)
                assert event.open_to_buy_minor == expected.open_to_buy(account_id)
            case e.SliceReceived():
                more = event.received_minor - expected.total("receive", event.pool_id)
                assert more > 0
                expected.add("receive", event.pool_id, more)
                forced = event.forced_minor - expected.total("forced", event.pool_id)
                assert 0 <= forced <= more
                expected.add("forced", event.pool_id, forced)
                held = expected.forced_held.get(event.pool_id, 0)
                expected.forced_held[event.pool_id] = held + forced
            case e.SliceReturned():
                more = event.returned_minor - expected.total("return", event.pool_id)
                free = expected.free(event.pool_id)
                # All that is free, or what of it was raised by force.
                by_force = expected.forced_held.get(event.pool_id, 0)
                assert 0 < more
                assert more in (free, min(free, by_force))
                expected.forced_held[event.pool_id] = max(0, by_force - more)
                expected.add("return", event.pool_id, more)
            case e.ReferenceReceived():
                self.learn(event)
            case e.StatementIssued():
                name = event.account_id
                assert event.outstanding_minor == expected.outstanding(name)
                assert event.credit_minor == expected.credit(name)
                assert event.past_due_minor <= event.outstanding_minor
            case e.CreditUsed():
                assert event.amount_minor == self.pay_all(event.allocations) > 0
                expected.add("credit", event.account_id, -event.amount_minor)
            case e.DayMoved():
                assert event.day == expected.day < event.next_day
                assert without_zeros(event.totals) == self.totals_of(event.day)
                expected.day = event.next_day
            case _:
                raise AssertionError(f"nobody asked for {event}")

    def learn(self, event: e.ReferenceReceived) -> None:
        for fact in event.facts:
            match fact:
                case e.LenderRegistered():
                    self.expected.lenders.add(fact.lender_id)
                case e.LenderSuspended():
                    self.expected.suspended.add(fact.lender_id)
                case e.LenderResumed():
                    self.expected.suspended.remove(fact.lender_id)
                case e.DailyCapSet():
                    self.expected.set_cap(fact)
                case e.MerchantRegistered() | e.MerchantChanged():
                    self.expected.learn_merchant(fact)
                case e.ProgramRegistered():
                    self.expected.programs[fact.program_id] = fact
                    self.expected.versions[fact.program_id, fact.version] = fact

    def totals_of(self, day: str) -> Answer:
        """A day's totals, zeros left out."""
        lines = [line for line in self.expected.lines if line.day == day]

        def total(kind: str, key: str) -> int:
            return sum(x.amount for x in lines if (x.kind, x.key) == (kind, key))

        lenders = {
            name: {
                "captured_minor": self.expected.of_lender("capture", name, day),
                "refunded_minor": self.expected.of_lender("refund", name, day),
                "claim_repaid_minor": self.expected.of_lender("pay", name, day),
                "claim_refunded_minor": self.expected.of_lender("forgive", name, day),
            }
            for name in self.expected.lenders
        }
        merchants = {
            name: {
                "captured_minor": total("sold", name),
                "captured_count": total("count", f"sold:{name}"),
                "refunded_minor": total("taken back", name),
                "refunded_count": total("count", f"taken back:{name}"),
            }
            for name in self.expected.merchants
        }
        charges = day_of_charges(self.expected, day)
        for name, sums in merchants.items():
            sums |= charges["merchants"][name]
        totals: Answer = without_zeros(
            {
                "lenders": lenders,
                "merchants": merchants,
                "parties": charges["parties"],
                "payers": charges["payers"],
                "authorized_count": total("count", "authorized"),
                "declined_count": total("count", "declined"),
                "repaid_minor": total("repaid", ""),
                "repaid_count": total("count", "repaid"),
            }
        )
        return totals


def declined_answer(event: e.Declined) -> Answer:
    """What a decline must say, without what it leaves out."""
    answer: Answer = {
        "status": "declined",
        "reason": event.reason.value,
        "transient": event.reason.is_transient,
    }
    if event.missing_minor:
        named = "excess" if "_exceeds_" in event.reason.value else "headroom_missing"
        answer[f"{named}_minor"] = event.missing_minor
    if event.lender_id:
        answer["lender_id"] = event.lender_id
    if event.category:
        answer["category"] = event.category
    if event.authorization_id:
        answer["authorization_id"] = event.authorization_id
    return answer


def without_zeros(totals: Any) -> Any:
    """Nested totals as plain dictionaries, without what is zero or empty."""
    if isinstance(totals, msgspec.Struct):
        totals = msgspec.to_builtins(totals)
    if not isinstance(totals, dict):
        return totals
    kept = {key: without_zeros(value) for key, value in totals.items()}
    return {key: value for key, value in kept.items() if value}
