"""POS repayment: first out of what a merchant is owed, the rest is left to debit.

Several commands under one Idempotency-Key, on two nodes that know nothing of
each other:

    settlement  withhold from the merchant      under the key itself
    shard       repay the account out of it     under the key and " repay"
    settlement  or, when that was declined,     under the key and " release"
                release the withholding

No caller's key has a space, so nobody else can use the derived ones.  Each
step is carried out at most once and answers the same again, so the whole may
be asked again after any failure, here or there, until it is finished; the
answer is made from the steps' answers alone.  Once money is withheld, whatever
goes wrong is "unknown" (504): never a decline, and never "nothing was done".
"""

from collections.abc import Awaitable, Callable
from time import perf_counter

import msgspec
from starlette.types import Receive, Scope, Send

from gateway.commands import CommandEndpoint
from gateway.door import unknown
from gateway.exchange import (
    ClientGone,
    Headers,
    ok_start,
    replayed_start,
    send_refusal,
)
from gateway.ports import Awaited, Sender
from gateway.pos_answers import PosDeclinedAnswer, PosRepaymentAnswer
from gateway.problems import Refusal
from processor import commands as c
from processor.answers import APPROVED, DECLINED, ENCODER
from processor.declines import DeclineReason
from processor.messages import Answer, Outcome


class Told(msgspec.Struct, frozen=True):
    """What matters here of any step's answer."""

    status: str
    withholding_id: str = ""
    withheld_minor: int = 0
    repayment_id: str = ""
    reason: str = ""
    transient: bool = False


Ask = Callable[[c.Command], Awaitable[Answer]]

_told = msgspec.json.Decoder(Told).decode


class PosRepaymentEndpoint(CommandEndpoint):
    """POST of one repayment; the body is that of its first command."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_seconds = perf_counter()
        counters = self.counters
        try:
            headers: Headers = dict(scope["headers"])
            principal, request_id, timeout_ms = self.who(headers)
            data = await self._door.bodies.read(receive, headers, self._bytes_max)
            command = self._command(principal.caller, request_id, "", data)
            assert isinstance(command, c.WithholdFromMerchant)
            self._door.admit(1, principal.sender)

            async def ask(step: c.Command) -> Answer:
                # The steps after the first finish what was begun.
                if step is command:
                    return await self._ask(step, principal.sender, timeout_ms)
                return await self._ask(step, None, 0)

            body, is_replay = await carry_out(command, ask)
        except Refusal as refusal:
            counters.took(perf_counter() - started_seconds)
            counters.was_refused(refusal.kind.slug)
            await send_refusal(send, refusal)
            return
        except ClientGone:
            return
        counters.took(perf_counter() - started_seconds)
        counters.answered(is_replay, body)
        await send(replayed_start(len(body)) if is_replay else ok_start(len(body)))
        await send({"type": "http.response.body", "body": body})

    async def _ask(
        self, command: c.Command, sender: Sender | None, timeout_ms: int
    ) -> Answer:
        awaited = Awaited()
        self._door.submit(command, awaited, perf_counter(), sender, timeout_ms)
        return await self._door.answer(command, awaited)


async def carry_out(wish: c.WithholdFromMerchant, ask: Ask) -> tuple[bytes, bool]:
    """The answer to a wish, and whether it was given before; step by step."""
    answer = await ask(wish)
    withheld = _told(answer.body)
    if withheld.status == DECLINED:
        return answer.body, _is_replay(answer)
    if not withheld.withheld_minor:
        return _approved(wish, withheld, ""), _is_replay(answer)
    answer = await _finish(
        ask,
        c.Repay(
            wish.caller,
            f"{wish.request_id} repay",
            wish.account_id,
            withheld.withheld_minor,
            wish.currency,
            withheld_from=wish.merchant_id,
            withholding_id=withheld.withholding_id,
        ),
    )
    repaid = _told(answer.body)
    if repaid.status == APPROVED:
        return _approved(wish, withheld, repaid.repayment_id), _is_replay(answer)
    released_minor = 0
    if repaid.reason != DeclineReason.WITHHOLDING_SPENT:
        answer = await _finish(
            ask,
            c.ReleaseWithholding(
                wish.caller, f"{wish.request_id} release", withheld.withholding_id
            ),
        )
        released_minor = withheld.withheld_minor
    return _declined(repaid, withheld, released_minor), _is_replay(answer)


async def _finish(ask: Ask, command: c.Command) -> Answer:
    """A step after the first: what stops it leaves the whole unknown."""
    try:
        return await ask(command)
    except Refusal as refusal:
        detail = refusal.problem.detail
        raise unknown(
            f"the amount is withheld from the merchant, but then: {detail}"
        ) from None


def _is_replay(answer: Answer) -> bool:
    return answer.outcome is Outcome.REPLAYED


def _approved(wish: c.WithholdFromMerchant, told: Told, repayment_id: str) -> bytes:
    return ENCODER.encode(
        PosRepaymentAnswer(
            APPROVED,
            wish.account_id,
            wish.merchant_id,
            told.withheld_minor,
            wish.amount_minor - told.withheld_minor,
            told.withholding_id,
            repayment_id,
        )
    )


def _declined(repaid: Told, withheld: Told, released_minor: int) -> bytes:
    return ENCODER.encode(
        PosDeclinedAnswer(
            DECLINED,
            repaid.reason,
            repaid.transient,
            withholding_id=withheld.withholding_id,
            released_minor=released_minor,
        )
    )
