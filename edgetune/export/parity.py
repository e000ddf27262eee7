"""Does the ONNX file say what the network says? Outputs of both on the same samples."""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is loaded

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypedDict

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Pixels = NDArray[np.uint8]
Run = Callable[[Tensor], NDArray[np.float32]]


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
    return _compare(lambda images: network(images).numpy(), _runner(path), batches)


def check_file_parity(before: Path, after: Path, batches: Iterable[Tensor]) -> Parity:
    """The same of two files that should say the same, such as one of them in float16."""
    return _compare(_runner(before), _runner(after), batches)


def check_engine_parity(path: Path, engine: Run, batches: Iterable[Tensor]) -> Parity:
    """The same of an ``engine`` that another library made of the file at ``path``."""
    return _compare(_runner(path), engine, batches)


@torch.no_grad()
def check_pixel_parity(
    before: nn.Module | Path, after: Path, normalise: Callable[[Pixels], NDArray[np.float32]], batches: Iterable[Tensor]
) -> Parity:
    """The same of the file ``after`` on pixels uint8 [N, H, W, 3] and ``before`` on what ``normalise`` makes of it."""
    reference = _runner(before) if isinstance(before, Path) else lambda images: before(images).numpy()
    return _compare(lambda pixels: reference(torch.from_numpy(normalise(pixels.numpy()))), _runner(after), batches)


def _runner(path: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {name: images.numpy()})[0])


def _compare(reference: Run, other: Run, batches: Iterable[Tensor]) -> Parity:
    expected, actual = [], []
    for batch in batches:
        images = batch.contiguous()
        expected.append(reference(images))
        actual.append(other(images))
    theirs, ours = np.concatenate(expected), np.concatenate(actual)
    difference = np.abs(theirs - ours)
    return Parity(
        samples=len(theirs),
        agreement=float((theirs.argmax(1) == ours.argmax(1)).mean()),
        max_difference=float(difference.max()),
        mean_difference=float(difference.mean()),
        output_scale=float(theirs.std()),
    )
