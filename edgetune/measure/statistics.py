"""What may be said about raw measurements, and how sure one can be of it.

Percentiles have query floors, speed-ups and accuracy changes have confidence intervals, and many
comparisons at once are corrected for being many. numpy and scipy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import binomtest, norm
from scipy.stats import t as student_t

from edgetune.errors import MeasureError
from edgetune.measure.floors import query_floor
from edgetune.measure.proportion import SIGNIFICANCE, wilson_interval

SPEEDUP_RESAMPLES = 2000
MIN_LOADS = 3
MOST_SAMPLES = 10**9  # nobody has more to look at


class Speedup(TypedDict):
    """How many times faster; ``ci95`` is [low, high]."""

    value: float
    ci95: list[float]


class AccuracyChange(TypedDict):
    """Change of accuracy in percentage points, from engine a to engine b on the same samples."""

    value: float
    ci95: list[float]
    mcnemar_p: float
    negative_flips: int  # a right, b wrong
    positive_flips: int  # a wrong, b right
    resolvable_drop: float  # points; a smaller net drop cannot reach p < 0.05 here
    n: int


class CrossValidation(TypedDict):
    """Accuracy over folds, as fractions; ``ci95`` is [low, high]."""

    mean: float
    std: float
    ci95: list[float]


class ClassChange(TypedDict):
    """Change of one class's recall in percentage points."""

    label: str
    n: int
    value: float
    negative_flips: int
    p: float
    p_holm: float


# --- percentiles ----------------------------------------------------------------------------


def percentile_or_none(values: ArrayLike, q: float) -> float | None:
    """The percentile ``q`` of ``values`` [n], or None when n is below ``query_floor(q)``.

    The value is one that was measured (inverted empirical distribution, no interpolation), but for
    the median, which is the usual one.

    Raises:
        MeasureError: for values that are not finite.
    """
    array = _finite(values)
    if array.size < query_floor(q):
        return None
    if q == 50:
        return float(np.median(array))
    return float(np.percentile(array, q, method="inverted_cdf"))


# --- speed ----------------------------------------------------------------------------------


def paired_speedup(baseline_ms: ArrayLike, candidate_ms: ArrayLike, seed: int, *, runs_per_round: int = 1) -> Speedup:
    """Ratio of the medians, baseline over candidate, with a 95 % bootstrap interval.

    Both arrays are [rounds * runs_per_round] in the order of measurement, so that index i of both
    was taken in the same round. Rounds are resampled together (paired) and in circular blocks of
    neighbours (Politis and Romano 1992), so that what the machine did for a while (a slow drift, a
    burst of other work) stays whole. Blocks are ceil(sqrt(rounds)) long: longer than the cube root
    that is best for a mean under short memory, because clocks and temperatures have a long one.

    This holds for two calls into one loaded engine. Two engines differ by where they were loaded, too,
    which no resampling of one load can know: compare them with ``speedup_over_loads``.

    Raises:
        MeasureError: for empty, unequal, not positive or not finite values.
    """
    baseline, candidate = _rounds(baseline_ms, runs_per_round), _rounds(candidate_ms, runs_per_round)
    if baseline.shape != candidate.shape:
        raise MeasureError(
            f"cannot pair {baseline.size} runs of the baseline with {candidate.size} of the candidate",
            hint="measure both in one session with measure_interleaved",
        )
    rounds = len(baseline)
    block = math.ceil(math.sqrt(rounds))
    blocks = math.ceil(rounds / block)
    rng = np.random.default_rng(seed)
    offsets = np.arange(block)
    ratios = np.empty(SPEEDUP_RESAMPLES)
    for i in range(SPEEDUP_RESAMPLES):
        starts = rng.integers(0, rounds, size=blocks)
        chosen = ((starts[:, None] + offsets) % rounds).ravel()[:rounds]
        ratios[i] = np.median(baseline[chosen]) / np.median(candidate[chosen])
    value = float(np.median(baseline) / np.median(candidate))
    return Speedup(value=value, ci95=_interval(ratios, value))


