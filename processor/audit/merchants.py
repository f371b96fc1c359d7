"""What merchants are charged and given, as the audit reckons it.

The same contract as `purchases`: note what differs, and go on.
"""

from processor import events as e
from processor import limits
from processor.audit.books import Books, Merchant
from processor.terms import PLATFORM, MerchantTerms, PartyShare


def terms_received(
    books: Books, fact: e.MerchantRegistered | e.MerchantChanged
) -> None:
    """A merchant's terms from now on, nothing moved under them yet."""
    before = books.merchants.get(fact.merchant_id)
    version = fact.version if isinstance(fact, e.MerchantChanged) else 1
    if version != (before.version if before else 0) + 1:
        books.differ(
            f"terms {version} of merchant {fact.merchant_id} come out of turn."
        )
    terms = fact.terms or MerchantTerms()
    books.merchants[fact.merchant_id] = Merchant(
        terms,
        version,
        0,
        [0] * len(shares_of(terms)),
        [0] * len(terms.subsidies),
    )


def shares_of(terms: MerchantTerms) -> tuple[PartyShare, ...]:
    """Who has the fee; the platform, when nobody is named."""
    return terms.fee_shares or (PartyShare(PLATFORM, limits.PPM),)
