"""Checkpoint -> float ONNX."""

from edgetune.export.onnx_export import export_onnx
from edgetune.models.checkpoint import load_checkpoint
from edgetune.steps.context import StepContext


def run(context: StepContext) -> None:
    """Write ``model.onnx``."""
    spec, network, _ = load_checkpoint(context.inputs["network"], context.base)
    path, opset = context.out / "model.onnx", context.params["opset"]
    if spec.max_length is None:
        export_onnx(network, spec.example(), path, opset=opset)
    else:
        export_onnx(network, spec.example(), path, opset=opset, input_name="input_ids", max_length=spec.max_length)