def speedup_over_loads(
    baseline_ms: ArrayLike,
    candidate_ms: ArrayLike,
    *,
    runs_per_round: int,
    runs_by_load: Sequence[int],
    center: Literal["median", "total"] = "median",
) -> Speedup:
    """How many times faster the candidate is, with a 95 % interval that holds for the next load too.

    Within a load, each round gives one ratio of the two engines' medians, and the load's ratio is the
    median of these: what the machine does for longer than a round takes cancels out. For throughput
    ("total") it is the ratio of the total times. The value is the geometric mean over loads, and the
    interval Student's t over their logarithms: loads are the units that are drawn independently, runs
    within a load are not (Kalibera and Jones 2013, "Rigorous benchmarking in reasonable time", where
    this is the top level of the hierarchy). With noise inside the loads their ratios scatter more, and
    the interval widens by itself; it needs no model of drift or autocorrelation within a load.

    Raises:
        MeasureError: for values that cannot be paired, or fewer than three loads.
    """
    baseline, candidate = _rounds(baseline_ms, runs_per_round), _rounds(candidate_ms, runs_per_round)
    rounds = [runs // runs_per_round for runs in runs_by_load]
    if baseline.shape != candidate.shape or sum(rounds) != len(baseline) or min(rounds, default=0) < 1:
        raise MeasureError(
            f"cannot pair {baseline.size} runs of the baseline with {candidate.size} of the candidate in loads of "
            f"{list(runs_by_load)}",
            hint="measure both in one session with measure_loads",
        )
    if len(rounds) < MIN_LOADS:
        raise MeasureError(f"{len(rounds)} loads say nothing of the next one", hint=f"measure {MIN_LOADS} or more")
    ends = np.cumsum(rounds)[:-1]
    ratio = _total_ratio if center == "total" else _median_ratio
    logs = np.array([ratio(a, b) for a, b in zip(np.split(baseline, ends), np.split(candidate, ends), strict=True)])
    mean, error = float(logs.mean()), float(logs.std(ddof=1) / math.sqrt(logs.size))
    reach = float(student_t.ppf(1 - SIGNIFICANCE / 2, logs.size - 1)) * error
    return Speedup(value=math.exp(mean), ci95=[math.exp(mean - reach), math.exp(mean + reach)])


def ratio_between_runs(
    before_ms: ArrayLike,
    after_ms: ArrayLike,
    *,
    before_loads: Sequence[int],
    after_loads: Sequence[int],
) -> Speedup:
    """How many times as long the second engine takes, measured in another session, with a 95 % interval.

    ``before_loads`` and ``after_loads`` say how many of the values, in order, each load of an engine gave. A load
    counts as one logarithm of its median; the value is the ratio of the geometric means, the interval Welch's
    (Welch 1947; Satterthwaite 1946 for the degrees of freedom). Nothing is paired, so what differed between the
    sessions (clocks, heat, neighbours) is in the ratio and not in its interval: allow for it.

    Raises:
        MeasureError: for values that are no latencies of these loads, or fewer than three loads.
    """
    before, after = _load_logs(before_ms, before_loads), _load_logs(after_ms, after_loads)
    shares = [float(logs.var(ddof=1)) / logs.size for logs in (before, after)]
    difference, variance = float(after.mean() - before.mean()), sum(shares)
    reach = 0.0
    if variance > 0:
        sizes = (before.size, after.size)
        freedom = variance**2 / sum(share**2 / (n - 1) for share, n in zip(shares, sizes, strict=True))
        reach = float(student_t.ppf(1 - SIGNIFICANCE / 2, freedom)) * math.sqrt(variance)
    return Speedup(value=math.exp(difference), ci95=[math.exp(difference - reach), math.exp(difference + reach)])


def _load_logs(values: ArrayLike, loads: Sequence[int]) -> NDArray[np.float64]:
    """The logarithm of each load's median."""
    array = _rounds(values, 1).ravel()
    if sum(loads) != array.size or min(loads, default=0) < 1:
        raise MeasureError(f"{array.size} latencies are not of loads of {list(loads)}", hint="measure again")
    if len(loads) < MIN_LOADS:
        raise MeasureError(f"{len(loads)} loads say nothing of the next one", hint=f"measure {MIN_LOADS} or more")
    return np.array([math.log(np.median(part)) for part in np.split(array, np.cumsum(loads)[:-1])])


def _median_ratio(baseline: NDArray[np.float64], candidate: NDArray[np.float64]) -> float:
    """Logarithm of one load's ratio from rounds [rounds, runs_per_round]."""
    return float(np.median(np.log(np.median(baseline, axis=1)) - np.log(np.median(candidate, axis=1))))


def _total_ratio(baseline: NDArray[np.float64], candidate: NDArray[np.float64]) -> float:
    return float(np.log(baseline.sum() / candidate.sum()))


def _rounds(values: ArrayLike, runs_per_round: int) -> NDArray[np.float64]:
    array = _finite(values)
    if array.size == 0 or array.size % runs_per_round or np.any(array <= 0):
        raise MeasureError(
            f"{array.size} latencies in rounds of {runs_per_round} are empty, uneven or not all above zero",
            hint="pass the values of measure_interleaved as they are",
        )
    return array.reshape(-1, runs_per_round)


# --- accuracy -------------------------------------------------------------------------------


def accuracy_change(correct_a: ArrayLike, correct_b: ArrayLike) -> AccuracyChange:
    """Change of accuracy from a to b on the same samples; both are [N] booleans.

    The interval is Tango's (``paired_interval``). The p-value is McNemar's, exact and two-sided, on
    the discordant pairs (McNemar 1947). The smallest resolvable drop is the net loss at which that
    test first gives p < 0.05 with as many discordant pairs as were seen (six at least: five all one
    way give p = 0.0625).

    Raises:
        MeasureError: for empty arrays or arrays of different length.
    """
    a, b = _paired(correct_a, correct_b)
    n = a.size
    lost, won = int(np.sum(a & ~b)), int(np.sum(~a & b))
    return AccuracyChange(
        value=100 * (won - lost) / n,
        ci95=[100 * end for end in paired_interval(lost, won, n)],
        mcnemar_p=mcnemar_p(lost, won),
        negative_flips=lost,
        positive_flips=won,
        resolvable_drop=100 * _resolvable_flips(lost + won) / n,
        n=n,
    )


def paired_interval(lost: float, won: float, n: float, confidence: float = 1 - SIGNIFICANCE) -> tuple[float, float]:
    """Score interval (95 %) of the difference of two paired proportions, (won - lost) / n, in [-1, 1].

    Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design": all differences that a score test would not reject. Unlike a bootstrap it has a width where few
    samples, or none, differ.
    """
    limit = float(norm.ppf((1 + confidence) / 2))

    def score(difference: float) -> float:
        """How many standard errors what was seen lies above ``difference``, the lost share at its likeliest."""
        b = -lost - won + (2 * n - won + lost) * difference
        c = -lost * difference * (1 - difference)
        share = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
        variance = n * (2 * share + difference * (1 - difference))
        distance = won - lost - n * difference
        return distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance)

    def end(wanted: float) -> float:
        inner = 1.0 - 1e-12
        low, high = score(-inner) - wanted, score(inner) - wanted
        if low <= 0:
            return -1.0
        if high >= 0:
            return 1.0
        return float(brentq(lambda difference: score(difference) - wanted, -inner, inner, xtol=1e-12))

    return end(limit), end(-limit)


