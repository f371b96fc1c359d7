"""Every field a request may have: its form, its bounds, and words for both.

One table, from which bodies, path checks, error messages and the API document
are made.  A command with a field that is not here does not start.  What a field
is inside another one may differ: `form_of` looks for that first.
"""

import datetime
from typing import Annotated, Any, ClassVar, cast

import msgspec
from msgspec import Meta

from processor import commands as c
from processor import limits, terms
from processor.schedules import Method, Payer, Plan
from processor.tenders import Tender, TenderKind, TenderRefund
from processor.terms import (
    Bucket,
    CategoryVelocity,
    Component,
    Due,
    Side,
    Terms,
    Velocity,
    Waivable,
)


class FieldForm(msgspec.Struct, frozen=True):
    """One field: its constrained type, what it is, and what it must be."""

    type: Any
    is_what: str
    must_be: str
    example: Any

    def annotated(self, *, optional: bool = False) -> Any:
        """The type with its words, for a body struct and for the document."""
        wanted = self.type | None if optional else self.type
        return Annotated[
            wanted,
            Meta(
                description=f"{self.is_what} Must be {self.must_be}.",
                examples=[self.example],
            ),
        ]


def _characters(inner: str, length_max: int) -> Meta:
    # `\Z`, because `$` lets a line feed pass at the end; `$` in the document,
    # because its expressions are JavaScript's.
    return Meta(
        pattern=rf"^{inner}\Z",
        max_length=length_max,
        extra_json_schema={"pattern": f"^{inner}$"},
    )


def _text(inner: str, length_max: int) -> Any:
    return Annotated[str, _characters(inner, length_max)]


def _whole(least: int, most: int) -> Any:
    return Annotated[int, Meta(ge=least, le=most)]


def _made_id(kind: str) -> Any:
    return _text(f"{kind}_[0-9a-f]{{6,32}}", limits.ID_LENGTH_MAX)


def _whole_must_be(unit: str, least: int, most: int) -> str:
    return f"a whole number of {unit}, {least} to {most}, without fraction or quotes"


# Also the form of a caller's name.
_ID_CHARACTERS = f"[A-Za-z0-9_.:-]{{1,{limits.ID_LENGTH_MAX}}}"
ID_FORM = _characters(_ID_CHARACTERS, limits.ID_LENGTH_MAX)
_ID = Annotated[str, ID_FORM]
_ID_MUST_BE = f"1 to {limits.ID_LENGTH_MAX} of the characters A-Z a-z 0-9 _ . : -"
_AMOUNT = _whole(1, limits.AMOUNT_MINOR_MAX)
_PRINTABLE = r"[^\x00-\x1f\x7f]*"


def _velocity(period: str) -> FieldForm:
    return FieldForm(
        _whole(0, limits.LIMIT_MINOR_MAX),
        f"How much may be approved in {period}; left out or null: any amount.",
        _whole_must_be("minor units", 0, limits.LIMIT_MINOR_MAX),
        50_000,
    )


