"""Small ONNX files and bundles, made on the spot."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgetune.hashing import digest_file

MB = 1 << 20


def write_onnx(path: Path, *, shape=("batch", 3, 8, 8), dtype=TensorProto.FLOAT, name="image", repeat=1) -> Path:
    """Sums its input ``repeat`` times: as much longer to run."""
    nodes = [helper.make_node("Cast", [name], ["x0"], to=TensorProto.FLOAT)]
    nodes += [helper.make_node("Sin", [f"x{i}"], [f"x{i + 1}"]) for i in range(repeat)]
    nodes.append(helper.make_node("ReduceSum", [f"x{repeat}"], ["sum"], keepdims=0))
    inputs = [helper.make_tensor_value_info(name, dtype, list(shape))]
    outputs = [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return path


def bundle(folder, megabytes):
    """A compiled candidate: one matrix product with this much weight."""
    folder.mkdir()
    features, classes = 3 * 8 * 8, 10
    hidden = megabytes * MB // (4 * features)
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in (("w1", (features, hidden)), ("w2", (hidden, classes)))
    ]
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w1"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "w2"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 8, 8])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    graph = helper.make_graph(nodes, "g", [image], [logits], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, folder / "engine.onnx")
    file = folder / "engine.onnx"
    manifest = {
        "schema": "edgetune.bundle/1", "name": "float", "target": "x86-cpu", "backend": "onnxruntime",
        "engine": {"file": "engine.onnx", "precision": "fp32"},
        "inputs": [{"name": "image", "shape": ["batch", 3, 8, 8], "dtype": "float32"}],
        "outputs": [{"name": "logits", "shape": ["batch", classes], "dtype": "float32"}],
        "preprocessing": {
            "kind": "image", "color": "RGB", "resize_short_side": 8, "interpolation": "bilinear", "crop": [8, 8],
            "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "layout": "NCHW",
        },
        "postprocessing": "softmax", "labels": [str(i) for i in range(classes)],
        "session": {"threads": 1, "graph_optimization": "all", "config": {}}, "scheme": None, "recipe": {},
        "versions": {}, "measured": None, "golden": None,
        "files": {"engine.onnx": {"sha256": digest_file(file), "size": file.stat().st_size}},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
