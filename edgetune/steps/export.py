"""Checkpoint -> float ONNX."""

from edgetune.export.onnx_export import export_onnx
from edgetune.models.checkpoint import load_checkpoint
from edgetune.steps.context import StepContext


def run(context: StepContext) -> None:
    """Write ``model.onnx``."""
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    export_onnx(network, spec.example(), context.out / "model.onnx", opset=context.params["opset"])
