"""Older opsets than the exporter writes: torch gives 18 where 17 is asked for, which TensorRT 8 does not read."""

import onnx
from onnx import version_converter

from edgetune.errors import ExportError


def lower_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """``model`` in ``opset``, if it is newer; else as it is.

    Raises:
        ExportError: it uses what that opset does not have.
    """
    found = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), opset)
    if found <= opset:
        return model
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "noop_with_empty_axes" and attribute.i == 0:  # what older opsets do anyway
                node.attribute.remove(attribute)
                break
    try:
        lowered = version_converter.convert_version(model, opset)
    except (RuntimeError, onnx.version_converter.ConvertError) as problem:
        first = str(problem).strip().splitlines()[0]
        raise ExportError(
            f"the network cannot be written in opset {opset}: {first}",
            hint="leave this target out, or replace the operator it names",
        ) from problem
    lowered.ir_version = onnx.helper.find_min_ir_version_for(lowered.opset_import)
    return lowered
