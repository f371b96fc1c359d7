"""What may be asked of the processor: imperative, one struct a wish.

A command is addressed by one of its fields (`ROUTED_BY`): an account id or an
id the processor made goes to the shard of its slot, the rest to settlement.
The gateway has checked forms and bounds before a command exists, so here the
types are plain.  Amounts are positive integers of minor units.
"""

from typing import ClassVar

import msgspec

from processor.terms import CategoryVelocity, Velocity


def _wire_name(class_name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in class_name)[1:]


class Command(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=_wire_name):
    """Who asks, and under which id; the same id is the same wish for ever.

    `caller` names the owner of the API key, `request_id` is the caller's
    Idempotency-Key.
    """

    ROUTED_BY: ClassVar[str] = ""  # Settlement, unless said otherwise.

    caller: str
    request_id: str

    @classmethod
    def wire_name(cls) -> str:
        """The name in bulk requests, journals and documents."""
        return _wire_name(cls.__name__)


# To a shard, by account.


class OpenAccount(Command, frozen=True):
    """Open one borrower's line with one program."""

    ROUTED_BY = "account_id"

    account_id: str
    program_id: str
    currency: str
    limit_minor: int


class ChangeLimit(Command, frozen=True):
    """Set the limit.  Below what is occupied is allowed: over limit, no new yes.

    While a temporary limit is in force this is the limit that comes back after
    it.
    """

    ROUTED_BY = "account_id"

    account_id: str
    limit_minor: int


class SetTemporaryLimit(Command, frozen=True):
    """Another limit from now up to and with a business day (ISO date).

    Then the ordinary limit is back.  A second one replaces the first.
    """

    ROUTED_BY = "account_id"

    account_id: str
    limit_minor: int
    until_day: str


class SetVelocity(Command, frozen=True):
    """Limit how much may be bought: in a purchase, a business day, a month.

    For all merchants together, and for those of a category.  Replaces what was
    set before; with no limit at all there are none.  What was approved before
    an account or a category had limits does not count; refunds give nothing
    back.
    """

    ROUTED_BY = "account_id"

    account_id: str
    velocity: Velocity
    categories: tuple[CategoryVelocity, ...] = ()


class FreezeAccount(Command, frozen=True):
    """Stop new holds and authorizations; what exists goes on."""

    ROUTED_BY = "account_id"

    account_id: str


class UnfreezeAccount(Command, frozen=True):
    """Allow new holds and authorizations again."""

    ROUTED_BY = "account_id"

    account_id: str


class CloseAccount(Command, frozen=True):
    """Close for ever; only when nothing is occupied, owed or in credit."""

    ROUTED_BY = "account_id"

    account_id: str


class Authorize(Command, frozen=True):
    """Occupy the limit and every lender's reserve for a purchase.

    With `capture` the purchase becomes a debt at once.  With `partial` the most
    that fits is approved when not all of it does.
    """

    ROUTED_BY = "account_id"

    account_id: str
    merchant_id: str
    amount_minor: int
    currency: str
    capture: bool = False
    reference: str = ""
    partial: bool = False


class PlaceHold(Command, frozen=True):
    """Occupy the limit only; no lender money yet."""

    ROUTED_BY = "account_id"

    account_id: str
    amount_minor: int
    currency: str
    reference: str = ""


class Repay(Command, frozen=True):
    """Money in from the borrower; restores the limit at once."""

    ROUTED_BY = "account_id"

    account_id: str
    amount_minor: int
    currency: str
    reference: str = ""


# To a shard, by an id the processor made.


class IncrementAuthorization(Command, frozen=True):
    """Authorize more on an open authorization."""

    ROUTED_BY = "authorization_id"

    authorization_id: str
    amount_minor: int


class CaptureAuthorization(Command, frozen=True):
    """Turn an authorization into a debt: all that is open, or a part.

    `final` gives back what remains.  Up to the program's tolerance above what
    was authorized is allowed.
    """

    ROUTED_BY = "authorization_id"

    authorization_id: str
    amount_minor: int | None = None
    final: bool = False


class ReverseAuthorization(Command, frozen=True):
    """Give back what is open and not captured: all of it, or a part."""

    ROUTED_BY = "authorization_id"

    authorization_id: str
    amount_minor: int | None = None


class Refund(Command, frozen=True):
    """Give back a captured purchase: all that is left of it, or a part."""

    ROUTED_BY = "authorization_id"

    authorization_id: str
    amount_minor: int | None = None
    reference: str = ""


class IncreaseHold(Command, frozen=True):
    """Hold more of the limit."""

    ROUTED_BY = "hold_id"

    hold_id: str
    amount_minor: int


class ReleaseHold(Command, frozen=True):
    """Give held limit back: all of it, or a part."""

    ROUTED_BY = "hold_id"

    hold_id: str
    amount_minor: int | None = None


class ConvertHold(Command, frozen=True):
    """Turn held limit into an authorization: all of it, or a part.

    What is not converted stays held, unless `final` releases it.
    """

    ROUTED_BY = "hold_id"

    hold_id: str
    merchant_id: str
    amount_minor: int | None = None
    capture: bool = False
    final: bool = False
    reference: str = ""


# To settlement.


class RegisterLender(Command, frozen=True):
    """Add a funder; its reserve starts empty."""

    lender_id: str
    currency: str
    name: str = ""
    advance_line_minor: int = 0


class DepositReserve(Command, frozen=True):
    """Record a lender's deposit: headroom rises at once."""

    lender_id: str
    amount_minor: int


class WithdrawReserve(Command, frozen=True):
    """Pay deposit back to a lender; only what is neither used nor promised."""

    lender_id: str
    amount_minor: int


class Share(msgspec.Struct, frozen=True, gc=False):
    """One lender's part of each purchase, in parts per million."""

    lender_id: str
    share_ppm: int


class RegisterProgram(Command, frozen=True):
    """Add a product, or its next version when `replaces_version` names the last.

    Shares sum to 1 000 000.  Expiries are in seconds, the tolerance is what a
    capture may exceed its authorization by, in parts per million.
    """

    program_id: str
    currency: str
    shares: tuple[Share, ...]
    authorization_expiry_seconds: int = 7 * 24 * 3_600
    hold_expiry_seconds: int = 24 * 3_600
    capture_tolerance_ppm: int = 0
    replaces_version: int = 0


class RegisterMerchant(Command, frozen=True):
    """Add a merchant at which purchases may be authorized."""

    merchant_id: str
    name: str = ""
    category: str = ""


class CloseDay(Command, frozen=True):
    """Cut the business day (ISO date) and open the next: the day after, or later."""

    day: str
    next_day: str | None = None


AccountCommand = (
    OpenAccount
    | ChangeLimit
    | SetTemporaryLimit
    | SetVelocity
    | FreezeAccount
    | UnfreezeAccount
    | CloseAccount
    | Authorize
    | PlaceHold
    | Repay
    | IncrementAuthorization
    | CaptureAuthorization
    | ReverseAuthorization
    | Refund
    | IncreaseHold
    | ReleaseHold
    | ConvertHold
)
SettlementCommand = (
    RegisterLender
    | DepositReserve
    | WithdrawReserve
    | RegisterProgram
    | RegisterMerchant
    | CloseDay
)
