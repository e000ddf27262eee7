"""Statistics against closed forms, SciPy, brute force and published numbers."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, bootstrap, multinomial, ttest_1samp, ttest_ind

from edgetune.errors import MeasureError
from edgetune.measure import statistics as s
from edgetune.measure.floors import query_floor
from edgetune.measure.proportion import wilson_interval

booleans = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200)
latencies = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=60)


# --- percentiles ---


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300), st.sampled_from([50, 90, 95, 99]))
def test_percentile_is_given_exactly_from_the_floor_on(values, q):
    result = s.percentile_or_none(values, q)
    assert (result is None) == (len(values) < query_floor(q))
    if result is not None and q != 50:
        assert result in values  # measured, not interpolated
        below = sum(value <= result for value in values)
        assert below >= math.floor(q / 100 * len(values))


def test_percentile_of_nothing_is_none_and_of_nan_an_error():
    assert s.percentile_or_none([], 50) is None
    with pytest.raises(MeasureError, match="finite"):
        s.percentile_or_none([1.0, math.nan], 50)


# --- cross-validation ---


folds = st.lists(st.tuples(st.integers(1, 60), st.floats(0, 1)), min_size=2, max_size=12)


@given(folds)
def test_the_interval_over_folds_holds_the_mean_and_that_of_all_samples_together(sizes):
    held_out = [size for size, _ in sizes]
    right = [round(share * size) for size, share in sizes]
    trained_on = [sum(held_out) - size for size in held_out]
    found = s.cross_validated(right, held_out, trained_on)
    low, high = found["ci95"]
    wilson_low, wilson_high = wilson_interval(sum(right), sum(held_out))
    assert 0 <= low <= wilson_low <= wilson_high <= high <= 1
    assert low <= found["mean"] + 1e-12 and found["mean"] - 1e-12 <= high and high - low > 0


def test_the_interval_over_folds_is_the_published_one_where_folds_differ():
    """Against SciPy's t interval, which differs from it by the factor of the correction alone."""
    right, held_out, trained_on = [60, 90, 75, 85, 70], [100] * 5, [400] * 5
    accuracies = np.asarray(right) / 100
    found = s.cross_validated(right, held_out, trained_on)
    plain = ttest_1samp(accuracies, 0).confidence_interval(0.95)
    assert found["mean"] == pytest.approx(0.76) and found["std"] == pytest.approx(accuracies.std(ddof=1))
    widened = (plain.high - plain.low) * math.sqrt((1 / 5 + 1 / 4) / (1 / 5))
    assert found["ci95"][1] - found["ci95"][0] == pytest.approx(widened)


def test_folds_that_agree_by_chance_are_not_certain():
    found = s.cross_validated([9, 9, 9], [10, 10, 10], [20, 20, 20])
    assert found["std"] == 0 and found["ci95"] == pytest.approx(list(wilson_interval(27, 30)))
    with pytest.raises(MeasureError, match="1 folds"):
        s.cross_validated([1], [2], [3])


# --- speed ---


@settings(max_examples=15, deadline=None)
@given(latencies, st.floats(0.1, 10))
def test_speedup_of_an_exact_multiple_is_that_multiple(values, factor):
    result = s.paired_speedup(np.asarray(values) * factor, values, seed=0)
    assert result["value"] == pytest.approx(factor)
    assert result["ci95"] == pytest.approx([factor, factor])


@settings(max_examples=15, deadline=None)
@given(latencies, st.integers(0, 2**32 - 1), st.randoms())
def test_speedup_interval_holds_the_value_and_the_seed_decides(values, seed, random):
    other = [value * random.uniform(0.5, 2) for value in values]
    result = s.paired_speedup(values, other, seed)
    assert result["ci95"][0] <= result["value"] <= result["ci95"][1]
    assert result["value"] == pytest.approx(np.median(values) / np.median(other))
    assert result == s.paired_speedup(values, other, seed)


def test_speedup_agrees_with_scipys_bootstrap_on_independent_rounds():
    rng = np.random.default_rng(0)
    baseline, candidate = rng.lognormal(1, 0.1, 400), rng.lognormal(0.5, 0.1, 400)
    ours = s.paired_speedup(baseline, candidate, seed=1)["ci95"]
    theirs = bootstrap(
        (baseline, candidate),
        lambda a, b, axis: np.median(a, axis=axis) / np.median(b, axis=axis),
        paired=True, vectorized=True, method="percentile", n_resamples=2000, rng=2,
    ).confidence_interval  # fmt: skip
    assert ours == pytest.approx([theirs.low, theirs.high], rel=0.01)


