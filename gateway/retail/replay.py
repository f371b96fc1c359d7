"""Replay the purchases of a file against a running server, day by day.

A day is: fund the lenders, open the accounts that are new, run the operations
in order of time, close the business day and wait until it is closed.

A replay that was interrupted anywhere is continued by running it again: every
request id is made from the file alone, so everything is simply asked again.
What the server has decided it answers from memory, the books come out as they
were, and what it has not seen yet is done now.
"""

import asyncio
import time
from collections import defaultdict
from datetime import date, timedelta
from functools import partial
from pathlib import Path

from gateway.replays.client import IN_FLIGHT, Client, Decided
from gateway.replays.lanes import Work, run_together
from gateway.replays.progress import Watcher
from gateway.replays.result import Latency
from gateway.replays.run import Run, connected
from gateway.replays.tables import content_digest
from gateway.retail import lending
from gateway.retail.bookkeeping import AccountBook
from gateway.retail.plan import (
    Cancellation,
    Day,
    Opening,
    Operation,
    Plan,
    Purchase,
    build_plan,
)
from gateway.retail.reader import read_lines
from gateway.retail.result import RetailResult


async def run_replay(
    *, url: str, key: str, file: Path, in_flight: int = IN_FLIGHT, show_progress: bool
) -> RetailResult:
    """Replay a file; the same call continues one that was interrupted.

    Raises UnreadableFile for a file that is not of the form, ReplayFailed when
    the server refuses or does not answer.
    """
    plan = await asyncio.to_thread(_plan_of, file)
    async with connected(
        url,
        key,
        in_flight,
        total=plan.purchase_count,
        counted="purchases",
        show_progress=show_progress,
    ) as (client, watcher):
        return await Replay(client, plan, watcher, in_flight).run(file.name)


def first_day_of(file: Path) -> date:
    """The day a replay of the file begins with.  Raises UnreadableFile."""
    return _plan_of(file).days[0].date


def _plan_of(file: Path) -> Plan:
    return build_plan(read_lines(file), content_digest(file))


