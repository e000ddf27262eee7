"""Drift: PSI against its formula and scipy's chi-square, few alarms where nothing changed, one where something did."""

import contextlib
import json

import numpy as np
import pytest
from edgetune_runtime import BundleError, DriftMonitor, Engine, InputError, Observation
from edgetune_runtime.drift import FEWEST, chance_limit, make_baseline, stability_index
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

CLASSES = 4  # of the bundle


def answers(count, seed, shift=0.0):
    """Confidences, classes and levels as an engine's may be distributed."""
    rng = np.random.default_rng(seed)
    confidences = np.clip(rng.beta(8, 2, count) - shift, 0.25, 1)
    classes = rng.choice(CLASSES, count, p=[0.4, 0.3, 0.29, 0.01])
    return confidences, classes, rng.normal(0.1 + shift, 0.3, count)


@pytest.fixture
def engine(change):
    baseline = json.loads(json.dumps(make_baseline(*answers(400, seed=1))))
    with Engine.open(change(lambda manifest: manifest.update(drift=baseline))) as opened:
        yield opened


def watched(engine, count, seed, shift=0.0):
    monitor = DriftMonitor(engine)
    for confidence, number, level in zip(*answers(count, seed, shift), strict=True):
        monitor(Observation(1.0, label=engine.labels[number], confidence=float(confidence), input_level=float(level)))
    return monitor.report()


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=20))
def test_the_index_is_symmetric_and_zero_only_for_equal_shares(pairs):
    a, b = np.asarray(pairs).T
    assert stability_index(a, b) == pytest.approx(stability_index(b, a))
    assert stability_index(a, b) >= 0
    assert stability_index(a, a) == 0


def test_the_index_is_its_formula():
    a, b = np.array([999_500, 499_500]), np.array([500_500, 1_000_000])
    wide = [(x / x.sum()) for x in (a, b)]
    assert stability_index(a, b) == pytest.approx(((wide[1] - wide[0]) * np.log(wide[1] / wide[0])).sum(), rel=1e-5)


@pytest.mark.parametrize("bins", [2, 5, 10, 100])
def test_the_limit_of_chance_is_chi_squares(bins):
    expected = chi2.ppf(0.999, bins - 1) * (1 / 400 + 1 / 200)
    assert chance_limit(bins, 400, 200) == pytest.approx(expected, rel=0.04)


def test_nothing_is_alarmed_where_nothing_changed(engine):
    verdicts = [watched(engine, 200, seed)["verdict"] for seed in range(2, 42)]
    assert verdicts.count("stable") >= 39  # 3 signals, 40 windows, one in a thousand each: 0.12 expected


@pytest.mark.parametrize("shift", [0.3, -0.4])
def test_a_shift_is_seen(engine, shift):
    found = watched(engine, 200, seed=2, shift=shift)
    assert found["verdict"] == "major"
    assert found["input"]["psi"] > found["input"]["limit"]
    assert found["classes"]["verdict"] == "stable"  # they were drawn alike


def test_other_classes_are_seen(engine):
    monitor = DriftMonitor(engine)
    for _ in range(100):
        monitor(Observation(1.0, label=engine.labels[3], confidence=0.8, input_level=0.1))
    assert monitor.report()["classes"]["verdict"] == "major"


def test_of_few_samples_nothing_is_said_and_old_ones_are_forgotten(engine):
    assert watched(engine, FEWEST - 1, seed=2)["verdict"] == "too few samples"
    assert watched(engine, 700, seed=2)["samples"] == 500
    with pytest.raises(InputError, match="50 or more"):
        DriftMonitor(engine, window=10)


def test_as_the_hook_of_an_engine_it_counts_answers_and_no_refusals(engine):
    engine.hook = monitor = DriftMonitor(engine)
    for seed in range(60):
        engine.predict(np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8))
    with pytest.raises(InputError):
        engine.predict(np.zeros((2, 2)))
    assert monitor.report()["samples"] == 60


def test_all_the_same_is_a_histogram_too(engine):
    baseline = make_baseline([1.0] * 60, [0] * 60, [2.0] * 60)
    engine.manifest["drift"] = baseline
    monitor = DriftMonitor(engine)
    for _ in range(60):
        monitor(Observation(1.0, label=engine.labels[0], confidence=1.0, input_level=2.0))
    assert monitor.report()["verdict"] == "stable"


WRONG = [None, 3, {}, {"confidence": None}, {"confidence": {"edges": [], "counts": [0]}}]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_baseline_that_cannot_be_is_refused(engine, wrong):
    engine.manifest["drift"] = wrong
    with pytest.raises(BundleError, match="baseline"):
        DriftMonitor(engine)


@given(st.sampled_from(["confidence", "input", "classes"]), st.sampled_from(["edges", "counts"]), st.data())
def test_any_part_that_is_wrong_is_refused_or_works(engine_baseline, name, key, data):
    engine, baseline = engine_baseline
    anything = st.one_of(st.none(), st.text(), st.lists(st.one_of(st.integers(), st.floats(), st.none()), max_size=11))
    drift = json.loads(json.dumps(baseline))
    if name == "classes":
        drift[name] = data.draw(anything)
    else:
        drift[name][key] = data.draw(anything)
    engine.manifest["drift"] = drift
    with contextlib.suppress(BundleError):
        DriftMonitor(engine).report()


@pytest.fixture
def engine_baseline(engine):
    return engine, dict(engine.manifest["drift"])
