"""NNCF on the ONNX file, everything by default: symmetric activations, fast bias correction."""

import sys
from pathlib import Path

import nncf
import numpy as np
import onnx

given = Path(sys.argv[1])
images = np.load(given / "calibration.npz")["inputs"]
dataset = nncf.Dataset(images, lambda image: {"image": image[None]})
onnx.save(nncf.quantize(onnx.load(given / "float.onnx"), dataset), "engine.onnx")
