"""ONNX Runtime's dynamic quantizer: everything by default."""

import sys
from pathlib import Path

from onnxruntime.quantization import quantize_dynamic

quantize_dynamic(Path(sys.argv[1]) / "float.onnx", "engine.onnx")