FIELDS: dict[str, FieldForm] = {
    "account_id": FieldForm(_ID, "The credit account.", _ID_MUST_BE, "alice"),
    "program_id": FieldForm(_ID, "The program.", _ID_MUST_BE, "pay-in-three"),
    "lender_id": FieldForm(_ID, "The lender.", _ID_MUST_BE, "first-bank"),
    "merchant_id": FieldForm(_ID, "The merchant.", _ID_MUST_BE, "corner-shop"),
    "authorization_id": FieldForm(
        _made_id("au"),
        "The authorization.",
        "an id that an authorization was answered with",
        "au_3c0002a",
    ),
    "hold_id": FieldForm(
        _made_id("ho"),
        "The limit hold.",
        "an id that a hold was answered with",
        "ho_3c0002b",
    ),
    "repayment_id": FieldForm(
        _made_id("rp"),
        "The repayment.",
        "an id that a repayment was answered with",
        "rp_3c0002c",
    ),
    "write_off_id": FieldForm(
        _made_id("wo"),
        "The write-off.",
        "an id that a write-off was answered with",
        "wo_3c0002d",
    ),
    "recovery_id": FieldForm(
        _made_id("rc"),
        "The recovery.",
        "an id that a recovery was answered with",
        "rc_3c0002e",
    ),
    "claim_id": FieldForm(
        _made_id("cl"),
        "The guarantor's payment.",
        "an id that a claim was answered with",
        "cl_3c0002f",
    ),
    "adjustment_id": FieldForm(
        _made_id("aj"),
        "The adjustment.",
        "an id that an adjustment was answered with",
        "aj_3c00030",
    ),
    "tender_id": FieldForm(_ID, "The tender.", _ID_MUST_BE, "gift-card"),
    "kind": FieldForm(
        TenderKind,
        "What kind of tender it is.",
        "coupon, card, external or credit_line",
        "card",
    ),
    "discount_minor": FieldForm(
        _whole(0, limits.AMOUNT_MINOR_MAX),
        "What a card gave beside what was paid with it.",
        _whole_must_be("minor units", 0, limits.AMOUNT_MINOR_MAX),
        2_000,
    ),
    "of_order": FieldForm(
        bool,
        "Whether the amount is of the whole order, over all its tenders.",
        "true or false",
        False,
    ),
    "tenders.amount_minor": FieldForm(
        _whole(0, limits.AMOUNT_MINOR_MAX),
        "What was paid with it.",
        _whole_must_be("minor units", 0, limits.AMOUNT_MINOR_MAX),
        12_500,
    ),
    "refunded.amount_minor": FieldForm(
        _whole(0, limits.AMOUNT_MINOR_MAX),
        "What of the paid money went back to it.",
        _whole_must_be("minor units", 0, limits.AMOUNT_MINOR_MAX),
        2_500,
    ),
    "refunded.discount_minor": FieldForm(
        _whole(0, limits.AMOUNT_MINOR_MAX),
        "What of its discount went back.",
        _whole_must_be("minor units", 0, limits.AMOUNT_MINOR_MAX),
        0,
    ),
    "refund_order": FieldForm(
        Annotated[tuple[TenderKind, ...], Meta(min_length=3, max_length=3)],
        "Which kind of tender gets paid money back first.",
        "external, card and credit_line, each once",
        ["external", "card", "credit_line"],
    ),
    "guarantor_id": FieldForm(_ID, "Who pays for the borrower.", _ID_MUST_BE, "cover"),
    "corrects": FieldForm(_ID, "What it corrects: any id.", _ID_MUST_BE, "re_3c0002a"),
    "plan_id": FieldForm(
        _text(f"[A-Za-z0-9_.:-]{{0,{limits.ID_LENGTH_MAX}}}", limits.ID_LENGTH_MAX),
        "The instalment plan; empty: with the next statement.",
        f"empty, or {_ID_MUST_BE}",
        "three-months",
    ),
    "statement_day": FieldForm(
        _whole(1, limits.DAY_OF_MONTH_MAX),
        "The day of the month on which the account is billed.",
        _whole_must_be("a month's days", 1, limits.DAY_OF_MONTH_MAX),
        1,
    ),
    "due_day": FieldForm(
        _whole(1, limits.DAY_OF_MONTH_MAX),
        "The day of the month on which a statement is due.",
        _whole_must_be("a month's days", 1, limits.DAY_OF_MONTH_MAX),
        21,
    ),
    "provisional": FieldForm(
        bool, "Whether it may still bounce.", "true or false", False
    ),
    "charge": FieldForm(
        Waivable,
        "What is forgiven.",
        "interest or penalty",
        "penalty",
    ),
    "component": FieldForm(
        Component,
        "What a debt consists of.",
        "penalty, interest, fee or principal",
        "penalty",
    ),
    "side": FieldForm(Side, "What the borrower is given.", "credit or debit", "credit"),
    "periods": FieldForm(
        _whole(1, limits.PERIODS_MAX),
        "How many instalments.",
        _whole_must_be("periods", 1, limits.PERIODS_MAX),
        3,
    ),
    "method": FieldForm(
        Method,
        "How a plan is cut and charged.",
        "flat_fee, equal_principal or equal_payment",
        "flat_fee",
    ),
    "rate_ppm": FieldForm(
        _whole(0, limits.PPM),
        "The fee of the principal, or the interest of the balance, per period.",
        _whole_must_be("parts per million", 0, limits.PPM),
        6_000,
    ),
    "payer": FieldForm(
        Payer, "Who bears the plan's charges.", "borrower or merchant", "borrower"
    ),
    "grace_days": FieldForm(
        _whole(0, 365),
        "Days after the due date without penalty.",
        _whole_must_be("days", 0, 365),
        3,
    ),
    "penalty_ppm_per_day": FieldForm(
        _whole(0, limits.PPM),
        "What a day costs of the principal that is late.",
        _whole_must_be("parts per million", 0, limits.PPM),
        500,
    ),
    "minimum_due_ppm": FieldForm(
        _whole(0, limits.PPM),
        "How much of a statement's principal must be paid.",
        _whole_must_be("parts per million", 0, limits.PPM),
        100_000,
    ),
    "early_settlement_fee_ppm": FieldForm(
        _whole(0, limits.PPM),
        "The fee for settling early, of the principal not yet billed.",
        _whole_must_be("parts per million", 0, limits.PPM),
        0,
    ),
    "extension_fee_ppm": FieldForm(
        _whole(0, limits.PPM),
        "The fee for an extension, of the principal not yet billed.",
        _whole_must_be("parts per million", 0, limits.PPM),
        5_000,
    ),
    "due": FieldForm(
        Due, "Where a debt is in its life.", "past_due, due or in_advance", "due"
    ),
    "amount_minor": FieldForm(
        _AMOUNT,
        "The amount; where it may be left out or null: all of it.",
        _whole_must_be("minor units", 1, limits.AMOUNT_MINOR_MAX),
        12_500,
    ),
    "currency": FieldForm(
        _text("[A-Z]{3}", 3),
        "The ISO 4217 currency.",
        "three capital letters",
        "GBP",
    ),
    "limit_minor": FieldForm(
        _whole(0, limits.LIMIT_MINOR_MAX),
        "The account's limit.",
        _whole_must_be("minor units", 0, limits.LIMIT_MINOR_MAX),
        250_000,
    ),
    "capture": FieldForm(bool, "Turn it into a debt at once.", "true or false", False),
    "final": FieldForm(bool, "Give back what remains.", "true or false", True),
    "partial": FieldForm(
        bool,
        "Approve the most that fits, when not all of it does.",
        "true or false",
        False,
    ),
    "reference": FieldForm(
        _text(_PRINTABLE, limits.REFERENCE_LENGTH_MAX),
        "Your own word for it; kept and shown.",
        f"at most {limits.REFERENCE_LENGTH_MAX} characters, no control characters",
        "order-1001",
    ),
    "name": FieldForm(
        _text(_PRINTABLE, limits.NAME_LENGTH_MAX),
        "A name for people.",
        f"at most {limits.NAME_LENGTH_MAX} characters, no control characters",
        "Corner Shop",
    ),
    "advance_line_minor": FieldForm(
        _whole(0, limits.RESERVE_MINOR_MAX),
        "What may be paid for the lender beyond its deposit.",
        _whole_must_be("minor units", 0, limits.RESERVE_MINOR_MAX),
        0,
    ),
    # Lenders.
    "requires_checker": FieldForm(
        bool,
        "Move its money only by funds movements that a second caller approves.",
        "true or false",
        False,
    ),
    "daily_cap_minor": FieldForm(
        _whole(0, limits.RESERVE_MINOR_MAX),
        "What may be authorized for the lender in a business day; left out or null:"
        " no cap.",
        _whole_must_be("minor units", 0, limits.RESERVE_MINOR_MAX),
        5_000_000,
    ),
    "program_cap_minor": FieldForm(
        _whole(0, limits.RESERVE_MINOR_MAX),
        "What the lender may have lent out through the program at any moment; left"
        " out or null: no cap.",
        _whole_must_be("minor units", 0, limits.RESERVE_MINOR_MAX),
        500_000_000,
    ),
    "movement_id": FieldForm(
        _ID, "The funds movement, named by you.", _ID_MUST_BE, "top-up-2011-01-31"
    ),
    "direction": FieldForm(
        c.Direction,
        "Into the lender's reserve, or out of it.",
        "deposit or withdrawal",
        "deposit",
    ),
    "share_ppm": FieldForm(
        _whole(1, limits.PPM),
        "The part that is this one's.",
        _whole_must_be("parts per million", 1, limits.PPM),
        700_000,
    ),
    "category": FieldForm(
        Annotated[str, _characters(f"(?:{_ID_CHARACTERS})?", limits.ID_LENGTH_MAX)],
        "What the merchant sells, by your own classification.",
        f"empty, or {_ID_MUST_BE}",
        "groceries",
    ),
    "fee_ppm": FieldForm(
        _whole(0, limits.PPM),
        "The fee (MDR) of each capture, rounded half up.",
        _whole_must_be("parts per million", 0, limits.PPM),
        18_000,
    ),
    "fee_minimum_minor": FieldForm(
        _whole(0, limits.AMOUNT_MINOR_MAX),
        "The least a capture costs, as far as the capture goes.",
        _whole_must_be("minor units", 0, limits.AMOUNT_MINOR_MAX),
        10,
    ),
    "fee_cap_minor": FieldForm(
        _whole(0, limits.AMOUNT_MINOR_MAX),
        "The most a capture costs; left out or null: no cap.",
        _whole_must_be("minor units", 0, limits.AMOUNT_MINOR_MAX),
        5_000,
    ),
    "party_id": FieldForm(_ID, "Who has a part of the fee.", _ID_MUST_BE, "acquirer"),
    "payer_id": FieldForm(_ID, "Who pays the subsidy.", _ID_MUST_BE, "brand"),
    "floor_ppm": FieldForm(
        _whole(0, limits.PPM),
        "The least part that a regulator allows the lender; 0: no floor.",
        _whole_must_be("parts per million", 0, limits.PPM),
        300_000,
    ),
    "cap_ppm": FieldForm(
        _whole(1, limits.PPM),
        "The most that one lender's part may be; left out or null: no cap.",
        _whole_must_be("parts per million", 1, limits.PPM),
        700_000,
    ),
    "authorization_expiry_seconds": FieldForm(
        _whole(1, limits.EXPIRY_SECONDS_MAX),
        "How long an authorization stays open.",
        _whole_must_be("seconds", 1, limits.EXPIRY_SECONDS_MAX),
        604_800,
    ),
    "hold_expiry_seconds": FieldForm(
        _whole(1, limits.EXPIRY_SECONDS_MAX),
        "How long a limit hold stays open.",
        _whole_must_be("seconds", 1, limits.EXPIRY_SECONDS_MAX),
        86_400,
    ),
    "capture_tolerance_ppm": FieldForm(
        _whole(0, limits.PPM),
        "How far a capture may exceed its authorization.",
        _whole_must_be("parts per million", 0, limits.PPM),
        0,
    ),
    "replaces_version": FieldForm(
        _whole(0, limits.JSON_INTEGER_MAX),
        "The version that this one replaces; 0 for a new program.",
        _whole_must_be("versions", 0, limits.JSON_INTEGER_MAX),
        0,
    ),
    "day": FieldForm(
        datetime.date,
        "The business day.",
        "a date such as 2011-01-31, in the years 1900 to 2199",
        "2011-01-31",
    ),
    "next_day": FieldForm(
        datetime.date,
        "The business day to open; left out or null: the day after.",
        "a date such as 2011-02-01, in the years 1900 to 2199",
        "2011-02-01",
    ),
    "limit": FieldForm(
        _whole(1, limits.ENTRIES_PER_READ_MAX),
        "How many at most.",
        _whole_must_be("entries", 1, limits.ENTRIES_PER_READ_MAX),
        50,
    ),
    "before": FieldForm(
        _text("[1-9][0-9]{0,15}", 16),
        "Where to go on: only what is older.",
        "what an answer gave as `next`",
        "1024",
    ),
    "captured_on": FieldForm(
        datetime.date,
        "The business day of the purchase; left out or null: the open one.",
        "a date such as 2011-01-31, in the years 1900 to 2199",
        "2011-01-31",
    ),
    "until_day": FieldForm(
        datetime.date,
        "The last business day in force.",
        "a date such as 2011-02-14, in the years 1900 to 2199",
        "2011-02-14",
    ),
    "purchase_minor": _velocity("one purchase, with all it grows by"),
    "daily_minor": _velocity("one business day"),
    "monthly_minor": _velocity("one calendar month of business days"),
    "command": FieldForm(
        str,
        "The command's name.",
        "the name of a command, such as authorize or close_day",
        "authorize",
    ),
    "request_id": FieldForm(
        _text(rf"[\x21-\x7e]{{1,{limits.ID_LENGTH_MAX}}}", limits.ID_LENGTH_MAX),
        "The Idempotency-Key of this command.",
        f"1 to {limits.ID_LENGTH_MAX} visible ASCII characters",
        "6f1c2f0e-purchase-1001",
    ),
}


class NestedBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value within a body, made by `nested` from what commands carry."""

    BECOMES: ClassVar[type[msgspec.Struct]]


def form_of(name: str, within: str = "") -> FieldForm:
    """The form of a field, as it is within another one if that differs."""
    return FIELDS.get(f"{within}.{name}") or FIELDS[name]


def nested(kind: type[msgspec.Struct], within: str = "") -> type[NestedBody]:
    """The struct of a value within a body; its fields are of the table, too."""
    made = msgspec.defstruct(
        f"{kind.__name__}Body",
        body_fields(kind, within=within),
        bases=(NestedBody,),
        namespace={"__doc__": kind.__doc__, "BECOMES": kind},
        frozen=True,
        forbid_unknown_fields=True,
    )
    return cast("type[NestedBody]", made)


def body_fields(
    kind: type[msgspec.Struct],
    without: frozenset[str] = frozenset(),
    within: str = "",
) -> list[Any]:
    """The fields of a command or a value, with forms and bounds."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        if field.name in without:
            continue
        form = form_of(field.name, within)
        if field.required:
            fields.append((field.name, form.annotated()))
        else:
            wanted = form.annotated(optional=field.default is None)
            fields.append((field.name, wanted, field.default))
    return fields


def _some(kind: type[msgspec.Struct], least: int, most: int, within: str = "") -> Any:
    return Annotated[
        # A type that is made as the program runs.
        tuple[nested(kind, within), ...],  # type: ignore[misc]
        Meta(min_length=least, max_length=most),
    ]


