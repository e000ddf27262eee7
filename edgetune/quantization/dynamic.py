"""Dynamic INT8: int8 weights, and activations whose range is found anew in every inference. No calibration.

What transformers on a CPU are fastest with: their matrix products run in integers, all else stays in float.
"""

import logging
import tempfile
from collections.abc import Collection
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from edgetune.errors import QuantizationError

OPERATORS = ["MatMul", "Gemm", "Gather"]  # Gather: embeddings, for their size


def quantize_weights(
    source: Path, path: Path, *, per_channel: bool, reduce_range: bool, kept: Collection[str] = ()
) -> None:
    """Write the ONNX file ``source`` with int8 matrix products to ``path``; the same file gives the same bytes.

    Args:
        per_channel: a scale for each output channel of a weight.
        reduce_range: 7-bit weights, where products of uint8 and int8 saturate in 16 bits.
        kept: names of nodes that stay in float.

    Raises:
        QuantizationError: ONNX Runtime's quantizer refuses the graph, or finds nothing in it to quantize.
    """
    logger = logging.getLogger()
    level = logger.level
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.onnx"
        try:
            logger.setLevel(logging.ERROR)  # it advises a preprocessing that is not needed here
            quantize_dynamic(
                source,
                made,
                op_types_to_quantize=OPERATORS,
                per_channel=per_channel,
                reduce_range=reduce_range,
                weight_type=QuantType.QInt8,
                # The quantizer writes a Gemm as a MatMul, under a name of its own, before it looks at this.
                nodes_to_exclude=[*kept, *(f"{name}_MatMul" for name in kept)],
            )
        except Exception as problem:  # the quantizer raises many unrelated types
            raise QuantizationError(
                f"the network cannot be quantized dynamically: {type(problem).__name__}: {problem}",
                hint='set `[quantize] mode = "none"`',
            ) from problem
        finally:
            logger.setLevel(level)
        model = onnx.load(made)
    if not any(node.op_type == "MatMulInteger" for node in model.graph.node):
        if kept:
            raise QuantizationError(
                "`[quantize] keep_float` leaves every matrix product of the network in float",
                hint='name fewer layers, or set `[quantize] mode = "none"`',
            )
        raise QuantizationError(
            "the network has no matrix product with constant weights to quantize", hint='set `[quantize] mode = "none"`'
        )
    del model.graph.value_info[:]
    path.write_bytes(model.SerializeToString(deterministic=True))