def test_speedup_resamples_whole_rounds():
    """With runs of a round alike, ten runs a round say no more than one: the interval stays as wide."""
    rng = np.random.default_rng(0)
    baseline, candidate = rng.lognormal(1, 0.1, 64), rng.lognormal(1, 0.1, 64)
    one = s.paired_speedup(baseline, candidate, 0)
    ten = s.paired_speedup(np.repeat(baseline, 10), np.repeat(candidate, 10), 0, runs_per_round=10)
    assert ten["ci95"] == pytest.approx(one["ci95"])


@pytest.mark.slow
def test_speedup_interval_covers_under_drift_and_bursts():
    """AR(1) noise shared in part by both engines, on a slow drift: 95 % intervals hold the truth."""
    hits, trials, rounds = 0, 150, 150
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        noise = np.zeros((3, rounds))
        for i in range(1, rounds):
            noise[:, i] = 0.7 * noise[:, i - 1] + rng.normal(0, 0.02, 3)
        drift = 0.1 * np.sin(np.linspace(0, 3, rounds)) + noise[2]
        baseline, candidate = 3 * np.exp(drift + noise[0]), 2 * np.exp(drift + noise[1])
        low, high = s.paired_speedup(baseline, candidate, trial)["ci95"]
        hits += low <= 1.5 <= high
    assert hits / trials > 0.87  # block bootstraps run a little short of 95 % at 150 rounds


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0, 2.0], [1.0]), ([1.0, 0.0], [1.0, 1.0]), ([math.inf], [1.0])])
def test_speedup_refuses_what_cannot_be_paired(a, b):
    with pytest.raises(MeasureError):
        s.paired_speedup(a, b, 0)


# --- speed, over loads ---


def loads_of(rng, *, loads, rounds, truth, load_sd, noise_sd):
    """Two engines: a drift they share, noise of their own in each round, and a place in memory for each load."""
    shape = (loads, rounds, 1)
    drift = np.cumsum(rng.normal(0, 0.01, (loads * rounds, 1)), axis=0).reshape(shape)
    own = [rng.normal(0, load_sd, (loads, 1, 1)) + rng.normal(0, noise_sd, (loads, rounds, 4)) for _ in "ab"]
    return np.exp(drift + own[0]).ravel() * truth, np.exp(drift + own[1]).ravel()


