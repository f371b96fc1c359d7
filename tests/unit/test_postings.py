"""Every event books legs that sum to zero, and a wrong event fails to."""

from collections import Counter

import msgspec
import pytest

from processor import events as e
from processor.audit.lines import Line, Payment
from processor.audit.postings import legs, reserve_legs
from processor.declines import DeclineReason
from processor.terms import Side, Waivable


class Purchase(msgspec.Struct):
    account_id: str = "alice"
    merchant_id: str = "shop"
    currency: str = "GBP"
    lenders: tuple[str, ...] = ("north", "south")
    lines: tuple[Line, ...] = ()


class Account(msgspec.Struct):
    program_id: str = "joint"
    currency: str = "GBP"


class Hold(msgspec.Struct):
    account_id: str = "alice"
    currency: str = "GBP"


class Reserve(msgspec.Struct):
    currency: str
    deposit_minor: int


class Names:
    def __init__(self) -> None:
        self.purchases = {"au": Purchase(lines=LINES)}
        self.holds = {"ho": Hold()}
        self.payments = {
            "rp": Payment("repayment", "alice", 78, 20, PAID, {}),
            "wo": Payment("write_off", "alice", 58, 0, PAID, {}),
            "rc": Payment("recovery", "alice", 10, 0, (), {"north": 3, "south": 7}),
            "cl": Payment("claim", "alice", 58, 0, PAID, {}, "insurer"),
        }
        self.accounts = {"alice": Account()}

    def billed_before(self, account_id: str) -> int:
        return 10


AUTHORIZED = e.Authorized("au", "alice", "shop", "joint", 1, 100, (30, 70), 0, 0)
CONVERTED = msgspec.structs.replace(
    AUTHORIZED,
    captured=True,
    credit_used_minor=10,
    credit_parts=(3, 7),
    hold_id="ho",
    hold_taken_minor=100,
    hold_released_minor=20,
)
CAPTURED = e.Captured("au", "ca", 110, (33, 77), 20, (6, 14), 5, (1, 4), 10, (3, 7), 0)
REFUNDED = e.Refunded("au", "re", 50, (15, 35), 40, (13, 27), 10, "2026-03-02", 0)
MDR = e.MerchantCharge(9, ("platform", "bank"), (5, 4), 3, ("brand",), (3,))
CHARGED = msgspec.structs.replace(CAPTURED, charge=MDR)
CHARGED_AT_ONCE = msgspec.structs.replace(CONVERTED, charge=MDR)
CHARGED_BACK = msgspec.structs.replace(REFUNDED, charge_back=MDR)
REPAID = e.Repaid("alice", "rp", 60, (e.Allocation("au", 40, (12, 28)),), 20, 0)

