"""The main job on real photos: MobileNetV2 on clothing10 at 160 px, for x86-cpu.

    python benchmarks/clothing10.py --weights mobilenet_v2_imagenet.safetensors --images clothing10.tar

Builds from cold in an empty store, again with nothing changed, and again with only `[bench]` changed. Claims:
float accuracy at least 90.5 %; the chosen engine at least 1.6 times as fast as float, at most 1.0 point below it;
at most 20 % of a cold build is spent outside training loops; a warm build takes under 3 s and computes nothing;
changing `[bench]` trains nothing; after the first epoch training waits for data at most 10 % of its time.
"""

import argparse
import json
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

from common import save

RECIPE = Path(__file__).with_name("clothing10.toml")


def build(folder: Path, run: str) -> tuple[float, dict[str, Any], int]:
    """(wall seconds, report, exit code) of one `edgetune build` in a fresh process."""
    command = [sys.executable, "-m", "edgetune", "build", "--target", "x86-cpu", "--json"]
    command += ["--run-dir", f"runs/{run}", "--cache-dir", "store"]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - started
    if not done.stdout:
        sys.exit(done.returncode)
    return seconds, json.loads(done.stdout), done.returncode


def training_notes(folder: Path) -> list[dict[str, Any]]:
    """The curves that training steps left in the store: one row an epoch."""
    notes = [json.loads(path.read_text()) for path in (folder / "store/objects").glob("*/notes/training.json")]
    return [row for note in notes for row in note["history"]]


def main() -> None:
    """Build three times, print and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="clothing10.tar")
    parser.add_argument("--folder", type=Path, help="work here and keep it (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(args.images) as archive:
            archive.extractall(folder, filter="data")
        text = RECIPE.read_text().replace("WEIGHTS", str(args.weights.absolute()))
        (folder / "edgetune.toml").write_text(text)
        cold, report, code = build(folder, "cold")
        rows = training_notes(folder)
        trained = sum(row["seconds"] + row["validation_seconds"] for row in rows)
        later = [row for row in rows if row["epoch"] > 1]
        waiting = sum(row["data_wait_seconds"] for row in later) / sum(row["seconds"] for row in later)
        warm, again, _ = build(folder, "warm")
        (folder / "edgetune.toml").write_text(text.replace("min_runs = 400", "min_runs = 401"))
        _, other_bench, _ = build(folder, "other-bench")
        raw = json.loads((folder / "runs/cold/measurements/x86-cpu.json").read_text())
    target = report["targets"][0]
    chosen = next(c for c in target["candidates"] if c["name"] == target["chosen"])
    result = {
        "exit_code": code,
        "float_accuracy": target["baseline"]["metrics"]["accuracy"],
        "chosen": chosen["name"],
        "chosen_accuracy_change": chosen["accuracy_change"],
        "chosen_speedup": chosen["speedup"],
        "size_ratio": chosen["size_bytes"] / target["baseline"]["size_bytes"],
        "overhead_share": (cold - trained) / cold,
        "cold_seconds": cold,
        "training_seconds": trained,
        "warm_seconds": warm,
        "warm_recomputed": [step["name"] for step in again["steps"] if not step["cached"]],
        "bench_change_recomputed": [step["name"] for step in other_bench["steps"] if not step["cached"]],
        "data_wait_share_after_first_epoch": waiting,
    }
    print(json.dumps(result, indent=1))
    save("clothing10", {**result, "report": report, "training": rows, "latency_raw": raw})


if __name__ == "__main__":
    main()