class Replay:
    """One run of a plan against one server."""

    def __init__(
        self, client: Client, plan: Plan, watcher: Watcher, in_flight: int
    ) -> None:
        self._plan = plan
        self._run = Run(client, watcher, in_flight, plan.digest, lending.CURRENCY)
        self._tally = self._run.tally
        self._merchant_id = f"online-retail-{plan.digest}"
        self._books: defaultdict[str, AccountBook] = defaultdict(AccountBook)

    async def run(self, file_name: str) -> RetailResult:
        """The whole plan, from the first day to the last."""
        started_ns = time.perf_counter_ns()
        plan = self._plan
        first_day = plan.days[0].date
        anchor = await self._run.days.anchor(
            self._merchant_id,
            "Online Retail",
            plan.digest,
            lambda current: max(current, first_day),
        )
        self._run.note_first_day(first_day, anchor)
        await self._run.registration.register_lenders(lending.LENDERS)
        for program in lending.PROGRAMS:
            await self._run.registration.register_program(
                program.program_id, program.shares_ppm
            )
        for number, day in enumerate(plan.days):
            business = anchor + timedelta(days=number)
            self._run.watcher.day_started(day.date)
            await self._run.fund(day.date, day.targets_minor)
            await self._run_operations(day)
            self._tally.days_closed += await self._run.days.close(business)
        positions = [
            await self._run.registration.position(lender_id)
            for lender_id in lending.LENDERS
        ]
        return RetailResult(
            file_name=file_name,
            first_file_day=first_day,
            first_business_day=anchor,
            day_count=len(plan.days),
            line_count=plan.line_count,
            skipped={cause.value: count for cause, count in plan.skipped.items()},
            empty_invoice_count=plan.empty_invoice_count,
            tally=self._tally,
            latency=Latency.of(self._tally.latencies_us),
            positions=tuple(positions),
            asked_again=self._run.client.asked_again,
            elapsed_us=(time.perf_counter_ns() - started_ns) // 1000,
        )

    async def _run_operations(self, day: Day) -> None:
        started_ns = time.perf_counter_ns()
        openings: list[Work] = [
            (opening.account_id, partial(self._open_account, opening))
            for opening in day.openings
        ]
        operations: list[Work] = [
            (operation.account_id, partial(self._carry_out, day, operation))
            for operation in day.operations
        ]
        await run_together(openings + operations, self._run.in_flight)
        self._tally.busy_us += (time.perf_counter_ns() - started_ns) // 1000

    async def _open_account(self, opening: Opening) -> None:
        """One that is open already keeps its limit."""
        body: dict[str, object] = {
            "account_id": opening.account_id,
            "program_id": opening.program_id,
            "currency": lending.CURRENCY,
            "limit_minor": opening.limit_minor,
        }
        await self._run.registration.register("/v1/accounts", body, opening.account_id)

    async def _carry_out(self, day: Day, operation: Operation) -> None:
        if isinstance(operation, Purchase):
            await self._purchase(operation)
        elif isinstance(operation, Cancellation):
            await self._cancel(operation)
        else:
            await self._repay(operation.account_id, day)

    async def _purchase(self, purchase: Purchase) -> None:
        started_ns = time.perf_counter_ns()
        decided = await self._command(
            "/v1/authorizations",
            {
                "account_id": purchase.account_id,
                "merchant_id": self._merchant_id,
                "amount_minor": purchase.amount_minor,
                "currency": lending.CURRENCY,
                "capture": True,
                "reference": purchase.invoice_no,
            },
            f"p-{purchase.invoice_no}-{_short(purchase.account_id)}",
        )
        self._tally.latencies_us.append((time.perf_counter_ns() - started_ns) // 1000)
        self._run.watcher.decided()
        self._tally.purchases += 1
        answer = decided.answer
        if not answer.is_approved:
            self._tally.declined[answer.reason] += 1
            return
        self._tally.approved += 1
        self._tally.approved_minor += purchase.amount_minor
        self._books[purchase.account_id].book_purchase(
            purchase.invoice_no, answer.authorization_id, purchase.items
        )

    async def _cancel(self, cancellation: Cancellation) -> None:
        book = self._books[cancellation.account_id]
        refunds, unmatched = book.take_back(cancellation.items)
        for refund in refunds:
            bought = refund.purchase.invoice_no
            account = _short(cancellation.account_id)
            decided = await self._command(
                "/v1/refunds",
                {
                    "authorization_id": refund.purchase.authorization_id,
                    "amount_minor": refund.amount_minor,
                    "reference": cancellation.invoice_no,
                },
                f"r-{cancellation.invoice_no}-{bought}-{account}",
            )
            if decided.answer.is_approved:
                book.book_refund(refund)
                self._tally.refunds += 1
                self._tally.refunded_minor += refund.amount_minor
            else:
                book.put_back(refund)
                unmatched |= refund.lines
                self._tally.refunds_declined += 1
        self._tally.refunds_unmatched += len(unmatched)

    async def _repay(self, account_id: str, day: Day) -> None:
        book = self._books[account_id]
        if book.owed_minor <= 0:
            return
        amount_minor = lending.repayment_minor(account_id, book.owed_minor)
        decided = await self._command(
            "/v1/repayments",
            {
                "account_id": account_id,
                "amount_minor": amount_minor,
                "currency": lending.CURRENCY,
                "reference": f"due {day.date}",
            },
            f"y-{day.date:%Y%m%d}-{_short(account_id)}",
        )
        if decided.answer.is_approved:
            book.book_repayment(amount_minor)
            self._tally.repayments += 1
            self._tally.repaid_minor += amount_minor

    async def _command(
        self, path: str, body: dict[str, object], request_id: str
    ) -> Decided:
        decided = await self._run.client.command(
            path, body, f"{self._plan.digest}-{request_id}"
        )
        self._tally.replayed += decided.replayed
        return decided


def _short(account_id: str) -> str:
    """An account id without what all of them begin with; request ids are short."""
    return account_id.removeprefix("retail-")
