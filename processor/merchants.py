"""The rules of merchants' money: what a capture costs, who has it, who adds to it.

The fee of a capture is by the terms in force then, and is split over its
parties by `apportion`, exact over all fees ever charged under one version of
the terms on this shard.  A subsidy is cumulative in the same sense: what a
payer has paid is its share of all that was captured under the version, rounded
down.  So each cumulative part stays within one minor unit of its share, for
ever, and a million small captures lose nothing.
"""

from processor import events as e
from processor import limits
from processor.state import Merchant, ShardState, Tariff
from processor.terms import PLATFORM, MerchantTerms, PartyShare


def add_terms(
    state: ShardState, fact: e.MerchantRegistered | e.MerchantChanged
) -> None:
    """A merchant's terms from now on; the carry begins anew with them."""
    version = fact.version if isinstance(fact, e.MerchantChanged) else 1
    tariff = None if fact.terms is None else tariff_of(fact.terms, version)
    state.merchants[fact.merchant_id] = Merchant(fact.name, fact.terms, version, tariff)


def tariff_of(terms: MerchantTerms, version: int) -> Tariff | None:
    """What terms charge; None when they cost nothing and bring nothing."""
    if not (terms.fee_ppm or terms.fee_minimum_minor or terms.subsidies):
        return None
    shares = terms.fee_shares or (PartyShare(PLATFORM, limits.PPM),)
    return Tariff(
        version,
        terms.fee_ppm,
        terms.fee_minimum_minor,
        terms.fee_cap_minor,
        tuple(share.party_id for share in shares),
        tuple(share.share_ppm for share in shares),
        tuple(subsidy.payer_id for subsidy in terms.subsidies),
        tuple(subsidy.share_ppm for subsidy in terms.subsidies),
        (0,) * len(shares),
    )