# Values that consist of others, the inner ones first.
NESTED_FIELDS: set[str] = set()


def _add_nested(name: str, form: FieldForm) -> None:
    FIELDS[name] = form
    NESTED_FIELDS.add(name)


_add_nested(
    "shares",
    FieldForm(
        _some(c.Share, 1, limits.LENDERS_PER_PROGRAM_MAX),
        f"The lenders' parts, each lender once; they sum to {limits.PPM}.",
        f"1 to {limits.LENDERS_PER_PROGRAM_MAX} objects with lender_id and share_ppm",
        [
            {"lender_id": "first-bank", "share_ppm": 700_000},
            {"lender_id": "second-bank", "share_ppm": 300_000, "floor_ppm": 300_000},
        ],
    ),
)
_add_nested(
    "fee_shares",
    FieldForm(
        _some(terms.PartyShare, 0, limits.FEE_PARTIES_MAX),
        f"Who shares the fee, each party once; they sum to {limits.PPM}, or there are"
        " none and the platform has it.",
        f"at most {limits.FEE_PARTIES_MAX} objects with party_id and share_ppm",
        [
            {"party_id": "platform", "share_ppm": 600_000},
            {"party_id": "acquirer", "share_ppm": 400_000},
        ],
    ),
)
_add_nested(
    "subsidies",
    FieldForm(
        _some(terms.Subsidy, 0, limits.SUBSIDIES_PER_MERCHANT_MAX),
        "Who adds what part of each capture to the payout, each payer once.",
        f"at most {limits.SUBSIDIES_PER_MERCHANT_MAX} objects with payer_id and"
        " share_ppm",
        [{"payer_id": "brand", "share_ppm": 10_000}],
    ),
)
_add_nested(
    "pricing",
    FieldForm(
        nested(terms.MerchantTerms),
        "What the merchant pays and is paid on top, per capture.",
        "an object; what it leaves out is nothing",
        {
            "category": FIELDS["category"].example,
            "fee_ppm": FIELDS["fee_ppm"].example,
            "fee_minimum_minor": FIELDS["fee_minimum_minor"].example,
            "fee_shares": FIELDS["fee_shares"].example,
            "subsidies": FIELDS["subsidies"].example,
        },
    ),
)
_add_nested(
    "plans",
    FieldForm(
        _some(Plan, 0, limits.PLANS_PER_PROGRAM_MAX),
        "The instalment plans a purchase may choose from, each id once.",
        f"at most {limits.PLANS_PER_PROGRAM_MAX} objects with plan_id, periods,"
        " method and rate_ppm",
        [
            {
                "plan_id": "three-months",
                "periods": 3,
                "method": "flat_fee",
                "rate_ppm": 6_000,
            }
        ],
    ),
)
_add_nested(
    "allocation",
    FieldForm(
        _some(Bucket, 0, 12),
        "The order in which a repayment pays; empty: the default order.",
        "at most 12 objects with due and component",
        [{"due": "past_due", "component": "penalty"}],
    ),
)
_add_nested(
    "tenders",
    FieldForm(
        _some(Tender, 0, limits.TENDERS_PER_ORDER_MAX, "tenders"),
        "All that paid the order; the credit line is this purchase.",
        f"at most {limits.TENDERS_PER_ORDER_MAX} objects with tender_id, kind and"
        " amount_minor",
        [
            {"tender_id": "line", "kind": "credit_line", "amount_minor": 12_500},
            {"tender_id": "coupon", "kind": "coupon", "amount_minor": 2_500},
        ],
    ),
)
_add_nested(
    "refunded",
    FieldForm(
        _some(TenderRefund, 0, limits.REFUNDS_TOLD_MAX, "refunded"),
        "What went back already: all earlier refunds, or their totals by tender.",
        f"at most {limits.REFUNDS_TOLD_MAX} objects with tender_id, amount_minor and"
        " discount_minor",
        [{"tender_id": "line", "amount_minor": 2_500}],
    ),
)
_add_nested(
    "terms",
    FieldForm(
        nested(Terms),
        "When debts are late, and what that costs.",
        "an object with terms such as grace_days and penalty_ppm_per_day",
        {"grace_days": 3, "penalty_ppm_per_day": 500},
    ),
)
_add_nested(
    "velocity",
    FieldForm(
        nested(Velocity),
        "The limits for all merchants together.",
        "an object with purchase_minor, daily_minor, monthly_minor, or some of them",
        {"daily_minor": 50_000},
    ),
)
_add_nested(
    "categories",
    FieldForm(
        _some(CategoryVelocity, 0, limits.VELOCITY_CATEGORIES_MAX),
        "The limits for merchants of a category, each category once.",
        f"0 to {limits.VELOCITY_CATEGORIES_MAX} objects with category and limits",
        [{"category": "electronics", "monthly_minor": 100_000}],
    ),
)
