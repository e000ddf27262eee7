"""ONNX Neural Compressor, static: everything by default."""

import sys
from pathlib import Path

import numpy as np
from onnx_neural_compressor.data_reader import CalibrationDataReader
from onnx_neural_compressor.quantization import quantize
from onnx_neural_compressor.quantization.config import StaticQuantConfig

given = Path(sys.argv[1])


class Reader(CalibrationDataReader):
    def __init__(self, images):
        self.images = images
        self.rewind()

    def get_next(self):
        return next(self.feeds, None)

    def rewind(self):
        self.feeds = iter([{"image": image[None]} for image in self.images])


images = np.load(given / "calibration.npz")["inputs"]
quantize(str(given / "float.onnx"), "engine.onnx", StaticQuantConfig(Reader(images)))
