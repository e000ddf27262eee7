"""Olive's pass for dynamic quantization, weights by channel."""

import sys
from pathlib import Path

from olive import run

config = {
    "input_model": {"type": "ONNXModel", "model_path": str(Path(sys.argv[1]) / "float.onnx")},
    "passes": {"quantize": {"type": "OnnxDynamicQuantization", "per_channel": True}},
    "output_dir": "olive",
}
output = run(config)
Path(output.get_best_candidate().model_path).rename("engine.onnx")
