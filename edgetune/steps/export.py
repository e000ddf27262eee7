"""Checkpoint -> float ONNX, checked against the network."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from torch import Tensor, nn

from edgetune.errors import ExportError, QuantizationError
from edgetune.export.divergence import FAR_IN_FLOAT, first_divergence
from edgetune.export.onnx_export import export_onnx
from edgetune.export.operators import TRANSLATIONS
from edgetune.export.parity import Parity, check_parity, float32_noise, float_parity_problem
from edgetune.hashing import canonical_json
from edgetune.models.checkpoint import NetworkSpec, load_checkpoint
from edgetune.quantization.fold_bn import fold_batch_norms
from edgetune.quantization.sensitivity import layer_name
from edgetune.quantization.trace import trace
from edgetune.steps.context import StepContext
from edgetune.steps.examples import make_examples

PARITY_BATCHES = 2  # of validation


def run(context: StepContext) -> None:
    """Write ``model.onnx`` and, as a note, how close its outputs in ONNX Runtime are to torch's on validation."""
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    network, path, opset = network.cpu().eval(), context.out / "model.onnx", context.params["opset"]
    if spec.max_length is None:
        export_onnx(network, spec.example(), path, opset=opset)
    else:
        export_onnx(network, spec.example(), path, opset=opset, input_name="input_ids", max_length=spec.max_length)
    examples = make_examples(context, spec, batch_size=32, augmentation="none")
    parity = check(network, spec, path, [inputs for inputs, _ in islice(examples.validation(), PARITY_BATCHES)])
    context.note("parity.json").write_text(canonical_json(parity), encoding="utf-8")


def check(network: nn.Module, spec: NetworkSpec, path: Path, few: Sequence[Tensor]) -> Parity:
    """Hold the file at ``path`` against the float ``network`` on a ``few`` batches.

    Raises:
        ExportError: the file says something else; the first layer that does is named.
    """
    parity = check_parity(network, path, few)
    noise = float32_noise(network, few) if float_parity_problem(parity) is not None else 0.0
    if (problem := float_parity_problem(parity, noise)) is not None:
        own = f"the translation of {', '.join(map(str, TRANSLATIONS))} may be wrong: " if TRANSLATIONS else ""
        raise ExportError(
            f"the exported file is not the network: {problem}; "
            f"{_first_divergence(network, spec, path, few[0]) or 'no single layer is far off'}",
            hint=f"{own}compare the operators before that place with what torch.onnx makes of them",
        )
    return parity


def _first_divergence(network: nn.Module, spec: NetworkSpec, path: Path, batch: Tensor) -> str:
    """In words; empty where no layer is far off, or none can be compared."""
    try:
        graph = trace(network, spec.example(), spec.max_length)
    except QuantizationError:
        return ""
    fold_batch_norms(graph)  # as the exporter does
    return str(first_divergence(graph, path, batch, layer_name, far=FAR_IN_FLOAT) or "")
