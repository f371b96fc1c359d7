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
    "advance_line_minor": r"[\d,.]*\d",
    "daily_cap_minor": r"[\d,.]*\d",
    "program_cap_minor": r"[\d,.]*\d",
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


_DEBIT = (("provisional", True),)

PHRASES = (
    # What a story begins with.
    Phrase("lender {lender_id}", "register_lender"),
    Phrase("program {program_id}", "register_program"),
    Phrase("merchant {merchant_id}", "register_merchant"),
    Phrase("account {account_id}", "open_account"),
    # Lenders.
    Phrase("{lender_id} deposits {amount_minor}", "deposit_reserve"),
    Phrase("{lender_id} withdraws {amount_minor}", "withdraw_reserve"),
    Phrase(
        "set the advance line of {lender_id} to {advance_line_minor}",
        "change_advance_line",
    ),
    Phrase("suspend {lender_id}", "suspend_lender"),
    Phrase("resume {lender_id}", "resume_lender"),
    Phrase("cap {lender_id} at {daily_cap_minor} a day", "set_daily_cap"),
    Phrase("lift the daily cap of {lender_id}", "set_daily_cap"),
    Phrase(
        "cap what {lender_id} lends through {program_id} at {program_cap_minor}",
        "set_program_cap",
    ),
    Phrase("lift the cap of {lender_id} for {program_id}", "set_program_cap"),
    Phrase(
        "propose the {direction} {movement_id} of {amount_minor} for {lender_id}",
        "propose_funds",
    ),
    Phrase("approve the movement {movement_id}", "approve_funds"),
    Phrase("reject the movement {movement_id}", "reject_funds"),
    # Purchases.
    Phrase(
        "{account_id} buys {amount_minor} at {merchant_id}",
        "authorize",
        (("capture", True),),
    ),
    Phrase("authorize {amount_minor} for {account_id} at {merchant_id}", "authorize"),
    Phrase(
        "force {amount_minor} of {account_id} at {merchant_id}",
        "force_capture",
    ),
    Phrase("increment {authorization_id} by {amount_minor}", "increment_authorization"),
    Phrase("capture {amount_minor} of {authorization_id}", "capture_authorization"),
    Phrase("capture {authorization_id}", "capture_authorization"),
    Phrase("reverse {amount_minor} of {authorization_id}", "reverse_authorization"),
    Phrase("reverse {authorization_id}", "reverse_authorization"),
    Phrase("refund {amount_minor} of {authorization_id}", "refund"),
    Phrase("refund {authorization_id}", "refund"),
    Phrase("{account_id} repays {amount_minor}", "repay"),
    Phrase(
        "{account_id} repays {amount_minor} out of what {merchant_id} is owed",
        "withhold_from_merchant",
    ),
    # Direct debits, and what the borrower has to get.
    Phrase("{account_id} pays {amount_minor} by direct debit", "repay", _DEBIT),
    Phrase("the debit {repayment_id} settles", "finalize_repayment"),
    Phrase("the debit {repayment_id} is returned", "return_repayment"),
    Phrase("pay {amount_minor} out to {account_id}", "pay_out_credit"),
    Phrase("pay the credit of {account_id} out", "pay_out_credit"),
    # Debts.
    Phrase("{account_id} settles early with {amount_minor}", "settle_early"),
    Phrase("extend {authorization_id} to {periods} periods", "extend_plan"),
    Phrase("waive the {charge} of {account_id}", "waive_charges"),
    Phrase("waive {amount_minor} of the {charge} of {account_id}", "waive_charges"),
    Phrase("write {account_id} off", "write_off"),
    Phrase("reverse the write-off {write_off_id}", "reverse_write_off"),
    Phrase("recover {amount_minor} from {account_id}", "record_recovery"),
    Phrase("reverse the recovery {recovery_id}", "reverse_recovery"),
    Phrase("{guarantor_id} covers {amount_minor} of {account_id}", "pay_claim"),
    Phrase("reverse the claim {claim_id}", "reverse_claim"),
    Phrase(
        "propose a {side} of {amount_minor} for {account_id}",
        "propose_adjustment",
    ),
    Phrase("approve the adjustment {adjustment_id}", "approve_adjustment"),
    Phrase("reject the adjustment {adjustment_id}", "reject_adjustment"),
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
