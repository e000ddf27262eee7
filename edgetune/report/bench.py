"""What ``edgetune bench`` prints."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from typing import Any

from edgetune.measure.energy import UNREADABLE
from edgetune.measure.floors import unavailable
from edgetune.measure.noise import intervals_hold
from edgetune.measure.states import summary
from edgetune.report import numbers, view
from edgetune.report.terminal import ASCII, WIDTH, aligned

RATE = "fixed-rate"
EMULATED = "The device is emulated: its outputs count, its clock does not, so nothing was timed."


def render_bench(data: view.Json) -> str:
    """Tables and the verdict on the machine as plain text, no line longer than 100 characters but by a long name."""
    if "error" in data:
        return f"{data['device']['name']}: failed: {data['error']}\n  {data['hint']}"
    engines = data["engines"]
    if data["noise"] is None:
        return "\n\n".join([_where(data), _agreement(engines), EMULATED]).translate(ASCII)
    blocks = [
        *([_where(data)] if "device_versions" in data else []),
        scenario(data),
        _table(timing_rows(engines)),
        _table(start_rows(engines)),
        *([_agreement(engines)] if "device_versions" in data else []),
        *notes(data),
    ]
    return "\n\n".join(blocks).translate(ASCII)


def notes(data: view.Json) -> list[str]:
    """What the tables do not say: missing percentiles and energy, overload, whether the machine was quiet."""
    engines = data["engines"]
    return [
        *([] if engines[0].get("joules_per_inference") else [_no_energy(data)]),
        *_percentiles_left_out(engines),
        *_overload(engines),
        _machine(data),
    ]


def timing_rows(engines: Sequence[view.Json]) -> list[tuple[str, ...]]:
    """A header, and each engine's latency."""
    return [("engine", "median", "p90", "p99", "runs", "samples/s", "speed-up"), *(_timing(e) for e in engines)]


def start_rows(engines: Sequence[view.Json]) -> list[tuple[str, ...]]:
    """A header, and what each engine costs besides."""
    return [("engine", "size", "load", "first", "peak memory", "energy"), *(_start(e) for e in engines)]


def render_self_check(data: view.Json) -> str:
    """Both counts, how far the intervals reach, and the verdict as plain text."""
    rows, n = data["rows"], data["repeats"]
    noisy = sum(row["noise"]["verdict"] == "noisy" for row in rows)
    same = statistics.median(row["same"]["ci95"][1] / row["same"]["ci95"][0] - 1 for row in rows)
    slower = statistics.median(row["slower"]["value"] for row in rows)
    lines = [
        f"{data['engine']['name']}: {n} repeats, {data['bench']['loads']} loads each; machine noisy in {noisy}",
        f"against itself: the 95 % interval holds 1 in {data['held_one']} of {n} (median width {same:.2%})",
        f"against a copy made {data['slowdown']['calibrated']:.1%} slower: found in {data['found_slower']} of {n} "
        f"(median {slower:.3f}x)",
        f"{'passed' if data['passed'] else 'FAILED'}: {data['needed']} of {n} were needed in both",
    ]
    return "\n".join(lines)


def _where(data: view.Json) -> str:
    device, versions = data["device"], data["device_versions"]
    name = device["name"] if device["model"] == "unknown" else f"{device['name']} ({device['model']})"
    kind = "emulated " if device["emulated"] else ""
    return f"{name}: {kind}{device['cpu']}, {device['os']}, onnxruntime {versions['onnxruntime']}"


def _agreement(engines: Sequence[view.Json]) -> str:
    """How far the device's outputs are from those of the machine it was asked from."""
    rows = []
    for engine in engines:
        found = engine["outputs"]
        far = "n/a" if found["max_difference"] is None else f"{found['max_difference']:.2g}"
        rows.append((engine["name"], numbers.size(engine["size_bytes"]), "equal" if found["bit_equal"] else far))
    return _table([("engine", "size", "outputs there and here differ by"), *rows])


def scenario(data: view.Json) -> str:
    """How requests came: single-stream, at a rate, or offline; batch, threads, loads."""
    how, bench = data["scenario"], data["bench"]
    kind = how["kind"]
    if kind == RATE:
        kind += f" {how['rate']:g}/s ({how['arrivals']} arrivals, timed from when each was due)"
    batches = {engine["batch"] for engine in data["engines"]}
    batch = f"batch {batches.pop()}" if len(batches) == 1 else "batches differ"
    return f"{kind}, {batch}, {bench['threads']} thread{'s' if bench['threads'] > 1 else ''}, {bench['loads']} loads"


