"""How far apart are two measurements of the same engine, an hour or a minute apart? What --max-slowdown must allow for.

    for i in 1 2 3; do sed "s/min_runs = .*/min_runs = 20$i/" edgetune.toml > $i.toml; edgetune build $i.toml; done
    python benchmarks/compare_sessions.py runs/*

Each run must hold the same engines byte for byte, measured anew. Every ordered pair of runs is compared as
`edgetune compare` does: how often does the 95 % interval hold 1, and how often is the same engine "slower"?
"""

import argparse
import itertools
import math
from pathlib import Path

from common import save

from edgetune.compare.checks import Limits
from edgetune.compare.compare import compare_runs
from edgetune.compare.runs import read_run

ALLOWANCES = (0, 1, 2, 5)  # percent

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path, nargs="+")
    runs = [read_run(folder) for folder in parser.parse_args().runs]
    rows = []
    for a, b in itertools.permutations(runs, 2):
        for target in compare_runs(a, b, Limits())["targets"]:
            for pair in target["candidates"]:
                assert pair["identical"], f"{pair['a']} is another engine in {b.name}"
                rows.append({"a": a.name, "b": b.name, "engine": pair["a"], **pair["latency"]["ratio"]})
    logs = sorted(abs(math.log(row["value"])) for row in rows)
    save(
        "compare_sessions",
        {
            "sessions": len(runs),
            "created": sorted(run.report["created"] for run in runs),
            "pairs": len(rows),
            "interval_holds_1": sum(row["ci95"][0] <= 1 <= row["ci95"][1] for row in rows),
            "proven_slower_by_more_than_percent": {
                str(limit): sum(row["ci95"][0] > 1 + limit / 100 for row in rows) for limit in ALLOWANCES
            },
            "median_difference_percent": 100 * (math.exp(logs[len(logs) // 2]) - 1),
            "largest_difference_percent": 100 * (math.exp(logs[-1]) - 1),
        },
    )
