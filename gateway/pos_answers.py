"""What the caller of a POS repayment is told."""

from processor.answers import ApprovedAnswer, DeclinedAnswer


class PosRepaymentAnswer(ApprovedAnswer, frozen=True, gc=False, omit_defaults=True):
    """What came out of the merchant's payout, and what is left to be debited.

    The ids are there when anything was withheld.  Amounts in minor units.
    """

    account_id: str
    merchant_id: str
    withheld_minor: int
    left_to_debit_minor: int
    withholding_id: str = ""
    repayment_id: str = ""


class PosDeclinedAnswer(DeclinedAnswer, frozen=True, gc=False, omit_defaults=True):
    """The account was not repaid; `released_minor` is the merchant's again."""

    withholding_id: str = ""
    released_minor: int = 0
