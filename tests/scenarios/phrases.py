"""Sentences for the commonest commands: sugar, and nothing but sugar.

Whatever has no phrase is said by its wire name: `capture authorization $a,
amount 50.00, final` needs no line here.  A phrase fills in the fields in
braces, and those of the third column; more may follow after a comma.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

_SLOTS = {
    "amount_minor": r"[\d,.]*\d",
    "limit_minor": r"[\d,.]*\d",
}


@dataclass(frozen=True)
class Phrase:
    """A sentence, and the command it stands for."""

    sentence: str
    wire_name: str
    fields: tuple[tuple[str, Any], ...] = ()

    def match(self, text: str) -> dict[str, str] | None:
        """The words in the braces, if the text is this sentence."""
        match = _expression(self.sentence).fullmatch(text)
        return None if match is None else match.groupdict()


@cache
def _expression(sentence: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", sentence)
    for i in range(1, len(parts), 2):
        parts[i] = f"(?P<{parts[i]}>{_SLOTS.get(parts[i], '[^ ]+')})"
    return re.compile("".join(parts))


PHRASES = (
    # What a story begins with.
    Phrase("lender {lender_id}", "register_lender"),
    Phrase("program {program_id}", "register_program"),
    Phrase("merchant {merchant_id}", "register_merchant"),
    Phrase("account {account_id}", "open_account"),
    # Lenders.
    Phrase("{lender_id} deposits {amount_minor}", "deposit_reserve"),
    Phrase("{lender_id} withdraws {amount_minor}", "withdraw_reserve"),
    # Purchases.
    Phrase(
        "{account_id} buys {amount_minor} at {merchant_id}",
        "authorize",
        (("capture", True),),
    ),
    Phrase("authorize {amount_minor} for {account_id} at {merchant_id}", "authorize"),
    Phrase("increment {authorization_id} by {amount_minor}", "increment_authorization"),
    Phrase("capture {amount_minor} of {authorization_id}", "capture_authorization"),
    Phrase("capture {authorization_id}", "capture_authorization"),
    Phrase("reverse {amount_minor} of {authorization_id}", "reverse_authorization"),
    Phrase("reverse {authorization_id}", "reverse_authorization"),
    Phrase("refund {amount_minor} of {authorization_id}", "refund"),
    Phrase("refund {authorization_id}", "refund"),
    Phrase("{account_id} repays {amount_minor}", "repay"),
    # Holds.
    Phrase("hold {amount_minor} for {account_id}", "place_hold"),
    Phrase("increase {hold_id} by {amount_minor}", "increase_hold"),
    Phrase("release {amount_minor} of {hold_id}", "release_hold"),
    Phrase("release {hold_id}", "release_hold"),
    Phrase("convert {amount_minor} of {hold_id} at {merchant_id}", "convert_hold"),
    Phrase("convert {hold_id} at {merchant_id}", "convert_hold"),
    # Accounts and days.
    Phrase("set the limit of {account_id} to {limit_minor}", "change_limit"),
    Phrase("close the day {day}", "close_day"),
)
