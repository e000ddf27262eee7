"""ONNX Runtime's dynamic quantizer after its own preparation, weights by channel."""

import sys
from pathlib import Path

from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

given = Path(sys.argv[1])
quant_pre_process(given / "float.onnx", "prepared.onnx", skip_symbolic_shape=True)  # which fails on this file
quantize_dynamic("prepared.onnx", "engine.onnx", per_channel=True, weight_type=QuantType.QInt8)
