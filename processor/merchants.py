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
from processor.apportion import apportion
from processor.rules import add
from processor.state import (
    Account,
    Authorization,
    Charge,
    Merchant,
    ShardState,
    Tariff,
)
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


def charge_of(
    state: ShardState, merchant_id: str, amount_minor: int
) -> e.MerchantCharge | None:
    """What a capture costs its merchant and brings it; None without a tariff."""
    tariff = state.merchants[merchant_id].tariff
    return None if tariff is None else charge_by(tariff, amount_minor)


def charge_by(tariff: Tariff, amount_minor: int) -> e.MerchantCharge:
    """Fee and subsidy of a capture, each over those who have or pay it."""
    fee_minor = fee_of(tariff, amount_minor)
    subsidy_parts = _subsidies(tariff, amount_minor)
    return e.MerchantCharge(
        fee_minor,
        tariff.parties,
        apportion(tariff.shares_ppm, limits.PPM, tariff.split_parts, fee_minor),
        sum(subsidy_parts),
        tariff.payers,
        subsidy_parts,
    )


def fee_of(tariff: Tariff, amount_minor: int) -> int:
    """The fee of one capture, in minor units: rounded half up, then clamped.

    At least the minimum, at most the cap, and never more than the capture.
    """
    fee_minor = (amount_minor * tariff.fee_ppm + limits.PPM // 2) // limits.PPM
    fee_minor = max(fee_minor, tariff.fee_minimum_minor)
    if tariff.fee_cap_minor is not None:
        fee_minor = min(fee_minor, tariff.fee_cap_minor)
    return min(fee_minor, amount_minor)


def _subsidies(tariff: Tariff, amount_minor: int) -> e.Parts:
    """What each payer adds: its share of all captured so far, less what it paid."""
    before_minor = tariff.charged_minor
    after_minor = before_minor + amount_minor
    return tuple(
        ppm * after_minor // limits.PPM - ppm * before_minor // limits.PPM
        for ppm in tariff.subsidies_ppm
    )


def count_charge(tariff: Tariff, amount_minor: int, charge: e.MerchantCharge) -> None:
    """Move the carry: so much was captured, so much had each party of its fee."""
    tariff.split_parts = add(tariff.split_parts, charge.fee_parts)
    tariff.charged_minor += amount_minor


def book_charge(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    amount_minor: int,
    charge: e.MerchantCharge,
) -> None:
    """Charge a merchant for a capture, and remember it for the refunds."""
    tariff = state.merchants[authorization.merchant_id].tariff
    assert tariff is not None
    assert tariff.parties == charge.parties
    assert charge.fee_minor <= amount_minor
    count_charge(tariff, amount_minor, charge)
    authorization.charge = more_charged(authorization.charge, charge)
    merchant = state.merchant_totals(authorization.merchant_id)
    merchant.fee_minor += charge.fee_minor
    merchant.subsidy_minor += charge.subsidy_minor
    merchant.pay_out(account.currency, charge.subsidy_minor - charge.fee_minor)
    for party_id, part in zip(charge.parties, charge.fee_parts, strict=True):
        state.party_totals(party_id, account.currency).fee_minor += part
    for payer_id, part in zip(charge.payers, charge.subsidy_parts, strict=True):
        state.payer_totals(payer_id, account.currency).subsidy_minor += part


def more_charged(before: Charge | None, charge: e.MerchantCharge) -> Charge:
    """A purchase's charge with that of one more capture.

    Its terms may be newer than those of the last one, with other names.
    """
    if before is None:
        before = Charge((), (), (), (), (), ())
    parties, fee_parts, fee_back = _merged(
        before.parties,
        before.fee_parts,
        before.fee_back_parts,
        dict(zip(charge.parties, charge.fee_parts, strict=True)),
    )
    payers, subsidy_parts, subsidy_back = _merged(
        before.payers,
        before.subsidy_parts,
        before.subsidy_back_parts,
        dict(zip(charge.payers, charge.subsidy_parts, strict=True)),
    )
    return Charge(parties, fee_parts, fee_back, payers, subsidy_parts, subsidy_back)


def _merged(
    names: tuple[str, ...], parts: e.Parts, back: e.Parts, more: dict[str, int]
) -> tuple[tuple[str, ...], e.Parts, e.Parts]:
    """Names, parts and what went back, with more parts; new names come last."""
    new = tuple(name for name in more if name not in names)
    names += new
    parts += (0,) * len(new)
    added = tuple(
        part + more.get(name, 0) for name, part in zip(names, parts, strict=True)
    )
    return names, added, back + (0,) * len(new)


def charge_back_of(
    authorization: Authorization, amount_minor: int
) -> e.MerchantCharge | None:
    """What a refund gives back of a purchase's charge; None if there was none."""
    refunded_minor = authorization.refunded_minor + amount_minor
    if authorization.charge is None or not refunded_minor:
        return None
    return charge_back(
        authorization.charge,
        refunded_minor,
        authorization.captured_minor,
    )


def charge_back(
    charge: Charge, refunded_minor: int, captured_minor: int
) -> e.MerchantCharge:
    """What goes back of fee and subsidy once R of C captured is refunded.

    The cumulative fee back is floor(fee x R / C), all of it at R = C; by party
    as `apportion` divides what each had.  A later capture makes C grow and that
    proportion fall: what went back stays back, and the next refund gives more
    only when more is due.
    """
    assert 0 < refunded_minor <= captured_minor
    fee_parts = _back(
        charge.fee_parts, charge.fee_back_parts, refunded_minor, captured_minor
    )
    subsidy_parts = _back(
        charge.subsidy_parts, charge.subsidy_back_parts, refunded_minor, captured_minor
    )
    return e.MerchantCharge(
        sum(fee_parts),
        charge.parties,
        fee_parts,
        sum(subsidy_parts),
        charge.payers,
        subsidy_parts,
    )


def _back(
    taken: e.Parts, back: e.Parts, refunded_minor: int, captured_minor: int
) -> e.Parts:
    total_minor, before_minor = sum(taken), sum(back)
    due_minor = total_minor * refunded_minor // captured_minor - before_minor
    return apportion(taken, total_minor, back, max(0, due_minor))


def count_back(charge: Charge, back: e.MerchantCharge) -> None:
    """Remember what went back; never more than was taken, of nobody."""
    assert (charge.parties, charge.payers) == (back.parties, back.payers)
    charge.fee_back_parts = add(charge.fee_back_parts, back.fee_parts)
    charge.subsidy_back_parts = add(charge.subsidy_back_parts, back.subsidy_parts)
    assert _is_within(charge.fee_back_parts, charge.fee_parts)
    assert _is_within(charge.subsidy_back_parts, charge.subsidy_parts)


def book_charge_back(
    state: ShardState,
    account: Account,
    authorization: Authorization,
    back: e.MerchantCharge,
) -> None:
    """Give a merchant its fee back, and its payers their subsidy."""
    assert authorization.charge is not None
    count_back(authorization.charge, back)
    merchant = state.merchant_totals(authorization.merchant_id)
    merchant.fee_back_minor += back.fee_minor
    merchant.subsidy_back_minor += back.subsidy_minor
    merchant.pay_out(account.currency, back.fee_minor - back.subsidy_minor)
    for party_id, part in zip(back.parties, back.fee_parts, strict=True):
        state.party_totals(party_id, account.currency).fee_back_minor += part
    for payer_id, part in zip(back.payers, back.subsidy_parts, strict=True):
        state.payer_totals(payer_id, account.currency).subsidy_back_minor += part


def _is_within(back: e.Parts, taken: e.Parts) -> bool:
    return all(b <= t for b, t in zip(back, taken, strict=True))
