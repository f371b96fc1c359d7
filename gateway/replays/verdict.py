"""What an audit found: the four figures that must hold, and the differences."""

from typing import Final

import msgspec

from gateway.replays.client import IN_FLIGHT, Client, ReplayFailed

# The audit replays every journal, which takes longer than a command may.
_AUDIT_SECONDS: Final = 900.0


class Audit(msgspec.Struct, frozen=True):
    """An audit's figures; all zero and equal when the books are right."""

    overspend_minor: int
    false_reserve_declines: int
    trial_balance_minor: int
    replay_equal: bool
    differences: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all was found."""
        return (
            self.overspend_minor == 0
            and self.false_reserve_declines == 0
            and self.trial_balance_minor == 0
            and self.replay_equal
            and not self.differences
        )


async def fetch_audit(*, url: str, key: str) -> Audit:
    """Have the server audit itself; raises ReplayFailed when it does not."""
    async with Client(url, key, IN_FLIGHT, attempt_seconds=_AUDIT_SECONDS) as client:
        audit = await client.read("/v1/audit", Audit)
    if audit is None:
        raise ReplayFailed(f"{url} offers no audit")
    return audit