# Debts: a plan's line 1 is billed, its line 2 is not.
LINES = (
    Line(9, 20, [0] * 4, [0] * 4, [0] * 4),
    Line(10, 40, [0] * 4, [0] * 4, [0] * 4),
)
BY_PLAN = msgspec.structs.replace(CAPTURED, borne_minor=9, borne_parts=(3, 6))
BY_LINE = msgspec.structs.replace(
    REFUNDED,
    line_parts=(25, 25),
    line_credits=(10, 0),
    fee_parts=(5, 5),
    fee_credits=(2, 0),
    fee_credit_parts=(1, 1),
    borne_minor=4,
    borne_parts=(1, 3),
)
PAID = (
    e.Allocation("au", 40, (12, 28), 1, 3, 2, 5, (3, 7)),
    e.Allocation("au", 8, (2, 6), 2),
)
UNDONE = (e.Undone(30, (9, 21), 1, (3, 6), 11), e.Undone(8, (2, 6), 0, (), 0))
FEES_PAID = e.Repaid("alice", "rp", 78, PAID, 20, 0, provisional=True)
WITHHELD = e.Repaid("alice", "rp", 60, REPAID.allocations, 20, 0, "shop", "wh-1")
FORCED = e.ForceCaptured(
    "au",
    "ca",
    "alice",
    "shop",
    "joint",
    1,
    110,
    (33, 77),
    20,
    (6, 14),
    10,
    (3, 7),
    0,
    0,
    0,
    False,
    0,
    MDR,
    9,
    (),
    9,
    (3, 6),
)
RETURNED = e.RepaymentReturned("rp", "alice", 78, UNDONE, 31, 0)
CREDIT_USED = e.CreditUsed("alice", 58, PAID)
PAID_OUT = e.CreditPaidOut("alice", 5, 0, 0)
BILLED = e.BilledLine("au", 1, 40, 3, 2)
STATEMENT = e.StatementIssued("alice", 9, 20, (BILLED,), 0, 45, 9, 0, 40)
CHARGE = (e.LineCharge("au", 1, 5),)
PENALTY = e.PenaltyCharged("alice", 23, CHARGE)
WAIVED = e.ChargesWaived("alice", Waivable.PENALTY, 5, CHARGE)
RECUT = e.Recut("au", (e.CutLine(9, 10, 8, 3, 2),))
SETTLED = e.SettledEarly("alice", "rp", 58, 3, (RECUT,), PAID, 0)
WRITTEN_OFF = e.WrittenOff("alice", "wo", 58, PAID, 0)
WRITE_OFF_REVERSED = e.WriteOffReversed("wo", "alice", 58, UNDONE, 11, 0)
LENDERS = (e.LenderAmount("north", 3), e.LenderAmount("south", 7))
RECOVERED = e.RecoveryRecorded("alice", "rc", 10, LENDERS)
RECOVERY_REVERSED = e.RecoveryReversed("rc", "alice", 10)
CLAIMED = e.ClaimPaid("alice", "cl", "insurer", 58, PAID, 0)
CLAIM_REVERSED = e.ClaimReversed("cl", "alice", 58, UNDONE, 11, 0)
ADJUSTED = e.AdjustmentApproved("aj", "alice", -7, 0)

EVENTS: tuple[e.Event, ...] = (
    AUTHORIZED,
    CONVERTED,
    e.AuthorizationIncremented("au", 10, (3, 7), 0),
    CAPTURED,
    e.AuthorizationReversed("au", 10, (3, 7), 0),
    e.AuthorizationExpired("au", 10, (3, 7)),
    e.HoldPlaced("ho", "alice", 10, 0, 0),
    e.HoldIncreased("ho", 10, 0),
    e.HoldReleased("ho", 10, 0),
    e.HoldExpired("ho", 10),
    REFUNDED,
    REPAID,
    CHARGED,
    CHARGED_AT_ONCE,
    CHARGED_BACK,
    BY_PLAN,
    BY_LINE,
    FORCED,
    WITHHELD,
    FEES_PAID,
    RETURNED,
    CREDIT_USED,
    PAID_OUT,
    STATEMENT,
    PENALTY,
    WAIVED,
    SETTLED,
    WRITTEN_OFF,
    WRITE_OFF_REVERSED,
    RECOVERED,
    RECOVERY_REVERSED,
    CLAIMED,
    CLAIM_REVERSED,
    ADJUSTED,
)


def booked(*events: e.Event) -> dict[str, int]:
    """Ledger accounts that are not zero after the events."""
    ledger: Counter[str] = Counter()
    for event in events:
        for name, amount in legs(event, Names()):
            ledger[name] += amount
    return {name: amount for name, amount in ledger.items() if amount}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_the_legs_of_every_event_sum_to_zero(event: e.Event) -> None:
    amounts = [amount for _, amount in legs(event, Names())]

    assert amounts
    assert sum(amounts) == 0


