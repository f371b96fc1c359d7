"""Split an amount so that the shares stay exact for ever.

There is a total of `weight_total` shares, `weights[i]` of them the i-th
party's, and `taken[i]` is what that party has been given so far.  After
`amount` more, the parties together have X = sum(taken) + amount, and each has
its exact quota q = weights[i] * X / weight_total, rounded down or up:

    |given - q| < 1 for every party, no part is negative, the parts sum to amount.

Rounding each amount on its own cannot do that; what was rounded before must
count.  But "whoever is furthest behind gets the unit" is not enough either:
with three parties or more, several may fall due at the same unit.  So units
are jobs with windows, as in fair scheduling (Baruah, Cohen, Plaxton, Varvel,
"Proportionate progress", Algorithmica 15, 1996):  the k-th unit of a party must
be given before the total reaches ceil(k * weight_total / weights[i]), which is
its deadline.  Every party first gets what its quota's floor demands, then the
units left over go to the earliest deadlines.  Because the weights sum to the
total, an earliest-deadline order always exists and never falls behind.

One function serves joint lending (weights are the contract's parts per
million, `taken` is the carry of all purchases ever split) and the refund
algebra (weights are what was captured, `taken` is what went back: when X
reaches the total every quota is whole, so the last refund restores all).
"""

from collections.abc import Sequence


def apportion(
    weights: Sequence[int], weight_total: int, taken: Sequence[int], amount: int
) -> tuple[int, ...]:
    """The parts of `amount`, in minor units, in the order of `weights`.

    `taken` must be the result of this function over the same weights (or all
    zero) for the bound of one unit to hold.  If it is not, the parts still sum
    to the amount and none is negative or, where the weights are a stock being
    drawn down, more than is left of its weight.
    """
    assert amount >= 0
    if len(weights) == 1:
        return (amount,)
    if amount == 0:  # Also when there is no weight to go by.
        return (0,) * len(weights)
    reached = amount
    for given in taken:
        reached += given

    parts = []
    left = amount
    behind = []
    for i, weight in enumerate(weights):
        given = taken[i]
        quota = weight * reached // weight_total
        if quota >= given:
            parts.append(quota - given)
            left -= quota - given
            if quota * weight_total != weight * reached:
                # The next unit's deadline, then the place in the list.
                behind.append((-(-(quota + 1) * weight_total // weight), i))
        else:
            parts.append(0)
    if left < 0:
        return _apportion_remaining(weights, taken, amount)
    if left:
        behind.sort()
        if left > len(behind):
            return _apportion_remaining(weights, taken, amount)
        for _, i in behind[:left]:
            parts[i] += 1
    return tuple(parts)


def _apportion_remaining(
    weights: Sequence[int], taken: Sequence[int], amount: int
) -> tuple[int, ...]:
    """By what is left of each weight: for a `taken` of other weights."""
    remaining = [max(0, w - t) for w, t in zip(weights, taken, strict=True)]
    total = sum(remaining)
    assert total >= amount
    return apportion(remaining, total, [0] * len(remaining), amount)
