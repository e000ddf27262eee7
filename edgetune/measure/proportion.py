"""How sure one can be of a share of samples. Standard library only: reports on a terminal show it."""

import math
from statistics import NormalDist

from edgetune.errors import MeasureError

SIGNIFICANCE = 0.05


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927), in [0, 1].

    Raises:
        MeasureError: for counts that make no proportion.
    """
    if not 0 <= right <= n or n < 1:
        raise MeasureError(f"{right} of {n} is no proportion", hint="count the samples of a split")
    z = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2)
    share, scale = right / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    reach = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = max(0.0, middle - reach), min(1.0, middle + reach)
    return (0.0 if right == 0 else low), (1.0 if right == n else high)  # exactly: rounding must not leave a rest


def binomial_tail(right: int, n: int, share: float) -> float:
    """The chance of ``right`` or more of ``n`` samples where each is right with probability ``share``: one-sided p.

    Raises:
        MeasureError: for counts that make no proportion.
    """
    if not 0 <= right <= n or n < 1:
        raise MeasureError(f"{right} of {n} is no proportion", hint="count the samples of a split")
    if right == 0 or share >= 1.0:
        return 1.0
    if share <= 0.0:
        return 0.0
    if right <= n * share:  # the other tail is the shorter one, and its terms fall from its end
        return 1.0 - binomial_tail(n - right + 1, n, 1 - share)
    ways = math.lgamma(n + 1) - math.lgamma(right + 1) - math.lgamma(n - right + 1)
    term = math.exp(ways + right * math.log(share) + (n - right) * math.log1p(-share))
    total = term
    for count in range(right, n):
        term *= share / (1 - share) * (n - count) / (count + 1)
        total += term
        if term < total * 1e-17:
            break
    return min(1.0, total)