@pytest.mark.parametrize(
    ("event", "fields", "off"),
    [
        (AUTHORIZED, {"amount_minor": 101}, 1),
        (AUTHORIZED, {"parts": (31, 70)}, -1),
        (CAPTURED, {"released_parts": (1, 5)}, 1),
        (CAPTURED, {"extra_parts": (6, 13)}, 1),
        (REFUNDED, {"amount_minor": 51}, 1),
        (REFUNDED, {"credit_minor": 9}, 1),
        (REPAID, {"amount_minor": 61}, 1),
        (REPAID, {"credit_minor": 21}, -1),
        (BY_PLAN, {"borne_minor": 8}, -1),
        (BY_PLAN, {"borne_parts": (3, 7)}, -1),
        (BY_LINE, {"borne_minor": 5}, -1),
        (BY_LINE, {"fee_credits": (3, 0)}, -1),
        (BY_LINE, {"fee_credit_parts": (1, 2)}, 1),
        (FEES_PAID, {"amount_minor": 79}, 1),
        (RETURNED, {"amount_minor": 77}, 1),
        (RETURNED, {"credit_minor": 32}, 1),
        (CREDIT_USED, {"amount_minor": 59}, 1),
        (WAIVED, {"amount_minor": 6}, 1),
        (SETTLED, {"amount_minor": 57}, -1),
        (WRITTEN_OFF, {"amount_minor": 59}, 1),
        (WRITE_OFF_REVERSED, {"amount_minor": 59}, -1),
        (WRITE_OFF_REVERSED, {"credit_minor": 10}, -1),
        (CLAIMED, {"amount_minor": 59}, 1),
        (CLAIM_REVERSED, {"credit_minor": 12}, 1),
    ],
)
def test_a_wrong_event_does_not_balance(
    event: e.Event, fields: dict[str, object], off: int
) -> None:
    wrong = msgspec.structs.replace(event, **fields)

    assert sum(amount for _, amount in legs(wrong, Names())) == off


def test_an_authorization_occupies_the_account_and_every_lender() -> None:
    assert booked(AUTHORIZED) == {
        "account_authorized:alice": 100,
        "lender_authorized:north": -30,
        "lender_authorized:south": -70,
    }


def test_what_is_reversed_leaves_nothing_booked() -> None:
    reversed_ = e.AuthorizationReversed("au", 100, (30, 70), 0)

    assert booked(AUTHORIZED, reversed_) == {}


def test_a_capture_is_owed_to_the_lenders_and_to_the_merchant() -> None:
    captured = e.Captured("au", "ca", 100, (30, 70), 0, (0, 0), 0, (0, 0), 0, (), 0)

    assert booked(AUTHORIZED, captured) == {
        "loan:alice": 100,
        "lender_claim:north": -30,
        "lender_claim:south": -70,
        "lender_reserve:north": 30,
        "lender_reserve:south": 70,
        "merchant_payable:shop:GBP": -100,
    }


def test_what_was_repaid_and_then_refunded_is_due_from_the_lenders() -> None:
    captured = e.Captured("au", "ca", 100, (30, 70), 0, (0, 0), 0, (0, 0), 0, (), 0)
    repaid = e.Repaid("alice", "rp", 40, (e.Allocation("au", 40, (12, 28)),), 0, 0)
    refunded = e.Refunded("au", "re", 100, (30, 70), 60, (18, 42), 40, "", 0)

    assert booked(AUTHORIZED, captured, repaid, refunded) == {
        "cash:GBP": 40,
        "borrower_credit:alice": -40,
        "lender_remittance:north": -12,
        "lender_remittance:south": -28,
        "lender_due:north": 12,
        "lender_due:south": 28,
    }


def test_credit_pays_a_new_debt_and_the_lenders_claims() -> None:
    ledger = booked(CONVERTED)

    assert ledger["borrower_credit:alice"] == 10
    assert ledger["loan:alice"] == 90
    assert ledger["lender_claim:north"] == -27
    assert ledger["lender_remittance:south"] == -7
    assert ledger["account_held:alice"] == -120
    assert ledger["holds_open:GBP"] == 120


@pytest.mark.parametrize(
    "event",
    [
        e.Declined(DeclineReason.ACCOUNT_FROZEN),
        e.AccountOpened("alice", "joint", "GBP", 1),
        e.SliceReceived("north", 1),
        e.DayMoved("2026-03-02", "2026-03-03", e.DayTotals()),
        e.DueMoved("alice", 40, CHARGE),
        e.PlanExtended("alice", "au", 3, RECUT),
        e.RepaymentFinal("rp", "alice"),
        e.AdjustmentProposed("aj", "alice", Side.DEBIT, 7, ""),
        e.AdjustmentRejected("aj", "alice"),
    ],
)
def test_what_moves_no_money_books_nothing(event: e.Event) -> None:
    assert legs(event, Names()) == []


