"""edgetune's own rows: ordinary builds by `edgetune build`, which take up the fine-tuned network from their store."""

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.inputs import adopt
from benchmarks.peers.jobs import fresh_folder, run_command
from benchmarks.peers.lines import recipe_lines
from edgetune.store import Store

TARGETS = {"x86-cpu": "onnxruntime", "intel-cpu": "openvino"}


def build(recipe: Path, target: str, network: Path, folder: Path, limit_seconds: float) -> dict[str, Any]:
    """One build in a fresh process: what it cost, which engine it chose, and where the bundle has it.

    Its store is its own and holds the fine-tuned ``network`` alone, so that nothing else it needs has been paid for.

    A build that ends with exit code 3, because its engine misses the accuracy budget on the test split, is no failure:
    the accuracy in the table says so.
    """
    store = Store(fresh_folder(folder) / "store")
    adopt(network, recipe, store)
    command = [sys.executable, "-m", "edgetune", "build", str(recipe), "--target", target, "--json"]
    command += ["--run-dir", str(folder / "run"), "--cache-dir", str(store.root)]
    found = run_command(command, folder, limit_seconds=limit_seconds)
    found |= {"lines": recipe_lines(recipe.read_text(encoding="utf-8")), "engine": None, "chosen": None}
    report, engine = folder / "run/report.json", folder / f"run/bundles/{target}/engine.onnx"
    if engine.exists():
        found["failure"] = None
        found["chosen"] = json.loads(report.read_text(encoding="utf-8"))["targets"][0]["chosen"]
        found["engine"] = str(engine)
    return found
