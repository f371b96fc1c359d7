"""What merchants are charged and given, as the audit reckons it.

The same contract as `purchases`: note what differs, and go on.
"""

from processor import events as e
from processor import limits
from processor.audit.books import Books, Merchant, Moved, Purchase
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


def category_of(books: Books, merchant_id: str) -> str:
    """The category a merchant has now; "" for none."""
    merchant = books.merchants.get(merchant_id)
    return "" if merchant is None else merchant.terms.category


def shares_of(terms: MerchantTerms) -> tuple[PartyShare, ...]:
    """Who has the fee; the platform, when nobody is named."""
    return terms.fee_shares or (PartyShare(PLATFORM, limits.PPM),)


def charged(
    books: Books, purchase: Purchase, amount: int, charge: e.MerchantCharge | None
) -> None:
    """A capture is charged by the terms in force, to the minor unit."""
    merchant = books.merchants.get(purchase.merchant_id)
    if merchant is None:
        return  # Noted already.
    terms = merchant.terms
    merchant.captured_minor += amount
    if charge is None:
        if terms.fee_ppm or terms.fee_minimum_minor or terms.subsidies:
            books.differ("it charges nothing, against its merchant's terms.")
        return
    shares = shares_of(terms)
    parties = tuple(share.party_id for share in shares)
    payers = tuple(subsidy.payer_id for subsidy in terms.subsidies)
    if not _is_whole(books, charge, parties, payers):
        return
    if charge.fee_minor != fee_due(terms, amount):
        books.differ(
            f"its fee is {charge.fee_minor}, by the terms it is "
            f"{fee_due(terms, amount)}."
        )
    _check_shares(books, merchant, shares, charge.fee_parts)
    _check_subsidies(books, merchant, charge.subsidy_parts)
    totals = books.merchant_totals(purchase.merchant_id)
    totals.fee_minor += charge.fee_minor
    totals.subsidy_minor += charge.subsidy_minor
    currency = purchase.currency
    totals.pay_out(currency, charge.subsidy_minor - charge.fee_minor)
    for party_id, part in zip(parties, charge.fee_parts, strict=True):
        purchase.fees.setdefault(party_id, Moved()).taken_minor += part
        _party(books.totals, party_id, currency).fee_minor += part
    for payer_id, part in zip(payers, charge.subsidy_parts, strict=True):
        purchase.subsidies.setdefault(payer_id, Moved()).taken_minor += part
        _payer(books.totals, payer_id, currency).subsidy_minor += part


def is_charge(books: Books, charge: e.MerchantCharge | None) -> bool:
    """Whether there is one part for everybody; without that nothing can be posted."""
    if charge is None:
        return True
    for what, parts, names in (
        ("fee", charge.fee_parts, charge.parties),
        ("subsidy", charge.subsidy_parts, charge.payers),
    ):
        if len(parts) != len(names):
            books.differ(f"its {what} has {len(parts)} parts for {len(names)}.")
            return False
    return True


def fee_due(terms: MerchantTerms, amount: int) -> int:
    """The fee of a capture: half up, then minimum, cap and the capture itself."""
    fee, rest = divmod(amount * terms.fee_ppm, limits.PPM)
    fee += 2 * rest >= limits.PPM
    most = amount
    if terms.fee_cap_minor is not None and terms.fee_cap_minor < amount:
        most = terms.fee_cap_minor
    return sorted((min(terms.fee_minimum_minor, most), fee, most))[1]


def _is_whole(
    books: Books,
    charge: e.MerchantCharge,
    parties: tuple[str, ...],
    payers: tuple[str, ...],
) -> bool:
    """Everybody there is has a part, none is negative, and they sum up."""
    if (charge.parties, charge.payers) != (parties, payers):
        books.differ(
            f"its charge names {charge.parties + charge.payers}, not "
            f"{parties + payers}."
        )
        return False
    for what, minor, parts in (
        ("fee", charge.fee_minor, charge.fee_parts),
        ("subsidy", charge.subsidy_minor, charge.subsidy_parts),
    ):
        if sum(parts) != minor or any(part < 0 for part in parts):
            books.differ(f"the parts of its {what} of {minor} are {list(parts)}.")
    return True


def _check_shares(
    books: Books, merchant: Merchant, shares: tuple[PartyShare, ...], parts: e.Parts
) -> None:
    """Every party's part of all fees stays within one minor unit of its share."""
    had = merchant.fee_parts
    for i, part in enumerate(parts):
        had[i] += part
    total = sum(had)
    for share, minor in zip(shares, had, strict=True):
        if abs(minor * limits.PPM - share.share_ppm * total) >= limits.PPM:
            books.differ(
                f"party {share.party_id} has {minor} of {total} in fees; its share "
                f"is {share.share_ppm} ppm."
            )


