"""Set the table: lenders, programs, accounts, and each morning's reserve.

Another file may have registered the same lenders, programs and accounts
before; "exists already" is then as good as a yes.  Funding has one request id
for each lender and morning, whether it turns out a deposit or a withdrawal,
and sends something every morning, if only one minor unit.  So a morning that
was funded stays funded: asked again with another amount, the server refuses
the id, and nothing is paid twice.
"""

import msgspec

from gateway.retail import lending
from gateway.retail.client import Client, Conflict, ReplayFailed
from gateway.retail.plan import Opening
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

    def __init__(self, client: Client, digest: str) -> None:
        self._client = client
        self._digest = digest

    async def register_lenders_and_programs(self) -> None:
        """All of them, the lenders first."""
        for lender_id, name in lending.LENDERS.items():
            await self._register(
                "/v1/lenders",
                {"lender_id": lender_id, "currency": lending.CURRENCY, "name": name},
                lender_id,
            )
        for program in lending.PROGRAMS:
            shares = [
                {"lender_id": lender_id, "share_ppm": share_ppm}
                for lender_id, share_ppm in program.shares_ppm.items()
            ]
            await self._register(
                "/v1/programs",
                {
                    "program_id": program.program_id,
                    "currency": lending.CURRENCY,
                    "shares": shares,
                },
                program.program_id,
            )

    async def open_account(self, opening: Opening) -> None:
        """Open an account; one that is open already keeps its limit."""
        await self._register(
            "/v1/accounts",
            {
                "account_id": opening.account_id,
                "program_id": opening.program_id,
                "currency": lending.CURRENCY,
                "limit_minor": opening.limit_minor,
            },
            opening.account_id,
        )

    async def fund(self, lender_id: str, morning: str, target_minor: int) -> bool:
        """Bring a lender's headroom to its target, once for each morning.

        False when the server declined it.
        """
        position = await self.position(lender_id)
        missing_minor = target_minor - position.headroom_minor
        way = "deposits" if missing_minor >= 0 else "withdrawals"
        amount_minor = min(max(abs(missing_minor), 1), limits.AMOUNT_MINOR_MAX)
        try:
            decided = await self._client.command(
                f"/v1/lenders/{lender_id}/{way}",
                {"amount_minor": amount_minor},
                f"{self._digest}-fund-{morning}-{lender_id}",
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

    async def _register(self, path: str, body: dict[str, object], name: str) -> None:
        decided = await self._client.command(path, body, f"{self._digest}-{name}")
        answer = decided.answer
        if not answer.is_approved and answer.reason not in _EXISTS:
            raise ReplayFailed(f"{name} was not registered: {answer.reason}")
