"""ONNX Neural Compressor, dynamic: everything by default."""

import sys
from pathlib import Path

from onnx_neural_compressor.quantization import DynamicQuantConfig, quantize

quantize(str(Path(sys.argv[1]) / "float.onnx"), "engine.onnx", DynamicQuantConfig())
