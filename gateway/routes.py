"""What the door offers: one table of commands and one of queries.

Paths, roles, bodies, the API document and the metrics' labels all come from
here.  A path has at most one parameter, and takes one method.
"""

from enum import StrEnum
from typing import Any

import msgspec

from gateway.pos_answers import PosDeclinedAnswer, PosRepaymentAnswer
from processor import answers as a
from processor import commands as c
from processor import entries, settlement_views, views
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
    declined: type[a.DeclinedAnswer] = a.DeclinedAnswer


class QueryRoute(msgspec.Struct, frozen=True):
    """GET `path` reads the object of `kind` that the path's parameter names.

    `narrowed_by` are the parameters its query may have, with what holds if not.
    """

    path: str
    kind: str
    parameter: str
    answer: type[msgspec.Struct]
    summary: str
    narrowed_by: dict[str, Any] = {}


_PAYMENTS, _OPERATOR = Role.PAYMENTS, Role.OPERATOR
_ACCOUNT = "/v1/accounts/{account_id}"
_AUTHORIZATION = "/v1/authorizations/{authorization_id}"
_HOLD = "/v1/holds/{hold_id}"
_REPAYMENT = "/v1/repayments/{repayment_id}"
_LENDER = "/v1/lenders/{lender_id}"
_FUNDS = "/v1/funds/{movement_id}"

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
        f"{_REPAYMENT}/finalize",
        c.FinalizeRepayment,
        _PAYMENTS,
        a.RepaymentStatusAnswer,
        "Say that a provisional repayment cannot bounce any more",
        "repayment_id",
    ),
    CommandRoute(
        f"{_REPAYMENT}/return",
        c.ReturnRepayment,
        _PAYMENTS,
        a.UndoneAnswer,
        "Undo a provisional repayment that bounced",
        "repayment_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/early-settlements",
        c.SettleEarly,
        _PAYMENTS,
        a.RepaymentAnswer,
        "Pay off one purchase, or all, before it is due",
        "account_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/payouts",
        c.PayOutCredit,
        _PAYMENTS,
        a.CreditAnswer,
        "Pay out the borrower's credit balance",
        "account_id",
    ),
    CommandRoute(
        f"{_AUTHORIZATION}/extend",
        c.ExtendPlan,
        _OPERATOR,
        a.ExtensionAnswer,
        "Spread what is not billed over other periods",
        "authorization_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/waivers",
        c.WaiveCharges,
        _OPERATOR,
        a.WaiverAnswer,
        "Forgive interest or penalty",
        "account_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/write-off",
        c.WriteOff,
        _OPERATOR,
        a.WriteOffAnswer,
        "Give up what an account owes",
        "account_id",
    ),
    CommandRoute(
        "/v1/write-offs/{write_off_id}/reverse",
        c.ReverseWriteOff,
        _OPERATOR,
        a.UndoneAnswer,
        "Undo a write-off",
        "write_off_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/recoveries",
        c.RecordRecovery,
        _OPERATOR,
        a.RecoveryAnswer,
        "Book money that came in on what was written off",
        "account_id",
    ),
    CommandRoute(
        "/v1/recoveries/{recovery_id}/reverse",
        c.ReverseRecovery,
        _OPERATOR,
        a.RecoveryAnswer,
        "Undo a recovery",
        "recovery_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/claims",
        c.PayClaim,
        _OPERATOR,
        a.ClaimAnswer,
        "Book a guarantor's payment of what an account owes",
        "account_id",
    ),
    CommandRoute(
        "/v1/claims/{claim_id}/reverse",
        c.ReverseClaim,
        _OPERATOR,
        a.UndoneAnswer,
        "Undo a guarantor's payment",
        "claim_id",
    ),
    CommandRoute(
        f"{_ACCOUNT}/adjustments",
        c.ProposeAdjustment,
        _OPERATOR,
        a.AdjustmentAnswer,
        "Propose a correction of the borrower's balance",
        "account_id",
    ),
    CommandRoute(
        "/v1/adjustments/{adjustment_id}/approve",
        c.ApproveAdjustment,
        _OPERATOR,
        a.AdjustmentAnswer,
        "Approve another caller's correction",
        "adjustment_id",
    ),
    CommandRoute(
        "/v1/adjustments/{adjustment_id}/reject",
        c.RejectAdjustment,
        _OPERATOR,
        a.AdjustmentAnswer,
        "Reject a proposed correction",
        "adjustment_id",
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
        f"{_LENDER}/advance-line",
        c.ChangeAdvanceLine,
        _OPERATOR,
        a.AdvanceLineAnswer,
        "Set what may be paid for a lender beyond its deposit",
        "lender_id",
    ),
    CommandRoute(
        f"{_LENDER}/suspend",
        c.SuspendLender,
        _OPERATOR,
        a.SuspensionAnswer,
        "Stop new authorizations for a lender",
        "lender_id",
    ),
    CommandRoute(
        f"{_LENDER}/resume",
        c.ResumeLender,
        _OPERATOR,
        a.SuspensionAnswer,
        "Allow new authorizations for a lender again",
        "lender_id",
    ),
    CommandRoute(
        f"{_LENDER}/daily-cap",
        c.SetDailyCap,
        _OPERATOR,
        a.DailyCapAnswer,
        "Bound what may be authorized for a lender in a business day",
        "lender_id",
    ),
    CommandRoute(
        "/v1/funds",
        c.ProposeFunds,
        _OPERATOR,
        a.FundsAnswer,
        "Propose a deposit or withdrawal that another caller approves",
    ),
    CommandRoute(
        f"{_FUNDS}/approve",
        c.ApproveFunds,
        _OPERATOR,
        a.FundsAnswer,
        "Approve what another caller has proposed, and move the money",
        "movement_id",
    ),
    CommandRoute(
        f"{_FUNDS}/reject",
        c.RejectFunds,
        _OPERATOR,
        a.FundsAnswer,
        "Reject a proposed funds movement",
        "movement_id",
    ),
    CommandRoute(
        "/v1/forced-captures",
        c.ForceCapture,
        _PAYMENTS,
        a.ForcedAnswer,
        "Book a purchase whose goods are gone",
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
        "/v1/merchants/{merchant_id}/terms",
        c.ChangeMerchant,
        _OPERATOR,
        a.MerchantAnswer,
        "Give a merchant new terms, for captures from then on",
        "merchant_id",
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

# Several commands under one Idempotency-Key; `command` is the first of them.
SAGA_ROUTES: tuple[CommandRoute, ...] = (
    CommandRoute(
        "/v1/pos-repayments",
        c.WithholdFromMerchant,
        _PAYMENTS,
        PosRepaymentAnswer,
        "Repay an account, first out of what a merchant is owed",
        declined=PosDeclinedAnswer,
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
        f"{_ACCOUNT}/entries",
        "entries",
        "account_id",
        entries.EntriesView,
        "Read what has happened to an account, newest first",
        {"limit": 50, "before": None},
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
        f"{_ACCOUNT}/statements",
        "statements",
        "account_id",
        views.StatementsView,
        "Read an account's statements, and what is due now",
    ),
    QueryRoute(
        f"{_ACCOUNT}/schedule",
        "schedule",
        "account_id",
        views.ScheduleView,
        "Read what an account still has to pay, instalment by instalment",
    ),
    QueryRoute(
        f"{_ACCOUNT}/early-settlement",
        "early_settlement",
        "account_id",
        views.EarlySettlementView,
        "Read what would settle an account today",
    ),
    QueryRoute(
        f"{_LENDER}/position",
        "position",
        "lender_id",
        settlement_views.PositionView,
        "Read a lender's reserve, exact at one cut over all shards",
    ),
    QueryRoute(
        _FUNDS,
        "funds",
        "movement_id",
        settlement_views.FundsView,
        "Read a funds movement",
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
        "/v1/merchants/{merchant_id}/payable",
        "payable",
        "merchant_id",
        settlement_views.MerchantPayableView,
        "Read what a merchant is owed for all closed days",
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
SEALINGS_PATH = "/v1/sealings"
NOOP_PATH = "/v1/noop"
NOOP_DIRECT_PATH = "/v1/noop-direct"