def over_loads(a, b, loads, **options):
    return s.speedup_over_loads(a, b, runs_per_round=4, runs_by_load=[a.size // loads] * loads, **options)


@settings(max_examples=30)
@given(st.integers(3, 12), st.integers(1, 6), st.floats(0.1, 10), st.sampled_from(["median", "total"]))
def test_speedup_over_loads_of_an_exact_multiple_is_that_multiple(loads, rounds, factor, center):
    values = np.random.default_rng(loads).lognormal(0, 0.3, loads * rounds * 4)
    result = over_loads(values * factor, values, loads, center=center)
    assert result["value"] == pytest.approx(factor)
    assert result["ci95"] == pytest.approx([factor, factor])


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(3, 12), st.integers(1, 9), st.sampled_from(["median", "total"]))
def test_speedup_over_loads_turned_round_is_its_inverse(seed, loads, rounds, center):
    rng = np.random.default_rng(seed)
    a, b = loads_of(rng, loads=loads, rounds=rounds, truth=1.3, load_sd=0.01, noise_sd=0.05)
    there, back = over_loads(a, b, loads, center=center), over_loads(b, a, loads, center=center)
    assert there["value"] == pytest.approx(1 / back["value"])
    assert there["ci95"] == pytest.approx([1 / limit for limit in reversed(back["ci95"])])
    assert there["ci95"][0] <= there["value"] <= there["ci95"][1]


def test_speedup_over_loads_is_scipys_t_interval_of_the_loads():
    rng = np.random.default_rng(1)
    logs = rng.normal(0.1, 0.02, 8)
    a = np.repeat(np.exp(logs), 4)
    theirs = ttest_1samp(logs, 0).confidence_interval(0.95)
    ours = over_loads(a, np.ones(32), 8)["ci95"]
    assert np.log(ours) == pytest.approx([theirs.low, theirs.high])


def test_speedup_over_loads_covers_where_one_load_cannot():
    """Equal engines whose loads differ by 0.3 %: resampling the rounds of one load finds differences that are not."""
    trials, over, one = 200, 0, 0
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        a, b = loads_of(rng, loads=10, rounds=20, truth=1.0, load_sd=0.003, noise_sd=0.005)
        low, high = over_loads(a, b, 10)["ci95"]
        over += low <= 1 <= high
        if trial < 60:
            a, b = loads_of(rng, loads=1, rounds=200, truth=1.0, load_sd=0.003, noise_sd=0.005)
            low, high = s.paired_speedup(a, b, trial, runs_per_round=4)["ci95"]
            one += low <= 1 <= high
    assert 0.91 <= over / trials <= 0.99
    assert one / 60 < 0.7


def test_throughput_is_a_ratio_of_total_times():
    a = np.tile([4.0, 4.0, 4.0, 12.0], 3)  # one run in four is slow: no median sees it
    b = np.full(12, 4.0)
    assert over_loads(a, b, 3)["value"] == pytest.approx(1)
    assert over_loads(a, b, 3, center="total")["value"] == pytest.approx(1.5)


@pytest.mark.parametrize("loads", [[], [4, 4], [8, 4, 4], [4, 4, 4, 0], [6, 6]])
def test_speedup_over_loads_refuses_what_is_not_loads(loads):
    with pytest.raises(MeasureError, match="loads"):
        s.speedup_over_loads(np.ones(12), np.ones(12), runs_per_round=4, runs_by_load=loads)
    with pytest.raises(MeasureError, match="2 loads say nothing"):
        s.speedup_over_loads(np.ones(8), np.ones(8), runs_per_round=4, runs_by_load=[4, 4])


# --- accuracy ---


@given(booleans)
def test_accuracy_change_counts_and_value(pairs):
    a, b = np.array(pairs).T
    result = s.accuracy_change(a, b)
    lost, won = int((a & ~b).sum()), int((~a & b).sum())
    assert (result["negative_flips"], result["positive_flips"]) == (lost, won)
    assert result["value"] == pytest.approx(100 * (b.mean() - a.mean()))
    assert result["ci95"][0] <= result["value"] <= result["ci95"][1]
    expected = binomtest(lost, lost + won).pvalue if lost + won else 1.0
    assert result["mcnemar_p"] == pytest.approx(expected)


@given(booleans)
def test_accuracy_change_is_antisymmetric(pairs):
    a, b = np.array(pairs).T
    there, back = s.accuracy_change(a, b), s.accuracy_change(b, a)
    assert there["value"] == pytest.approx(-back["value"])
    assert there["mcnemar_p"] == pytest.approx(back["mcnemar_p"])
    assert there["resolvable_drop"] == back["resolvable_drop"]
    assert there["ci95"] == pytest.approx([-end for end in reversed(back["ci95"])], abs=1e-6)


def test_mcnemar_matches_a_published_value():
    """Agresti, Categorical Data Analysis, approval ratings: 150 and 86 discordant, exact p = 3.7e-5."""
    assert s.mcnemar_p(150, 86) == pytest.approx(3.7e-5, rel=0.02)
    assert s.mcnemar_p(0, 6) == pytest.approx(2 / 64)
    assert s.mcnemar_p(0, 0) == 1.0


def test_accuracy_interval_agrees_with_scipys_bootstrap():
    rng = np.random.default_rng(0)
    a = rng.random(800) < 0.91
    b = np.where(rng.random(800) < 0.04, ~a, a)
    ours = s.accuracy_change(a, b)["ci95"]
    theirs = bootstrap(
        (a.astype(float), b.astype(float)),
        lambda x, y, axis: 100 * (y.mean(axis=axis) - x.mean(axis=axis)),
        paired=True, vectorized=True, method="percentile", n_resamples=5000, rng=1,
    ).confidence_interval  # fmt: skip
    assert ours == pytest.approx([theirs.low, theirs.high], abs=0.15)


@pytest.mark.parametrize("n", [10, 372])
def test_the_interval_has_a_width_where_no_answer_differs(n):
    """The score test of 0 differences rejects d when n d / (1 - d) > 3.84."""
    end = 3.841459 / (n + 3.841459)
    assert s.paired_interval(0, 0, n) == pytest.approx((-end, end), rel=1e-5)


@pytest.mark.parametrize(
    ("lost", "won", "n", "confidence", "published"),
    [
        # airway hyper-responsiveness before and after a transplantation, 1 + 7 of 21 pairs differ: Fagerland, Lydersen
        # and Laake, Recommended tests and confidence intervals for paired binomial proportions, Stat. Med. 33, 2014
        (7, 1, 21, 0.95, (-0.517, -0.026)),
        (25, 28, 618, 0.90, (-0.0148, 0.0247)),  # R's PropCIs::scoreci.mp(25, 28, 618, 0.9)
    ],
)
def test_the_interval_is_the_published_one(lost, won, n, confidence, published):
    digits = len(str(published[0]).partition(".")[2])
    assert [round(end, digits) for end in s.paired_interval(lost, won, n, confidence)] == list(published)


@given(counts=st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 60)).filter(sum))
def test_the_interval_ends_where_the_score_test_rejects(counts):
    """Tango's variance needs the likeliest shares for a given difference; here they are found by search."""
    lost, won, _ = counts
    n = sum(counts)
    for end in s.paired_interval(lost, won, n):
        if abs(end) == 1.0:
            continue

        def against(share, end=end):  # minus the likelihood of losing `share` and winning `share + end`
            shares = (share, share + end, 1 - 2 * share - end)
            return -sum(count * math.log(max(p, 1e-300)) for count, p in zip(counts, shares, strict=True))

        low, high = max(0.0, -end), (1 - end) / 2
        share = minimize_scalar(against, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
        variance = n * (2 * share + end - end * end)
        assert abs(won - lost - n * end) / math.sqrt(variance) == pytest.approx(1.959964, rel=2e-2)


@pytest.mark.parametrize("shares", [(0.02, 0.02), (0.1, 0.05), (0.0, 0.03), (0.2, 0.3)])
def test_the_interval_covers_as_often_as_it_says(shares):
    """Exactly: summed over all outcomes of 60 samples."""
    n, covered = 60, 0.0
    truth = shares[1] - shares[0]
    for lost in range(26):
        for won in range(36 if lost + 35 <= n else n - lost + 1):
            low, high = s.paired_interval(lost, won, n)
            if low <= truth <= high:
                covered += multinomial.pmf([lost, won, n - lost - won], n, [*shares, 1 - sum(shares)])
    assert covered > 0.93


@pytest.mark.parametrize("n", [20, 300, 10_000])
def test_no_changed_answer_rules_out_as_much_as_the_closed_form_says(n):
    """The score test of 0 differences rejects a drop d when n d / (1 - d) > 2.7055, which is 1.6449 squared."""
    assert s.largest_drop(0, 0, n, 0.95) == pytest.approx(2.705543 / (n + 2.705543), rel=1e-5)
    assert s.samples_to_rule_out(0, 0, 20, margin=0.01, confidence=0.95) == 268  # the least n with n 0.01 / 0.99 > 2.7


@pytest.mark.parametrize(("lost", "margin"), [(0.05, 0.03), (0.1, 0.05), (0.08, 0.02)])
def test_an_engine_just_outside_the_budget_passes_as_rarely_as_the_confidence_says(lost, margin):
    """Exactly: over all outcomes of 200 samples where the true drop is the margin; the score test is not exact."""
    n, won = 200, lost - margin
    shares, passed = [lost, won, 1 - lost - won], 0.0
    for a in range(60):
        for b in range(40):
            if s.largest_drop(a, b, n, 0.95) <= margin:
                passed += multinomial.pmf([a, b, n - a - b], n, shares)
    assert 0.01 < passed < 0.065


@given(st.integers(0, 12), st.integers(0, 12), st.integers(25, 400), st.floats(0.005, 0.2))
def test_so_many_samples_would_do_and_fewer_would_not(lost, won, n, margin):
    def bound(samples):
        return s.largest_drop(lost * samples / n, won * samples / n, samples, 0.9)

    needed = s.samples_to_rule_out(lost, won, n, margin=margin, confidence=0.9)
    if needed is None:
        assert lost - won >= margin * n
    else:
        assert bound(needed) <= margin + 1e-9
        assert needed == n or bound(needed - 1) > margin - 1e-9


@given(st.integers(0, 120), st.integers(1, 500))
def test_resolvable_drop_is_the_least_significant_split(discordant, extra):
    n = discordant + extra
    half = discordant // 2
    a = np.array([True] * half + [False] * (discordant - half) + [True] * extra)
    b = np.array([False] * half + [True] * (discordant - half) + [True] * extra)
    pairs = max(discordant, 6)
    smallest = min(2 * k - pairs for k in range(math.ceil(pairs / 2), pairs + 1) if s.mcnemar_p(k, pairs - k) < 0.05)
    assert s.accuracy_change(a, b)["resolvable_drop"] == pytest.approx(100 * smallest / n)


def test_accuracy_change_refuses_unequal_and_empty():
    with pytest.raises(MeasureError, match="cannot compare 2 answers with 1"):
        s.accuracy_change([True, True], [True])
    with pytest.raises(MeasureError):
        s.accuracy_change([], [])


# --- many comparisons ---


def test_holm_matches_rs_p_adjust():
    assert s.holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert s.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_closed_testing_with_bonferroni(p):
    """Holm's adjusted p is the largest Bonferroni p over all sets of hypotheses that hold this one."""
    sets = [c for r in range(1, len(p) + 1) for c in itertools.combinations(range(len(p)), r)]
    expected = [max(min(1, len(c) * min(p[j] for j in c)) for c in sets if i in c) for i in range(len(p))]
    assert s.holm(p) == pytest.approx(expected)


def test_per_class_change_finds_the_class_that_broke():
    labels = np.repeat([0, 1, 2], 40)
    a = np.ones(120, bool)
    b = a.copy()
    b[40:52] = False  # class 1 loses 12 of 40
    b[80] = False
    rows = s.per_class_change(labels, a, b, ["cat", "dog", "emu", "never seen"])
    assert [row["label"] for row in rows] == ["cat", "dog", "emu"]
    assert [row["value"] for row in rows] == pytest.approx([0, -30, -2.5])
    assert rows[1]["p"] == pytest.approx(2 / 2**12)
    assert rows[1]["p_holm"] == pytest.approx(3 * 2 / 2**12)
    assert rows[0]["p_holm"] == rows[2]["p_holm"] == 1.0
    with pytest.raises(MeasureError, match="labels"):
        s.per_class_change([0], a, b, ["cat"])


# --- two runs that share nothing ------------------------------------------------------------


def test_wilson_and_newcombe_are_those_of_the_paper():
    """Newcombe 1998 (Statistics in Medicine 17:873-890), table II, method 10: 56/70 - 48/80 and others."""
    for (x1, n1, x2, n2), (low, high) in {
        (56, 70, 48, 80): (0.0524, 0.3339),
        (9, 10, 3, 10): (0.1705, 0.8090),
        (10, 10, 0, 20): (0.6791, 1.0000),
        (5, 56, 0, 29): (-0.0381, 0.1926),
    }.items():
        found = s.unpaired_interval(x2, n2, x1, n1)
        assert found == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


counts = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts, counts)
def test_an_unpaired_interval_holds_the_difference_and_turns_with_the_runs(a, b):
    low, high = s.unpaired_interval(*a, *b)
    assert -1 - 1e-12 <= low <= b[0] / b[1] - a[0] / a[1] + 1e-12 and low < high <= 1 + 1e-12
    assert s.unpaired_interval(*b, *a) == (pytest.approx(-high), pytest.approx(-low))


