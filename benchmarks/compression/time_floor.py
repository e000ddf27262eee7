"""Where the time of an engine goes, by kind of layer, and how far each is from the processor's peak.

    python benchmarks/compression/time_floor.py ENGINE.onnx [FLOAT.onnx] --name clothing10

The peak is measured, not read from a data sheet: the most multiplications a second that ONNX Runtime reaches with
uint8 x int8 matrix products of 512 x 512 x 512 on one thread, and that of float products. A layer's floor is its
multiplications at that rate; what it takes more is memory, short inner loops, rounding and the call. Times of layers
are ONNX Runtime's own, with profiling on, one thread, batch 1; they share the time, their sum is no latency.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
import onnxruntime as ort
from common import save
from edgetune_runtime.profile import profile
from onnx import TensorProto, helper, numpy_helper

from edgetune.measure.engine_layers import named_layers

SIDE = 512  # of the matrices that show the peak
LAYERS = ("Conv", "Gemm", "MatMul")


def peak(kind: int) -> float:
    """Multiplications in a second of a large matrix product of TensorProto type ``kind``; the best of 300."""
    integers = kind == TensorProto.UINT8
    weights = np.random.default_rng(0).integers(-9, 9, (SIDE, SIDE)).astype(np.int8 if integers else np.float32)
    node = helper.make_node("MatMulInteger" if integers else "MatMul", ["a", "b"], ["y"])
    out = TensorProto.INT32 if integers else TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "peak",
        [helper.make_tensor_value_info("a", kind, [SIDE, SIDE])],
        [helper.make_tensor_value_info("y", out, [SIDE, SIDE])],
        [numpy_helper.from_array(weights, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = np.ones((SIDE, SIDE), np.uint8 if integers else np.float32)
    best = float("inf")
    for _ in range(300):
        started = time.perf_counter()
        session.run(None, {"a": values})
        best = min(best, time.perf_counter() - started)
    return SIDE**3 / best


def layers(path: Path) -> dict[str, dict[str, Any]]:
    """{layer: kind and multiplications at batch 1}, named as ``named_layers`` names what runs."""
    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    nodes = [node for node in graph.node if node.op_type in LAYERS]
    told = named_layers([{"node": node.name, "operator": node.op_type} for node in nodes], path)
    found = {}
    for node, named in zip(nodes, told, strict=True):
        weight, output = shapes[node.input[1]], shapes[node.output[0]]
        if node.op_type == "Conv":
            multiplications = int(np.prod(output)) * int(np.prod(weight[1:]))
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            kind = "depthwise" if groups > 1 else "pointwise" if weight[2:] == [1, 1] else "convolution"
        else:
            multiplications, kind = int(np.prod(weight)), "fully connected"
        found[named["layer"]] = {"kind": kind, "multiplications": multiplications}
    if found:
        next(iter(found.values()))["kind"] = "first convolution"
    return found


def shares(path: Path, rate: float) -> dict[str, Any]:
    """{kind: time, its share, multiplications, floor in ms at ``rate``}."""
    known = layers(path)
    source = ort.InferenceSession(path, providers=["CPUExecutionProvider"]).get_inputs()[0]
    shape = [size if isinstance(size, int) else 1 for size in source.shape]
    feed = {source.name: np.random.default_rng(0).normal(size=shape).astype(np.float32)}
    told = named_layers(profile(path, {}, 1, feed, seconds=3.0), path)
    rows: dict[str, dict[str, float]] = defaultdict(lambda: {"ms": 0.0, "multiplications": 0})
    for one in told:
        layer = known.get(one["layer"] or "")
        row = rows[layer["kind"] if layer else one["operator"]]
        row["ms"] += one["ms"]
        row["multiplications"] += layer["multiplications"] if layer else 0
    whole = sum(row["ms"] for row in rows.values())
    for row in rows.values():
        row["share"] = row["ms"] / whole
        row["floor_ms"] = 1e3 * row["multiplications"] / rate
    return {"ms": whole, "floor_ms": sum(row["floor_ms"] for row in rows.values()), "kinds": dict(rows)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("baseline", type=Path, nargs="?", help="the float engine")
    parser.add_argument("--name", required=True, help="of the result: time_floor_NAME.json")
    args = parser.parse_args()
    peaks = {"int8": peak(TensorProto.UINT8), "float": peak(TensorProto.FLOAT)}
    result: dict[str, Any] = {"multiplications_per_second": peaks, "int8": shares(args.engine, peaks["int8"])}
    if args.baseline:
        result["float"] = shares(args.baseline, peaks["float"])
    for precision in ("float", "int8"):
        if precision in result:
            found = result[precision]
            print(f"{precision}: {found['ms']:.3f} ms, {found['floor_ms']:.3f} ms at the peak")
            for kind, row in sorted(found["kinds"].items(), key=lambda pair: -pair[1]["ms"]):
                print(f"  {kind:18} {row['ms']:7.3f} ms {row['share']:6.1%}  at the peak {row['floor_ms']:.3f} ms")
    save(f"time_floor_{args.name}", result)