def test_charges_are_nobodys_before_they_are_paid() -> None:
    assert booked(STATEMENT, PENALTY) == {
        "charges:alice": 10,
        "charge_income:joint": -10,
    }
    assert booked(STATEMENT, PENALTY, FEES_PAID) == {
        "cash:GBP": 78,
        "loan:alice": -48,
        "borrower_credit:alice": -20,
        "lender_claim:north": 14,
        "lender_claim:south": 34,
        "lender_remittance:north": -17,
        "lender_remittance:south": -41,
    }


def test_a_fee_that_goes_back_is_not_owed_or_is_credit() -> None:
    """Of 5 that fall off the billed line 2 were paid; the line to come owes none."""
    ledger = booked(BY_LINE)

    assert -3 == ledger["charges:alice"]
    assert 3 == ledger["charge_income:joint"]
    assert -12 == ledger["borrower_credit:alice"]
    assert 1 + 1 == ledger["lender_remittance:north"]  # Of its fees, and borne.
    assert 1 + 3 == ledger["lender_remittance:south"]
    assert 50 - 4 == ledger["merchant_payable:shop:GBP"]


@pytest.mark.parametrize(
    ("done", "undone"),
    [
        (FEES_PAID, RETURNED),
        (WRITTEN_OFF, WRITE_OFF_REVERSED),
        (CLAIMED, CLAIM_REVERSED),
    ],
)
def test_what_is_undone_leaves_what_a_refund_made_of_it(
    done: e.Event, undone: e.Event
) -> None:
    """10 of principal and 1 of fee had gone back, 11 of credit for it."""
    ledger = booked(done, undone)

    assert ledger == {
        "loan:alice": -10,
        "charges:alice": -1,
        "charge_income:joint": 1,
        "borrower_credit:alice": 11,
        "lender_claim:north": 3,
        "lender_claim:south": 7,
        "lender_due:north": -3,
        "lender_due:south": -7,
        "lender_remittance:south": -1,
    }


def test_a_reversed_recovery_leaves_nothing_booked() -> None:
    assert booked(RECOVERED, RECOVERY_REVERSED) == {}


def test_an_adjustment_is_the_platforms_expense() -> None:
    assert booked(ADJUSTED) == {
        "platform_expense:GBP": -7,
        "borrower_credit:alice": 7,
    }


def test_a_deposit_and_its_withdrawal_cancel_out() -> None:
    before = {"north": Reserve("GBP", 100)}
    after = {"north": Reserve("GBP", 150)}

    deposited = reserve_legs(e.ReserveDeposited("north", 50, 150), before)
    withdrawn = reserve_legs(e.ReserveWithdrawn("north", 50, 100), after)

    assert deposited == [("cash:GBP", 50), ("lender_reserve:north", -50)]
    assert withdrawn == [("cash:GBP", -50), ("lender_reserve:north", 50)]


def test_a_deposit_that_moves_the_balance_by_another_amount_does_not_balance() -> None:
    before = {"north": Reserve("GBP", 100)}

    wrong = reserve_legs(e.ReserveDeposited("north", 50, 151), before)

    assert sum(amount for _, amount in wrong) == -1


def test_grants_are_not_postings() -> None:
    assert reserve_legs(e.SliceGranted(0, "north", 5, 1, 1), {}) == []


@pytest.mark.parametrize(
    ("plain", "charged", "sign"),
    [
        (CAPTURED, CHARGED, 1),
        (CONVERTED, CHARGED_AT_ONCE, 1),
        (REFUNDED, CHARGED_BACK, -1),
    ],
)
def test_a_fee_goes_off_the_payout_and_a_subsidy_onto_it(
    plain: e.Event, charged: e.Event, sign: int
) -> None:
    before, after = Counter(booked(plain)), Counter(booked(charged))
    moved = {name: after[name] - before[name] for name in {*after, *before}}
    assert {
        "merchant_payable:shop:GBP": sign * 6,
        "party_income:platform:GBP": -sign * 5,
        "party_income:bank:GBP": -sign * 4,
        "subsidy_receivable:brand:GBP": sign * 3,
    } == {name: amount for name, amount in moved.items() if amount}


def test_a_charge_whose_parts_do_not_sum_up_does_not_balance() -> None:
    wrong = msgspec.structs.replace(MDR, fee_parts=(5, 5))
    assert sum(booked(msgspec.structs.replace(CAPTURED, charge=wrong)).values())