def test_the_ratio_between_runs_is_welchs():
    rng = np.random.default_rng(3)
    a, b = rng.lognormal(0, 0.02, 10), rng.lognormal(0.1, 0.05, 7)
    found = s.ratio_between_runs(np.repeat(a, 5), np.repeat(b, 4), before_loads=[5] * 10, after_loads=[4] * 7)
    expected = ttest_ind(np.log(b), np.log(a), equal_var=False).confidence_interval()
    assert found["value"] == pytest.approx(np.exp(np.log(b).mean() - np.log(a).mean()))
    assert found["ci95"] == [pytest.approx(np.exp(expected.low)), pytest.approx(np.exp(expected.high))]


@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_the_ratio_between_runs_follows_the_scale_and_turns(seed, scale):
    rng = np.random.default_rng(seed)
    a, b = rng.lognormal(0, 0.1, 30), rng.lognormal(0, 0.1, 40)
    loads = {"before_loads": [10, 10, 10], "after_loads": [10, 20, 10]}
    once, scaled = s.ratio_between_runs(a, b, **loads), s.ratio_between_runs(a, b * scale, **loads)
    assert scaled["value"] == pytest.approx(scale * once["value"])
    back = s.ratio_between_runs(b, a, before_loads=[10, 20, 10], after_loads=[10, 10, 10])
    assert back["ci95"] == [pytest.approx(1 / once["ci95"][1]), pytest.approx(1 / once["ci95"][0])]
    assert once["ci95"][0] < once["value"] < once["ci95"][1]


def test_loads_that_do_not_vary_have_an_interval_without_width():
    found = s.ratio_between_runs([1.0] * 6, [2.0] * 6, before_loads=[2, 2, 2], after_loads=[2, 2, 2])
    assert found["value"] == pytest.approx(2) and found["ci95"] == [pytest.approx(2)] * 2


@pytest.mark.parametrize("loads", [[3, 3], [2, 2, 1], [6, 0, 0], []])
def test_loads_that_do_not_fit_are_refused(loads):
    with pytest.raises(MeasureError):
        s.ratio_between_runs([1.0] * 6, [1.0] * 6, before_loads=loads, after_loads=[2, 2, 2])
