"""Does the ONNX file say what the network says? Outputs of both on the same samples."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is loaded

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn


class Parity(TypedDict):
    """``agreement`` is the share of samples with the same top-1; differences are of logits."""

    samples: int
    agreement: float
    max_difference: float
    mean_difference: float
    output_scale: float  # standard deviation of the network's outputs, to hold the differences against


@torch.no_grad()
def check_parity(network: nn.Module, path: Path, batches: Iterable[Tensor]) -> Parity:
    """Run ``network`` and the file at ``path`` (in ONNX Runtime) on ``batches`` of float32 [N, 3, H, W]."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    expected, actual = [], []
    for batch in batches:
        images = batch.contiguous()
        expected.append(network(images).numpy())
        actual.append(session.run(None, {name: images.numpy()})[0])
    theirs, ours = np.concatenate(expected), np.concatenate(actual)
    difference = np.abs(theirs - ours)
    return Parity(
        samples=len(theirs),
        agreement=float((theirs.argmax(1) == ours.argmax(1)).mean()),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        output_scale=float(theirs.std()),
    )