def _timing(engine: view.Json) -> tuple[str, ...]:
    latency, rate = engine["latency_ms"], engine["samples_per_second"]
    return (
        engine["name"],
        numbers.milliseconds(latency["p50"]),
        "n/a" if latency["p90"] is None else numbers.milliseconds(latency["p90"]),
        "n/a" if latency["p99"] is None else numbers.milliseconds(latency["p99"]),
        f"{latency['n']:,}",
        numbers.NONE if rate is None else numbers.rate(rate),
        ratio(engine["speedup"]),
    )


def _start(engine: view.Json) -> tuple[str, ...]:
    return (
        engine["name"],
        numbers.size(engine["size_bytes"]),
        numbers.milliseconds(statistics.median(engine["load_ms"])),
        numbers.milliseconds(statistics.median(engine["first_inference_ms"])),
        numbers.size(round(statistics.median(engine["peak_rss_bytes"]))),
        numbers.energy(statistics.median(joules) if (joules := engine.get("joules_per_inference")) else None),
    )


def _no_energy(data: view.Json) -> str:
    there = "not asked of devices" if "device_versions" in data else UNREADABLE
    return "\n".join(textwrap.wrap(f"energy: {there}", WIDTH, subsequent_indent="    "))


def ratio(record: view.Json | None) -> str:
    """1.031x (1.029 to 1.034): a digit more than in a build's report, where engines differ by more."""
    if record is None:
        return numbers.NONE
    low, high = record["ci95"]
    return f"{record['value']:.3f}× ({low:.3f} to {high:.3f})"


def _table(lines: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [aligned(line, widths, left=1) for line in lines]
    return "\n".join([text[0], "  ".join("-" * width for width in widths), *text[1:]])


def _percentiles_left_out(engines: Sequence[view.Json]) -> list[str]:
    missing = sorted({q for engine in engines for q in (90, 99) if engine["latency_ms"][f"p{q}"] is None})
    return ["; ".join(f"p{q}: {unavailable(q)}" for q in missing)] if missing else []


def _overload(engines: Sequence[view.Json]) -> list[str]:
    """Engines that a fixed rate keeps busy, in words."""
    lines = []
    for engine in engines:
        share = engine["utilisation"]
        if share is not None:
            end = "; it cannot keep up, and latency grows with the test's length" if share >= 1 else ""
            told = f"{share:.0%}" if share >= 0.01 else "< 1 %"
            lines.append(f"{engine['name']}: busy {told} of the time{end}")
    return ["\n".join(lines)] if lines else []


def _machine(data: view.Json) -> str:
    noise: dict[str, Any] = data["noise"]
    lines = [f"machine: {noise['verdict']}{_meanwhile(data)}", *(f"  {reason}" for reason in noise["reasons"])]
    if noise["verdict"] == "not judged":
        lines.append("  The kernel does not tell whether work waited for a processor (no /proc/pressure/cpu).")
    if not intervals_hold(noise["reasons"]):
        lines.append(
            "  Waits fall on long runs more than on short ones: ratios of unlike engines may be off by more than their "
            "intervals. Measure again when nothing else runs."
        )
    elif noise["reasons"]:
        lines.append("  Believe intervals more than medians, and measure again when nothing else runs.")
    return "\n".join(part for line in lines for part in textwrap.wrap(line, WIDTH, subsequent_indent="    "))


def _meanwhile(data: view.Json) -> str:
    """Clocks, the highest temperature and powers while it was timed, as far as the machine tells them."""
    during = summary(data["telemetry"]["during"])
    parts = []
    for key, name in (("clock_mhz", ""), ("gpu_clock_mhz", "GPU ")):
        if key in during:
            low, high = during[key]
            parts.append(f"{name}{low} MHz" if low == high else f"{name}{low} to {high} MHz")
    if heat := during.get("temperature_max_c"):
        hottest = max(heat, key=lambda zone: heat[zone])
        parts.append(f"up to {heat[hottest]:.0f} C ({hottest})")
    parts += [f"{watts:.3g} W ({name})" for name, watts in during.get("power_mean_w", {}).items()]
    return f" ({'; '.join(parts)})" if parts else ""
