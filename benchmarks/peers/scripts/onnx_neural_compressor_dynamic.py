"""ONNX Neural Compressor, dynamic: everything by default."""

import sys
from pathlib import Path

from onnx_neural_compressor.quantization import quantize
from onnx_neural_compressor.quantization.config import DynamicQuantConfig

quantize(str(Path(sys.argv[1]) / "float.onnx"), "engine.onnx", DynamicQuantConfig())
