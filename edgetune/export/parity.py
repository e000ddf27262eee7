"""Does the ONNX file say what the network says? Outputs of both on the same samples."""

import copy
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


class QuantizedParity(Parity):
    """Parity of a quantized network's file, held against what quantization itself did to the outputs.

    Two ways to compute a quantized network round ties apart, and layer after layer that grows to about the rounding's
    own noise (MobileNetV2: 0.85 of it). So ``rms_difference`` is bounded by ``rounding``, the root mean square of what
    separates the quantized network from the float one, and top-1 must agree on ``clear`` samples, those whose two best
    outputs are further apart than that explains.
    """

    rms_difference: float
    rounding: float
    clear: int
    clear_agreement: float


LEAST_AGREEMENT = 0.999
FARTHEST = 2.0  # times the rounding
FAR_FROM_ROUNDED = 4.0  # the same where the reference was not made by the code that made the file
TIE = 4.0  # times the rounding: nearer than that the two best outputs may change places
NEGLIGIBLE = 1e-3  # of the outputs' spread, for networks that rounding hardly changes


def parity_problem(parity: QuantizedParity) -> str | None:
    """What is wrong with the file; None: nothing."""
    bound = FARTHEST * parity["rounding"] + NEGLIGIBLE * max(1.0, parity["output_scale"])
    if not parity["rms_difference"] <= bound:
        return (
            f"its outputs differ from the network's by {parity['rms_difference']:.2g} (root mean square of "
            f"{parity['samples']} samples), where rounding explains {bound:.2g}"
        )
    others = round(parity["clear"] * (1.0 - parity["clear_agreement"]))
    if others > max(1.0, (1.0 - LEAST_AGREEMENT) * parity["clear"]):  # of fewer than 1,000, one may be chance
        return (
            f"it gives the network's answer on only {parity['clear_agreement']:.2%} of {parity['clear']} clear samples"
        )
    return None


def float_parity_problem(parity: Parity, noise: float = 0.0) -> str | None:
    """What is wrong with a float32 file of a network; None: nothing.

    Args:
        noise: of the network itself, by ``float32_noise``. Two libraries add in other orders, and a head of large
            weights, as one that was solved for in closed form, makes more of that than ``NEGLIGIBLE``.
    """
    bound = NEGLIGIBLE * max(1.0, parity["output_scale"]) + FAR_FROM_ROUNDED * noise
    if parity["max_difference"] <= bound:
        return None
    return (
        f"its outputs differ from the network's by up to {parity['max_difference']:.2g} on {parity['samples']} "
        f"samples, where the order of additions explains {bound:.2g}"
    )


@torch.no_grad()
def float32_noise(network: nn.Module, batches: Iterable[Tensor]) -> float:
    """How far the outputs of ``network`` in float32 are from those in float64 at most; 0 where it cannot be told."""
    exact, farthest = copy.deepcopy(network).double(), 0.0
    for batch in batches:
        try:
            outputs = exact(batch.double() if batch.is_floating_point() else batch)
        except RuntimeError:  # code of the user's own that makes float32 tensors
            return 0.0
        farthest = max(farthest, float((outputs - network(batch)).abs().max()))
    return farthest


@torch.no_grad()
def check_quantized_parity(
    floating: nn.Module, quantized: nn.Module, path: Path, batches: Iterable[Tensor]
) -> QuantizedParity:
    """The file at ``path`` against the ``quantized`` network it was made from, on held-out float32 [N, 3, H, W]."""
    return _compare_quantized(lambda x: floating(x).numpy(), lambda x: quantized(x).numpy(), path, batches)


def check_rounded_parity(before: Path, rounded: Path, path: Path, batches: Iterable[Tensor]) -> QuantizedParity:
    """The same of a file that was made from the float one ``before``, of which ``rounded`` tells what rounding does."""
    return _compare_quantized(runner(before), runner(rounded), path, batches)


def rounded_parity_problem(parity: QuantizedParity) -> str | None:
    """What is wrong with such a file; None: nothing, or no more than its scheme explains with room to spare."""
    bound = FAR_FROM_ROUNDED * parity["rounding"] + NEGLIGIBLE * max(1.0, parity["output_scale"])
    if parity["rms_difference"] <= bound:
        return None
    return (
        f"its outputs differ by {parity['rms_difference']:.2g} (root mean square of {parity['samples']} samples) from "
        f"what rounding makes of the float file's, where {bound:.2g} is allowed"
    )


def _compare_quantized(floating: Run, quantized: Run, path: Path, batches: Iterable[Tensor]) -> QuantizedParity:
    kept: list[NDArray[np.float32]] = []
    reference: list[NDArray[np.float32]] = []
    ours: list[NDArray[np.float32]] = []
    run = runner(path)

    def expected(images: Tensor) -> NDArray[np.float32]:
        kept.append(floating(images))
        reference.append(quantized(images))
        return reference[-1]

    def actual(images: Tensor) -> NDArray[np.float32]:
        ours.append(run(images))
        return ours[-1]

    parity = _compare(expected, actual, batches)
    real, theirs, found = np.concatenate(kept), np.concatenate(reference), np.concatenate(ours)
    rounding = _rms(theirs - real)
    best = np.sort(theirs, axis=1)
    clear = best[:, -1] - best[:, -2] > TIE * rounding if theirs.shape[1] > 1 else np.ones(len(theirs), bool)
    same = theirs.argmax(1) == found.argmax(1)
    return QuantizedParity(
        **parity,
        rms_difference=_rms(found - theirs),
        rounding=rounding,
        clear=int(clear.sum()),
        clear_agreement=float(same[clear].mean()) if clear.any() else 1.0,
    )


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))


@torch.no_grad()
def check_parity(network: nn.Module, path: Path, batches: Iterable[Tensor]) -> Parity:
    """Run ``network`` and the file at ``path`` (in ONNX Runtime) on ``batches`` of float32 [N, 3, H, W]."""
    return _compare(lambda images: network(images).numpy(), runner(path), batches)


def check_file_parity(before: Path, after: Path, batches: Iterable[Tensor]) -> Parity:
    """The same of two files that should say the same, such as one of them in float16."""
    return _compare(runner(before), runner(after), batches)


def check_engine_parity(path: Path, engine: Run, batches: Iterable[Tensor]) -> Parity:
    """The same of an ``engine`` that another library made of the file at ``path``."""
    return _compare(runner(path), engine, batches)


@torch.no_grad()
def check_pixel_parity(
    before: nn.Module | Path, after: Path, normalise: Callable[[Pixels], NDArray[np.float32]], batches: Iterable[Tensor]
) -> Parity:
    """The same of the file ``after`` on pixels uint8 [N, H, W, 3] and ``before`` on what ``normalise`` makes of it."""
    reference = runner(before) if isinstance(before, Path) else lambda images: before(images).numpy()
    return _compare(lambda pixels: reference(torch.from_numpy(normalise(pixels.numpy()))), runner(after), batches)


def runner(path: Path) -> Run:
    """The file at ``path`` in ONNX Runtime: a batch in, its first output."""
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
