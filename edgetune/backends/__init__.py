"""Inference libraries: {name: module}. Each module is a ``Backend`` (see ``protocol.py``)."""

BACKENDS = {
    "onnxruntime": "edgetune.backends.onnxruntime",
    "tensorrt": "edgetune.backends.tensorrt",
}
