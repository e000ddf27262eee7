"""Peak memory of a real engine in a real process."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgetune.errors import MeasureError
from edgetune.hashing import digest_file
from edgetune.measure.memory import peak_rss_bytes

MB = 1 << 20


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


def test_more_weights_need_as_much_more_memory(tmp_path):
    small = peak_rss_bytes(bundle(tmp_path / "small", 1), 1)
    large = peak_rss_bytes(bundle(tmp_path / "large", 97), 1)
    assert 20 * MB < small < 300 * MB  # interpreter, numpy, library; not this test's process, torch and all
    assert 90 * MB < large - small < 320 * MB  # the file and the weights, up to three copies for a moment


def test_the_parents_memory_is_not_counted(tmp_path):
    folder = bundle(tmp_path / "b", 1)
    before = peak_rss_bytes(folder, 1)
    ballast = np.ones(400 * MB // 8)
    assert peak_rss_bytes(folder, 1) < before + 60 * MB
    assert ballast[-1] == 1


def test_an_engine_that_cannot_run_is_an_error(tmp_path):
    folder = bundle(tmp_path / "broken", 1)
    (folder / "engine.onnx").write_bytes(b"not onnx")
    with pytest.raises(MeasureError, match="broken could not be run"):
        peak_rss_bytes(folder, 1)
