"""Money, rates and times as people write them, and as the API carries them.

Money is written in major units with exactly the decimals of its currency,
rates in per cent, times in days, hours, minutes and seconds.
"""

import re
from decimal import Decimal

DECIMALS = {
    **dict.fromkeys(("CLP", "ISK", "JPY", "KRW", "PYG", "VND"), 0),
    **dict.fromkeys(("BHD", "JOD", "KWD", "OMR", "TND"), 3),
}
PPM_PER_CENT = 10_000
SECONDS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800}

_MONEY = re.compile(r"(-?)(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?")


def decimals_of(currency: str) -> int:
    """How many decimals a currency is written with."""
    return DECIMALS.get(currency, 2)


def minor_of(text: str, currency: str) -> int | None:
    """`1,250.00` in minor units; None if it is no amount of the currency."""
    match = _MONEY.fullmatch(text)
    if match is None or len(match[3] or "") != decimals_of(currency):
        return None
    return int(match[1] + match[2].replace(",", "") + (match[3] or ""))


def money(minor: int, currency: str) -> str:
    """Minor units as `1,250.00`."""
    digits = decimals_of(currency)
    whole, rest = divmod(abs(minor), 10**digits)
    sign = "-" if minor < 0 else ""
    return f"{sign}{whole:,}" + (f".{rest:0{digits}}" if digits else "")


def ppm_of(text: str) -> int | None:
    """`33.3333%` in parts per million; None if it is no such rate."""
    if re.fullmatch(r"\d+(\.\d{1,4})?%", text) is None:
        return None
    return int(Decimal(text[:-1]) * PPM_PER_CENT)


def per_cent(ppm: int) -> str:
    """Parts per million as `33.3333%`."""
    return f"{(Decimal(ppm) / PPM_PER_CENT).normalize():f}%"


def seconds_of(text: str) -> int | None:
    """`1 day 2 hours` in seconds; None if it is no such time."""
    words = text.replace(",", "").split()
    if not words or len(words) % 2:
        return None
    total = 0
    for count, unit in zip(words[::2], words[1::2], strict=True):
        seconds = SECONDS.get(unit.removesuffix("s"))
        if seconds is None or not count.isdigit():
            return None
        total += int(count) * seconds
    return total
