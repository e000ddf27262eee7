"""SmoothQuant: what makes activations hard to quantize moves into the weights, which are easy (Xiao et al. 2022).

Channels of a matrix product's input whose values reach far are divided by a factor, and the weight's rows for them
multiplied by it: the product stays, and one range for all channels wastes fewer steps. The factor is
max|x|^0.5 / max|w|^0.5 (their equation 4 with alpha = 0.5). Where a layer norm feeds these products alone, its scale
and bias take the division; elsewhere (in BERT the residual reads the norm's output too) a multiplication goes in front.
"""

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor

from edgetune.errors import QuantizationError

ALPHA = 0.5
LEAST = 1e-5  # a channel that is always zero keeps its scale
Products = dict[str, list[onnx.NodeProto]]


def smooth_activations(source: Path, path: Path, batches: Iterable[Tensor]) -> int:
    """Write the float ONNX file ``source`` with smoothed matrix products to ``path``; returns how many inputs were.

    Args:
        batches: calibration inputs, such as token ids int64 [N, L]; only the largest values by channel are kept.

    Raises:
        QuantizationError: no samples, or NaN or infinity in the network.
    """
    model = onnx.load(source)
    products = _products(model)
    largest = _largest(model, list(products), batches)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for name, readers in products.items():
        _smooth(model, name, readers, largest[name], tensors)
    del model.graph.value_info[:]
    path.write_bytes(model.SerializeToString(deterministic=True))
    return len(products)


def _products(model: onnx.ModelProto) -> Products:
    """{tensor: the products with a constant weight that read it}; weights that several nodes read are left alone."""
    shapes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    uses = [name for node in model.graph.node for name in node.input]
    found: Products = {}
    for node in model.graph.node:
        if node.op_type == "MatMul" and len(shapes.get(node.input[1], ())) == 2 and uses.count(node.input[1]) == 1:
            found.setdefault(node.input[0], []).append(node)
    return found


def _largest(model: onnx.ModelProto, names: list[str], batches: Iterable[Tensor]) -> dict[str, NDArray[np.float32]]:
    """The largest magnitude of each channel (last axis) of the tensors, over all batches."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    found: dict[str, NDArray[np.float32]] = {}
    with TemporaryDirectory() as folder:
        onnx.save(watched, Path(folder) / "watched.onnx")
        session = onnxruntime.InferenceSession(
            str(Path(folder) / "watched.onnx"), options, providers=["CPUExecutionProvider"]
        )
        entry = session.get_inputs()[0].name
        for batch in batches:
            results: Any = session.run(names, {entry: batch.contiguous().numpy()})
            for name, values in zip(names, results, strict=True):
                here = np.abs(values).reshape(-1, values.shape[-1]).max(axis=0)
                found[name] = np.maximum(found.get(name, 0.0), here)
    if names and not found:
        raise QuantizationError("calibration saw no samples", hint="the training split must hold some")
    if not all(np.isfinite(values).all() for values in found.values()):
        raise QuantizationError(
            "calibration met NaN or infinity inside the network", hint="look at the fine-tuned network's outputs"
        )
    return found


def _smooth(
    model: onnx.ModelProto,
    name: str,
    readers: list[onnx.NodeProto],
    largest: NDArray[np.float32],
    tensors: dict[str, onnx.TensorProto],
) -> None:
    weights = {node.input[1]: numpy_helper.to_array(tensors[node.input[1]]) for node in readers}
    reach = np.max([np.abs(weight).max(axis=1) for weight in weights.values()], axis=0)
    factor = np.where(
        (largest > LEAST) & (reach > LEAST),
        np.maximum(largest, LEAST) ** ALPHA / np.maximum(reach, LEAST) ** (1 - ALPHA),
        1.0,
    ).astype(np.float32)
    for tensor, weight in weights.items():
        tensors[tensor].CopyFrom(numpy_helper.from_array(weight * factor[:, None], tensor))
    if not _into_norm(model, name, readers, factor, tensors):
        model.graph.initializer.append(numpy_helper.from_array(1 / factor, f"{name}_smoothing"))
        node = helper.make_node("Mul", [name, f"{name}_smoothing"], [f"{name}_smooth"], name=f"{name}_smoothed")
        first = min(list(model.graph.node).index(reader) for reader in readers)
        model.graph.node.insert(first, node)
        for reader in readers:
            reader.input[0] = node.output[0]


def _into_norm(
    model: onnx.ModelProto,
    name: str,
    readers: list[onnx.NodeProto],
    factor: NDArray[np.float32],
    tensors: dict[str, onnx.TensorProto],
) -> bool:
    """Divide the scale and bias of the layer norm that makes ``name``, if nothing but ``readers`` reads it."""
    maker = next((node for node in model.graph.node if name in node.output), None)
    uses = [used for node in model.graph.node for used in node.input]
    if maker is None or maker.op_type != "LayerNormalization" or uses.count(name) != len(readers):
        return False
    own = list(maker.input[1:])
    if any(tensor not in tensors or uses.count(tensor) > 1 for tensor in own):
        return False
    for tensor in own:
        tensors[tensor].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensors[tensor]) / factor, tensor))
    return True
