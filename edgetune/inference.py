"""Inference libraries a target may name as its ``backend``, and what the plan needs to know of each.

The code of one is ``edgetune.backends.NAME``; that it can be planned for is one entry here. No library is loaded.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class InferenceLibrary:
    """What an inference library can do."""

    title: str
    distribution: str | None = None  # whose version is part of the keys of steps that run engines
    dynamic_int8: bool = False  # whether it is fast at ranges taken while it runs, which encoders for text want
    times_layers: bool = (
        True  # whether single layers are timed to steer pruning; a TensorRT build of each takes minutes
    )
    over_ssh: bool = False  # whether the device side runs its engines


INFERENCE_LIBRARIES = {
    "onnxruntime": InferenceLibrary(title="ONNX Runtime", distribution="onnxruntime", dynamic_int8=True, over_ssh=True),
    "openvino": InferenceLibrary(title="OpenVINO", distribution="openvino"),
    "tensorrt": InferenceLibrary(title="TensorRT", over_ssh=True, times_layers=False),
}
