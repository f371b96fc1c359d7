"""What the door offers: one table of commands and one of queries.

Paths, roles, bodies, the API document and the metrics' labels all come from
here.  A path has at most one parameter, and takes one method.
"""

from enum import StrEnum

import msgspec

from processor import answers as a
from processor import commands as c
from processor import settlement_views, views
from processor.explain import ExplanationView


class Role(StrEnum):
    """What an API key may do; every key may read."""

    PAYMENTS = "payments"
    OPERATOR = "operator"
    AUDITOR = "auditor"


class CommandRoute(msgspec.Struct, frozen=True):
    """POST `path` carries out `command`; `parameter` is the field in the path."""

    path: str
    command: type[c.Command]
    role: Role
    answer: type[a.ApprovedAnswer]
    summary: str
    parameter: str | None = None
    needs_key: bool = True  # An Idempotency-Key.


class QueryRoute(msgspec.Struct, frozen=True):
    """GET `path` reads the object of `kind` that the path's parameter names."""

    path: str
    kind: str
    parameter: str
    answer: type[msgspec.Struct]
    summary: str


_PAYMENTS, _OPERATOR = Role.PAYMENTS, Role.OPERATOR
_ACCOUNT = "/v1/accounts/{account_id}"
_AUTHORIZATION = "/v1/authorizations/{authorization_id}"
_HOLD = "/v1/holds/{hold_id}"
_LENDER = "/v1/lenders/{lender_id}"

COMMAND_ROUTES: tuple[CommandRoute, ...] = (
    CommandRoute(
        "/v1/authorizations",
        c.Authorize,
        _PAYMENTS,
        a.AuthorizationAnswer,
        "Authorize a purchase",
    ),
    CommandRoute(
        f"{_AUTHORIZATION}/capture",
        c.CaptureAuthorization,
        _PAYMENTS,
        a.CaptureAnswer,
        "Capture all or a part of an authorization",
        "authorization_id",
    ),
    CommandRoute(
        f"{_AUTHORIZATION}/reverse",
        c.ReverseAuthorization,
        _PAYMENTS,
        a.ChangeAnswer,
        "Give back what is open of an authorization",
        "authorization_id",
    ),
    CommandRoute(
        f"{_AUTHORIZATION}/increment",
        c.IncrementAuthorization,
        _PAYMENTS,
        a.ChangeAnswer,
        "Authorize more on an open authorization",
        "authorization_id",
    ),
    CommandRoute(
        "/v1/refunds",
        c.Refund,
        _PAYMENTS,
        a.RefundAnswer,
        "Refund all or a part of a captured purchase",
    ),
    CommandRoute(
        "/v1/repayments",
        c.Repay,
        _PAYMENTS,
        a.RepaymentAnswer,
        "Book a repayment of the borrower",
    ),
    CommandRoute(
        "/v1/holds", c.PlaceHold, _PAYMENTS, a.HoldAnswer, "Place a limit hold"
    ),
    CommandRoute(
        f"{_HOLD}/release",
        c.ReleaseHold,
        _PAYMENTS,
        a.HoldAnswer,
        "Release all or a part of a hold",
        "hold_id",
    ),
    CommandRoute(
        f"{_HOLD}/increase",
        c.IncreaseHold,
        _PAYMENTS,
        a.HoldAnswer,
        "Hold more of the limit",
        "hold_id",
    ),
    CommandRoute(
        f"{_HOLD}/convert",
        c.ConvertHold,
        _PAYMENTS,
        a.AuthorizationAnswer,
        "Turn all or a part of a hold into an authorization",
        "hold_id",
    ),
    CommandRoute(
        "/v1/accounts", c.OpenAccount, _OPERATOR, a.AccountAnswer, "Open an account"
    ),
    CommandRoute(
        f"{_ACCOUNT}/limit",
        c.ChangeLimit,
        _OPERATOR,
        a.LimitAnswer,
        "Set an account's limit",
        "account_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/temporary-limit",
        c.SetTemporaryLimit,
        _OPERATOR,
        a.TemporaryLimitAnswer,
        "Set another limit up to and with a business day",
        "account_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/velocity",
        c.SetVelocity,
        _OPERATOR,
        a.VelocityAnswer,
        "Limit what an account buys in a purchase, a day, a month",
        "account_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/freeze",
        c.FreezeAccount,
        _OPERATOR,
        a.AccountAnswer,
        "Stop new purchases of an account",
        "account_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/unfreeze",
        c.UnfreezeAccount,
        _OPERATOR,
        a.AccountAnswer,
        "Allow new purchases again",
        "account_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/close",
        c.CloseAccount,
        _OPERATOR,
        a.AccountAnswer,
        "Close an account for ever",
        "account_id",
    ),
    CommandRoute(
        "/v1/lenders", c.RegisterLender, _OPERATOR, a.LenderAnswer, "Add a lender"
    ),
    CommandRoute(
        f"{_LENDER}/deposits",
        c.DepositReserve,
        _OPERATOR,
        a.LenderAnswer,
        "Record a deposit into a lender's reserve",
        "lender_id",
    ),
    CommandRoute(
        f"{_LENDER}/withdrawals",
        c.WithdrawReserve,
        _OPERATOR,
        a.LenderAnswer,
        "Pay deposit back to a lender",
        "lender_id",
    ),
    CommandRoute(
        "/v1/programs",
        c.RegisterProgram,
        _OPERATOR,
        a.ProgramAnswer,
        "Add a program, or its next version",
    ),
    CommandRoute(
        "/v1/merchants",
        c.RegisterMerchant,
        _OPERATOR,
        a.MerchantAnswer,
        "Add a merchant",
    ),
    CommandRoute(
        "/v1/business-days/{day}/close",
        c.CloseDay,
        _OPERATOR,
        a.DayCutAnswer,
        "Cut the business day and open the next",
        "day",
        needs_key=False,
    ),
)

QUERY_ROUTES: tuple[QueryRoute, ...] = (
    QueryRoute(
        _ACCOUNT,
        "account",
        "account_id",
        views.AccountView,
        "Read an account",
    ),
    QueryRoute(
        _AUTHORIZATION,
        "authorization",
        "authorization_id",
        views.AuthorizationView,
        "Read an authorization and what became of it",
    ),
    QueryRoute(
        f"{_AUTHORIZATION}/explanation",
        "explanation",
        "authorization_id",
        ExplanationView,
        "Ask why an authorization was approved or declined, and what had passed",
    ),
    QueryRoute(_HOLD, "hold", "hold_id", views.HoldView, "Read a hold"),
    QueryRoute(
        f"{_LENDER}/position",
        "position",
        "lender_id",
        settlement_views.PositionView,
        "Read a lender's reserve, exact at one cut over all shards",
    ),
    QueryRoute(
        "/v1/programs/{program_id}",
        "program",
        "program_id",
        settlement_views.ProgramView,
        "Read a program",
    ),
    QueryRoute(
        "/v1/merchants/{merchant_id}",
        "merchant",
        "merchant_id",
        settlement_views.MerchantView,
        "Read a merchant",
    ),
    QueryRoute(
        "/v1/business-days/{day}",
        "day",
        "day",
        settlement_views.DayView,
        'Read a business day; "current" is the open one',
    ),
)

BULK_PATH = "/v1/commands"
STATUS_PATH = "/v1/status"
AUDIT_PATH = "/v1/audit"
NOOP_PATH = "/v1/noop"
