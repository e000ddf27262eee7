"""Small real bundles: an ONNX network whose answers can be computed by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgetune_runtime.preprocessing import Preprocessing
from onnx import TensorProto, helper, numpy_helper

from edgetune.bundle.manifest import read_manifest, signature, write_manifest
from edgetune.bundle.pack import write_golden
from edgetune.export.pixels import take_pixels

SIDE = 8
LABELS = ["red", "green", "blue", "grey"]
WEIGHT = np.array([[4, -1, -1, 0], [-1, 4, -1, 0], [-1, -1, 4, 0]], dtype=np.float32)
PREPROCESSING = {
    "kind": "image",
    "color": "RGB",
    "resize_short_side": 10,
    "interpolation": "bilinear",
    "crop": [SIDE, SIDE],
    "scale": 1 / 255,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "layout": "NCHW",
}


def logits_by_hand(inputs: np.ndarray) -> np.ndarray:
    """[N, 3, H, W] -> [N, 4]: the mean of each channel times WEIGHT."""
    return inputs.mean((2, 3)) @ WEIGHT


def write_engine(path: Path, weight: np.ndarray = WEIGHT) -> None:
    """Global average pooling and one matrix."""
    classes = weight.shape[1]
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ],
        "by-hand",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(weight, "weight")],
    )
    # IR and opset old enough for every runtime the device distribution allows
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def write_bundle(folder: Path) -> Path:
    """A complete bundle with two golden samples."""
    folder.mkdir(parents=True)
    write_engine(folder / "engine.onnx")
    inputs = np.random.default_rng(0).standard_normal((2, 3, SIDE, SIDE), dtype=np.float32)
    inputs[0, 0] += 3
    inputs[1, 2] += 3
    write_golden(folder, inputs, logits_by_hand(inputs).astype(np.float32))
    content = {
        "name": "float",
        "target": "x86-cpu",
        "backend": "onnxruntime",
        "engine": {"file": "engine.onnx", "precision": "fp32"},
        "inputs": [signature("image", ["batch", 3, SIDE, SIDE])],
        "outputs": [signature("logits", ["batch", len(LABELS)])],
        "preprocessing": PREPROCESSING,
        "postprocessing": "softmax",
        "labels": LABELS,
        "session": {"threads": 1, "graph_optimization": "all", "config": {"session.intra_op.allow_spinning": "0"}},
        "scheme": None,
        "recipe": {},
        "versions": {},
        "measured": None,
        "golden": {"file": "golden.npz", "atol": 1e-3, "agreement": "top1"},
    }
    write_manifest(folder, content)
    (folder / "manifest.sha256").unlink()  # as bundles were before; tests edit their manifests
    return folder


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle's folder."""
    return write_bundle(tmp_path / "bundle")


def to_pixels(folder: Path) -> Path:
    """Make the bundle in ``folder`` one whose engine takes pixels."""
    steps = Preprocessing(PREPROCESSING)
    model = onnx.load(folder / "engine.onnx")
    take_pixels(model, steps.factor, steps.offset)
    onnx.save(model, folder / "engine.onnx")
    pixels = np.random.default_rng(0).integers(0, 160, (2, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[0, ..., 0] += 90
    pixels[1, ..., 2] += 90
    write_golden(folder, pixels, logits_by_hand(steps.normalise(pixels)).astype(np.float32))
    content = {key: value for key, value in read_manifest(folder).items() if key not in ("schema", "files")}
    described = {key: value for key, value in PREPROCESSING.items() if key not in ("scale", "mean", "std")}
    content["inputs"] = [signature("image", ["batch", SIDE, SIDE, 3], "uint8")]
    write_manifest(folder, {**content, "preprocessing": {**described, "layout": "NHWC"}})
    (folder / "manifest.sha256").unlink()
    return folder


@pytest.fixture
def pixel_bundle(tmp_path: Path) -> Path:
    """The same bundle with an engine that takes pixels."""
    return to_pixels(write_bundle(tmp_path / "pixels"))


@pytest.fixture
def change(bundle: Path) -> Callable[[Callable[[dict[str, Any]], object]], Path]:
    """Edits the bundle's manifest in place and returns the bundle."""

    def apply(edit: Callable[[dict[str, Any]], object]) -> Path:
        path = bundle / "manifest.json"
        manifest = json.loads(path.read_text(encoding="utf-8"))
        edit(manifest)
        path.write_text(json.dumps(manifest), encoding="utf-8")
        return bundle

    return apply


@pytest.fixture
def by_hand() -> Callable[[np.ndarray], np.ndarray]:
    """What the bundle's engine computes."""
    return logits_by_hand


@pytest.fixture
def engine_writer() -> Callable[..., None]:
    """Writes an engine with another matrix."""
    return write_engine


@pytest.fixture
def preprocessing() -> dict[str, Any]:
    """A description for ``Preprocessing``."""
    return dict(PREPROCESSING)
