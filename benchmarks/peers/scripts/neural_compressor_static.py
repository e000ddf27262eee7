"""Intel Neural Compressor, static, without its accuracy-driven tuning."""

import sys
from pathlib import Path

import numpy as np
import onnx
from neural_compressor import PostTrainingQuantConfig, quantization

given = Path(sys.argv[1])


class Loader:
    def __init__(self, images):
        self.images, self.batch_size = images, 1

    def __iter__(self):
        return (({"image": image[None]}, 0) for image in self.images)


images = np.load(given / "calibration.npz")["inputs"]
config = PostTrainingQuantConfig(approach="static", calibration_sampling_size=len(images))
model = onnx.load(given / "float.onnx")
quantization.fit(model, config, calib_dataloader=Loader(images)).save("engine.onnx")
