"""Replay six months of card accounts against a running server.

A business day is: fund the lenders, ask for all repayments, purchases and
refunds of the day, many in a request, close the day and wait until it is
closed.  No account has two operations on a day that must keep their order.

A replay that was interrupted anywhere is continued by running it again: every
request id is made from the file alone, so everything is simply asked again.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from gateway.clients import lending
from gateway.clients.plan import (
    FIRST_DAY,
    Card,
    Day,
    Kind,
    Operation,
    Plan,
    begins_on,
    build_plan,
    business_date,
)
from gateway.clients.reader import read_cards
from gateway.clients.readings import charges_paid_minor, read_standing
from gateway.clients.result import ClientsResult
from gateway.replays.client import (
    IN_FLIGHT,
    Answer,
    Client,
    Decided,
    ReplayFailed,
    Wish,
)
from gateway.replays.lanes import run_together
from gateway.replays.progress import Watcher
from gateway.replays.registration import check_registered
from gateway.replays.result import Latency
from gateway.replays.run import Run, connected
from gateway.replays.tables import content_digest

BULK_COMMANDS: Final = 500
BULK_IN_FLIGHT: Final = 8
_Asked = TypeVar("_Asked", Card, Operation)


async def run_replay(
    *, url: str, key: str, file: Path, in_flight: int = IN_FLIGHT, show_progress: bool
) -> ClientsResult:
    """Replay a file; the same call continues one that was interrupted.

    Raises UnreadableFile for a file that is not of the form, ReplayFailed when
    the server refuses or does not answer.
    """
    plan = await asyncio.to_thread(_plan_of, file)
    async with connected(
        url,
        key,
        in_flight,
        total=plan.operation_count,
        counted="operations",
        show_progress=show_progress,
    ) as (client, watcher):
        return await Replay(client, plan, watcher, in_flight).run(file.name)


def first_day_of(file: Path) -> date:
    """The day a replay of the file begins with.  Raises UnreadableFile."""
    _plan_of(file)
    return FIRST_DAY


def _plan_of(file: Path) -> Plan:
    return build_plan(read_cards(file), content_digest(file))


class _Bought(msgspec.Struct):
    authorization_id: str
    left_minor: int


class Replay:
    """One run of a plan against one server."""

    def __init__(
        self, client: Client, plan: Plan, watcher: Watcher, in_flight: int
    ) -> None:
        self._plan = plan
        self._run = Run(client, watcher, in_flight, plan.digest, lending.CURRENCY)
        self._tally = self._run.tally
        self._merchant_id = f"card-merchants-{plan.digest}"
        self._bought: defaultdict[str, list[_Bought]] = defaultdict(list)
        self._unmatched_minor = 0

    async def run(self, file_name: str) -> ClientsResult:
        """The whole plan, from the first day to the last."""
        started_ns = time.perf_counter_ns()
        plan = self._plan
        for where in plan.named:
            self._run.watcher.note(f"left out: {where}")
        anchor = await self._set_the_stage()
        dates = [
            business_date(day.months_later, day.day_of_month, anchor)
            for day in plan.days
        ]
        for day, on, next_on in zip(plan.days, dates, dates[1:], strict=False):
            await self._run_day(day, on)
            self._tally.days_closed += await self._run.days.close(on, next_on)
        # A day brings an account what the days before it left, at the latest when
        # it is read; only then does the last day's total have all of that.
        names = [card.account_id for card in plan.cards]
        standing = await read_standing(self._run.client, names, self._run.in_flight)
        self._tally.days_closed += await self._run.days.close(dates[-1])
        paid_minor = await charges_paid_minor(self._run.client, lending.LENDERS, dates)
        positions = [await self._run.registration.position(n) for n in lending.LENDERS]
        return ClientsResult(
            file_name=file_name,
            first_file_day=FIRST_DAY,
            first_business_day=anchor,
            line_count=plan.line_count,
            skipped=dict(plan.malformed),
            tally=self._tally,
            latency=Latency.of(self._tally.latencies_us),
            positions=tuple(positions),
            asked_again=self._run.client.asked_again,
            elapsed_us=(time.perf_counter_ns() - started_ns) // 1000,
            accounts=len(plan.cards),
            standing=standing,
            penalties_minor=paid_minor + standing.charges_minor,
            refunds_unmatched_minor=self._unmatched_minor,
            before_count=plan.before_count,
        )

    async def _set_the_stage(self) -> date:
        """Merchant, lenders, programs, accounts; the business day of the first."""
        plan, register = self._plan, self._run.registration
        anchor = await self._run.days.anchor(
            self._merchant_id, "Card merchants", plan.digest, begins_on
        )
        self._run.note_first_day(FIRST_DAY, anchor)
        await register.register_lenders(lending.LENDERS)
        for program in lending.PROGRAMS:
            terms = msgspec.to_builtins(program.terms)
            await register.register_program(
                program.program_id, program.shares_ppm, terms=terms
            )
        await self._in_bulk(plan.cards, self._open)
        return anchor

    async def _run_day(self, day: Day, on: date) -> None:
        self._run.watcher.day_started(on)
        await self._run.fund(on, day.targets_minor)
        started_ns = time.perf_counter_ns()
        await self._in_bulk(day.operations, self._carry_out)
        self._tally.busy_us += (time.perf_counter_ns() - started_ns) // 1000

    async def _in_bulk(
        self,
        asked: Sequence[_Asked],
        carry_out: Callable[[Sequence[_Asked]], Awaitable[None]],
    ) -> None:
        parts = [
            asked[i : i + BULK_COMMANDS] for i in range(0, len(asked), BULK_COMMANDS)
        ]
        work = [(str(i), partial(carry_out, part)) for i, part in enumerate(parts)]
        await run_together(work, min(BULK_IN_FLIGHT, self._run.in_flight))

    async def _open(self, cards: Sequence[Card]) -> None:
        wishes = [
            self._wish("open_account", "o", card, _opening(card)) for card in cards
        ]
        for card, decided in zip(cards, await self._ask(wishes), strict=True):
            check_registered(card.account_id, decided.answer)
        self._run.watcher.decided(len(cards))

    async def _carry_out(self, operations: Sequence[Operation]) -> None:
        wishes: list[Wish] = []
        booked: list[Callable[[Answer], None]] = []
        for operation in operations:
            if operation.kind is Kind.REFUND:
                for bought, part_minor in self._take_back(operation):
                    wishes.append(self._refund(operation, bought, part_minor))
                    booked.append(partial(self._book_refund, bought, part_minor))
            elif operation.kind is Kind.PURCHASE:
                wishes.append(self._purchase(operation))
                booked.append(partial(self._book_purchase, operation))
            else:
                wishes.append(self._repayment(operation))
                booked.append(partial(self._book_repayment, operation))
        for book, decided in zip(booked, await self._ask(wishes), strict=True):
            book(decided.answer)
        self._run.watcher.decided(len(operations))

    async def _ask(self, wishes: Sequence[Wish]) -> list[Decided]:
        started_ns = time.perf_counter_ns()
        answers = await self._run.client.commands(wishes)
        self._tally.latencies_us.append((time.perf_counter_ns() - started_ns) // 1000)
        self._tally.replayed += sum(decided.replayed for decided in answers)
        return answers

    # What is asked.

    def _wish(
        self, command: str, what: str, card: Card, fields: dict[str, object]
    ) -> Wish:
        request_id = f"{self._plan.digest}-{what}-{card.client_id}"
        return Wish(command, request_id, fields)

    def _purchase(self, operation: Operation) -> Wish:
        fields: dict[str, object] = {
            "account_id": operation.card.account_id,
            "merchant_id": self._merchant_id,
            "amount_minor": operation.amount_minor,
            "currency": lending.CURRENCY,
            "capture": True,
        }
        return self._wish("authorize", _word(operation), operation.card, fields)

    def _repayment(self, operation: Operation) -> Wish:
        fields: dict[str, object] = {
            "account_id": operation.card.account_id,
            "amount_minor": operation.amount_minor,
            "currency": lending.CURRENCY,
        }
        return self._wish("repay", _word(operation), operation.card, fields)

    def _refund(self, operation: Operation, bought: _Bought, part_minor: int) -> Wish:
        fields: dict[str, object] = {
            "authorization_id": bought.authorization_id,
            "amount_minor": part_minor,
        }
        what = f"{_word(operation)}-{bought.authorization_id}"
        return self._wish("refund", what, operation.card, fields)

    def _take_back(self, operation: Operation) -> list[tuple[_Bought, int]]:
        """The latest purchases first, each as far as it was not given back yet."""
        left_minor = operation.amount_minor
        parts = []
        for bought in reversed(self._bought[operation.card.account_id]):
            part_minor = min(left_minor, bought.left_minor)
            if part_minor:
                parts.append((bought, part_minor))
                left_minor -= part_minor
        self._tally.refunds_unmatched += left_minor > 0
        self._unmatched_minor += left_minor
        return parts

    # What was answered.

    def _book_purchase(self, operation: Operation, answer: Answer) -> None:
        tally = self._tally
        tally.purchases += 1
        if not answer.is_approved:
            tally.declined[answer.reason] += 1
            return
        tally.approved += 1
        tally.approved_minor += operation.amount_minor
        self._bought[operation.card.account_id].append(
            _Bought(answer.authorization_id, operation.amount_minor)
        )

    def _book_refund(self, bought: _Bought, part_minor: int, answer: Answer) -> None:
        if not answer.is_approved:
            raise ReplayFailed(
                f"a refund of {bought.authorization_id} was declined: {answer.reason}"
            )
        bought.left_minor -= part_minor
        self._tally.refunds += 1
        self._tally.refunded_minor += part_minor

    def _book_repayment(self, operation: Operation, answer: Answer) -> None:
        if not answer.is_approved:
            account_id = operation.card.account_id
            raise ReplayFailed(
                f"a repayment of {account_id} was declined: {answer.reason}"
            )
        self._tally.repayments += 1
        self._tally.repaid_minor += operation.amount_minor


def _word(operation: Operation) -> str:
    return f"{operation.kind}{operation.months_later}"


def _opening(card: Card) -> dict[str, object]:
    return {
        "account_id": card.account_id,
        "program_id": card.program_id,
        "currency": lending.CURRENCY,
        "limit_minor": card.limit_minor,
        "statement_day": card.cycle.statement_day,
        "due_day": card.cycle.due_day,
    }