def largest_drop(lost: float, won: float, n: float, confidence: float) -> float:
    """One-sided upper limit of the accuracy that is lost, (lost - won) / n, in [-1, 1].

    A drop of ``margin`` or more is ruled out (non-inferiority) where this lies below it: the score test of Tango 1998,
    "Equivalence test and confidence interval for the difference in proportions for the paired-sample design",
    Statistics in Medicine 17, at level 1 - ``confidence``. It is the end of the two-sided interval at twice that level.
    """
    return -paired_interval(lost, won, n, 2 * confidence - 1)[0]


def samples_to_rule_out(lost: int, won: int, n: int, *, margin: float, confidence: float) -> int | None:
    """How many samples would show that the drop is below ``margin``, if as large a share of them changed as did here.

    ``n`` where these do; None where no number would, since what was seen is no smaller than the margin.
    """
    if largest_drop(lost, won, n, confidence) <= margin:
        return n
    if lost - won >= margin * n:
        return None

    def enough(samples: int) -> bool:
        return largest_drop(lost * samples / n, won * samples / n, samples, confidence) <= margin

    low, high = n, 2 * n
    while not enough(high):
        if high > MOST_SAMPLES:
            return None
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def cross_validated(right: Sequence[int], held_out: Sequence[int], trained_on: Sequence[int]) -> CrossValidation:
    """Mean and sample standard deviation of the folds' accuracies, and a 95 % interval of the mean.

    The folds share training samples, so that s / sqrt(K) is too small an error. Nadeau & Bengio 2003, "Inference for
    the generalization error", Machine Learning 52, correct it for overlap: s * sqrt(1 / K + held out / trained on),
    with K - 1 degrees of freedom. As K accuracies can be alike by chance, each end is moved out to that of the score
    interval (Wilson 1927) of all held-out samples taken together, where that is further out.

    Args:
        right, held_out, trained_on: of each fold, samples judged rightly, judged, and learned from.

    Raises:
        MeasureError: for fewer than two folds, or counts that make no proportions.
    """
    if len(right) < 2 or min(trained_on) < 1:
        raise MeasureError(f"{len(right)} folds make no cross-validation", hint="at least two, none of them empty")
    lowest, highest = wilson_interval(sum(right), sum(held_out))
    accuracies = np.asarray(right) / np.asarray(held_out)
    mean, std, folds = float(accuracies.mean()), float(accuracies.std(ddof=1)), len(right)
    error = std * math.sqrt(1 / folds + sum(held_out) / sum(trained_on))
    reach = float(student_t.ppf(1 - SIGNIFICANCE / 2, folds - 1)) * error
    low, high = max(0.0, min(mean - reach, lowest)), min(1.0, max(mean + reach, highest))
    return CrossValidation(mean=mean, std=std, ci95=[low, high])


