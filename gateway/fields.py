"""Every field a request may have: its form, its bounds, and words for both.

One table, from which bodies, path checks, error messages and the API document
are made.  A command with a field that is not here does not start.
"""

import datetime
from typing import Annotated, Any, ClassVar, cast

import msgspec
from msgspec import Meta

from processor import commands as c
from processor import limits
from processor.terms import CategoryVelocity, Velocity


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
ID_FORM = _characters(
    f"[A-Za-z0-9_.:-]{{1,{limits.ID_LENGTH_MAX}}}", limits.ID_LENGTH_MAX
)
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
    "share_ppm": FieldForm(
        _whole(1, limits.PPM),
        "A lender's part.",
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
    "until_day": FieldForm(
        datetime.date,
        "The last business day in force.",
        "a date such as 2011-02-14, in the years 1900 to 2199",
        "2011-02-14",
    ),
    "category": FieldForm(
        _ID,
        "The merchants' category; a merchant of none leaves it out.",
        _ID_MUST_BE,
        "electronics",
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


def nested(kind: type[msgspec.Struct]) -> type[NestedBody]:
    """The struct of a value within a body; its fields are of the table, too."""
    made = msgspec.defstruct(
        f"{kind.__name__}Body",
        body_fields(kind),
        bases=(NestedBody,),
        namespace={"__doc__": kind.__doc__, "BECOMES": kind},
        frozen=True,
        forbid_unknown_fields=True,
    )
    return cast("type[NestedBody]", made)


def body_fields(
    kind: type[msgspec.Struct], without: frozenset[str] = frozenset()
) -> list[Any]:
    """The fields of a command or a value, with forms and bounds."""
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        if field.name in without:
            continue
        form = FIELDS[field.name]
        if field.required:
            fields.append((field.name, form.annotated()))
        else:
            wanted = form.annotated(optional=field.default is None)
            fields.append((field.name, wanted, field.default))
    return fields


def _some(kind: type[msgspec.Struct], least: int, most: int) -> Any:
    return Annotated[
        tuple[nested(kind), ...],  # type: ignore[misc]
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
            {"lender_id": "second-bank", "share_ppm": 300_000},
        ],
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
