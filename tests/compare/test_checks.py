"""How often the checks are wrong about engines that are no different, computed and not drawn."""

import numpy as np
import pytest
from scipy.stats import binom

from edgetune.measure.proportion import SIGNIFICANCE
from edgetune.measure.statistics import mcnemar_p, ratio_between_runs, unpaired_interval


@pytest.mark.parametrize("discordant", [1, 5, 6, 7, 13, 40, 150])
def test_equal_engines_are_proven_lower_in_at_most_one_of_forty_comparisons(discordant):
    """Every flip is as likely to be lost as won; the check fails for p < 0.05 in the losing direction."""
    lost = np.arange(discordant + 1)
    fails = [2 * x > discordant and mcnemar_p(int(x), int(discordant - x)) < SIGNIFICANCE for x in lost]
    assert binom.pmf(lost, discordant, 0.5)[fails].sum() <= SIGNIFICANCE / 2 + 1e-12


@pytest.mark.parametrize(("n_a", "n_b", "p_a", "p_b"), [(20, 20, 0.7, 0.8), (36, 60, 0.9, 0.9), (15, 40, 0.95, 0.5)])
def test_the_unpaired_interval_covers_the_difference_about_as_often_as_it_says(n_a, n_b, p_a, p_b):
    """Exact coverage over all outcomes; Newcombe's table III has 0.95 on average, and above 0.92 in nearly all."""
    covered = 0.0
    for x in range(n_a + 1):
        for y in range(n_b + 1):
            low, high = unpaired_interval(x, n_a, y, n_b)
            if low <= p_b - p_a <= high:
                covered += binom.pmf(x, n_a, p_a) * binom.pmf(y, n_b, p_b)
    assert 0.93 < covered < 0.985


def test_the_ratio_between_runs_covers_one_where_loads_differ_by_chance_alone():
    """400 pairs of sessions of ten loads each, drawn: what remains is what differs between sessions themselves."""
    rng = np.random.default_rng(0)
    held, loads = 0, [1] * 10
    for _ in range(400):
        a, b = (np.exp(rng.normal(0, scatter, 10)) for scatter in (0.01, 0.03))
        low, high = ratio_between_runs(a, b, before_loads=loads, after_loads=loads)["ci95"]
        held += low <= 1 <= high
    assert 0.92 < held / 400 < 0.98