def unpaired_interval(right_a: int, n_a: int, right_b: int, n_b: int) -> tuple[float, float]:
    """95 % interval of the difference of two independent proportions, b - a, in [-1, 1].

    Newcombe 1998, "Interval estimation for the difference between independent proportions: comparison of eleven
    methods", Statistics in Medicine 17, method 10: from the two Wilson intervals.

    Raises:
        MeasureError: for counts that make no proportions.
    """
    (low_a, high_a), (low_b, high_b) = wilson_interval(right_a, n_a), wilson_interval(right_b, n_b)
    a, b = right_a / n_a, right_b / n_b
    return b - a - math.hypot(b - low_b, high_a - a), b - a + math.hypot(high_b - b, a - low_a)


def mcnemar_p(lost: int, won: int) -> float:
    """Exact two-sided McNemar test: are ``lost`` and ``won`` flips two halves of a fair coin?"""
    return float(binomtest(lost, lost + won).pvalue) if lost + won else 1.0


def _resolvable_flips(discordant: int) -> int:
    """Smallest net loss (lost - won) with mcnemar_p < 0.05 among ``discordant`` pairs, six at least."""
    pairs = max(discordant, 6)
    low, high = math.ceil(pairs / 2), pairs
    while low < high:
        middle = (low + high) // 2
        if mcnemar_p(middle, pairs - middle) < SIGNIFICANCE:
            high = middle
        else:
            low = middle + 1
    return 2 * low - pairs


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being many (Holm 1979), in the order given."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    factors = np.arange(p.size, 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * factors))
    return [float(value) for value in adjusted]


def per_class_change(
    labels: ArrayLike, correct_a: ArrayLike, correct_b: ArrayLike, names: Sequence[str]
) -> list[ClassChange]:
    """Change of each class's recall from a to b, McNemar's p and its Holm correction.

    ``labels`` [N] are indices into ``names``; a class without samples is left out.

    Raises:
        MeasureError: for empty arrays or arrays of different length.
    """
    a, b = _paired(correct_a, correct_b)
    y = np.asarray(labels)
    if y.shape != a.shape:
        raise MeasureError(f"{y.size} labels for {a.size} predictions", hint="pass one label per sample")
    present = [k for k in range(len(names)) if np.any(y == k)]
    lost = [int(np.sum(a[y == k] & ~b[y == k])) for k in present]
    won = [int(np.sum(~a[y == k] & b[y == k])) for k in present]
    counts = [int(np.sum(y == k)) for k in present]
    p = [mcnemar_p(x, w) for x, w in zip(lost, won, strict=True)]
    return [
        ClassChange(label=names[k], n=n, value=100 * (w - x) / n, negative_flips=x, p=p_k, p_holm=h)
        for k, n, x, w, p_k, h in zip(present, counts, lost, won, p, holm(p), strict=True)
    ]


# --- shared ---------------------------------------------------------------------------------


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    if not np.all(np.isfinite(array)):
        raise MeasureError("a measurement is not a finite number", hint="a timer that returns NaN is broken")
    return array


def _paired(correct_a: ArrayLike, correct_b: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    a, b = np.asarray(correct_a, dtype=np.bool_), np.asarray(correct_b, dtype=np.bool_)
    if a.ndim != 1 or a.shape != b.shape or a.size == 0:
        raise MeasureError(
            f"cannot compare {a.size} answers with {b.size}", hint="evaluate both engines on the same split, in order"
        )
    return a, b


def _interval(resampled: NDArray[Any], value: float) -> list[float]:
    """95 % percentile interval, widened where it must be to hold the value itself."""
    low, high = np.percentile(resampled, [2.5, 97.5])
    return [min(float(low), value), max(float(high), value)]
