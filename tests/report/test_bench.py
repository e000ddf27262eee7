"""What `edgetune bench` prints: every number, what is missing, and the verdict."""

import numpy as np

from edgetune.measure.candidates import latency_summary
from edgetune.report.bench import render_bench, render_self_check


def engine(name, median, runs=700, **fields):
    return {
        "name": name,
        "batch": 1,
        "size_bytes": 2_540_000,
        "latency_ms": latency_summary(np.full(runs, median)),
        "samples_per_second": 1e3 / median,
        "utilisation": None,
        "load_ms": [9.0, 10.0, 50.0],
        "first_inference_ms": [2.0, 3.0, 4.0],
        "peak_rss_bytes": [81_000_000, 82_000_000, 83_000_000],
        "speedup": None,
    } | fields


def data(*engines, **fields):
    return {
        "scenario": {"kind": "single-stream", "rate": None, "arrivals": "poisson"},
        "bench": {"threads": 1, "loads": 10},
        "engines": list(engines),
        "noise": {"verdict": "quiet", "reasons": []},
        "telemetry": {"before": {}, "during": [], "after": {}},
    } | fields


def test_numbers_and_interval_are_shown_in_ascii():
    text = render_bench(data(engine("float", 3.0), engine("int8", 1.5, speedup={"value": 2.0, "ci95": [1.981, 2.019]})))
    assert text.isascii()
    assert "2.000x (1.981 to 2.019)" in text
    for part in ("3.00 ms", "333.3", "10.0 ms", "82.0 MB", "2.5 MB", "10 loads", "machine: quiet"):
        assert part in text, part
    assert max(map(len, text.splitlines())) <= 100


def test_percentiles_below_their_floor_say_what_they_need():
    text = render_bench(data(engine("a", 1.0, runs=100)))
    assert "p99: n/a (needs 662 runs)" in text and "p90: n/a" not in text


def test_overload_and_noise_are_told():
    text = render_bench(
        data(
            engine("a", 1.0, utilisation=0.25, samples_per_second=None),
            engine("c", 0.1, utilisation=0.0004, samples_per_second=None),
            engine("b", 9.0, utilisation=1.7, samples_per_second=None),
            scenario={"kind": "fixed-rate", "rate": 250.0, "arrivals": "poisson"},
            noise={"verdict": "noisy", "reasons": ["b: 9% of the runs took over 1.25 times the median"]},
        )
    )
    assert "fixed-rate 250/s (poisson arrivals" in text
    assert "a: busy 25% of the time\nc: busy < 1 % of the time\nb: busy 170% of the time; it cannot keep up" in text
    assert "machine: noisy\n  b: 9%" in text and "Believe intervals" in text
    taken = render_bench(
        data(engine("a", 1.0), noise={"verdict": "noisy", "reasons": ["other work took 40% of the processor's time"]})
    )
    assert "ratios of unlike engines may be off" in " ".join(taken.split()) and "Believe" not in taken


def test_a_machine_that_could_not_be_judged_is_not_called_quiet():
    text = render_bench(data(engine("a", 1.0), noise={"verdict": "not judged", "reasons": []}))
    assert "machine: not judged" in text and "quiet" not in text and "/proc/pressure/cpu" in text


def test_rates_are_written_out():
    text = render_bench(data(engine("a", 1.0, samples_per_second=15_363.0)))
    assert "15,360" in text and "e+" not in text


def test_the_machine_s_state_meanwhile_is_told():
    looks = [
        {"clock_mhz": [600, 1500], "temperature_c": {"cpu-thermal (0)": 48.2}, "power_w": {"VDD_IN": 4.9}},
        {"clock_mhz": [2400, 600], "temperature_c": {"cpu-thermal (0)": 61.25}, "power_w": {"VDD_IN": 5.1}},
    ]
    text = render_bench(data(engine("a", 1.0), telemetry={"before": {}, "during": looks, "after": {}}))
    assert "machine: quiet (1500 to 2400 MHz; up to 61 C (cpu-thermal (0)); 5 W (VDD_IN))" in text


def test_self_check_tells_both_counts_and_the_verdict():
    row = {
        "same": {"value": 1.0, "ci95": [0.999, 1.001]},
        "slower": {"value": 0.971, "ci95": [0.969, 0.973]},
        "noise": {"verdict": "noisy", "reasons": ["x"]},
    }
    checked = {
        "engine": {"name": "int8"}, "bench": {"loads": 10}, "repeats": 20, "needed": 18, "held_one": 17,
        "found_slower": 20, "passed": False, "slowdown": {"wanted": 0.03, "calibrated": 0.0301}, "rows": [row] * 20,
    }  # fmt: skip
    text = render_self_check(checked)
    assert "holds 1 in 17 of 20 (median width 0.20%)" in text
    assert "made 3.0% slower: found in 20 of 20 (median 0.971x)" in text
    assert "FAILED: 18 of 20 were needed" in text
    assert "passed: 18 of 20" in render_self_check(checked | {"passed": True})
