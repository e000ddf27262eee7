"""Olive's pass for static quantization, weights by channel, calibrated on its user's own data."""

import sys
from pathlib import Path

import numpy as np
from olive import run
from olive.data.registry import Registry

given = Path(sys.argv[1])


class Pictures:
    def __init__(self, images):
        self.images = images

    def __len__(self):
        return len(self.images)

    def __getitem__(self, number):
        return {"image": self.images[number]}, 0


@Registry.register_dataset()
def pictures(**_):
    return Pictures(np.load(given / "calibration.npz")["inputs"])


config = {
    "input_model": {"type": "ONNXModel", "model_path": str(given / "float.onnx")},
    "data_configs": [{"name": "calibration", "type": "DataContainer", "load_dataset_config": {"type": "pictures"}}],
    "passes": {"quantize": {"type": "OnnxStaticQuantization", "data_config": "calibration", "per_channel": True}},
    "output_dir": "olive",
}
output = run(config)
Path(output.get_best_candidate().model_path).rename("engine.onnx")
