"""Which layer of an exported file computes something else than the network: outputs of both, layer by layer.

The k-th convolution or matrix product with a constant weight of the traced network is the k-th of the file: the
exporter keeps their order.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

aten = torch.ops.aten
LAYERS = {aten.conv2d.default, aten.linear.default}
FAR = 0.25  # of a layer's own spread, root mean square; rounding that differs by a step comes to a tenth and less
FAR_IN_FLOAT = 1e-3  # the same where nothing is rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """The first layer that is far off: ``layer`` is its name in the network, ``node`` in the file.

    ``difference`` is the root mean square of the two outputs' difference, ``spread`` that of the network's output.
    """

    layer: str
    node: str
    difference: float
    spread: float

    def __str__(self) -> str:
        return (
            f"the first layer that diverges is {self.layer} ({self.node} in the file): its outputs differ by "
            f"{self.difference:.2g} where they spread over {self.spread:.2g}"
        )


@torch.no_grad()
def first_divergence(
    graph: fx.GraphModule, path: Path, batch: Tensor, name: Callable[[fx.Node], str], *, far: float = FAR
) -> Divergence | None:
    """The first layer whose output for ``batch`` [N, ...] is far from the network's.

    None: none is, or the layers of network and file do not match.

    Args:
        graph: the network as it was exported to ``path``.
        name: the user's name for a layer.
        far: the largest difference that is none, in shares of a layer's own spread.
    """
    layers = _Layers(graph)
    layers.run(batch)
    model = onnx.load(path)
    outputs = _outputs(model)
    if len(outputs) != len(layers.found):
        return None
    found = _run(model, [output for _, output in outputs], batch)
    for (node, expected), (file_node, _), actual in zip(layers.found, outputs, found, strict=True):
        if actual.shape != expected.shape:
            return None
        difference = float(np.sqrt(np.square(actual - expected).mean()))
        spread = float(expected.std()) or float(np.abs(expected).max())
        if not difference <= far * spread + 1e-6:
            return Divergence(layer=name(node), node=file_node, difference=difference, spread=spread)
    return None


class _Layers(fx.Interpreter):
    """Keeps the outputs of the layers, in the order of execution."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.found: list[tuple[fx.Node, NDArray[np.float32]]] = []

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.target in LAYERS:
            self.found.append((n, result.numpy().copy()))  # a ReLU behind it may work in place
        return result


def _outputs(model: onnx.ModelProto) -> list[tuple[str, str]]:
    """(node, name of its output with the bias) of each layer, in the order of the file."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.input and all(name in constants for name in node.input if name):
            constants |= set(node.output)
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    found = []
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm", "MatMul") or node.input[1] not in constants:
            continue
        output, after = node.output[0], readers.get(node.output[0], [])
        if node.op_type == "MatMul" and len(after) == 1 and after[0].op_type == "Add":
            others = [name for name in after[0].input if name != output]
            output = after[0].output[0] if others and others[0] in constants else output
        found.append((node.name, output))
    return found


def _run(model: onnx.ModelProto, names: list[str], batch: Tensor) -> list[NDArray[np.float32]]:
    given = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in set(names) - given)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    with TemporaryDirectory() as folder:
        onnx.save(model, Path(folder) / "layers.onnx")
        session = onnxruntime.InferenceSession(
            str(Path(folder) / "layers.onnx"), options, providers=["CPUExecutionProvider"]
        )
        results: Iterable[Any] = session.run(names, {session.get_inputs()[0].name: batch.contiguous().numpy()})
    return [np.asarray(result) for result in results]
