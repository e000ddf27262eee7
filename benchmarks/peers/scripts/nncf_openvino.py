"""What OpenVINO's documentation tells users of x86: convert, quantize by NNCF in OpenVINO's own format."""

import sys
from pathlib import Path

import nncf
import numpy as np
import openvino as ov

given = Path(sys.argv[1])
images = np.load(given / "calibration.npz")["inputs"]
dataset = nncf.Dataset(images, lambda image: {"image": image[None]})
ov.save_model(nncf.quantize(ov.convert_model(given / "float.onnx"), dataset), "engine.xml", compress_to_fp16=False)
