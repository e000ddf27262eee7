"""Which releases of ONNX Runtime load edgetune's engines? Each in an environment of its own, with numpy before 2.

    python benchmarks/onnxruntime_releases.py BUNDLE [BUNDLE ...] --releases 1.16.3 1.18.1 1.20.1

For each release: the newest opset and file format that it names itself when it refuses a file; and for each bundle, in
a fresh process that has nothing but numpy and that release, whether digests, engine and golden outputs pass.
The first is the table in edgetune/backends/onnxruntime.py, the second the proof of `min_runtime` in the target files.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import edgetune_runtime
import onnx
from common import save
from onnx import TensorProto, helper

from edgetune.bundle.manifest import read_manifest

ASK = """
import json, re, sys
import onnxruntime, numpy
found = {"onnxruntime": onnxruntime.__version__, "numpy": numpy.__version__, "python": sys.version.split()[0]}
for key, file, words in (("format", sys.argv[1], r"max supported IR version: (\\d+)"),
                         ("opset", sys.argv[2], r"till opset (\\d+)")):
    try:
        onnxruntime.InferenceSession(file)
        found[key] = None
    except Exception as refusal:
        found[key] = int(re.search(words, str(refusal))[1])
from edgetune_runtime import Engine, RuntimeProblem
found["bundles"] = []
for path in sys.argv[3:]:
    try:
        with Engine.open(path) as engine:
            found["bundles"].append({"passes": True, "golden_difference": engine.self_test()})
    except RuntimeProblem as problem:
        said = " ".join(str(problem).replace(path + "/", "").split())
        found["bundles"].append({"passes": False, "refusal": said[:300]})
print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="see the module's docstring")
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--releases", nargs="+", default=["1.18.1"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        questions = [file(folder / "format.onnx", ir_version=99), file(folder / "opset.onnx", opset=99)]
        rows = [asked(release, questions, options.bundles, folder) for release in options.releases]
    described = [describe(bundle) for bundle in options.bundles]
    for row in rows:
        row["bundles"] = [{**known, **found} for known, found in zip(described, row["bundles"], strict=True)]
        print(json.dumps(row, indent=1), flush=True)
    save("onnxruntime_releases", {"releases": rows})


def file(path: Path, *, ir_version: int = 8, opset: int = 17) -> Path:
    """A file with one Relu, as new as is said."""
    shapes = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", shapes[:1], shapes[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version), path)
    return path


def describe(bundle: Path) -> dict[str, Any]:
    manifest = read_manifest(bundle)
    return {"file": manifest["engine"]["file"], "precision": manifest["engine"]["precision"], "name": manifest["name"]}


def asked(release: str, questions: list[Path], bundles: list[Path], folder: Path) -> dict[str, Any]:
    """What one release answers, in an environment of its own."""
    place = folder / release
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    pip = [place / "bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, f"onnxruntime=={release}", "numpy<2"], check=True)
    runtime = Path(edgetune_runtime.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(runtime), "ORT_DISABLE_TELEMETRY": "1"}
    arguments = [str(path.absolute()) for path in (*questions, *bundles)]
    command = [place / "bin/python", "-c", ASK, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
