"""Intel Neural Compressor, static, with its accuracy-driven tuning: at most a point below float on validation."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from neural_compressor import PostTrainingQuantConfig, quantization
from neural_compressor.config import AccuracyCriterion, TuningCriterion

given = Path(sys.argv[1])
validation = np.load(given / "validation.npz")


class Loader:
    def __init__(self, images):
        self.images, self.batch_size = images, 1

    def __iter__(self):
        return (({"image": image[None]}, 0) for image in self.images)


def accuracy(model):
    session = ort.InferenceSession(model.SerializeToString())
    logits = np.concatenate([session.run(None, {"image": image[None]})[0] for image in validation["inputs"]])
    return float((logits.argmax(1) == validation["labels"]).mean())


images = np.load(given / "calibration.npz")["inputs"]
config = PostTrainingQuantConfig(
    approach="static",
    calibration_sampling_size=len(images),
    accuracy_criterion=AccuracyCriterion(criterion="absolute", tolerable_loss=0.01),
    tuning_criterion=TuningCriterion(max_trials=20),
)
model = onnx.load(given / "float.onnx")
quantization.fit(model, config, calib_dataloader=Loader(images), eval_func=accuracy).save("engine.onnx")
