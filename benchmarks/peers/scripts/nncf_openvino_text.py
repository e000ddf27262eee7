"""What OpenVINO's documentation tells users of x86: NNCF in OpenVINO's own format, told that it is a transformer."""

import sys
from pathlib import Path

import nncf
import numpy as np
import openvino as ov

given = Path(sys.argv[1])
texts = np.load(given / "calibration.npz")
sentences = [ids[None, :length] for ids, length in zip(texts["inputs"], texts["lengths"], strict=True)]
dataset = nncf.Dataset(sentences, lambda ids: {"input_ids": ids})
model = ov.convert_model(given / "float.onnx")
quantized = nncf.quantize(model, dataset, model_type=nncf.ModelType.TRANSFORMER)
ov.save_model(quantized, "engine.xml", compress_to_fp16=False)
