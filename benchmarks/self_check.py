"""Is the measurement honest on this machine? One engine against itself and against a copy made 3 % slower.

    python benchmarks/self_check.py MODEL.onnx [--repeats 20] [--raw FILE.json]

Claims: over 20 repeats, the 95 % interval of the engine against itself holds 1 in at least 18, and the slower copy
is found slower in at least 18. For comparison, the same engine is loaded twice, once only, and judged by a block
bootstrap of the rounds, as edgetune did at first: how often does that interval hold 1 (docs/adr/0009)?
The result holds every interval; raw values (megabytes) go to --raw.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from common import save

from edgetune.measure.bench import make_feeds
from edgetune.measure.engines import find_engines, loaded
from edgetune.measure.latency import measure_interleaved
from edgetune.measure.self_check import self_check
from edgetune.measure.statistics import paired_speedup
from edgetune.records import BenchSpec

SPEC = BenchSpec()


def one_load(path: Path, repeats: int) -> list[dict[str, Any]]:
    """Ratios of two sessions of one file, each loaded once, by a block bootstrap of the rounds."""
    rows = []
    with find_engines([path], threads=1) as (engine,):
        feed = make_feeds([engine], {}, None, 0)[engine.name]
        for repeat in range(repeats):
            with ExitStack() as stack:
                calls = {name: stack.enter_context(loaded(engine, feed, 1)) for name in ("engine", "again")}
                raw = measure_interleaved(
                    calls,
                    min_runs=SPEC.min_runs,
                    min_seconds=SPEC.min_seconds,
                    max_seconds=SPEC.max_seconds,
                    seed=repeat,
                )
            one, other = raw["engine"], raw["again"]
            ratio = paired_speedup(one.values, other.values, repeat, runs_per_round=one.runs_per_round)
            rows.append({**ratio, "raw": {name: value.values for name, value in raw.items()}})
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--raw", type=Path, help="where every raw value goes")
    options = parser.parse_args()
    checked = self_check(options.model, repeats=options.repeats, spec=SPEC, shapes={}, batch=None, seed=0)
    print(f"over loads: holds 1 in {checked['held_one']}, finds 3 % in {checked['found_slower']} of {options.repeats}")
    rows = one_load(options.model, options.repeats)
    held = sum(row["ci95"][0] <= 1 <= row["ci95"][1] for row in rows)
    print(f"one load: holds 1 in {held} of {options.repeats}")
    result = {"over_loads": checked, "one_load": {"held_one": held, "rows": rows}}
    if options.raw:
        options.raw.write_text(json.dumps(result), encoding="utf-8")
    for row in (*checked["rows"], *rows):
        del row["raw"]
    save("self_check", result)
