"""ONNX Runtime's static quantizer as its documentation advises for x86 with VNNI: preprocessed, weights by channel,
unsigned activations; the way of calibrating that is best on validation."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

given = Path(sys.argv[1])


class Reader(CalibrationDataReader):
    def __init__(self, images):
        self.feeds = iter([{"image": image[None]} for image in images])

    def get_next(self):
        return next(self.feeds, None)


def accuracy(path):
    session = ort.InferenceSession(path)
    logits = np.concatenate([session.run(None, {"image": image[None]})[0] for image in validation["inputs"]])
    return (logits.argmax(1) == validation["labels"]).mean()


images = np.load(given / "calibration.npz")["inputs"]
validation = np.load(given / "validation.npz")
quant_pre_process(given / "float.onnx", "prepared.onnx")
found = {}
for method in (CalibrationMethod.MinMax, CalibrationMethod.Entropy, CalibrationMethod.Percentile):
    path = f"{method.name}.onnx"
    quantize_static(
        "prepared.onnx",
        path,
        Reader(images),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        calibrate_method=method,
    )
    found[path] = accuracy(path)
print(found)
Path(max(found, key=found.get)).rename("engine.onnx")
