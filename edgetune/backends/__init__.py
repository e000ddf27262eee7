"""Inference libraries: {name: module}. Each module is a ``Backend`` (see ``protocol.py``)."""

from edgetune.inference import INFERENCE_LIBRARIES

BACKENDS = {name: f"edgetune.backends.{name}" for name in INFERENCE_LIBRARIES}
