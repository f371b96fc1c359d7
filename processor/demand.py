"""How much headroom a shard should have at hand, from what it spent lately.

Only a guess: it decides when to ask settlement for more, never whether a
purchase is approved.
"""

import msgspec

from processor import limits

_WINDOW_MS = 500
_ASK_AGAIN_MS = 250


class Demand(msgspec.Struct, gc=False):
    """One lender's recent spending on one shard."""

    window_began_ms: int = 0
    window_minor: int = 0
    minor_per_second: int = 0
    asked_at_ms: int = -_ASK_AGAIN_MS

    def spend(self, amount_minor: int) -> None:
        """Count an amount that was just taken from the slice."""
        self.window_minor += amount_minor

    def wanted_minor(self, free_minor: int, now_ms: int) -> int:
        """What to ask for now; 0 when there is enough or an ask is under way."""
        elapsed_ms = now_ms - self.window_began_ms
        if elapsed_ms >= _WINDOW_MS:
            window_rate = self.window_minor * 1_000 // elapsed_ms
            self.minor_per_second = (self.minor_per_second + window_rate) // 2
            self.window_minor = 0
            self.window_began_ms = now_ms
        target = max(self.minor_per_second, self.window_minor)
        target *= limits.SLICE_SECONDS_AHEAD
        if 2 * free_minor >= target or now_ms - self.asked_at_ms < _ASK_AGAIN_MS:
            return 0
        self.asked_at_ms = now_ms
        return target - free_minor
