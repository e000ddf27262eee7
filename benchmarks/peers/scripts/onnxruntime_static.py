"""ONNX Runtime's static quantizer as its documentation begins: everything by default."""

import sys
from pathlib import Path

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, quantize_static

given = Path(sys.argv[1])


class Reader(CalibrationDataReader):
    def __init__(self, images):
        self.feeds = iter([{"image": image[None]} for image in images])

    def get_next(self):
        return next(self.feeds, None)


images = np.load(given / "calibration.npz")["inputs"]
quantize_static(given / "float.onnx", "engine.onnx", Reader(images))
