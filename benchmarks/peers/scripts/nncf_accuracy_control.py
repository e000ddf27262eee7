"""NNCF on the ONNX file with accuracy control: layers go back to float until validation is within a point."""

import sys
from pathlib import Path

import nncf
import numpy as np
import onnx
import onnxruntime as ort

given = Path(sys.argv[1])
images = np.load(given / "calibration.npz")["inputs"]
validation = np.load(given / "validation.npz")
pairs = list(zip(validation["inputs"], validation["labels"], strict=True))


def accuracy(model, samples):
    session = ort.InferenceSession(model.SerializeToString())
    right = [int(session.run(None, {"image": image[None]})[0].argmax() == label) for image, label in samples]
    return float(np.mean(right)), [float(one) for one in right]


calibration = nncf.Dataset(images, lambda image: {"image": image[None]})
quantized = nncf.quantize_with_accuracy_control(
    onnx.load(given / "float.onnx"),
    calibration,
    nncf.Dataset(pairs, lambda pair: {"image": pair[0][None]}),
    validation_fn=accuracy,
    max_drop=0.01,
)
onnx.save(quantized, "engine.onnx")
