"""Set the table: lenders, programs, accounts, and each morning's reserve.

Another file may have registered the same lenders, programs and accounts
before; "exists already" is then as good as a yes.  Funding has one request id
for each lender and morning, whether it turns out a deposit or a withdrawal,
and sends something every morning, if only one minor unit.  So a morning that
was funded stays funded: asked again with another amount, the server refuses
the id, and nothing is paid twice.
"""

from collections.abc import Mapping
from datetime import date
from functools import partial

import msgspec

from gateway.replays.client import Answer, Client, Conflict, ReplayFailed
from gateway.replays.lanes import run_together
from processor import limits
from processor.declines import DeclineReason

_EXISTS = frozenset(
    {
        DeclineReason.LENDER_EXISTS,
        DeclineReason.PROGRAM_EXISTS,
        DeclineReason.ACCOUNT_EXISTS,
    }
)


class Position(msgspec.Struct, frozen=True):
    """One lender's reserve as the server shows it, in minor units."""

    lender_id: str
    headroom_minor: int
    deposit_minor: int
    captured_minor: int
    refunded_minor: int


class Registration:
    """Registers for one file; its digest opens every request id."""

    def __init__(self, client: Client, digest: str, currency: str) -> None:
        self._client = client
        self._digest = digest
        self._currency = currency

    async def register_lenders(self, names: Mapping[str, str]) -> None:
        """All of them, by id and name."""
        for lender_id, name in names.items():
            body = {"lender_id": lender_id, "currency": self._currency, "name": name}
            await self.register("/v1/lenders", body, lender_id)

    async def register_program(
        self, program_id: str, shares_ppm: Mapping[str, int], **terms: object
    ) -> None:
        """One that is there already keeps its terms."""
        shares = [
            {"lender_id": lender_id, "share_ppm": share_ppm}
            for lender_id, share_ppm in shares_ppm.items()
        ]
        body = {"program_id": program_id, "currency": self._currency, "shares": shares}
        await self.register("/v1/programs", body | terms, program_id)

    async def fund(self, day: date, targets_minor: Mapping[str, int]) -> list[str]:
        """Bring each lender's headroom to its target, once for each morning.

        Returns the lenders for whom the server declined it.
        """
        refused: list[str] = []

        async def fund(lender_id: str, target_minor: int) -> None:
            if not await self._fund(lender_id, day, target_minor):
                refused.append(lender_id)

        work = [
            (lender_id, partial(fund, lender_id, target_minor))
            for lender_id, target_minor in targets_minor.items()
        ]
        await run_together(work, max(1, len(work)))
        return refused

    async def _fund(self, lender_id: str, day: date, target_minor: int) -> bool:
        position = await self.position(lender_id)
        missing_minor = target_minor - position.headroom_minor
        way = "deposits" if missing_minor >= 0 else "withdrawals"
        amount_minor = min(max(abs(missing_minor), 1), limits.AMOUNT_MINOR_MAX)
        try:
            decided = await self._client.command(
                f"/v1/lenders/{lender_id}/{way}",
                {"amount_minor": amount_minor},
                f"{self._digest}-fund-{day:%Y%m%d}-{lender_id}",
            )
        except Conflict:
            return True  # This morning was funded already.
        return decided.answer.is_approved

    async def position(self, lender_id: str) -> Position:
        """A lender's reserve now."""
        path = f"/v1/lenders/{lender_id}/position"
        position = await self._client.read(path, Position)
        if position is None:
            raise ReplayFailed(f"the server does not know lender {lender_id}")
        return position

    async def register(self, path: str, body: Mapping[str, object], name: str) -> None:
        """Register under its name; raises ReplayFailed unless it is there then."""
        decided = await self._client.command(path, body, f"{self._digest}-{name}")
        check_registered(name, decided.answer)


def check_registered(name: str, answer: Answer) -> None:
    """Raise ReplayFailed unless it is there, by this answer or an earlier one."""
    if not answer.is_approved and answer.reason not in _EXISTS:
        raise ReplayFailed(f"{name} was not registered: {answer.reason}")