def _check_subsidies(books: Books, merchant: Merchant, parts: e.Parts) -> None:
    """Every payer has paid its share of all that was captured, rounded down."""
    paid = merchant.subsidy_parts
    for i, subsidy in enumerate(merchant.terms.subsidies):
        paid[i] += parts[i]
        due = subsidy.share_ppm * merchant.captured_minor // limits.PPM
        if paid[i] != due:
            books.differ(
                f"payer {subsidy.payer_id} has paid {paid[i]} in subsidies where "
                f"{due} was due."
            )


def charged_back(
    books: Books, purchase: Purchase, back: e.MerchantCharge | None
) -> None:
    """A refund gives back its part of what was charged, of whom it was taken."""
    if back is None:
        # Of an order, a refund may leave the credit line, and its charge, alone.
        if purchase.refunded_minor and (purchase.fees or purchase.subsidies):
            books.differ("it gives nothing back of what was charged.")
        return
    if not _is_whole(books, back, tuple(purchase.fees), tuple(purchase.subsidies)):
        return
    _give_back(books, purchase, "fee", purchase.fees, back.fee_parts)
    _give_back(books, purchase, "subsidy", purchase.subsidies, back.subsidy_parts)
    totals = books.merchant_totals(purchase.merchant_id)
    totals.fee_back_minor += back.fee_minor
    totals.subsidy_back_minor += back.subsidy_minor
    currency = purchase.currency
    totals.pay_out(currency, back.fee_minor - back.subsidy_minor)
    for party_id, part in zip(back.parties, back.fee_parts, strict=True):
        _party(books.totals, party_id, currency).fee_back_minor += part
    for payer_id, part in zip(back.payers, back.subsidy_parts, strict=True):
        _payer(books.totals, payer_id, currency).subsidy_back_minor += part


def _give_back(
    books: Books,
    purchase: Purchase,
    what: str,
    moved: dict[str, Moved],
    parts: e.Parts,
) -> None:
    """In proportion to what was refunded, of nobody more than it had; then all."""
    before = sum(sums.back_minor for sums in moved.values())
    for sums, part in zip(moved.values(), parts, strict=True):
        sums.back_minor += part
    taken = sum(sums.taken_minor for sums in moved.values())
    back = before + sum(parts)
    due = max(before, taken * purchase.refunded_minor // purchase.captured_minor)
    if back != due:
        books.differ(f"of its {what} {back} has gone back where {due} was due.")
    for name, sums in moved.items():
        if sums.back_minor > sums.taken_minor:
            books.differ(
                f"{name} gave back {sums.back_minor} of {sums.taken_minor} {what}."
            )
        off = sums.back_minor * taken - sums.taken_minor * back
        # While captures and refunds alternate the proportion itself moves.
        if abs(off) > taken and not purchase.captured_after_refund:
            books.differ(f"what {name} gave back of the {what} is not in proportion.")


def _party(totals: e.DayTotals, party_id: str, currency: str) -> e.PartyTotals:
    by_currency = totals.parties.setdefault(party_id, {})
    return by_currency.setdefault(currency, e.PartyTotals())


def _payer(totals: e.DayTotals, payer_id: str, currency: str) -> e.PayerTotals:
    by_currency = totals.payers.setdefault(payer_id, {})
    return by_currency.setdefault(currency, e.PayerTotals())


def add_charge_totals(total: e.DayTotals, part: e.DayTotals) -> None:
    """Add one shard's parties and payers to those of all."""
    for party_id, of_party in part.parties.items():
        for currency, party in of_party.items():
            sums = _party(total, party_id, currency)
            sums.fee_minor += party.fee_minor
            sums.fee_back_minor += party.fee_back_minor
    for payer_id, of_payer in part.payers.items():
        for currency, payer in of_payer.items():
            owed = _payer(total, payer_id, currency)
            owed.subsidy_minor += payer.subsidy_minor
            owed.subsidy_back_minor += payer.subsidy_back_minor


ChargeFigures = tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]


def charge_of(purchase: Purchase) -> ChargeFigures:
    """By party and by payer: what was charged, and what went back."""
    return (
        {k: (x.taken_minor, x.back_minor) for k, x in purchase.fees.items()},
        {k: (x.taken_minor, x.back_minor) for k, x in purchase.subsidies.items()},
    )
