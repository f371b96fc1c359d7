"""What merchants are charged, worked out the slow and obvious way.

The lines of the naive shard say it all: under a purchase's id what each party
had and each payer paid of it, under the name of a version of terms what they
had and paid of all there ever was.  Exact fractions; no rule of the processor.
"""

from fractions import Fraction
from math import floor
from typing import Any

from processor import events as e
from processor.terms import MerchantTerms
from tests.property.naive_model import NaiveShard, Parts, added

PPM = 1_000_000
Answer = dict[str, Any]


def fee_due(terms: MerchantTerms, amount: int) -> int:
    """Half up; at least the minimum; at most the cap, and the capture."""
    fee = floor(Fraction(amount * terms.fee_ppm, PPM) + Fraction(1, 2))
    if fee < terms.fee_minimum_minor:
        fee = terms.fee_minimum_minor
    if terms.fee_cap_minor is not None and fee > terms.fee_cap_minor:
        fee = terms.fee_cap_minor
    return fee if fee < amount else amount


def shares_of(terms: MerchantTerms) -> dict[str, int]:
    shares = {share.party_id: share.share_ppm for share in terms.fee_shares}
    return shares or {"platform": PPM}


def take_charge(
    expected: NaiveShard, key: str, amount: int, charge: e.MerchantCharge | None
) -> Answer:
    """Check what a capture is charged, add it, and say what the answer shows."""
    merchant = expected.purchases[key].merchant
    versions = expected.merchants[merchant]
    terms = versions[-1]
    if not terms.fee_ppm and not terms.fee_minimum_minor and not terms.subsidies:
        assert charge is None
        return {}
    assert charge is not None
    here = f"{merchant} v{len(versions)}"
    shares = shares_of(terms)
    subsidies = {s.payer_id: s.share_ppm for s in terms.subsidies}
    assert charge.parties == tuple(shares)
    assert charge.payers == tuple(subsidies)
    assert charge.fee_minor == fee_due(terms, amount) == sum(charge.fee_parts)
    assert charge.subsidy_minor == sum(charge.subsidy_parts)
    assert min(charge.fee_parts + charge.subsidy_parts) >= 0
    expected.add("under", here, amount)
    for what, parts, ppm in (
        ("fee", charge.fee_parts, shares),
        ("subsidy", charge.subsidy_parts, subsidies),
    ):
        for name, part in zip(ppm, parts, strict=True):
            names = expected.charged.setdefault((what, key), [])
            if name not in names:
                names.append(name)
            expected.add(f"{what} {name}", key, part)
            expected.add(f"{what} {name}", here, part)
            expected.add(what, f"who {name}", part)
        expected.add(what, f"merchant {merchant}", sum(parts))
    check_cumulative(expected, here, shares, subsidies)
    return shown(fee_minor=charge.fee_minor, subsidy_minor=charge.subsidy_minor)


def check_cumulative(
    expected: NaiveShard, here: str, shares: dict[str, int], subsidies: dict[str, int]
) -> None:
    """Of all there ever was, each has its share within one minor unit."""
    fees = sum(expected.total(f"fee {name}", here) for name in shares)
    for name, ppm in shares.items():
        had = expected.total(f"fee {name}", here)
        assert abs(had - Fraction(fees * ppm, PPM)) < 1
    for name, ppm in subsidies.items():
        due = Fraction(expected.total("under", here) * ppm, PPM)
        assert expected.total(f"subsidy {name}", here) == floor(due)


def take_charge_back(
    expected: NaiveShard, key: str, back: e.MerchantCharge | None, is_steady: bool
) -> Answer:
    """Check what a refund gives back; its own line is among the lines already."""
    if ("fee", key) not in expected.charged:
        assert back is None
        return {}
    assert back is not None
    assert back.parties == tuple(expected.charged["fee", key])
    assert back.payers == tuple(expected.charged.get(("subsidy", key), []))
    gone = Fraction(expected.total("refund", key), expected.total("capture", key))
    for what, minor, names, parts in (
        ("fee", back.fee_minor, back.parties, back.fee_parts),
        ("subsidy", back.subsidy_minor, back.payers, back.subsidy_parts),
    ):
        taken = tuple(expected.total(f"{what} {name}", key) for name in names)
        before = tuple(expected.total(f"{what} {name} back", key) for name in names)
        after = added(before, parts)
        due = max(sum(before), floor(sum(taken) * gone))
        given: int = sum(parts)
        assert minor == given == due - sum(before)
        check_back(taken, after, parts, is_steady, gone == 1)
        for name, part in zip(names, parts, strict=True):
            expected.add(f"{what} {name} back", key, part)
            expected.add(f"{what} back", f"who {name}", part)
        merchant = expected.purchases[key].merchant
        expected.add(f"{what} back", f"merchant {merchant}", minor)
    return shown(fee_back_minor=back.fee_minor, subsidy_back_minor=back.subsidy_minor)


def check_back(
    taken: Parts, after: Parts, parts: Parts, is_steady: bool, is_whole: bool
) -> None:
    """Nobody gives back more than it had; the whole gives back all."""
    assert all(part >= 0 for part in parts)
    assert all(a <= t for a, t in zip(after, taken, strict=True))
    if is_whole:
        assert after == taken
    whole: int = sum(taken)
    given: int = sum(after)
    for a, t in zip(after, taken, strict=True):
        if is_steady and any(parts):
            assert abs(a - Fraction(t * given, whole)) < 1


def shown(**minor: int) -> Answer:
    """What there is of it: zeros are left out."""
    return {name: value for name, value in minor.items() if value}


def check_charge(expected: NaiveShard, key: str, charge: Any) -> None:
    """A purchase's charge in the state is what its lines add up to."""
    if ("fee", key) not in expected.charged:
        assert charge is None
        return
    parties = expected.charged["fee", key]
    payers = expected.charged.get(("subsidy", key), [])
    assert (list(charge.parties), list(charge.payers)) == (parties, payers)
    for what, names, parts, back in (
        ("fee", parties, charge.fee_parts, charge.fee_back_parts),
        ("subsidy", payers, charge.subsidy_parts, charge.subsidy_back_parts),
    ):
        assert parts == tuple(expected.total(f"{what} {x}", key) for x in names)
        assert back == tuple(expected.total(f"{what} {x} back", key) for x in names)


def day_of_charges(expected: NaiveShard, day: str) -> Answer:
    """A day's fees and subsidies by merchant, party and payer, in EUR."""
    lines = [line for line in expected.lines if line.day == day]

    def total(kind: str, key: str) -> int:
        return sum(x.amount for x in lines if (x.kind, x.key) == (kind, key))

    merchants = {}
    for name in expected.merchants:
        sums = {
            f"{what}_minor": total(what.replace("_", " "), f"merchant {name}")
            for what in ("fee", "fee_back", "subsidy", "subsidy_back")
        }
        payout = total("sold", name) - total("taken back", name)
        payout += sums["fee_back_minor"] - sums["fee_minor"]
        payout += sums["subsidy_minor"] - sums["subsidy_back_minor"]
        merchants[name] = sums | {"payout_minor": {"EUR": payout}}
    who = {line.key.removeprefix("who ") for line in lines if line.key[:4] == "who "}
    by_kind: Answer = {"merchants": merchants}
    for kind, what in (("parties", "fee"), ("payers", "subsidy")):
        by_kind[kind] = {
            name: {
                "EUR": {
                    f"{what}_minor": total(what, f"who {name}"),
                    f"{what}_back_minor": total(f"{what} back", f"who {name}"),
                }
            }
            for name in who
        }
    return by_kind
